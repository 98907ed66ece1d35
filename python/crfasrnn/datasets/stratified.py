"""Drawing images so that every class gets its share of them (after Sechidis et al. 2011, iterative stratification)."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from caffe.errors import CaffeError
from caffe.logs.wording import counted


def stratified(shown: Mapping[str, Collection[int]], count: int, seed: int) -> set[str]:
    """So many of the images, drawn by the seed.

    shown: for every image by name the classes that it shows.
    Of the n images of a class about n * count / len(shown) are drawn, the rarest classes first.
    Raises CaffeError unless there are more images than that.

    >>> from crfasrnn.datasets.stratified import stratified
    >>> shown = {f"cat{i}": {0, 8} for i in range(18)} | {"dog1": {0, 12}, "dog2": {0, 12}}
    >>> drawn = stratified(shown, 10, seed=1)
    >>> len(drawn), len(drawn & {"dog1", "dog2"})
    (10, 1)
    """
    if not 0 < count < len(shown):
        raise CaffeError(f"{count} of {counted(len(shown), 'image')} cannot be held out: at least one must be left")
    order = sorted(shown)
    random.Random(seed).shuffle(order)
    members: dict[int, list[str]] = {}
    for name in order:
        for label in shown[name]:
            members.setdefault(label, []).append(name)
    share = count / len(shown)
    wanted = {label: share * len(names) for label, names in members.items()}  # of those that are drawn from now on
    left = {label: len(names) for label, names in members.items()}  # that are neither drawn nor passed over
    drawn: set[str] = set()
    decided: set[str] = set()
    while any(left.values()):
        rarest = min((label for label in left if left[label]), key=lambda label: (left[label], label))
        name = next(name for name in members[rarest] if name not in decided)
        takes = len(drawn) < count and wanted[rarest] >= left[rarest] - wanted[rarest]
        decided.add(name)
        for label in shown[name]:
            left[label] -= 1
            wanted[label] -= takes
        if takes:
            drawn.add(name)
    drawn.update([name for name in order if name not in drawn][: count - len(drawn)])
    return drawn
