"""The pictures and figures that docs/howto shows are made by programs in the repository; here they run in small."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from support.reference_data import REPOSITORY

from crfasrnn.pictures.photographs import read_image
from crfasrnn.postprocessing.settings import CrfSettings

PARAMETERS = REPOSITORY / "docs" / "pictures" / "parameters"
PAGE = (REPOSITORY / "docs" / "howto" / "parameters.md").read_text(encoding="utf-8")


def program(path: str) -> ModuleType:
    """A program of the repository, imported by its file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def halves() -> tuple[np.ndarray, np.ndarray]:
    """A photograph of 24 x 32, blue and red, and probabilities that doubt near the border between: background and 15."""
    photograph = np.zeros((24, 32, 3), np.uint8)
    photograph[:, :16, 0] = photograph[:, 16:, 2] = 200
    likely = np.tile(np.clip((np.arange(32) - 10) / 8, 0.05, 0.95), (24, 1)).astype(np.float32)  # 4 pixels too early
    probabilities = np.full((16, 24, 32), 1e-6, np.float32)
    probabilities[0], probabilities[15] = 1 - likely, likely
    return photograph, probabilities / probabilities.sum(axis=0)


def test_a_panel_shows_the_labels() -> None:
    drawing = program("docs/pictures/parameters.py")
    photograph, _ = halves()
    labels = np.zeros((24, 32), int)
    labels[:, 20:], labels[:4] = drawing.PERSON, 5
    picture = drawing.cut_out(photograph, labels)
    assert (picture[10, 25] == photograph[10, 25]).all()  # the person, as it is
    assert len(set(picture[10, 5].tolist())) == 1  # the background, grey
    assert picture[10, 5, 0] > 170  # and pale
    assert picture[0, 0, 1] + 60 < min(picture[0, 0, 0], picture[0, 0, 2])  # magenta


def test_each_number_is_drawn_beside_the_default(tmp_path: Path) -> None:
    """Every row has the defaults among its panels (but θγ's, where the other kernel is off), and stands in the page."""
    drawing = program("docs/pictures/parameters.py")
    drawing.SHOWN = (slice(None), slice(None))
    paths = drawing.draw(drawing.Start(*halves()), tmp_path)
    assert sorted(path.stem for path in paths) == sorted(path.stem for path in PARAMETERS.iterdir())
    for name, panels in drawing.ROWS.items():
        assert (CrfSettings() in [settings for _, settings in panels]) == (name != "theta-gamma")
        assert f"(../pictures/parameters/{name}.jpg)" in PAGE
        shown, committed = (cv2.imread(str(folder / f"{name}.jpg")) for folder in (tmp_path, PARAMETERS))
        assert shown.shape[1] == committed.shape[1] == len(panels) * (drawing.PANEL_WIDTH + drawing.GAP)
    network, defaults = np.split(read_image(tmp_path / "network.jpg")[drawing.TITLE_HEIGHT :], 2, axis=1)
    # Red is shown where it is the person: the network begins too early, the defaults at the edge.
    red = [(part[..., 2].astype(int) - part[..., 1] > 100).mean() for part in (network, defaults)]
    assert red[0] == pytest.approx(red[1], abs=0.05)
    early = [(part[..., 0].astype(int) - part[..., 1] > 100).mean() for part in (network, defaults)]
    assert early[0] > 0.02 > early[1]


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in PARAMETERS.iterdir()) < 600_000


def test_mistakes_are_those_that_they_are_called() -> None:
    """On a picture of which the truth is known: what is harmless is, what is not costs."""
    mistakes = program("benchmarks/bench_mistakes.py")
    photograph, probabilities = halves()
    truth = np.zeros((24, 32), np.uint8)
    truth[:, 16:] = 15
    case = mistakes.Case(np.ascontiguousarray(photograph[..., ::-1]), probabilities)
    score = {title: mistakes.mean_iu([(case, truth)], way, [0, 15]) for title, way in mistakes.WAYS.items()}
    assert score["the classifier alone"] < 95
    for harmless in ("with the dense CRF", "channels of the photograph in the other order"):
        assert score[harmless] == 100
    for harmful in ("photograph of 0 to 1", "labels with certainty 0.99"):
        assert score[harmful] < 100
    for fatal in ("log p as energies: the sign is missing", "p as energies", "H x W x C reshaped, not transposed"):
        assert score[fatal] < 50


def test_every_row_of_the_table_of_mistakes_is_measured() -> None:
    mistakes = program("benchmarks/bench_mistakes.py")
    page = (REPOSITORY / "docs" / "howto" / "worse.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (.+) \| \d+\.\d \|$", page, re.MULTILINE)
    assert table == list(mistakes.WAYS)


def test_sizes_are_measured(tmp_path: Path) -> None:
    sizes = program("benchmarks/bench_sizes.py")
    photo, labels = sizes.make(tmp_path, 64)
    found = sizes.commands(photo, labels, 64, native=0, many=0)
    assert [*found] == ["segment", "densecrf, 2 classes", "densecrf, 2 classes, widths times side / 512"]
    clock, processors, memory = sizes.measured(found["densecrf, 2 classes"], threads=1)
    assert 0 < processors < 1.1 * clock
    assert 20 < memory < 1000
    assert (tmp_path / "refined.png").exists()
    with pytest.raises(RuntimeError, match="ended with 1"):
        sizes.measured(["densecrf", "none.png", "none.png", "-o", "none.png"], threads=1)


def test_memory_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")  # it has its peaks from another one
    memory = program("benchmarks/bench_memory.py")
    memory.SIDE = 200
    assert memory.extra("no graph", 1, 2, 2) < memory.extra("backward", 1, 21, 5)
