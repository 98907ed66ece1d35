"""The pages of docs/howto run, and what they say of other programs' layers agrees with those layers' formulas."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.pages import Page
from support.reference_data import REPOSITORY
from support.workplace import workplace
from torch import Tensor
from torch.nn import functional as F

import caffe
from crfasrnn.crf import permutohedral_filter
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.segmentation.models import resource_folder

HOWTO = "docs/howto/{}.md"
NARROW = 4  # channels of the published network, in place of 64 to 4096
SHORT_SEARCH = {"--output tuned": "--output tuned --coarse 2 --fine 1 --folds 2 --processes 1"}
CLUSTER = {"sbatch": "needs a cluster", "torchrun": "needs GPUs"}
BENCHMARK = {"python benchmarks/": "takes minutes: tests/docs/test_figures.py runs it in small"}
NO_GPU = "needs a GPU"


def _lists(folder: Path) -> None:
    (folder / "names.txt").write_text("p0\np1\n")
    (folder / "colours.txt").write_text("cat 70 130 180\nbackground #101010\n")


def _narrow_published(folder: Path) -> None:
    """The published network with few channels, and a state dict of crfasrnn_pytorch's names for it."""
    text = (resource_folder("prototxt") / "voc21" / "crfrnn_deploy.prototxt").read_text()
    text = re.sub(r"num_output: (64|128|256|512|4096)$", f"num_output: {NARROW}", text, flags=re.MULTILINE)
    (folder / "prototxt" / "voc21" / "crfrnn_deploy.prototxt").write_text(text)
    torch.save(pytorch_state(), folder / "crfasrnn_weights.pth")


def _page(name: str, omitted: dict[str, str] | None = None, shortened: dict[str, str] | None = None) -> Page:
    return Page(f"docs/howto/{name}.md", omitted or {}, shortened or {})


PUBLISHED = {
    "--model voc21/crfrnn": "--model slim/crfrnn",
    "TVG_CRFRNN_COCO_VOC.caffemodel": "models/voc-animals-slim/crfrnn.caffemodel.h5",
}
# Each page, and how many of its blocks run at least.
PAGES = [
    (_page("data_sets", CLUSTER), 6),
    (_page("from_caffe", None, {"voc21/crfrnn_deploy": "slim/crfrnn_deploy", **dict([PUBLISHED_WEIGHTS])}), 2),
    (_page("from_crfasrnn_pytorch", None, {"voc21/crfrnn --weights TVG": "slim"}), 6),
    (_page("from_monai"), 2),
    (_page("from_pydensecrf"), 3),
    (_page("gpu"), 1),
    (_page("large_images", BENCHMARK), 2),
    (_page("masks"), 4),
    (_page("memory", BENCHMARK), 1),
    (_page("one_class"), 4),
    (_page("parameters", None, SHORT_SEARCH), 4),
    (_page("worse", BENCHMARK), 5),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAGES)
def test_it_runs(name: str, tmp_path: Path) -> None:
    page, prepare, least = PAGES[name]
    folder = workplace(tmp_path)
    prepare(folder)
    assert page.run(folder) >= least
