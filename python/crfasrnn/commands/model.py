"""The commands `crfasrnn model ...`: files of models in other forms."""

from __future__ import annotations

import argparse
from pathlib import Path

from crfasrnn.commands.shared import options


def add_arguments(parser: options.Parser) -> None:
    """The kinds of `model`, and what each takes."""
    kinds = parser.add_subparsers(required=True, metavar="KIND", parser_class=options.Parser)

    convert = kinds.add_parser(
        "convert",
        help="VGG-16's convolutions from any file of them to weights that the networks load by layer name",
        description="Reads VGG-16 of Caffe (.caffemodel), of torchvision or SSD (.pth, made fit for BGR input minus the mean), and "
        "NumPy's .npz with conv1_1_w (O x I x H x W, for that input), conv1_1_b, ... conv5_3_b. `crfasrnn data sources` says where "
        "they are published.",
        epilog="example: crfasrnn model convert VGG_ILSVRC_16_layers.caffemodel trunk.caffemodel.h5",
    )
    convert.add_argument("source", type=Path, metavar="VGG16", help=".caffemodel, .caffemodel.h5, .pth or .npz")
    convert.add_argument("target", type=Path, metavar="OUTPUT", help="file to write, .caffemodel.h5 (HDF5) or .npz")
    convert.set_defaults(run=_convert)

    export = kinds.add_parser(
        "export",
        help="store a model's weights small: float16 in compressed HDF5",
        description="The file loads like every other .caffemodel.h5.",
        epilog="example: crfasrnn model export own/slim-crfrnn small.caffemodel.h5",
    )
    export.add_argument(
        "source", type=Path, metavar="MODEL", help=".caffemodel or .caffemodel.h5, or a training's folder"
    )
    export.add_argument("target", type=Path, metavar="OUTPUT", help="HDF5 model file to write, .caffemodel.h5")
    export.set_defaults(run=_export)

    stock = kinds.add_parser(
        "stock",
        help="rewrite a net prototxt so that unpatched Caffe parses it",
        description="The options of MultiStageMeanfield layers move into python_param; every dialect is read. The layer itself "
        "comes to Caffe as a plugin: see docs/tutorials/plugin.md.",
        epilog="example: crfasrnn model stock prototxt/slim/crfrnn_train.prototxt net.prototxt",
    )
    stock.add_argument("source", type=Path, metavar="NET", help="prototxt to read")
    stock.add_argument("target", type=Path, metavar="OUTPUT", help="prototxt to write")
    stock.set_defaults(run=_stock)


def _convert(arguments: argparse.Namespace) -> int:
    from crfasrnn.networks.weight_files import convert_trunk

    print(f"{convert_trunk(arguments.source, arguments.target)} layers written to {arguments.target}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from crfasrnn.networks.weight_files import export_half
    from crfasrnn.segmentation.models import final_weights

    source = final_weights(arguments.source) if arguments.source.is_dir() else arguments.source
    export_half(source, arguments.target)
    print(f"{arguments.target}: {arguments.target.stat().st_size / 1e6:.1f} MB")
    return 0


def _stock(arguments: argparse.Namespace) -> int:
    from crfasrnn.networks.stock import convert_prototxt

    convert_prototxt(arguments.source, arguments.target)
    print(f"{arguments.target}")
    return 0
