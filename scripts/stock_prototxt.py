"""Rewrite a net prototxt so that unpatched Caffe parses it: the options of MultiStageMeanfield layers move into python_param.

python scripts/stock_prototxt.py prototxt/slim/crfrnn_deploy.prototxt crfrnn_stock.prototxt

Reads every dialect. The layer itself comes to Caffe as a plugin: see docs/CAFFE_PLUGIN.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.files import write_text
from caffe.proto.text import read_net, to_text
from crfasrnn.crf.dialects import PLUGIN_TYPE


def to_stock(net: Any) -> None:
    """Change the NetParameter in place; raises CaffeError for a net that unpatched Caffe would compute differently."""
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


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    net = read_net(arguments.source)
    to_stock(net)
    write_text(arguments.target, to_text(net))


if __name__ == "__main__":
    try:
        main()
    except (CaffeError, OSError) as problem:
        sys.exit(f"error: {problem}")
