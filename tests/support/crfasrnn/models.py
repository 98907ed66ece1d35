"""Small nets that segment, and a segmenter without a net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data

import caffe
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn.classes import Classes
from crfasrnn.networks import crfrnn
from crfasrnn.segmentation.segmenter import Segmentation

# Small photographs, BGR.
CAT = np.ascontiguousarray(skimage.data.cat()[:120, :160, ::-1])
PERSON = np.ascontiguousarray(skimage.data.astronaut()[:150, 100:300, ::-1])

Files = tuple[Path, Path]


def save_net(folder: Path, body: Callable[[NetSpec], Top], name: str = "tiny") -> Files:
    """A deploy prototxt and random weights for it; `body` adds the layers behind `data`."""
    n = NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, 40, 40]})
    body(n)
    prototxt, weights = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    prototxt.write_text(str(n.to_proto()))
    caffe.set_random_seed(5)
    caffe.Net(str(prototxt), caffe.TEST).save(str(weights))
    return prototxt, weights


def scores(n: NetSpec, num_classes: int = 3) -> Top:
    """Random scores of every pixel from its neighbourhood."""
    n.score = L.Convolution(
        n.data, num_output=num_classes, kernel_size=5, pad=2, weight_filler={"type": "gaussian", "std": 0.01}
    )
    return n.score


def with_crf(n: NetSpec) -> Top:
    """The same, refined by two mean-field steps."""
    return crfrnn.mean_field(n, scores(n), 3, iterations=2)


class Threshold:
    """A segmenter that calls bright pixels class 1."""

    classes = Classes(("background", "dog"), (0, 12))

    def segment(self, image: np.ndarray) -> Segmentation:
        return Segmentation((image[..., 0] > 127).astype(np.uint8), None, self.classes)
