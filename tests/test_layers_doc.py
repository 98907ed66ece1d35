"""docs/LAYERS.md names every layer type, every option and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from caffe import layers  # noqa: F401  # registers the built-in types
from caffe.layers.registry import layer_type_list
from caffe.net_spec import _message_fields
from caffe.proto import caffe_pb2

TESTS = Path(__file__).parent
DOCUMENT = (TESTS.parent / "docs" / "LAYERS.md").read_text()


def documented() -> dict[str, list[str]]:
    """Layer type -> the options that its rows name."""
    types: dict[str, list[str]] = {}
    for name, option in re.findall(r"^\| (?:\*\*(\w+)\*\*)? ?\| ?(?:`([\w.]+)`)?", DOCUMENT, re.MULTILINE):
        if name:
            types[name] = []
        elif option:
            list(types.values())[-1].append(option)
    return types


def test_every_layer_type_and_option_has_its_row() -> None:
    table = documented()
    assert set(layer_type_list()) <= set(table)
    for layer_type, options in table.items():
        message = _message_fields().get(layer_type)
        if message and layer_type not in ("EuclideanLoss", "MultinomialLogisticLoss"):
            fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[message].message_type.fields_by_name
            assert set(fields) <= set(options), layer_type


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)(?:\.(test_\w+))?`", DOCUMENT))
    assert len(named) > 30
    for module, test in named:
        source = (TESTS / f"{module}.py").read_text()
        assert not test or f"def {test}(" in source, f"{module}.{test}"
