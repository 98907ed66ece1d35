"""Small nets, one per kind of layer, and their absurd kin: files that a parser reads well, so that the layers must look."""

from __future__ import annotations

import random
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

import caffe
from caffe.proto import text

_INPUTS = """
layer { name: "in" type: "Input" top: "x" top: "y" top: "n" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 }
  shape { dim: 2 dim: 4 dim: 6 dim: 5 } shape { dim: 2 } } }
"""
# Of each type what its message asks for, after the bottoms.
_LAYERS = [
    ("AbsVal", "x", ""), ("Accuracy", "s n", "accuracy_param { top_k: 2 axis: 1 ignore_label: 9 }"),
    ("ArgMax", "x", "argmax_param { out_max_val: true top_k: 2 axis: 1 }"), ("BNLL", "x", ""),
    ("BatchNorm", "x", "batch_norm_param { use_global_stats: false moving_average_fraction: 0.9 eps: 1e-5 }"),
    ("BatchReindex", "x n", ""), ("Bias", "x", 'bias_param { axis: 1 num_axes: 2 filler { type: "gaussian" std: 1 sparse: 2 } }'),
    ("Clip", "x", "clip_param { min: 0 max: 1 }"), ("Concat", "x y", "concat_param { concat_dim: 1 }"),
    ("Concat", "x y", "concat_param { axis: 2 }"), ("ContrastiveLoss", "s t n", "contrastive_loss_param { margin: 1 }"),
    ("Convolution", "x", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 dilation: 1 group: 2 axis: 1 "
     'weight_filler { type: "msra" variance_norm: AVERAGE } bias_filler { type: "constant" value: 1 } }'),
    ("Convolution", "x", "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0 "
     'weight_filler { type: "xavier" } }'),
    ("Crop", "x p", "crop_param { axis: 2 offset: 1 offset: 1 }"),
    ("Deconvolution", "x", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false "
     'weight_filler { type: "bilinear" } }'),
    ("Dropout", "x", "dropout_param { dropout_ratio: 0.5 }"),
    ("DummyData", "", 'dummy_data_param { data_filler { type: "uniform" min: 0 max: 1 } shape { dim: 2 dim: 3 } }'),
    ("DummyData", "", "dummy_data_param { num: 1 channels: 2 height: 3 width: 4 }"),
    ("ELU", "x", "elu_param { alpha: 1 }"), ("Eltwise", "x y", "eltwise_param { operation: SUM coeff: 1 coeff: -1 }"),
    ("Embed", "n", 'embed_param { num_output: 3 input_dim: 4 bias_term: true weight_filler { type: "positive_unitball" } }'),
    ("EuclideanLoss", "x y", "loss_param { normalize: true }"), ("Exp", "x", "exp_param { base: 2 scale: 1 shift: 0 }"),
    ("Filter", "x n", ""), ("Flatten", "x", "flatten_param { axis: 1 end_axis: -1 }"),
    ("HingeLoss", "s n", "hinge_loss_param { norm: L2 }"),
    ("Im2col", "x", "convolution_param { kernel_size: 2 stride: 1 pad: 1 dilation: 2 }"),
    ("InfogainLoss", "s n m", "infogain_loss_param { axis: 1 } loss_param { ignore_label: 1 normalization: VALID }"),
    ("InnerProduct", "x", 'inner_product_param { num_output: 3 axis: 1 transpose: true weight_filler { type: "uniform" } }'),
    ("Input", "", "input_param { shape { dim: 1 dim: 2 dim: 3 } }"),
    ("LRN", "x", "lrn_param { local_size: 3 alpha: 1 beta: 0.75 k: 1 norm_region: WITHIN_CHANNEL engine: CAFFE }"),
    ("LRN", "x", "lrn_param { local_size: 5 }"),
    ("LSTM", "q c", 'recurrent_param { num_output: 3 weight_filler { type: "uniform" } debug_info: false expose_hidden: false }'),
    ("Log", "x", "log_param { base: 10 scale: 1 shift: 2 }"),
    ("MVN", "x", "mvn_param { normalize_variance: true across_channels: false eps: 1e-9 }"),
    ("MemoryData", "", 'memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } top: "b"'),
    ("MultiStageMeanfield", "x y i", "multi_stage_meanfield_param { num_iterations: 2 compatibility_mode: POTTS threshold: 2 "
     "theta_alpha: 160 theta_beta: 3 theta_gamma: 3 spatial_filter_weight: 3 bilateral_filter_weight: 5 }"),
    ("MultinomialLogisticLoss", "s n", ""), ("PReLU", "x", 'prelu_param { channel_shared: false filler { type: "constant" } }'),
    ("Parameter", "", "parameter_param { shape { dim: 2 dim: 3 } }"),
    ("Pooling", "x", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR }"),
    ("Pooling", "x", "pooling_param { pool: AVE global_pooling: true }"),
    ("Pooling", "x", "pooling_param { pool: STOCHASTIC kernel_h: 2 kernel_w: 2 stride_h: 1 stride_w: 1 }"),
    ("Power", "x", "power_param { power: 2 scale: 1 shift: 1 }"),
    ("RNN", "q c", 'recurrent_param { num_output: 3 weight_filler { type: "uniform" } bias_filler { type: "constant" } }'),
    ("ReLU", "x", "relu_param { negative_slope: 0.1 }"), ("Reduction", "x", "reduction_param { operation: ASUM axis: 1 coeff: 2 }"),
    ("Reshape", "x", "reshape_param { shape { dim: 0 dim: -1 dim: 5 } axis: 0 num_axes: -1 }"),
    ("LovaszSoftmaxLoss", "s n", ""),
    ("RobustLogLikelihoodLoss", "s n", ""), ("SPP", "x", "spp_param { pyramid_height: 2 pool: MAX }"),
    ("Scale", "x", 'scale_param { axis: 1 num_axes: 1 bias_term: true filler { type: "constant" } }'), ("Sigmoid", "x", ""),
    ("SigmoidCrossEntropyLoss", "x y", "loss_param { normalization: FULL ignore_label: 3 }"), ("Silence", "x", ""),
    ("Slice", "x", 'slice_param { axis: 1 slice_point: 1 slice_point: 3 } top: "b" top: "c"'),
    ("Softmax", "x", "softmax_param { axis: 1 }"),
    ("SoftmaxWithLoss", "s n", "softmax_param { axis: 1 } loss_param { ignore_label: 0 normalization: BATCH_SIZE }"),
    ("Split", "x", ""), ("Swish", "x", "swish_param { beta: 1 }"), ("TanH", "x", ""),
    ("Threshold", "x", "threshold_param { threshold: 1 }"),
    ("Tile", "x", "tile_param { axis: 1 tiles: 2 }"),
]  # fmt: skip
# What some of them read beside x, y and n: scores, small pictures, sequences, an infogain matrix, images.
_SIDE = {"s": "2 4", "t": "2 4", "p": "2 4 3 2", "q": "3 2 4", "c": "3 2", "m": "1 1 4 4", "i": "2 3 6 5"}
_NUMBERS = [
    0,
    1,
    2,
    3,
    5,
    7,
    -1,
    -2,
    255,
    65535,
    65536,
    10**6,
    10**9,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    -(2**31),
]
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e30, 3e38, float("inf"), float("-inf"), float("nan")]


def _definition(layer_type: str, bottoms: str, params: str) -> bytes:
    names = bottoms.split()
    side = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {d}" for d in _SIDE[name].split())
        + " } } }\n"
        for name in names
        if name in _SIDE
    )
    reads = " ".join(f'bottom: "{name}"' for name in names)
    top = "" if layer_type == "Silence" else ' top: "a"'
    over = (
        ""
        if layer_type == "Silence"
        else 'layer { name: "over" type: "Reduction" bottom: "a" top: "sum" loss_weight: 1 }\n'
    )
    own = f'layer {{ name: "own" type: "{layer_type}" {reads}{top} {params} }}\n'
    return f"force_backward: true\n{_INPUTS}{side}{own}{over}".encode()


def definitions() -> list[bytes]:
    """A prototxt for each."""
    return [_definition(*layer) for layer in _LAYERS]


def absurd(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of the nets with one to four numbers, flags or words changed, added or taken out; the text stays a net's."""
    net = text.parse_net(rng.choice(seeds).decode())
    for _ in range(rng.choice([1, 1, 2, 4])):
        layer = net.layer[-rng.choice([1, 2, 2, 2, 2, 3]) :][0] if len(net.layer) > 1 else net.layer[0]
        own = [
            part for field, part in layer.ListFields() if field.name.endswith("_param") and field.name != "python_param"
        ]
        _change(rng, rng.choice(own) if own and rng.random() < 0.85 else layer)
    return text.to_text(net).encode()


def _change(rng: random.Random, message: Message) -> None:
    fields = [f for f in message.DESCRIPTOR.fields if f.name not in ("blobs", "python_param", "hdf5_output_param")]
    field = rng.choice(fields)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if field.message_type.name.endswith(("Parameter", "Shape")) and message.DESCRIPTOR.name != "LayerParameter":
            parts = getattr(message, field.name)
            inner = parts.add() if field.is_repeated else parts
            _change(rng, rng.choice(list(parts)) if field.is_repeated and rng.random() < 0.7 else inner)
        return
    if rng.random() < 0.15:
        message.ClearField(field.name)
        return
    if not field.is_repeated:
        setattr(message, field.name, _value(rng, field))
        return
    values = getattr(message, field.name)
    if values and rng.random() < 0.6:
        values[rng.randrange(len(values))] = _value(rng, field)
    else:
        values.extend(_value(rng, field) for _ in range(rng.choice([1, 1, 2, 40])))


def _value(rng: random.Random, field: FieldDescriptor) -> object:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice(field.enum_type.values).number
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(_FLOATS)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        words = [
            "",
            "x",
            "y",
            "n",
            "a",
            "own",
            "gaussian",
            "xavier",
            "bilinear",
            "positive_unitball",
            "msra",
            "../x",
            "%s%n",
            "é",
        ]
        word = rng.choice(words)
        return word.encode() if field.type == FieldDescriptor.TYPE_BYTES else word
    small = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
    signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    least, most = (
        (-(2**31) if small else -(2**63), 2**31 - 1 if small else 2**63 - 1)
        if signed
        else (0, 2**32 - 1 if small else 2**64 - 1)
    )
    return rng.choice([n for n in _NUMBERS if least <= n <= most])


def read_and_run(path: Path) -> None:
    """Set the net of a prototxt up and run it forward and backward."""
    net = caffe.Net(str(path), caffe.TRAIN)
    net.forward()
    net.backward()
