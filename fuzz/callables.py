"""The public functions of both packages, each with a call that fits; the fuzzer bends its arguments."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

import caffe
import caffe.draw
import crfasrnn
from caffe.net_spec import assign_proto
from caffe.proto import caffe_pb2
from caffe.solver.signals import CONTINUE, STOP
from crfasrnn import densecrf, utils
from crfasrnn.classes import read_classes, write_classes
from crfasrnn.crf import (
    Bilateral,
    CrfRnn,
    Features,
    Kernel,
    LovaszSoftmaxLoss,
    RobustLogLikelihoodLoss,
    Spatial,
    lovasz_softmax,
    mean_field,
    mean_field_kernels,
    permutohedral_filter,
    robust_log_likelihood,
)
from crfasrnn.datasets import folder, rle, select_classes, voc
from crfasrnn.evaluation import boundaries, metrics
from crfasrnn.pictures import colour_masks, label_maps, palettes, photographs
from crfasrnn.postprocessing.probabilities import write_probabilities
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.segmentation.overlay import overlay

DEPLOY = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 pad: 1
  weight_filler { type: "xavier" } } }
layer { name: "score" type: "Convolution" bottom: "conv" top: "score" convolution_param { num_output: 3 kernel_size: 1 } }
"""
TRAIN = """
layer { name: "in" type: "DummyData" top: "x" top: "n" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "s"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "n" top: "loss" }
"""
MEMORY = """
layer { name: "m" type: "MemoryData" top: "x" top: "n" memory_data_param { batch_size: 2 channels: 1 height: 2 width: 2 } }
"""


@dataclass
class Call:
    """A function and arguments that fit."""

    function: Callable[..., Any]
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)


@cache
def files() -> Path:
    """A folder with a net, its weights, a picture, a mask and lists; the working directory of the calls."""
    Path("deploy.prototxt").write_text(DEPLOY)
    Path("classifier.prototxt").write_text(
        DEPLOY + 'layer { name: "p" type: "Pooling" bottom: "score" top: "p" '
        "pooling_param { pool: AVE global_pooling: true } }"
    )
    Path("solver.prototxt").write_text(
        'net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "s"'
    )
    Path("train.prototxt").write_text(TRAIN)
    Path("classes.txt").write_text("0 background\n1 aeroplane\n2 cat\n")
    caffe.Net("deploy.prototxt", caffe.TEST).save("weights.caffemodel")
    CrfRnn(3).save_caffemodel("crf.caffemodel")
    photographs.write_image("picture.png", np.full((12, 9, 3), 100, np.uint8))
    label_maps.write_labels("mask.png", np.ones((12, 9), np.uint8))
    for name in ("images", "masks", "VOC/JPEGImages", "VOC/SegmentationClass", "VOC/ImageSets/Segmentation"):
        Path(name).mkdir(parents=True)
    for name in ("images/a.png", "VOC/JPEGImages/a.jpg"):
        photographs.write_image(name, np.full((12, 9, 3), 100, np.uint8))
    for name in ("masks/a.png", "VOC/SegmentationClass/a.png"):
        label_maps.write_labels(name, np.ones((12, 9), np.uint8))
    Path("list.txt").write_text("a\n")
    Path("VOC/ImageSets/Segmentation/list.txt").write_text("a\n")
    Path("names").write_text("background\ncat\n")
    Path("colours.csv").write_text("sky,1,2,3\ncat,4,5,6\n")
    return Path.cwd()


def net(text: str = DEPLOY, phase: int = caffe.TRAIN) -> caffe.Net:
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), phase)


def forwarded() -> caffe.Net:
    made = net("force_backward: true " + DEPLOY)
    made.forward()
    return made


@cache
def segmenter() -> crfasrnn.Segmenter:
    files()
    return crfasrnn.Segmenter("deploy.prototxt", "weights.caffemodel", size="native")


def solver() -> Any:
    files()
    return caffe.SGDSolver("solver.prototxt")


def transformer() -> Any:
    made = caffe.io.Transformer({"data": (1, 3, 8, 8)})
    made.set_transpose("data", (2, 0, 1))
    return made


def spec() -> Any:
    made = caffe.NetSpec()
    made.data = caffe.layers.Input(shape={"dim": [1, 3, 8, 8]})
    made.conv = caffe.layers.Convolution(made.data, num_output=2, kernel_size=3)
    return made


def crf2d() -> densecrf.DenseCRF2D:
    made = densecrf.DenseCRF2D(4, 5, 3)
    made.addPairwiseGaussian(2, 3)
    return made


def image(height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def scores(*shape: int) -> torch.Tensor:
    return torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


def field_call() -> dict[str, Any]:
    matrix = torch.eye(2)
    given = {"unary": scores(1, 2, 6, 7), "q0": scores(1, 2, 6, 7), "image": 100 * scores(1, 3, 6, 7)}
    given |= {"spatial_weights": matrix, "bilateral_weights": matrix, "compatibility": -matrix, "iterations": 2}
    return {**given, "theta_alpha": 5.0, "theta_beta": 3.0, "theta_gamma": 2.0, "activation": "softmax"}


def _crf_calls() -> dict[str, Callable[[], Call]]:
    kernels_call = {
        "unary": scores(1, 2, 6, 7),
        "q0": scores(1, 2, 6, 7),
        "weights": [torch.eye(2)] * 2,
        "iterations": 2,
        "compatibility": -torch.eye(2),
        "mask": torch.ones(1, 6, 7, dtype=torch.bool),
        "activation": "relu",
    }
    labels = torch.zeros(1, 6, 7, dtype=torch.long)
    crf = CrfRnn(2)
    lattice = crf2d().startInference
    energies = np.ones((3, 20), np.float32)
    return {
        "mean_field": lambda: Call(mean_field, [], field_call()),
        "mean_field_kernels": lambda: Call(
            lambda thetas, features, theta, normalization, **rest: mean_field_kernels(
                kernels=[Kernel(thetas), Kernel(3.0, features, theta, normalization)], **rest
            ),
            [(2.0, 3.0), scores(1, 1, 6, 7), 0.5, "symmetric"], dict(kernels_call),
        ),
        "mean_field_kernels-list": lambda: Call(mean_field_kernels, [], {**kernels_call, "kernels": [Kernel(2.0), Kernel(3.0)]}),
        "permutohedral_filter": lambda: Call(permutohedral_filter, [scores(5, 2), scores(5, 3)], {"reverse": False}),
        "CrfRnn": lambda: Call(CrfRnn, [2], {"kernels": [Spatial(), Bilateral()], "iterations": 3, "weights": "full",
            "untied": True,
                                             "compatibility": "potts", "activation": "softmax", "learn_bandwidths": True}),
        "CrfRnn.forward": lambda: Call(crf, [scores(1, 2, 6, 7), scores(1, 3, 6, 7)], {"q0": scores(1, 2, 6, 7), "iterations": 2,
                                       "mask": torch.ones(1, 6, 7, dtype=torch.bool)}),
        "CrfRnn.forward-features": lambda: Call(CrfRnn(2, [Features(0.1, 3.0)]), [scores(1, 2, 6, 7)], {"extra": scores(1, 1,
            6, 7)}),
        "CrfRnn.load_caffemodel": lambda: Call(CrfRnn(3).load_caffemodel, [str(files() / "crf.caffemodel")]),
        "Spatial": lambda: Call(Spatial, [], {"theta": 3.0, "weight": 3.0, "normalization": "after"}),
        "Bilateral": lambda: Call(Bilateral, [], {"theta_alpha": (3.0, 2.0), "theta_beta": 3.0, "weight": 3.0}),
        "Features": lambda: Call(Features, [0.1], {"theta_position": 3.0, "name": "depth", "weight": 3.0}),
        "robust_log_likelihood": lambda: Call(robust_log_likelihood, [scores(1, 3, 6, 7), labels],
                                              {"robustness": 0.1, "ignore_label": 255, "reduction": "mean"}),
        "RobustLogLikelihoodLoss": lambda: Call(RobustLogLikelihoodLoss, [], {"robustness": 0.1, "ignore_label": 255}),
        "lovasz_softmax": lambda: Call(lovasz_softmax, [scores(1, 3, 6, 7), labels], {"ignore_label": 255, "reduction": "mean"}),
        "LovaszSoftmaxLoss": lambda: Call(LovaszSoftmaxLoss, [], {"ignore_label": 255, "reduction": "sum"}),
        "DenseCRF": lambda: Call(densecrf.DenseCRF, [20, 3]),
        "DenseCRF2D": lambda: Call(densecrf.DenseCRF2D, [4, 5, 3]),
        "setUnaryEnergy": lambda: Call(crf2d().setUnaryEnergy, [energies]),
        "setUnary": lambda: Call(crf2d().setUnary, [densecrf.ConstUnary(energies)]),
        "LogisticUnary": lambda: Call(densecrf.LogisticUnary, [np.ones((3, 2)), np.ones((2, 20))]),
        "addPairwiseEnergy": lambda: Call(crf2d().addPairwiseEnergy, [np.ones((2, 20), np.float32), 3.0],
                                          {"kernel": densecrf.DIAG_KERNEL, "normalization": densecrf.NORMALIZE_AFTER}),
        "addPairwiseGaussian": lambda: Call(crf2d().addPairwiseGaussian, [(2, 3), np.ones((3, 3))], {"kernel": 1,
            "normalization": 3}),
        "addPairwiseBilateral": lambda: Call(crf2d().addPairwiseBilateral, [5, (3, 3, 3), image(5, 4), [1.0, 2.0, 3.0]]),
        "inference": lambda: Call(crf2d().inference, [3]),
        "stepInference": lambda: Call(crf2d().stepInference, list(lattice())),
        "klDivergence": lambda: Call(crf2d().klDivergence, [lattice()[0]]),
        "unary_from_labels": lambda: Call(utils.unary_from_labels, [np.ones((2, 3), int), 3, 0.7], {"zero_unsure": True}),
        "unary_from_softmax": lambda: Call(utils.unary_from_softmax, [np.full((2, 3), 0.5)], {"scale": 0.5, "clip": 1e-5}),
        "create_pairwise_gaussian": lambda: Call(utils.create_pairwise_gaussian, [(2, 3), (4, 5)]),
        "create_pairwise_bilateral": lambda: Call(utils.create_pairwise_bilateral, [(2, 3), (3, 3, 3), image(4, 5)],
            {"chdim": 2}),
        "save_caffemodel": lambda: Call(CrfRnn(3).save_caffemodel, ["out.caffemodel"], {"layer": "crf"}),
        "CrfSettings": lambda: Call(CrfSettings, [], {"spatial": (3.0, 2.0), "bilateral": (3.0, 4.0, 5.0), "iterations": 3}),
    }  # fmt: skip


def _picture_calls() -> dict[str, Callable[[], Call]]:
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5) % 3
    confusion = np.ones((3, 3), np.int64)
    return {
        "Segmenter": lambda: Call(crfasrnn.Segmenter, [str(files() / "deploy.prototxt")],
                                  {"weights": "weights.caffemodel", "size": 20, "pad": True, "precision": "float32"}),
        "segment": lambda: Call(segmenter().segment, [image()], {"probabilities": True}),
        "prepare": lambda: Call(segmenter().prepare, [image()]),
        "overlay": lambda: Call(lambda picture, **rest: overlay(picture, segmenter().segment(image()), **rest), [image()],
                                {"boundaries": True}),
        "write_labels": lambda: Call(label_maps.write_labels, ["out.png", labels], {"palette": label_maps.voc_palette()}),
        "encode_labels": lambda: Call(label_maps.encode_labels, [labels]),
        "read_labels": lambda: Call(label_maps.read_labels, [str(files() / "mask.png")], {"class_ids": [0, 1, 2]}),
        "read_mask": lambda: Call(colour_masks.read_mask, [str(files() / "mask.png")],
                                  {"palette": palettes.PALETTES["binary"], "nearest": True}),
        "palette": lambda: Call(palettes.palette, ["colours.csv"], {"void": ["sky"]}),
        "label_palette": lambda: Call(label_maps.label_palette, [[0, 3, 8]]),
        "read_image": lambda: Call(photographs.read_image, [str(files() / "picture.png")], {"upright": True}),
        "write_image": lambda: Call(photographs.write_image, ["out.png", image()]),
        "folder": lambda: Call(folder, [str(files() / "images"), str(files() / "masks")], {"lists": ["list.txt"], "names": "names",
                               "void": 255}),
        "folder-labels": lambda: Call(lambda which: folder("images", "masks").select(which).examples[0].labels(), [[0, 1]]),
        "voc": lambda: Call(voc, [str(files() / "VOC"), ["list"]], {"masks": "SegmentationClass"}),
        "write_probabilities": lambda: Call(write_probabilities, ["out.npy", np.ones((2, 3, 4), np.float32)]),
        "select_classes": lambda: Call(select_classes, [labels, [0, 2]]),
        "confusion_matrix": lambda: Call(metrics.confusion_matrix, [labels, labels, 3]),
        "mean_iu": lambda: Call(metrics.mean_iu, [confusion]),
        "frequency_weighted_iu": lambda: Call(metrics.frequency_weighted_iu, [confusion]),
        "per_class_iu": lambda: Call(metrics.per_class_iu, [confusion]),
        "boundary_f": lambda: Call(boundaries.boundary_f, [labels, labels, 3], {"tolerance": 2.0}),
        "trimap_confusions": lambda: Call(boundaries.trimap_confusions, [labels, labels, 3, 2]),
        "decode_rle": lambda: Call(rle.decode_rle, [[3, 5, 12], 4, 5]),
        "decode_polygons": lambda: Call(rle.decode_polygons, [[[0.0, 0.0, 3.0, 0.0, 3.0, 3.0]], 4, 5]),
        "read_classes": lambda: Call(read_classes, [files() / "classes.txt"]),
        "write_classes": lambda: Call(write_classes, [Path("names.txt"), ["a", "b"]]),
    }  # fmt: skip


def _net_calls() -> dict[str, Callable[[], Call]]:
    data = np.zeros((2, 3, 8, 8), np.float32)
    weights = "weights.caffemodel"
    return {
        "Net": lambda: Call(caffe.Net, [str(files() / "deploy.prototxt")], {"phase": 1, "weights": weights, "level": 0,
            "stages": ["a"]}),
        "Net-old": lambda: Call(caffe.Net, [str(files() / "deploy.prototxt"), weights, 1]),
        "forward": lambda: Call(net().forward, [], {"blobs": ["conv"], "start": "conv", "end": "score"}),
        "forward-data": lambda: Call(net().forward, [], {"data": data}),
        "backward": lambda: Call(forwarded().backward, [], {"diffs": ["conv"], "start": "score", "end": "conv"}),
        "backward-data": lambda: Call(forwarded().backward, [], {"score": data}),
        "forward_all": lambda: Call(net().forward_all, [], {"blobs": ["conv"], "data": np.zeros((5, 3, 8, 8))}),
        "forward_backward_all": lambda: Call(forwarded().forward_backward_all, [], {"data": np.zeros((3, 3, 8, 8)),
            "score": np.zeros((3, 3, 8, 8))}),
        "copy_from": lambda: Call(net().copy_from, [str(files() / weights)]),
        "save": lambda: Call(net().save, ["out.caffemodel"], {"diff": True}),
        "save_hdf5": lambda: Call(net().save_hdf5, ["out.h5"], {"diff": False}),
        "share_with": lambda: Call(net().share_with, [net()]),
        "set_input_arrays": lambda: Call(net(MEMORY).set_input_arrays, [np.zeros((4, 1, 2, 2), np.float32), np.zeros(4,
            np.float32)]),
        "hooks": lambda: Call(lambda hook: _hooked(hook).forward(), [print]),
        "_forward": lambda: Call(net()._forward, [0, 2]),
        "_backward": lambda: Call(forwarded()._backward, [2, 0]),
        "Blob": lambda: Call(caffe.Blob, [(2, 3, 4)]),
        "Blob.reshape": lambda: Call(caffe.Blob((2, 3)).reshape, [2, 3, 4]),
        "Blob.reshape-net": lambda: Call(lambda *shape: _reshaped(*shape), [1, 3, 9, 7]),
        "Blob.data": lambda: Call(lambda value: setattr(net().blobs["data"], "data", value), [data]),
        "Blob.reshape_like": lambda: Call(caffe.Blob((2, 3)).reshape_like, [caffe.Blob((3, 2))]),
        "BlobVec.add_blob": lambda: Call(net().params["conv"].add_blob, [2, 3]),
        "Segmenter-fork": lambda: Call(lambda *args: caffe.Segmenter("deploy.prototxt", weights).predict(*args), [[image()]]),
        "Classifier": lambda: Call(caffe.Classifier, [str(files() / "classifier.prototxt"), weights], {"image_dims": (9, 9),
            "mean": np.ones(3), "input_scale": 1.0, "raw_scale": 255.0, "channel_swap": (2, 1, 0)}),
        "Classifier.predict": lambda: Call(caffe.Classifier(str(files() / "classifier.prototxt"), weights, (9, 9)).predict,
            [[image()]],
                                           {"oversample": True}),
        "Detector": lambda: Call(caffe.Detector, [str(files() / "classifier.prototxt"), weights], {"mean": np.ones(3),
            "context_pad": 2}),
        "detect_windows": lambda: Call(caffe.Detector(str(files() / "classifier.prototxt"), weights,
            context_pad=2).detect_windows,
                                       [[("picture.png", [(0, 0, 5, 5)])]]),
        "Detector.crop": lambda: Call(caffe.Detector(str(files() / "classifier.prototxt"), weights, context_pad=2).crop,
            [image(), (0, 0, 5, 5)]),
        "SGDSolver": lambda: Call(caffe.SGDSolver, [str(files() / "solver.prototxt")]),
        "get_solver": lambda: Call(caffe.get_solver, [str(files() / "solver.prototxt")]),
        "step": lambda: Call(lambda count: _short(solver()).step(count), [2]),
        "solve": lambda: Call(solver().solve, [None]),
        "restore": lambda: Call(solver().restore, [solver().snapshot()[1]]),
        "load_weights": lambda: Call(solver().load_weights, [weights]),
        "test": lambda: Call(_tested().test, [0]),
        "share_weights": lambda: Call(solver().share_weights, [net(TRAIN)]),
        "add_callback": lambda: Call(lambda *calls: _called_back(*calls), [list, list]),
    }  # fmt: skip


def _hooked(hook: Any) -> caffe.Net:
    made = net()
    made.before_forward(hook)
    return made


def _reshaped(*shape: Any) -> None:
    made = net()
    made.blobs["data"].reshape(*shape)
    made.forward()


def _tested() -> Any:
    files()
    Path("tested.prototxt").write_text(
        'net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" test_iter: 1 test_interval: 5'
    )
    return caffe.SGDSolver("tested.prototxt")


def _short(made: Any) -> Any:
    """Stops after some iterations, however many are asked for."""
    made.requested_action = lambda: STOP if made.iter > 5 else CONTINUE
    return made


def _called_back(*calls: Any) -> None:
    made = solver()
    made.add_callback(*calls)
    made.step(1)


def _io_calls() -> dict[str, Callable[[], Call]]:
    blob, plane = caffe_pb2.BlobProto(num=1, channels=1, height=1, width=2, data=[5, 6]), image(8, 8) / 255.0
    datum = caffe.io.array_to_datum(image(2, 3, 4))
    layer = caffe.layers
    return {
        "load_image": lambda: Call(caffe.io.load_image, [str(files() / "picture.png")], {"color": True}),
        "resize_image": lambda: Call(caffe.io.resize_image, [plane, (4, 5)], {"interp_order": 1}),
        "blobproto_to_array": lambda: Call(caffe.io.blobproto_to_array, [blob], {"return_diff": False}),
        "array_to_blobproto": lambda: Call(caffe.io.array_to_blobproto, [plane], {"diff": plane}),
        "arraylist_to_blobprotovector_str": lambda: Call(caffe.io.arraylist_to_blobprotovector_str, [[plane, plane]]),
        "blobprotovector_str_to_arraylist": lambda: Call(caffe.io.blobprotovector_str_to_arraylist,
                                                         [caffe.io.arraylist_to_blobprotovector_str([plane])]),
        "array_to_datum": lambda: Call(caffe.io.array_to_datum, [image(2, 3, 4)], {"label": 3}),
        "datum_to_array": lambda: Call(caffe.io.datum_to_array, [datum]),
        "oversample": lambda: Call(caffe.io.oversample, [[plane, plane], (4, 5)]),
        "Transformer": lambda: Call(caffe.io.Transformer, [{"data": (1, 3, 8, 8)}]),
        "set_transpose": lambda: Call(transformer().set_transpose, ["data", (2, 0, 1)]),
        "set_channel_swap": lambda: Call(transformer().set_channel_swap, ["data", (2, 1, 0)]),
        "set_raw_scale": lambda: Call(transformer().set_raw_scale, ["data", 255.0]),
        "set_mean": lambda: Call(transformer().set_mean, ["data", np.ones(3)]),
        "set_input_scale": lambda: Call(transformer().set_input_scale, ["data", 0.1]),
        "preprocess": lambda: Call(transformer().preprocess, ["data", plane]),
        "deprocess": lambda: Call(transformer().deprocess, ["data", np.zeros((3, 8, 8))]),
        "layers": lambda: Call(lambda **fields: caffe.to_proto(layer.Convolution(spec().data, **fields)), [],
                               {"num_output": 3, "kernel_size": [3], "weight_filler": {"type": "xavier"},
                                   "param": [{"lr_mult": 1}],
                                "ntop": 1, "in_place": False, "name": "x"}),
        "layers-bottoms": lambda: Call(layer.Eltwise, [spec().data, spec().conv], {"operation": "SUM", "coeff": [1.0, 2.0]}),
        "NetSpec[]": lambda: Call(lambda name, top: (spec().__setitem__(name, top), spec().to_proto()), ["x", spec().conv]),
        "NetSpec.to_proto": lambda: Call(lambda **tops: _named(tops).to_proto(), [], {"x": spec().conv}),
        "to_proto": lambda: Call(caffe.to_proto, [spec().conv]),
        "params": lambda: Call(lambda name: getattr(caffe.params, name), ["Pooling"]),
        "crop": lambda: Call(caffe.coord_map.crop, [*reversed(_two_tops())]),
        "coord_map_from_to": lambda: Call(lambda a, b: caffe.coord_map.coord_map_from_to(a, b), list(_two_tops())),
        "net_to_dot": lambda: Call(caffe.draw.net_to_dot, [spec().to_proto()], {"rankdir": "TB", "label_edges": True, "phase": 0,
                                                                               "display_lrm": True}),
        "draw_net_to_file": lambda: Call(caffe.draw.draw_net_to_file, [spec().to_proto(), "out.dot"],
                                         {"rankdir": "TB", "phase": 0}),
        "assign_proto": lambda: Call(assign_proto, [caffe_pb2.LayerParameter(), "convolution_param", {"kernel_size": [3]}]),
        "get_layer_label": lambda: Call(caffe.draw.get_layer_label, [spec().to_proto().layer[1]], {"rankdir": "TB",
            "display_lrm": True}),
        "register_layer": lambda: Call(lambda name, base: caffe.register_layer(name)(base), ["Fuzzed", caffe.Layer]),
        "set_random_seed": lambda: Call(caffe.set_random_seed, [3]),
        "set_device": lambda: Call(caffe.set_device, [0]),
        "set_solver_count": lambda: Call(caffe.set_solver_count, [1]),
        "set_solver_rank": lambda: Call(caffe.set_solver_rank, [0]),
        "init_log": lambda: Call(caffe.init_log, [2], {"stderr": True}),
        "log": lambda: Call(caffe.log, ["message"]),
    }  # fmt: skip


def _named(tops: dict[str, Any]) -> Any:
    made = spec()
    for name, top in tops.items():
        setattr(made, name, top)
    return made


def _two_tops() -> tuple[Any, Any]:
    made = spec()
    return made.conv, made.data


def calls() -> dict[str, Callable[[], Call]]:
    """A call of each function by its name; what a call changes or writes is its own."""
    random.seed(0)
    return {**_crf_calls(), **_picture_calls(), **_net_calls(), **_io_calls()}
