"""Small nets that segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import caffe
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn.networks import crfrnn

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
