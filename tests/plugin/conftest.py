"""The genuine Caffe that all tests of the plugin share."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest
from support.genuine_caffe import BUILD, Genuine, build
from support.reference_data import REPOSITORY


@pytest.fixture(scope="session")
def genuine() -> Genuine:
    if not shutil.which("cmake"):
        pytest.skip("the Caffe plugin is not tested: no cmake")
    script = REPOSITORY / "scripts" / "build_test_caffe.sh"
    found = subprocess.run([str(script), "--find"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"the Caffe plugin is not tested: {found.stderr.strip()}")
    root = Path(found.stdout.strip())
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:  # of several processes of pytest one builds, while the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Genuine(root, build(root, BUILD, "-DCRFRNN_BUILD_CAFFE_TESTS=ON"))
