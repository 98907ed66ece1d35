"""Where the network definitions and models lie: in the installed package, or two folders up in a source checkout; and where those
that others publish are looked for."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import MAX_TEXT
from caffe.inputs.reading import read_text
from crfasrnn.classes import VOC_CLASSES, Classes, numbers_of, read_classes, unnamed_classes

# What is used where none is named.
DEFAULT = "voc21-deeplab"

# What a training leaves in its folder, beside classes.txt.
DEPLOY, FINAL = "deploy.prototxt", "final.caffemodel"

_PACKAGE = Path(__file__).resolve().parent.parent
_DEPLOY = "_deploy.prototxt"


def resource_folder(name: str) -> Path:
    """The folder `prototxt` or `models`; raises CaffeError if this installation has none."""
    for root in (_PACKAGE, _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise CaffeError(f"this installation of crfasrnn has no folder {name!r}; install it again or work in a checkout")


@dataclass(frozen=True)
class ModelFiles:
    """What a model consists of. `size` is the largest side (pixels) it expects, None for any; `classes` may be unknown."""

    prototxt: Path
    weights: Path
    classes: Classes | None
    size: int | None = None

    def classes_of(self, channels: int) -> Classes:
        """What so many channels of scores stand for. Raises CaffeError if other classes are listed for them."""
        found = self.classes or unnamed_classes(channels)
        if len(found) != channels:
            raise CaffeError(
                f"{str(self.prototxt)!r} scores {channels} classes, but {len(found)} names are listed for them"
            )
        return found


@dataclass(frozen=True)
class Published:
    """A model that others publish, under their terms: a file of weights for one of our networks, and the size it is made for."""

    name: str
    title: str
    network: str
    file: str
    size: str
    sha1: str
    address: str
    licence: str
    scores: tuple[str, ...]
    max_side: int


_VOC = Classes(VOC_CLASSES, numbers_of(VOC_CLASSES))

PUBLISHED = {
    model.name: model
    for model in (
        Published(
            "crfrnn-coco-voc",
            "FCN-8s + CRF-RNN of the paper's authors (Zheng et al. 2015), trained on COCO and VOC; VOC's 21 classes",
            "voc21/crfrnn",
            "TVG_CRFRNN_COCO_VOC.caffemodel",
            "540 MB",
            "bfda5c5149d566aa56695789fa9a08e7a7f3070a",
            "https://github.com/torrvision/crfasrnn",
            "non-commercial use; else ask its authors",
            ("74.7 % mean IU on VOC 2012's test set, says the paper; not measured here",),
            500,
        ),
    )
}


def models_folder() -> Path:
    """Where published models are looked for: the environment's CRFASRNN_MODELS, else .cache/crfasrnn/models in the home folder."""
    return Path(os.path.expanduser(os.environ.get("CRFASRNN_MODELS") or "~/.cache/crfasrnn/models"))  # never raises


def model_names() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in resource_folder("models").glob("*/model.json"))


def network_names() -> list[str]:
    """The networks whose definitions come with the package, such as "voc21/crfrnn"; their weights do not."""
    root = resource_folder("prototxt")
    return sorted(str(path.relative_to(root)).removesuffix(_DEPLOY) for path in root.glob(f"*/*{_DEPLOY}"))


def find_model(model: str, weights: Path | None = None) -> ModelFiles:
    """The files of a bundled or published model (by name), of a bundled network (by name) or deploy prototxt (by path) with
    `weights`, or of a training's folder. A name is meant before a file or folder called so; `./NAME` is the file.

    Raises CaffeError if the model is unknown, or a file is missing.
    """
    if Path(model).suffix in (".caffemodel", ".h5"):
        raise CaffeError(
            f"{model!r} is weights, not a model: give them as --weights, with the network as --model; or as --model the folder "
            f"of the training that left them"
        )
    if model in model_names():
        return _bundled(model, weights)
    if model in PUBLISHED:
        return _published(PUBLISHED[model], weights)
    if model in network_names():
        return _from_prototxt(resource_folder("prototxt") / f"{model}{_DEPLOY}", weights)
    if model and (Path(model).suffix == ".prototxt" or Path(model).is_file()):
        return _from_prototxt(Path(model), weights)
    if model and Path(model).is_dir():
        return _from_prototxt(Path(model) / DEPLOY, weights or final_weights(Path(model)))
    known, networks = ", ".join([*model_names(), *PUBLISHED]), ", ".join(network_names())
    raise CaffeError(
        f"no model {model!r}: neither a deploy prototxt, a training's folder nor a model that `crfasrnn models` lists "
        f"({known}; with --weights: {networks})"
    )


def _bundled(name: str, weights: Path | None) -> ModelFiles:
    folder, facts = bundled_facts(name)
    prototxt = resource_folder("prototxt") / facts["deploy"]
    _require(prototxt, "network definition")
    _require(weights or folder / facts["weights"], "weights file")
    # Weights of one's own may be of other classes, or of these in another order.
    beside = None if weights is None else weights.parent / "classes.txt"
    names = beside if beside is not None and beside.is_file() else folder / "classes.txt"
    return ModelFiles(prototxt, weights or folder / facts["weights"], read_classes(names), facts.get("size"))


def bundled_facts(name: str) -> tuple[Path, dict[str, Any]]:
    """A bundled model's folder, and what its model.json says."""
    folder = resource_folder("models") / name
    return folder, _read_json(folder / "model.json")


def _published(model: Published, weights: Path | None) -> ModelFiles:
    expected = models_folder() / model.file
    if weights is None and not expected.is_file():
        raise FileError(
            f"model {model.name!r} is not here: download {model.file} ({model.size}, sha1 {model.sha1}) from its authors, "
            f"{model.address}, and put it into {str(models_folder())!r}, or give it as --weights; licence: {model.licence}"
        )
    prototxt = resource_folder("prototxt") / f"{model.network}{_DEPLOY}"
    files = _from_prototxt(prototxt, weights or expected)
    return ModelFiles(files.prototxt, files.weights, files.classes or _VOC, model.max_side)


def _from_prototxt(prototxt: Path, weights: Path | None) -> ModelFiles:
    _require(prototxt, "network definition")
    if weights is None:
        raise CaffeError(f"the network {str(prototxt)!r} needs weights (--weights FILE)")
    _require(weights, "weights file")
    beside = [folder / "classes.txt" for folder in (weights.parent, prototxt.parent)]
    known = next((read_classes(path) for path in beside if path.is_file()), None)
    return ModelFiles(prototxt, weights, known)


def final_weights(folder: Path) -> Path:
    """The weights that a training left in its folder.

    Raises CaffeError if there are none, which names the newest snapshot of a training that has not ended.
    """
    if (folder / FINAL).is_file():
        return folder / FINAL
    snapshots = sorted(folder.glob("*_iter_*.caffemodel"), key=lambda path: path.stat().st_mtime)
    if snapshots:
        raise FileError(
            f"no {FINAL!r} in {str(folder)!r}, since the training has not ended: go on with it, or take its newest snapshot, "
            f"--weights {shlex.quote(str(snapshots[-1]))}"
        )
    raise FileError(f"weights file {str(folder / FINAL)!r} not found: {str(folder)!r} is not the folder of a training")


def _require(path: Path, what: str) -> None:
    if not path.is_file():
        raise FileError(f"{what} {str(path)!r} not found")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(read_text(path, MAX_TEXT))
        return facts
    except (OSError, ValueError, RecursionError) as problem:
        raise FileError(f"{str(path)!r} is not JSON: {problem}") from problem
