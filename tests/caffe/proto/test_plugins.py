"""Messages that lie beside the modules of entry points come with Caffe's schema, without loading any package."""

from __future__ import annotations

from pathlib import Path

from support.caffe.plugins import install, run
from support.reference_data import REPOSITORY

from caffe.proto import plugins

PROGRAM = """
import sys
from caffe.proto import caffe_pb2, text, upgrade
from google.protobuf import text_format
assert not [name for name in sys.modules if name.startswith("boxes")]
net = text_format.Parse('layer { prior_box_param { min_size: 30 } } layers { type: PRIOR_BOX prior_box_param { min_size: 4 } }',
                        caffe_pb2.NetParameter())
print(net.layer[0].prior_box_param.min_size, net.layers[0].prior_box_param.min_size)
del net.layer[:]
upgrade.upgrade_net(net, "net")
print(net.layer[0].type, net.layer[0].prior_box_param.min_size)
"""


def test_a_file_beside_the_module(tmp_path: Path) -> None:
    package = tmp_path / "boxes" / "layers"
    package.mkdir(parents=True)
    for init in (tmp_path / "boxes", package):
        (init / "__init__.py").write_text("")
    (package / "prior.py").write_text("class PriorBox: pass\n")
    (package / "prior_box.proto").write_text(
        'syntax = "proto2"; package caffe; message PriorBoxParameter { optional float min_size = 1; }'
        "extend LayerParameter { optional PriorBoxParameter prior_box_param = 203; }"
        "extend V1LayerParameter { optional PriorBoxParameter prior_box_param = 1203; }"
    )
    install(tmp_path, "PriorBox = boxes.layers.prior:PriorBox\n")
    done = run(tmp_path, PROGRAM)
    assert done.stdout == "30.0 4.0\nPriorBox 4.0\n", done.stderr


def test_a_broken_package_is_a_warning_and_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "boxes.py").write_text("")
    (tmp_path / "broken.proto").write_text("message BrokenParameter { optional Nothing a = 1; }")
    (tmp_path / "taken.proto").write_text("message PoolingParameter { }")
    install(tmp_path, "Broken = boxes:A\nTaken = boxes:B\nNowhere = no_such_package.module:C\n")
    done = run(
        tmp_path, "from caffe.proto import caffe_pb2; print(caffe_pb2.LayerParameter().pooling_param.kernel_size)"
    )
    assert done.stdout == "0\n"
    assert "the layer Broken comes without its options: " in done.stderr
    assert "there is no type Nothing" in done.stderr
    assert "caffe.PoolingParameter is declared already" in done.stderr
    assert "Nowhere" not in done.stderr


def test_our_own_layers_are_among_them() -> None:
    points = plugins.entry_points_by_type()
    assert points["MultiStageMeanfield"].value == "crfasrnn.crf.caffe_layer:MultiStageMeanfieldLayer"
    files = dict(plugins.message_files())
    assert files["MultiStageMeanfield"].samefile(REPOSITORY / "python/crfasrnn/crf/multi_stage_meanfield.proto")
    assert "RobustLogLikelihoodLoss" not in files
