"""Caffe's solvers: the training loop, testing, snapshots and resuming."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from caffe import mode, parallel
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.fastpath.frozen import frozen
from caffe.fastpath.trained import trained
from caffe.inputs.arguments import instance, integer
from caffe.logs.glog import number, signed
from caffe.net.net import Net, PathLike
from caffe.proto import caffe_pb2, solver_state, text
from caffe.solver import resume
from caffe.solver.loss_window import LossWindow
from caffe.solver.lr_policy import LearningRate
from caffe.solver.memory import return_large_blocks
from caffe.solver.nets import finetune, test_nets, train_net
from caffe.solver.outputs import OutputMeans, Outputs, described, plain_outputs
from caffe.solver.signals import ACTIONS, CONTINUE, SNAPSHOT, STOP
from caffe.solver.updates import check_rule

logger = signed("solver.cpp")
sgd_logger = signed("sgd_solver.cpp")

Event = dict[str, Any]
_SLICE = 1 << 18  # elements
_HUGE_NET = 1 << 26  # elements of all parameters


class Solver:
    """Trains a net as a solver prototxt says.

    Attributes: `net`, `test_nets`, `iter`, `param` (caffe_pb2.SolverParameter), `lr`, `history` (one blob per learnable parameter;
    Adam and AdaDelta: all first histories, then all second ones). The test nets use the weights of `net` from the start, also those
    that net.copy_from or restore brings (in genuine Caffe they hold random ones until their first test).

    Raises CaffeError for a missing or wrong solver file or net.
    """

    solver_type: ClassVar[str | None] = None

    def __init__(self, solver_file: PathLike | caffe_pb2.SolverParameter) -> None:
        if isinstance(solver_file, caffe_pb2.SolverParameter):
            self.param = caffe_pb2.SolverParameter()
            self.param.CopyFrom(solver_file)
        else:
            self.param = text.read_solver(solver_file)
        if self.solver_type is not None:
            self.param.type = self.solver_type
        self._rule = check_rule(self.param)
        logger.info("Initializing solver from parameters: \n%s", text.to_text(self.param))
        if self.param.average_loss < 1:
            raise CaffeError(f"average_loss should be at least 1, not {self.param.average_loss}.")
        self._check_snapshot_prefix()
        if self.param.random_seed >= 0:
            mode.set_random_seed(self.param.random_seed + parallel.rank())
        self.iter = 0
        self._rate = LearningRate(self.param)
        self._losses = LossWindow(self.param.average_loss)
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._listeners: list[Callable[[Event], None]] = []
        self._displayed: Event | None = None
        self.requested_action: Callable[[], str] = lambda: CONTINUE
        self.stopped_early = False
        self._clock = (time.monotonic(), 0)
        self.net = train_net(self.param)
        self.test_nets = test_nets(self.param)
        for net in self.test_nets:
            net.share_with(self.net, told=False)  # each test tells it
        logger.info("Solver scaffolding done.")
        self.history = [Blob(b.shape) for _ in range(self._rule.histories) for b in self.net.learnable]

    # Setting up.

    def _check_snapshot_prefix(self) -> None:
        prefix = self.param.snapshot_prefix
        if not (self.param.snapshot or self.param.snapshot_after_train) or not self.param.HasField("snapshot_prefix"):
            return
        folder = Path(prefix).parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise CaffeError(
                f"Cannot write to snapshot prefix '{prefix}'.  Make sure that the directory exists and is writeable."
            )

    def load_weights(self, weights: str) -> None:
        """Copy weights from one or more files (separated by commas) into the training and test nets."""
        finetune([self.net, *self.test_nets], weights)

    def add_callback(
        self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object] = lambda: None
    ) -> None:
        """Call these before each iteration's forward and between its backward and its update."""
        self._callbacks.append((on_start, on_gradients_ready))

    def add_listener(self, listener: Callable[[Event], None]) -> None:
        """Call this with what is logged, as values: {"event": "train" | "test" | "snapshot", "iteration": ..., ...}."""
        self._listeners.append(listener)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def save_memory(self) -> None:
        """From now on keep nothing that the training itself does not need, for programs that look at losses and weights alone.

        The nets let go of their blobs (Net.frees_blobs), run at once where they can the layers behind the image and what nothing
        is learned in, and freed memory goes back to the system if the parameters are huge: that takes time. The numbers stay the
        same, up to the order of sums in what runs at once (caffe.fastpath.trained and frozen).
        """
        if sum(blob.count for blob in self.net.learnable) > _HUGE_NET:
            return_large_blocks()
        for net in (self.net, *self.test_nets):
            net.frees_blobs = True
            net.fast_path = trained(net) or frozen(net)

    def share_weights(self, net: Net) -> None:
        """Let `net` use this solver's weights in the layers of the same names."""
        instance("net", net, Net)
        net.share_with(self.net)

    # Training.

    def solve(self, resume_file: PathLike | None = None) -> None:
        """Train to max_iter, then snapshot, display and test as the solver file says."""
        p = self.param
        logger.info("Solving %s", self.net.name)
        logger.info("Learning Rate Policy: %s", p.lr_policy)
        self.stopped_early = False
        if resume_file is not None:
            logger.info("Restoring previous solver status from %s", os.fspath(resume_file))
            self.restore(resume_file)
        self.step(max(0, p.max_iter - self.iter))
        if p.snapshot_after_train and (not p.snapshot or self.iter % p.snapshot != 0):
            self.snapshot()
        if self.stopped_early:
            logger.info("Optimization stopped early.")
            return
        if p.display and self.iter % p.display == 0:
            loss = self.net.run_forward()
            self.net.release()
            self._losses.add(loss, self.iter)
            logger.info("Iteration %d, loss = %s", self.iter, number(self._losses.smoothed))
        if p.test_interval and self.iter % p.test_interval == 0:
            self.test_all()
        logger.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Train for a number of iterations, with display, tests and snapshots on the way."""
        iterations = integer("iterations", iterations)
        p = self.param
        last = self.iter + iterations
        if parallel.active():
            parallel.share_weights(self.net.learnable)
        self._losses.start(self.iter)
        self._clock = (time.monotonic(), self.iter)
        while self.iter < last:
            self.net.clear_param_diffs()
            if p.test_interval and self.iter % p.test_interval == 0 and (self.iter > 0 or p.test_initialization):
                self.test_all()
                if self.stopped_early:
                    break
            for on_start, _ in self._callbacks:
                on_start()
            display = bool(p.display) and self.iter % p.display == 0
            self.net.debug_info = display and p.debug_info
            loss = 0.0
            for _ in range(p.iter_size):
                loss += self.net.run_forward()
                self.net.run_backward()
                self.net.release()
            self._losses.add(loss / p.iter_size, self.iter)
            if display:
                self._display()
            if parallel.active():
                parallel.average_gradients(self.net.learnable)
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update()
            action = self.requested_action()
            if parallel.active():
                action = ACTIONS[parallel.all_reduce_max(ACTIONS.index(action))]
            if (p.snapshot and self.iter % p.snapshot == 0) or action == SNAPSHOT:
                self.snapshot()
            if action == STOP:
                self.stopped_early = True
                break

    def _display(self) -> None:
        since, at = self._clock
        lapse = time.monotonic() - since
        speed = (self.iter - at) / lapse if lapse > 0 else 0.0
        logger.info(
            "Iteration %d (%s iter/s, %ss/%d iters), loss = %s",
            self.iter,
            number(speed),
            number(lapse),
            self.param.display,
            number(self._losses.smoothed),
        )
        self._clock = (time.monotonic(), self.iter)
        outputs = {name: self.net.blobs[name].tensor.cpu().numpy() for name in self.net.outputs}
        self._report("Train", outputs, self.net)
        # Told to the listeners once the learning rate is known.
        self._displayed = {
            "event": "train",
            "iteration": self.iter,
            "loss": self._losses.smoothed,
            "outputs": plain_outputs(outputs),
            "iterations_per_second": speed,
        }

    def _report(self, which: str, outputs: Outputs, net: Net) -> None:
        for i, line in enumerate(described(outputs, net)):
            logger.info("    %s net output #%d: %s", which, i, line)

    def apply_update(self) -> None:
        """Turn the accumulated parameter diffs into one update of the weights, and count the iteration."""
        p = self.param
        rate = self._rate.at(self.iter)
        if p.display and self.iter % p.display == 0:
            sgd_logger.info("Iteration %d, lr = %s", self.iter, number(rate))
        if self._displayed is not None:
            self._tell({**self._displayed, "lr": rate})
            self._displayed = None
        self._clip()
        count = len(self.net.learnable)
        with torch.no_grad():
            for i, blob in enumerate(self.net.learnable):
                if not self.net.lr_mult[i] and not blob.has_grad:
                    continue
                history = [self.history[i + k * count].tensor for k in range(self._rule.histories)]
                for weights, grad, *past in zip(*map(_slices, (blob.tensor, blob.grad, *history))):
                    if p.iter_size > 1:
                        grad.mul_(1.0 / p.iter_size)
                    self._decay(grad, weights, p.weight_decay * self.net.decay_mult[i])
                    update = self._rule.update(grad, past, rate * self.net.lr_mult[i], self.iter, p)
                    # Caffe leaves the update in the diff, where snapshot_diff and callers look for it.
                    weights.sub_(grad.copy_(update))
        self.iter += 1

    def _decay(self, grad: torch.Tensor, weights: torch.Tensor, decay: float) -> None:
        """Add the regularisation's gradient."""
        kind = self.param.regularization_type
        if not decay:
            return
        if kind not in ("L1", "L2"):
            raise CaffeError(f"Unknown regularization type: {kind!r}; use L1 or L2.")
        grad.add_(weights if kind == "L2" else weights.sign(), alpha=decay)

    def _clip(self) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        grads = [b.grad for b in self.net.learnable if b.has_grad]
        norm = float(sum((part.double() ** 2).sum() for g in grads for part in _slices(g))) ** 0.5
        if norm > limit:
            scale = limit / norm
            logger.info(
                "Gradient clipping: scaling down gradients (L2 norm %s > %s) by scale factor %s",
                *map(number, (norm, limit, scale)),
            )
            for grad in grads:
                grad.mul_(scale)

    @property
    def lr(self) -> float:
        """The learning rate of the current iteration."""
        return (
            LearningRate(self.param).at(self.iter) if self.param.lr_policy != "multistep" else self._rate.at(self.iter)
        )

    # Testing.

    def test_all(self) -> None:
        """Run every test net for its test_iter iterations and log the mean of its outputs.

        Where several processes train, process 0 tests and the others wait, from batch to batch and no longer than
        parallel.timeout(): a signal then has its effect after the next iteration, for all of them.
        """
        for i, iterations in enumerate(self.param.test_iter):
            if self.stopped_early:
                return
            if parallel.rank():
                for _ in range(iterations):
                    parallel.barrier()
            else:
                self.test(i, parallel.barrier)

    def test(self, index: int = 0, after_each: Callable[[], object] = lambda: None) -> dict[str, np.ndarray]:
        """Run one test net; returns {output name: mean over the iterations}, nothing if a signal stopped it.

        `after_each` is called after each iteration.
        """
        logger.info("Iteration %d, Testing net (#%d)", self.iter, index)
        net = self.test_nets[integer("index", index, 0, len(self.test_nets) - 1)]
        net.share_with(self.net)
        means = OutputMeans(net)
        for _ in range(self.param.test_iter[index]):
            action = CONTINUE if parallel.active() else self.requested_action()
            if action == SNAPSHOT:
                self.snapshot()
            elif action == STOP:
                self.stopped_early = True
                logger.info("Test interrupted.")
                return {}
            means.run()
            after_each()
        if self.param.test_compute_loss:
            logger.info("Test loss: %s", number(means.loss))
        self._report("Test", means.outputs, net)
        self._tell(
            {
                "event": "test",
                "iteration": self.iter,
                "net": index,
                "outputs": plain_outputs(means.outputs),
                **({"loss": means.loss} if self.param.test_compute_loss else {}),
            }
        )
        self._clock = (time.monotonic(), self.iter)
        return means.outputs

    # Snapshots.

    def snapshot(self) -> tuple[str, str]:
        """Write the weights and then the solver state; returns the two paths.

        Each file appears whole or not at all, so the newest solver state always has its weights beside it; what killed processes
        left unfinished beside them is removed. It also records where the data were (caffe.solver.resume). Where several
        processes train, all of them must call this; process 0 writes.
        """
        hdf5 = self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
        suffix, kind = (".h5", "HDF5 file") if hdf5 else ("", "binary proto file")
        stem = f"{self.param.snapshot_prefix}_iter_{self.iter}"
        model, state = f"{stem}.caffemodel{suffix}", f"{stem}.solverstate{suffix}"
        record = resume.record([self.net, *self.test_nets], self._losses)
        if parallel.rank():
            return model, state
        logger.info("Snapshotting to %s %s", kind, model)
        save = self.net.save_hdf5 if hdf5 else self.net.save
        save(model, diff=self.param.snapshot_diff)
        sgd_logger.info("Snapshotting solver state to %s %s", kind, state)
        history = [blob.tensor.cpu().numpy() for blob in self.history]
        content = solver_state.SolverState(self.iter, model, self._rate.current_step, history, record)
        solver_state.write_solver_state(state, content)
        self._tell({"event": "snapshot", "iteration": self.iter, "model": model, "state": state})
        return model, state

    def restore(self, path: PathLike) -> None:
        """Take iteration, weights and history from a .solverstate or .solverstate.h5 file.

        The weights come from the model file it names, looked for at that path and then beside the state file. From a state that we
        wrote, the data go on where they were and random numbers follow as they would have; from genuine Caffe's, the data start
        anew. Raises CaffeError for a damaged file or one of another net.
        """
        state = solver_state.read_solver_state(path)
        if not os.fspath(path).endswith(".h5"):
            # Caffe says so for binary files alone.
            sgd_logger.info("SGDSolver: restoring history")
        if len(state.history) != len(self.history):
            raise CaffeError(
                f"{os.fspath(path)}: Incorrect length of history blobs: {len(state.history)}, the solver needs {len(self.history)}."
            )
        for i, (blob, array) in enumerate(zip(self.history, state.history)):
            if blob.count != array.size:
                raise CaffeError(
                    f"{os.fspath(path)}: history blob {i} has shape {array.shape}, the solver needs {blob.shape}."
                )
        if state.learned_net:
            beside = Path(path).parent / Path(state.learned_net).name
            self.net.copy_from(state.learned_net if os.path.exists(state.learned_net) else beside)
        for blob, array in zip(self.history, state.history):
            blob.data[...] = array.reshape(blob.shape)
        self.iter = state.iter
        self._rate.current_step = state.current_step
        if state.progress:
            resume.resume(state.progress, os.fspath(path), [self.net, *self.test_nets], self._losses)


def _slices(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of all elements in a row, a few at a time: temporaries stay small, and in the cache."""
    return tensor.view(-1).split(_SLICE)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    solver_type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    solver_type = "Nesterov"


class AdaGradSolver(Solver):
    """Adaptive gradient (Duchi et al. 2011)."""

    solver_type = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSprop (Tieleman and Hinton 2012)."""

    solver_type = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta (Zeiler 2012)."""

    solver_type = "AdaDelta"


class AdamSolver(Solver):
    """Adam (Kingma and Ba 2015)."""

    solver_type = "Adam"


_SOLVERS = {
    cls.solver_type: cls
    for cls in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


def get_solver(solver_file: PathLike | caffe_pb2.SolverParameter) -> Solver:
    """The solver that a solver prototxt's `type` names."""
    param = solver_file if isinstance(solver_file, caffe_pb2.SolverParameter) else text.read_solver(solver_file)
    check_rule(param)
    return _SOLVERS[param.type](param)
