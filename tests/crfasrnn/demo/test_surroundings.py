"""Before Gradio: a free address, a folder that goes away, an environment that comes back."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from caffe.errors import CaffeError
from crfasrnn.demo.surroundings import check_can_listen, surroundings


def test_addresses_are_tried_before_anything_is_loaded() -> None:
    check_can_listen("127.0.0.1", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CaffeError, match=rf"at 127\.0\.0\.1:{port}: Address already in use; give another"):
            check_can_listen("127.0.0.1", port)
    check_can_listen("127.0.0.1", port)
    for host in ("192.0.2.1", "no host", "::g"):
        with pytest.raises(CaffeError, match="give another --host or --port"):
            check_can_listen(host, None)


def test_the_folder_goes_away_and_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    before = dict(os.environ)
    with surroundings() as folder:
        assert folder.is_dir()
        assert folder.parent == tmp_path
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        assert os.environ["no_proxy"] == "127.0.0.1,localhost,example.org"
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == before
