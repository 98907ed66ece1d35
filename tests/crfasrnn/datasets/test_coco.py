"""MS COCO's annotations painted with VOC's classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as peer
from support.crfasrnn.datasets import (
    instances,
    make_coco,
    only_labels,
    rectangle,
)
from support.fuzz import SETTINGS, damaged, damaged_text, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.datasets.coco import coco

pytestmark = pytest.mark.usefixtures("bounded_memory")


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
    with pytest.raises(CaffeError, match=r"none of its \d images has 5000 pixels of VOC's classes \(--min-labelled"):
        coco(path, folder_, min_labelled=5000)


def test_a_file_with_classes_of_its_own(tmp_path: Path) -> None:
    image = {"id": 9, "file_name": "x.jpg", "height": 30, "width": 40}
    other = {"id": 10, "file_name": "y.jpg", "height": 30, "width": 40}
    categories = [
        {"id": 7, "name": "helmet"},
        {"id": 2, "name": "safety  vest"},
        {"id": 5, "name": "background"},
        {"id": 8, "name": "helmet"},
    ]
    annotations = [
        {"id": i, "image_id": number, "category_id": category, "iscrowd": 0, "segmentation": [rectangle(*box)]}
        for i, (number, category, box) in enumerate(
            [
                (9, 7, (0, 0, 10, 10)),
                (9, 2, (20, 0, 30, 5)),
                (9, 5, (0, 0, 4, 4)),
                (9, 8, (0, 20, 3, 23)),
                (10, 2, (0, 0, 1, 1)),
            ]
        )
    ]
    path, folder_ = make_coco(tmp_path, instances([image, other], annotations) | {"categories": categories})
    with pytest.raises(CaffeError, match=r"none of VOC's classes among its categories \(--categories own"):
        coco(path, folder_)
    dataset = coco(path, folder_, categories="own")
    assert dataset.names == ("background", "safety vest", "helmet")
    expected = np.zeros((30, 40), np.uint8)
    expected[:10, :10], expected[:5, 20:30], expected[20:23, :3] = 2, 1, 2
    expected[:4, :4] = 0
    np.testing.assert_array_equal(dataset.examples[0].labels(), expected)
    assert [example.name for example in dataset] == ["x", "y"]
    (tmp_path / "val.txt").write_text("y\n")
    assert [example.name for example in coco(path, folder_, categories="own", lists=[tmp_path / "val.txt"])] == ["y"]
    with pytest.raises(CaffeError, match="none of its 2 images that are listed has 2 pixels of its classes"):
        coco(path, folder_, 2, "own", [tmp_path / "val.txt"])
    (tmp_path / "val.txt").write_text("x\nz\n")
    with pytest.raises(CaffeError, match="a list names 'z', but annotations"):
        coco(path, folder_, categories="own", lists=[tmp_path / "val.txt"])


def _json() -> bytes:
    image = {"id": 1, "file_name": "x.jpg", "height": 30, "width": 40}
    shapes = [
        [rectangle(0, 0, 20, 20)],
        {"size": [30, 40], "counts": [300, 60, 840]},
        {"size": [30, 40], "counts": "Tj0"},
    ]
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": i % 2, "segmentation": shape}
        for i, shape in enumerate(shapes)
    ]
    return json.dumps(instances([image], annotations)).encode()


@SETTINGS
@given(st.one_of(damaged([_json()]), damaged_text([_json()])))
def test_coco_annotations(place: Path, content: bytes) -> None:
    one_error_or_a_result(lambda path: coco(path, path.parent), place, content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": None}, "no list 'images'"),
        ({"categories": [{"id": 1, "name": "tree"}]}, "none of VOC's classes"),
        ({"images": [{"id": 1, "file_name": "../x.jpg", "height": 3, "width": 4}]}, "outside the data set's folder"),
        ({"images": [{"id": 1, "file_name": "x.jpg", "height": 10**9, "width": 10**9}]}, "pixels"),
        ({"images": [{"id": 1, "file_name": "x.jpg", "height": "3", "width": 4}]}, "'height' of type int"),
        ({"annotations": [7]}, "annotation 0"),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(json.loads(_json()) | change))
    with pytest.raises(CaffeError, match=r"instances\.json") as caught:
        coco(path, tmp_path)
    assert words in str(caught.value)


def test_many_masks_of_a_large_image_are_painted_in_little_memory(tmp_path: Path) -> None:
    """Forty of 80 million pixels each, in a file of 5 kB: one mask at a time."""
    image = {"id": 9, "file_name": "x.jpg", "height": 8000, "width": 10_000}
    outline = {"segmentation": [rectangle(0, 0, 10_000, 8000)]}
    annotations = [{"id": k, "image_id": 9, "category_id": 17, "iscrowd": 0, **outline} for k in range(40)]
    assert only_labels(coco(*make_coco(tmp_path, instances([image], annotations)))).min() == 8
