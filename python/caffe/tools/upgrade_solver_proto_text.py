"""upgrade_solver_proto_text: bring an old solver prototxt to the newest form (Caffe tool upgrade_solver_proto_text)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from caffe.files import write_text
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2, text, upgrade
from caffe.tools.flags import NoFlags, run_tool
from caffe.tools.upgrading import noticing_problems

logger = signed("upgrade_solver_proto_text.cpp")

USAGE = "Usage: upgrade_solver_proto_text old_solver_proto_file_in solver_proto_file_out"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status: 1 also where the upgrade had to leave something out (see the log)."""
    return run_tool(USAGE, NoFlags, (2, 2), _upgrade, arguments)


def _upgrade(words: list[str], flags: NoFlags) -> int:
    source, target = words
    solver = text.read_message(source, caffe_pb2.SolverParameter())
    before = solver.SerializeToString()
    with noticing_problems() as problems:
        upgrade.upgrade_solver(solver, source)
    if solver.SerializeToString() == before:
        logger.error("File already in latest proto format: %s", source)
    write_text(target, text.to_text(solver))
    logger.info("Wrote upgraded SolverParameter text proto to %s", target)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
