"""caffe device_query: what PyTorch says of the CUDA devices."""

from __future__ import annotations

import torch

from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.logs.glog import signed

logger = signed("caffe.cpp")


def run(flags: Flags) -> int:
    """Log what the devices of -gpu are; returns the exit status. Raises CaffeError where there is none."""
    count = torch.cuda.device_count()
    wanted = range(count) if flags.gpu in ("", "all") else [int(i) for i in flags.gpu.split(",") if i.isdigit()]
    logger.info("Querying GPUs %s", flags.gpu or "all")
    if not count:
        raise CaffeError("PyTorch finds no CUDA device.")
    for i in wanted:
        if i >= count:
            raise CaffeError(f"There is no GPU device {i}: PyTorch finds {count}.")
        properties = torch.cuda.get_device_properties(i)
        logger.info("Device id:                     %d", i)
        logger.info("Major revision number:         %d", properties.major)
        logger.info("Minor revision number:         %d", properties.minor)
        logger.info("Name:                          %s", properties.name)
        logger.info("Total global memory:           %d", properties.total_memory)
        logger.info("Number of multiprocessors:     %d", properties.multi_processor_count)
    return 0
