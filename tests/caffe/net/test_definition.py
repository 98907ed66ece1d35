"""Which layers a phase, its level and its stages keep."""

from __future__ import annotations

import pytest

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_rules_choose_layers_by_phase_and_stage(write) -> None:
    text = """
      layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }
      layer { name: "train" type: "ReLU" bottom: "d" top: "train" include { phase: TRAIN } }
      layer { name: "test" type: "ReLU" bottom: "d" top: "test" include { phase: TEST } }
      layer { name: "deploy" type: "ReLU" bottom: "d" top: "deploy" include { stage: "deploy" } }
      layer { name: "low" type: "ReLU" bottom: "d" top: "low" exclude { min_level: 2 } }
      layer { name: "mid" type: "ReLU" bottom: "d" top: "mid" include { max_level: 1 not_stage: "deploy" } }
    """
    path = write(text)
    assert caffe.Net(path, caffe.TRAIN).outputs == ["low", "mid", "train"]
    assert caffe.Net(path, caffe.TEST, stages=["deploy"]).outputs == ["deploy", "low", "test"]
    assert caffe.Net(path, caffe.TEST, level=2).outputs == ["test"]
