"""upgrade_net_proto_text: bring an old net prototxt to the newest form (Caffe tool upgrade_net_proto_text)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from caffe.files import write_text
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2, text
from caffe.tools.flags import NoFlags, run_tool
from caffe.tools.upgrading import noticing_problems

logger = signed("upgrade_net_proto_text.cpp")

USAGE = "Usage: upgrade_net_proto_text v0_net_proto_file_in net_proto_file_out"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status: 1 also where the upgrade had to leave something out (see the log)."""
    return run_tool(USAGE, NoFlags, (2, 2), _upgrade, arguments)


def _upgrade(words: list[str], flags: NoFlags) -> int:
    source, target = words
    old = text.read_message(source, caffe_pb2.NetParameter())
    with noticing_problems() as problems:
        net = text.read_net(source)
    net.ClearField("crop_aligns")
    if net == old:
        logger.error("File already in latest proto format: %s", source)
    write_text(target, text.to_text(net))
    logger.info("Wrote upgraded NetParameter text proto to %s", target)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
