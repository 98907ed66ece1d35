"""The command `crfasrnn demo`."""

from __future__ import annotations

import argparse
import signal
import threading
from importlib.util import find_spec

from caffe.errors import CaffeError
from crfasrnn.commands.shared import options

_HERE = "127.0.0.1"


def add_arguments(parser: options.Parser) -> None:
    """What `demo` takes."""
    parser.epilog = "example: crfasrnn demo --open"
    parser.description = (
        "Serve a page in which a photograph is labelled by the network alone and with CRF-RNN, side by side, and a dense CRF "
        "refines labels of your own. Only this machine reaches it unless --host says otherwise; nothing is loaded from "
        "elsewhere and nothing is kept. Ctrl-C ends it."
    )
    options.add_model(parser)
    parser.add_argument(
        "--host",
        default=_HERE,
        metavar="ADDRESS",
        help="where to listen; 0.0.0.0 for who reaches this machine (127.0.0.1)",
    )
    parser.add_argument("--port", type=options.port, help="to listen on (the first free one from 7860 on)")
    parser.add_argument(
        "--time-limit",
        type=options.positive_number,
        default=60,
        metavar="SECONDS",
        help="after which a computation is given up (60)",
    )
    parser.add_argument("--open", action="store_true", help="also open the page in the browser")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    if arguments.pad:
        raise options.UsageError("the page shows photographs in their own proportions: leave --pad out")
    if arguments.gpu is not None:
        raise options.UsageError("the page computes on the CPU: leave --gpu out")
    if find_spec("gradio") is None:
        raise CaffeError("the page needs Gradio: pip install 'crfasrnn[demo]'")
    from crfasrnn.demo.surroundings import check_can_listen, surroundings

    check_can_listen(arguments.host, arguments.port)
    from crfasrnn.demo.network import Network

    network = Network(arguments.model, arguments.weights, arguments.size, arguments.precision)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, with the folder removed
    with surroundings() as folder:
        from crfasrnn.demo.server import serving

        where = arguments.host, arguments.port, arguments.time_limit
        with serving(network, folder, *where, browser=arguments.open) as address:
            print(f"{address} shows the page; Ctrl-C ends it", flush=True)
            threading.Event().wait()
    return 0
