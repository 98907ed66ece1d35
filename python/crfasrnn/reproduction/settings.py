"""What all experiments of a folder share: the data, and how long is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.logs.progress_bar import progress
from crfasrnn.claims import claim, remembered
from crfasrnn.classes import VOC_ANIMALS, VOID
from crfasrnn.datasets import Dataset, pascal_context, voc
from crfasrnn.datasets.stratified import stratified
from crfasrnn.datasets.voc import MASKS

_SETTINGS = "settings.json"
_REFUSAL = "{where} holds experiments with {fact} {there}, now {now}: leave the option out, or give another --output"


@dataclass(frozen=True)
class Settings:
    """What all experiments of a folder share. They are written there; another call must agree or leave them out.

    voc: folder like VOC2012. weights: what the first training starts from, None for random weights. family: one of FAMILIES.
    classes: VOC's numbers. context: Pascal Context's folder of annotations: its lists below `voc`, and all of its classes, take the
    place of VOC's. mean_over: those of the classes, by their place, whose mean IU the tables give; None for all.
    train_lists, val_list: of ImageSets/Segmentation; test_list: of images without label maps, for VOC's server. held_out: number
    of images of the first train list that are left out of training, every class its share, for all that is chosen and for the
    curves. scales: largest sides in training. size: and in testing. fcn_steps, crf_steps: steps. width: factor of the channels.
    tune_settings: how many settings of the dense CRF are tried, at random and around the best. masks: folder of the label maps in
    `voc`. precision: of the wide convolutions.
    """

    voc: str
    weights: str | None
    _: KW_ONLY
    family: str = "slim"
    classes: tuple[int, ...] = VOC_ANIMALS
    mean_over: tuple[int, ...] | None = None
    train_lists: tuple[str, ...] = ("train", "train_sbd")
    val_list: str = "val"
    held_out: int = 150
    scales: tuple[int, ...] = (256, 384)
    size: int = 384
    fcn_steps: int = 8000
    crf_steps: int = 1000
    width: float = 1
    tune_settings: tuple[int, int] = (12, 12)
    masks: str = MASKS
    context: str | None = None
    test_list: str = "test"
    precision: str = "float32"

    def save(self, folder: Path) -> None:
        """Write them, or raise CaffeError if the folder's are others."""
        before = self.stored(folder)
        # A folder of an earlier version lacks what could not be chosen then.
        facts = {name: value for name, value in asdict(self).items() if not before or name in before}
        claim(folder / _SETTINGS, facts, _REFUSAL)

    @staticmethod
    def stored(folder: Path) -> dict[str, object]:
        """The fields that a folder's experiments have; empty if there are none yet. Raises CaffeError if they are damaged."""
        path = folder / _SETTINGS
        if not path.is_file():
            return {}
        content = remembered(path)
        if not isinstance(content, dict):
            raise FileError(f"{path}: no settings")
        return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}

    def check(self) -> None:
        """Raise CaffeError naming the first file of the data, or the weights, that is missing."""
        if self.weights is not None and not Path(self.weights).is_file():
            raise CaffeError(
                f"no weights {self.weights!r}: VGG-16 is needed (`crfasrnn data sources` says where it is published), or --scratch"
            )
        self.validation().require_files()
        for part in self.training():
            part.require_files()

    # The data. `val` is read for the reported figures alone.

    def _selected(self, lists: Sequence[str]) -> Dataset:
        if self.context is not None:
            return pascal_context(self.context, self.voc, lists)
        return voc(Path(self.voc), lists, self.masks).select(self.classes)

    def test(self) -> Dataset:
        """The images of VOC's evaluation server, without label maps. Raises CaffeError if there is no such list."""
        return self._selected([self.test_list])

    def validation(self) -> Dataset:
        """The images of the reported figures."""
        return self._selected([self.val_list])

    def training(self) -> tuple[Dataset, Dataset]:
        """The images to train on, and those held out of them. Raises CaffeError if one of them is also a validation image."""
        everything = self._selected(self.train_lists)
        first = self._selected(self.train_lists[:1])
        if self.held_out >= len(first):
            raise CaffeError(
                f"{self.train_lists[0]!r} has {len(first)} images, too few to hold {self.held_out} out of training"
            )
        held = stratified(_shown(first.require_files()), self.held_out, seed=1)
        both = {example.name for example in self.validation()} & {example.name for example in everything}
        if both:
            raise CaffeError(f"{sorted(both)[0]!r} is in the training lists and in {self.val_list!r}")
        return _named(everything, held, False), _named(everything, held, True)


@cache
def _shown(dataset: Dataset) -> dict[str, frozenset[int]]:
    """What classes each image shows, void aside."""
    examples = progress(dataset, what="classes shown", unit="image")
    return {example.name: frozenset(np.unique(example.labels()).tolist()) - {VOID} for example in examples}


def _named(dataset: Dataset, names: set[str], wanted: bool) -> Dataset:
    examples = tuple(example for example in dataset if (example.name in names) == wanted)
    return Dataset(dataset.title, examples, dataset.names)
