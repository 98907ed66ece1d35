"""What the tests of trainings share: databases, a trained network, and the warnings of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crfasrnn.training import databases, quiet, slim

from caffe.logs.glog import logger
from crfasrnn.training.train import train


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases of small pieces of photographs, of three classes."""
    return databases(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def fcn(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny FCN-8s slim; beside them lies everything that its training wrote."""
    job = slim(data, tmp_path_factory.mktemp("fcn") / "fcn", steps=30, test_interval=30)
    train(job, show=quiet)
    return job.final


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The warnings that the log gets."""

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                found.append(record.getMessage())

    found: list[str] = []
    handler = Collect()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
