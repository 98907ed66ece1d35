"""How others spell the layer MultiStageMeanfield: the forks of Caffe since 2015, and Caffe's own schema with our plugin."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

# The layer's type in nets for genuine Caffe, which without the plugin prints it behind "Unknown layer type: ".
PLUGIN_TYPE = "MultiStageMeanfield of libcrfrnn_caffe.so (load it with LD_PRELOAD, see docs/tutorials/plugin.md)"


def upgrade(layer: Any, net: Any, source: str) -> None:
    """Bring a MultiStageMeanfield layer of a net to the newest form, in place. Raises CaffeError for parameters that are damaged.

    Some forks keep the parameters at 146 or 147, other messages in BVLC's schema: they come to 1000. Crop layers of a net with this
    layer align themselves, as in the forks.
    """
    net.crop_aligns = True
    for field in ("recurrent_param", "swish_param"):
        if not layer.HasField(field):
            continue
        try:
            moved = caffe_pb2.MultiStageMeanfieldParameter.FromString(getattr(layer, field).SerializeToString())
        except DecodeError as error:
            raise CaffeError(
                f"{source}: layer '{layer.name}': {field} in a MultiStageMeanfield layer: {error}"
            ) from error
        moved.MergeFrom(layer.multi_stage_meanfield_param)
        layer.multi_stage_meanfield_param.CopyFrom(moved)
        layer.ClearField(field)
