"""What a data set holds, counted by hand, and every problem of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from support.crfasrnn.datasets import (
    HEIGHT,
    WIDTH,
    labels_of,
    make_folder,
    photograph,
)

from crfasrnn.datasets import folder
from crfasrnn.datasets.check import check, remark
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image


def test_masks_of_0_and_255_are_explained_and_can_be_used(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels_of({0: 255, 1: 255})).save(tmp_path / "masks" / "a.png")
    data = folder(tmp_path / "images", tmp_path / "masks")
    assert "--classes 0,255" in (remark(check(data)[0]) or "")
    chosen = check(data.select([0, 255]))[0]
    assert remark(chosen) is None
    assert chosen.pixels[:2].tolist() == [(HEIGHT - 2) * WIDTH, 2 * WIDTH]
    write_labels(tmp_path / "masks" / "a.png", labels_of({}))
    assert remark(check(data)[0]) is None  # all of it is background, and nothing void


def test_check_counts_by_hand_and_reports_every_problem(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {stem: labels_of({0: 1, 1: 255}) for stem in "abcdefg"})
    write_labels(masks / "b.png", labels_of({0: 2, 1: 2, 2: 255}))
    (masks / "c.png").unlink()
    write_labels(masks / "d.png", np.zeros((5, 6), np.uint8))
    (images / "e.jpg").write_bytes(b"no image")
    write_image(masks / "f.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (masks / "g.png").write_bytes((masks / "a.png").read_bytes()[:60])
    counts, problems = check(folder(images, masks))
    assert counts.total == 2
    assert counts.pixels[[0, 1, 2, 255]].tolist() == [(10 + 9) * WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH]
    assert counts.images[[0, 1, 2, 255]].tolist() == [2, 1, 1, 2]
    assert counts.num_classes() == 3
    for problem, words in zip(
        problems,
        ("c.png' is missing", "d: the photograph has 16 x 12", "e.jpg", "f.png': it has colours", "g.png"),
        strict=True,
    ):
        assert words in problem
    row = next(line for line in counts.table(["ground", "tree"]).splitlines() if line.startswith("1 tree")).split()
    assert row == ["1", "tree", "1", str(WIDTH), f"{100 * WIDTH / (22 * WIDTH):.2f}"]


def test_a_stray_label_is_told(tmp_path: Path) -> None:
    data = folder(*make_folder(tmp_path, {"a": labels_of({0: 1, 1: 2}), "b": labels_of({0: 200})}))
    counts, problems = check(data)
    assert (counts.num_classes(), problems) == (201, [])
    assert "only 4 of the labels 0 to 200 occur, the highest of them after 2" in (remark(counts) or "")
    assert remark(counts, [f"class {index}" for index in range(201)]) is None
