"""Miniature data sets in the formats in which the real ones are published, and label maps with known errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from scipy.io import savemat
from scipy.sparse import csc_matrix

from crfasrnn.classes import VOC_CLASSES
from crfasrnn.datasets import Dataset, Example
from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image
from crfasrnn.postprocessing.probabilities import write_probabilities
from crfasrnn.postprocessing.search import Sample

CAT = np.ascontiguousarray(skimage.data.cat()[..., ::-1])
HEIGHT, WIDTH = 12, 16


def photograph(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    """A piece of a photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.ascontiguousarray(CAT[:height, :width]))


def labels_of(rows: Mapping[int, int], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Background, with whole rows of other labels."""
    labels = np.zeros((height, width), np.uint8)
    for row, label in rows.items():
        labels[row] = label
    return labels


def only_labels(dataset: Dataset) -> np.ndarray:
    """The label map of a data set's one example."""
    assert len(dataset) == 1
    return next(iter(dataset)).labels()


def make_folder(root: Path, masks: Mapping[str, np.ndarray]) -> tuple[Path, Path]:
    """Folders images/ and masks/ with a photograph for each label map."""
    (root / "masks").mkdir(parents=True)
    for stem, labels in masks.items():
        photograph(root / "images" / f"{stem}.jpg")
        write_labels(root / "masks" / f"{stem}.png", labels)
    return root / "images", root / "masks"


def make_voc(root: Path, lists: Mapping[str, Mapping[str, np.ndarray]]) -> Path:
    """A folder like VOC2012: lists of names with their label maps."""
    for name, content in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{stem}\n" for stem in content))
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        for stem, labels in content.items():
            photograph(root / "JPEGImages" / f"{stem}.jpg", *labels.shape)
            write_labels(root / "SegmentationClass" / f"{stem}.png", labels)
    return root


def write_sbd_mat(path: Path, labels: np.ndarray, compress: bool = True) -> None:
    """A cls/*.mat as SBD has them: struct GTcls with Boundaries (20 sparse maps), Segmentation, CategoriesPresent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    for index in range(20):
        boundaries[index, 0] = csc_matrix(labels == index + 1, dtype=np.float64)
    present = np.setdiff1d(labels, [0]).astype(np.uint8)[:, None]
    content = {"Boundaries": boundaries, "Segmentation": labels, "CategoriesPresent": present}
    savemat(path, {"GTcls": content}, do_compression=compress)


def make_sbd(root: Path, lists: Mapping[str, Mapping[str, np.ndarray]]) -> Path:
    """A folder like benchmark_RELEASE/dataset."""
    root.mkdir(parents=True)
    for name, content in lists.items():
        (root / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in content))
        for stem, labels in content.items():
            photograph(root / "img" / f"{stem}.jpg", *labels.shape)
            write_sbd_mat(root / "cls" / f"{stem}.mat", labels)
    return root


def rectangle(left: int, top: int, right: int, bottom: int) -> list[float]:
    """A polygon of COCO around the pixels left .. right-1, top .. bottom-1."""
    return [float(value) for value in (left, top, right, top, right, bottom, left, bottom)]


def instances(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of an instances_*.json; categories as in COCO, by its numbers."""
    names = {1: "person", 5: "airplane", 13: "stop sign", 17: "cat", 63: "couch", 72: "tv"}
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name, "supercategory": "x"} for number, name in names.items()],
    }


def make_coco(root: Path, content: dict[str, Any]) -> tuple[Path, Path]:
    """The .json and the folder of photographs."""
    for image in content["images"]:
        photograph(root / "train2014" / image["file_name"], image["height"], image["width"])
    path = root / "annotations" / "instances_train2014.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path, root / "train2014"


def make_context(root: Path, maps: Mapping[str, np.ndarray]) -> tuple[Path, Path]:
    """The folder of Pascal Context with a short list of labels, and VOC2010 with the photographs, list `train`.

    Of the task's four classes, three have another name among all labels.
    """
    folder, voc = root / "context", root / "VOC2010"
    (folder / "trainval").mkdir(parents=True)
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "labels.txt").write_text("1: accordion\n2: bedclothes\n3: cat\n4: cloth\n5: pack of cards\n6: table\n")
    (folder / "59_labels.txt").write_text("1: cat\n2: diningtable\n3: bedcloth\n4: clothes\n")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{stem}\n" for stem in maps))
    for stem, labels in maps.items():
        photograph(voc / "JPEGImages" / f"{stem}.jpg", *labels.shape)
        savemat(folder / "trainval" / f"{stem}.mat", {"LabelMap": labels.astype(np.uint16)}, do_compression=True)
    return folder, voc


def pictures(seed: int, classes: int = 4, height: int = 19, width: int = 26) -> tuple[np.ndarray, np.ndarray]:
    """Truth in blobs with void, and labels like it with errors."""
    rng = np.random.default_rng(seed)
    truth = (
        rng.integers(0, classes, (height // 4 + 1, width // 4 + 1), np.uint8).repeat(4, 0).repeat(4, 1)[:height, :width]
    )
    labels = np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(0, classes, truth.shape)).astype(np.uint8)
    return np.where(rng.random(truth.shape) < 0.02, 255, truth).astype(np.uint8), labels


def two_pictures(folder: Path) -> Dataset:
    """Two images of 4 x 6 pixels, bright on the right; dogs (12) there, a cat (8) and void in places."""
    made = []
    for index in range(2):
        image = np.zeros((4, 6, 3), np.uint8)
        image[:, 3:] = 255
        truth = np.where(image[..., 0] > 0, 12, 0).astype(np.uint8)
        truth[0, 0], truth[1, 1], truth[2, 2] = 8, 255, 12
        example = Example(f"picture{index}", folder / f"{index}.png", folder / f"{index}_labels.png")
        write_image(example.image_path, image)
        write_labels(example.label_path, truth)
        made.append(example)
    return Dataset("two pictures", tuple(made), VOC_CLASSES).strict()


def discs(folder: Path) -> list[Sample]:
    """Six pictures of a disc, with probabilities that are right where the noise lets them; in images/, masks/, probabilities/."""
    made = []
    for number in range(6):
        rng = np.random.default_rng(number)
        truth = np.zeros((24 + number, 32), np.uint8)
        cv2.circle(truth, (10 + 2 * number, 12), 7, 1, -1)
        picture = np.where(truth[..., None] == 1, np.uint8([190, 70, 40]), np.uint8([40, 90, 150]))
        picture = (picture + rng.integers(-8, 9, picture.shape)).astype(np.uint8)
        one = np.clip(0.35 + 0.3 * truth + rng.normal(0, 0.25, truth.shape), 0.02, 0.98)
        truth[0] = 255
        name = f"disc{number}"
        for kind in ("images", "masks", "probabilities"):
            (folder / kind).mkdir(exist_ok=True)
        example = Example(name, folder / "images" / f"{name}.png", folder / "masks" / f"{name}.png")
        write_image(example.image_path, picture)
        write_labels(example.label_path, truth)
        write_probabilities(folder / "probabilities" / f"{name}.npy", np.stack([1 - one, one]))
        made.append(Sample(example, folder / "probabilities" / f"{name}.npy"))
    return made
