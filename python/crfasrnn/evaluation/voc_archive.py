"""The archive that PASCAL VOC's evaluation server takes for its segmentation competitions."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from caffe.files import atomic_path
from crfasrnn.pictures.label_maps import encode_labels

YEAR, COMPETITION = "VOC2012", "comp6"  # comp5: trained on VOC alone; comp6: on other data, too


@contextmanager
def voc_archive(
    path: str | os.PathLike[str], class_ids: Sequence[int], year: str = YEAR, competition: str = COMPETITION
) -> Iterator[Callable[[str, np.ndarray], None]]:
    """A function that adds the labels of one image, by its name, to a .tgz that is complete when the block ends.

    The layout is results/<year>/Segmentation/<competition>_test_cls/<name>.png, palette PNGs with VOC's numbers; label i of
    an H x W uint8 map becomes class_ids[i]. The same labels give the same bytes.
    """
    numbers = np.array(class_ids, np.uint8)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):

        def add(name: str, labels: np.ndarray) -> None:
            content = encode_labels(numbers[labels])
            entry = tarfile.TarInfo(f"results/{year}/Segmentation/{competition}_test_cls/{name}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        yield add
