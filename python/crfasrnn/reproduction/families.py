"""The networks that the tables are made on, and the data that suit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crfasrnn.classes import VOC_ANIMALS, VOC_CLASSES
from crfasrnn.reproduction.experiments import BASE, CRF_ONLY, CRFRNN, LONGER_RECIPE, PLAIN, PUBLISHED_RATES, Experiment


@dataclass(frozen=True)
class Family:
    """One kind of network.

    title: of the network without a CRF. origin: what the given weights are of. chain: experiments that lead from these to the
    network that all others start from; each once for every seed of a network. recipes: by part.
    defaults: settings (see settings.Settings) that suit it. speed: steps per second where none was measured.
    """

    title: str
    origin: str
    chain: tuple[Experiment, ...]
    recipes: Mapping[str, str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    speed: float = 2.0

    @property
    def base(self) -> Experiment:
        """The last of the chain."""
        return self.chain[-1]

    def recipe(self, part: str) -> str:
        """The name of the recipe of a part; of a recipe by its own name that."""
        return self.recipes.get(part, part)

    def start(self, experiment: Experiment) -> str | None:
        """The name of the experiment from whose result one starts."""
        return self.base.name if experiment.start == BASE else experiment.start


def _first(name: str, title: str, recipe: str, start: str | None = None, trained: bool = True) -> Experiment:
    return Experiment(name, title, recipe, start, trained=trained, seeded=False)


_21 = tuple(range(len(VOC_CLASSES)))
FAMILIES = {
    "slim": Family(
        "FCN-8s",
        "VGG-16's trunk",
        (_first("fcn8s", "FCN-8s", "slim-fcn8s"),),
        {
            LONGER_RECIPE: "slim-fcn8s-longer", CRFRNN: "slim-crfrnn", CRF_ONLY: "slim-crf-only",
            PUBLISHED_RATES: "slim-crfrnn-published",
        },
    ),
    "deeplab": Family(
        "DeepLab",
        "the published DeepLab",
        (_first("deeplab", "DeepLab as published", PLAIN, trained=False),),
        {
            PLAIN: "deeplab", LONGER_RECIPE: "deeplab", CRFRNN: "deeplab-crfrnn", CRF_ONLY: "deeplab-crf-only",
            PUBLISHED_RATES: "deeplab-crfrnn-published",
        },
        {"classes": _21, "mean_over": VOC_ANIMALS, "scales": (384, 500), "size": 500},
    ),
    "voc21": Family(
        "FCN-8s",
        "VGG-16",
        (
            _first("fcn32s", "FCN-32s", "fcn32s"),
            _first("fcn16s", "FCN-16s", "fcn16s", "fcn32s"),
            _first("fcn8s", "FCN-8s", "fcn8s", "fcn16s"),
        ),
        {LONGER_RECIPE: "fcn8s-longer", PUBLISHED_RATES: CRFRNN},
        speed=0.1,
    ),
}  # fmt: skip
