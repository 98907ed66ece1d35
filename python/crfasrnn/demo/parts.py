"""What both tabs of the page consist of: the upload, the sliders, the picture with its legend, the strip, the downloads."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from caffe.errors import CaffeError
from caffe.logs.ending import in_a_sentence
from crfasrnn.demo.answers import DOWNLOADS, Answer, answer, download, strip, view
from crfasrnn.demo.controls import RANGES, Controls, Range
from crfasrnn.demo.fields import Deadline, Field
from crfasrnn.demo.visits import Visit, Visits

_FOLDER = Path(__file__).parent
CORES = "cores"  # computations of all visitors take turns

FILES = "".join(f'<button type="button" data-what="{what}">↓ {what}</button>' for what in DOWNLOADS)

VIEWER = f"""
<div class="crf-view empty">
  <div class="crf-hint">${{hint}}</div>
  <div class="crf-stage">
    <canvas class="crf-after"></canvas><canvas class="crf-before"></canvas>
    <span class="crf-tag left">${{left}}</span><span class="crf-tag right">${{right}}</span>
    <div class="crf-cut" role="slider" tabindex="0" aria-label="${{left}} on the left, ${{right}} on the right"
      aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div>
    <div class="crf-tip" hidden></div>
  </div>
  <div class="crf-legend" aria-label="classes and their shares"></div>
  <p class="crf-facts"></p>
  <div class="crf-files">{FILES}</div>
</div>"""


@dataclass(frozen=True)
class Results:
    """Where answers are shown."""

    message: gr.HTML
    viewer: gr.HTML
    below: gr.Column
    strip: gr.HTML

    @property
    def all(self) -> list[Any]:
        """In the order in which `shown`, `emptied` and `complained` give values."""
        return [self.message, self.viewer, self.below, self.strip]


def script(name: str) -> str:
    """A file beside this one."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def photograph_input(tab: str, first: Path | None = None, height: int = 230) -> gr.Image:
    """Where a photograph is dropped, pasted, taken or chosen; the first one lies there to begin with."""
    found = gr.Image(
        None if first is None else str(first),
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        label="Photograph",
        height=height,
        buttons=[],
        webcam_options=gr.WebcamOptions(mirror=False),
        elem_id=f"crf-photograph-{tab}",
    )
    # Gradio would decode the file; reading it is for crfasrnn.demo.uploads. (A subclass would write a .pyi file beside this one.)
    vars(found)["preprocess"] = lambda payload: None if payload is None else payload.path
    return found


def sliders(start: Controls, ranges: dict[str, Range] | None = None) -> list[gr.Slider]:
    """One for each field of Controls, in their order; `ranges` replaces some of RANGES."""
    found = []
    for name, value in asdict(start).items():
        allowed = (RANGES | (ranges or {}))[name]
        slider = gr.Slider(
            allowed.least,
            allowed.most,
            value,
            step=allowed.step,
            label=allowed.label,
            buttons=[],
            elem_id=f"crf-{name}" if ranges else f"crf-own-{name}",
            elem_classes="crf-control",
        )
        found.append(slider)
    return found


def learned_weights() -> dict[str, Range]:
    """The ranges of weights that multiply what a network has learned."""
    return {
        name: replace(RANGES[name], most=4, label=f"{RANGES[name].label}, × learned")
        for name in ("bilateral_weight", "spatial_weight")
    }


def results(left: str, right: str, hint: str, visits: Visits[Any], tab: str) -> Results:
    """The picture, the strip and the downloads of a tab."""
    message = gr.HTML(visible=False, elem_classes="crf-message")
    viewer = gr.HTML(
        html_template=VIEWER, js_on_load=script("viewer.js"), apply_default_css=False, left=left, right=right, hint=hint,
        elem_id=f"crf-viewer-{tab}", server_functions=[_saving(visits)],
    )  # fmt: skip
    with gr.Column(visible=False, elem_id=f"crf-below-{tab}") as below:
        shown = gr.HTML(apply_default_css=False, elem_id=f"crf-strip-{tab}")
    return Results(message, viewer, below, shown)


def _saving(visits: Visits[Any]) -> Callable[[dict[str, str]], dict[str, str] | None]:
    """What viewer.js calls for a file. (An event's answer is lost now and then, right behind another's.)"""

    def save(wanted: dict[str, str]) -> dict[str, str] | None:
        visit = visits.known_as(wanted["key"])
        return None if visit is None or visit.found is None else download(visit.found, wanted["what"], visit.stem)

    return save


PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# Not through the queue, whose stream Gradio may just be closing behind the last computation: such an event would be lost.
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}


def computing(where: Results) -> dict[str, Any]:
    """How an event computes: one of all visitors' at a time, which the picture tells."""
    return {
        "show_progress": "minimal",
        "show_progress_on": [where.viewer],
        "concurrency_limit": 1,
        "concurrency_id": CORES,
        **PRIVATE,
    }


def refine_when_moved(controls: Sequence[gr.Slider], visits: Visits[Any], where: Results, seconds: float) -> None:
    """Run the CRF again for a visitor who moves a control, within so many seconds."""

    def refine(request: gr.Request, *values: Any) -> Iterator[list[Any]]:
        yield from moved(visits.of(request.session_hash), values, Deadline(seconds))

    moves = [control.change for control in controls]
    gr.on(moves, refine, list(controls), where.all, trigger_mode="always_last", **computing(where))


# ------------------------------------------------------------------------------------------------------ values for Results


def shown(
    visit: Visit,
    controls: Controls,
    deadline: Deadline,
    answered: Callable[[Field, Controls, Deadline], Answer] = answer,
) -> Iterator[list[Any]]:
    """Run the CRF on the visit's field: first the answer, then the strip too. Raises CaffeError if it takes too long.

    answered: is `answer`, or knows some answers already.
    """
    assert visit.field is not None
    visit.found = answered(visit.field, controls, deadline)
    yield [gr.HTML(visible=False), view(visit.found) | {"key": visit.key}, gr.Column(visible=True), gr.skip()]
    yield [gr.skip(), gr.skip(), gr.skip(), strip_html(strip(visit.found, deadline))]


def emptied() -> list[Any]:
    """Nothing is shown."""
    return [gr.HTML(visible=False), None, gr.Column(visible=False), ""]


def complained(problem: Exception, keep: bool) -> list[Any]:
    """The one sentence about what went wrong; `keep` leaves the last answer where it is."""
    message = gr.HTML(error_html(problem), visible=True)
    return [message, *([gr.skip()] * 3 if keep else emptied()[1:])]


def moved(visit: Visit | None, values: Sequence[Any], deadline: Deadline) -> Iterator[list[Any]]:
    """What is shown after a control was moved, `values` being those of all: where there is no photograph any more, that."""
    if visit is None:
        yield complained(CaffeError("choose a photograph: there is none, or it was forgotten"), keep=True)
    elif visit.field is None:
        yield [gr.skip()] * 4
    else:
        yield from guarded(lambda: shown(visit, Controls(*values), deadline), keep=True)


def guarded(steps: Callable[[], Iterator[list[Any]]], keep: bool) -> Iterator[list[Any]]:
    """The steps' values, and a sentence where they fail."""
    try:
        yield from steps()
    except Exception as problem:  # a page that says nothing would be worse
        yield complained(problem, keep)


def error_html(problem: Exception) -> str:
    """A sentence about an error."""
    said = in_a_sentence(problem).rstrip(".")
    return f'<div class="crf-error" role="alert">{html.escape(said[:1].upper() + said[1:])}.</div>'


def strip_html(pictures: Sequence[dict[str, Any]]) -> str:
    """Q on its way, in a row."""
    figures = []
    for entry in pictures:
        count, changed = entry["iterations"], entry["changed"]
        told = "" if changed is None else f" · {changed} % relabelled"
        figures.append(
            f'<figure><img src="{entry["picture"]}" alt="Q after {count}"><figcaption><b>{count}</b>{told}</figcaption></figure>'
        )
    numbers = [str(entry["iterations"]) for entry in pictures]
    title = f"Q after {', '.join(numbers[:-1])} and {numbers[-1]} iterations"
    note = "<span>· colours mixed by the probabilities of each pixel</span>"
    return f'<div class="crf-section">{title} {note}</div><div class="crf-strip">{"".join(figures)}</div>'
