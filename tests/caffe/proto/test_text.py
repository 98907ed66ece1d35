"""Prototxt in, prototxt out: what Caffe accepts is accepted, and what is wrong is said with place and remedy."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from support.caffe.prototxts import error_of
from support.reference_data import EXTRAS

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2, text


def test_everything_caffe_accepts() -> None:
    net = text.parse_net(
        """name: 'single' "and joined"  # a comment
        force_backward: true; state { phase: TRAIN, level: 0x1 }
        layer { name: 'c' type: "Convolution" bottom: 'data' top: 'c' param { lr_mult: 1. } param { lr_mult: 2.f decay_mult: 0 }
          convolution_param { num_output: 010 kernel_size: [3, 5] weight_filler: { type: "bilinear" } bias_filler: { }
            engine: CAFFE# right after a value
          } }
        layer: < name: "p" type: "Pooling" pooling_param < pool: 1 > >
        layer { name: "s" type: "Softmax" loss_weight: -1e-3 loss_weight: inf propagate_down: True propagate_down: f }
        """
    )
    assert net.name == "singleand joined"
    assert net.state.level == 1
    convolution = net.layer[0].convolution_param
    assert convolution.num_output == 8
    assert list(convolution.kernel_size) == [3, 5]
    assert convolution.weight_filler.type == "bilinear"
    assert convolution.HasField("bias_filler")
    assert convolution.engine == caffe_pb2.ConvolutionParameter.CAFFE
    assert net.layer[1].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert list(net.layer[2].propagate_down) == [True, False]
    assert list(net.layer[2].loss_weight)[1] == float("inf")
    assert not net.crop_aligns


def test_an_unknown_field_names_place_message_and_the_nearest_field() -> None:
    message = error_of('name: "x"\nlayer {\n  name: "i"\n\tmulti_stage_meanfeld_param { }\n}\n')
    first, line, caret = message.split("\n")
    assert first.startswith("net.prototxt:4:2: ")
    assert "caffe.LayerParameter" in first
    assert '"multi_stage_meanfeld_param"' in first
    assert "Did you mean multi_stage_meanfield_param" in first
    assert line.index("multi") == caret.index("^")


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ("layer { pooling_param { pool: MAXX } }", "1:31", ["PoolMethod", "MAXX", "Did you mean MAX?"]),
        ("layers { type: Convolution }", "1:16", ["LayerType", "Did you mean CONVOLUTION"]),
        ("layer { include { phase: test } }", "1:26", ["Phase", "Did you mean TEST?"]),
        ("layer { hinge_loss_param { norm: Huber } }", "1:34", ["It has L1, L2."]),
        ("layer {\n", "1:7", ['Expected "}"']),
        ("layer { name: 3 }", "1:15", ["Expected string", "3"]),
        ('name: "a" name: "b"', "1:17", ["multiple", "name"]),
        ("layer { convolution_param { num_output: -1 } }", "1:41", ["-1"]),
        ("force_backward: yes", "1:17", ["true"]),
        ('name: "a\nb"', "1:7", ["quote"]),
    ],
)
def test_errors_say_where_and_what(content: str, place: str, words: list[str]) -> None:
    message = error_of(content)
    assert message.startswith(f"net.prototxt:{place}: "), message
    for word in words:
        assert word in message


def test_a_missing_required_field_is_an_error() -> None:
    assert "layer[0].clip_param.max" in error_of('layer { type: "Clip" clip_param { min: 1 } }')


@pytest.mark.parametrize(
    "content", ["{" * 100_000, "layer {" * 100_000, "layer { param {" + "x {" * 50_000, "[" * 100_000]
)
def test_deep_nesting_is_one_short_error(content: str) -> None:
    assert len(error_of(content)) < 1000


def test_files_that_are_no_prototxt(tmp_path: Path) -> None:
    cases: dict[str, tuple[bytes | None, str]] = {
        "missing.prototxt": (None, "no such file"),
        "model.caffemodel": (b"\x0a\x04tiny\x00\xa2\x06", "binary"),
        "latin.prototxt": ('name: "x"\nlayer { name: "é" }\n'.encode("latin-1"), "2:16: not UTF-8"),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CaffeError, match=words) as caught:
            text.read_net(path)
        assert str(caught.value).startswith(str(path))
    with pytest.raises(CaffeError, match="directory"):
        text.read_net(tmp_path)
    with pytest.raises(CaffeError):
        text.read_solver("\0")


def test_comments_may_have_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "gbk.prototxt"
    path.write_bytes(b'\xef\xbb\xbfname: \'a#b\' # \xd6\xd0\xce\xc4\n# \xff "\nlayer { name: "\xc3\xa9" } # \xe9')
    net = text.read_net(path)
    assert (net.name, net.layer[0].name) == ("a#b", "é")


def test_text_is_printed_as_caffe_prints_it() -> None:
    for name in ("v0_upgraded", "v1_upgraded"):
        path = EXTRAS / f"{name}.prototxt"
        assert text.to_text(text.read_message(path, caffe_pb2.NetParameter())) == path.read_text()
    net = caffe_pb2.NetParameter(name="q\"'\\\n\té\x01", crop_aligns=True)
    assert text.to_text(net) == 'name: "q\\"\\\'\\\\\\n\\t\\303\\251\\001"\n'
    solver = caffe_pb2.SolverParameter(
        base_lr=1e-13, momentum=0.99, delta=1 / 3, weight_decay=float("inf"), power=float("nan")
    )
    assert text.to_text(solver) == "base_lr: 1e-13\npower: nan\nmomentum: 0.99\nweight_decay: inf\ndelta: 0.333333343\n"


@given(st.floats(width=32, allow_nan=False), st.text(), st.integers(-(2**31), 2**31 - 1))
def test_printed_text_reads_back_exactly(number: float, name: str, size: int) -> None:
    net = caffe_pb2.NetParameter(name=name.encode(errors="replace").decode())
    net.layer.add(name="l", loss_weight=[number]).scale_param.axis = size
    net.layer[0].blobs.add(double_data=[number / 3])
    back = text_format.Parse(text.to_text(net), caffe_pb2.NetParameter())
    assert back == net
    assert np.float32(back.layer[0].loss_weight[0]) == np.float32(number)


@given(st.text(alphabet="layer{}[]<>:\"'#\n 0.-e", max_size=60))
def test_no_text_raises_anything_else(content: str) -> None:
    with suppress(CaffeError):
        text.parse_net(content)
