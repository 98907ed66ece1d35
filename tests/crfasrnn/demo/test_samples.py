"""The photographs to choose from."""

from __future__ import annotations

import numpy as np

from crfasrnn.demo.samples import sample_photographs
from crfasrnn.pictures.photographs import check_image


def test_they_are_photographs_as_everything_here_takes_them() -> None:
    found = sample_photographs()
    assert len(found) == 5
    for image in found.values():
        check_image(image)
    grey = found["camera"]
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    red = found["motorcycle"][150:300, 200:500].reshape(-1, 3).mean(0)  # BGR
    assert red[2] > red[0]
