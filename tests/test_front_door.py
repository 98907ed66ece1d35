"""What `import caffe`, `import crfasrnn` and the commands load before something is asked of them, and that all is there then."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.warm import python

import caffe
import crfasrnn

HEAVY = {"torch", "cv2", "lmdb", "h5py", "numpy", "scipy", "skimage", "google.protobuf", "matplotlib", "tqdm"}
LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.__stdout__)"


def fresh(program: str, interpreter: str = sys.executable) -> str:
    """What a program prints to stdout in a Python of its own."""
    done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(program: str) -> set[str]:
    """The modules that are loaded once a program has run."""
    return set(json.loads(fresh(f"{program}\n{LOADED}").splitlines()[-1]))


@pytest.mark.parametrize(
    "program",
    [
        "import caffe",
        "import caffe; dir(caffe); hasattr(caffe, 'nothing_of_this_name')",
        "import caffe.errors, caffe.files, caffe.mode",
        "import caffe; caffe.TEST, caffe.CaffeError, caffe.init_log()",
        "import caffe.commands.main; caffe.commands.main.main([])",
        "import caffe.commands.main; caffe.commands.main.main(['--help'])",
        "import crfasrnn, crfasrnn.crf",
        "import crfasrnn; dir(crfasrnn)",
        "from crfasrnn.commands.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from crfasrnn.commands.main import main\ntry: main(['segment', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(program: str) -> None:
    assert loaded(program) & HEAVY == set()


@pytest.mark.parametrize(
    "tool",
    [
        "classify",
        "compute_image_mean",
        "convert_cifar_data",
        "convert_imageset",
        "convert_mnist_data",
        "convert_mnist_siamese_data",
        "detect",
        "draw_net",
        "extract_features",
    ],
)
def test_tools_help_without_torch(tool: str) -> None:
    assert "torch" not in loaded(f"from caffe.tools.{tool} import main; assert main(['--help']) == 0")


def test_entry_points_are_read_once_and_not_by_import_caffe() -> None:
    program = """
import importlib.metadata
asked = []
read = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **which: asked.append(which) or read(**which)
import caffe, caffe.errors, crfasrnn
print(asked.count({"group": "caffe.layers"}))
caffe.Net, caffe.layers, caffe.NetSpec
caffe.layer_type_list()
print(asked.count({"group": "caffe.layers"}))
"""
    assert fresh(program, python()).split() == ["0", "1"]


@pytest.mark.parametrize(
    "program",
    [
        "import caffe; print(caffe.io.array_to_datum.__module__ is not None)",
        "import caffe; print(caffe.layers.Convolution(num_output=1).fn.type_name == 'Convolution')",
        "from caffe import layers as L, params as P, to_proto; print(len(to_proto(L.Input()).layer) == 1)",
        "import caffe; print(caffe.proto.caffe_pb2.TEST == caffe.TEST)",
        "import caffe; print(caffe.net_spec.NetSpec is caffe.NetSpec)",
        "import caffe; print(callable(caffe.coord_map.crop) and callable(caffe.draw.draw_net_to_file))",
        "import caffe; print(caffe.classifier.Classifier is caffe.Classifier)",
        "import caffe; print(caffe.detector.Detector is caffe.Detector)",
        "import caffe; print(caffe.pycaffe.Net is caffe.Net)",
        "import caffe.logs.glog, caffe; caffe.log('a line'); print(True)",
        "import caffe.net.net, caffe.solver.solver, caffe; print(caffe.SGDSolver.__mro__[1] is caffe.Solver)",
        "from caffe import *; print(Net.__name__ == 'Net' and TEST == 1 and callable(io.load_image))",
        "import caffe.io; print(caffe.io.load_image is caffe.io.load_image)",
        "import caffe.proto.caffe_pb2 as pb; print(pb.NetParameter is not None)",
    ],
)
def test_the_habits_of_programs_for_pycaffe(program: str) -> None:
    """Each in a Python of its own, in which nothing else has loaded what it asks for."""
    assert fresh(program, python()).split() == ["True"]


def test_every_public_name_is_there() -> None:
    """In dir() and in __all__, and under its own name where it was defined, so that it can be pickled."""
    for name in caffe.__all__:
        value = getattr(caffe, name)
        assert name in dir(caffe)
        if isinstance(value, type):
            assert pickle.loads(pickle.dumps(value)) is value
    assert set(caffe._HOME) == set(caffe.__all__) - {"coord_map", "io", "layers"}
    with pytest.raises(AttributeError, match="module 'caffe' has no attribute 'nothing'"):
        _ = caffe.nothing
    with pytest.raises(ImportError):
        exec("from caffe import nothing")


def test_every_public_name_of_crfasrnn_is_there() -> None:
    assert set(crfasrnn.__all__) == {"CrfRnn", "Segmentation", "Segmenter"} <= set(dir(crfasrnn))
    assert [getattr(crfasrnn, name).__name__ for name in crfasrnn.__all__] == crfasrnn.__all__
    with pytest.raises(AttributeError, match="module 'crfasrnn' has no attribute 'nothing'"):
        _ = crfasrnn.nothing


def test_a_source_tree_that_was_not_built_says_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "python"
    shutil.copytree(Path(crfasrnn.__file__).parent.parent, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    alone = (
        "import sys; from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder\n"
        f"sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]; sys.path.insert(0, {str(copy)!r})\n"
    )
    sentence = "is a source tree that was not built; run `make setup` in the checkout"
    assert sentence in fresh(f"{alone}try: from crfasrnn import CrfRnn\nexcept ImportError as error: print(error)")
    command = "from crfasrnn.commands.main import main; sys.exit(main(['densecrf', 'x.jpg', 'y.png', '-o', 'z.png']))"
    done = subprocess.run(
        [sys.executable, "-c", alone + command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert re.fullmatch(
        rf"error: crfasrnn has no compiled core for this Python .*{re.escape(sentence)}.*\n", done.stderr
    )
