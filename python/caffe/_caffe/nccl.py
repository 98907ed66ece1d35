"""NCCL: the training of one net in processes that a script starts by itself, as BVLC's python/train.py does."""

from __future__ import annotations

import os
import tempfile
import uuid
import weakref
from contextlib import ExitStack

from caffe import mode, parallel
from caffe.errors import CaffeError
from caffe.solver.solver import Solver


class NCCL:
    """pycaffe's NCCL(solver, uid): join the other processes of this machine that were given the same uid.

    Call caffe.set_solver_count and caffe.set_solver_rank before; one process makes the uid by NCCL.new_uid() and starts the
    others. From then on solver.step averages the gradients over all processes, on CUDA through NCCL, on the CPU through gloo, so
    that as a callback (solver.add_callback(nccl), net.after_backward(nccl)) this has nothing left to do. The processes part when
    it is deleted. Raises CaffeError if the others do not come within CAFFE_TIMEOUT seconds.
    """

    def __init__(self, solver: Solver, uid: bytes) -> None:
        self._solver = solver
        membership = ExitStack()
        if parallel.count() > 1:
            if not isinstance(uid, bytes) or not os.path.isabs(uid):
                raise CaffeError("NCCL needs the uid that caffe.NCCL.new_uid() made in one of the processes")
            backend = "nccl" if mode.device().type == "cuda" else "gloo"
            membership.enter_context(parallel.group(backend, f"file://{uid.decode()}"))
        self._part = weakref.finalize(self, membership.close)

    @staticmethod
    def new_uid() -> bytes:
        """What the processes of one training know each other by: the name of a file, not there yet, where they meet."""
        return os.path.join(tempfile.gettempdir(), f"caffe-nccl-{uuid.uuid4().hex}").encode()

    def bcast(self) -> None:
        """Give all processes the weights of process 0."""
        if parallel.active():
            parallel.share_weights(self._solver.net.learnable)

    def __call__(self, layer: int = 0) -> None:
        """As a callback: nothing, see above."""
