"""The families: their recipes exist, and what is compared has the same rates but for the CRF's."""

from __future__ import annotations

import pytest

from crfasrnn.networks.recipes import recipe
from crfasrnn.reproduction.experiments import CRF_ONLY, CRFRNN, LONGER_RECIPE, PUBLISHED_RATES
from crfasrnn.reproduction.families import FAMILIES


@pytest.mark.parametrize("name", list(FAMILIES))
def test_recipes(name: str) -> None:
    family = FAMILIES[name]
    longer, crfrnn, alone, published = (
        recipe(family.recipe(part)) for part in (LONGER_RECIPE, CRFRNN, CRF_ONLY, PUBLISHED_RATES)
    )
    assert (longer.crf_rates, longer.frozen) == (None, False)
    assert crfrnn.crf_rates
    assert not crfrnn.frozen
    assert alone.frozen
    assert published.crf_rates
    assert family.base.name not in {item.start for item in family.chain}


def test_only_the_papers_network_keeps_its_own_rates() -> None:
    """The others' plain network learns as the one with the CRF does."""
    for name in ("slim", "deeplab"):
        family = FAMILIES[name]
        longer, crfrnn = recipe(family.recipe(LONGER_RECIPE)), recipe(family.recipe(CRFRNN))
        assert longer.solver("", "", longer.base_lr) == crfrnn.solver("", "", crfrnn.base_lr)
