"""A model taken apart: its network, whose scores are computed once for a photograph, and its CRF, whose controls are moved."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.proto.text import read_net, to_text
from crfasrnn.crf.module import Bilateral, CrfRnn, Spatial
from crfasrnn.crf.options import from_prototxt
from crfasrnn.demo.controls import RANGES, Controls
from crfasrnn.demo.fields import Field
from crfasrnn.segmentation.models import ModelFiles, find_model
from crfasrnn.segmentation.segmenter import Segmenter

_CRF = "MultiStageMeanfield"


class Network:
    """A model's network without its CRF, and the CRF.

    model, weights, size, precision: as for crfasrnn.Segmenter. A model without a CRF gets the paper's: ten iterations, Potts.

    Raises CaffeError as Segmenter does, and for a CRF with more than the paper's two kernels or with constrained or untied
    matrices, for which the page has no controls.
    """

    def __init__(
        self,
        model: str,
        weights: Path | None = None,
        size: int | str | None = None,
        precision: str = "float32",
    ) -> None:
        files = find_model(model, weights)
        layers, crf = _without_crf(read_net(files.prototxt))
        with tempfile.TemporaryDirectory() as folder:
            prototxt = Path(folder, files.prototxt.name)
            prototxt.write_text(to_text(layers), encoding="utf-8")
            self._segmenter = Segmenter(prototxt, files.weights, size or files.size or "native", precision=precision)
        self.classes = files.classes_of(len(self._segmenter.classes))
        self._crf = CrfRnn(len(self.classes), iterations=10) if crf is None else _module(crf, files, len(self.classes))
        self.controls = _controls(self._crf)

    def field(self, photograph: np.ndarray) -> Field:
        """The network's scores of an H x W x 3 uint8 BGR photograph, and its CRF. Raises CaffeError for other images."""
        began = time.perf_counter()
        scores = self._segmenter.scores(photograph)
        seconds = time.perf_counter() - began
        (spatial, bilateral), compatibility = self._crf.matrices()
        return Field(
            photograph=photograph,
            image=torch.from_numpy(self._segmenter.prepare(photograph)[0]),
            unary=torch.from_numpy(scores)[None],
            spatial=spatial.detach(),
            bilateral=bilateral.detach(),
            compatibility=compatibility.detach(),
            normalization="after",
            activation=self._crf.activation,
            classes=self.classes,
            start=None,
            controls=self.controls,
            seconds=seconds,
        )


def _without_crf(net: Any) -> tuple[Any, Any]:
    """The net without its last layer, if that is a CRF, and what only feeds it; and the CRF's layer, or None.

    Raises CaffeError where something follows the CRF.
    """
    crf = next((layer for layer in net.layer if layer.type == _CRF), None)
    if crf is None:
        return net, None
    scores = crf.bottom[0]
    kept = [layer for layer in net.layer if layer is not crf]
    if any(set(layer.bottom) & set(crf.top) for layer in kept):
        raise CaffeError(f"the page wants a net whose last layer is its CRF; behind layer {crf.name!r} come others")
    # Scores that a Split hands to the CRF twice would be two outputs.
    split = next((layer for layer in kept if layer.type == "Split" and scores in layer.top), None)
    alone = type(net)()
    alone.CopyFrom(net)
    del alone.layer[:]
    alone.layer.extend(layer for layer in kept if layer is not split)
    return alone, crf


def _module(layer: Any, files: ModelFiles, classes: int) -> CrfRnn:
    """The layer with its learned parameters as a module."""
    told = layer.multi_stage_meanfield_param
    kinds = (told.KernelWeights.Name(told.kernel_weights), told.symmetric_compatibility, told.untied)
    if kinds != ("FULL", False, False) or told.bilateral:
        raise CaffeError(
            f"{str(files.prototxt)!r}: the page has the controls of the paper's CRF, and layer {layer.name!r} is none: two "
            "kernels with full matrices, the same in every iteration"
        )
    return CrfRnn(
        classes,
        [Spatial(told.theta_gamma), Bilateral(told.theta_alpha, told.theta_beta)],
        told.num_iterations,
        activation=from_prototxt(told.Activation.Name(told.activation)),
        learn_bandwidths=told.learn_bandwidths,
    ).load_caffemodel(files.weights, layer.name)


def _controls(crf: CrfRnn) -> Controls:
    """What the model was made with, as far as the sliders go."""
    spatial, bilateral = crf.kernels
    if not isinstance(spatial, Spatial) or not isinstance(bilateral, Bilateral):
        raise CaffeError("the page has controls for a spatial and a bilateral kernel alone")
    told: list[Any] = [spatial.theta, bilateral.theta_alpha, bilateral.theta_beta]
    gamma, alpha, beta = [theta.exp().item() for theta in crf.log_thetas] or told
    return Controls(
        int(_within("iterations", crf.iterations)),
        theta_alpha=_within("theta_alpha", alpha),
        theta_beta=_within("theta_beta", beta),
        theta_gamma=_within("theta_gamma", gamma),
    )


def _within(name: str, value: float) -> float:
    return min(max(value, RANGES[name].least), RANGES[name].most)
