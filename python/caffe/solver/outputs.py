"""What a net gives in test: the mean of its outputs over some iterations, and how the log and the JSON log tell outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from caffe.logs.glog import number
from caffe.net.net import Net

Outputs = Mapping[str, np.ndarray]


class OutputMeans:
    """The means of a net's outputs, and of its loss, over the iterations that `run` has made."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._sums: dict[str, np.ndarray] = {}
        self._loss = 0.0
        self.iterations = 0

    def run(self) -> dict[str, np.ndarray]:
        """Run the net once; returns its outputs, float64, and takes them in."""
        self._loss += self._net.run_forward()
        outputs = {name: self._net.blobs[name].tensor.double().cpu().numpy() for name in self._net.outputs}
        for name, values in outputs.items():
            self._sums[name] = self._sums[name] + values if name in self._sums else values
        self.iterations += 1
        return outputs

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """The mean of every output, of its shape; nothing before the first iteration."""
        return {name: total / self.iterations for name, total in self._sums.items()}

    @property
    def loss(self) -> float:
        """The mean loss. Raises ZeroDivisionError before the first iteration."""
        return self._loss / self.iterations


def scalars(outputs: Outputs) -> Iterator[tuple[str, float]]:
    """(output name, value), value by value."""
    return ((name, float(value)) for name, array in outputs.items() for value in array.reshape(-1))


def described(outputs: Outputs, net: Net) -> list[str]:
    """Every value as the log tells it: "loss1 = 0.5 (* 2 = 1 loss)", or without the brackets where the output is no loss."""
    lines = []
    for name, value in scalars(outputs):
        weight = net.blob_loss_weights[name]
        loss = f" (* {number(weight)} = {number(weight * value)} loss)" if weight else ""
        lines.append(f"{name} = {number(value)}{loss}")
    return lines


def plain_outputs(outputs: Outputs) -> dict[str, Any]:
    """Outputs as plain numbers: one, or for a longer output a list of them.

    >>> import numpy as np
    >>> from caffe.solver.outputs import plain_outputs
    >>> plain_outputs({"loss": np.array(0.5), "accuracy": np.array([0.25, 1])})
    {'loss': 0.5, 'accuracy': [0.25, 1.0]}
    """
    return {name: float(v.item()) if v.size == 1 else v.reshape(-1).tolist() for name, v in outputs.items()}
