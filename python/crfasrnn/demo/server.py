"""Serving the page: on this machine alone unless told, with nothing from outside and nothing kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Gradio reads these when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from caffe.errors import CaffeError  # noqa: E402
from crfasrnn.demo.network import Network  # noqa: E402
from crfasrnn.demo.page import page  # noqa: E402
from crfasrnn.demo.parts import script  # noqa: E402
from crfasrnn.demo.samples import sample_photographs  # noqa: E402
from crfasrnn.demo.uploads import MAX_BYTES  # noqa: E402
from crfasrnn.pictures.photographs import write_image  # noqa: E402

_VISITORS = 10  # whose photographs and scores are in memory at a time
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' ws: wss: data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]  # no file among them


class FromHereAlone:
    """ASGI middleware that tells browsers to load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, with the header in every response."""

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self._app(scope, receive, with_policy)


@contextmanager
def serving(network: Network, host: str, port: int | None, seconds: float, browser: bool = False) -> Iterator[str]:
    """Serve the page for a model while the block runs; yields its address.

    host, port: where to listen; None takes a free port from 7860 on.
    seconds: after which a computation is given up.
    browser: also open it in the browser.
    All that Gradio writes lies in a folder that is removed at the end. Raises CaffeError where nothing can listen there.
    """
    with tempfile.TemporaryDirectory(prefix="crfasrnn-demo-") as folder, _environment(GRADIO_TEMP_DIR=folder):
        samples = []
        for name, photograph in sample_photographs().items():
            samples.append(Path(folder, f"{name}.jpg"))
            write_image(samples[-1], photograph)
        blocks = page(network, samples, seconds)
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                inbrowser=browser,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                footer_links=[],
                allowed_paths=[],
                max_file_size=MAX_BYTES,
                state_session_capacity=_VISITORS,
                theme=_theme(),
                css=script("page.css"),
                app_kwargs={"middleware": [Middleware(FromHereAlone)]},
            )
        except OSError as problem:
            raise CaffeError(f"the page cannot be served at {host}:{port or 7860}: {problem}; give another --port") from problem
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def _theme() -> gr.Theme:
    """Plain labels on quiet ground, in fonts that the visitor's machine has."""
    return gr.themes.Default(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=_FONTS, font_mono=["ui-monospace", "monospace"]
    ).set(
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="none",
        block_label_border_width="0",
        block_title_text_size="*text_sm",
        block_title_text_weight="500",
        slider_color="*primary_500",
    )


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
