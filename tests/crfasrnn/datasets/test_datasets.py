"""Every reader against label maps and counts made by hand, in the formats of the real data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as peer
from support.datasets import (
    HEIGHT,
    WIDTH,
    instances,
    labels_of,
    make_coco,
    make_context,
    make_sbd,
    make_voc,
    photograph,
    rectangle,
    write_sbd_mat,
)

from caffe.errors import CaffeError
from crfasrnn.classes import VOC_CLASSES
from crfasrnn.datasets import Dataset, folder, pascal_context, sbd, voc, voc_and_sbd
from crfasrnn.datasets.check import check, remark
from crfasrnn.datasets.coco import coco
from crfasrnn.datasets.rle import decode_polygons, decode_rle
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image


def only_labels(dataset: Dataset) -> np.ndarray:
    assert len(dataset) == 1
    return next(iter(dataset)).labels()


# PASCAL VOC


def test_voc_keeps_its_numbers_and_joins_lists(tmp_path: Path) -> None:
    first, second = labels_of({0: 8, 1: 255}), labels_of({0: 20})
    root = make_voc(
        tmp_path / "VOC2007", {"train": {"a": first}, "val": {"b": second}, "trainval": {"b": second, "a": first}}
    )
    joined = voc(root, ["train", "trainval"])
    assert [example.name for example in joined] == ["a", "b"]
    assert joined.names == VOC_CLASSES
    np.testing.assert_array_equal([example.labels() for example in joined], [first, second])
    assert next(iter(joined)).image().shape == (HEIGHT, WIDTH, 3)


def test_merged_masks_by_folder_and_by_pairs_of_paths(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"train_aug": {"a": labels_of({0: 8})}})
    (root / "SegmentationClassAug").mkdir()
    merged = labels_of({0: 9})
    write_labels(root / "SegmentationClassAug" / "a.png", merged)
    np.testing.assert_array_equal(only_labels(voc(root, ["train_aug"], "SegmentationClassAug")), merged)
    pairs = root / "ImageSets" / "Segmentation" / "pairs.txt"
    pairs.write_text("/JPEGImages/a.jpg /SegmentationClassAug/a.png\n")
    np.testing.assert_array_equal(only_labels(voc(root, ["pairs"])), merged)


def test_a_label_out_of_range_is_named_with_file_and_place(tmp_path: Path) -> None:
    labels = labels_of({})
    labels[3, 5] = 77
    root = make_voc(tmp_path, {"train": {"a": labels}})
    with pytest.raises(CaffeError, match=r"a\.png' of 'a' holds 77 at row 3, column 5.*0 to 20"):
        only_labels(voc(root, ["train"]))


@pytest.mark.parametrize("name", ["../secret", "/etc/x", "a/../../b"])
def test_lists_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    root = make_voc(tmp_path, {"train": {"a": labels_of({})}})
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text(name)
    with pytest.raises(CaffeError, match="outside the data set's folder"):
        voc(root, ["train"])


# Choosing and renumbering classes


def test_select_renumbers_and_sends_the_rest_to_void_or_background(tmp_path: Path) -> None:
    root = make_voc(tmp_path, {"train": {"a": labels_of({0: 8, 1: 15, 2: 3, 3: 255})}})
    data = voc(root, ["train"])
    ignored, background = data.select([0, 15, 8]), data.select([0, 15, 8], "background")
    assert ignored.names == ("background", "person", "cat")
    assert only_labels(ignored)[:5, 0].tolist() == [2, 1, 255, 255, 0]
    assert only_labels(background)[:5, 0].tolist() == [2, 1, 0, 255, 0]
    again = ignored.select([0, 2])
    assert again.names == ("background", "cat")
    assert only_labels(again)[:5, 0].tolist() == [1, 255, 255, 255, 0]
    with pytest.raises(CaffeError, match=r"classes 0 to 20, but class 21"):
        data.select([0, 21])


def test_zero_becomes_void_as_for_ade(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "a.png", labels_of({0: 1, 1: 150, 2: 255}))
    assert only_labels(folder(tmp_path / "images", tmp_path / "masks").without_zero())[:4, 0].tolist() == [
        0,
        149,
        255,
        255,
    ]


def test_masks_of_0_and_255_are_explained_and_can_be_used(tmp_path: Path) -> None:
    photograph(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels_of({0: 255, 1: 255})).save(tmp_path / "masks" / "a.png")
    data = folder(tmp_path / "images", tmp_path / "masks")
    assert "--classes 0,255" in (remark(check(data)[0]) or "")
    chosen = check(data.select([0, 255]))[0]
    assert remark(chosen) is None
    assert chosen.pixels[:2].tolist() == [(HEIGHT - 2) * WIDTH, 2 * WIDTH]


# SBD and the paper's sets


@pytest.mark.parametrize("compress", [False, True])
def test_sbd_reads_the_segmentation_of_its_structs(tmp_path: Path, compress: bool) -> None:
    labels = labels_of({0: 20, 5: 3})
    root = make_sbd(tmp_path / "dataset", {"train": {"a": labels}})
    write_sbd_mat(root / "cls" / "a.mat", labels, compress)
    np.testing.assert_array_equal(only_labels(sbd(root, ["train"])), labels)


def test_the_papers_sets_come_from_the_lists(tmp_path: Path) -> None:
    """Training: VOC's train joined with all of SBD, VOC's masks first. Validation: VOC's val that SBD does not hold."""
    fine, coarse = labels_of({0: 8}), labels_of({0: 9})
    root = make_voc(tmp_path / "VOC2012", {"train": dict.fromkeys("abc", fine), "val": dict.fromkeys("defgh", fine)})
    more = make_sbd(
        tmp_path / "dataset", {"train": dict.fromkeys(["b", "d", "x"], coarse), "val": dict.fromkeys("efy", coarse)}
    )
    training, validation = voc_and_sbd(root, more, "train"), voc_and_sbd(root, more, "val")
    assert [example.name for example in validation] == ["g", "h"]
    names = [example.name for example in training]
    assert names == ["a", "b", "c", "d", "x", "e", "f", "y"]  # 3 + 6 - 1 in both
    found = {example.name: int(example.labels()[0, 0]) for example in training.require_files()}
    assert found == dict.fromkeys("abc", 8) | dict.fromkeys("dxefy", 9)
    with pytest.raises(CaffeError, match="'train' and 'val', not 'trainval'"):
        voc_and_sbd(root, more, "trainval")


def test_the_numbers_of_the_paper_follow_from_the_sizes_of_the_lists(tmp_path: Path) -> None:
    """Lists of the real lengths and overlaps (1,464 and 1,449 of VOC; 8,498 and 2,857 of SBD) give 11,685 and 346."""
    train = [f"t{index}" for index in range(1464)]
    val = [f"v{index}" for index in range(1449)]
    both = [f"s{index}" for index in range(11355 - 1134 - 1103)] + train[:1134] + val[:1103]
    lists = tmp_path / "VOC2012" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (tmp_path / "dataset").mkdir()
    for path, names in (
        (lists / "train.txt", train),
        (lists / "val.txt", val),
        (tmp_path / "dataset" / "train.txt", both[:8498]),
        (tmp_path / "dataset" / "val.txt", both[8498:]),
    ):
        path.write_text("\n".join(names))
    roots = tmp_path / "VOC2012", tmp_path / "dataset"
    assert [len(voc_and_sbd(*roots, part)) for part in ("train", "val")] == [11685, 346]


# Pascal Context


def test_context_follows_its_own_lists_of_labels(tmp_path: Path) -> None:
    stored = np.zeros((HEIGHT, WIDTH), np.uint16)
    stored[:6, 0] = [1, 2, 3, 4, 5, 6]  # accordion bedclothes cat cloth "pack of cards" table
    data = pascal_context(*make_context(tmp_path, {"2008_000002": stored}), ["train"])
    assert data.names == ("background", "cat", "diningtable", "bedcloth", "clothes")
    assert only_labels(data)[:7, 0].tolist() == [0, 3, 1, 4, 0, 2, 0]


def test_context_refuses_labels_beyond_its_list(tmp_path: Path) -> None:
    data = pascal_context(*make_context(tmp_path, {"a": np.full((HEIGHT, WIDTH), 7)}), ["train"])
    with pytest.raises(CaffeError, match=r"a\.mat': the label map holds 7, .* 0 to 6"):
        only_labels(data)


# MS COCO


def test_coco_paints_polygons_runs_and_crowds(tmp_path: Path) -> None:
    image = {"id": 9, "file_name": "x.jpg", "height": 30, "width": 40}
    # 10 columns of zeros, 2 of ones, the rest zeros, in both spellings
    runs = {"size": [30, 40], "counts": [300, 60, 840]}
    squeezed = peer.frPyObjects({"size": [30, 40], "counts": [360, 30, 810]}, 30, 40)["counts"].decode()
    annotations = [
        {"id": 1, "image_id": 9, "category_id": 17, "iscrowd": 0, "segmentation": [rectangle(2, 3, 6, 8)]},  # on top
        {"id": 2, "image_id": 9, "category_id": 1, "iscrowd": 0, "segmentation": [rectangle(0, 0, 20, 20)]},
        {
            "id": 3,
            "image_id": 9,
            "category_id": 63,
            "iscrowd": 0,
            "segmentation": {"size": [30, 40], "counts": squeezed},
        },
        {
            "id": 4,
            "image_id": 9,
            "category_id": 1,
            "iscrowd": 1,
            "segmentation": {"size": [30, 40], "counts": [1170, 30]},
        },
        {"id": 5, "image_id": 9, "category_id": 72, "iscrowd": 0, "segmentation": runs},
        {
            "id": 6,
            "image_id": 9,
            "category_id": 13,
            "iscrowd": 0,
            "segmentation": [rectangle(25, 0, 30, 9)],
        },  # not VOC's
    ]
    labels = only_labels(coco(*make_coco(tmp_path, instances([image], annotations))))
    expected = np.zeros((30, 40), np.uint8)
    expected[:20, :20] = 15
    expected[:, 10:12] = 20
    expected[:, 12] = 18
    expected[3:8, 2:6] = 8
    expected[:, 39] = 255
    np.testing.assert_array_equal(labels, expected)


def test_coco_keeps_images_with_200_pixels_of_vocs_classes(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 30, "width": 40} for number in (3, 1, 2, 4, 5)]
    shapes = {
        1: (1, rectangle(0, 0, 20, 10), 0),  # 200
        2: (1, rectangle(0, 0, 199, 1), 0),  # cut at the border: 40
        3: (5, rectangle(0, 0, 20, 11), 0),  # 220
        4: (13, rectangle(0, 0, 20, 20), 0),  # no class of VOC
    }
    annotations = [
        {"id": i, "image_id": number, "category_id": category, "iscrowd": crowd, "segmentation": [polygon]}
        for i, (number, (category, polygon, crowd)) in enumerate(shapes.items())
    ]
    whole = {"size": [30, 40], "counts": [0, 1200]}
    annotations.append({"id": 9, "image_id": 5, "category_id": 1, "iscrowd": 1, "segmentation": whole})
    path, folder_ = make_coco(tmp_path, instances(images, annotations))
    with pytest.raises(CaffeError, match="annotation 1: a polygon lies far outside"):
        coco(path, folder_)
    annotations[1]["segmentation"] = [rectangle(0, 0, 79, 1)]
    path, folder_ = make_coco(tmp_path / "2", instances(images, annotations))
    assert [example.name for example in coco(path, folder_)] == ["1", "3"]
    assert [example.name for example in coco(path, folder_, min_labelled=201)] == ["3"]


def test_runs_and_polygons_agree_with_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        height, width = rng.integers(1, 40, 2)
        mask = np.asfortranarray(rng.random((height, width)) < rng.random(), np.uint8)
        text = peer.encode(mask)["counts"].decode()
        np.testing.assert_array_equal(decode_rle(text, height, width), mask)
        points = (rng.random(10) * np.tile([width, height], 5)).tolist()
        expected = peer.decode(peer.merge(peer.frPyObjects([points], int(height), int(width))))
        np.testing.assert_array_equal(decode_polygons([points], int(height), int(width)), expected)


@pytest.mark.parametrize(
    "counts", [[5, 5], [5, 1000], [-5, 105], [1e2], [True, 99], "ooooooo0", "o" * 4000, "\xff", "3", None, {}, [[100]]]
)
def test_runs_that_do_not_fill_the_mask_are_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="run"):
        decode_rle(counts, 10, 10)


@pytest.mark.parametrize(
    "polygons",
    [5, None, [[]], [[0, 0, 1]], [["0", 0, 1, 1, 2, 2]], [[float("nan"), 0, 1, 1, 2, 2]], [[0, 0, 1e9, 0, 1e9, 1e9]],
     [[0, 0, 10, 10] * 60_000]],
)  # fmt: skip
def test_polygons_that_are_none_are_refused(polygons: object) -> None:
    with pytest.raises(ValueError, match="polygon"):
        decode_polygons(polygons, 10, 10)


def test_points_and_lines_enclose_nothing() -> None:
    assert decode_polygons([[1, 1], [2, 2, 5, 5]], 10, 10).sum() == 0


# Folders, and the check


def make_folder(root: Path, masks: dict[str, np.ndarray]) -> tuple[Path, Path]:
    (root / "masks").mkdir(parents=True)
    for stem, labels in masks.items():
        photograph(root / "images" / f"{stem}.jpg")
        write_labels(root / "masks" / f"{stem}.png", labels)
    return root / "images", root / "masks"


def test_folders_pair_by_name_and_take_lists_and_class_names(tmp_path: Path) -> None:
    paths = make_folder(tmp_path, {"b": labels_of({0: 1}), "a": labels_of({0: 2}), "c": labels_of({0: 3})})
    (tmp_path / "some.txt").write_text("c\na\n")
    (tmp_path / "classes.txt").write_text("0 ground\n1 tree trunk\n2 sky\n")
    assert [example.name for example in folder(*paths)] == ["a", "b", "c"]
    named = folder(*paths, [tmp_path / "some.txt"], tmp_path / "classes.txt")
    assert named.names == ("ground", "tree trunk", "sky")
    first, second = named
    assert (first.name, second.name) == ("c", "a")
    assert second.labels()[0, 0] == 2
    with pytest.raises(CaffeError, match=r"c\.png' of 'c' holds 3"):
        first.labels()


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
        ("c.png' is missing", "d: the photograph has 16 x 12", "e.jpg", "f.png' has colours", "g.png"),
        strict=True,
    ):
        assert words in problem
    row = next(line for line in counts.table(["ground", "tree"]).splitlines() if line.startswith("1 tree")).split()
    assert row == ["1", "tree", "1", str(WIDTH), f"{100 * WIDTH / (22 * WIDTH):.2f}"]


def test_two_photographs_of_one_name_are_refused(tmp_path: Path) -> None:
    images, masks = make_folder(tmp_path, {"a": labels_of({})})
    photograph(images / "a.png")
    with pytest.raises(CaffeError, match="would share one mask"):
        folder(images, masks)
