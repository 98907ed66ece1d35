"""Nets for unpatched Caffe, to which MultiStageMeanfield comes as a plugin (docs/tutorials/plugin.md)."""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.files import write_text
from caffe.proto.text import read_net, to_text
from crfasrnn.crf.dialects import PLUGIN_TYPE


def to_stock(net: Any) -> None:
    """Change a NetParameter in place so that unpatched Caffe parses it: the options of its MultiStageMeanfield layers move into
    python_param.

    Raises CaffeError for a net that unpatched Caffe would compute differently.
    """
    for layer in net.layer:
        if layer.type == "Crop" and net.crop_aligns and not layer.HasField("crop_param"):
            raise CaffeError(
                f"layer '{layer.name}': genuine Caffe does not align crops by itself. Add its crop_param "
                "{ axis: 2 offset: N }; N is in the log of loading the net with our caffe."
            )
        if layer.type == "MultiStageMeanfield":
            layer.type = PLUGIN_TYPE
        if layer.HasField("multi_stage_meanfield_param"):
            options = layer.multi_stage_meanfield_param
            layer.python_param.param_str = text_format.MessageToString(options, as_one_line=True)
            layer.ClearField("multi_stage_meanfield_param")


def convert_prototxt(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write the net in a prototxt of any dialect in that form. Raises CaffeError as read_net and to_stock do."""
    net = read_net(source)
    to_stock(net)
    write_text(target, to_text(net))
