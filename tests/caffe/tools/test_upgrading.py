"""What the upgrade tools notice of the log."""

from __future__ import annotations

from caffe.logs.glog import signed
from caffe.tools.upgrading import noticing_problems


def test_errors_of_the_upgrade_are_noticed_and_nothing_else() -> None:
    logger = signed("upgrade_proto.cpp")
    logger.error("before")
    with noticing_problems() as problems:
        logger.warning("a warning")
        logger.error("layer %s was left out", "x")
        signed("net.cpp").error("of another file")
    logger.error("after")
    assert problems == ["layer x was left out"]
