"""Packages that offer layers to Caffe, installed in a folder for a Python process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.reference_data import REPOSITORY


def install(folder: Path, entry_points: str) -> None:
    """Make `folder` hold an installed distribution with these entry points of the group caffe.layers."""
    info = folder / "boxes-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boxes\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[caffe.layers]\n{entry_points}")


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program that finds what is installed in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PYTHONPATH": f"{folder}:{REPOSITORY / 'python'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
