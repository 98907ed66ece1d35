"""Tables as Markdown, and docs/results.md, from their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe.errors import CaffeError
from caffe.files import make_folder, write_bytes, write_text
from crfasrnn.reproduction import paper

_TITLES = {
    "table1": "Table 1: what the CRF adds",
    "ablations": "Sections 6 and 7.1, trained end to end",
    "alone": "Sections 6 and 7.1, the CRF learned alone",
    "iterations": "Mean-field iterations in testing",
    "table3": "Table 3: Pascal Context",
    "schedules": "Losses and rates, on held-out training images",
}
_TRAINING = "Loss, mean IU on the held-out training images, and the CRF's weights, of the first training of each row"
# What `reproduce` draws beside each table.
PICTURES = {
    "table1": {
        "table1_cases.png": "The image with the largest gain of CRF-RNN over the plain network, the one nearest to the median, and "
        "the one with the largest loss (IU of that image over the classes that its truth shows)",
        "table1_crf.png": "What the CRF learned: compatibility of the classes against Potts, weights of the kernels",
        "table1_training.png": _TRAINING,
        "table1.png": "Mean IU on the validation images",
    },
    "ablations": {"ablations.png": "Mean IU on the validation images", "ablations_training.png": _TRAINING},
    "alone": {"alone.png": "Mean IU on the validation images", "alone_training.png": _TRAINING},
    "iterations": {"iterations.png": "Mean IU over the number of mean-field iterations in testing"},
    "table3": {"table3.png": "Mean IU on the validation images", "table3_training.png": _TRAINING},
    "schedules": {"schedules.png": "Mean IU on the held-out training images", "schedules_training.png": _TRAINING},
}
_BANDS = (1, 4, 8, 20, 40)  # pixels around void


def markdown(content: Mapping[str, Any]) -> str:
    """A table's page: what was run on what, mean IU of each row, claims with intervals and verdicts, bands around void."""
    parts = [f"# {_TITLES[content['table']]} ({content['family']})", _data(content), _rows(content)]
    if content["table"] == "table1":
        parts.append(f"The paper's columns: {paper.TABLE_1_SOURCE}; other data, so not comparable with ours.")
    if content["table"] == "table3":
        figures = ", ".join(f"{name} {value:g}" for name, value in paper.TABLE_3.items())
        parts.append(
            f"The paper's Table 3, mean IU in per cent on the validation set with 59 classes and background: {figures}."
        )
    parts += [f"Without a result: {title} ({reason})" for title, reason in content["diverged"].items()]
    if content["differences"]:
        parts += [_differences(content), _reading(content)]
    if content["table"] == "ablations":
        parts.append(paper.REMARKS)
    if content["tuned"]:
        parts.append(_tuned(content["tuned"]))
    if any(_curves(row) for row in content["rows"]):
        parts.append(_bands(content))
    return "\n\n".join(parts) + "\n"


def archives(files: Mapping[str, Path]) -> str:
    """The page of table 2: what to give to VOC's server, and the paper's figures to set its answers beside."""
    rows = [
        [name, *("-" if value is None else f"{value:.1f}" for value in values)]
        for name, values in paper.TABLE_2.items()
    ]
    given = "\n".join(f"- {title}: `{path.name}`" for title, path in files.items())
    return (
        "# Table 2: VOC's test sets\n\nTheir label maps are with VOC's evaluation server alone, which takes these archives (comp6) "
        "and answers with the mean IU and, as in the paper's table 4, that of each class:\n\n"
        f"{given}\n\n{_grid(['the paper, mean IU, %', 'VOC 2010', 'VOC 2011', 'VOC 2012'], rows)}\n"
    )


def _data(content: Mapping[str, Any]) -> str:
    images, classes, over = content["images"], content["classes"], content["mean_over"]
    minutes = sum(content["training_seconds"].values()) / 60
    width = "" if content["width"] == 1 else f", channels times {content['width']:g}"
    precision = ", wide convolutions in bfloat16" if content["precision"] == "bf16" else ""
    scales, networks, seeds = (", ".join(map(str, content[name])) for name in ("scales", "networks", "seeds"))
    of = f"{len(classes)} classes" if over == classes else f"{len(classes)} classes, mean IU over {len(over)} of them"
    where = "held-out training images" if content["on_held_out"] else "validation images"
    steps = ", ".join(f"{count} for {what}" for what, count in content["steps"].items())
    return (
        f"{of} ({', '.join(over)}); {images['training']} training images at largest sides {scales}, mirrored too; "
        f"{images['held_out']} others of the training lists, every class its share, for all that was chosen; scores on "
        f"{images['scored']} {where}, reduced to {content['size']} pixels, labels compared at the original size. "
        f"Networks `{content['family']}`{width}{precision}, from {content['start']}; steps: {steps}. Networks {networks}, of each "
        f"the trainings {seeds}; {minutes:.0f} minutes of training on {content['hardware']}."
    )


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _rows(content: Mapping[str, Any]) -> str:
    has_paper = content["table"] == "table1"
    head = ["", "mean IU, %", "lowest to highest", "trainings", *(["paper", "paper, with COCO"] if has_paper else [])]
    rows = []
    for row in content["rows"]:
        values = [run["mean_iu"] for run in row["runs"].values()]
        spread = f"{_percent(min(values))} to {_percent(max(values))}" if len(values) > 1 else ""
        papers = [f"{value:.1f}" for value in row["paper"]] or ["", ""]
        rows.append([row["title"], _percent(row["mean_iu"]), spread, str(len(values)), *(papers if has_paper else [])])
    return _grid(head, rows)


def _differences(content: Mapping[str, Any]) -> str:
    titles = {row["name"]: row["title"] for row in content["rows"]}
    rows = []
    for item in content["differences"]:
        section = f" ({item['section']})" if item["section"] else ""
        says = f"{item['says']}{section}" if item["says"] else ""
        points = "" if item["points"] is None else f"{item['points']:+.1f}"
        found = f"{100 * item['difference']:+.2f} ({100 * item['low']:+.2f} to {100 * item['high']:+.2f})"
        rows.append([f"{titles[item['first']]} → {titles[item['second']]}", says, points, found, item["verdict"]])
    level = 100 * content["differences"][0]["level"]
    return _grid(["difference", "what is claimed", "paper", f"points here ({level:g} % interval)", "verdict"], rows)


def _reading(content: Mapping[str, Any]) -> str:
    """How the intervals are made, and what they cannot tell."""
    most = max(len(item["of_each"]) for item in content["differences"])
    networks = len(content["networks"])
    spreads = [float(np.std(item["of_each"], ddof=1)) for item in content["differences"] if len(item["of_each"]) > 1]
    if not spreads:
        return "Intervals: paired bootstrap over the images. One training of each: what another seed would give they do not tell."
    across = f"networks ({networks}), trainings of each ({most // networks})" if networks > 1 else f"trainings ({most})"
    return (
        f"Intervals: hierarchical bootstrap over {across} and images, paired. From training to training a difference varies by "
        f"{100 * float(np.median(spreads)):.2f} points (standard deviation, median over the rows), so that the mean of {most} is "
        f"known to about {200 * float(np.median(spreads)) / most**0.5:.2f} points even with endlessly many images; so few "
        'trainings make the intervals somewhat too narrow. "Not decided" means that the interval holds zero.'
    )


def _tuned(tuned: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: spatial {_numbers(found['spatial'])}, bilateral {_numbers(found['bilateral'])}, {found['iterations']} "
        "iterations"
        for name, found in tuned.items()
    ]
    head = "Dense CRFs as tuned on the held-out images, for the first training of each network (widths, then the kernel's weight):"
    return "\n".join([head, "", *lines])


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _curves(row: Mapping[str, Any]) -> list[Sequence[float | None]]:
    found = [run.get("trimap_mean_iu") for run in row["runs"].values()]
    return [curve for curve in found if curve is not None]


def _bands(content: Mapping[str, Any]) -> str:
    rows = [
        [row["title"], *(_mean([curve[width - 1] for curve in _curves(row)]) for width in _BANDS)]
        for row in content["rows"]
        if _curves(row)
    ]
    return _grid(["mean IU within so many pixels of void, %", *map(str, _BANDS)], rows)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _percent(float(np.mean(known))) if known else "-"


def write_docs(outputs: Sequence[Path], page: Path) -> None:
    """Write a page (docs/results.md) of the tables that some folders have, their pictures beside it in results/.

    Raises CaffeError if there are no tables.
    """
    pages = []
    for output in outputs:
        for table in _TITLES:
            path = output / f"{table}.json"
            if path.is_file():
                content = json.loads(path.read_text(encoding="utf-8"))
                pages.append(markdown(content).replace("# ", "## ", 1))
                pages += [
                    _shown(output / name, caption, page, content["family"]) for name, caption in PICTURES[table].items()
                ]
    if not pages:
        raise CaffeError(f"no tables in {', '.join(repr(str(output)) for output in outputs)} yet")
    head = (
        "# Results\n\nWritten by `crfasrnn reproduce ... --write-docs` from the figures of the runs. The validation images were "
        "used for these figures alone: all settings are the recipes' own or were chosen on held-out training images. "
        "[reproduction.md](reproduction.md) says what they mean.\n\n"
    )
    write_text(page, head + "\n".join(pages))


def _shown(picture: Path, caption: str, page: Path, family: str) -> str:
    """A copy of the picture beside the page, as Markdown; nothing if there is no such picture."""
    if not picture.is_file():
        return ""
    copy = page.parent / "results" / f"{family}_{picture.name}"
    make_folder(copy.parent)
    write_bytes(copy, picture.read_bytes())
    return f"![{caption}](results/{copy.name})\n\n{caption}.\n"
