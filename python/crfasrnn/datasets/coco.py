"""MS COCO 2014 (Lin et al. 2014) with the classes of PASCAL VOC, as the paper adds it to its training images; and files of
that form with classes of their own, as labelling programs write them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError, FileError
from caffe.inputs.limits import MAX_ANNOTATIONS, MAX_PIXELS
from caffe.inputs.reading import read_bytes
from caffe.logs.progress_bar import progress
from crfasrnn.classes import VOC_CLASSES, VOID
from crfasrnn.datasets.example import Dataset, Example
from crfasrnn.datasets.lists import check_inside, read_names
from crfasrnn.datasets.rle import fill, polygon_runs, rle_runs

MIN_LABELLED = {"voc": 200, "own": 1}
"""Which classes there are, and how many pixels of them make an image count."""

_WHOSE = {"voc": "VOC's", "own": "its"}

# Where COCO's name of a class is not VOC's.
_VOC_NAMES = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tv/monitor"}


@dataclass(frozen=True)
class _Region:
    """One annotation: its class, and its outline as the file has it."""

    number: int
    label: int
    crowd: bool
    segmentation: Any


def coco(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    min_labelled: int | None = None,
    categories: str = "voc",
    lists: Sequence[str | os.PathLike[str]] = (),
) -> Dataset:
    """The images of an instances_*.json that have at least `min_labelled` pixels of its classes, by image number.

    With train2014 and 200 these are the paper's 66,099 (section 7). Other classes count as background, crowds as void. Where
    instances overlap, the smaller one is seen. Every image is painted once to count; a progress bar tells how far it is.

    min_labelled: None means MIN_LABELLED.
    categories: "voc", VOC's 21 classes; or "own", the background and all categories of the file in the order of their numbers,
        where those of one name are one class, and one called "background" is the background.
    lists: text files with the names (x of x.jpg) of the images that are meant, one a line; none means all.

    Raises CaffeError if the file is damaged, no image has as many, a list names an image that has not, or pycocotools is not
    installed.
    """
    if categories not in MIN_LABELLED:
        raise CaffeError(f"categories are {' or '.join(map(repr, MIN_LABELLED))}, not {categories!r}")
    least = MIN_LABELLED[categories] if min_labelled is None else min_labelled
    if find_spec("pycocotools") is None:
        raise FileError("COCO's polygons need pycocotools: pip install 'crfasrnn[data]'")
    path, folder = Path(annotations), Path(images)
    content = _read(path)
    labels, names = (_vocs_labels if categories == "voc" else _own_labels)(content["categories"], path)
    regions = _regions(content["annotations"], labels, path)
    meant = [name for file in lists for name in read_names(Path(file))] if lists else None
    found = []
    for image in progress(_images(content["images"], path), what=path.name, unit="image"):
        if image["id"] not in regions or (meant is not None and Path(image["file_name"]).stem not in meant):
            continue
        paint = partial(_paint, regions[image["id"]], image["height"], image["width"])
        example = Example(Path(image["file_name"]).stem, folder / image["file_name"], path, paint)
        painted = example.labels()
        if ((painted > 0) & (painted != VOID)).sum() >= least:
            found.append(example)
    if not found:
        raise FileError(
            f"annotations {str(path)!r}: none of its {len(content['images'])} images{' that are listed' if lists else ''} has "
            f"{least} pixels of {_WHOSE[categories]} classes (--min-labelled takes fewer)"
        )
    _check_listed(meant or [], {example.name for example in found}, path)
    return Dataset(f"annotations {str(path)!r}", tuple(found), names)


def _check_listed(meant: Sequence[str], found: Collection[str], path: Path) -> None:
    for name in meant:
        if name not in found:
            raise FileError(
                f"a list names {name[:200]!r}, but annotations {str(path)!r} have no such image, or too few pixels of it "
                "(--min-labelled takes fewer)"
            )


def _paint(regions: list[_Region], height: int, width: int, path: Path) -> np.ndarray:
    """H x W uint8: the regions, crowds undermost and then the larger before the smaller."""
    masks = []
    for region in regions:
        try:
            masks.append(_runs(region.segmentation, height, width))
        except ValueError as problem:
            raise FileError(f"{str(path)!r}: annotation {region.number}: {problem}") from problem
    order = sorted(range(len(masks)), key=lambda i: (not regions[i].crowd, -sum(masks[i][1::2]), i))
    labels = np.zeros((width, height), np.uint8)
    for i in order:
        fill(labels.reshape(-1), masks[i], VOID if regions[i].crowd else regions[i].label)
    return np.ascontiguousarray(labels.T)


def _runs(segmentation: Any, height: int, width: int) -> list[int]:
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [height, width]:
            raise ValueError(f"run lengths for size {segmentation.get('size')}, but the image is {height} x {width}")
        return rle_runs(segmentation.get("counts"), height, width)
    return polygon_runs(segmentation, height, width)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(read_bytes(path, MAX_ANNOTATIONS))
    except OSError as problem:
        raise FileError(f"cannot read annotations {str(path)!r}: {problem.strerror}") from problem
    except (ValueError, RecursionError, MemoryError) as problem:
        raise FileError(f"{str(path)!r} is not JSON: {problem}") from problem
    for part in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise FileError(f"{str(path)!r} is not a file of COCO's instances: it has no list {part!r}")
    return content


def _entries(entries: Iterable[Any], fields: Mapping[str, type], what: str, path: Path) -> Iterable[dict[str, Any]]:
    for index, entry in enumerate(entries):
        for field, kind in fields.items():
            if not isinstance(entry, dict) or type(entry.get(field)) is not kind:
                raise FileError(
                    f"{str(path)!r}: {what} {index} (from 0) has no field {field!r} of type {kind.__name__}"
                )
        yield entry


def _vocs_labels(categories: list[Any], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """VOC's label of every category number, without categories that VOC has not; and VOC's names."""
    found = {}
    for entry in _entries(categories, {"id": int, "name": str}, "category", path):
        name = _VOC_NAMES.get(entry["name"], entry["name"])
        if name in VOC_CLASSES:
            found[entry["id"]] = VOC_CLASSES.index(name)
    if not any(found.values()):
        raise FileError(
            f"{str(path)!r} has none of VOC's classes among its categories (--categories own takes its own)"
        )
    return found, VOC_CLASSES


def _own_labels(categories: list[Any], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """The label of every category number, and the names of the labels."""
    names, found = ["background"], {}
    entries = _entries(categories, {"id": int, "name": str}, "category", path)
    for entry in sorted(entries, key=lambda entry: int(entry["id"])):
        name = " ".join(entry["name"].split())
        if not name:
            raise FileError(f"{str(path)!r}: category {entry['id']} has no name")
        if name not in names:
            names.append(name)
        found[entry["id"]] = names.index(name)
    if not 1 < len(names) <= VOID:
        raise FileError(f"{str(path)!r} has {len(names) - 1} categories; 1 to {VOID - 1} are possible")
    return found, tuple(names)


def _regions(annotations: list[Any], labels: dict[int, int], path: Path) -> dict[int, list[_Region]]:
    """The annotations of the classes that are meant, by image number."""
    found: dict[int, list[_Region]] = {}
    fields = {"id": int, "image_id": int, "category_id": int}
    for entry in _entries(annotations, fields, "annotation", path):
        if entry["category_id"] in labels:
            label, crowd = labels[entry["category_id"]], bool(entry.get("iscrowd"))
            region = _Region(entry["id"], label, crowd, entry.get("segmentation"))
            found.setdefault(entry["image_id"], []).append(region)
    return found


def _images(images: list[Any], path: Path) -> list[dict[str, Any]]:
    fields = {"id": int, "file_name": str, "height": int, "width": int}
    found: dict[int, dict[str, Any]] = {}
    for entry in _entries(images, fields, "image", path):
        check_inside(entry["file_name"], repr(str(path)))
        height, width = entry["height"], entry["width"]
        if height < 1 or width < 1 or height * width > MAX_PIXELS:
            raise FileError(
                f"{str(path)!r}: image {entry['id']} has {width} x {height} pixels; 1 to {MAX_PIXELS} are read"
            )
        if entry["id"] in found:
            raise FileError(f"{str(path)!r}: image {entry['id']} occurs twice")
        found[entry["id"]] = entry
    return [found[number] for number in sorted(found)]
