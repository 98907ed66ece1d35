"""RNN, LSTM and LSTMUnit: recurrence over axis 0, restarted where the sequence indicator is 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.blob import Blob
from caffe.layers import fillers
from caffe.layers.base import Shape, TorchLayer
from caffe.layers.checks import layer_error, shape_string
from caffe.layers.registry import register_layer

State = list[torch.Tensor]


def lstm_step(cell: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """New cell and hidden state; `gates` holds, along its last axis, the inputs of i, f, o and g; `cont` 0 forgets the cell."""
    i, f, o, g = gates.chunk(4, -1)
    cell = cont * torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return cell, torch.sigmoid(o) * torch.tanh(cell)


@register_layer("LSTMUnit")
class LSTMUnit(TorchLayer):
    """Caffe layer LSTMUnit: c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c).

    Bottoms: c_prev (1, N, D); gate inputs i, f, o, g (1, N, 4 D); cont (1, N), 0 at the start of a sequence and else 1. Tops: c and
    h, (1, N, D). Gradients: c_prev, gate inputs.
    """

    exact_bottoms = 3
    exact_tops = 2

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        cell, gates, cont = bottom
        if len(cell) != 3 or gates != (*cell[:2], 4 * cell[2]) or cont != cell[:2]:
            raise layer_error(
                self,
                f"bottoms must be (1, N, D), (1, N, 4 D) and (1, N); they are {', '.join(shape_string(s) for s in bottom)}.",
            )
        return [cell, cell]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return lstm_step(bottom[0], bottom[1], bottom[2].detach().unsqueeze(-1))


class _Recurrent(TorchLayer):
    """Options, bottoms, tops and the memory of the last state; subclasses state parameters and one time step.

    Bottoms: x (T, N, ...); cont (T, N), 0 where a sequence starts; optionally static inputs (N, ...); with expose_hidden the
    start states, (1, N, D) each. Tops: outputs (T, N, D); with expose_hidden the last states. Without expose_hidden each
    forward starts from the state in which the one before ended. As in Caffe no gradient passes through exposed states.
    """

    kind = "product"
    states = 1

    def build(self, bottom: Sequence[Shape]) -> None:
        param = self.layer_param.recurrent_param
        self.outputs, self.exposed = param.num_output, param.expose_hidden
        if self.outputs < 1:
            raise layer_error(self, "num_output must be greater than 0.")
        fixed = 2 + (self.states if self.exposed else 0)
        if len(bottom) - fixed not in (0, 1):
            raise layer_error(self, f"it takes {fixed} bottoms, or {fixed + 1} with static inputs, not {len(bottom)}.")
        if len(self.layer_param.top) != fixed - 1:
            raise layer_error(self, f"it gives {fixed - 1} tops, not {len(self.layer_param.top)}.")
        self.static = len(bottom) > fixed
        self.inputs = math.prod(bottom[0][2:])
        self.static_inputs = math.prod(bottom[2][1:]) if self.static else 0
        self._state: State | None = None
        for shape, filler in self.parameters():
            blob = Blob(shape)
            fillers.fill(blob, getattr(param, filler))
            self.blobs.append(blob)

    def parameters(self) -> list[tuple[Shape, str]]:
        """Shape and filler field of each parameter, in Caffe's order."""
        raise NotImplementedError

    def step(
        self, state: State, x: torch.Tensor, cont: torch.Tensor, params: Sequence[torch.Tensor]
    ) -> tuple[State, torch.Tensor]:
        """Next state and output from the transformed input of one time step."""
        raise NotImplementedError

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 1

    def snapshot_state(self) -> Any:
        """The state in which the last forward ended, as nested lists."""
        return None if self._state is None or self.exposed else [state.tolist() for state in self._state]

    def restore_state(self, state: Any) -> None:
        try:
            tensors = [torch.tensor(part, dtype=torch.float32) for part in state]
        except (TypeError, ValueError, RuntimeError) as error:
            raise layer_error(self, f"no state of a recurrent layer: {error}") from error
        if len(tensors) != self.states or any(t.ndim != 2 or t.shape[1] != self.outputs for t in tensors):
            raise layer_error(self, "the state is of a layer with other outputs.")
        self._state = tensors

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        x, cont = bottom[0], bottom[1]
        if len(x) < 2 or cont != x[:2]:
            raise layer_error(self, f"cont must be (T, N) = {shape_string(x[:2])}, it is {shape_string(cont)}.")
        if self.static and bottom[2][0] != x[1]:
            raise layer_error(self, f"static inputs must be for {x[1]} sequences, not {bottom[2][0]}.")
        state = (1, x[1], self.outputs)
        given = bottom[len(bottom) - self.states :] if self.exposed else []
        if any(math.prod(shape) != math.prod(state) for shape in given):
            raise layer_error(self, f"start states must be {shape_string(state)}.")
        return [(x[0], x[1], self.outputs), *([state] * len(given))]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        x, cont = bottom[0], bottom[1].detach().unsqueeze(-1)
        steps, sequences = x.shape[:2]
        # The transformation of the inputs does not depend on the state: one product for all time steps.
        transformed = F.linear(x.reshape(steps, sequences, -1), params[0], params[1])
        if self.static:
            transformed = transformed + F.linear(bottom[2].flatten(1), params[2])
        state = self._start(bottom, x)
        outputs = []
        for t in range(steps):
            state, output = self.step(state, transformed[t], cont[t], params)
            outputs.append(output)
        self._state = [s.detach() for s in state]
        last = [s.reshape(1, sequences, -1) for s in self._state] if self.exposed else []
        return [torch.stack(outputs), *last]

    def _start(self, bottom: Sequence[torch.Tensor], x: torch.Tensor) -> State:
        sequences = x.shape[1]
        if self.exposed:
            return [s.detach().reshape(sequences, self.outputs) for s in bottom[len(bottom) - self.states :]]
        if self._state is not None and self._state[0].shape[0] == sequences:
            return [s.to(x) for s in self._state]
        return [x.new_zeros(sequences, self.outputs) for _ in range(self.states)]


@register_layer("RNN")
class RNN(_Recurrent):
    """Caffe layer RNN: h_t = tanh(W_hh cont_t h_(t-1) + W_xh x_t + b_h + W_sh s), y_t = tanh(W_ho h_t + b_o).

    Bottoms: x (T, N, ...), cont (T, N), optionally s (N, ...), with expose_hidden h_0. Tops: y (T, N, num_output), with
    expose_hidden h_T. Parameters: W_xh, b_h, W_sh if there is s, W_hh, W_ho, b_o. Options (recurrent_param): num_output,
    weight_filler, bias_filler (constant 0), expose_hidden (false). Gradients: x, s and
    the parameters.
    """

    def parameters(self) -> list[tuple[Shape, str]]:
        d = self.outputs
        static = [((d, self.static_inputs), "weight_filler")] if self.static else []
        return [
            ((d, self.inputs), "weight_filler"),
            ((d,), "bias_filler"),
            *static,
            ((d, d), "weight_filler"),
            ((d, d), "weight_filler"),
            ((d,), "bias_filler"),
        ]

    def step(
        self, state: State, x: torch.Tensor, cont: torch.Tensor, params: Sequence[torch.Tensor]
    ) -> tuple[State, torch.Tensor]:
        hidden = torch.tanh(x + F.linear(cont * state[0], params[-3]))
        return [hidden], torch.tanh(F.linear(hidden, params[-2], params[-1]))


@register_layer("LSTM")
class LSTM(_Recurrent):
    """Caffe layer LSTM: gates = W_xc x_t + b_c + W_hc cont_t h_(t-1) + W_sc s, then LSTMUnit; y_t = h_t.

    Bottoms: x (T, N, ...), cont (T, N), optionally s (N, ...), with expose_hidden h_0 and c_0. Tops: y (T, N, num_output), with
    expose_hidden h_T and c_T. Parameters: W_xc, b_c, W_sc if there is s, W_hc; rows in the order i, f, o, g. Options
    (recurrent_param) and gradients: as for RNN.
    """

    states = 2

    def parameters(self) -> list[tuple[Shape, str]]:
        d = self.outputs
        static = [((4 * d, self.static_inputs), "weight_filler")] if self.static else []
        return [
            ((4 * d, self.inputs), "weight_filler"),
            ((4 * d,), "bias_filler"),
            *static,
            ((4 * d, d), "weight_filler"),
        ]

    def step(
        self, state: State, x: torch.Tensor, cont: torch.Tensor, params: Sequence[torch.Tensor]
    ) -> tuple[State, torch.Tensor]:
        hidden, cell = state
        cell, hidden = lstm_step(cell, x + F.linear(cont * hidden, params[-1]), cont)
        return [hidden, cell], hidden
