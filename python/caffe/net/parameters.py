"""The parameters of a net: by layer, and those that a solver updates, each once however many layers share it."""

from __future__ import annotations

from collections import OrderedDict

from caffe.blob import Blob, BlobVec
from caffe.errors import CaffeError
from caffe.layers.base import Layer
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2

logger = signed("net.cpp")


class Parameters:
    """The parameters of the layers that have been added.

    Attributes: `by_layer` (layer name -> its blobs), `learnable` (blobs that a solver updates, each once), `lr_mult` and
    `decay_mult` of those, `shared` (blobs that use another layer's memory).
    """

    def __init__(self) -> None:
        self.by_layer: OrderedDict[str, BlobVec] = OrderedDict()
        self.learnable: list[Blob] = []
        self.lr_mult: list[float] = []
        self.decay_mult: list[float] = []
        self.shared: list[Blob] = []
        # The owners of named parameters: layer, index among its parameters, index among the learnable ones.
        self._owners: dict[str, tuple[Layer, int, int]] = {}

    def add(self, layer: Layer) -> None:
        """Add those of a layer that has been set up; those with the name of an earlier one share its memory.

        Raises CaffeError, in Caffe's words, where shapes or multipliers of shared ones contradict each other.
        """
        param = layer.layer_param
        if len(param.param) > len(layer.blobs):
            raise CaffeError(
                f"Too many params specified for layer {param.name}: {len(param.param)}, it has {len(layer.blobs)}."
            )
        if layer.blobs and param.name not in self.by_layer:
            self.by_layer[param.name] = layer.blobs
        for k, blob in enumerate(layer.blobs):
            spec = param.param[k] if k < len(param.param) else caffe_pb2.ParamSpec()
            layer.param_propagate_down.append(spec.lr_mult != 0)
            if spec.name and spec.name in self._owners:
                self._share(blob, spec, param.name)
                continue
            if spec.name:
                self._owners[spec.name] = (layer, k, len(self.learnable))
            self.learnable.append(blob)
            self.lr_mult.append(spec.lr_mult)
            self.decay_mult.append(spec.decay_mult)

    def _share(self, blob: Blob, spec: caffe_pb2.ParamSpec, layer_name: str) -> None:
        owner, index, learnable = self._owners[spec.name]
        owned = owner.blobs[index]
        logger.info("Sharing parameters '%s' owned by layer '%s', param index %d", spec.name, owner.name, index)
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if blob.count != owned.count if permissive else blob.shape != owned.shape:
            what = "count" if permissive else "shape"
            raise CaffeError(
                f"Cannot share param '{spec.name}' owned by layer '{owner.name}' with layer '{layer_name}'; {what} mismatch.  "
                f"Owner layer param shape is {owned.shape_string()}; sharing layer expects shape {blob.shape_string()}"
            )
        blob.share(owned)
        self.shared.append(blob)
        for name, values in (("lr_mult", self.lr_mult), ("decay_mult", self.decay_mult)):
            if spec.HasField(name):  # type: ignore[arg-type]
                value = getattr(spec, name)
                specs = owner.layer_param.param
                stated = index < len(specs) and specs[index].HasField(name)  # type: ignore[arg-type]
                if stated and values[learnable] != value:
                    raise CaffeError(f"Shared param '{spec.name}' has mismatched {name}.")
                values[learnable] = value
