"""The plan of the house (docs/architecture.md), held by reading the sources: who may import whom, how large things may be, what
has a test. Nothing is imported here; the truth about the order is the two lists below."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON, TESTS = ROOT / "python", ROOT / "tests"

# A module or folder imports from itself and from those to its left (above); package caffe is to the left of package crfasrnn. A
# package's own name among them is its face, __init__.py: from there on may write caffe.Net, which is loaded when it is reached.
STRATA = {
    "caffe": """
        errors files inputs mode | logs proto | blob parallel | data io | net_spec layers | coord_map net draw | fastpath
        classifier detector segmenter | solver | caffe | _caffe tools commands | pycaffe __main__""",
    "crfasrnn": """
        _core _cuda claims classes many | pictures | datasets segmentation | evaluation | crf device_field densecrf utils module
        | networks figures postprocessing export | training | reproduction | demo | crfasrnn | commands | __main__""",
}

# Modules that import from the right of them all the same, and why.
EXCEPTIONS = {
    "caffe": "the face offers Timer and NCCL of caffe._caffe, and loads them when asked",
}

# Modules without a test file of their own name, and why.
UNTESTED = {
    "caffe.inputs.limits": "numbers; the tests of the readers that obey them try each",
    "caffe.pycaffe": "names of the face again; tests/caffe/test_pycaffe.py asks for them",
    "caffe.proto.caffe_pb2": "the classes of caffe.proto, which every test of a prototxt uses",
    "crfasrnn.module": "where pickles of older versions look for CrfRnn; tests of crfasrnn.crf.module read one",
}

MOST_MODULES, MOST_LINES, MOST_POSITIONAL = 15, 450, 8
# One file per layer type's kin: the reader looks a layer up by name, not by going through the folder.
ANY_NUMBER = {PYTHON / "caffe" / "layers", TESTS / "caffe" / "layers"}


def module_name(path: Path) -> str:
    """The dotted name of a module below python/; a package's is that of its folder."""
    return ".".join(path.relative_to(PYTHON).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PYTHON.rglob("*.py"))}
# What is compiled is known by its stub, or by name where there is none.
COMPILED = {module_name(path) for path in PYTHON.rglob("*.pyi")} | {"crfasrnn._core", "crfasrnn._cuda"}
NAMES = MODULES.keys() | COMPILED


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules of this repository that a statement imports by name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in NAMES)
    elif node.module is not None and node.module.split(".")[0] in STRATA:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in NAMES else node.module


def for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(path: Path, types: bool = True) -> set[str]:
    """What a module imports anywhere, in functions too; with `types` also what it imports for its type hints alone."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(imported(node))
        if types or not for_types_alone(node):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def listed(lines: list[str]) -> str:
    """Where an assertion failed, all of it."""
    return "\n" + "\n".join(lines)


def place(name: str) -> tuple[int, int]:
    """Package and stratum of a module. Raises KeyError for a module that no stratum names."""
    package, _, rest = name.partition(".")
    order = STRATA[package].replace("|", " ").split()
    room = rest.partition(".")[0] or package
    if room not in order:
        raise KeyError(f"{name}: STRATA does not say where it belongs")
    return list(STRATA).index(package), order.index(room)


def test_no_import_circle() -> None:
    """Imports in functions count, too: whoever needs one to break a circle has an idea in the wrong room."""
    graph = {name: imports(path, types=False) - {name} for name, path in MODULES.items() if name not in EXCEPTIONS}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' <- '.join(error.args[1])}")


def test_no_room_imports_from_one_to_its_right() -> None:
    """Imports in functions and for types count, too."""
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if name not in EXCEPTIONS
        for other in imports(path)
        if place(other) > place(name)
    ]
    assert not wrong, listed(wrong)


def test_exceptions_are_still_needed() -> None:
    assert [name for name in (*EXCEPTIONS, *UNTESTED) if name not in MODULES] == []
    assert [name for name in EXCEPTIONS if all(place(other) <= place(name) for other in imports(MODULES[name]))] == []


def test_imports_are_absolute() -> None:
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (*MODULES.values(), *TESTS.rglob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, listed(relative)


def test_a_folder_holds_few_modules() -> None:
    folders: dict[Path, int] = {}
    for path in (*PYTHON.rglob("*.py"), *TESTS.rglob("*.py")):
        folders[path.parent] = folders.get(path.parent, 0) + 1
    full = [
        f"{folder.relative_to(ROOT)}: {count}"
        for folder, count in folders.items()
        if count > MOST_MODULES and folder not in ANY_NUMBER
    ]
    assert not full, listed(full)


def test_no_file_is_long() -> None:
    long = []
    for folder in ("python", "tests", "scripts", "benchmarks", "examples", "fuzz", "caffe_layers"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in (".py", ".cpp", ".hpp", ".cu", ".cuh"):
                lines = path.read_text(encoding="utf-8").count("\n")
                if lines > MOST_LINES:
                    long.append(f"{name}: {lines}")
    assert not long, listed(long)


def positional(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    """How many arguments can be given by position, the object itself aside."""
    given = [*function.args.posonlyargs, *function.args.args]
    return len(given) - (bool(given) and given[0].arg in ("self", "cls"))


def test_no_function_takes_many_positional_parameters() -> None:
    many = [
        f"{name}:{node.lineno} {getattr(node, 'name', 'lambda')}: {positional(node)}"
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and positional(node) > MOST_POSITIONAL
    ]
    assert not many, listed(many)


def holds_logic(path: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree(path)))


def test_every_module_has_a_test_of_its_name() -> None:
    """python/caffe/net/weights.py is tested by tests/caffe/net/test_weights.py."""
    missing = []
    for name, path in MODULES.items():
        if path.stem in ("__init__", "__main__") or name in UNTESTED or not holds_logic(path):
            continue
        test = TESTS / path.relative_to(PYTHON).parent / f"test_{path.name}"
        if not test.exists():
            missing.append(test.relative_to(ROOT).as_posix())
    assert not missing, listed(missing)


def test_no_test_module_imports_another() -> None:
    """What they share is in tests/support."""
    shared = {"support"}
    own = {
        ".".join(path.relative_to(TESTS).with_suffix("").parts)
        for path in TESTS.rglob("*.py")
        if path.relative_to(TESTS).parts[0] not in shared
    }
    own |= {name.rpartition(".")[2] for name in own if name.rpartition(".")[2].startswith("test_")} | {"conftest"}
    own |= {f"tests.{name}" for name in own}
    wrong = []
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in names if name in own]
    assert not wrong, listed(wrong)


def test_package_caffe_knows_nothing_of_crfs() -> None:
    """Its schema and the upgrades of old files do: they read what the forks of Caffe wrote that had the layer."""
    word = re.compile(r"MultiStageMeanfield|CRF")
    told = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((PYTHON / "caffe").rglob("*"))
        if path.suffix in (".py", ".pyi", ".proto") and "proto" not in path.relative_to(PYTHON / "caffe").parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if word.search(line)
    ]
    assert not told, listed(told)
