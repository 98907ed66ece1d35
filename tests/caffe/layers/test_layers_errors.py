"""Wrong options, shapes and labels: one message that names the layer and what to change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

pytestmark = pytest.mark.usefixtures("compute")


def build(shapes: list[tuple[int, ...]], layer: str, tops: str = 'top: "y"', phase: int = caffe.TEST) -> caffe.Net:
    dims = [" ".join(f"dim: {n}" for n in shape) for shape in shapes]
    inputs = "".join(
        f'layer {{ name: "in{i}" type: "Input" top: "in{i}" input_param {{ shape {{ {dim} }} }} }} '
        for i, dim in enumerate(dims)
    )
    bottoms = " ".join(f'bottom: "in{i}"' for i in range(len(shapes)))
    text = f'{inputs} layer {{ name: "wrong" {bottoms} {tops} {layer} }}'
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


IMAGE = (1, 4, 6, 6)
CASES: list[tuple[list[tuple[int, ...]], str, str]] = [
    ([IMAGE], 'type: "Convolution" convolution_param { kernel_size: 3 }', "num_output"),
    (
        [IMAGE],
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 9 }',
        "kernel 9 9 .*does not fit into the input 6 6",
    ),
    ([IMAGE], 'type: "Convolution" convolution_param { num_output: 3 }', "kernel_size must be specified once"),
    (
        [IMAGE],
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 0 }',
        "Filter dimensions must be nonzero",
    ),
    ([IMAGE], 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 stride: 0 }', "Stride dimensions"),
    ([IMAGE], 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 kernel_h: 3 }', "not both"),
    ([IMAGE], 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 group: 2 }', "multiples of group"),
    (
        [(1, 4, 6)],
        'type: "Convolution" convolution_param { num_output: 3 kernel_h: 3 kernel_w: 3 }',
        "only be used for 2D",
    ),
    (
        [(1, 4, 3, 3, 3, 3)],
        'type: "Convolution" convolution_param { num_output: 3 kernel_size: 1 }',
        "at most 3 spatial axes",
    ),
    ([IMAGE], 'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 axis: 5 }', "axis 5 out of range"),
    (
        [(1, 4, 1, 1)],
        'type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 2 pad: 2 }',
        "leaves nothing",
    ),
    ([(1, 4, 6)], 'type: "Pooling" pooling_param { kernel_size: 2 }', "Input must have 4 axes"),
    ([IMAGE], 'type: "Pooling"', "Filter dimensions cannot be zero"),
    ([IMAGE], 'type: "Pooling" pooling_param { kernel_size: 2 pad: 2 }', "pad .* must be less than the kernel"),
    ([IMAGE], 'type: "Pooling" pooling_param { kernel_size: 2 global_pooling: true }', "Filter size cannot specified"),
    ([IMAGE], 'type: "Pooling" pooling_param { kernel_h: 2 }', "both kernel_h and kernel_w"),
    ([IMAGE], 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 pad: 1 }', "Padding implemented only"),
    ([IMAGE], 'type: "SPP" spp_param { pyramid_height: 5 }', "pyramid_height 5 is too large"),
    ([IMAGE], 'type: "Dropout" dropout_param { dropout_ratio: 1 }', "dropout_ratio"),
    (
        [IMAGE, (1, 4, 5, 5)],
        'type: "Crop" crop_param { offset: 2 }',
        "dimension 2 is out-of-bounds with size 5 and offset 2.*has size 6",
    ),
    ([IMAGE, (1, 4, 5, 5)], 'type: "Crop" crop_param { axis: 1 offset: 0 offset: 1 }', "number of offset values"),
    ([IMAGE, (4, 5, 5)], 'type: "Crop"', "as many axes"),
    ([IMAGE, (1, 4, 6, 7)], 'type: "Eltwise"', r"shape mismatch - bottom\[0\]: 1 4 6 6, bottom\[1\]: 1 4 6 7"),
    ([IMAGE, IMAGE], 'type: "Eltwise" eltwise_param { coeff: 1 }', "one coefficient per bottom"),
    (
        [IMAGE, IMAGE],
        'type: "Eltwise" eltwise_param { operation: PROD coeff: 1 coeff: 1 }',
        "only takes coefficients for summation",
    ),
    ([IMAGE, (1, 4, 6, 7)], 'type: "Concat"', "must have the same shape, except at concat_axis 1"),
    ([IMAGE], 'type: "Concat" concat_param { axis: 1 concat_dim: 1 }', "not both"),
    ([IMAGE], 'type: "Scale" scale_param { axis: 3 num_axes: 2 }', "extends past"),
    ([IMAGE, (5,)], 'type: "Scale"', "dimension mismatch"),
    ([IMAGE], 'type: "Reshape" reshape_param { shape { dim: 5 dim: -1 } }', "must be divisible"),
    ([IMAGE], 'type: "Reshape" reshape_param { shape { dim: 5 } }', "output count must match"),
    ([IMAGE], 'type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', "single"),
    ([IMAGE], 'type: "Tile"', "tiles must be positive"),
    ([IMAGE], 'type: "InnerProduct"', "num_output"),
    ([IMAGE], 'type: "LRN" lrn_param { local_size: 4 }', "odd values"),
    ([IMAGE], 'type: "Log" log_param { base: 1 }', "strictly positive"),
    ([IMAGE], 'type: "ArgMax" argmax_param { axis: 1 top_k: 5 }', r"top_k \(5\) must be in 1..4"),
    ([IMAGE, (1, 6, 5)], 'type: "SoftmaxWithLoss"', "Number of labels must match number of predictions"),
    ([IMAGE, (1, 6, 6)], 'type: "Accuracy" accuracy_param { top_k: 5 }', "number of classes"),
    ([(4, 3), (4, 2)], 'type: "EuclideanLoss"', "same dimension"),
    ([(4, 3), (4, 2)], 'type: "SigmoidCrossEntropyLoss"', "same count"),
    ([(4, 3), (4,)], 'type: "InfogainLoss"', "matrix source must be specified"),
    ([(4, 3), (4,)], 'type: "InfogainLoss" infogain_loss_param { source: "nowhere" }', "nowhere"),
    ([(4, 3), (3,)], 'type: "BatchReindex" batch_norm_param { eps: 1 } propagate_down: true', "bottom_size times"),
    ([(4, 3), (3,)], 'type: "Filter"', "same 0th dimension"),
    ([(2, 3, 4), (3, 2)], 'type: "RNN" recurrent_param { num_output: 2 }', r"cont must be \(T, N\)"),
    ([(1, 2, 4), (1, 2, 8), (1, 2)], 'type: "LSTMUnit" top: "z"', r"bottoms must be"),
    ([IMAGE, IMAGE, IMAGE], 'type: "Crop"', "takes 2 bottom blob"),
    ([], 'type: "Data" data_param { batch_size: 1 }', "needs a source"),
    ([], 'type: "MemoryData" top: "z"', "must be specified and positive"),
    (
        [],
        'type: "HDF5Data" hdf5_data_param { source: "x" batch_size: 1 } transform_param { scale: 2 }',
        "does not transform",
    ),
    ([], 'type: "DummyData"', "give shape once"),
]


@pytest.mark.parametrize(("shapes", "layer", "message"), CASES, ids=[message[:30] for _, _, message in CASES])
def test_wrong_nets_say_what_is_wrong_and_where(shapes: list[tuple[int, ...]], layer: str, message: str) -> None:
    with pytest.raises(caffe.CaffeError, match=message) as error:
        build(shapes, layer)
    assert "wrong" in str(error.value)


@pytest.mark.parametrize(
    "points", ["slice_point: 5", "slice_point: 4", "slice_point: 1 slice_point: 2", "slice_dim: 1 axis: 1", ""]
)
def test_slices_that_do_not_exist(points: str) -> None:
    with pytest.raises(caffe.CaffeError, match=r"wrong.*(slice|divide)"):
        build([(1, 4 if points else 3, 6)], f'type: "Slice" slice_param {{ {points} }}', 'top: "a" top: "b"')


def test_weights_do_not_fit_another_number_of_channels() -> None:
    for layer, message in (
        (
            'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 }',
            "incompatible with convolution kernel: 5 channels",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 3 }',
            "Input size incompatible with inner product parameters",
        ),
        ('type: "BatchNorm"', "has 5 channels, the statistics are for 4"),
        ('type: "Scale"', "dimension mismatch"),
    ):
        net = build([IMAGE], layer)
        net.blobs["in0"].reshape(1, 5, 6, 6)
        with pytest.raises(caffe.CaffeError, match=message):
            net.reshape()


@pytest.mark.parametrize(
    ("layer", "label", "message"),
    [
        ('type: "SoftmaxWithLoss"', 3, r"label 3 at position \(1, 2\) .*not in 0..2; no ignore_label is set"),
        (
            'type: "SoftmaxWithLoss" loss_param { ignore_label: 255 }',
            -1,
            r"label -1 at position \(1, 2\) .*not the ignore label 255",
        ),
        ('type: "SoftmaxWithLoss"', np.nan, r"label nan at position \(1, 2\)"),
        ('type: "Accuracy"', 7, r"label 7 at position \(1, 2\)"),
    ],
)
def test_labels_outside_the_classes_are_named(layer: str, label: float, message: str) -> None:
    net = build([(2, 3, 4), (2, 4)], layer)
    net.blobs["in1"].data[1, 2] = label
    with pytest.raises(caffe.CaffeError, match=message):
        net.forward()


def test_indices_out_of_range_are_refused() -> None:
    reindex = build([(2, 3), (1,)], 'type: "BatchReindex"')
    reindex.blobs["in1"].data[...] = 2
    with pytest.raises(caffe.CaffeError, match=r"2..2 are not within 0..1"):
        reindex.forward()
    embed = build([(2,)], 'type: "Embed" embed_param { num_output: 2 input_dim: 3 }')
    embed.blobs["in0"].data[...] = -1
    with pytest.raises(caffe.CaffeError, match=r"-1..-1 are not within 0..2"):
        embed.forward()


def python_net(module: str, layer: str) -> caffe.Net:
    return build([(2, 3)], f'type: "Python" python_param {{ module: "{module}" layer: "{layer}" param_str: "2.5" }}')


def test_python_layers_are_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "times_layer_module.py").write_text(
        "import caffe\n"
        "class Times(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n"
        "        self.factor = float(self.param_str)\n"
        "    def reshape(self, bottom, top):\n"
        "        top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n"
        "        top[0].data[...] = self.factor * bottom[0].data\n"
        "class NoLayer:\n"
        "    pass\n"
    )
    (tmp_path / "broken_layer_module.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    net = python_net("times_layer_module", "Times")
    net.blobs["in0"].data[...] = 2
    net.forward()
    assert (net.blobs["y"].data == 5).all()
    for module, layer, message in (
        ("times_layer_module", "Absent", "has no class 'Absent'"),
        ("times_layer_module", "NoLayer", "must be a subclass of caffe.Layer"),
        ("absent_layer_module", "X", "cannot import module 'absent_layer_module'"),
        ("broken_layer_module", "X", "division by zero"),
        ("", "X", "must give module and layer"),
    ):
        with pytest.raises(caffe.CaffeError, match=f"layer 'wrong'.*{message}"):
            python_net(module, layer)
