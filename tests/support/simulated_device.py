"""A second device for machines without one: tensors that say they lie on it and refuse to meet those of the CPU.

It computes on the CPU, but what would be an error on a GPU is one here too: tensors of both devices in one operation, a view for
NumPy, a random generator of the other device. PyTorch's device type "lazy" lends its name, since nothing of its own runs here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from caffe import mode

DEVICE = torch.device("lazy", 0)
_CROSSINGS = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class DeviceTensor(torch.Tensor):
    """A tensor on the simulated device; `cell` holds its values, on the CPU."""

    cell: torch.Tensor

    @staticmethod
    def __new__(cls, cell: torch.Tensor) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            cell.shape,
            strides=cell.stride(),
            storage_offset=cell.storage_offset(),
            dtype=cell.dtype,
            device=DEVICE,
        )
        made.cell = cell
        return made

    def new_tensor(self, data: Any, **options: Any) -> torch.Tensor:
        return self.cell.new_tensor(data, **options).to(DEVICE)

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _generator(on: torch.device) -> torch.Generator:
    """What caffe.mode keeps for a device, while the device is simulated."""
    return mode._generators.setdefault(on, torch.Generator())


def _is_the_devices(generator: torch.Generator) -> bool:
    # Operations meet another Python object of the same generator.
    return DEVICE in mode._generators and generator._cdata == mode._generators[DEVICE]._cdata  # type: ignore[attr-defined]


class _Literals(TorchFunctionMode):
    """torch.tensor, which otherwise asks the device's allocator for memory by itself."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        return func(*args, **{**kwargs, "device": "cpu"}).to(kwargs.get("device") or torch.get_default_device())


class _Factories(TorchDispatchMode):
    """Hands operations that have no tensor to take a device from to the simulated one, too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One operation of PyTorch where its tensors are. Raises RuntimeError where they are on both devices."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if func not in _CROSSINGS:
        _check(func, tensors, kwargs.get("generator"))
    given = kwargs.get("device")
    target = args[0] if func is torch.ops.aten.copy_.default else None
    if target is not None:
        there = isinstance(target, DeviceTensor)
    elif given is not None:
        there = torch.device(given).type == DEVICE.type
    else:
        there = any(isinstance(tensor, DeviceTensor) for tensor in tensors)
    plain_args, plain_kwargs = tree_map_only(DeviceTensor, lambda tensor: tensor.cell, (args, kwargs))
    if there and given is not None:
        plain_kwargs["device"] = torch.device("cpu")
    result = func(*plain_args, **plain_kwargs)
    if not there:
        return result if target is None else target
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(torch.Tensor, DeviceTensor, result))


def _check(func: Any, tensors: list[torch.Tensor], generator: torch.Generator | None) -> None:
    here = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
    # A number that lies on the CPU may meet tensors of any device.
    elsewhere = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor) and tensor.ndim]
    if here and elsewhere:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found some on {DEVICE} and cpu")
    if generator is not None and tensors and _is_the_devices(generator) != bool(here):
        raise RuntimeError(f"{func}: the generator is of another device than the tensor")


@contextmanager
def simulated_device() -> Iterator[None]:
    """Within it, caffe computes on the simulated device."""
    with pytest.MonkeyPatch.context() as patch, _Literals(), _Factories():
        patch.setattr(mode, "_generators", {})
        patch.setattr(mode, "_seeded_generator", _generator)
        patch.setattr(mode, "_device", DEVICE)
        yield
