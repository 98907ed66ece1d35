"""Training in several processes: gradients averaged as Caffe's multi-GPU training does, through torch.distributed.

Every process reads its own share of the data, so the effective batch is batch_size times the number of processes. Process 0
alone logs, tests and writes snapshots.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist

from caffe import mode
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.log import logger


def active() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number; 0 is the one that logs and writes."""
    return dist.get_rank() if active() else 0


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(ids: Sequence[int]) -> int:
    """Which of the devices this process computes on: one each, in the order of the processes on this machine."""
    return ids[int(os.environ.get("LOCAL_RANK", "0")) % len(ids)]


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `caffe` with these arguments in several processes of this machine; returns the exit status (1 if any failed)."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        "-m",
        "caffe",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return 1 if subprocess.run([*command, *arguments], env=environment, check=False).returncode else 0


@contextmanager
def group(backend: str) -> Iterator[None]:
    """Join the other processes that torchrun started ("gloo" on the CPU, "nccl" on CUDA), and leave them at the end.

    Raises CaffeError if they cannot be reached, or if one is lost while a block waits for it.
    """
    try:
        dist.init_process_group(backend)
        if rank():
            logger.setLevel(logging.ERROR)
        yield
    except RuntimeError as error:
        if isinstance(error, CaffeError):
            raise
        raise CaffeError(
            f"process {os.environ.get('RANK', '?')}: lost the other training processes: {error}"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _tensors(blobs: Sequence[Blob], diff: bool) -> list[torch.Tensor]:
    return [blob.grad if diff else blob.tensor for blob in blobs]


def share_weights(blobs: Sequence[Blob]) -> None:
    """Give every process the weights of process 0."""
    for tensor in _tensors(blobs, diff=False):
        dist.broadcast(tensor, 0)


def average_gradients(blobs: Sequence[Blob]) -> None:
    """Replace every gradient by its mean over the processes, in one exchange."""
    tensors = _tensors(blobs, diff=True)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(part.view_as(tensor))


def agree(code: int) -> int:
    """The largest of the numbers that the processes bring: one process's wish to stop stops all of them after the same step."""
    wish = torch.tensor([code], device=mode.device())
    dist.all_reduce(wish, dist.ReduceOp.MAX)
    return int(wish)
