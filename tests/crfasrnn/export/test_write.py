"""Files of models, read back by the programs that they are for, give the scores of the net."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.crfasrnn.models import save_net, scores, with_crf

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec
from caffe.net_spec import layers as L
from crfasrnn.classes import write_classes
from crfasrnn.export import write
from crfasrnn.export.network import CrfModule
from crfasrnn.export.write import exportable, write_onnx, write_package, write_program
from crfasrnn.segmentation.models import ModelFiles, find_model
from crfasrnn.segmentation.segmenter import deploy_net

HEIGHT, WIDTH = 12, 16


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    prototxt, weights = save_net(tmp_path, with_crf)
    write_classes(tmp_path / "classes.txt", ["ground", "dog, wet", "cat"])
    return find_model(str(prototxt), weights)


@pytest.fixture
def image() -> torch.Tensor:
    return 255 * torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def expected(files: ModelFiles, image: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = exportable(files, HEIGHT, WIDTH).module(image).numpy()
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_program_of_torch_export_in_a_process_of_its_own(
    files: ModelFiles, image: torch.Tensor, tmp_path: Path
) -> None:
    write_program(exportable(files, HEIGHT, WIDTH), tmp_path / "model.pt2")
    torch.save(image, tmp_path / "image.pt")
    program = """
import sys, torch, crfasrnn.crf.operator
scores = torch.export.load(sys.argv[1]).module()(torch.load(sys.argv[2]))
torch.save(scores, sys.argv[3])
"""
    names = [str(tmp_path / name) for name in ("model.pt2", "image.pt", "scores.pt")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, *names], check=True)
    np.testing.assert_allclose(torch.load(names[2]), expected(files, image), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_package_of_aotinductor(files: ModelFiles, image: torch.Tensor, tmp_path: Path) -> None:
    try:
        write_package(exportable(files, HEIGHT, WIDTH), tmp_path / "model.pt2")
    except CaffeError as problem:
        pytest.skip(str(problem))
    loaded = torch._inductor.aoti_load_package(str(tmp_path / "model.pt2"))
    np.testing.assert_allclose(loaded(image), expected(files, image), rtol=1e-4, atol=1e-4)


def test_a_compiler_that_fails_is_one_error(files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such compiler\nand much more")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(
        CaffeError, match=r"AOTInductor, which needs a C\+\+ compiler, cannot take the model: no such compiler$"
    ):
        write_package(exportable(files, HEIGHT, WIDTH), tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()


@pytest.mark.filterwarnings("ignore")
def test_onnx_whole_and_without_the_crf(files: ModelFiles, image: torch.Tensor, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason="write_onnx needs it: pip install 'crfasrnn[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="it runs the model: pip install 'crfasrnn[onnx]'")
    truth = expected(files, image)
    for crf in (True, False):
        path = tmp_path / f"{crf}.onnx"
        write_onnx(exportable(files, HEIGHT, WIDTH, crf), path)
        session = runtime.InferenceSession(str(path))
        assert [(given.name, given.shape) for given in session.get_inputs()] == [("image", [1, 3, HEIGHT, WIDTH])]
        assert session.get_modelmeta().custom_metadata_map["classes"] == "ground\ndog, wet\ncat"
        (scores,) = session.run(["scores"], {"image": image.numpy()})
        if not crf:
            with torch.no_grad():
                scores = CrfModule(deploy_net(files))(torch.from_numpy(scores), image).numpy()
        np.testing.assert_allclose(scores, truth, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_learned_bandwidths_are_one_error(tmp_path: Path) -> None:
    def learned(n: NetSpec) -> None:
        scores(n)
        options = {"num_iterations": 1, "learn_bandwidths": True}
        n.pred = L.MultiStageMeanfield(n.score, n.score, n.data, multi_stage_meanfield_param=options)

    prototxt, weights = save_net(tmp_path, learned)  # type: ignore[arg-type]
    with pytest.raises(
        CaffeError, match=r"torch.export cannot take the model: .*torch.export must know the bandwidths as"
    ):
        write_program(exportable(find_model(str(prototxt), weights), HEIGHT, WIDTH), tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()


def test_without_onnx(files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(CaffeError, match=r"ONNX files need onnxscript: pip install 'crfasrnn\[onnx\]'"):
        write_onnx(exportable(files, HEIGHT, WIDTH), tmp_path / "model.onnx")


def test_what_cannot_be_exported(files: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(CaffeError, match="a model for 20000 x 20000 pixels cannot be made"):
        exportable(files, 20000, 20000)
    prototxt, weights = save_net(tmp_path, scores, "without")
    with pytest.raises(CaffeError, match="does not end with a CRF"):
        exportable(find_model(str(prototxt), weights), HEIGHT, WIDTH, crf=False)
