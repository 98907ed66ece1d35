"""Pictures whose best settings a search can find."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.crfasrnn.datasets import discs

from crfasrnn.postprocessing.search import Sample


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Six pictures of a disc, with probabilities that are right where the noise lets them."""
    return discs(tmp_path)
