"""The examples in docstrings: each runs and prints what it says, and every public function and class has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
from support.reference_data import REPOSITORY

from caffe.layers import registry

PACKAGES = ("caffe", "crfasrnn")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# What users import, by module: each has an example of its own, a class in its docstring or in that of a method.
PUBLIC = {
    "caffe": "Net Classifier NetSpec",
    "caffe.coord_map": "coord_map_from_to crop",
    "caffe.io": "resize_image oversample Transformer array_to_blobproto blobproto_to_array "
    "arraylist_to_blobprotovector_str",
    "crfasrnn": "CrfRnn Segmenter",
    "crfasrnn.crf": "mean_field mean_field_kernels Kernel permutohedral_filter Spatial Bilateral Features "
    "LovaszSoftmaxLoss RobustLogLikelihoodLoss lovasz_softmax robust_log_likelihood",
    "crfasrnn.densecrf": "DenseCRF DenseCRF2D",
    "crfasrnn.utils": "unary_from_labels unary_from_softmax create_pairwise_gaussian create_pairwise_bilateral",
    "crfasrnn.evaluation.metrics": "confusion_matrix per_class_iu mean_iu pixel_accuracy",
    "crfasrnn.evaluation.boundaries": "trimap_confusions boundary_f",
    "crfasrnn.evaluation.bootstrap": "compare",
    "crfasrnn.evaluation.evaluate": "evaluate",
}


def modules_with_examples() -> list[str]:
    """Names of all modules of python/ that have a `>>>` somewhere; found in the files, so that none is imported for it."""
    root = REPOSITORY / "python"
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    with_examples = [path for path in files if ">>> " in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in with_examples]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_print_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each docstring starts afresh, with no name but those it imports and its module's, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    # What an example registers is none of ours afterwards.
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    # What a module only offers under its name is found where it is defined.
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert found, f"{name} has `>>>` in no docstring that is found"
    reports: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in found:
        test.globs = {"__name__": name}
        runner.run(test, out=reports.append)
    assert not reports, "".join(reports)


@pytest.mark.parametrize("name", [f"{module}.{name}" for module, names in PUBLIC.items() for name in names.split()])
def test_public_names_have_an_example(name: str) -> None:
    thing = pkgutil.resolve_name(name)
    found = doctest.DocTestFinder().find(thing, name, module=False)
    assert any(test.examples for test in found), f"{name} has no `>>>` example"
