"""Which rows of a net's maps are copies of others: a wide zero border makes many, and one of each kind is enough to compute.

FCNs pad their first convolution by 100 pixels, so that most of what the first layers compute is alike along the border. Number
the rows of a map so that equal numbers mean equal rows, its kinds. The image's rows are all different, the border's are all
zero, one kind. A layer that slides a window makes an output row from the input rows in its window and from nothing else, so the
tuple of their kinds, with marks for what lies outside the map, is a kind of the output row. Columns go the same way, and a
pixel's value is a function of the kinds of its row and of its column alone.

Hence a shorter input whose output has every kind of the full one holds every value of it, and the full output is a selection
of rows and columns of the short one. `plan_axis` finds such inputs, by trying, for each stage of a chain (the layers up to a
pooling); nothing is assumed of sizes, strides or the place of the image, and an axis without copies is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from caffe.layers.window import Window

# Kinds of what a window sees beyond a map: its layer's padding, and beyond that.
_PADDING, _BEYOND = -1, -2
_ZEROS = -3

RowKinds = Sequence[int]


def seen_by_windows(window: Window, below: RowKinds) -> list[tuple[int, ...]]:
    """The kinds that each window along the axis sees."""
    count = window.output(len(below))
    padding = [_PADDING] * window.pad
    cells = [*padding, *below, *padding]
    cells += [_BEYOND] * ((count - 1) * window.stride + window.extent - len(cells))
    starts = range(0, count * window.stride, window.stride)
    return [tuple(cells[start : start + window.extent : window.dilation]) for start in starts]


@dataclass(frozen=True)
class StagePlan:
    """One axis of one stage.

    take: places in the previous stage's short output (the first stage: in the padded image) that make this stage's input.
    restore: for each of its layers, the places in the short output that make the full one.
    """

    take: list[int]
    restore: list[list[int]]


def plan_axis(stages: Sequence[Sequence[Window]], length: int, pad: int) -> list[StagePlan]:
    """The shortest inputs of the stages for an image of `length` cells between `pad` zeros on either side.

    The layers of all stages follow each other; the first must be given with pad 0, since its padding is in the image.
    """
    full: RowKinds = [_ZEROS] * pad + list(range(length)) + [_ZEROS] * pad
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


def _run(stage: Sequence[Window], below: RowKinds, names: Sequence[dict[tuple[int, ...], int]]) -> list[list[int]]:
    """The kinds behind each layer; `names` numbers what windows see, the same way whenever the stage runs."""
    outputs = []
    for window, numbers in zip(stage, names):
        below = [numbers.setdefault(seen, len(numbers)) for seen in seen_by_windows(window, below)]
        outputs.append(below)
    return outputs


def _shortest(
    stage: Sequence[Window],
    full: RowKinds,
    outputs: Sequence[RowKinds],
    names: Sequence[dict[tuple[int, ...], int]],
) -> RowKinds:
    """`full` with its runs of one kind cut as short as possible, a multiple of the stage's stride at a time."""
    stride = 1
    for window in stage:
        stride *= window.stride
    wanted = [set(kinds) for kinds in outputs]
    runs = [[name, len(list(cells))] for name, cells in groupby(full)]
    for run in runs:
        whole = run[1]
        # The longest cut that keeps all kinds: what holds for a cut holds for every shorter one.
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


def _places(held: RowKinds, wanted: RowKinds) -> list[int]:
    """Where each kind of `wanted` stands in `held`."""
    if list(held) == list(wanted):
        return list(range(len(held)))  # nothing to select, copies or not
    place = {name: at for at, name in enumerate(held)}
    return [place[name] for name in wanted]
