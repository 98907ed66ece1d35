"""Class-activation maps that NumPy has pickled, as .npz files that `crfasrnn densecrf` reads, without running what they may hold.

    python examples/convert_activation_maps.py cams/*.npy [--add 1]

Each x.npy is a dictionary {class: H x W} as numpy.save leaves it. Loading a pickle may run any code; here it may only make
numbers, containers and NumPy's arrays of numbers, and all else is refused. --add: to every class, for 1 to be the first behind the
background 0. Writes x.npz beside x.npy.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np

from caffe.inputs.arrays import write_npz

# What pickles of arrays and of NumPy's numbers name, under the names of NumPy 1 and 2.
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
}


class _Harmless(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(f"it asks for {module}.{name}, which is no part of an array of numbers")
        return super().find_class(module, name)


def activation_maps(path: Path) -> dict[int, np.ndarray]:
    """The dictionary in a .npy file, H x W floats by class. Raises ValueError for anything else, before any of it is run."""
    with path.open("rb") as file:
        _skip_header(file)
        try:
            content = _Harmless(file).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ImportError, IndexError) as problem:
            raise ValueError(f"no pickled dictionary: {problem}") from problem
    found = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
    if not isinstance(found, dict):
        raise ValueError(f"it holds no dictionary, but {type(found).__name__}")
    maps = {int(number): np.asarray(map, np.float32) for number, map in found.items()}
    if any(map.ndim != 2 for map in maps.values()):
        raise ValueError("its arrays are not all H x W")
    return maps


def _skip_header(file: IO[bytes]) -> None:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if not read(file)[2].hasobject:
        raise ValueError("it holds an array of numbers, no dictionary")


def main() -> None:
    """Convert the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--add", type=int, default=0)
    arguments = parser.parse_args()
    for path in arguments.files:
        try:
            maps = activation_maps(path)
        except ValueError as problem:
            raise SystemExit(f"error: {path}: {problem}") from problem
        write_npz(path.with_suffix(".npz"), {str(number + arguments.add): map for number, map in maps.items()})


if __name__ == "__main__":
    main()
