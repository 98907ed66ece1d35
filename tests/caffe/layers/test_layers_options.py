"""Options that can be told by another way to say the same: axes against transposed blobs, old spellings against new, fillers."""

from __future__ import annotations

from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")


def run(layer: str, inputs: dict[str, np.ndarray], params: tuple[np.ndarray, ...] = ()) -> dict[str, np.ndarray]:
    """What one layer makes of its inputs: {top: values}."""
    definition = ""
    for name, value in inputs.items():
        dims = " ".join(f"dim: {length}" for length in value.shape)
        definition += f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'
    net = caffe.Net(text_format.Parse(definition + layer, caffe_pb2.NetParameter()), caffe.TEST)
    for name, value in inputs.items():
        net.blobs[name].data[...] = value
    for blob, value in zip(net.layers[-1].blobs, params):
        blob.data[...] = value
    return {name: value.copy() for name, value in net.forward().items()}


RANDOM = np.random.default_rng(0)
SCORES = RANDOM.standard_normal((2, 4, 3)).astype(np.float32)
LABELS = RANDOM.integers(0, 4, (2, 3)).astype(np.float32)
MATRIX = RANDOM.random((4, 4)).astype(np.float32)


def test_accuracy_axis() -> None:
    layer = 'layer {{ name: "l" type: "Accuracy" bottom: "s" bottom: "y" top: "a" accuracy_param {{ axis: {} }} }}'
    expected = (SCORES.argmax(1) == LABELS).mean()
    assert run(layer.format(1), {"s": SCORES, "y": LABELS})["a"] == pytest.approx(expected)
    last = run(layer.format(-1), {"s": SCORES.transpose(0, 2, 1), "y": LABELS})["a"]
    assert last == pytest.approx(expected)


def test_infogain_axis() -> None:
    layer = 'layer {{ type: "InfogainLoss" bottom: "s" bottom: "y" bottom: "h" top: "l" infogain_loss_param {{ axis: {} }} }}'
    matrix = MATRIX[None, None]
    first = run(layer.format(1), {"s": SCORES, "y": LABELS, "h": matrix})["l"]
    last = run(layer.format(2), {"s": SCORES.transpose(0, 2, 1), "y": LABELS, "h": matrix})["l"]
    assert first == pytest.approx(last)
    logs = SCORES - np.log(np.exp(SCORES).sum(1, keepdims=True))
    rows = MATRIX[LABELS.astype(int)].transpose(0, 2, 1)
    assert first == pytest.approx(-(rows * logs).sum() / LABELS.size, rel=1e-5)


@pytest.mark.parametrize("layer_type", ["SigmoidCrossEntropyLoss", "InfogainLoss"])
def test_normalize_is_the_old_word_for_normalization(layer_type: str) -> None:
    layer = f'layer {{{{ type: "{layer_type}" bottom: "s" bottom: "y"%s top: "l" loss_param {{{{ ignore_label: 1 {{}} }}}} }}}}'
    layer = layer % (' bottom: "h"' if layer_type == "InfogainLoss" else "")
    inputs = {"s": SCORES, "y": LABELS}
    if layer_type == "InfogainLoss":
        inputs["h"] = MATRIX[None, None]
    else:
        inputs["y"] = RANDOM.integers(0, 2, SCORES.shape).astype(np.float32)
    for old, new in (("normalize: true", "normalization: VALID"), ("normalize: false", "normalization: BATCH_SIZE")):
        assert run(layer.format(old), inputs)["l"] == run(layer.format(new), inputs)["l"]
    assert run(layer.format("normalize: true"), inputs)["l"] != run(layer.format("normalize: false"), inputs)["l"]


def test_slice_dim_is_the_old_word_for_axis() -> None:
    layer = 'layer {{ name: "l" type: "Slice" bottom: "s" top: "a" top: "b" slice_param {{ {} slice_point: 1 }} }}'
    for axis, name in ((0, "slice_dim: 0"), (1, "slice_dim: 1"), (2, "axis: -1")):
        tops = run(layer.format(name), {"s": SCORES})
        first, second = np.split(SCORES, [1], axis)
        np.testing.assert_array_equal(tops["a"], first)
        np.testing.assert_array_equal(tops["b"], second)


def test_windows_by_axis_and_by_name() -> None:
    image = RANDOM.standard_normal((2, 3, 6, 7)).astype(np.float32)
    for layer_type, made in (("Im2col", ""), ("Convolution", "num_output: 2"), ("Deconvolution", "num_output: 2")):
        layer = f'layer {{{{ name: "l" type: "{layer_type}" bottom: "x" top: "y" convolution_param {{{{ {made} {{}} }}}} }}}}'
        params = (RANDOM.standard_normal((2, 3, 2, 3)).astype(np.float32),) if layer_type == "Convolution" else ()
        params = params or (RANDOM.standard_normal((3, 2, 2, 3)).astype(np.float32),)
        params = () if layer_type == "Im2col" else params
        named = run(
            layer.format("kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0"), {"x": image}, params
        )
        listed = "kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 pad: 1 pad: 0"
        np.testing.assert_array_equal(named["y"], run(layer.format(listed), {"x": image}, params)["y"])
        engine = "engine: CAFFE force_nd_im2col: true " if made else ""
        np.testing.assert_array_equal(named["y"], run(layer.format(engine + listed), {"x": image}, params)["y"])
    deeper = image.reshape(1, 2, 3, 6, 7)
    options = "num_output: 2 kernel_size: 2 axis: {}"
    layer = (
        f'layer {{{{ name: "l" type: "Deconvolution" bottom: "x" top: "y" convolution_param {{{{ {options} }}}} }}}}'
    )
    params = (RANDOM.standard_normal((3, 2, 2, 2)).astype(np.float32),)
    flat = run(layer.format(1), {"x": image}, params)["y"]
    np.testing.assert_allclose(run(layer.format(2), {"x": deeper}, params)["y"].reshape(flat.shape), flat, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "index", "shape"),
    [
        ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 2 bias_filler FILLER }', 1, (2,)),
        (
            'type: "Convolution" convolution_param { num_output: 2 kernel_size: 2 weight_filler FILLER }',
            0,
            (2, 3, 2, 2),
        ),
        ('type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 2 bias_filler FILLER }', 1, (2,)),
        ('type: "InnerProduct" inner_product_param { num_output: 2 weight_filler FILLER }', 0, (2, 75)),
        ('type: "InnerProduct" inner_product_param { num_output: 2 bias_filler FILLER }', 1, (2,)),
        ('type: "Embed" embed_param { num_output: 2 input_dim: 4 weight_filler FILLER }', 0, (4, 2)),
        ('type: "Embed" embed_param { num_output: 2 input_dim: 4 bias_filler FILLER }', 1, (2,)),
        ('type: "PReLU" prelu_param { filler FILLER }', 0, (3,)),
        ('type: "Bias" bias_param { filler FILLER }', 0, (3,)),
        ('type: "Scale" scale_param { filler FILLER }', 0, (3,)),
        ('type: "Scale" scale_param { bias_term: true bias_filler FILLER }', 1, (3,)),
    ],
)
def test_fillers_fill_the_parameter_they_are_for(layer: str, index: int, shape: tuple[int, ...]) -> None:
    text = f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 3 dim: 5 dim: 5 }} }} }}
      layer {{ name: "l" bottom: "x" top: "y" {layer.replace("FILLER", '{ type: "constant" value: 7 }')} }}"""
    net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TEST)
    for k, blob in enumerate(net.params["l"]):
        assert (blob.data == 7).all() == (k == index)
    assert net.params["l"][index].shape == shape


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
