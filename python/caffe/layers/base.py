"""What a layer is: the four steps of Caffe's Layer, and TorchLayer, which gets its backward step from autograd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch

from caffe.blob import Blob, BlobVec
from caffe.errors import CaffeError
from caffe.layers.window import Shape, Windows
from caffe.proto import caffe_pb2

__all__ = ["Layer", "LossLayer", "Shape", "TorchLayer", "canonical_axis"]


class Layer:
    """One layer of a Net. Subclass it for a Python layer, exactly as in pycaffe.

    Attributes: `layer_param` (caffe_pb2.LayerParameter), `name`, `phase` (caffe.TRAIN or caffe.TEST), `blobs` (the parameters),
    `param_str` (of python_param), `loss_weights` (one per top), `propagate_down` (one flag per bottom), `param_propagate_down`
    (one flag per parameter). The Net sets the last three after setup.

    Bottoms and tops are lists of Blob. `setup` runs once; `reshape` before every forward, to shape the tops; `forward` fills the
    tops' data; `backward` fills the diff of every bottom whose flag is set and adds to the diff of every parameter.
    """

    type: ClassVar[str] = ""
    # None: any number. Checked before setup, in Caffe's words.
    exact_bottoms: ClassVar[int | None] = None
    min_bottoms: ClassVar[int | None] = None
    max_bottoms: ClassVar[int | None] = None
    exact_tops: ClassVar[int | None] = None
    min_tops: ClassVar[int | None] = None
    max_tops: ClassVar[int | None] = None
    equal_bottoms_tops: ClassVar[bool] = False
    # Loss layers: a missing top is added, the first top gets loss_weight 1.
    is_loss: ClassVar[bool] = False
    # What a layer says of itself to those who would otherwise need lists of types.
    # Each top lies on the bottoms, pixel on pixel: Crop layers are aligned through it.
    keeps_coordinates: ClassVar[bool] = False
    # Each pixel of the one top is made from that pixel of the one bottom alone, everywhere in the same way: inference may compute
    # a part of the pixels.
    pointwise: ClassVar[bool] = False
    # `compute` takes maps whose numbers lie in any order in memory, channels last, too.
    any_layout: ClassVar[bool] = False
    # The tops are new memory, never a view of a bottom.
    fresh_top: ClassVar[bool] = False
    # The same bottoms and parameters give the same tops, every time: no chance, no memory, nothing else is read. (Of a layer.)
    repeats: bool = False
    # It has windows of the top's pixels on the bottom's, not of the bottom's on the top's.
    transposes_windows: ClassVar[bool] = False
    # Its colour in drawings: one of caffe.draw.COLOURS.
    kind: ClassVar[str] = ""
    # Proto text that declares options of its own, see caffe.proto.layer_messages.
    message: ClassVar[str] = ""

    def __init__(self, layer_param: caffe_pb2.LayerParameter, phase: int) -> None:
        self.layer_param = layer_param
        self.name = layer_param.name
        self.phase = phase
        self.param_str = layer_param.python_param.param_str
        self.blobs = BlobVec()
        self.loss_weights: list[float] = []
        self.propagate_down: list[bool] = []
        self.param_propagate_down: list[bool] = []
        # Whether a backward step will follow, so that forward must keep what it needs; the Net decides.
        self.will_run_backward = False
        # Whether the top may be written over the bottom, which is then this layer's alone and no longer needed; the Net decides.
        self.may_overwrite = False
        # Where the net's prototxt lies, None if it was not read from a file.
        self.folder: Path | None = None
        # Where a data layer read the current batch (keys, files), for messages about it.
        self.places: Sequence[str] = ()

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the options and create the parameters, once."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give every top its shape."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute the tops' data."""
        raise NotImplementedError(f"layer '{self.name}' ({type(self).__name__}) has no forward()")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute the bottoms' diffs from the tops' diffs. Without one, the diffs stay as they are."""

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Whether force_backward makes sense for a bottom (labels and other indices say no)."""
        return not (self.is_loss and bottom_index == 1)

    @classmethod
    def windows_of(cls, layer_param: caffe_pb2.LayerParameter) -> Windows | None:
        """The windows that such a layer slides over images; None if it slides none. Raises CaffeError for wrong options."""
        return None

    @property
    def selects_values(self) -> bool:
        """Whether every value of the tops is one of the bottoms or 0, so that what holds these exactly holds the tops."""
        return False

    def release(self) -> None:
        """Forget what forward kept for backward."""

    def snapshot_state(self) -> Any:
        """What the next forward depends on beside bottoms, parameters and random generators (a reading position, a memory).

        Snapshots record it, so it must be made of what JSON knows; None: nothing. Override it together with `restore_state` in a
        Python layer that reads data, and a resumed training goes on where the data were.
        """
        return None

    def restore_state(self, state: Any) -> None:
        """Go on from what `snapshot_state` gave. Raises CaffeError if it does not fit this layer."""

    @property
    def needs_backward(self) -> bool:
        """Whether anything below or in this layer wants a gradient."""
        return any(self.propagate_down) or any(self.param_propagate_down)


def _leaf(values: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape that has memory for one element: a leaf of autograd's graph, not a value."""
    return values.new_empty_strided(values.shape, (0,) * values.dim())


class _FromLeaf(torch.autograd.Function):
    """The values as a function of a leaf, with gradient one: what nobody needs for backward is not kept by the graph."""

    @staticmethod
    def forward(ctx: Any, leaf: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0], None


class ToDiff(torch.autograd.Function):
    """A scalar as a function of a top's values, whose gradient with respect to these is the top's diff, in an order in memory.

    Handing diffs to autograd.grad costs 32 MB: it imports sympy to compare their shapes.
    """

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, top: Blob, order: torch.memory_format = torch.preserve_format
    ) -> torch.Tensor:
        ctx.top, ctx.shape, ctx.order = top, values.shape, order
        return values.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.top.grad.view(ctx.shape).to(memory_format=ctx.order), None, None


class _RecordedCall(NamedTuple):
    """A forward that autograd has seen, to be differentiated when the tops' diffs are there.

        leaf of bottom 0 --_FromLeaf--+
        leaf of bottom 1 --_FromLeaf--+--> compute --> top 0 --ToDiff--> end 0
        parameters -------------------+           --> top 1 --ToDiff--> end 1

    The leaves stand for the bottoms in the graph without their values. The gradient of an end with respect to its top is that top's
    diff, so that the gradients of all ends with respect to leaves and parameters are the layer's backward step.
    """

    leaves: list[torch.Tensor]
    params: list[torch.Tensor]
    ends: list[torch.Tensor]


class _Wanted(NamedTuple):
    """What to differentiate by, and the blob whose diff takes the gradient or, with `accumulate`, adds it."""

    leaf: torch.Tensor
    blob: Blob
    accumulate: bool


def _wanted_of_bottoms(call: _RecordedCall, bottom: Sequence[Blob], propagate_down: Sequence[bool]) -> list[_Wanted]:
    flagged = zip(call.leaves, bottom, propagate_down)
    return [_Wanted(leaf, blob, False) for leaf, blob, flag in flagged if flag and leaf.requires_grad]


def _wanted_of_params(call: _RecordedCall, blobs: Sequence[Blob]) -> list[_Wanted]:
    return [_Wanted(param, blob, True) for param, blob in zip(call.params, blobs) if param.requires_grad]


class TorchLayer(Layer):
    """A layer stated as torch operations: shapes, parameters and `compute`; autograd over this one layer is its backward.

    Subclasses override `build` (options and parameters, once), `top_shapes` (no arithmetic on data) and `compute`.
    """

    def __init__(self, layer_param: caffe_pb2.LayerParameter, phase: int) -> None:
        super().__init__(layer_param, phase)
        self._call: _RecordedCall | None = None
        # What a layer with cheap_forward read, until backward computes from it again.
        self._read: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    @property
    def cheap_forward(self) -> bool:
        """Whether backward computes once more, rather than have forward keep what it needs. Not for random or in-place tops."""
        return False

    def build(self, bottom: Sequence[Shape]) -> None:
        """Read the options, check them against the bottoms' shapes, create the parameters with their fillers."""

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        """The tops' shapes; default: the first bottom's for every top."""
        return [bottom[0]] * max(1, len(self.layer_param.top))

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The tops from the bottoms and parameters, any float dtype, on any device; one tensor per top, of top_shapes' shapes."""
        raise NotImplementedError

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.build([b.shape for b in bottom])

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        for blob, shape in zip(top, self.top_shapes([b.shape for b in bottom])):
            blob.reshape(*shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        self.release()
        for blob in top:
            if not any(blob is b for b in bottom):
                blob.discard_data()
        inputs = [self._input(b, top) for b in bottom]
        params = [p.tensor for p in self.blobs]
        if self.will_run_backward and not self.cheap_forward:
            self._call, outputs = self._recorded(inputs, params, top)
        else:
            self._read = (inputs, params) if self.will_run_backward else None
            with torch.no_grad():
                outputs = self.compute(inputs, params)
        # A tensor alone would pass for a sequence of its rows.
        if isinstance(outputs, torch.Tensor) or len(outputs) < len(top):
            found = "one tensor" if isinstance(outputs, torch.Tensor) else f"{len(outputs)} tensors"
            raise CaffeError(
                f"layer '{self.name}' ({self.type}): compute returned {found}, not a list of {len(top)} for its tops"
            )
        for blob, value in zip(top, outputs):
            if value.shape != blob.shape or value.dtype is not torch.float32:
                self._check_computed(value, blob)
            blob.tensor = value

    def _check_computed(self, value: torch.Tensor, blob: Blob) -> None:
        # How many items there are may depend on the data, as in Filter.
        if (
            value.dtype is not torch.float32
            or value.ndim != len(blob.shape)
            or tuple(value.shape[1:]) != blob.shape[1:]
        ):
            raise CaffeError(
                f"layer '{self.name}' ({self.type}): compute returned {value.dtype} of shape {tuple(value.shape)}, "
                f"where top_shapes promised torch.float32 of shape {blob.shape}"
            )

    def _recorded(
        self, inputs: Sequence[torch.Tensor], params: Sequence[torch.Tensor], top: Sequence[Blob]
    ) -> tuple[_RecordedCall, Sequence[torch.Tensor]]:
        leaves = [_leaf(x).requires_grad_(flag) for x, flag in zip(inputs, self.propagate_down)]
        weights = [p.detach().requires_grad_(flag) for p, flag in zip(params, self.param_propagate_down)]
        with torch.enable_grad():
            outputs = self.compute([_FromLeaf.apply(*pair) for pair in zip(leaves, inputs)], weights)
            return _RecordedCall(leaves, weights, [ToDiff.apply(*pair) for pair in zip(outputs, top)]), outputs

    def _input(self, blob: Blob, top: Sequence[Blob]) -> torch.Tensor:
        # An in-place top that somebody holds a numpy view of is overwritten in memory; autograd must keep what was read.
        in_leaf = blob.viewed and any(blob is t for t in top)
        return blob.tensor.clone() if in_leaf and self.will_run_backward else blob.tensor

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        call = self._recorded_call(top, bottom)
        self._differentiate(
            call, _wanted_of_bottoms(call, bottom, propagate_down) + _wanted_of_params(call, self.blobs)
        )

    def backward_bottoms(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """The half of `backward` that the layers below wait for."""
        call = self._recorded_call(top, bottom)
        self._differentiate(call, _wanted_of_bottoms(call, bottom, propagate_down))

    def backward_params(self, top: Sequence[Blob], bottom: Sequence[Blob]) -> None:
        """The other half."""
        call = self._recorded_call(top, bottom)
        self._differentiate(call, _wanted_of_params(call, self.blobs))

    @property
    def remembers_forward(self) -> bool:
        """Whether backward has what forward kept for it; without that it computes from what the bottoms hold now."""
        return self._call is not None or self._read is not None

    def _recorded_call(self, top: Sequence[Blob], bottom: Sequence[Blob]) -> _RecordedCall:
        if self._call is not None:
            return self._call
        inputs, params = self._read or ([self._input(b, top) for b in bottom], [p.tensor for p in self.blobs])
        return self._recorded(inputs, params, top)[0]

    def _differentiate(self, call: _RecordedCall, targets: Sequence[_Wanted]) -> None:
        ends = [part for part in call.ends if part.requires_grad]
        if not ends or not targets:
            return
        leaves = [target.leaf for target in targets]
        grads = torch.autograd.grad(ends, leaves, retain_graph=True, allow_unused=True)
        for grad, (leaf, blob, accumulate) in zip(grads, targets):
            if not accumulate:
                blob.grad = leaf.new_zeros(leaf.shape) if grad is None else grad
            elif grad is not None:
                blob.add_grad(grad)

    def release(self) -> None:
        self._call = self._read = None


class LossLayer(TorchLayer):
    """A layer whose first top is a scalar loss of predictions (bottom 0) and labels (bottom 1)."""

    exact_bottoms: ClassVar[int | None] = 2
    min_tops = 0
    is_loss = True
    kind = "loss"


def canonical_axis(axis: int, axes: int, what: str) -> int:
    """`axis` counted from the front; negative ones count from the back. Raises CaffeError when out of range."""
    if not -axes <= axis < axes:
        raise CaffeError(f"{what}: axis {axis} out of range for a {axes}-d blob.")
    return axis % axes
