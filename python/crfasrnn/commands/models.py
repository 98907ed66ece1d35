"""The command `crfasrnn models`."""

from __future__ import annotations

import argparse

from crfasrnn.commands.shared import options


def add_arguments(parser: options.Parser) -> None:
    """What `models` takes: nothing."""
    parser.epilog = "example: crfasrnn models"
    parser.set_defaults(run=_models)


def _models(_: argparse.Namespace) -> int:
    from crfasrnn.segmentation.catalogue import catalogue

    print("\n\n".join(entry.text() for entry in catalogue()))
    return 0
