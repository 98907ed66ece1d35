"""What logs of the `caffe` command say, beside those that genuine Caffe wrote (tests/golden/logs)."""

from __future__ import annotations

import re

import pytest

from support.reference_data import shared_path

PREFIX = re.compile(r"[IWEF]\d{4,8} \d\d:\d\d:\d\d\.\d{6} +\d+ \S+:\d+\] ")
# Lines about Caffe's own insides: its layer factory (again for layers inside layers) and its HDF5 reader.
INSIDES = (
    "Creating layer ",
    "Loading list of HDF5",
    "Number of HDF5",
    "Datatype class",
    "Initializing ",
    "Ignoring source layer",
)


def messages(log: str) -> list[str]:
    """What a log says, without prefixes, printed definitions, Caffe's insides and lines whose numbers are times."""
    lines = [PREFIX.sub("", line) for line in log.splitlines() if PREFIX.match(line)]
    lines = [re.sub(r" \(\S+ iter/s, \S+s/(\d+) iters\)", r" (\1 iters)", line) for line in lines]
    lines = [re.sub(r"(forward|backward): \S+ ms", r"\1", line) for line in lines]
    lines = [re.sub(r"(time|pass|Backward|Time): \S+ ms", r"\1", line) for line in lines]
    return [line for line in lines if not line.startswith(INSIDES)]


def assert_same(ours: list[str], theirs: list[str]) -> None:
    """Equal word by word, numbers to float accuracy."""
    for mine, other in zip(ours, theirs):
        for a, b in zip(mine.split(), other.split(), strict=True):
            try:
                assert float(a.rstrip(",")) == pytest.approx(float(b.rstrip(",")), rel=2e-4), (mine, other)
            except ValueError:
                assert a == b, (mine, other)
    assert len(ours) == len(theirs)


def golden_log(name: str) -> str:
    return shared_path("golden", "logs", name).read_text()
