"""The oracle of the tests: examples/mean_field_in_plain_torch.py, loaded as the module `plain`."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from support.reference_data import REPOSITORY


def _load() -> ModuleType:
    path = REPOSITORY / "examples" / "mean_field_in_plain_torch.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plain = _load()
