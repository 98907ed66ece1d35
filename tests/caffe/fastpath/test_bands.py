"""Bands of rows are rows of the whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffe.fastpath import bands
from caffe.layers.window import Window


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*(st.integers(1, 3),) * 2, st.integers(0, 2), st.integers(1, 2)), min_size=1, max_size=4),
    st.integers(20, 40),
    st.integers(1, 9),
)
def test_bands_are_rows_of_the_whole(windows: list[tuple[int, int, int, int]], height: int, rows: int) -> None:
    """Chains of convolutions with any windows; the sums of small integers are exact in any order."""
    generator = torch.Generator().manual_seed(height)
    x = torch.randint(-2, 3, (2, 2, height, 5), generator=generator).double()
    weights = [torch.randint(-1, 2, (2, 2, kernel, 1), generator=generator).double() for kernel, *_ in windows]
    slides = []
    for kernel, stride, pad, dilation in windows:
        extent = dilation * (kernel - 1) + 1
        pad = min(pad, extent - 1)  # no window sees padding alone
        slides.append(Window(kernel, stride, pad, dilation))
    whole, length = x, height
    for weight, slide in zip(weights, slides):
        length = slide.output(length)
        assume(length > 0)
        whole = F.conv2d(whole, weight, None, (slide.stride, 1), (slide.pad, 0), (slide.dilation, 1))

    def part(k: int, y: torch.Tensor, outside: tuple[int, int]) -> torch.Tensor:
        return F.conv2d(F.pad(y, (0, 0, *outside)), weights[k], None, (slides[k].stride, 1), 0, (slides[k].dilation, 1))

    assert torch.equal(bands.run(x, slides, part, rows), whole)
