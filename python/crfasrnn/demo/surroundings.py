"""What the page's process needs before Gradio is imported, which reads its environment then."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe.errors import CaffeError
from caffe.files import unfinished_folder


def check_can_listen(host: str, port: int | None) -> None:
    """Raise CaffeError unless a server can listen there; None is any port."""
    try:
        with socket.create_server((host, port or 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as problem:
        at = host if port is None else f"{host}:{port}"
        reason = os.strerror(problem.errno) if isinstance(problem.errno, int) and problem.errno > 0 else str(problem)
        raise CaffeError(f"the page cannot be served at {at}: {reason}; give another --host or --port") from problem


@contextmanager
def surroundings() -> Iterator[Path]:
    """A folder for all that Gradio writes, removed at the end, or by the next process if this one is killed; and an environment in
    which Gradio takes it, reports to nobody, and asks no proxy for this machine's own address."""
    with unfinished_folder(Path(tempfile.gettempdir(), "crfasrnn-demo")) as folder:
        values = {
            "GRADIO_TEMP_DIR": str(folder),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "True",
            **{name: f"127.0.0.1,localhost,{os.environ.get(name, '')}" for name in ("no_proxy", "NO_PROXY")},
        }
        before = {name: os.environ.get(name) for name in values}
        os.environ.update(values)
        try:
            yield folder
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
