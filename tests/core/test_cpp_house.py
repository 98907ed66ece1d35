"""The plan of caffe_layers: the same names for the CPU and for CUDA, a test for every source file, no long file."""

from pathlib import Path

import pytest

CAFFE_LAYERS = Path(__file__).parents[2] / "caffe_layers"
SHARED_NAMES = {"permutohedral", "lattice_pass", "simplex", "rows", "class_matrix", "mean_field"}


def names(folder: str) -> set[str]:
    return {path.stem for path in (CAFFE_LAYERS / folder).glob("*.[ch]pp")}


@pytest.mark.parametrize("side", ["cpu", "cuda"])
def test_both_sides_use_the_same_names(side: str) -> None:
    assert names(f"src/{side}") >= SHARED_NAMES


def test_every_source_file_of_the_cpu_has_a_test() -> None:
    sources = {name.removesuffix("_isa") for name in names("src/cpu")}
    tests = {name.removeprefix("test_") for name in names("tests") if name.startswith("test_")}
    assert tests >= sources


def test_the_lattice_is_built_without_passes_over_it() -> None:
    """What computes with a lattice includes what builds one, not the other way round."""
    assert "lattice_pass" not in (CAFFE_LAYERS / "src" / "cpu" / "permutohedral.cpp").read_text()


def test_no_source_file_is_long() -> None:
    sources = [path for path in CAFFE_LAYERS.rglob("*.*") if path.suffix in (".cpp", ".hpp", ".cu", ".cuh")]
    assert sources
    assert [path for path in sources if len(path.read_text().splitlines()) > 450] == []
