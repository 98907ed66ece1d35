"""The committed network definitions are what the programs write."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.crfasrnn.prototxts import PROTOTXT, layer, parse

from crfasrnn.networks import prototxts


@pytest.mark.parametrize("name", sorted(prototxts.files()))
def test_committed_files_are_what_the_programs_write(name: str) -> None:
    text = (PROTOTXT / name).read_text(encoding="utf-8")
    made = prototxts.files()[name]
    assert text.splitlines()[0] == made.splitlines()[0]
    assert parse(text, name) == parse(made, name), "run `make prototxt`"


def test_nothing_else_is_committed() -> None:
    assert {str(path.relative_to(PROTOTXT)) for path in PROTOTXT.rglob("*.prototxt")} == set(prototxts.files())


def test_the_command_writes_them_all(tmp_path: Path) -> None:
    written = prototxts.write(tmp_path)
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in written} == prototxts.files()


def test_any_number_of_classes(tmp_path: Path) -> None:
    files = prototxts.files(slim_classes=3)
    net = parse(files["slim/crfrnn_train.prototxt"], "net")
    for name in ("score-fr", "score-pool4", "score-pool3", "upsample"):
        assert layer(net, name).convolution_param.num_output == 3
    assert layer(net, "upsample").convolution_param.group == 3
    crf = layer(net, "inference1").multi_stage_meanfield_param
    assert (crf.spatial_filter_weights_str, crf.bilateral_filter_weights_str) == ("1.5 1.5 1.5", "3 3 3")
