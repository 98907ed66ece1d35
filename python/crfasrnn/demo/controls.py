"""What the page's sliders say of a CRF, and how far they go."""

from __future__ import annotations

from dataclasses import dataclass, fields

from caffe.errors import CaffeError
from caffe.inputs.arguments import number


@dataclass(frozen=True)
class Range:
    """How far a control goes, in steps, and what the page calls it."""

    least: float
    most: float
    step: float
    label: str


RANGES = {
    "iterations": Range(1, 30, 1, "Iterations"),
    "theta_alpha": Range(1, 200, 1, "θα · reach of colour, pixels"),
    "theta_beta": Range(1, 60, 0.5, "θβ · alike colours, grey levels"),
    "theta_gamma": Range(1, 30, 0.5, "θγ · reach of smoothness, pixels"),
    "bilateral_weight": Range(0, 20, 0.1, "Weight of colour"),
    "spatial_weight": Range(0, 20, 0.1, "Weight of smoothness"),
    "min_probability": Range(0, 0.05, 0.0005, "Pruning · least probability of a class"),
}


@dataclass(frozen=True)
class Controls:
    """Settings of a mean field with the paper's two kernels; the fields are those of RANGES.

    theta_alpha, theta_gamma: standard deviations of the position, in pixels of the image that the CRF sees.
    theta_beta: standard deviation of the colours, 0 to 255.
    bilateral_weight, spatial_weight: what the kernels' weights are multiplied by.
    min_probability: as crfasrnn.crf.mean_field takes it.

    Raises CaffeError for what is no number within the range.
    """

    iterations: int = 10
    theta_alpha: float = 80.0
    theta_beta: float = 13.0
    theta_gamma: float = 3.0
    bilateral_weight: float = 1.0
    spatial_weight: float = 1.0
    min_probability: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            allowed, given = RANGES[field.name], getattr(self, field.name)
            try:
                value = number(field.name, given)
            except (TypeError, ValueError) as problem:
                raise CaffeError(str(problem)) from problem
            if not allowed.least <= value <= allowed.most:
                raise CaffeError(f"{allowed.label} must be {allowed.least:g} to {allowed.most:g}, not {value:g}")
            object.__setattr__(self, field.name, round(value) if field.name == "iterations" else value)
