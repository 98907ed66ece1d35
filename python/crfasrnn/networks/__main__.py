"""Write every network and solver definition: python -m crfasrnn.networks [--output prototxt] [--num-classes 7]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caffe.logs.ending import ended
from crfasrnn.classes import VOID
from crfasrnn.networks.prototxts import SLIM_CLASS_COUNT, write


def main() -> int:
    """Parse the command line and write the files; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m crfasrnn.networks", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("prototxt"), help="folder to write to (prototxt)")
    parser.add_argument(
        "--num-classes",
        type=int,
        default=SLIM_CLASS_COUNT,
        metavar="N",
        help=f"classes of the slim networks, background included, 2 to {VOID} ({SLIM_CLASS_COUNT})",
    )
    arguments = parser.parse_args()
    if not 2 <= arguments.num_classes <= VOID:
        parser.error(f"argument --num-classes: {arguments.num_classes} is not a number of classes, 2 to {VOID}")

    def run() -> int:
        written = write(arguments.output, arguments.num_classes)
        print(f"{len(written)} files written to {arguments.output}")
        return 0

    return ended(run, lambda sentence: print(f"error: {sentence}", file=sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
