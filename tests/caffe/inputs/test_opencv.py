"""Without OpenCV, or with one that does not load, a command says in one sentence what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            "raise ModuleNotFoundError('no module cv2')",
            "OpenCV is missing: pip install opencv-python, or opencv-python-headless",
        ),
        (
            "raise ImportError('libGL.so.1: cannot open')",
            r"cannot be loaded (libGL.so.1: cannot open): on a machine without a",
        ),
        ("__version__ = '4.6.0'", "OpenCV is of version 4.6.0; 4.7 or newer is needed"),
    ],
)
def test_a_command_says_what_to_install(tmp_path: Path, module: str, words: str) -> None:
    (tmp_path / "cv2.py").write_text(module)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", "crfasrnn", "segment", "photo.png"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_layer_and_the_dense_crf_need_no_opencv(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError")
    program = "import caffe; from crfasrnn import CrfRnn; import crfasrnn.densecrf"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
