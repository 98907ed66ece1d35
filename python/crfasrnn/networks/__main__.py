"""Write every network and solver definition: python -m crfasrnn.networks [--output prototxt] [--classes 7]."""

from __future__ import annotations

import argparse
from pathlib import Path

from crfasrnn.networks.prototxts import SLIM_CLASS_COUNT, write


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(prog="python -m crfasrnn.networks", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("prototxt"), help="folder to write to (default: prototxt)")
    parser.add_argument(
        "--classes", type=int, default=SLIM_CLASS_COUNT, help="classes of the slim networks, background included"
    )
    arguments = parser.parse_args()
    written = write(arguments.output, arguments.classes)
    print(f"{len(written)} files written to {arguments.output}")


if __name__ == "__main__":
    main()
