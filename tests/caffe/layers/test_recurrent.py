"""RNN and LSTM: states that go on, and that are handed in and out."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layer_options import RANDOM, run
from support.caffe.layers import build, random

pytestmark = pytest.mark.usefixtures("compute")


def test_recurrent_layers_go_on_from_the_last_state_until_cont_is_zero() -> None:
    layers = """layer { name: "x" type: "Input" top: "x" top: "c"
                  input_param { shape { dim: %d dim: 2 dim: 3 } shape { dim: %d dim: 2 } } }
                layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param { num_output: 4
                  weight_filler { type: "uniform" min: -1 max: 1 } } }"""
    whole, halves = build(layers % (4, 4)), build(layers % (2, 2))
    halves.share_with(whole)
    x = random(4, 2, 3)
    whole.blobs["x"].data[...], whole.blobs["c"].data[...] = x, [[0, 0], [1, 1], [1, 0], [1, 1]]
    whole.forward()
    for begin in (0, 2):
        halves.blobs["x"].data[...] = x[begin : begin + 2]
        halves.blobs["c"].data[...] = whole.blobs["c"].data[begin : begin + 2]
        halves.forward()
        np.testing.assert_allclose(halves.blobs["y"].data, whole.blobs["y"].data[begin : begin + 2], atol=1e-6)


def test_rnn_states_carry_a_sequence_on() -> None:
    layer = """layer { name: "l" type: "RNN" bottom: "x" bottom: "c" bottom: "h" top: "y" top: "end"
      recurrent_param { num_output: 3 expose_hidden: true bias_filler { type: "constant" value: 7 } } }"""
    x = RANDOM.standard_normal((4, 2, 5)).astype(np.float32)
    cont = np.ones((4, 2), np.float32)
    start = RANDOM.standard_normal((1, 2, 3)).astype(np.float32)
    shapes = ((3, 5), (3,), (3, 3), (3, 3), (3,))
    params = tuple(RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes)
    whole = run(layer, {"x": x, "c": cont, "h": start}, params)
    first = run(layer, {"x": x[:2], "c": cont[:2], "h": start}, params)
    second = run(layer, {"x": x[2:], "c": cont[2:], "h": first["end"]}, params)
    np.testing.assert_allclose(np.concatenate([first["y"], second["y"]]), whole["y"], atol=1e-6)
    np.testing.assert_allclose(second["end"], whole["end"], atol=1e-6)
    # By the formula, and with the biases that the filler gave.
    weights = (params[0], np.full(3, 7, np.float32), params[2], params[3], np.full(3, 7, np.float32))
    hidden = np.tanh(start[0] @ weights[2].T + x[0] @ weights[0].T + 7)
    for given in (weights, ()):
        filled = run(layer, {"x": x[:1], "c": cont[:1], "h": start}, given)
        expected = np.tanh(hidden @ weights[3].T + 7) if given else np.full((2, 3), np.tanh(7))
        np.testing.assert_allclose(filled["y"][0], expected, atol=1e-6)
