"""Training in several processes: gradients averaged as Caffe's multi-GPU training does, through torch.distributed.

Every process reads its own share of the data, so the effective batch is batch_size times the number of processes. Process 0
alone logs, tests and writes snapshots.

A process that is lost, or that does not answer for CAFFE_TIMEOUT seconds (an environment variable; 600), ends the run on all, and
so does the end of torchrun. torchrun hands SIGINT on: all stop after the same step, and process 0 writes a snapshot.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from caffe import mode
from caffe.blob import Blob
from caffe.errors import CaffeError
from caffe.files import system
from caffe.inputs.arguments import integer
from caffe.logs.glog import logger

TIMEOUT_VARIABLE = "CAFFE_TIMEOUT"
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
DEFAULT_TIMEOUT = 600.0  # seconds; a step, a tested batch or a snapshot takes less

# What a script that starts its processes by itself told us; None: ask torch.distributed.
_solver_count: int | None = None
_solver_rank: int | None = None


def active() -> bool:
    """Whether several processes train together through torch.distributed."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number; 0 is the one that logs and writes (pycaffe's solver_rank)."""
    if _solver_rank is not None:
        return _solver_rank
    return dist.get_rank() if active() else 0


def count() -> int:
    """How many processes train together (pycaffe's solver_count)."""
    if _solver_count is not None:
        return _solver_count
    return dist.get_world_size() if active() else 1


def set_rank(rank: int) -> None:
    """Tell this process's number, where torch.distributed does not (pycaffe's set_solver_rank)."""
    global _solver_rank
    rank = integer("rank", rank, -(2**31))
    if rank < 0:
        raise CaffeError(f"the rank of a solver must not be negative: {rank}")
    _solver_rank = rank


def set_count(count: int) -> None:
    """Tell how many processes share the data, where torch.distributed does not (pycaffe's set_solver_count)."""
    global _solver_count
    count = integer("count", count, -(2**31))
    if count < 1:
        raise CaffeError(f"the number of solvers must be at least 1, not {count}")
    _solver_count = count


def set_multiprocess(several: bool) -> None:
    """Accepted for scripts written for pycaffe: solvers here are always processes of their own, never threads."""


def has_nccl() -> bool:
    """Whether caffe.NCCL can be used: always, on the CPU through gloo."""
    return True


def shard(phase: int) -> tuple[int, int]:
    """(rank, processes): in phase TRAIN process `rank` reads every `processes`-th entry of the data."""
    return (rank(), count()) if phase == mode.TRAIN else (0, 1)


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(ids: Sequence[int]) -> int:
    """Which of the devices this process computes on: one each, in the order of the processes on this machine."""
    return ids[int(os.environ.get("LOCAL_RANK", "0")) % len(ids)]


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `caffe` with these arguments in several processes of this machine, as torchrun does.

    Returns the exit status: 1 if any failed, 128 and its number after a signal, which all of them get.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        run.main(["--standalone", f"--nproc-per-node={processes}", "-m", "caffe", *arguments])
    except SignalException as problem:
        return 128 + int(problem.sigval)
    except ChildFailedError:
        return 1
    return 0


def _end_with_parent() -> None:
    """Have the system end this process when torchrun, which started it, is killed (Linux)."""
    prctl = system.of_c("prctl")
    if prctl is not None and dist.is_torchelastic_launched():
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def timeout() -> float:
    """For how many seconds one process waits for another. Raises CaffeError if CAFFE_TIMEOUT is no such number."""
    given = os.environ.get(TIMEOUT_VARIABLE) or str(DEFAULT_TIMEOUT)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 1e8:
        raise CaffeError(f"{TIMEOUT_VARIABLE} is the seconds to wait for another process, more than 0, not '{given}'")
    return seconds


@contextmanager
def _dying_of_interrupts() -> Iterator[None]:
    """Let SIGINT end the process at once: torch waits for the others, who may be gone, without looking at signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def group(backend: str, meeting: str = "env://") -> Iterator[None]:
    """Join the other processes ("gloo" on the CPU, "nccl" on CUDA), and leave them at the end.

    meeting: where they meet, an init_method of torch.distributed; by default where torchrun, which started them, says. Elsewhere
    set_count and set_rank must have been called.
    Raises CaffeError if they cannot be reached, or if one is lost, or does not answer in time, while a block waits for it.
    """
    limit = timeout()
    _end_with_parent()
    # Else NCCL ends a process that waited in vain without a word of ours.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    try:
        own, all_of_them = (-1, -1) if meeting == "env://" else (rank(), count())
        with _dying_of_interrupts():
            dist.init_process_group(
                backend, init_method=meeting, timeout=timedelta(seconds=limit), rank=own, world_size=all_of_them
            )
        if rank():
            logger.setLevel(logging.ERROR)
        yield
    except RuntimeError as error:
        if isinstance(error, CaffeError):
            raise
        raise CaffeError(f"process {os.environ.get('RANK', rank())}: {_cause(error, limit)}") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _cause(error: RuntimeError, limit: float) -> str:
    """What an error of torch.distributed means for the run."""
    first_line = str(error).partition("\n")[0]
    if re.search("timed? ?out", str(error), re.IGNORECASE):
        return (
            f"another training process has not answered for {limit:g} seconds: it hangs, or its step takes longer; then set "
            f"{TIMEOUT_VARIABLE} to more seconds ({first_line})"
        )
    return f"lost the other training processes: {first_line}"


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


def broadcast(number: int) -> int:
    """The number that process 0 brings; alone, one's own."""
    if not active():
        return number
    shared = torch.tensor([number], dtype=torch.int64, device=mode.device())
    dist.broadcast(shared, 0)
    return int(shared)


def gather(content: bytes) -> list[bytes]:
    """What every process brings, in the order of the processes."""
    if not active():
        return [content]
    on = mode.device()
    sizes = [torch.zeros(1, dtype=torch.int64, device=on) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, torch.tensor([len(content)], device=on))
    room = torch.zeros(max(int(size) for size in sizes), dtype=torch.uint8, device=on)
    parts = [torch.zeros_like(room) for _ in sizes]
    room[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    dist.all_gather(parts, room)
    return [part[: int(size)].cpu().numpy().tobytes() for size, part in zip(sizes, parts)]


def all_reduce_max(number: int) -> int:
    """The largest of the numbers that the processes bring: one process's wish to stop stops all of them after the same step."""
    largest = torch.tensor([number], device=mode.device())
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def barrier() -> None:
    """Wait for the other processes, as all of them must here. Alone, nothing."""
    if active():
        all_reduce_max(0)
