"""What every test runs under: threads, and the devices of the fixture `compute`."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.simulated_device import simulated_device

import caffe
from caffe.logs.glog import init_log, logger

# pytest's word on what is running, and what torch's compiler leaves behind.
_SET_BY_OTHERS = ("PYTEST_", "TORCHINDUCTOR_", "_TORCHINDUCTOR_")

logger.propagate = True  # caplog listens at the root

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes that share the cores; theirs inherit it
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _spawned_by_warm_python() -> None:
    """Processes of multiprocessing, too, are spared the seconds in which they would load torch."""
    from support.warm import python  # after the environment is what it is to be

    multiprocessing.set_executable(python())


@pytest.fixture(autouse=True)
def _warnings_alone() -> None:
    """Whatever level an earlier test has chosen for the log."""
    init_log(1)


@pytest.fixture(autouse=True)
def _environment_kept() -> Iterator[None]:
    """Fails a test that leaves another environment: whatever runs after it in this process would not mean what it says."""

    def environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(_SET_BY_OTHERS)}

    before = environment()
    yield
    after = environment()
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    changed = sorted({name for name, _ in after.items() ^ before.items()})
    assert not changed, f"the environment is left changed: {', '.join(changed)}"


@pytest.fixture(params=["cpu", "simulated", "cuda"])
def compute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs the test on the CPU, on a simulated device, and in GPU mode; where there is no GPU the last is skipped.

    A module whose every test is to run so says `pytestmark = pytest.mark.usefixtures("compute")`.
    """
    if request.param == "simulated":
        with simulated_device():
            yield request.param
        return
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("PyTorch finds no CUDA device")
        # Tests compare two runs bit for bit.
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        caffe.set_mode_gpu()
    yield request.param
    caffe.set_mode_cpu()


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """Fails a test that takes more than a gigabyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    # In kilobytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for the inputs of tests of readers."""
    return tmp_path_factory.mktemp("fuzz") / "input"
