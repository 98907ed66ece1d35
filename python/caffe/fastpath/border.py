"""Which rows of a net's maps are copies of others: a wide zero border makes many, and one of each kind is enough to compute.

FCNs pad their first convolution by 100 pixels, so that most of what the first layers compute is alike along the border. Number
the rows of a map so that equal numbers mean equal rows, its classes. The image's rows are all different, the border's are all
zero, one class. A layer that slides a window makes an output row from the input rows in its window and from nothing else, so the
tuple of their classes, with marks for what lies outside the map, is a class of the output row. Columns go the same way, and a
pixel's value is a function of the classes of its row and of its column alone.

Hence a shorter input whose output has every class of the full one holds every value of it, and the full output is a selection
of rows and columns of the short one. `plan_axis` finds such inputs, by trying, for each stage of a trunk (the layers up to a
pooling); nothing is assumed of sizes, strides or the place of the image, and an axis without copies is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

# Classes of what a window sees beyond a map: its layer's padding, and beyond that.
_PADDING, _BEYOND = -1, -2
_ZEROS = -3

Classes = Sequence[int]


@dataclass(frozen=True)
class Slide:
    """What a layer does along one axis: window j covers kernel cells, dilation apart, from stride j - pad on.

    output: number of windows for an input length, as the layer counts them.
    """

    kernel: int
    stride: int
    pad: int
    dilation: int
    output: Callable[[int], int]

    def windows(self, below: Classes) -> list[tuple[int, ...]]:
        """The classes that each window sees."""
        extent = self.dilation * (self.kernel - 1) + 1
        count = self.output(len(below))
        padding = [_PADDING] * self.pad
        cells = [*padding, *below, *padding]
        cells += [_BEYOND] * ((count - 1) * self.stride + extent - len(cells))
        starts = range(0, count * self.stride, self.stride)
        return [tuple(cells[start : start + extent : self.dilation]) for start in starts]


@dataclass(frozen=True)
class StagePlan:
    """One axis of one stage.

    take: places in the previous stage's short output (the first stage: in the padded image) that make this stage's input.
    restore: for each of its layers, the places in the short output that make the full one.
    """

    take: list[int]
    restore: list[list[int]]


def plan_axis(stages: Sequence[Sequence[Slide]], length: int, pad: int) -> list[StagePlan]:
    """The shortest inputs of the stages for an image of `length` cells between `pad` zeros on either side.

    The layers of all stages follow each other; the first must be given with pad 0, since its padding is in the image.
    """
    full: Classes = [_ZEROS] * pad + list(range(length)) + [_ZEROS] * pad
    held = full
    plans = []
    for stage in stages:
        names: list[dict[tuple[int, ...], int]] = [{} for _ in stage]
        outputs = _run(stage, full, names)
        short = _shortest(stage, full, outputs, names)
        results = _run(stage, short, names)
        plans.append(StagePlan(_places(held, short), [_places(r, o) for r, o in zip(results, outputs)]))
        if stage:
            full, held = outputs[-1], results[-1]
    return plans


def _run(stage: Sequence[Slide], below: Classes, names: Sequence[dict[tuple[int, ...], int]]) -> list[list[int]]:
    """The classes behind each layer; `names` numbers what windows see, the same way whenever the stage runs."""
    outputs = []
    for slide, numbers in zip(stage, names):
        below = [numbers.setdefault(seen, len(numbers)) for seen in slide.windows(below)]
        outputs.append(below)
    return outputs


def _shortest(
    stage: Sequence[Slide],
    full: Classes,
    outputs: Sequence[Classes],
    names: Sequence[dict[tuple[int, ...], int]],
) -> Classes:
    """`full` with its runs of one class cut as short as possible, a multiple of the stage's stride at a time."""
    stride = 1
    for slide in stage:
        stride *= slide.stride
    wanted = [set(classes) for classes in outputs]
    runs = [[name, len(list(cells))] for name, cells in groupby(full)]
    for run in runs:
        whole = run[1]
        # The longest cut that keeps all classes: what holds for a cut holds for every shorter one.
        low, high = 0, (whole - 1) // stride
        while low < high:
            middle = (low + high + 1) // 2
            run[1] = whole - middle * stride
            kept = _run(stage, _spread(runs), names)
            if all(w <= set(k) for w, k in zip(wanted, kept)):
                low = middle
            else:
                high = middle - 1
        run[1] = whole - low * stride
    return _spread(runs)


def _spread(runs: Sequence[Sequence[int]]) -> list[int]:
    return [name for name, count in runs for _ in range(count)]


def _places(held: Classes, wanted: Classes) -> list[int]:
    """Where each class of `wanted` stands in `held`."""
    if list(held) == list(wanted):
        return list(range(len(held)))  # nothing to select, copies or not
    place = {name: at for at, name in enumerate(held)}
    return [place[name] for name in wanted]
