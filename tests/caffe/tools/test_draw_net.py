"""draw_net beside caffe.draw."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe import draw, mode
from caffe.proto import text
from caffe.tools import draw_net

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "drop" type: "Dropout" bottom: "x" top: "x" include { phase: TRAIN } }
layer { name: "fit" type: "InnerProduct" bottom: "x" top: "fit" param { lr_mult: 3 } inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt")


def test_it_writes_the_graph_of_a_phase(net: str, tmp_path: Path) -> None:
    target = tmp_path / "net.dot"
    assert draw_net.main(["--rankdir=TB", "--phase", "TEST", net, str(target)]) == 0
    assert target.read_text() == draw.net_to_dot(text.parse_net(NET), "TB", phase=mode.TEST)
    assert draw_net.main(["--display_lrm", net, str(target)]) == 0
    assert target.read_text() == draw.net_to_dot(text.parse_net(NET), "LR", display_lrm=True)
    assert "lr mult: 3" in target.read_text()


def test_wrong_use_is_one_message(net: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--phase", "DEV", net, "net.dot"], "Unknown phase: DEV; use TRAIN, TEST or ALL"),
        (["nowhere.prototxt", "net.dot"], "nowhere.prototxt"),
        ([net, str(tmp_path / "net")], "net"),
        ([net], "usage: draw_net"),
    ):
        assert draw_net.main(words) == 1
        assert message in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.prototxt"]
