"""Models as files that other programs run: ONNX, a program of torch.export, or a package of AOTInductor."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from caffe.errors import CaffeError
from caffe.files import atomic_path
from caffe.inputs.limits import MAX_PIXELS
from crfasrnn.export.network import NetModule, unary_of
from crfasrnn.export.onnx_mean_field import onnx_translations
from crfasrnn.segmentation.models import ModelFiles
from crfasrnn.segmentation.segmenter import deploy_net

INPUT, OUTPUT = "image", "scores"


@dataclass(frozen=True)
class Exportable:
    """A model as a torch module for photographs of one size.

    module: from (1, 3, height, width) float32, BGR of 0 to 255, to scores (1, C, height, width). names: of the classes.
    """

    module: NetModule
    names: tuple[str, ...]
    height: int
    width: int

    def example(self) -> torch.Tensor:
        """An input, grey."""
        return torch.full((1, 3, self.height, self.width), 127.0)


def exportable(files: ModelFiles, height: int, width: int, crf: bool = True) -> Exportable:
    """The model of these files; without `crf` what its CRF gets as unary scores.

    Raises CaffeError if the net is no deploy net that can be exported, has no CRF to leave out, or for more than MAX_PIXELS pixels.
    """
    if not 0 < height * width <= MAX_PIXELS:
        raise CaffeError(f"a model for {height} x {width} pixels cannot be made: 1 to {MAX_PIXELS} are possible")
    net = deploy_net(files)
    output = net.outputs[0] if crf else unary_of(net)
    net.blobs[net.inputs[0]].reshape(1, 3, height, width)
    net.reshape()  # some layers look at sizes there alone
    classes = files.classes_of(net.blobs[output].shape[1])
    return Exportable(NetModule(net, output).eval(), classes.names, height, width)


def write_onnx(model: Exportable, path: str | os.PathLike[str]) -> None:
    """Write the model as one .onnx file: input "image", output "scores", the names of the classes, one a line, as its metadata
    "classes".

    The CRF becomes operators of ONNX's own set (see crfasrnn.export.onnx_mean_field), the same computation as the compiled layer's.
    Raises CaffeError if onnx or onnxscript is missing, or the file cannot be written.
    """
    missing = [package for package in ("onnx", "onnxscript") if find_spec(package) is None]
    if missing:
        raise CaffeError(f"ONNX files need {' and '.join(missing)}: pip install 'crfasrnn[onnx]'")
    with _exporting("torch.onnx"):
        program: Any = torch.onnx.export(
            model.module,
            (model.example(),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            custom_translation_table=onnx_translations(),
            verbose=False,
        )
    program.model.metadata_props["classes"] = "\n".join(model.names)
    with atomic_path(path) as temporary:
        program.save(temporary, external_data=False)


def write_program(model: Exportable, path: str | os.PathLike[str]) -> None:
    """Write the model as a .pt2 of torch.export, which torch.export.load reads after `import crfasrnn.crf.operator`.

    Raises CaffeError if the file cannot be written.
    """
    program = _program(model)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, temporary)


def write_package(model: Exportable, path: str | os.PathLike[str]) -> None:
    """Compile the model by AOTInductor into a .pt2, which torch._inductor.aoti_load_package runs after
    `import crfasrnn.crf.operator`.

    It is for this kind of processor and version of torch. Raises CaffeError if no C++ compiler works, or the file cannot be
    written.
    """
    program = _program(model)
    with atomic_path(path) as temporary, _exporting("AOTInductor, which needs a C++ compiler,"):
        from torch._inductor import aoti_compile_and_package  # older versions of torch have none

        aoti_compile_and_package(program, package_path=str(temporary))


def _program(model: Exportable) -> Any:
    with _exporting("torch.export"):
        return torch.export.export(model.module, (model.example(),))


@contextmanager
def _exporting(exporter: str) -> Iterator[None]:
    """Without an exporter's warnings about itself, and with one error for all that it, a compiler or its driver may raise."""
    log = logging.getLogger("onnxscript")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except Exception as problem:  # of many kinds
        # The first line of torch.onnx's message tells of steps; what went wrong is the cause of all causes.
        while problem.__cause__ is not None:
            problem = problem.__cause__  # type: ignore[assignment]
        reason = str(problem).strip().split("\n")[0]
        raise CaffeError(f"{exporter} cannot take the model: {reason[:300]}") from problem
    finally:
        log.setLevel(level)


FORMATS: dict[str, Callable[[Exportable, Path], None]] = {
    "onnx": write_onnx,
    "torch": write_program,
    "aoti": write_package,
}
"""The functions that write each format."""
