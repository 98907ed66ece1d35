"""Weights from files: by name, checked before anything is written; upsampling where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.caffe.nets import CONV

import caffe
from caffe import mode
from caffe.errors import CaffeError

pytestmark = pytest.mark.usefixtures("compute")


def test_weights_round_trip_and_mismatches(write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = caffe.Net(write(CONV), caffe.TEST)
    for suffix, save in ((".caffemodel", source.save), (".caffemodel.h5", source.save_hdf5)):
        save(str(tmp_path / f"w{suffix}"))
        other = caffe.Net(write(CONV), str(tmp_path / f"w{suffix}"), caffe.TEST)
        for name in source.params:
            for ours, theirs in zip(source.params[name], other.params[name]):
                np.testing.assert_array_equal(ours.data, theirs.data)
    wrong = write(CONV.replace("num_output: 4", "num_output: 5"), "wrong.prototxt")
    words = "Cannot copy param 0 weights from layer 'conv'; shape mismatch.  Source param shape is 4 3 3 3 \\(108\\); target"
    with pytest.raises(CaffeError, match=words):
        caffe.Net(wrong, str(tmp_path / "w.caffemodel"), caffe.TEST)
    renamed = write(CONV.replace('name: "a"', 'name: "new"'), "renamed.prototxt")
    with caplog.at_level("WARNING", "caffe"):
        caffe.Net(renamed, str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert "has no weights for: new" in caplog.text


@pytest.mark.parametrize(
    ("filler", "rate", "told"),
    [("bilinear", 0, False), ("constant", 0, False), ("bilinear", 1, True), ("msra", 0, True)],
)
def test_what_is_fixed_by_its_filler_needs_no_weights(
    write, tmp_path: Path, caplog: pytest.LogCaptureFixture, filler: str, rate: int, told: bool
) -> None:
    up = f"""
layer {{ name: "up" type: "Deconvolution" bottom: "conv" top: "up" param {{ lr_mult: {rate} }} convolution_param {{
  num_output: 4 group: 4 kernel_size: 4 stride: 2 bias_term: false weight_filler {{ type: "{filler}" value: 1 }} }} }}
"""
    caffe.Net(write(CONV), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    with caplog.at_level("WARNING", "caffe"):
        caffe.Net(write(CONV + up, "up.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert ("has no weights for: up" in caplog.text) == told


def test_layers_that_share_all_their_weights_need_none(write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    step = """
layer {{ name: "step{0}" type: "Convolution" bottom: "conv" top: "step{0}" param {{ name: "w" }} param {{ name: "b" }}
  convolution_param {{ num_output: 2 kernel_size: 1 weight_filler {{ type: "gaussian" std: 0.3 }} }} }}
"""
    one, two = step.format(1), step.format(2)
    trained = caffe.Net(write(CONV + one), caffe.TEST)
    trained.save(str(tmp_path / "w.caffemodel"))
    with caplog.at_level("WARNING", "caffe"):
        longer = caffe.Net(write(CONV + one + two, "longer.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
        assert not caplog.records
        np.testing.assert_array_equal(longer.params["step2"][0].data, trained.params["step1"][0].data)
        caffe.Net(write(CONV + two + step.format(3), "other.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert "has no weights for: step2. They" in caplog.text


def test_a_file_of_which_no_layer_fits(
    write, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pycaffe goes on, with lines in the log; commands stop, and say how to go on."""
    caffe.Net(write(CONV), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    nobody = write(CONV.replace('name: "conv"', 'name: "c"').replace('name: "a"', 'name: "b"'), "nobody.prototxt")
    caplog.set_level("INFO", "caffe")

    def load() -> None:
        caplog.clear()
        net = caffe.Net(nobody, caffe.TEST)
        before = net.params["b"][0].data.copy()
        net.copy_from(str(tmp_path / "w.caffemodel"))
        np.testing.assert_array_equal(net.params["b"][0].data, before)
        assert "Ignoring source layer conv" in caplog.text
        assert "has no weights for: c, b. They keep their initial values." in caplog.text

    load()
    with mode.insisting_on_weights():
        with pytest.raises(CaffeError, match=r"no layer of this file is in the net .* Set CAFFE_ALLOW_NO_WEIGHTS=1"):
            load()
        monkeypatch.setenv("CAFFE_ALLOW_NO_WEIGHTS", "1")
        load()


def test_zero_deconvolution_becomes_diagonal_bilinear(write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = CONV + (
        'layer { name: "up" type: "Deconvolution" bottom: "a" top: "up" '
        "convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false } }"
    )
    source = caffe.Net(write(CONV), caffe.TEST)
    source.save(str(tmp_path / "w.caffemodel"))
    with caplog.at_level("WARNING", "caffe"):
        net = caffe.Net(write(text, "up.prototxt"), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert "all-zero weights" in caplog.text
    ramp = np.array([0.25, 0.75, 0.75, 0.25])
    weight = net.params["up"][0].data
    np.testing.assert_allclose(weight[0, 0], np.outer(ramp, ramp))
    assert not weight[0, 1].any()
