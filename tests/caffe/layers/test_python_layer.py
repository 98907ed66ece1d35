"""Python layers: found where Python finds modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.caffe.layer_errors import net_with

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def python_net(module: str, layer: str) -> caffe.Net:
    return net_with([(2, 3)], f'type: "Python" python_param {{ module: "{module}" layer: "{layer}" param_str: "2.5" }}')


def test_python_layers_are_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "times_layer_module.py").write_text(
        "import caffe\n"
        "class Times(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n"
        "        self.factor = float(self.param_str)\n"
        "    def reshape(self, bottom, top):\n"
        "        top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n"
        "        top[0].data[...] = self.factor * bottom[0].data\n"
        "class NoLayer:\n"
        "    pass\n"
    )
    (tmp_path / "broken_layer_module.py").write_text("1 / 0\n")
    (tmp_path / "unfinished_layer_module.py").write_text("x = 1\nclass X(:\n    pass\n")
    (tmp_path / "needy_layer_module.py").write_text("import not_installed\n")
    (tmp_path / "eager_layer_module.py").write_text("\nfrom caffe import not_there\n")
    monkeypatch.chdir(tmp_path)
    net = python_net("times_layer_module", "Times")
    net.blobs["in0"].data[...] = 2
    net.forward()
    assert (net.blobs["y"].data == 5).all()
    for module, layer, message in (
        ("times_layer_module", "Absent", "has no class 'Absent'"),
        ("times_layer_module", "NoLayer", "must be a subclass of caffe.Layer"),
        ("absent_layer_module", "X", r"cannot import module 'absent_layer_module'.*on PYTHONPATH"),
        ("absent_layer_package.module", "X", "cannot import module 'absent_layer_package.module'.*on PYTHONPATH"),
        ("broken_layer_module", "X", r"raises ZeroDivisionError at \S+/broken_layer_module.py:1: division by zero$"),
        ("unfinished_layer_module", "X", r"raises SyntaxError at \S+/unfinished_layer_module.py:2: invalid syntax$"),
        (
            "needy_layer_module",
            "X",
            r"ModuleNotFoundError at \S+needy_layer_module.py:1: No module named 'not_installed'$",
        ),
        ("eager_layer_module", "X", r"ImportError at \S+/eager_layer_module.py:2: cannot import name 'not_there' from"),
        ("", "X", "must give module and layer"),
    ):
        with pytest.raises(caffe.CaffeError, match=f"layer 'wrong'.*{message}"):
            python_net(module, layer)
