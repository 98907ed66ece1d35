"""SBD's structs, and the paper's sets made of it and VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.crfasrnn.datasets import (
    labels_of,
    make_sbd,
    make_voc,
    only_labels,
    write_sbd_mat,
)
from support.fuzz import SETTINGS, damaged, one_error_or_a_result

from caffe.errors import CaffeError
from crfasrnn.datasets import sbd, voc_and_sbd
from crfasrnn.datasets.sbd import read_sbd_labels

pytestmark = pytest.mark.usefixtures("bounded_memory")


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


def _sbd_mats(folder: Path) -> list[bytes]:
    found = []
    for compress in (False, True):
        write_sbd_mat(folder / "a.mat", labels_of({0: 8, 3: 15}), compress)
        found.append((folder / "a.mat").read_bytes())
    return found


@SETTINGS
@given(st.data())
def test_sbd_maps(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "sbd"
    one_error_or_a_result(read_sbd_labels, folder / "a.mat", data.draw(damaged(_sbd_mats(folder))))
