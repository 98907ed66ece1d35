"""The pages for developers name what is there: modules, files and commands in backticks."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from support.reference_data import REPOSITORY

PAGES = [path for name in ("docs/architecture.md", "CONTRIBUTING.md") if (path := REPOSITORY / name).exists()]
FOLDERS = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}


def in_backticks(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return sorted(set(re.findall(r"`([^`\n]+)`", text)))


def is_path(name: str) -> bool:
    return name.split("/")[0] in FOLDERS and " " not in name and "<" not in name


def is_module(name: str) -> bool:
    return re.fullmatch(r"(caffe|crfasrnn)(\.\w+)+", name) is not None and name != "caffe.layers"


def exists(module: str) -> bool:
    """Whether a module has a file, or a name is what its module offers."""
    stem = REPOSITORY / "python" / module.replace(".", "/")
    if stem.with_suffix(".py").exists() or (stem / "__init__.py").exists():
        return True
    owner, _, name = module.rpartition(".")
    return bool(owner) and exists(owner) and hasattr(importlib.import_module(owner), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_exist(page: Path) -> None:
    names = in_backticks(page)
    missing = [name for name in names if is_path(name) and not (REPOSITORY / name).exists()]
    missing += [name for name in names if is_module(name) and not exists(name)]
    assert not missing, missing


def test_strata_are_those_that_the_house_is_held_to() -> None:
    """The same names in the same order as tests/test_house.py, but for compiled modules, faces and old names."""
    source = (REPOSITORY / "tests" / "test_house.py").read_text(encoding="utf-8")
    (held,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STRATA"
    )
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package, strata in held.items():
        untold = {"caffe", "crfasrnn", "pycaffe", "module"}
        told = re.search(rf"^{package} +(.*\n(?: {{11}}\|.*\n)*)", page, re.MULTILINE)
        assert told is not None
        expected = [name for name in re.findall(r"\w+", strata) if name not in untold and not name.startswith("_")]
        assert re.findall(r"\w+", told[1]) == expected
