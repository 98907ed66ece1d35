"""What a run needs beside weights and history to go on exactly where it was: reading positions, random generators, losses.

A solver state carries it as JSON, in a place that genuine Caffe passes over (solver_state). It comes from a file, so nothing in
it is trusted: whatever does not fit raises CaffeError.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from caffe import mode, parallel
from caffe.data.streams import set_stream_state
from caffe.errors import CaffeError, FileError
from caffe.logs.glog import signed
from caffe.proto.solver_state import MAX_PROGRESS

if TYPE_CHECKING:
    from caffe.net.net import Net
    from caffe.solver.loss_window import LossWindow

logger = signed("solver.cpp")


def record(nets: list[Net], losses: LossWindow) -> bytes:
    """The progress of all processes; each of them must call this. `nets`: the training net and the test nets."""
    own = {
        "nets": [[layer.snapshot_state() for layer in net.layers] for net in nets],
        "random": _random_states(),
        "losses": [losses.first, losses.smoothed, losses.values],
    }
    try:
        parts = parallel.gather(json.dumps(own, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise CaffeError(f"a layer's snapshot_state is not made of what JSON knows: {error}") from error
    content = b'{"processes":[' + b",".join(parts) + b"]}"
    if len(content) > MAX_PROGRESS:
        raise CaffeError(f"the layers' snapshot_states take {len(content)} bytes; {MAX_PROGRESS} is the most.")
    return content


def resume(content: bytes, path: str, nets: list[Net], losses: LossWindow) -> None:
    """Bring layers, random generators and losses to where `record` saw them; `path` is for messages.

    What belongs to another net, data set or number of processes is left as it is, with a warning. Raises CaffeError for content
    that `record` did not make.
    """
    processes = _processes(content, path)
    if len(processes) != parallel.count():
        logger.warning(
            "%s was written by %d process(es), this run has %d: the data start anew.",
            path,
            len(processes),
            parallel.count(),
        )
        return
    own = processes[parallel.rank()]
    try:
        states, generators, (first, smoothed, values) = own["nets"], own["random"], own["losses"]
        if len(states) == len(nets):
            for net, layer_states in zip(nets, states):
                _restore_layers(net, layer_states, path)
        losses.resume(int(first), float(smoothed), [float(value) for value in values])
        _set_random_states(generators)
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, RuntimeError) as error:
        raise FileError(f"{path}: its record of the run's progress is damaged: {error}") from error


def _processes(content: bytes, path: str) -> list[Any]:
    try:
        processes = json.loads(content)["processes"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"{path}: its record of the run's progress is damaged: {error}") from error
    if not isinstance(processes, list):
        raise FileError(f"{path}: its record of the run's progress is damaged: no list of processes")
    return processes


def _restore_layers(net: Net, states: list[Any], path: str) -> None:
    if len(states) != len(net.layers):
        logger.warning("%s is of a net with other layers than '%s': its data start anew.", path, net.name)
        return
    for layer, state in zip(net.layers, states):
        if state is None:
            continue
        try:
            layer.restore_state(state)
        except CaffeError as error:
            logger.warning("%s: cannot go on reading where the snapshot was taken: %s", path, error)


# Python's, NumPy's and PyTorch's own generators are what users' Python layers draw from.


def _random_states() -> dict[str, Any]:
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    device = mode.device()
    return {
        "caffe": mode.generator().get_state().numpy().tobytes().hex(),
        "device": None if device.type == "cpu" else mode.generator(device).get_state().numpy().tobytes().hex(),
        "python": random.getstate(),
        "numpy": [numpy["state"]["key"].tolist(), numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]]
        if numpy["bit_generator"] == "MT19937"
        else None,
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    mode.generator().set_state(_bytes_tensor(states["caffe"]))
    torch.set_rng_state(_bytes_tensor(states["torch"]))
    set_stream_state(random._inst, states["python"])  # type: ignore[attr-defined]
    if states["numpy"] is not None:
        words, position, has_gauss, gauss = states["numpy"]
        # NumPy does not check the position, which would make it read outside of its words.
        if len(words) != 624 or not 0 <= int(position) <= 624:
            raise ValueError("not a state of NumPy's generator")
        np.random.set_state(("MT19937", np.array(words, np.uint32), int(position), int(has_gauss), float(gauss)))  # noqa: NPY002
    device = mode.device()
    if states["device"] is not None and device.type != "cpu":
        mode.generator(device).set_state(_bytes_tensor(states["device"]))


def _bytes_tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
