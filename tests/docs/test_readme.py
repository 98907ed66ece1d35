"""What README.md tells users to type runs: its Python blocks and shell blocks, in a folder with small files of their names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from support.readme import commands, indented_blocks, install, python_blocks, workplace

# Beginnings of commands that are left out, and why.
OMITTED = {
    "make demo": "sets up .venv; README's shortest command is run by hand",
    "make test": "runs this test",
    "make caffe-plugin": "needs a genuine Caffe: tests/plugin builds and runs it",
    "LD_PRELOAD=": "needs a genuine Caffe: tests/plugin builds and runs it",
    "sha1sum TVG_CRFRNN_COCO_VOC": "a download of 540 MB",
    "S. Zheng": "the paper to cite",
    "Conditional Random Fields as": "the paper to cite",
}

# What takes long or needs a download is said shorter: text, and what stands for it. In README's order.
SHORTENED = {
    # The authors' network and weights: the small network with the bundled ones.
    "prototxt/voc21/crfrnn_deploy.prototxt": "prototxt/slim/crfrnn_deploy.prototxt",
    "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
    # Trainings of two steps (see support.readme).
    "fcn8s_iter_3500": "fcn8s_iter_2",
    "crfrnn_iter_500": "crfrnn_iter_1",
    "crfrnn_iter_1000": "crfrnn_iter_2",
    "-iterations 231": "-iterations 2",
    "-phase TEST -iterations 5": "-phase TEST -iterations 1",
    "crfasrnn train slim-fcn8s --data own --weights vgg16_trunk.npz": "crfasrnn train slim-fcn8s --data own --scratch "
    "--width 0.05 --iterations 3",
    "crfasrnn train slim-crfrnn --data own": "crfasrnn train slim-crfrnn --data own --width 0.05 --iterations 2",
    "--probabilities DIR --output tuned": "--probabilities DIR --output tuned --coarse 2 --fine 1 --folds 2 --processes 1",
    # Few and small images.
    "--precision bf16 --dry-run": "--precision bf16 --dry-run --held-out 1",
    "1, 21, 240, 320": "1, 21, 48, 64",
    "1, 3, 240, 320": "1, 3, 48, 64",
    "120, 160": "30, 40",
    "mask[:, :, 150:]": "mask[:, :, 35:]",
}


def shortened(text: str) -> str:
    for long, short in SHORTENED.items():
        text = text.replace(long, short)
    return text


def is_omitted(command: str) -> bool:
    return command.startswith(tuple(OMITTED))


def title(block: str) -> str:
    return block.strip().splitlines()[0][:50]


SHELL = [block for block in indented_blocks() if not all(map(is_omitted, commands(block)))]


def test_what_is_left_out_or_shortened_is_there() -> None:
    """Each entry of the two tables still means something in the README."""
    lines = [line for block in indented_blocks() for line in commands(block)]
    assert [start for start in OMITTED if not any(line.startswith(start) for line in lines)] == []
    text = "\n".join(lines + python_blocks())
    assert [long for long in SHORTENED if long not in text] == []
    assert len(python_blocks()) >= 4
    assert len(SHELL) >= 8


@pytest.mark.parametrize("block", python_blocks(), ids=title)
def test_python_block(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(shortened(block), "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", SHELL, ids=title)
def test_shell_block(block: str, tmp_path: Path) -> None:
    """By bash, each command to its end without an error."""
    workplace(tmp_path)
    install(tmp_path / "bin")
    script = "\n".join(shortened(line) for line in commands(block) if not is_omitted(line))
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-eux", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr
