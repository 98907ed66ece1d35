"""draw_net: draw a network prototxt (pycaffe draw_net.py)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import caffe
from caffe import mode
from caffe.errors import CaffeError
from caffe.proto import text
from caffe.tools.flags import run_tool

USAGE = """Draw a network graph.
usage: draw_net [FLAGS] input_net_proto_file output_image_file

The extension of output_image_file says the kind of picture: png, svg, pdf ... (they need graphviz) or dot.

flags:
  --rankdir LR          direction of the graph: LR, RL, TB (top to bottom) or BT
  --phase ALL           which network phase to draw: TRAIN, TEST or ALL
  --display_lrm         show the learning rate multipliers"""


@dataclass
class Flags:
    """The values of the command line's flags."""

    rankdir: str = "LR"
    phase: str = "ALL"
    display_lrm: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    return run_tool(USAGE, Flags, (2, 2), _draw, arguments)


def _draw(words: list[str], flags: Flags) -> int:
    phases = {"ALL": None, "TRAIN": mode.TRAIN, "TEST": mode.TEST}
    if flags.phase not in phases:
        raise CaffeError(f"Unknown phase: {flags.phase}; use TRAIN, TEST or ALL")
    net = text.read_net(words[0])
    print(f"Drawing net to {words[1]}")
    caffe.draw.draw_net_to_file(net, words[1], flags.rankdir, phases[flags.phase], flags.display_lrm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
