"""Genuine Caffe with the plugin compiled for it, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from support.reference_data import REPOSITORY

BUILD = REPOSITORY / "build" / "caffe-plugin-test"

# The command that rewrites a prototxt for unpatched Caffe.
STOCK = (sys.executable, "-m", "crfasrnn.commands.main", "model", "stock")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None, status: int = 0) -> str:
    """Run a command in few threads; returns what it printed. A negative status means any failure."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0 if status < 0 else done.returncode == status, output
    return output


def build(caffe_root: Path, folder: Path, *options: str, targets: Sequence[str] = ("all",)) -> Path:
    """Compile the plugin for a Caffe; returns the library to preload."""
    run(
        "cmake",
        "-S",
        REPOSITORY / "caffe_layers" / "bvlc",
        "-B",
        folder,
        f"-DCAFFE_ROOT={caffe_root}",
        *options,
        cwd=REPOSITORY,
    )
    log = run("cmake", "--build", folder, "--parallel", "2", "--target", *targets, cwd=REPOSITORY)
    assert "warning:" not in log
    return folder / "libcrfrnn_caffe.so"


@dataclass(frozen=True)
class Genuine:
    """Genuine Caffe and the plugin compiled for it."""

    root: Path
    plugin: Path

    def run(self, *arguments: str | Path, cwd: Path, status: int = 0, preload: str | Path | None = None) -> str:
        """Run the caffe command with the plugin (or another one, or none: "") preloaded."""
        command = self.root / ".temp_release" / "tools" / "caffe"
        preloaded = self.plugin if preload is None else preload
        return run(command, *arguments, cwd=cwd, status=status, env={"LD_PRELOAD": str(preloaded)})

    def program(self, name: str, *arguments: str | Path, cwd: Path) -> str:
        """Run one of the plugin's test programs."""
        return run(BUILD / name, *arguments, cwd=cwd, env={"LD_PRELOAD": str(self.plugin)})


def error(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    return float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-30))
