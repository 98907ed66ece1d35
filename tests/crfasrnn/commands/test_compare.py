"""`crfasrnn compare` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import refusal, run

from crfasrnn.evaluation.bootstrap import ImageConfusions


def test_the_interval_is_printed_and_what_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two images of ten pixels; the second model is right everywhere, the first in half of each."""
    half, whole = np.array([[3, 2], [3, 2]]), np.array([[5, 0], [0, 5]])
    for name, matrix in (("first", half), ("second", whole)):
        ImageConfusions(("a", "b"), ("x", "y"), np.stack([matrix, matrix])).save(tmp_path / f"{name}.npz")
    files = (tmp_path / "first.npz", tmp_path / "second.npz")
    out = run(capsys, "compare", *files, "--resamples", 50, "--level", 0.9, "--seed", 3)
    mean = 100 * (3 / 8 + 2 / 7) / 2
    assert out.splitlines() == [
        f"mean IU      {mean:.2f} -> 100.00",
        f"difference   +{100 - mean:.2f}  (90 % interval +{100 - mean:.2f} to +{100 - mean:.2f})",
        "not better   in 0.00 % of 50 resamples of 2 images",
    ]
    out = run(capsys, "compare", *files, "--resamples", 50, "--mean-over", 1)
    assert out.startswith(f"mean IU      {100 * 2 / 7:.2f} -> 100.00\n")
    assert "--mean-over 2: the last of the 2 classes is 1, y" in refusal(
        capsys, "compare", *files, "--mean-over", "0-2"
    )
    rare = np.array([[[5, 0], [0, 0]], [[5, 0], [1, 4]]])
    ImageConfusions(("a", "b"), ("x", "y"), rare).save(tmp_path / "rare.npz")
    out = run(capsys, "compare", tmp_path / "rare.npz", tmp_path / "rare.npz", "--mean-over", 1)
    assert "not better   in 100.00 % of" in out  # those without the class tell nothing
    ImageConfusions(("a", "b"), ("x", "y"), rare[[0, 0]]).save(tmp_path / "none.npz")
    same = (tmp_path / "none.npz", tmp_path / "none.npz")
    assert "none of the classes that are to be compared occurs" in refusal(capsys, "compare", *same, "--mean-over", 1)
    assert "'0' is not a number of resamples, 1 to" in refusal(capsys, "compare", *files, "--resamples", 0)
    assert "is not a number between 0 and 1" in refusal(capsys, "compare", *files, "--level", 2)
    assert "cannot read 'none.npz'" in refusal(capsys, "compare", "none.npz", files[1])
