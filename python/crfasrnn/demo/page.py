"""The page: a tab that segments a photograph, and one that refines labels of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from caffe.errors import CaffeError
from crfasrnn.classes import VOID
from crfasrnn.demo import uploads
from crfasrnn.demo.answers import jpeg_url
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import Deadline, Field
from crfasrnn.demo.network import Network
from crfasrnn.demo.opening import Opening
from crfasrnn.demo.own import CONTROLS, MAX_SCORES, Canvas, label_classes
from crfasrnn.demo.parts import (
    AT_ONCE,
    complained,
    computing,
    emptied,
    guarded,
    learned_weights,
    photograph_input,
    refine_when_moved,
    results,
    script,
    shown,
    sliders,
)
from crfasrnn.demo.visits import Visit, Visits
from crfasrnn.pictures.label_maps import class_palette

KEPT = 540  # seconds that uploads and what is computed of them are kept; every minute somebody looks
VISITORS = 10  # whose photographs and scores are kept at a time, for each tab
_QUEUE = 16  # visitors who may wait

HEAD = "<h1>CRF-RNN</h1><p>{about} Pictures stay on the machine that runs this page, which forgets them after ten minutes.</p>"

SCRIBBLE = """
<div class="crf-draw empty">
  <div class="crf-pens"></div>
  <div class="crf-sheet"><img class="crf-paper" alt="your photograph"><canvas class="crf-ink"></canvas></div>
  <div class="crf-tools">
    <label>brush <input class="crf-size" type="range" min="0.5" max="10" step="0.5" value="3" aria-label="brush width"></label>
    <button type="button" data-does="undo">undo</button><button type="button" data-does="clear">clear</button>
  </div>
</div>"""


@dataclass
class OwnVisit(Visit):
    """A visitor's photograph and what there is of labels for it."""

    canvas: Canvas | None = None
    strokes: list[Any] = field(default_factory=list)


def page(network: Network, samples: Sequence[Path], seconds: float) -> gr.Blocks:
    """The page for a model.

    samples: photographs to choose from; the first is shown to begin with.
    seconds: after which a computation is given up.
    """
    with gr.Blocks(title="CRF-RNN", analytics_enabled=False, delete_cache=(60, KEPT)) as blocks:
        gr.HTML(HEAD.format(about=_about(network)), elem_classes="crf-head", apply_default_css=False)
        with gr.Tab("Segment a photograph", id="segment"):
            segmented = _segment_tab(blocks, network, samples, seconds)
        with gr.Tab("Your own labels", id="own"):
            own = _own_tab(samples, seconds)

        def leave(request: gr.Request) -> None:
            segmented.forget(request.session_hash)
            own.forget(request.session_hash)

        blocks.unload(leave)
    blocks.queue(max_size=_QUEUE, api_open=False)
    return blocks


def _about(network: Network) -> str:
    return (
        f"A network labels every pixel with one of {len(network.classes)} classes; a fully connected conditional random field, "
        "unrolled into a recurrent layer, brings the labels in line with what the photograph shows."
    )


# ------------------------------------------------------------------------------------------------------------------ segment


def _segment_tab(blocks: gr.Blocks, network: Network, samples: Sequence[Path], seconds: float) -> Visits[Visit]:
    visits: Visits[Visit] = Visits(VISITORS, KEPT)
    opening = Opening(uploads.photograph(samples[0]))
    with gr.Row(elem_classes="crf-desk"):
        with gr.Column(elem_classes="crf-given"):
            photograph = photograph_input("segment", samples[0])
            gr.Examples(
                [[str(path)] for path in samples], [photograph], label="Or one of these", elem_id="crf-samples-segment"
            )
        with gr.Column(elem_classes="crf-moved"):
            with gr.Group():
                controls = sliders(network.controls, learned_weights())
            reset = gr.Button("Back to what the model was made with", size="sm", elem_id="crf-reset")
        with gr.Column(elem_classes="crf-results"):
            hint = "Drop, paste, take or choose a photograph: its labels appear here."
            where = results("network alone", "CRF-RNN", hint, visits, "segment")

    def segment(request: gr.Request, path: str | None, *values: Any) -> Iterator[list[Any]]:
        if path is None:
            visits.forget(request.session_hash)
            yield emptied()
            return
        last = visits.of(request.session_hash)
        if last is not None and last.source == path:  # Gradio tells of one upload twice
            yield [gr.skip()] * 4
            return

        def steps() -> Iterator[list[Any]]:
            deadline = Deadline(seconds)
            try:
                field = opening.field(uploads.photograph(path), network.field)
            except Exception:
                visits.forget(request.session_hash)  # what is shown no more
                raise
            visit = visits.begin(request.session_hash, Visit(Path(path).stem, field, source=path))
            yield from shown(visit, Controls(*values), deadline, opening.answer)

        yield from guarded(steps, keep=False)

    how = computing(where)
    gr.on(
        [blocks.load, photograph.change], segment, [photograph, *controls], where.all, trigger_mode="always_last", **how
    )
    refine_when_moved(controls, visits, where, seconds)
    reset.click(lambda: list(vars(network.controls).values()), None, controls, **AT_ONCE)
    return visits


# ------------------------------------------------------------------------------------------------------------ one's own labels


def _own_tab(samples: Sequence[Path], seconds: float) -> Visits[OwnVisit]:
    visits: Visits[OwnVisit] = Visits(VISITORS, KEPT)
    with gr.Row(elem_classes="crf-desk"):
        with gr.Column(elem_classes="crf-given"):
            photograph = photograph_input("own", height=150)
            gr.Examples(
                [[str(path)] for path in samples], [photograph], label="Or one of these", elem_id="crf-samples-own"
            )
            kind = gr.Radio(["Scribbles", "Mask", "Probabilities"], value="Scribbles", label="What you know about it")
            canvas = gr.HTML(html_template=SCRIBBLE, js_on_load=script("scribble.js"), apply_default_css=False)
            mask = gr.File(label="Mask: a grey or palette PNG", visible=False, height=120, elem_id="crf-mask")
            planes = gr.File(
                label="Probabilities: .npy or .npz, C × H × W", visible=False, height=120, elem_id="crf-planes"
            )
        with gr.Column(elem_classes="crf-moved"):
            certainty = gr.Slider(0.51, 0.99, 0.7, step=0.01, label="Certainty of labels", buttons=[])
            with gr.Group():
                controls = sliders(CONTROLS)
        with gr.Column(elem_classes="crf-results"):
            hint = "Choose a photograph, then mark background and object with a few strokes, or give a mask or probabilities."
            where = results("your labels", "dense CRF", hint, visits, "own")

    def open_photograph(request: gr.Request, path: str | None) -> list[Any]:
        visits.forget(request.session_hash)
        if path is None:
            return [None, None, None, *emptied()]
        try:
            visit = OwnVisit(Path(path).stem, canvas=Canvas.of(uploads.photograph(path)))
        except CaffeError as problem:
            return [None, None, None, *complained(problem, keep=False)]
        visits.begin(request.session_hash, visit)
        return [_sheet(visit), None, None, *emptied()]

    def begin(
        request: gr.Request, kind: str, mask: str | None, planes: str | None, certainty: float, *values: Any
    ) -> Iterator[list[Any]]:
        visit = visits.of(request.session_hash)
        if visit is None:
            problem = CaffeError("choose the photograph first") if mask or planes else None
            yield emptied() if problem is None else complained(problem, keep=False)
            return

        def steps() -> Iterator[list[Any]]:
            visit.field = visit.found = None
            visit.field = _field(visit, kind, {"Mask": mask, "Probabilities": planes}.get(kind), certainty)
            yield from shown(visit, Controls(*values), Deadline(seconds)) if visit.field else iter([emptied()])

        yield from guarded(steps, keep=False)

    def keep_strokes(request: gr.Request, event: gr.EventData) -> None:
        visit = visits.of(request.session_hash)
        if visit is not None:
            visit.strokes = event.strokes

    given = [kind, mask, planes, certainty, *controls]
    how = computing(where)
    photograph.change(open_photograph, photograph, [canvas, mask, planes, *where.all], **how)
    canvas.stroke(keep_strokes, None, None, **AT_ONCE).then(begin, given, where.all, **how)
    kind.change(_inputs_of, kind, [canvas, mask, planes, certainty], **AT_ONCE)
    gr.on([kind.change, mask.change, planes.change, certainty.release], begin, given, where.all, **how)
    refine_when_moved(controls, visits, where, seconds)
    return visits


def _field(visit: OwnVisit, kind: str, file: str | None, certainty: float) -> Field | None:
    """What the CRF starts from; None if nothing is given yet. Raises CaffeError for files that do not fit."""
    assert visit.canvas is not None
    height, width = visit.canvas.photograph.shape[:2]
    if kind == "Scribbles":
        drawn = uploads.scribbles(visit.strokes, *visit.canvas.image.shape[:2])
        # With one label there is nothing to choose.
        return visit.canvas.of_labels(drawn, certainty) if len(np.setdiff1d(drawn, VOID)) > 1 else None
    if file is None:
        return None
    if kind == "Mask":
        return visit.canvas.of_labels(uploads.mask(file, height, width), certainty)
    return visit.canvas.of_probabilities(uploads.probabilities(file, MAX_SCORES))


def _inputs_of(kind: str) -> list[Any]:
    return [
        gr.HTML(visible=kind == "Scribbles"),
        gr.File(visible=kind == "Mask"),
        gr.File(visible=kind == "Probabilities"),
        gr.Slider(visible=kind != "Probabilities"),
    ]


def _sheet(visit: OwnVisit) -> dict[str, Any]:
    """What scribble.js draws on."""
    assert visit.canvas is not None
    classes = label_classes(4)
    colours = class_palette(classes)
    colours[0] = np.array([255, 255, 255])
    return {
        "photograph": jpeg_url(visit.canvas.image),
        "labels": [{"name": name, "colour": colours[i].tolist()} for i, name in enumerate(classes.names)],
        "strokes": visit.strokes,
    }
