"""What a training shows on the way: mean IU on validation images, and warnings before hours are lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.net.net import Net
from caffe.solver.solver import Event, Solver
from crfasrnn.evaluation import metrics

logger = signed("crfasrnn.py")

LABEL, LOSS = "label", "loss"
FLAT_AFTER = 500  # iterations
FLAT_SHARE = 0.02  # of the loss


class DivergedError(CaffeError):
    """A loss or gradient is not a finite number."""


class Validation:
    """Counts what the solver's test net labels, and tells a listener the scores after each test; each takes the same images.

    names: of the classes. The event is {"event": "validation", "iteration", "images", "mean_iu", "pixel_accuracy",
    "per_class_iu"}. Made before a snapshot is restored: the images are those from where the test net starts to read.
    """

    def __init__(self, solver: Solver, names: Sequence[str]) -> None:
        self._solver, self._names = solver, names
        self._listener: Callable[[Event], None] = lambda event: None
        self._net = solver.test_nets[0]
        self._scores = scores_blob(self._net)
        self._confusion = np.zeros((len(names), len(names)), np.int64)
        self._warned = False
        self._start = [layer.snapshot_state() for layer in self._net.layers]
        self._last: tuple[int, int] | None = None
        # The net lets go of the scores once they are read, see Solver.save_memory.
        self._scored = max(i for i, tops in enumerate(self._net.top_names.values()) if self._scores in tops)
        self._net.after_forward(self._count)
        solver.add_listener(self._finish)

    def begin(self, listener: Callable[[Event], None]) -> None:
        """From now on tell the listener; the first test begins where all do, wherever a snapshot's was."""
        self._listener = listener
        self._rewind()

    def _rewind(self) -> None:
        for layer, state in zip(self._net.layers, self._start):
            if state is not None:
                layer.restore_state(state)

    def on_all(self, images: int) -> None:
        """Test on all of the `images`, when the training is done, unless the last test did."""
        if self._last != (self._solver.iter, images):
            self._solver.param.test_iter[0] = images
            self._solver.test()

    def _count(self, layer: int) -> None:
        if layer != self._scored:
            return
        labels = self._net.blobs[self._scores].tensor.argmax(1).cpu().numpy()
        truth = self._net.blobs[LABEL].tensor[:, 0].cpu().numpy().astype(np.int64)
        self._confusion += metrics.confusion_matrix(truth, labels, len(self._names))

    def _finish(self, event: Event) -> None:
        if event["event"] != "test":
            return
        confusion, self._confusion = self._confusion, np.zeros_like(self._confusion)
        per_class = metrics.per_class_iu(confusion)
        mean_iu = metrics.mean_iu(confusion)
        logger.info("Iteration %d, mean IU = %.4f", event["iteration"], mean_iu)
        for name, value in zip(self._names, per_class):
            logger.info("    IU of %s = %.4f", name, value)
        self._warned = self._warned or warn_if_one_class(confusion, self._names)
        self._last = (event["iteration"], self._solver.param.test_iter[0])
        found = {
            "event": "validation",
            "iteration": event["iteration"],
            "images": self._last[1],
            "mean_iu": mean_iu,
            "pixel_accuracy": metrics.pixel_accuracy(confusion),
            "per_class_iu": per_class.tolist(),
        }
        self._rewind()
        self._listener(found)


def scores_blob(net: Net) -> str:
    """The blob with the class scores: what the loss compares with the labels."""
    return next(net.bottom_names[name][0] for name, layer in net.layer_dict.items() if layer.is_loss)


def warn_if_one_class(confusion: np.ndarray, names: Sequence[str]) -> bool:
    """Warn if every pixel got the same label although the truth has several; returns whether it is so."""
    given = np.flatnonzero(confusion.sum(0))
    one = len(given) == 1 and np.count_nonzero(confusion.sum(1)) > 1
    if one:
        logger.warning(
            "Every pixel of the test images was labelled %s. Early in a training that is normal; if it stays, look at the "
            "classes' counts (crfasrnn data check), the weights that were loaded and the learning rate.",
            names[given[0]],
        )
    return bool(one)


@dataclass
class FlatLoss:
    """Warns, once, if the loss has not fallen after FLAT_AFTER iterations.

    Compared are the means over the first and the last quarter of those iterations; a training that was resumed starts anew.
    """

    after: int = FLAT_AFTER
    losses: list[float] = field(default_factory=list)

    def add(self, loss: float) -> None:
        """Note the loss of one iteration."""
        if len(self.losses) >= self.after:
            return
        self.losses.append(loss)
        if len(self.losses) < self.after:
            return
        quarter = max(1, self.after // 4)
        first, last = np.mean(self.losses[:quarter]), np.mean(self.losses[-quarter:])
        if last > (1 - FLAT_SHARE) * first:
            logger.warning(
                "The loss is flat: %.4g over the first %d iterations, %.4g over the last of %d. If mean IU does not rise "
                "either, the learning rate does not suit the loss (1e-10 and less for a summed one) or no weights were loaded.",
                first,
                quarter,
                last,
                self.after,
            )


class NumberCheck:
    """Stops a training at the first value that is not a number, and says in which layer it arose; `good` gets every loss."""

    def __init__(self, solver: Solver, good: Callable[[float], object]) -> None:
        self._solver, self._good = solver, good
        solver.add_callback(lambda: None, self._check)

    def _check(self) -> None:
        net = self._solver.net
        loss = float(net.blobs[LOSS].tensor.sum())
        if not math.isfinite(loss):
            raise DivergedError(f"iteration {self._solver.iter}: the loss is {loss:g}. {_origin(net)}")
        for name, blobs in net.params.items():
            for index, blob in enumerate(blobs):
                if blob.has_grad and not bool(torch.isfinite(blob.grad.sum())):
                    raise DivergedError(
                        f"iteration {self._solver.iter}: the gradient of layer {name!r}, blob {index}, is not a finite number; "
                        "lower the learning rate (the last snapshot is good)."
                    )
        self._good(loss)


def _origin(net: Net) -> str:
    """The first layer whose weights, or else whose top, are not finite numbers."""
    for name, blobs in net.params.items():
        if any(not _finite(blob.tensor) for blob in blobs):
            return f"The weights of layer {name!r} are not finite numbers: lower the learning rate, or check --weights."
    net.frees_blobs = False
    for index, bottoms in enumerate(net.bottom_names.values()):
        if bottoms:  # a data layer would read on
            net.run_forward(index, index)
    for name, tops in net.top_names.items():
        for top in tops:
            if not _finite(net.blobs[top].tensor):
                return (
                    f"Layer {name!r} gives no finite numbers in its top {top!r}, though all weights are finite: lower the "
                    "learning rate (the last snapshot is good)."
                )
    return "Every layer's weights and tops are finite but the loss's own: lower the learning rate."


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
