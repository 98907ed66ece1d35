"""upgrade_net_proto_binary: bring an old caffemodel to the newest form (Caffe tool upgrade_net_proto_binary)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from google.protobuf.message import DecodeError

from caffe.errors import FileError
from caffe.files import write_bytes
from caffe.inputs.reading import open_regular
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2, model_file, upgrade
from caffe.tools.flags import NoFlags, run_tool
from caffe.tools.upgrading import noticing_problems

logger = signed("upgrade_net_proto_binary.cpp")

USAGE = "Usage: upgrade_net_proto_binary v0_net_proto_file_in net_proto_file_out"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status: 1 also where the upgrade had to leave something out (see the log)."""
    return run_tool(USAGE, NoFlags, (2, 2), _upgrade, arguments)


def _upgrade(words: list[str], flags: NoFlags) -> int:
    source, target = words
    # Protobuf takes much for an empty net that is none; the reader of models does not.
    model_file.read_model(source)
    try:
        with open_regular(source) as file:
            net = caffe_pb2.NetParameter.FromString(file.read())
    except (DecodeError, RecursionError) as error:
        raise FileError(f"{source}: is not a caffemodel in protobuf's form: {error}") from error
    except OSError as error:
        raise FileError(f"{source}: cannot be read: {error.strerror}") from error
    before = net.SerializeToString()
    with noticing_problems() as problems:
        upgrade.upgrade_net(net, source)
    net.ClearField("crop_aligns")
    content = net.SerializeToString()
    if content == before:
        logger.error("File already in latest proto format: %s", source)
    del before
    write_bytes(target, content)
    logger.info("Wrote upgraded NetParameter binary proto to %s", target)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
