"""Wrong options, shapes and labels: one message that names the layer and what to change."""

from __future__ import annotations

import pytest
from support.caffe.layer_errors import IMAGE, net_with

import caffe

pytestmark = pytest.mark.usefixtures("compute")


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
        net_with(shapes, layer)
    assert "wrong" in str(error.value)
