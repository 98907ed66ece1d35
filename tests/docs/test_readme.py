"""What README.md tells users to type runs, in a folder with small files of its names; and it stays one screen and three doors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import Page
from support.reference_data import REPOSITORY
from support.workplace import workplace

README = Page(
    "README.md",
    omitted={
        "make demo": "sets up .venv; README's shortest command is run by hand",
        "S. Zheng": "the paper to cite",
        "Conditional Random Fields as": "the paper to cite",
    },
    shortened={
        ".venv/bin/crfasrnn": "crfasrnn",
        "own/train.txt --size 384": "own/train.txt --size 48",
        "own/val.txt --size 384": "own/val.txt --size 48",
        "--learning-rate 3e-4": "--learning-rate 3e-4 --steps 2 --test-images 1",
        # The authors' network and weights: the small network with the bundled ones.
        "--model voc21/crfrnn": "--model slim/crfrnn",
        "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
        "-solver solver.prototxt -weights start.caffemodel": "-solver own/deeplab-crfrnn/solver.prototxt "
        "-weights own/deeplab-crfrnn/final.caffemodel",
        # Few and small images.
        "--precision bf16 --dry-run": "--precision bf16 --dry-run --held-out 1",
        "120, 160": "30, 40",
    },
)


@pytest.mark.filterwarnings("ignore")
def test_it_runs(tmp_path: Path) -> None:
    assert README.run(workplace(tmp_path)) >= 6


def test_it_stays_short_and_links_to_what_is_there() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / link).exists()] == []
    assert {"docs/start.md", "docs/tutorials/caffe.md", "docs/tutorials/refine.md", "docs/mathematics.md"} <= set(links)
