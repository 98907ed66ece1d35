"""What is trained, from what, and where it lies."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from caffe.errors import CaffeError
from crfasrnn.classes import Classes, read_classes, unnamed_classes
from crfasrnn.datasets.databases import LABELS, largest_label
from crfasrnn.networks import recipes
from crfasrnn.segmentation.models import DEPLOY, FINAL

NAMES = "classes.txt"


@dataclass(frozen=True)
class Job:
    """What is trained.

    data: folder with train/ and, for mean IU on the way, val/, each with the databases; classes.txt in it, or in both of them.
    output: folder for everything that the training writes.
    weights: to start from: any file of networks.weight_files.read_weights; None for random ones.
    resumed: go on with what is in `output`, whatever weights that began with.
    train_data: folder of the training databases, if it is not data/train.
    classes: of the labels, None to find them in the data.
    from_classes: for every class its number in a `weights` with other classes, None to go by names.
    steps: None for the recipe's, or for as many as the training in `output` has; more than it has lengthen it.
    learning_rate: base_lr, None for the recipe's. snapshot_interval: in steps, None for the recipe's. seed: of dropout and of
        random weights.
    test_interval, test_images: steps between tests on the way, and how many of the val images these take; None for a tenth of
        all steps, and for so many that they cost at most a quarter of what the steps between cost.
    precision: of the wide convolutions in training, "float32" or "bf16" (see caffe.mode.precision).
    score_cache: keep the scores of a network that does not learn (see crfasrnn.training.score_cache).
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
    steps: int | None = None
    learning_rate: float | None = None
    snapshot_interval: int | None = None
    test_interval: int | None = None
    test_images: int | None = None
    seed: int = 1
    options: recipes.RecipeOptions = field(default_factory=recipes.RecipeOptions)
    precision: str = "float32"
    score_cache: bool = True

    @property
    def keeps_scores(self) -> bool:
        """Whether scores are kept. Raises CaffeError if there is no such recipe."""
        return self.score_cache and recipes.recipe(self.recipe).frozen

    @property
    def train_folder(self) -> Path:
        """Where the training databases are."""
        return self.train_data or self.data / "train"

    @property
    def val_folder(self) -> Path:
        """Where the databases of the test net would be."""
        return self.data / "val"

    @property
    def folders(self) -> list[Path]:
        """Those of the two that there are, or must be."""
        return [self.train_folder, *([self.val_folder] if self.val_folder.is_dir() else [])]

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


def find_classes(job: Job) -> Classes:
    """The classes of a job's databases: those that classes.txt names, else as many as the largest label of all lists says.

    The file is beside the databases, or for both lists in the folder above. Raises CaffeError if two of them differ, where nothing
    is to be told apart, and if there is neither such a file nor a database.
    """
    beside = [folder / NAMES if (folder / NAMES).is_file() else job.data / NAMES for folder in job.folders]
    files = [path for path in beside if path.is_file()]
    named = [read_classes(path) for path in files]
    for path, classes in zip(files, named):
        if classes.names != named[0].names:
            raise CaffeError(f"{path} names other classes than {files[0]}: one list of classes for both")
    if named:
        return named[0]
    count = 1 + max(largest_label(folder) for folder in job.folders)
    if count < 2:
        raise CaffeError(
            f"all labels of {str(job.train_folder / LABELS)!r} are 0 or void: there is nothing to tell apart"
        )
    return unnamed_classes(count)
