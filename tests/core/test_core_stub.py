"""_core.pyi says what the built module has: names, and every function's parameters and their types."""

import ast
import re
from pathlib import Path
from typing import Any

import crfasrnn
from crfasrnn import _core

STUB = Path(crfasrnn.__file__).with_name("_core.pyi")

# Of a function: one (name, type) for each parameter, self and cls left out, keyword-only ones after a star; and the
# result's type. Types are texts.
Signature = tuple[tuple[tuple[str, str], ...], str]


def parameters(function: ast.FunctionDef) -> Signature:
    given = function.args
    assert [given.posonlyargs, given.vararg, given.kwarg, given.defaults] == [[], None, None, []]
    listed = [
        ("*", "") if a is None else (a.arg, text_of(a.annotation)) for a in [*given.args, None, *given.kwonlyargs]
    ]
    return tuple(pair for pair in listed if pair[0] not in ("self", "cls")), text_of(function.returns)


def text_of(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation) if annotation else ""


def same_for_both(signature: Signature) -> Signature:
    """With the types of float32, as the stub lists them for float64 too."""

    def plain(text: str) -> str:
        return re.sub(r"\b(MeanFieldState|KernelSource|GaussianKernel)64\b", r"\g<1>32", text)

    return tuple((name, plain(kind)) for name, kind in signature[0]), plain(signature[1])


def built_signatures(function: Any) -> set[Signature]:
    """Of all overloads of a function of the module; arrays are Any."""
    found = set()
    for text, *_ in function.__nb_signature__:
        text = re.sub(r"ndarray\[[^\]]*\]", "Any", text).replace("crfasrnn._core.", "")
        text = re.sub(r"\blist\b", "list[Any]", text)
        node = ast.parse(f"{text}: ...").body[0]
        assert isinstance(node, ast.FunctionDef)
        signature = same_for_both(parameters(node))
        if node.name == "mean_field_forward":  # nanobind does not say that a null pointer becomes None
            signature = (signature[0], f"{signature[1]} | None")
        found.add(signature)
    return found


def members(definition: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, ast.FunctionDef]:
    """Methods and properties of a class of the stub, inherited ones too."""
    found = {}
    for base in definition.bases:
        assert isinstance(base, ast.Name)
        found.update(members(classes[base.id], classes))
    found.update({node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)})
    return found


def test_stub_describes_the_built_module() -> None:
    body = ast.parse(STUB.read_text()).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    built = {name for name in dir(_core) if not name.startswith("_")}
    assert functions.keys() | classes.keys() == built
    for name, function in functions.items():
        assert built_signatures(getattr(_core, name)) == {parameters(function)}, name
    for name, definition in classes.items():
        check_class(getattr(_core, name), members(definition, classes))


def check_class(built: Any, stub: dict[str, ast.FunctionDef]) -> None:
    public = {name for name in vars(built) if not name.startswith("_")}
    if hasattr(built.__init__, "__nb_signature__"):
        public.add("__init__")
    assert stub.keys() == public, built
    for name, function in stub.items():
        member = vars(built)[name]
        if isinstance(member, property):
            assert [ast.unparse(d) for d in function.decorator_list] == ["property"], name
        else:
            assert built_signatures(member) == {parameters(function)}, name
