"""The weights that a training starts from: VGG-16's trunk, another model, or another model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from caffe.layers.fillers import fill
from caffe.logs.glog import signed
from caffe.net.net import Net
from caffe.net.weights import copy_weights, diagonal_bilinear, report_unmatched
from caffe.proto import caffe_pb2
from caffe.proto.model_file import LayerBlobs
from crfasrnn.classes import VOC_CLASSES, Classes, read_classes, unnamed_classes
from crfasrnn.crf.caffemodel import LAYER
from crfasrnn.networks.crfrnn import Variant
from crfasrnn.networks.recipes import SCORES, Recipe, recipe
from crfasrnn.networks.weight_files import read_weights
from crfasrnn.segmentation.models import find_model
from crfasrnn.training.job import NAMES, Job

logger = signed("crfasrnn.py")

# How the names of layers begin that VGG-16 and DeepLab's published weights have.
_LEARNED_BEFORE = ("conv", "fc", "Conv", "expanded_conv", "image_pooling", "aspp", "concat_projection")
_HEAD = ("fc6", "fc7")  # VGG-16's classifier but for its last layer


def chosen(layers: Sequence[LayerBlobs], net: Net, kept: Sequence[int | None] | None, source: str) -> list[LayerBlobs]:
    """The layers of a file as `net` takes them.

    kept: for every class of the net its number in the file, which has another number of classes; None where the file does
        not know it (the net's own initial values stay there). None for all if nothing is to be chosen.
    source: the file, for messages.
    A classifier's fully connected fc6 and fc7 become convolutions; where the net has others of these names, they are left out,
    with a warning. Raises CaffeError, which names the layer, for other shapes, and if no layer is in the net.
    """
    if kept is not None:
        layers = [_with_classes(layer, net, kept, source) for layer in layers]
    layers = [_as_convolution(layer, net) for layer in layers]
    misfits = {layer.name: layer for layer in layers if not _fits(layer, net)}
    for name, layer in misfits.items():
        if name not in _HEAD or score_classes(layers) is not None:
            raise CaffeError(
                f"{source}: layer {name!r} has {_shapes(layer.blobs)}, the network {_shapes(_targets(net, name))}: the file "
                "is of another network, or was trained with another recipe, --width or number of classes"
            )
    fitting = [layer for layer in layers if layer.name not in misfits]
    if not any(layer.name in net.params for layer in fitting):
        raise CaffeError(
            f"{source}: none of its layers ({_listed([layer.name for layer in layers])}) fits one of the network, which has "
            f"{_listed(list(net.params))}. Published VGG-16 files that fit are listed by `crfasrnn data sources`"
        )
    _check_learnable(list(misfits), fitting, net, source)
    return fitting


def _as_convolution(layer: LayerBlobs, net: Net) -> LayerBlobs:
    """A fully connected layer in the shape of the net's convolution of that name, whose window it covers."""
    wanted = _targets(net, layer.name)
    if len(wanted) != len(layer.blobs):
        return layer
    blobs = []
    for blob, target in zip(layer.blobs, wanted):
        flat = blob.reshape(_padded(blob.shape, 2)) if target.ndim == 4 else blob
        blobs.append(blob.reshape(target.shape) if flat.shape == (len(target), target[:1].size) else blob)
    return LayerBlobs(layer.name, layer.type, blobs)


def _fits(layer: LayerBlobs, net: Net) -> bool:
    """Whether the net lacks the layer, or has it with these shapes."""
    if layer.name not in net.params:
        return True
    wanted = _targets(net, layer.name)
    return len(wanted) == len(layer.blobs) and all(
        _padded(blob.shape, target.ndim) == target.shape for blob, target in zip(layer.blobs, wanted)
    )


def _targets(net: Net, name: str) -> list[np.ndarray]:
    return [np.asarray(blob.data) for blob in net.params[name]] if name in net.params else []


def _check_learnable(misfits: Sequence[str], fitting: Sequence[LayerBlobs], net: Net, source: str) -> None:
    """Warn of fc6 and fc7 that do not fit; raise CaffeError if the net cannot be learned without what it lacks, being zero."""
    there = {layer.name for layer in fitting}
    dead = [
        name
        for name in net.params
        if name.startswith(_LEARNED_BEFORE) and name not in there and not _targets(net, name)[0].any()
    ]
    if dead:
        raise CaffeError(
            f"{source}: {_listed(dead)} is missing or of another shape than {_shapes(_targets(net, dead[0]))}, and this network "
            "starts from VGG-16's own. Take a file with the whole of VGG-16 (`crfasrnn data sources`: Oxford's or torchvision's); "
            "for one without the classifier fc6 and fc7 there are the slim recipes, which learn these anew"
        )
    for name in misfits:
        logger.warning(
            "%s: %s is not taken: the network's has another shape, %s, and starts anew.",
            source, name, _shapes(_targets(net, name)),
        )  # fmt: skip


def _shapes(blobs: Sequence[np.ndarray]) -> str:
    return " and ".join(" x ".join(str(size) for size in blob.shape) for blob in blobs)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")


def _with_classes(layer: LayerBlobs, net: Net, kept: Sequence[int | None], source: str) -> LayerBlobs:
    if layer.name not in net.params:
        return layer
    wanted = [np.asarray(blob.data) for blob in net.params[layer.name]]
    if len(wanted) != len(layer.blobs):
        return layer  # loading reports it
    blobs = [
        take_classes(blob.reshape(_padded(blob.shape, initial.ndim)), initial, kept, f"{source}: layer {layer.name!r}")
        for blob, initial in zip(layer.blobs, wanted)
    ]
    return LayerBlobs(layer.name, layer.type, blobs)


def _padded(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A shape of files of 2014, which always have four axes, with so many."""
    return shape[len(shape) - axes :] if set(shape[: max(0, len(shape) - axes)]) <= {1} else shape


def take_classes(blob: np.ndarray, initial: np.ndarray, kept: Sequence[int | None], what: str) -> np.ndarray:
    """A parameter for the chosen classes: `initial` with the entries of `blob` along every axis that counts classes.

    An axis counts classes where its length differs, and is len(kept) in `initial`: blob and initial are of nets with different
    numbers of classes. what: begins the message of the CaffeError that another shape raises.
    """
    if blob.ndim != initial.ndim:
        raise CaffeError(f"{what}: {blob.ndim} axes, the net has {initial.ndim}")
    count = len(kept)
    known = [index for index, source in enumerate(kept) if source is not None]
    taken = [kept[index] for index in known]
    to: list[Any] = []
    of: list[Any] = []
    for have, need in zip(blob.shape, initial.shape):
        if have == need:
            to.append(range(need))
            of.append(range(have))
        elif need == count and max((t for t in taken if t is not None), default=-1) < have:
            to.append(known)
            of.append(taken)
        else:
            raise CaffeError(
                f"{what}: shape {blob.shape} does not become {initial.shape} by a choice of classes; was it trained with "
                "another recipe or --width?"
            )
    result = initial.copy()
    result[np.ix_(*to)] = blob[np.ix_(*of)]
    return result


def class_choice(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """For every class its number in a model with the classes `known`; None where the model lacks it."""
    return [known.index(name) if name in known else None for name in names]


def score_classes(layers: Sequence[LayerBlobs]) -> int | None:
    """How many classes a model's layers score; None for a classifier's trunk."""
    for layer in layers:
        if layer.name in SCORES:
            shape = layer.blobs[0].shape
            return int(shape[0] if len(shape) == 4 else 1)
    return None


def load(net: Net, job: Job, classes: Classes) -> None:
    """Give a net of a job's classes the weights that the job starts from: any file of read_weights.

    Raises CaffeError if a file or job.from_classes does not fit the net.
    """
    made_by = recipe(job.recipe)
    if job.weights is None:
        _initialize(net, made_by)
        return
    source, layers = str(job.weights), read_weights(job.weights)
    if made_by.model and job.options.variant != Variant() and job.weights == find_model(made_by.model).weights:
        logger.info("The CRF is another variant than that of %s: it starts anew.", made_by.model)
        layers = [layer for layer in layers if layer.name != LAYER]
    kept = _kept(job.weights, score_classes(layers), job.from_classes, classes)
    if made_by.frozen and kept is not None and None in kept:
        new = ", ".join(name for name, known in zip(classes.names, kept) if known is None)
        raise CaffeError(
            f"{source} does not score {new}, and {job.recipe} learns no scores: train the network for these classes first, and "
            "give its result as --weights"
        )
    missing = copy_weights(net.nodes, net.parameters, chosen(layers, net, kept, source), source, net.name)
    report_unmatched(missing, source)
    diagonal_bilinear(net.layers)


def _initialize(net: Net, made_by: Recipe) -> None:
    """What a net without given weights needs: random convolutions, and upsampling that is not all zero; with warnings.

    The networks leave their trunk without fillers, hence zero, since it comes from a file; scores start from zero always.
    """
    better = f"Give --weights with {made_by.origin} (`crfasrnn data sources`)."
    if made_by.model:
        better = f"Without --scratch it starts from the bundled {made_by.model}."
    logger.warning(
        "Training starts from random weights: it takes far longer, and the published rates are too low for it. %s",
        better,
    )
    for name, blobs in net.params.items():
        if name.startswith(_LEARNED_BEFORE) and not blobs[0].data.any():
            fill(blobs[0], caffe_pb2.FillerParameter(type="msra"))
    diagonal_bilinear(net.layers)


def _kept(
    weights: Path, known: int | None, from_classes: Sequence[int] | None, classes: Classes
) -> list[int | None] | None:
    """Which of the `known` classes of the weights each of ours is; None if they are the same or the weights know none."""
    if known is None:
        return None
    if from_classes is not None and (len(from_classes) != len(classes) or max(from_classes) >= known):
        raise CaffeError(
            f"--from-classes needs {len(classes)} numbers below {known}, one for each of {', '.join(classes.names)}"
        )
    names = _names(weights, known)
    if known == len(classes):
        _check_order(weights, from_classes, names, classes.names)
        return None
    if from_classes is not None:
        return list(from_classes)
    kept = class_choice(classes.names, names or unnamed_classes(known).names)
    new = [name for name, source in zip(classes.names, kept) if source is None]
    if new:
        logger.warning("%s does not know %s: these classes start anew.", weights, ", ".join(new))
    return kept


def _check_order(
    weights: Path, from_classes: Sequence[int] | None, names: Sequence[str] | None, wanted: Sequence[str]
) -> None:
    """Weights of as many classes as ours are taken one for one: raise CaffeError where that is known to be wrong."""
    reordered = names is not None and tuple(names) != tuple(wanted) and sorted(names) == sorted(wanted)
    if reordered or (from_classes is not None and list(from_classes) != list(range(len(wanted)))):
        raise CaffeError(
            f"{weights} has as many classes as the data, but in another order ({', '.join(names or wanted)}), which cannot "
            "be changed in weights. Give the data's classes that order (`crfasrnn data lmdb --classes`)"
        )
    if names is not None and tuple(names) != tuple(wanted) and tuple(wanted) != unnamed_classes(len(wanted)).names:
        logger.warning(
            "%s knows %s, here they are %s: taken one for one.", weights, ", ".join(names), ", ".join(wanted)
        )


def _names(weights: Path, known: int) -> tuple[str, ...] | None:
    """What the classes of the weights are called: by the file beside them, or as VOC's, whose number they have; None if unknown."""
    beside = weights.parent / NAMES
    if beside.is_file():
        return read_classes(beside).names
    if known != len(VOC_CLASSES):
        return None
    logger.info("No %s beside %s: its %d classes are taken for VOC's.", NAMES, weights, known)
    return VOC_CLASSES
