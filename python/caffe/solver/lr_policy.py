"""Learning-rate policies of Caffe's SGDSolver."""

from __future__ import annotations

import math

from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2

logger = signed("sgd_solver.cpp")


class LearningRate:
    """The learning rate at an iteration, and the number of steps taken so far (which snapshots record)."""

    def __init__(self, param: caffe_pb2.SolverParameter) -> None:
        self._param = param
        self.current_step = 0

    def at(self, iteration: int) -> float:
        """The rate for `iteration`, counted from 0. Raises CaffeError for an unknown lr_policy and for options without a rate."""
        try:
            return self._at(iteration)
        except (OverflowError, ValueError) as error:
            p = self._param
            raise CaffeError(
                f"lr_policy: {p.lr_policy} has no learning rate at iteration {iteration} with gamma {p.gamma:g} and "
                f"power {p.power:g}: {error}"
            ) from error

    def _at(self, iteration: int) -> float:
        p = self._param
        policy = p.lr_policy
        if policy == "fixed":
            return p.base_lr
        if policy == "step":
            if p.stepsize <= 0:
                raise CaffeError("lr_policy: step needs a stepsize greater than 0")
            self.current_step = iteration // p.stepsize
            return p.base_lr * math.pow(p.gamma, self.current_step)
        if policy == "exp":
            return p.base_lr * math.pow(p.gamma, iteration)
        if policy == "inv":
            return p.base_lr * math.pow(1 + p.gamma * iteration, -p.power)
        if policy == "multistep":
            if self.current_step < len(p.stepvalue) and iteration >= p.stepvalue[self.current_step]:
                self.current_step += 1
                logger.info("MultiStep Status: Iteration %d, step = %d", iteration, self.current_step)
            return p.base_lr * math.pow(p.gamma, self.current_step)
        if policy == "poly":
            if p.max_iter <= 0:
                raise CaffeError("lr_policy: poly needs a max_iter greater than 0")
            return p.base_lr * math.pow(max(0.0, 1 - iteration / p.max_iter), p.power)
        if policy == "sigmoid":
            # Beyond 700 the exponential has no float, and the rate is 0.
            return p.base_lr / (1 + math.exp(min(700.0, -p.gamma * (iteration - p.stepsize))))
        known = "fixed, step, exp, inv, multistep, poly, sigmoid"
        raise CaffeError(f"Unknown learning rate policy: {policy!r}. Set lr_policy in the solver to one of {known}.")
