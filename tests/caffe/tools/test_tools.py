"""Caffe's tools, run as commands: databases, means, features and upgrades, against golden files and plain numpy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from support.reference_data import TESTS, shared_path

import caffe
from caffe.proto import caffe_pb2, model_file, text
from caffe.tools import (
    classify,
    compute_image_mean,
    convert_imageset,
    detect,
    extract_features,
    upgrade_net_proto_binary,
    upgrade_net_proto_text,
    upgrade_solver_proto_text,
)

EXTRAS = TESTS / "golden" / "extras"
FILES = TESTS / "golden" / "files"


def datums(path: Path) -> list[tuple[str, caffe_pb2.Datum]]:
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(bytes(k).decode(), caffe_pb2.Datum.FromString(v)) for k, v in transaction.cursor()]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with four small images, one grey, and list.txt."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, shape in (("a b.png", (6, 8, 3)), ("sub/c.png", (6, 8, 3)), ("d.jpg", (10, 12, 3)), ("e.png", (7, 5))):
        cv2.imwrite(str(folder / name), random.integers(0, 256, shape, np.uint8))
    (tmp_path / "list.txt").write_text("a b.png 3\nsub/c.png 0\nd.jpg 7\ne.png -1\n")
    return folder


def convert(photos: Path, *flags: str, name: str = "db") -> list[tuple[str, caffe_pb2.Datum]]:
    target = photos.parent / name
    assert convert_imageset.main([*flags, f"{photos}/", str(photos.parent / "list.txt"), str(target)]) == 0
    assert not list(photos.parent.glob(f".{name}*"))
    return datums(target)


def test_imagesets_hold_the_pixels(photos: Path) -> None:
    entries = convert(photos)
    assert [key for key, _ in entries] == ["00000000_a b.png", "00000001_sub/c.png", "00000002_d.jpg", "00000003_e.png"]
    assert [datum.label for _, datum in entries] == [3, 0, 7, -1]
    for key, datum in entries:
        pixels = cv2.imread(str(photos / key[9:]))
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels.transpose(2, 0, 1))


def test_imagesets_resized_grey_and_shuffled(photos: Path) -> None:
    entries = convert(
        photos, "-gray", "--resize_width=4", "-resize_height", "3", "-check_size", "-shuffle", "-seed", "1"
    )
    assert sorted(key[9:] for key, _ in entries) == ["a b.png", "d.jpg", "e.png", "sub/c.png"]
    assert [key[9:] for key, _ in entries] != ["a b.png", "sub/c.png", "d.jpg", "e.png"]
    for key, datum in entries:
        pixels = cv2.resize(cv2.imread(str(photos / key[9:]), cv2.IMREAD_GRAYSCALE), (4, 3))
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels[np.newaxis])


def test_encoded_imagesets_keep_the_files_bytes(photos: Path) -> None:
    entries = convert(photos, "-encoded")
    for key, datum in entries[:3]:
        assert datum.encoded
        assert datum.data == (photos / key[9:]).read_bytes()
    # The grey file becomes a colour image like the others.
    assert caffe.io.datum_to_array(entries[3][1]).shape == (3, 7, 5)
    as_png = convert(photos, "-encode_type", "png", name="png")
    pixels = cv2.imread(str(photos / "d.jpg")).transpose(2, 0, 1)
    np.testing.assert_array_equal(caffe.io.datum_to_array(as_png[2][1]), pixels)


def test_a_database_that_outgrows_its_first_map(tmp_path: Path) -> None:
    from caffe.data.db import new_database

    value = np.random.default_rng(0).bytes(1 << 22)
    with new_database(tmp_path / "large") as put:
        for index in range(20):
            put(b"%04d" % index, value)
    with lmdb.open(str(tmp_path / "large"), readonly=True) as environment, environment.begin() as transaction:
        assert transaction.stat()["entries"] == 20
        assert bytes(transaction.get(b"0019")) == value


def test_unreadable_images_are_left_out(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (photos / "d.jpg").write_text("no picture")
    (photos / "e.png").unlink()
    assert [datum.label for _, datum in convert(photos)] == [3, 0]
    log = capfd.readouterr().err
    assert "Could not open or find file" in log
    assert "d.jpg" in log
    assert "e.png" in log


def test_means_are_those_of_numpy(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entries = convert(photos, "-resize_width=9", "-resize_height=8")
    target = photos.parent / "mean.binaryproto"
    assert compute_image_mean.main([str(photos.parent / "db"), str(target)]) == 0
    expected = np.mean([caffe.io.datum_to_array(datum) for _, datum in entries], axis=0)
    blob = caffe_pb2.BlobProto.FromString(target.read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 8, 9)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob)[0], expected, rtol=1e-6)
    assert f"mean_value channel [0]: {expected[0].mean():g}" in capfd.readouterr().err


def test_mean_of_float_datums(capfd: pytest.CaptureFixture[str]) -> None:
    source = shared_path("golden", "extras", "f32_lmdb")
    assert compute_image_mean.main([str(source)]) == 0
    expected = np.mean([caffe.io.datum_to_array(datum) for _, datum in datums(source)], axis=(0, 2, 3))
    log = capfd.readouterr().err
    for channel, value in enumerate(expected):
        assert f"mean_value channel [{channel}]: {value:g}" in log


def test_features_are_what_the_net_computes(photos: Path) -> None:
    convert(photos, "-resize_width=6", "-resize_height=5")
    definition = photos.parent / "net.prototxt"
    definition.write_text(
        f"""layer {{ name: "data" type: "Data" top: "data" top: "label"
          data_param {{ source: "{photos.parent}/db" batch_size: 3 }} }}
        layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param {{ num_output: 2 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}"""
    )
    caffe.set_random_seed(0)
    net = caffe.Net(str(definition), caffe.TEST)
    net.save(photos.parent / "net.caffemodel")
    targets = [photos.parent / "features", photos.parent / "labels"]
    words = [
        str(photos.parent / "net.caffemodel"),
        str(definition),
        "conv,label",
        ",".join(map(str, targets)),
        "2",
        "lmdb",
    ]
    assert extract_features.main(words) == 0
    expected = []
    for _ in range(2):
        net.forward()
        expected += [(net.blobs["conv"].data[k].copy(), net.blobs["label"].data[k]) for k in range(3)]
    conv, labels = datums(targets[0]), datums(targets[1])
    assert [key for key, _ in conv] == [f"{k:010d}" for k in range(6)]
    for (values, label), (_, feature), (_, its_label) in zip(expected, conv, labels, strict=True):
        assert (feature.channels, feature.height, feature.width) == (2, 3, 4)
        np.testing.assert_array_equal(np.array(feature.float_data, np.float32).reshape(2, 3, 4), values)
        assert list(its_label.float_data) == [label]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_old_nets_are_written_as_caffe_writes_them(
    version: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, target = EXTRAS / f"{version}_in.prototxt", tmp_path / "new.prototxt"
    assert upgrade_net_proto_text.main([str(source), str(target)]) == 0
    assert target.read_text() == (EXTRAS / f"{version}_upgraded.prototxt").read_text()
    assert f"Wrote upgraded NetParameter text proto to {target}" in capfd.readouterr().err
    assert upgrade_net_proto_text.main([str(target), str(tmp_path / "again.prototxt")]) == 0
    assert "File already in latest proto format" in capfd.readouterr().err
    assert (tmp_path / "again.prototxt").read_text() == target.read_text()


def test_old_solvers_are_written_as_caffe_writes_them(tmp_path: Path) -> None:
    target = tmp_path / "new.prototxt"
    assert upgrade_solver_proto_text.main([str(EXTRAS / "solver_old.prototxt"), str(target)]) == 0
    assert target.read_text() == (EXTRAS / "solver_upgraded.prototxt").read_text()


def test_an_upgrade_that_lost_something_exits_with_1(tmp_path: Path) -> None:
    source = tmp_path / "both.prototxt"
    source.write_text('layer { name: "new" } layers { name: "old" type: RELU bottom: "x" top: "y" }')
    assert upgrade_net_proto_text.main([str(source), str(tmp_path / "out.prototxt")]) == 1
    assert [layer.name for layer in text.read_net(tmp_path / "out.prototxt").layer] == ["old"]


def test_old_weights_are_upgraded_with_their_net(tmp_path: Path) -> None:
    source, target = FILES / "tiny_init_V1_legacyshape.caffemodel", tmp_path / "new.caffemodel"
    assert upgrade_net_proto_binary.main([str(source), str(target)]) == 0
    net = caffe_pb2.NetParameter.FromString(target.read_bytes())
    assert not net.layers
    assert all(layer.type for layer in net.layer)
    before, after = model_file.read_model(source), model_file.read_model(target)
    assert [layer.name for layer in before] == [layer.name for layer in after]
    for old, new in zip(before, after):
        for a, b in zip(old.blobs, new.blobs, strict=True):
            np.testing.assert_array_equal(a, b)


CIFAR = ("caffemodels", "cifar_v2")


def test_classify_stores_what_the_classifier_says(photos: Path) -> None:
    folder = shared_path(*CIFAR)
    model = [str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")]
    np.save(photos.parent / "mean.npy", np.array([113.9, 123.0, 125.3]))
    target = photos.parent / "scores.npy"
    flags = ["--model_def", model[0], "--pretrained_model", model[1], "--images_dim=36,40"]
    flags += ["--mean_file", str(photos.parent / "mean.npy"), "--ext", "png"]
    assert classify.main([*flags, str(photos), str(target)]) == 0
    classifier = caffe.Classifier(
        *model, (36, 40), np.array([113.9, 123.0, 125.3]), input_scale=1.0, raw_scale=255.0, channel_swap=(2, 1, 0)
    )
    pictures = [caffe.io.load_image(photos / name) for name in ("a b.png", "e.png")]
    np.testing.assert_array_equal(np.load(target), classifier.predict(pictures))
    assert classify.main([*flags, "--center_only", str(photos / "d.jpg"), str(target)]) == 0
    assert np.load(target).shape == (1, 10)


def test_detect_stores_what_the_detector_says(photos: Path) -> None:
    folder = shared_path(*CIFAR)
    model = [str(folder / "cifar10_full.prototxt"), str(folder / "cifar10_full_iter_70000.caffemodel")]
    listing = photos.parent / "windows.csv"
    listing.write_text(
        f"filename,ymin,xmin,ymax,xmax\n{photos}/d.jpg,1,2,7,8\n{photos}/d.jpg,0,0,10,12\n{photos}/e.png,0,0,5,5\n"
    )
    flags = ["--model_def", model[0], "--pretrained_model", model[1], "--context_pad=4"]
    target = photos.parent / "found.csv"
    assert detect.main([*flags, str(listing), str(target)]) == 0
    rows = [line.split(",") for line in target.read_text().splitlines()]
    assert rows[0] == [*(f"class{k}" for k in range(10)), "ymin", "xmin", "ymax", "xmax", "filename"]
    detector = caffe.Detector(*model, input_scale=1.0, raw_scale=255.0, channel_swap=(2, 1, 0), context_pad=4)
    windows = [(f"{photos}/d.jpg", [(1, 2, 7, 8), (0, 0, 10, 12)]), (f"{photos}/e.png", [(0, 0, 5, 5)])]
    for row, found in zip(rows[1:], detector.detect_windows(windows), strict=True):
        np.testing.assert_array_equal([float(value) for value in row[:10]], found["prediction"])
        assert row[10:] == [*map(str, found["window"]), found["filename"]]
    assert detect.main([*flags, str(listing), str(photos.parent / "found.h5")]) == 0


@pytest.mark.parametrize(
    ("tool", "words", "message"),
    [
        (convert_imageset.main, ["images/", "nowhere.txt", "out"], "nowhere.txt"),
        (convert_imageset.main, ["images/", "bad.txt", "out"], "bad.txt, line 1"),
        (convert_imageset.main, ["-check_size", "images/", "list.txt", "out"], "Incorrect data field size"),
        (convert_imageset.main, ["-encode_type=exe", "images/", "list.txt", "out"], "none of the 4 images"),
        (convert_imageset.main, ["images/", "list.txt", "images"], "exists already"),
        (convert_imageset.main, ["images/", "list.txt", "nowhere/out"], "cannot create database"),
        (convert_imageset.main, ["-backend=bdb", "images/", "list.txt", "out"], "it is lmdb or leveldb"),
        (convert_imageset.main, ["-shufle", "images/", "list.txt", "out"], "unknown command line flag 'shufle'"),
        (convert_imageset.main, ["-gray=maybe", "images/", "list.txt", "out"], "illegal value 'maybe'"),
        (convert_imageset.main, ["-resize_width", "x", "images/", "list.txt", "out"], "illegal value 'x'"),
        (convert_imageset.main, ["images/", "list.txt"], "usage: convert_imageset"),
        (compute_image_mean.main, ["nowhere"], "cannot open database 'nowhere'"),
        (compute_image_mean.main, [], "usage: compute_image_mean"),
        (upgrade_net_proto_text.main, ["nowhere.prototxt", "out"], "nowhere.prototxt: no such file"),
        (upgrade_net_proto_text.main, ["bad.txt", "out"], "bad.txt:1"),
        (upgrade_net_proto_binary.main, ["bad.txt", "out"], "bad.txt"),
        (upgrade_solver_proto_text.main, ["bad.txt", "out"], "bad.txt:1"),
        (upgrade_solver_proto_text.main, ["one"], "Usage: upgrade_solver_proto_text"),
        (extract_features.main, ["a", "b", "x,y", "out", "1", "lmdb"], "must be equal"),
        (extract_features.main, ["a", "b", "x", "out", "none", "lmdb"], "num_mini_batches"),
        (extract_features.main, ["a", "b", "x", "out", "1", "lmdb", "TPU"], "CPU or GPU"),
        (extract_features.main, ["a", "b", "x", "out", "1", "lmdb"], "b: no such file"),
        (classify.main, ["images", "out.npy"], "--model_def FILE"),
        (
            classify.main,
            ["--model_def=a", "--pretrained_model=b", "--images_dim=3", "images", "out"],
            "takes 2 whole numbers",
        ),
        (
            classify.main,
            ["--model_def=a", "--pretrained_model=b", "--ext=gif", "images", "out"],
            "no file that ends in .gif",
        ),
        (detect.main, ["--model_def=a", "--pretrained_model=b", "bad.txt", "out.csv"], "lacks filename, ymin"),
        (detect.main, ["--model_def=a", "--pretrained_model=b", "bad.txt", "out.xls"], "Unknown output file extension"),
    ],
)
def test_wrong_use_is_one_message_and_exit_1(
    tool: Callable[[list[str]], int],
    words: list[str],
    message: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("bad.txt").write_text("what is this\n")
    before = sorted(Path().rglob("*"))
    assert tool(words) == 1
    assert message in capfd.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_the_installed_commands_run(tmp_path: Path) -> None:
    command = shutil.which("convert_imageset", path=str(Path(sys.executable).parent))
    runs = [[sys.executable, "-m", "caffe.tools.convert_imageset"]] + ([[command]] if command else [])
    for run in runs:
        done = subprocess.run([*run, "-help"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0
        assert "usage: convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME" in done.stderr
        done = subprocess.run(
            [*run, "a", "b", "c"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert "convert_imageset.cpp" not in done.stdout
        assert "cannot read the image list 'b'" in done.stderr
        assert "Traceback" not in done.stderr
