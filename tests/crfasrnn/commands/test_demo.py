"""`crfasrnn demo` as a user calls it wrongly; tests/crfasrnn/demo has the page itself."""

from __future__ import annotations

import socket
from importlib.util import find_spec

import pytest
from support.commands import failure, refusal

GRADIO = find_spec("gradio") is not None


def test_options_that_the_page_has_no_use_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave --pad out" in refusal(capsys, "demo", "--pad")
    assert "leave --gpu out" in refusal(capsys, "demo", "--gpu", 0)
    assert "is not a port, 1 to 65535" in refusal(capsys, "demo", "--port", 70000)
    assert "is not a number above 0" in refusal(capsys, "demo", "--time-limit", 0)


@pytest.mark.skipif(GRADIO, reason="there is Gradio")
def test_without_gradio_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the page needs Gradio: pip install 'crfasrnn[demo]'" in refusal(capsys, "demo")


@pytest.mark.skipif(not GRADIO, reason="THE DEMO PAGE IS NOT TESTED: no Gradio here")
def test_what_it_cannot_serve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "Address already in use" in failure("demo", "--port", str(port))
    assert "give another --host or --port" in failure("demo", "--host", "192.0.2.1")
    assert "no model 'nothing'" in failure("demo", "--model", "nothing")
