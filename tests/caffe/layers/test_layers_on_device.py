"""That the simulated device, on which all tests with the fixture `compute` run, refuses what a GPU would refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from support.simulated_device import DEVICE, simulated_device

from caffe import mode
from caffe.blob import Blob


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    with simulated_device():
        yield


def on_device(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, device=DEVICE)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + torch.ones(3),
        lambda x: x.index_select(0, torch.tensor([1])),
        lambda x: torch.where(torch.tensor([True, False, True]), x, x),
        lambda x: torch.cat([x, torch.ones(1)]),
        lambda x: torch.ones(3).mul_(x),
        lambda x: torch.stack([torch.arange(3.0), x]),
        lambda x: x.bernoulli_(0.5, generator=mode.generator()),
        lambda x: torch.empty(3).bernoulli_(0.5, generator=mode.generator(x.device)),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
    ],
)
def test_devices_do_not_mix(operation: Callable[[torch.Tensor], object]) -> None:
    mode.set_random_seed(1)
    with pytest.raises(RuntimeError, match=r"same device|generator is of another|not supported for tensor subclasses"):
        operation(on_device([1.0, 2.0, 3.0]))


def test_what_lies_on_one_device_is_computed_there() -> None:
    x = on_device([1.0, 2.0, 3.0]).requires_grad_()
    y = (2 * x + torch.zeros(3, device=DEVICE) + torch.arange(3.0).to(x)).square().sum()
    (gradient,) = torch.autograd.grad(y, x)
    assert y.device == gradient.device == DEVICE
    assert gradient.cpu().tolist() == [8, 20, 32]


def test_blobs_move_between_the_host_and_the_device() -> None:
    blob = Blob((2, 3))
    blob.data[...] = 4
    assert blob.tensor.device == DEVICE
    blob.tensor.mul_(2)
    np.testing.assert_array_equal(blob.data, np.full((2, 3), 8))
    blob.data[0, 0] = 1
    assert float(blob.tensor.sum()) == 41
    blob.tensor = torch.zeros(4)
    assert blob.shape == (4,)
    assert not blob.tensor.cpu().any()
