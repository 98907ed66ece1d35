"""Gradients of every differentiable layer against numerical ones, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe import mode
from caffe.layers.base import TorchLayer
from caffe.layers.registry import layer_class
from caffe.proto import caffe_pb2

Shapes = list[tuple[int, ...]]


@pytest.fixture(autouse=True)
def default_device(compute: str) -> Iterator[None]:
    """Lets the tensors that the tests make lie where the layers compute."""
    torch.set_default_device(mode.device())
    yield
    torch.set_default_device(None)  # type: ignore[arg-type]


def make(layer_type: str, options: str, shapes: Shapes, phase: int = caffe.TEST, tops: int = 1) -> TorchLayer:
    text = f'name: "l" type: "{layer_type}" {options} ' + " ".join(f'bottom: "b{i}"' for i in range(len(shapes)))
    text += " ".join(f' top: "t{i}"' for i in range(tops))
    layer = layer_class(layer_type, "l")(text_format.Parse(text, caffe_pb2.LayerParameter()), phase)
    assert isinstance(layer, TorchLayer)
    layer.build(shapes)
    return layer


def leaf(shape: tuple[int, ...], positive: bool = False) -> torch.Tensor:
    # Distinct values at least 0.05 apart and off 0: numerical gradients must not step over a kink.
    count = max(1, torch.Size(shape).numel())
    values = (torch.randperm(count, dtype=torch.float64) + 0.5) * (3.0 / count) - (0 if positive else 1.5)
    return values.reshape(shape).requires_grad_()


LAYERS: list[tuple[str, str, Shapes]] = [
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 }", [(2, 2, 5, 4)]),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 2 dilation: 2 }", [(1, 2, 3, 4, 3)]),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 2 pad: 1 axis: 2 }", [(2, 2, 2, 4)]),
    ("Convolution", "convolution_param { num_output: 3 }", [(2, 4)]),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2 }", [(1, 2, 3, 2)]),
    ("Deconvolution", "convolution_param { num_output: 2 kernel_size: 3 stride: 2 }", [(1, 3, 4)]),
    ("InnerProduct", "inner_product_param { num_output: 3 transpose: true }", [(2, 4, 2)]),
    ("InnerProduct", "inner_product_param { num_output: 3 axis: -1 }", [(2, 2, 4)]),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", [(1, 2, 5, 6)]),
    ("Pooling", "pooling_param { kernel_size: 4 stride: 3 pad: 3 }", [(1, 2, 5, 6)]),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", [(1, 2, 5, 6)]),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 4 stride: 3 pad: 3 }", [(1, 2, 5, 6)]),
    ("SPP", "spp_param { pyramid_height: 2 }", [(2, 2, 5, 4)]),
    ("ReLU", "relu_param { negative_slope: 0.1 }", [(2, 5)]),
    ("PReLU", "", [(2, 3, 2)]),
    ("PReLU", "prelu_param { channel_shared: true }", [(2, 3, 2)]),
    ("ELU", "elu_param { alpha: 0.5 }", [(2, 5)]),
    ("Swish", "swish_param { beta: 1.5 }", [(2, 5)]),
    ("Sigmoid", "", [(2, 5)]),
    ("TanH", "", [(2, 5)]),
    ("BNLL", "", [(2, 5)]),
    ("Clip", "clip_param { min: -0.7 max: 0.8 }", [(2, 5)]),
    ("AbsVal", "", [(2, 5)]),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", [(2, 5)]),
    ("Log", "log_param { base: 3 scale: 2 shift: 4 }", [(2, 5)]),
    ("Power", "power_param { power: 3 scale: 2 shift: 0.5 }", [(2, 5)]),
    ("Crop", "crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }", [(2, 3, 3, 4), (1, 2, 2, 2)]),
    ("Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", [(2, 3), (2, 3)]),
    ("Eltwise", "eltwise_param { operation: PROD }", [(2, 3), (2, 3), (2, 3)]),
    ("Eltwise", "eltwise_param { operation: MAX }", [(2, 3), (2, 3)]),
    ("Concat", "", [(2, 3, 2), (2, 1, 2)]),
    ("Flatten", "", [(2, 3, 2)]),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", [(2, 3, 2)]),
    ("Tile", "tile_param { tiles: 3 }", [(2, 2, 2)]),
    ("Scale", "scale_param { bias_term: true }", [(2, 3, 2)]),
    ("Scale", "scale_param { axis: 0 }", [(2, 3, 2), (2, 3)]),
    ("Bias", "", [(2, 3, 2)]),
    ("Softmax", "", [(2, 3, 2)]),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 k: 2 }", [(1, 4, 2, 2)]),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }", [(1, 2, 3, 3)]),
    ("MVN", "", [(2, 2, 4)]),
    ("MVN", "mvn_param { normalize_variance: false across_channels: true }", [(2, 2, 4)]),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", [(3, 2, 4)]),
    ("Reduction", "reduction_param { operation: ASUM axis: 1 coeff: 2 }", [(2, 3, 2)]),
    ("Reduction", "reduction_param { operation: SUMSQ }", [(2, 3)]),
    ("Reduction", "reduction_param { operation: MEAN axis: -1 }", [(2, 3)]),
    ("Im2col", "convolution_param { kernel_size: 2 stride: 2 pad: 1 dilation: 2 }", [(1, 2, 4, 3)]),
    ("EuclideanLoss", "", [(3, 2), (3, 2)]),
    ("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", []),
]


@pytest.mark.parametrize(
    ("layer_type", "options", "shapes"), LAYERS, ids=[f"{t}-{i}" for i, (t, _, _) in enumerate(LAYERS)]
)
def test_gradient_is_the_derivative(layer_type: str, options: str, shapes: Shapes) -> None:
    torch.manual_seed(0)
    layer = make(layer_type, options, shapes)
    # Apart from each other, too: the maximum of two bottoms has a kink where they are equal.
    bottoms = [(leaf(shape).detach() + 0.01 * i).requires_grad_() for i, shape in enumerate(shapes)]
    params = [leaf(blob.shape) for blob in layer.blobs] if layer_type != "BatchNorm" else []
    unused = {1} if layer_type == "Crop" else set()

    def compute(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(layer.compute(tensors[: len(shapes)], tensors[len(shapes) :]))

    inputs = [x.detach() if i in unused else x for i, x in enumerate([*bottoms, *params])]
    assert torch.autograd.gradcheck(compute, inputs)
    expected = layer.top_shapes(shapes)
    assert [tuple(y.shape) for y in compute(*inputs)] == [tuple(shape) for shape in expected]


LABELLED: list[tuple[str, str, Shapes]] = [
    ("SoftmaxWithLoss", "loss_param { ignore_label: 2 }", [(2, 3, 4), (2, 4)]),
    ("SoftmaxWithLoss", "softmax_param { axis: 2 } loss_param { normalization: NONE }", [(2, 4, 3), (2, 4)]),
    ("InfogainLoss", "", [(2, 3, 4), (2, 4), (3, 3)]),
    ("MultinomialLogisticLoss", "", [(4, 3), (4,)]),
    ("HingeLoss", "hinge_loss_param { norm: L2 }", [(4, 3), (4,)]),
    ("HingeLoss", "", [(4, 3), (4,)]),
    ("SigmoidCrossEntropyLoss", "", [(4, 3), (4, 3)]),
    ("ContrastiveLoss", "contrastive_loss_param { margin: 2 legacy_version: true }", [(4, 3), (4, 3), (4,)]),
    ("BatchReindex", "", [(3, 2), (4,)]),
    ("Filter", "", [(3, 2), (3,)]),
]


@pytest.mark.parametrize(
    ("layer_type", "options", "shapes"), LABELLED, ids=[f"{t}-{i}" for i, (t, _, _) in enumerate(LABELLED)]
)
def test_gradient_with_labels_is_the_derivative(layer_type: str, options: str, shapes: Shapes) -> None:
    torch.manual_seed(1)
    layer = make(layer_type, options, shapes)
    differentiable = 2 if layer_type == "ContrastiveLoss" else 1
    scores = [leaf(shape, layer_type == "MultinomialLogisticLoss") for shape in shapes[:differentiable]]
    rest = [
        torch.randint(0, 2 if layer_type == "ContrastiveLoss" else 3, shape).double()
        for shape in shapes[differentiable:]
    ]
    if layer_type == "InfogainLoss":
        rest[1] = torch.rand(3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *x: tuple(layer.compute([*x, *rest], [])), scores)


@pytest.mark.parametrize(
    ("layer_type", "options", "shapes", "tops"),
    [
        ("RNN", "recurrent_param { num_output: 2 }", [(3, 2, 3), (3, 2)], 1),
        ("RNN", "recurrent_param { num_output: 2 }", [(3, 2, 3), (3, 2), (2, 4)], 1),
        ("LSTM", "recurrent_param { num_output: 2 }", [(3, 2, 3), (3, 2), (2, 4)], 1),
    ],
)
def test_gradient_through_time_is_the_derivative(layer_type: str, options: str, shapes: Shapes, tops: int) -> None:
    torch.manual_seed(2)
    layer = make(layer_type, options, shapes, tops=tops)
    cont = torch.tensor([[0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    inputs = [leaf(shapes[0]), *(leaf(shape) for shape in shapes[2:]), *(leaf(blob.shape) for blob in layer.blobs)]
    static = len(shapes) - 2

    def compute(x: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        layer._state = None  # each evaluation starts at rest
        return tuple(layer.compute([x, cont, *others[:static]], others[static:]))

    assert torch.autograd.gradcheck(compute, inputs)


def test_gradient_of_the_lstm_unit_is_the_derivative() -> None:
    layer = make("LSTMUnit", "", [(1, 2, 3), (1, 2, 12), (1, 2)], tops=2)
    cont = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda c, g: tuple(layer.compute([c, g, cont], [])), [leaf((1, 2, 3)), leaf((1, 2, 12))]
    )


def test_embed_gathers_gradients_by_row() -> None:
    layer = make("Embed", "embed_param { num_output: 2 input_dim: 4 }", [(3,)])
    index = torch.tensor([1.0, 3.0, 1.0])
    assert torch.autograd.gradcheck(lambda *params: tuple(layer.compute([index], params)), [leaf((4, 2)), leaf((2,))])
