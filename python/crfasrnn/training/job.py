"""What is trained, from what, and where it lies."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError
from crfasrnn.claims import digest, remembered
from crfasrnn.classes import Classes, numbered_classes, read_classes
from crfasrnn.datasets.databases import largest_label
from crfasrnn.networks import recipes
from crfasrnn.segmentation.models import DEPLOY, FINAL

NOTE = "job.json"  # what an output folder remembers of the training in it


@dataclass(frozen=True)
class Job:
    """What is trained.

    data: folder with train/ and, for mean IU on the way, val/, each with the databases and perhaps classes.txt.
    output: folder for everything that the training writes.
    weights: to start from: any file of networks.weight_files.read_weights; None for random ones.
    resumed: go on with what is in `output`, whatever weights that began with.
    train_data: folder of the training databases, if it is not data/train.
    classes: of the labels, None to find them in the data.
    from_classes: for every class its number in a `weights` with other classes, None to go by names.
    iterations, test_interval, seed: None and 1 for the recipe's.
    precision: of the wide convolutions in training, "float32" or "bf16" (see caffe.mode.precision).
    """

    recipe: str
    data: Path
    output: Path
    weights: Path | None = None
    _: KW_ONLY
    resumed: bool = False
    train_data: Path | None = None
    classes: Classes | None = None
    from_classes: tuple[int, ...] | None = None
    iterations: int | None = None
    test_interval: int | None = None
    seed: int = 1
    options: recipes.RecipeOptions = field(default_factory=recipes.RecipeOptions)
    precision: str = "float32"

    @property
    def from_scratch(self) -> bool:
        """Whether it starts, or if `resumed` started, from random weights. Raises CaffeError for a damaged note of that."""
        return (_remembered(self)["weights"] if self.resumed else self.weights) is None

    @property
    def train_folder(self) -> Path:
        """Where the training databases are."""
        return self.train_data or self.data / "train"

    @property
    def val_folder(self) -> Path:
        """Where the databases of the test net would be."""
        return self.data / "val"

    @property
    def log(self) -> Path:
        """The JSON log."""
        return self.output / "log.jsonl"

    @property
    def final(self) -> Path:
        """The weights when all is done."""
        return self.output / FINAL

    @property
    def deploy(self) -> Path:
        """The definition of the network that segments."""
        return self.output / DEPLOY


def find_classes(folder: Path) -> Classes:
    """The classes of training databases: their classes.txt, else as many as the largest label says.

    Raises CaffeError if there is neither a classes.txt nor a database.
    """
    if (folder / "classes.txt").is_file():
        return read_classes(folder / "classes.txt")
    return numbered_classes(largest_label(folder) + 1)


def facts(job: Job, classes: Classes) -> dict[str, Any]:
    """What the output folder remembers: all that decides the weights at the end, but the images' content.

    Raises CaffeError if there is no such recipe or no file with the weights.
    """
    return {
        "recipe": job.recipe,
        "train": str(job.train_folder),
        "classes": list(classes.names),
        "weights": _remembered(job)["weights"] if job.resumed else _content(job.weights),
        "iterations": job.iterations,
        "seed": job.seed,
        "options": asdict(job.options),
        "precision": job.precision,
        "rates": _rates(recipes.recipe(job.recipe)),
    }


def _rates(recipe: recipes.Recipe) -> dict[str, Any]:
    """The recipe's own numbers, which may change from one version to the next."""
    crf = {"crf_rates": list(recipe.crf_rates), "crf_start": asdict(recipe.crf_start)} if recipe.crf_rates else {}
    return {"base_lr": recipe.base_lr, **crf}


def _remembered(job: Job) -> dict[str, Any]:
    found = remembered(job.output / NOTE)
    if not isinstance(found, dict) or "weights" not in found:
        raise CaffeError(
            f"{job.output / NOTE} is no note of a training: give --weights or --scratch, and another --output"
        )
    return found


def _content(weights: Path | None) -> str | None:
    if weights is None:
        return None
    if not weights.is_file():
        raise CaffeError(f"weights {str(weights)!r} not found")
    return digest(files=[weights])
