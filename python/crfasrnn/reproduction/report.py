"""Tables as Markdown, and docs/RESULTS.md, from their JSON."""

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
    "ablations": "Ablations (section 7.1)",
    "iterations": "Mean-field iterations in testing",
}
# What `reproduce` draws beside each table.
PICTURES = {
    "table1": {
        "table1_cases.png": "The image with the largest gain of CRF-RNN over FCN-8s, the one nearest to the median, and the one "
        "with the largest loss (IU of that image over the classes that its truth shows)",
        "table1_crf.png": "What the CRF learned: compatibility of the classes against Potts, weights of the kernels",
        "table1_training.png": "Loss, and mean IU on the held-out training images",
        "table1.png": "Mean IU on the validation images",
    },
    "ablations": {
        "ablations.png": "Mean IU on the validation images",
        "ablations_training.png": "Loss, and mean IU on the held-out training images",
    },
    "iterations": {"iterations.png": "Mean IU over the number of mean-field iterations in testing"},
}
_BANDS = (1, 4, 8, 20, 40)  # pixels around void


def markdown(content: Mapping[str, Any]) -> str:
    """A table's page: what was run on what, mean IU for each row and seed, differences with intervals, bands around void."""
    seeds = [str(seed) for seed in content["seeds"]]
    parts = [f"# {_TITLES[content['table']]}", _data(content), _rows(content, seeds)]
    if content["table"] == "table1":
        parts.append(f"The paper's columns: {paper.TABLE_1_SOURCE}; other data, so not comparable with ours.")
    parts += [f"Without a result: {title} ({reason})" for title, reason in content["diverged"].items()]
    if content["table"] == "ablations":
        parts.append("The paper, section 7.1: " + "; ".join(paper.SECTION_7_1.values()) + ".")
    if content["differences"]:
        parts.append(_differences(content, seeds))
    if any("trimap_mean_iu" in row["seeds"][seeds[0]] for row in content["rows"]):
        parts.append(_bands(content, seeds))
    return "\n\n".join(parts) + "\n"


def _data(content: Mapping[str, Any]) -> str:
    images, iterations = content["images"], content["iterations"]
    minutes = sum(content["training_seconds"].values()) / 60
    width = "" if content["width"] == 1 else f", channels times {content['width']:g}"
    precision = ", wide convolutions in bfloat16" if content.get("precision") == "bf16" else ""
    classes, scales, seeds = (", ".join(map(str, content[name])) for name in ("classes", "scales", "seeds"))
    return (
        f"{len(content['classes'])} classes ({classes}); {images['training']} training images at largest sides {scales}, mirrored "
        f"too; {images['held_out']} others of the training lists for the settings of the dense CRF and the curves; scores on "
        f"{images['validation']} validation images, reduced to {content['size']} pixels, labels compared at the original size. "
        f"Networks `{content['family']}`{width}{precision}, from {content['start']}: {iterations['fcn']} steps for the FCN, "
        f"{iterations['crf']} for all that starts from it. Seeds {seeds}; {minutes:.0f} minutes of training on "
        f"{content['hardware']}."
    )


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _rows(content: Mapping[str, Any], seeds: Sequence[str]) -> str:
    has_paper = content["table"] == "table1"
    head = ["mean IU, %", *(f"seed {seed}" for seed in seeds), "mean"]
    rows = [
        [row["title"], *(_percent(row["seeds"][seed]["mean_iu"]) for seed in seeds), _percent(row["mean_iu"])]
        for row in content["rows"]
    ]
    if has_paper:
        head += ["paper", "paper, with COCO"]
        for cells, row in zip(rows, content["rows"]):
            cells += [f"{value:.1f}" for value in row["paper"]] or ["", ""]
    return _grid(head, rows)


def _differences(content: Mapping[str, Any], seeds: Sequence[str]) -> str:
    titles = {row["name"]: row["title"] for row in content["rows"]}
    rows = []
    for item in content["differences"]:
        cells = [
            f"{100 * result['difference']:+.2f} ({100 * result['low']:+.2f} to {100 * result['high']:+.2f})"
            for result in (item["seeds"][seed] for seed in seeds)
        ]
        rows.append([f"{titles[item['first']]} → {titles[item['second']]}", *cells])
    head = ["difference, points (95 % interval, paired bootstrap over images)", *(f"seed {seed}" for seed in seeds)]
    return _grid(head, rows)


def _bands(content: Mapping[str, Any], seeds: Sequence[str]) -> str:
    rows = []
    for row in content["rows"]:
        curves = [row["seeds"][seed].get("trimap_mean_iu") for seed in seeds]
        if all(curve is not None for curve in curves):
            means = [_mean([curve[width - 1] for curve in curves]) for width in _BANDS]
            rows.append([row["title"], *means])
    return _grid(["mean IU within so many pixels of void, %", *map(str, _BANDS)], rows)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _percent(float(np.mean(known))) if known else "-"


def write_docs(output: Path, page: Path) -> None:
    """Write a page (docs/RESULTS.md) of the tables that a folder has, their pictures beside it in results/.

    Raises CaffeError if there are no tables.
    """
    pages = []
    for table in _TITLES:
        path = output / f"{table}.json"
        if path.is_file():
            pages.append(markdown(json.loads(path.read_text(encoding="utf-8"))).replace("# ", "## ", 1))
            pages += [_shown(output / name, caption, page) for name, caption in PICTURES[table].items()]
    if not pages:
        raise CaffeError(f"no tables in {str(output)!r} yet")
    head = (
        "# Results\n\nWritten by `crfasrnn reproduce ... --write-docs` from the figures of the runs. The validation images were "
        "used for these figures alone: all settings are the recipes' own or were chosen on training images.\n\n"
    )
    write_text(page, head + "\n".join(pages))


def _shown(picture: Path, caption: str, page: Path) -> str:
    """A copy of the picture beside the page, as Markdown; nothing if there is no such picture."""
    if not picture.is_file():
        return ""
    copy = page.parent / "results" / picture.name
    make_folder(copy.parent)
    write_bytes(copy, picture.read_bytes())
    return f"![{caption}](results/{picture.name})\n\n{caption}.\n"
