"""Images of the kinds that are meant pass to their decoders; others, and headers that lie, do not."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.data.datum import datum_image, decode_image
from caffe.errors import CaffeError
from caffe.inputs.images import MASKS, PHOTOGRAPHS, opened
from caffe.proto import caffe_pb2, text
from crfasrnn.pictures.label_maps import read_labels
from crfasrnn.pictures.photographs import read_image

pytestmark = pytest.mark.usefixtures("bounded_memory")

PIXELS = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)


def saved(kind: str, pixels: np.ndarray = PIXELS) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", PHOTOGRAPHS)
def test_the_kinds_that_are_meant(tmp_path: Path, kind: str) -> None:
    content = saved(kind, np.repeat(PIXELS[..., None], 3, 2))
    assert opened(content).size == (7, 5)
    (tmp_path / "a").write_bytes(content)
    assert read_image(tmp_path / "a").shape == (5, 7, 3)
    if kind != "GIF":
        assert caffe.io.load_image(str(tmp_path / "a")).shape == (5, 7, 3)
    if kind in MASKS:
        (tmp_path / "mask").write_bytes(saved(kind))
        assert read_labels(tmp_path / "mask").shape == PIXELS.shape
    else:
        with pytest.raises(CaffeError, match="another kind than PNG, BMP, GIF"):
            opened(content, MASKS)


@pytest.mark.parametrize("kind", ["DDS", "ICO", "JPEG2000", "TGA", "PCX", "SGI"])
def test_other_kinds_are_refused_by_every_reader(tmp_path: Path, kind: str) -> None:
    content = saved(kind)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_image, read_labels, caffe.io.load_image):
        with pytest.raises(CaffeError, match=r"a\.png'?: .*another kind than "):
            read(str(path))
    with pytest.raises(CaffeError, match="another kind than JPEG, PNG"):
        datum_image(caffe_pb2.Datum(encoded=True, data=content))


def test_postscript_starts_no_program(tmp_path: Path) -> None:
    """Pillow hands it to whatever is called gs."""
    log, gs, picture = tmp_path / "log", tmp_path / "gs", tmp_path / "mask.png"
    gs.write_text(f"#!/bin/sh\necho $@ >> {log}\n[ $1 = --version ] && echo 10.0\nexit 0\n")
    gs.chmod(0o755)
    picture.write_bytes(
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%Page: 1 1\n%ImageData: 8 8 8 1 0 1 1 "image"\n%%EOF\n'
    )
    program = (
        "import sys, caffe\nfrom crfasrnn.pictures.label_maps import read_labels\n"
        "from crfasrnn.pictures.photographs import read_image\n"
        "for read in (read_labels, read_image, caffe.io.load_image):\n"
        "    try: read(sys.argv[1])\n"
        "    except caffe.CaffeError as error: print(error)\n"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = [sys.executable, "-c", program, str(picture)]
    printed = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.count("another kind") == 3
    assert not log.exists()


def test_addresses_are_names_of_files() -> None:
    with pytest.raises(CaffeError, match="no such file"):
        caffe.io.load_image("http://127.0.0.1:9/a.png")


@pytest.mark.parametrize("flag", [cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED])
def test_headers_that_lie_are_refused(flag: int) -> None:
    whole = png(7, 5, chunk(b"IDAT", zlib.compress(bytes(5 * 8))))
    assert decode_image(whole, flag).shape[1:] == (5, 7)
    zeros = zlib.compress(bytes(100))
    hostile = {
        "no checksum": whole[:29] + bytes(4) + whole[33:],
        "a chunk of 4 GB": whole[:33] + struct.pack(">I", 0xFFFFFF11) + whole[37:],
        "a later chunk of 4 GB": png(7, 5, chunk(b"tEXt", b"a\0b"))[:-12] + struct.pack(">I4s", 0xFFFFFF11, b"IDAT"),
        "a gigapixel": png(1 << 15, 1 << 15, chunk(b"IDAT", zeros)),
        "81 million pixels": png(9000, 9000, chunk(b"IDAT", zeros)),
        "nothing": b"",
    }
    for name, content in hostile.items():
        with pytest.raises(CaffeError):
            pytest.fail(f"{name}: {decode_image(content, flag).shape}")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ('type: "ImageData" image_data_param { source: "%s" new_height: 65536 new_width: 65536 }', "new_height 65536"),
        (
            'type: "WindowData" window_data_param { source: "%s" } transform_param { crop_size: 65536 }',
            "crop_size 65536",
        ),
    ],
)
def test_sizes_that_opencv_cannot_take_are_refused(tmp_path: Path, layer: str, words: str) -> None:
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    (tmp_path / "list").write_text(f"{tmp_path}/a.png 3\n")
    definition = f'layer {{ name: "d" top: "data" top: "label" {layer % (tmp_path / "list")} }}'
    with pytest.raises(CaffeError, match=f"{words}.* more than 80000000 pixels"):
        caffe.Net(text.parse_net(definition), caffe.TRAIN)


def test_convert_imageset_refuses_such_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    (tmp_path / "list").write_text("a.png 3\n")
    sizes = ["-resize_width=65536", "-resize_height=65536"]
    run = [
        sys.executable,
        "-m",
        "caffe.tools.convert_imageset",
        *sizes,
        f"{tmp_path}/",
        f"{tmp_path}/list",
        f"{tmp_path}/db",
    ]
    result = subprocess.run(run, capture_output=True, text=True)
    assert result.returncode == 1
    assert "make more than 80000000 pixels" in result.stderr
    assert not (tmp_path / "db").exists()
