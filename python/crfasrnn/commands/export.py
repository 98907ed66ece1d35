"""The command `crfasrnn export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from crfasrnn.commands.shared import options
from crfasrnn.segmentation.models import DEFAULT

_FORMATS = {"onnx": ".onnx", "torch": ".pt2", "aoti": ".pt2"}


def add_arguments(parser: options.Parser) -> None:
    """What `export` takes."""
    parser.description = (
        "Writes a model for photographs of one size: from `image`, 1 x 3 x HEIGHT x WIDTH float32, BGR of 0 to 255, to `scores`, "
        "1 x C x HEIGHT x WIDTH, whose largest is the label. In ONNX the CRF is made of ONNX's own operators: the same lattice and "
        "iterations, no approximation, but slower than the compiled layer; --network-alone leaves it out."
    )
    parser.epilog = "example: crfasrnn export model.onnx --shape 375 500"
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the file to write: .onnx or .pt2")
    parser.add_argument(
        "--model",
        default=DEFAULT,
        help=f"a name that `crfasrnn models` lists, a network's, a training's folder or a deploy prototxt ({DEFAULT})",
    )
    parser.add_argument("--weights", type=Path, help=".caffemodel or .caffemodel.h5 (the model's own)")
    parser.add_argument(
        "--format",
        choices=tuple(_FORMATS),
        help="onnx; torch: of torch.export; aoti: compiled by AOTInductor for this kind of processor (by the ending: onnx or "
        "torch)",
    )
    parser.add_argument(
        "--shape",
        type=options.pixels,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the photographs in pixels; smaller ones are padded by who runs the model (the model's size, or 500 500)",
    )
    parser.add_argument(
        "--network-alone", action="store_true", help="leave the CRF out: scores are then what it would refine"
    )
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    chosen = _format(arguments.format, arguments.output)
    from crfasrnn.export.write import FORMATS, exportable
    from crfasrnn.segmentation.models import find_model

    files = find_model(arguments.model, arguments.weights)
    height, width = arguments.shape or [files.size or 500] * 2
    model = exportable(files, height, width, crf=not arguments.network_alone)
    FORMATS[chosen](model, arguments.output)
    size = f"{arguments.output.stat().st_size / 1e6:.1f} MB"
    print(f"{arguments.output}: image 1 x 3 x {height} x {width}, scores of {len(model.names)} classes, {size}")
    return 0


def _format(given: str | None, output: Path) -> str:
    """The format that is asked for, or that the ending says. Raises UsageError for an ending that is another's."""
    ending = output.suffix.lower()
    found = given or next((name for name, suffix in _FORMATS.items() if suffix == ending), None)
    if found is None or _FORMATS[found] != ending:
        wanted = f"{_FORMATS[found]}, as --format {found} is" if found else ".onnx or .pt2"
        raise options.UsageError(f"OUTPUT must end with {wanted}, not {output.name!r}")
    return found
