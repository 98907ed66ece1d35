"""Data, ImageData and MemoryData on real databases and files, and against genuine Caffe's batches."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format
from support.caffe.data_layers import EXTRAS, build
from support.caffe.layer_options import RANDOM
from support.reference_data import shared_path

import caffe
import caffe.layers  # registers the built-in types
from caffe import mode
from caffe.errors import CaffeError
from caffe.net.net import Net
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")


@pytest.mark.parametrize(
    "option", ["transform_param { force_color: true }", "data_param { SOURCE force_encoded_color: true }"]
)
def test_grey_datums_become_colour_images(option: str, tmp_path: Path) -> None:
    image = RANDOM.integers(0, 256, (5, 6), np.uint8)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", image)[1].tobytes())
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"0", datum.SerializeToString())
    source = f'source: "{tmp_path}" batch_size: 1'
    option = option.replace("SOURCE", source) if "SOURCE" in option else f"{option} data_param {{ {source} }}"
    text = f'layer {{ name: "d" type: "Data" top: "x" {option} }}'
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data[0], np.stack([image] * 3))


def test_rand_skip_of_images_starts_within_its_bound(tmp_path: Path) -> None:
    for k in range(6):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.full((2, 2, 3), k, np.uint8))
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{k}.png {k}\n" for k in range(6)))
    text = f'''layer {{ name: "d" type: "ImageData" top: "x" top: "y"
      image_data_param {{ source: "{tmp_path}/list.txt" rand_skip: 4 batch_size: 3 }} }}'''
    starts = set()
    for seed in range(25):
        caffe.set_random_seed(seed)
        net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)
        net.forward()
        first = int(net.blobs["y"].data[0])
        assert net.blobs["y"].data.tolist() == [first, (first + 1) % 6, (first + 2) % 6]
        starts.add(first)
    assert starts == {0, 1, 2, 3}


def write_lmdb(folder: Path, datums: list[caffe_pb2.Datum]) -> Path:
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for index, datum in enumerate(datums):
            transaction.put(b"%08d" % index, datum.SerializeToString())
    return folder


def raw_datum(image: np.ndarray, label: int = 0) -> caffe_pb2.Datum:
    channels, height, width = image.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
    if image.dtype == np.uint8:
        datum.data = image.tobytes()
    else:
        datum.float_data.extend(image.ravel().tolist())
    return datum


def images(count: int, channels: int = 3, height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, height, width), np.uint8)


def data_net(source: Path, batch_size: int, transform: str = "", phase: int = mode.TEST, more: str = "") -> Net:
    return build(
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "{source}" backend: LMDB batch_size: {batch_size} {more} }} }}',
        phase,
    )


GOLDEN = ["plain", "scale_meanvalue", "meanvalue3", "meanfile_crop_test", "float_datum", "only_top"]


@pytest.mark.parametrize("name", GOLDEN)
def test_data_gives_the_batches_of_genuine_caffe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared_path(*EXTRAS))
    net = Net(f"data_{name}.prototxt", mode.TEST)
    with np.load(f"data_{name}.npz") as expected:
        for batch in range(len(expected["data"])):
            net.forward()
            for top in expected.files:
                np.testing.assert_allclose(net.blobs[top].data, expected[top][batch], rtol=1e-6, atol=1e-6)


def test_data_reads_in_order_and_wraps_round(tmp_path: Path) -> None:
    stored = images(5)
    source = write_lmdb(tmp_path / "db", [raw_datum(image, label) for label, image in enumerate(stored)])
    net = data_net(source, 3)
    for begin in (0, 3, 6):
        net.forward()
        order = [i % 5 for i in range(begin, begin + 3)]
        np.testing.assert_array_equal(net.blobs["data"].data, stored[order])
        np.testing.assert_array_equal(net.blobs["label"].data, order)


def test_two_layers_may_read_one_database_at_different_places(tmp_path: Path) -> None:
    source = write_lmdb(tmp_path / "db", [raw_datum(image, label) for label, image in enumerate(images(4))])
    first, second = data_net(source, 1), data_net(source, 1)
    first.forward()
    first.forward()
    second.forward()
    assert (first.blobs["label"].data[0], second.blobs["label"].data[0]) == (1, 0)


def test_a_batch_of_one_follows_each_datums_size(tmp_path: Path) -> None:
    stored = [images(1, height=h, width=w)[0] for h, w in ((4, 5), (7, 3))]
    net = data_net(write_lmdb(tmp_path / "db", [raw_datum(image) for image in stored]), 1)
    for image in (*stored, stored[0]):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, image[None])


def test_different_sizes_in_a_larger_batch_are_refused_by_key(tmp_path: Path) -> None:
    stored = [images(1, height=h)[0] for h in (4, 5)]
    net = data_net(write_lmdb(tmp_path / "db", [raw_datum(image) for image in stored]), 2)
    with pytest.raises(CaffeError, match=r"entry '00000001' of .*batch_size: 1"):
        net.forward()


def test_encoded_datums_decode_as_bgr_and_as_asked(tmp_path: Path) -> None:
    image = images(1, height=16, width=16)[0]
    datum = caffe_pb2.Datum(encoded=True, label=4)
    datum.data = cv2.imencode(".png", np.ascontiguousarray(image.transpose(1, 2, 0)))[1].tobytes()
    source = write_lmdb(tmp_path / "db", [datum])
    net = data_net(source, 1)
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data[0], image)
    gray = data_net(source, 1, "force_gray: true")
    gray.forward()
    expected = cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_BGR2GRAY)
    assert np.abs(gray.blobs["data"].data[0, 0] - expected).max() <= 1


def test_rand_skip_starts_later_and_repeatably(tmp_path: Path) -> None:
    source = write_lmdb(tmp_path / "db", [raw_datum(image, label) for label, image in enumerate(images(20))])
    starts = []
    for seed in (1, 1, 2, 3, 4):
        mode.set_random_seed(seed)
        net = data_net(source, 1, more="rand_skip: 20")
        net.forward()
        starts.append(int(net.blobs["label"].data[0]))
    assert starts[0] == starts[1]
    assert len(set(starts)) > 1


def test_sources_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match=r"cannot open database '.*nowhere'"):
        data_net(tmp_path / "nowhere", 1)
    source = write_lmdb(tmp_path / "db", [raw_datum(image) for image in images(1)])
    for transform, message in (("crop_size: 7", "crop_size 7 is larger"), ("force_gray: true", "this one is raw")):
        with pytest.raises(CaffeError, match=message):
            data_net(source, 1, transform).forward()


def test_a_database_may_be_removed_after_use(tmp_path: Path) -> None:
    source = write_lmdb(tmp_path / "db", [raw_datum(image, 7) for image in images(1)])
    others = set(threading.enumerate())
    net = data_net(source, 1)
    net.forward()
    del net
    for thread in set(threading.enumerate()) - others:
        thread.join(10)  # it may just be reading, and closes the database behind that
        assert not thread.is_alive()
    shutil.rmtree(source)
    write_lmdb(source, [raw_datum(image, 8) for image in images(1)])
    again = data_net(source, 1)
    again.forward()
    assert again.blobs["label"].data[0] == 8


def test_damaged_datums_are_named_by_key(tmp_path: Path) -> None:
    short = raw_datum(images(1)[0])
    short.height = 100
    net = data_net(write_lmdb(tmp_path / "db", [raw_datum(images(1)[0]), short]), 1)
    net.forward()
    with pytest.raises(CaffeError, match=r"entry '00000001' of .*3 x 100 x 8 holds 144 values"):
        net.forward()
    with pytest.raises(CaffeError, match="the Datum is empty"):
        data_net(write_lmdb(tmp_path / "empty", [caffe_pb2.Datum()]), 1)
    broken = caffe_pb2.Datum(encoded=True, data=b"\x89PNG but not really")
    with pytest.raises(CaffeError, match=r"entry '00000000' of .*[Cc]ould not decode"):
        data_net(write_lmdb(tmp_path / "broken", [broken]), 1)


def image_files(folder: Path) -> tuple[list[np.ndarray], Path]:
    stored = list(images(3, height=9, width=12))
    for i, image in enumerate(stored):
        cv2.imwrite(str(folder / f"picture {i}.png"), np.ascontiguousarray(image.transpose(1, 2, 0)))
    listing = folder / "list.txt"
    listing.write_text("".join(f"picture {i}.png {10 + i}\n" for i in range(3)))
    return stored, listing


def image_net(listing: Path, options: str = "", transform: str = "", root: str | None = None) -> Net:
    root = f"{listing.parent}{os.sep}" if root is None else root
    return build(
        f'layer {{ name: "i" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
        f'image_data_param {{ source: "{listing}" root_folder: "{root}" {options} }} }}'
    )


def test_imagedata_reads_files_in_order_and_wraps_round(tmp_path: Path) -> None:
    stored, listing = image_files(tmp_path)
    net = image_net(listing, "batch_size: 2", "mean_value: 10 mean_value: 20 mean_value: 30", root=str(tmp_path))
    mean = np.array([10, 20, 30], np.float32)[:, None, None]
    for order in ((0, 1), (2, 0)):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, [stored[i] - mean for i in order])
        np.testing.assert_array_equal(net.blobs["label"].data, [10 + i for i in order])


def test_imagedata_resizes_and_turns_gray(tmp_path: Path) -> None:
    stored, listing = image_files(tmp_path)
    net = image_net(listing, "new_height: 4 new_width: 5 is_color: false")
    net.forward()
    gray = cv2.cvtColor(np.ascontiguousarray(stored[0].transpose(1, 2, 0)), cv2.COLOR_BGR2GRAY)
    assert net.blobs["data"].shape == (1, 1, 4, 5)
    assert np.abs(net.blobs["data"].data[0, 0] - cv2.resize(gray, (5, 4))).max() <= 1


def test_imagedata_reads_jpeg_in_its_own_size(tmp_path: Path) -> None:
    stored, _ = image_files(tmp_path)
    smooth = cv2.resize(np.ascontiguousarray(stored[0].transpose(1, 2, 0)), (40, 30), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth)
    listing = tmp_path / "jpeg.txt"
    listing.write_text("a.jpg 1\npicture 0.png 2\n")
    net = image_net(listing)
    net.forward()
    assert net.blobs["data"].shape == (1, 3, 30, 40)
    np.testing.assert_array_equal(net.blobs["data"].data[0].transpose(1, 2, 0), cv2.imread(str(tmp_path / "a.jpg")))
    net.forward()
    assert net.blobs["data"].shape == (1, 3, 9, 12)


def test_imagedata_shuffles_each_round_anew_but_shows_every_image(tmp_path: Path) -> None:
    _, listing = image_files(tmp_path)
    mode.set_random_seed(5)
    net = image_net(listing, "shuffle: true batch_size: 3")
    rounds = []
    for _ in range(10):
        net.forward()
        rounds.append(tuple(net.blobs["label"].data))
    assert all(sorted(labels) == [10, 11, 12] for labels in rounds)
    assert len(set(rounds)) > 1


def test_imagedata_names_what_it_cannot_read(tmp_path: Path) -> None:
    _, listing = image_files(tmp_path)
    with pytest.raises(CaffeError, match=r"nowhere\.txt"):
        image_net(tmp_path / "nowhere.txt")
    listing.write_text("picture 0.png\n")
    with pytest.raises(CaffeError, match="line 1"):
        image_net(listing)
    listing.write_text("missing.png 3\n")
    with pytest.raises(CaffeError, match=r"missing\.png"):
        image_net(listing)
    (tmp_path / "text.png").write_text("no picture")
    listing.write_text("text.png 3\n")
    with pytest.raises(CaffeError, match=r"text\.png.*could not decode"):
        image_net(listing)
    with pytest.raises(CaffeError, match="new_height and new_width"):
        image_net(listing, "new_height: 3")


MEMORY = """layer { name: "m" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""


def test_memorydata_gives_the_arrays_batch_by_batch() -> None:
    net = build(MEMORY)
    data = np.random.default_rng(0).normal(size=(4, 3, 4, 5)).astype(np.float32)
    net.set_input_arrays(data, np.arange(4, dtype=np.float32))
    for begin in (0, 2, 0):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, data[begin : begin + 2])
        np.testing.assert_array_equal(net.blobs["label"].data, [begin, begin + 1])
    net.blobs["data"].data[...] = -1
    assert (data != -1).all()


def test_memorydata_refuses_what_does_not_fit() -> None:
    net = build(MEMORY)
    with pytest.raises(CaffeError, match="no data yet"):
        net.forward()
    for data, labels, message in (
        (np.zeros((2, 3, 4, 6)), np.zeros(2), r"must have shape \(n, 3, 4, 5\)"),
        (np.zeros((2, 3, 4, 5)), np.zeros(3), "must match"),
        (np.zeros((3, 3, 4, 5)), np.zeros(3), "multiple of batch size"),
    ):
        with pytest.raises(CaffeError, match=message):
            net.set_input_arrays(data, labels)
