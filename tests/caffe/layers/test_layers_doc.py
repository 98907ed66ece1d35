"""docs/reference/layers.md names every layer type, every option, none that does not exist, and only tests that do."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor
from support.reference_data import REPOSITORY, SHARED, TESTS, shared_path

from caffe import layers  # noqa: F401  # registers the built-in types
from caffe.layers.registry import find_layer_class, layer_type_list
from caffe.net_spec import param_name_dict
from caffe.proto import caffe_pb2

DOCUMENT = (TESTS.parent / "docs" / "reference" / "layers.md").read_text()
PREAMBLE, _, TABLE = DOCUMENT.partition("| type | option")
LAYER = caffe_pb2.LayerParameter.DESCRIPTOR

# Types that read the message of another type, or none although loss_param would be theirs.
OWN = {
    **{kind: f"{name}_param" for kind, name in param_name_dict().items()},
    "RNN": "recurrent_param",
    "LSTM": "recurrent_param",
    "LovaszSoftmaxLoss": None,
    "RobustLogLikelihoodLoss": None,
}
IGNORE_LOSS_PARAM = ("EuclideanLoss", "MultinomialLogisticLoss")
# Messages that a type reads beside its own.
MORE = {
    **dict.fromkeys(("Data", "ImageData", "WindowData"), "transform_param"),
    **dict.fromkeys(("SoftmaxWithLoss", "InfogainLoss", "LovaszSoftmaxLoss", "RobustLogLikelihoodLoss"), "loss_param"),
}


@dataclass
class Row:
    """One line of the table: of a layer type itself (option "") or of one of its options."""

    layer_type: str
    option: str
    tested_by: str


@dataclass
class Documented:
    """One layer type's rows."""

    row: Row
    options: list[Row] = field(default_factory=list)


def documented() -> dict[str, Documented]:
    """Layer type -> its rows."""
    types: dict[str, Documented] = {}
    for line in TABLE.splitlines()[2:]:
        name, option, _, tested_by = (cell.strip() for cell in line.strip("|").split("|"))
        if name:
            assert name.strip("*") not in types, name
            types[name.strip("*")] = Documented(Row(name.strip("*"), "", tested_by))
        else:
            match = re.fullmatch(r"`([\w.]+)`( \(.+\))?", option)
            assert match, line
            last = list(types.values())[-1]
            last.options.append(Row(last.row.layer_type, match[1], tested_by))
    return types


def message(name: str | None) -> Descriptor | None:
    """The message of a field of LayerParameter."""
    return None if name is None else LAYER.fields_by_name[name].message_type


def fields(descriptor: Descriptor | None) -> list[str]:
    return [] if descriptor is None else [f.name for f in descriptor.fields]


def test_every_type_and_every_option_has_its_row_and_no_other() -> None:
    table = documented()
    ours = REPOSITORY / "python"  # other tests of this process may have registered types of their own
    known = [(name, find_layer_class(name, "")) for name in layer_type_list()]
    assert sorted(table) == [name for name, cls in known if cls and ours in Path(inspect.getfile(cls)).parents]
    for layer_type, entry in table.items():
        options = [row.option for row in entry.options]
        own = [] if layer_type in IGNORE_LOSS_PARAM else fields(message(OWN.get(layer_type)))
        more = MORE.get(layer_type)
        expected = [*own, *(f"{more}.{name}" for name in fields(message(more)))]
        assert not set(expected) - set(options), f"{layer_type}: options without a row"
        assert len(options) == len(set(options)), f"{layer_type}: an option with two rows"
        for option in set(options) - set(expected):
            name, _, part = option.partition(".")
            assert part in fields(message(name)), f"{layer_type}: the schema has no {option}"


def test_what_all_layers_have_is_named_above_the_table() -> None:
    named = set(re.findall(r"`(\w+)`", PREAMBLE))
    shared = [f.name for f in LAYER.fields if not f.name.endswith("_param")]
    for descriptor in (caffe_pb2.ParamSpec, caffe_pb2.NetStateRule, caffe_pb2.FillerParameter):
        shared += fields(descriptor.DESCRIPTOR)
    assert not set(shared) - named
    assert named >= {"constant", "bilinear"} | set(IGNORE_LOSS_PARAM)


def test_the_tests_that_it_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)(?:\.(test_\w+))?`", DOCUMENT))
    assert len(named) > 30
    for module, test in named:
        sources = [path.read_text() for path in TESTS.rglob(f"{module}.py")]
        assert sources, module
        assert not test or any(f"def {test}(" in source for source in sources), f"{module}.{test}"


def test_gradients_are_tested_where_it_says_so() -> None:
    source = (TESTS / "caffe" / "layers" / "test_layers_gradients.py").read_text()
    for layer_type, entry in documented().items():
        if any(re.search(r"\bgradients\b", row.tested_by) for row in [entry.row, *entry.options]):
            assert re.search(rf'(\(|make\()"{layer_type}"', source), layer_type


def golden_layers() -> dict[str, list[caffe_pb2.LayerParameter]]:
    """Golden case -> its layers."""
    shared_path("golden", "layers")
    paths = [path for folder in ("layers", "extras") for path in (SHARED / "golden" / folder).glob("*.prototxt")]
    cases = {}
    for path in paths:
        if path.with_suffix(".npz").exists():
            cases[path.stem] = list(text_format.Parse(path.read_text(), caffe_pb2.NetParameter()).layer)
    return cases


def sets(layer: caffe_pb2.LayerParameter, option: str) -> bool:
    """Whether a layer's definition states an option."""
    name, _, part = option.rpartition(".")
    read = getattr(layer, name or OWN[layer.type])
    return part in [f.name for f, _ in read.ListFields()]


def test_golden_cases_show_what_it_says() -> None:
    cases = golden_layers()
    for entry in documented().values():
        for row in [entry.row, *entry.options]:
            said = re.search(r"golden: (?:(\d+) cases|((?:`\w+`(?:, )?)+)(?: and (\d+) more)?)", row.tested_by)
            if not said:
                assert "golden" not in row.tested_by, row
                continue
            showing = [
                name
                for name, defined in cases.items()
                if any(x.type == row.layer_type and (not row.option or sets(x, row.option)) for x in defined)
            ]
            named = re.findall(r"`(\w+)`", said[2] or "")
            assert set(named) <= set(showing), row
            assert len(showing) == int(said[1] or len(named) + int(said[3] or 0)), (row, sorted(showing))
