"""The weights that a training starts from: VGG-16's trunk, another model, or another model's classes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.net.net import Net
from caffe.net.weights import diagonal_bilinear
from caffe.proto.model_file import LayerBlobs, read_model, write_model_hdf5
from crfasrnn.classes import Classes, numbered_classes, read_classes
from crfasrnn.networks.weight_files import read_trunk
from crfasrnn.training.job import Job

logger = signed("crfasrnn.py")


def convert(source: Path, target: Path, net: Net, kept: Sequence[int | None] | None = None) -> None:
    """Write the weights of `source` as a .caffemodel.h5 that `net` loads.

    source: a trunk's .npz (read_trunk), or any Caffe model file.
    kept: for every class of the net its number in the source, which has another number of classes; None where the source does
        not know it (the net's own initial values stay there). None for all if nothing is to be chosen.
    Raises CaffeError if the source has other classes than `kept` says, or another shape.
    """
    layers = read_trunk(source) if source.suffix == ".npz" else read_model(source)
    layers = [layer for layer in layers if layer.blobs]
    if kept is not None:
        layers = [_with_classes(layer, net, kept, source) for layer in layers]
    write_model_hdf5(target, [layer.name for layer in layers], [layer.blobs for layer in layers])


def _with_classes(layer: LayerBlobs, net: Net, kept: Sequence[int | None], source: Path) -> LayerBlobs:
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


def score_classes(path: Path) -> int | None:
    """How many classes the model in a file scores (its layer score-fr); None for a classifier's trunk."""
    if path.suffix == ".npz":
        return None
    for layer in read_model(path):
        if layer.name == "score-fr" and layer.blobs:
            shape = layer.blobs[0].shape
            return int(shape[0] if len(shape) == 4 else 1)
    return None


def load(net: Net, job: Job, classes: Classes) -> None:
    """Give a net of a job's classes the weights that the job starts from.

    Raises CaffeError if a file or job.from_classes does not fit the net.
    """
    if job.weights is None:
        _initialize(net)
        return
    kept = _kept(job.weights, job.from_classes, classes)
    if kept is None and job.weights.suffix != ".npz":
        net.copy_from(job.weights)
        return
    with tempfile.TemporaryDirectory(prefix=".start.", dir=job.output) as folder:
        ready = Path(folder) / f"{job.weights.stem}.caffemodel.h5"
        convert(job.weights, ready, net, kept)
        net.copy_from(ready)


def _initialize(net: Net) -> None:
    """What a net without given weights needs: upsampling that is not all zero, with a warning for each such layer."""
    logger.warning(
        "Training starts from random weights: it takes far longer, and the published rates are too low for it. "
        "Give --weights with VGG-16's trunk."
    )
    diagonal_bilinear(net.layers)


def _kept(weights: Path, from_classes: Sequence[int] | None, classes: Classes) -> list[int | None] | None:
    """Which class of the weights each of our classes is; None if they are the same or the weights know none."""
    known = score_classes(weights)
    if known is None:
        return None
    if from_classes is not None:
        if len(from_classes) != len(classes) or max(from_classes) >= known:
            raise CaffeError(
                f"--from-classes needs {len(classes)} numbers below {known}, one for each of {', '.join(classes.names)}"
            )
        return list(from_classes)
    if known == len(classes):
        return None
    beside = weights.parent / "classes.txt"
    names = (read_classes(beside) if beside.is_file() else numbered_classes(known)).names
    kept = class_choice(classes.names, names)
    new = [name for name, source in zip(classes.names, kept) if source is None]
    if new:
        logger.warning("%s does not know %s: these classes start anew.", weights, ", ".join(new))
    return kept
