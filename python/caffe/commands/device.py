"""The device that -gpu, or the solver, chooses."""

from __future__ import annotations

import torch

from caffe import mode, parallel
from caffe.errors import CaffeError
from caffe.logs.glog import signed

logger = signed("caffe.cpp")


def numbers(gpu: str) -> list[int]:
    """The device numbers that -gpu names."""
    if gpu in ("", "all"):
        return list(range(torch.cuda.device_count())) if gpu else []
    try:
        return [int(part) for part in gpu.split(",")]
    except ValueError:
        raise CaffeError(f"-gpu takes device numbers separated by commas, or all, not '{gpu}'") from None


def use(gpu: str, solver_mode: str | None = None, device_id: int = 0) -> None:
    """Choose CPU or GPU mode from -gpu, else from the solver (its mode, or None where it states none)."""
    ids = numbers(gpu)
    if len(ids) > 1:
        ids = [parallel.own_device(ids)]
    if (not gpu and solver_mode == "GPU") or (not gpu and solver_mode is None and torch.cuda.is_available()):
        ids = [device_id]
    if not ids:
        if not gpu and solver_mode is None:
            logger.warning("The solver states no solver_mode and there is no CUDA device: using the CPU.")
        logger.info("Use CPU.")
        mode.set_mode_cpu()
        return
    logger.info("Using GPUs %s", ", ".join(map(str, ids)))
    mode.set_mode_gpu()
    mode.set_device(ids[0])
