"""CHANGELOG, CITATION, SECURITY, pre-commit and workflow say what the rest of the repository says."""

from __future__ import annotations

import re

from support.reference_data import REPOSITORY


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def found(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text, re.MULTILINE)


PROJECT = read("pyproject.toml")


def test_one_version() -> None:
    (version,) = found(r'^version = "(.+)"$', PROJECT)
    assert found(r"^version: (.+)$", read("CITATION.cff")) == [version]
    assert found(r"^## \[([\d.]+)\]", read("CHANGELOG.md"))[0] == version


def test_the_citation_is_readmes() -> None:
    """The same authors in the same order, title and year."""
    citation, readme = read("CITATION.cff"), " ".join(read("README.md").split())
    names = found(r"^    - family-names: (.+)\n      given-names: \"?([^\"\n]+)\"?$", citation)
    assert len(names) == 8
    short = [" ".join([*(part[0] + "." for part in given.split()), family]) for family, given in names]
    assert ", ".join(short) in readme
    (title,) = found(r"^  title: \"(.+)\"$", citation)
    assert f"{title}. ICCV 2015" in readme
    assert found(r"^  (?:start|end|year): (\d+)$", citation) == ["2015", "1529", "1537"]


def test_pre_commit_runs_the_linters_of_make_lint() -> None:
    lint = read("Makefile").split("\nlint: setup\n")[1].split("\n\n")[0]
    programs = {tuple(line.split()) for line in found(r"\$\(BIN\)/(\S+(?: check| format)?)", lint)}
    hooks = found(r"entry: \.venv/bin/(\S+(?: check| format)?)", read(".pre-commit-config.yaml"))
    assert {tuple(hook.split()) for hook in hooks} == programs


def test_the_workflow_runs_ci_on_the_oldest_and_newest_python() -> None:
    workflow = read(".github/workflows/ci.yml")
    assert "run: .ci/run" in workflow
    supported = found(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)
    assert found(r"python: \[(.+)\]", workflow) == [f'"{supported[0]}", "{supported[-1]}"']
    assert found(r'^requires-python = ">=(.+)"$', PROJECT) == supported[:1]
    assert found(r'^python_version = "(.+)"$', PROJECT) == supported[:1]
    assert "secrets." not in workflow


def test_packages_say_that_they_are_typed() -> None:
    for package in ("caffe", "crfasrnn"):
        assert (REPOSITORY / "python" / package / "py.typed").read_bytes() == b""
