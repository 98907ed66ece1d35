"""The page is served here alone, loads nothing from elsewhere, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.demo import demo

if find_spec("gradio") is None:
    pytest.skip("THE DEMO PAGE IS NOT TESTED: no Gradio here", allow_module_level=True)

# Notes every address that the process connects to, in a file.
SPY = """
import os, socket
connect = socket.socket.connect
def noted(self, address):
    with open(os.environ["SPY"], "a") as file:
        print(address[0] if isinstance(address, tuple) else address, file=file)
    return connect(self, address)
socket.socket.connect = noted
resolve = socket.getaddrinfo
def asked(host, *rest, **more):
    with open(os.environ["SPY"], "a") as file:
        print(host, file=file)
    return resolve(host, *rest, **more)
socket.getaddrinfo = asked
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One whose temporary files lie in tmp_path, and in which connections are noted in tmp_path/spy."""
    (tmp_path / "sitecustomize.py").write_text(SPY)
    (tmp_path / "files").mkdir()
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "SPY": str(tmp_path / "spy"), "TMPDIR": str(tmp_path / "files")}


def test_it_is_served_here_alone_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    with demo(environment=environment) as address:
        with urllib.request.urlopen(address) as answer:
            page, policy = answer.read().decode(), answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self' ")
        assert "http" not in policy
        assert list((tmp_path / "files").iterdir())
        config = json.loads(urllib.request.urlopen(f"{address}config").read())
        assert config["analytics_enabled"] is False
        assert config["max_file_size"] == 32 << 20
        assert "fonts.googleapis" not in page + json.dumps(config)
        # Nothing that it serves is to be had on another address of this machine.
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        with socket.socket() as elsewhere:
            elsewhere.settimeout(2)
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0
    assert list((tmp_path / "files").iterdir()) == []
    assert set((tmp_path / "spy").read_text().split()) <= {"127.0.0.1", "localhost", "::1"}


def test_it_ends_cleanly_when_the_system_asks(environment: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "crfasrnn", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert list((tmp_path / "files").iterdir()) == []
