"""Serving the page: on this machine alone unless told, with nothing from outside and nothing kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from crfasrnn.demo.network import Network
from crfasrnn.demo.page import page
from crfasrnn.demo.parts import script
from crfasrnn.demo.samples import sample_photographs
from crfasrnn.demo.uploads import MAX_BYTES
from crfasrnn.pictures.photographs import write_image

_FIRST = "motorcycle"  # the photograph that the page opens with
_POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; base-uri 'self'; form-action 'self'"
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Arial", "sans-serif"]  # names alone: no file is loaded


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
def serving(
    network: Network, folder: Path, host: str, port: int | None, seconds: float, *, browser: bool = False
) -> Iterator[str]:
    """Serve the page for a model while the block runs; yields its address.

    folder: of crfasrnn.demo.surroundings, within which this module must be imported.
    host, port: where to listen; None takes a free port from 7860 on.
    seconds: after which a computation is given up.
    browser: also open it in the browser.
    """
    samples = []
    for name, photograph in sample_photographs().items():
        samples.append(folder / f"{name}.jpg")
        write_image(samples[-1], photograph)
    samples.sort(key=lambda path: path.stem != _FIRST)
    blocks = page(network, samples, seconds)
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
        theme=_theme(),
        css=script("page.css"),
        app_kwargs={"middleware": [Middleware(FromHereAlone)]},
    )
    try:
        yield address
    finally:
        blocks.close(verbose=False)


def _theme() -> gr.Theme:
    """Plain labels on quiet ground, in fonts that the visitor's machine has."""
    return gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=_FONTS,
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_border_width="1px",
        block_shadow="none",
        block_label_border_width="0",
        block_title_text_size="*text_sm",
        block_title_text_weight="500",
        slider_color="*primary_500",
    )
