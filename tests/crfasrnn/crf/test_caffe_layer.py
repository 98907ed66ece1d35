"""MultiStageMeanfield as a layer of nets: its options in every dialect, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.refiner_nets import COMMON, NET

import caffe
from caffe.errors import CaffeError


def load(folder: Path, options: str, height: int = 6) -> caffe.Net:
    (folder / "net.prototxt").write_text(NET.format(options=options, width=height))
    return caffe.Net(str(folder / "net.prototxt"), caffe.TEST)


def param(fields: str) -> str:
    return f"multi_stage_meanfield_param {{ {COMMON} {fields} }}"


DIALECTS = {
    "2015": param("spatial_filter_weight: 3 bilateral_filter_weight: 5"),
    "2018": param('spatial_filter_weights_str: "3 3 3" bilateral_filter_weights_str: "5  5\\t5"'),
    "stock Caffe": f'python_param {{ param_str: "{COMMON} spatial_filter_weight: 3 bilateral_filter_weight: 5" }}',
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_starts_from_the_same_parameters(tmp_path: Path, dialect: str) -> None:
    net = load(tmp_path, DIALECTS[dialect])
    for blob, start in zip(net.params["crf"], (3, 5, -1), strict=True):
        np.testing.assert_array_equal(blob.data, start * np.eye(3)[None, None])


def test_further_kernels_start_from_their_own_weights(tmp_path: Path) -> None:
    net = load(tmp_path, param("bilateral_filter_weight: 5 bilateral { weight: 0.5 } bilateral { theta_beta: 20 }"))
    for blob, start in zip(net.params["crf"], (1, 5, -1, 0.5, 1), strict=True):
        np.testing.assert_array_equal(blob.data, start * np.eye(3)[None, None])


def test_weights_from_par_files_beside_the_prototxt(tmp_path: Path) -> None:
    (tmp_path / "spatial.par").write_text("1\n2\n3\n")
    (tmp_path / "bilateral.par").write_text("4 5.5 6\n")
    net = load(tmp_path, param(""))
    np.testing.assert_array_equal(net.params["crf"][0].data[0, 0], np.diag([1, 2, 3]))
    np.testing.assert_array_equal(net.params["crf"][1].data[0, 0], np.diag([4, 5.5, 6]))
    stated = load(tmp_path, param("spatial_filter_weight: 7 bilateral_filter_weight: 8"))
    np.testing.assert_array_equal(stated.params["crf"][0].data[0, 0], 7 * np.eye(3))
    (tmp_path / "spatial.par").write_text("1 2")
    with pytest.raises(CaffeError, match=r"spatial\.par has 2 numbers, but the unary has 3 classes"):
        load(tmp_path, param(""))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (param("").replace("iterations: 2", "iterations: 0"), "num_iterations must be at least 1"),
        (
            param("").replace("iterations: 2", "iterations: 4294967295"),
            "num_iterations must be .* at most 10000, not 4294967295",
        ),
        (param("").replace("beta: 3", "beta: 0"), "theta_beta must be a positive number"),
        (param("").replace("gamma: 3", "gamma: nan"), "theta_gamma must be a positive number"),
        (param('spatial_filter_weights_str: "3 3"'), "has 2 numbers, but the unary has 3 classes"),
        (param('bilateral_filter_weights_str: "3 3 x"'), "could not convert string to float: 'x'"),
        ('python_param { param_str: "num_iteration: 5" }', "param_str is not a MultiStageMeanfieldParameter"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: str, words: str) -> None:
    with pytest.raises(CaffeError, match=words) as caught:
        load(tmp_path, options)
    assert "'crf'" in str(caught.value)


def test_image_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CaffeError, match=r"image bottom 'd' has shape \(1, 3, 7, 8\), but the unary bottom 'u' has \(1, 3, 6, 8\)"
    ):
        load(tmp_path, param(""), height=7)


def test_size_and_batch_may_change_between_forwards(tmp_path: Path) -> None:
    net = load(tmp_path, param(""))
    rng = np.random.default_rng(0)
    for shape in ((1, 3, 6, 8), (2, 3, 5, 9), (1, 3, 1, 1)):
        data = {name: rng.normal(size=shape) for name in "uqd"}
        for name in data:
            net.blobs[name].reshape(*shape)
        assert net.forward(**data)["p"].shape == shape
        assert np.isfinite(net.blobs["p"].data).all()
