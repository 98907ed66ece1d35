"""Rows and claims of the tables."""

from __future__ import annotations

import pytest

from crfasrnn.reproduction.experiments import TABLES
from crfasrnn.reproduction.families import FAMILIES
from crfasrnn.reproduction.methods import claims, methods


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_claim_is_about_rows_that_there_are(table: str, family: str) -> None:
    rows = [method.name for method in methods(table, family)]
    assert len(set(rows)) == len(rows)
    told = claims(table, rows)
    assert told or table == "table2"  # which the server answers
    assert {name for claim in told for name in (claim.first, claim.second)} <= set(rows)


def test_rows_that_are_not_there_take_their_claims_along() -> None:
    rows = [method.name for method in methods("ablations", "slim", ["per-class", "untied"])]
    pairs = [(claim.first, claim.second) for claim in claims("ablations", rows)]
    assert ("shared", "per-class") not in pairs
    assert ("crfrnn", "per-class") in pairs
    assert ("test-t5", "untied") in pairs


def test_the_paper_stands_beside_its_rows() -> None:
    papers = {method.name: method.paper for method in methods("table1", "slim")}
    assert papers["plain"] == (61.3, 68.3)
    assert papers["plain-published"] == (63.7, 69.5)
    assert papers["crfrnn"] == (69.6, 72.9)
    assert papers["longer"] == ()
