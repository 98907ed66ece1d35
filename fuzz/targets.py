"""What is fuzzed: each reader of files with small valid files of its kind."""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import lmdb
import numpy as np
import scipy.io
import torch
from PIL import Image

import caffe
from caffe.data.datum import datum_image
from caffe.data.db import Cursor
from caffe.data.image_list import read_list
from caffe.proto import caffe_pb2, model_file, solver_state, text
from caffe.solver import resume
from caffe.solver.loss_window import LossWindow
from caffe.tools.classify import read_array
from caffe.tools.detect import read_windows
from crfasrnn.claims import remembered
from crfasrnn.classes import read_classes
from crfasrnn.datasets.coco import coco
from crfasrnn.datasets.lists import read_names
from crfasrnn.datasets.matfile import read_label_map
from crfasrnn.evaluation.bootstrap import ImageConfusions
from crfasrnn.figures.curves import read_events
from crfasrnn.networks.state_dicts import read_state_dict
from crfasrnn.networks.weight_files import read_arrays
from crfasrnn.pictures.colour_masks import read_mask
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.palettes import PALETTES, palette
from crfasrnn.pictures.photographs import read_image
from crfasrnn.postprocessing.probabilities import read_activation_maps, read_probabilities
from crfasrnn.postprocessing.settings import CrfSettings
from fuzz.databases import leveldb_seeds, mutated_leveldb, reading_leveldb
from fuzz.mutations import mutated, mutated_text
from fuzz.nets import absurd, definitions, read_and_run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"


@dataclass(frozen=True)
class Target:
    """A reader, valid files for it, how they are changed, and how their name ends."""

    read: Callable[[Path], object]
    seeds: list[bytes]
    mutate: Callable[[random.Random, list[bytes]], bytes] = mutated
    suffix: str = ""


def golden(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDEN.glob(pattern))]


def written(*writers: Callable[[Path], object], suffix: str = "") -> list[bytes]:
    """What the writers write into a file of that suffix; of a folder its file data.mdb."""
    contents = []
    for write in writers:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix}"
            write(path)
            contents.append((path / "data.mdb" if path.is_dir() else path).read_bytes())
    return contents


# --------------------------------------------------------------------------------------------------------- Caffe's files


def _hdf5_model(gzip: int | None) -> Callable[[Path], object]:
    arrays: list[list[np.ndarray]] = [
        [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.zeros(2, np.float32)],
        [],
        [np.ones((3, 5), np.float32)],
    ]
    return lambda path: model_file.write_model_hdf5(path, ["conv", "relu", "a/b"], arrays, gzip=gzip)


def _state(path: Path) -> None:
    history = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(2, np.float32)]
    note = b'{"processes":[{"nets":[[null]],"random":{}}]}'
    solver_state.write_solver_state(path, solver_state.SolverState(7, "net_iter_7.caffemodel", 1, history, note))


def _hdf5_data(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
        file.create_dataset("label", data=np.arange(4), chunks=(2,), compression="gzip")


def _net(definition: str) -> Callable[[Path], object]:
    """Sets a net up and runs it once; the path goes where the definition says %s."""
    return lambda path: caffe.Net(text.parse_net(definition % path), caffe.TRAIN).forward()


def _read_hdf5_data(path: Path) -> None:
    listing = path.with_suffix(".list")
    listing.write_text(f"{path}\n")
    _net(
        'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "%s" batch_size: 3 } }'
    )(listing)


def _resume(path: Path) -> None:
    resume.resume(path.read_bytes(), path.name, [], LossWindow(2))


def picture(kind: str, channels: int = 3, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, channels), np.uint8).squeeze()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def _palette(kind: str) -> bytes:
    image = Image.fromarray(np.arange(72, dtype=np.uint8).reshape(9, 8))
    image.putpalette(bytes(range(256)) * 3)
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return stream.getvalue()


def _datums() -> list[bytes]:
    arrays = (np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.arange(24, dtype=np.float64).reshape(2, 3, 4))
    raw = [caffe.io.array_to_datum(array, 1) for array in arrays]
    kinds = [picture("PNG"), picture("PNG", 1), picture("JPEG"), picture("WEBP"), picture("GIF", 1), picture("TIFF")]
    return [d.SerializeToString() for d in (*raw, *(caffe_pb2.Datum(encoded=True, data=k, label=1) for k in kinds))]


def _read_datum(path: Path) -> None:
    try:
        datum = caffe_pb2.Datum.FromString(path.read_bytes())
    except Exception:
        return  # protobuf's own exception, which the Data layer turns into one that names the entry
    for flag in (False, bool(datum.encoded)):
        datum_image(datum, flag)


def _lmdb(entries: int, size: int, key: int = 8) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        value = caffe_pb2.Datum(channels=1, height=1, width=size, data=bytes(size), label=1).SerializeToString()
        with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
            for k in range(entries):
                transaction.put(b"%08d".ljust(key, b"k") % k, value)

    return write


def _read_database(path: Path) -> None:
    cursor = Cursor(path)
    for _ in range(len(cursor.database)):
        cursor.current()
        cursor.advance()
    cursor.seek(b"%08d" % 3)
    _net('layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "%s" batch_size: 2 } }')(path)


WINDOWS = b"# 0\npicture.png\n3\n9\n8\n2\n1 0.9 0 0 4 4\n0 0.1 2 2 7 8\n"


def _read_window_file(path: Path) -> None:
    picture_beside = path.parent / "picture.png"
    if not picture_beside.exists():
        picture_beside.write_bytes(picture("PNG"))
    _net(
        'layer { name: "d" type: "WindowData" top: "data" top: "label" transform_param { crop_size: 5 } '
        f'window_data_param {{ source: "%s" batch_size: 4 root_folder: "{path.parent}/" }} }}'
    )(path)


def _caffe_targets() -> Iterator[tuple[str, Target]]:
    yield "caffemodel", Target(model_file.read_model, golden("files/*.caffemodel"))
    yield "hdf5-model", Target(model_file.read_model, written(_hdf5_model(None), _hdf5_model(4)), suffix=".h5")
    yield "solverstate", Target(solver_state.read_solver_state, written(_state))
    yield "hdf5-state", Target(solver_state.read_solver_state, written(_state, suffix=".h5"), suffix=".h5")
    note = b'{"processes":[{"nets":[[[3,null],null]],"random":{"caffe":"00"},"losses":[0,1.5,[1.5]]}]}'
    yield "progress", Target(_resume, [note], mutated_text)
    yield "binaryproto", Target(model_file.read_blob_proto, golden("files/*.binaryproto"))
    yield "hdf5-data", Target(_read_hdf5_data, written(_hdf5_data), suffix=".h5")
    yield "lmdb", Target(_read_database, written(_lmdb(5, 90), _lmdb(60, 2500, 480), _lmdb(30, 9000)), suffix=".mdb")
    yield "leveldb", Target(reading_leveldb(_read_database), leveldb_seeds(), mutated_leveldb)
    yield "datum", Target(_read_datum, _datums())
    yield "prototxt", Target(text.read_net, golden("layers/*.prototxt") + golden("extras/v*_in.prototxt"), mutated_text)
    yield "net", Target(read_and_run, definitions(), absurd, suffix=".prototxt")
    yield "solver", Target(text.read_solver, golden("extras/solver_*.prototxt"), mutated_text)
    yield "image-list", Target(read_list, [b"a cat.png 3\n\ndog.png 0\n"], mutated_text)
    yield "window-file", Target(_read_window_file, [WINDOWS], mutated_text)
    rows = b"filename,ymin,xmin,ymax,xmax\na.png,0,0,5,5\na.png,1,2,3,4\nb.png,0,1,2,3\n"
    yield "window-list", Target(lambda path: read_windows(str(path)), [rows], mutated_text)
    yield "npy", Target(lambda path: read_array(str(path)), golden("files/*.npy"), suffix=".npy")


# --------------------------------------------------------------------------------------------------------- ours


def _archive(arrays: dict[str, Any]) -> list[bytes]:
    return written(
        lambda path: np.savez(path, **arrays), lambda path: np.savez_compressed(path, **arrays), suffix=".npz"
    )


def _mat(path: Path) -> None:
    scipy.io.savemat(
        path, {"LabelMap": np.arange(12, dtype=np.uint16).reshape(3, 4)}, do_compression=path.suffix == ".gz"
    )


def _instances() -> bytes:
    images = [{"id": 9, "file_name": "x.jpg", "height": 30, "width": 40}]
    outlines: list[Any] = [
        [[2.0, 3.0, 6.0, 3.0, 6.0, 8.0, 2.0, 8.0]],
        {"size": [30, 40], "counts": [300, 60, 840]},
        {"size": [30, 40], "counts": "XZ1`0g0"},
    ]
    regions = [
        {"id": k, "image_id": 9, "category_id": 17, "iscrowd": k % 2, "segmentation": s} for k, s in enumerate(outlines)
    ]
    return json.dumps({"images": images, "annotations": regions, "categories": [{"id": 17, "name": "cat"}]}).encode()


def _our_targets() -> Iterator[tuple[str, Target]]:
    for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF"):
        seeds = [picture(kind, channels) for channels in (1, 3)]
        if kind == "TIFF":
            seeds += [picture(kind, compression=c) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")]
        if kind == "PNG":
            seeds.append(picture(kind, 4, save_all=True, append_images=[Image.new("RGBA", (8, 9))]))
        yield kind.lower(), Target(read_image, seeds)
        yield f"load-{kind.lower()}", Target(lambda path: caffe.io.load_image(str(path)), seeds)
    masks = [picture(kind, 1) for kind in ("PNG", "BMP", "GIF")] + [_palette(kind) for kind in ("PNG", "BMP", "GIF")]
    yield "mask", Target(read_labels, masks, suffix=".png")
    coloured = [picture(kind) for kind in ("PNG", "TIFF", "WEBP")]
    yield "colour-mask", Target(lambda path: read_mask(path, PALETTES["voc"], nearest=True), coloured + masks)
    yield "number-mask", Target(read_mask, coloured + masks)
    palettes = [
        b"name,r,g,b\nSky,128,128,128\nRoad,128,64,128\n",
        b"# cvat\nSky:128,128,128::\n",
        b"0 Sky #808080\n255 x #000000\n",
    ]
    yield "palette", Target(palette, palettes, mutated_text)
    weights = {"conv1_1_w": np.ones((2, 3, 3, 3), np.float32), "conv1_1_b": np.zeros(2, np.float16)}
    yield "npz-weights", Target(read_arrays, _archive(weights), suffix=".npz")
    tensors = {"features.0.weight": torch.ones(2, 3, 3, 3), "features.0.bias": torch.zeros(2)}
    for archive in (True, False):
        saved = written(
            lambda p, zipped=archive: torch.save(tensors, p, _use_new_zipfile_serialization=zipped), suffix=".pth"
        )
        yield f"state-dict-{'archive' if archive else 'plain'}", Target(read_state_dict, saved, suffix=".pth")
    scores = np.full((2, 3, 4), 0.5, np.float16)
    maps = _archive({"0": scores[0], "8": scores[1]})
    yield "npz-activation-maps", Target(lambda path: read_activation_maps(path, 4.0), maps, suffix=".npz")
    yield "npz-probabilities", Target(read_probabilities, _archive({"scores": scores}), suffix=".npz")
    yield (
        "npy-probabilities",
        Target(read_probabilities, written(lambda p: np.save(p, scores), suffix=".npy"), suffix=".npy"),
    )
    counts = ImageConfusions(("a", "b"), ("x", "y"), np.ones((2, 2, 2), np.int64))
    yield "npz-confusions", Target(ImageConfusions.load, written(counts.save, suffix=".npz"), suffix=".npz")
    plain, packed = written(_mat, suffix=".mat"), written(_mat, suffix=".gz")
    yield "mat", Target(lambda path: read_label_map(path, "LabelMap", 255), plain + packed)
    yield (
        "coco",
        Target(lambda path: [e.labels() for e in coco(path, path.parent, 0).examples], [_instances()], mutated_text),
    )
    yield "names", Target(read_names, [b"a\nb/c\n\nd\n"], mutated_text)
    yield "classes", Target(read_classes, [b"0 background\n8 cat\n15 person\n"], mutated_text)
    settings = b'{"settings": {"spatial": [3, 3], "bilateral": [5, 49, 13], "iterations": 5}}'
    yield "settings", Target(CrfSettings.read, [settings], mutated_text)
    yield "job", Target(remembered, [b'{"recipe": "fcn32s", "seed": 1, "options": {"size": null}}'], mutated_text)
    log = b'{"event": "train", "iteration": 20, "loss": 1.5}\nI0101 00:00:00.000000 1 solver.cpp:1] Iteration 20, loss = 1.5\n'
    yield "log", Target(lambda path: list(read_events(path)), [log], mutated_text)


def targets() -> dict[str, Target]:
    """All of them by name."""
    return dict([*_caffe_targets(), *_our_targets()])


def hush() -> None:
    """Silence what libraries say beside their errors, in this process and its children."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    os.environ.update(OPENCV_LOG_LEVEL="SILENT", GLOG_minloglevel="3")
