"""One training from its recipe to its final weights, resumed where it was interrupted."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe import mode
from caffe.errors import CaffeError
from caffe.files import make_folder
from caffe.logs.glog import GlogFormatter, signed
from caffe.logs.glog import logger as caffe_log
from caffe.logs.json_log import json_log
from caffe.logs.log_files import TroubleOnce
from caffe.logs.progress_bar import progress_bar
from caffe.solver.signals import STOP, Signals
from caffe.solver.solver import Event, Solver, get_solver
from crfasrnn.claims import alone_in, check_claim, claim
from crfasrnn.classes import Classes, read_classes
from crfasrnn.datasets.databases import check_labels, require_databases
from crfasrnn.figures.curves import draw_training, read_curves
from crfasrnn.networks import recipes
from crfasrnn.training import initial_weights, monitors, snapshots
from crfasrnn.training.definitions import write_definitions
from crfasrnn.training.job import NOTE, Job, facts, find_classes

logger = signed("crfasrnn.py")

_REFUSAL = (
    "{where} holds another training: {fact} {there} there, {now} now. Give another --output, or remove that folder"
)


def say(line: str) -> None:
    """Print a line at once, also into a pipe that somebody watches."""
    print(line, flush=True)


def train(job: Job, stop: Callable[[], bool] | None = None, show: Callable[[str], object] = say) -> bool:
    """Train as the job says, or go on with it; returns whether it is done (False: stopped, the same call goes on).

    stop: asked after every iteration whether to take a snapshot and stop. show: gets one line now and then.
    Raises CaffeError if something is missing or does not fit, the folder holds another training, or another process trains there.
    """
    recipes.recipe(job.recipe)  # a mistyped name is told before the data are read
    require_databases(job.train_folder)
    classes = job.classes or find_classes(job.train_folder)
    make_folder(job.output)
    with alone_in(job.output):
        return _train(job, classes, stop, show)


def _train(job: Job, classes: Classes, stop: Callable[[], bool] | None, show: Callable[[str], object]) -> bool:
    note, trained = job.output / NOTE, facts(job, classes)
    check_claim(note, trained, _REFUSAL)
    if job.final.is_file():
        show(f"{job.final} is there already")
        return True
    _check_labels(job, classes)
    solver_file = write_definitions(job, classes)
    with mode.precision(job.precision), _log_file(job.output / "train.log"), json_log(str(job.log)) as write:
        solver = get_solver(str(solver_file))
        solver.save_memory()
        if not snapshots.resume(solver, job.output):
            if job.resumed:
                raise CaffeError(
                    f"{job.output} holds no whole snapshot to go on from: give --weights or --scratch to begin again"
                )
            initial_weights.load(solver.net, job, classes)
        claim(note, trained, _REFUSAL)  # not before there is something to go on with
        done = _solve(solver, job, classes, write, stop, show)
    if done:
        snapshots.finish(solver, job.final)
        show(f"{job.final}")
    del solver
    gc.collect()  # nets are rings of references: hundreds of megabytes that the next training needs
    return done


def _check_labels(job: Job, classes: Classes) -> None:
    """All that the labels could end the training with later, before its first step."""
    folders = [job.train_folder] + ([job.val_folder] if job.val_folder.is_dir() else [])
    for folder in folders:
        named = folder / "classes.txt"
        if named.is_file() and job.classes is None and read_classes(named).names != classes.names:
            raise CaffeError(
                f"{named} names other classes than {job.train_folder / named.name}: one list of classes for both"
            )
        check_labels(folder, classes.names)


def _solve(
    solver: Solver,
    job: Job,
    classes: Classes,
    write: Callable[[Event], None],
    stop: Callable[[], bool] | None,
    show: Callable[[str], object],
) -> bool:
    def note(event: Event) -> None:
        write(event)
        _plot(job)
        show(f"iteration {event['iteration']}: mean IU {100 * event['mean_iu']:.1f} % on {job.val_folder}")

    def told(event: Event) -> None:
        if event["event"] == "snapshot":
            snapshots.prune(job.output)

    with Signals({"SIGINT": STOP, "SIGHUP": STOP, "SIGTERM": STOP}) as signalled:
        if solver.iter:
            show(f"going on from iteration {solver.iter} of {solver.param.max_iter}")
        solver.requested_action = lambda: STOP if (stop is not None and stop()) else signalled()
        solver.add_listener(write)
        solver.add_listener(told)
        if solver.test_nets:
            monitors.Validation(solver, classes.names, note)
        monitors.NumberCheck(solver, monitors.FlatLoss())
        with progress_bar(solver.param.max_iter, solver.iter) as bar:
            solver.add_callback(lambda: bar(solver.iter), lambda: None)
            began = time.monotonic()
            solver.solve()
            write({"event": "session", "iteration": solver.iter, "seconds": time.monotonic() - began})
    if solver.stopped_early:
        show(f"stopped at iteration {solver.iter} of {solver.param.max_iter}; the same command goes on from there")
    return not solver.stopped_early


def _plot(job: Job) -> None:
    """Draw the curves so far; a training does not end because that fails."""
    try:
        draw_training(job.output / "training.png", [(job.recipe, read_curves(job.log))])
    except CaffeError as problem:
        logger.warning("No picture of the curves: %s", problem)


class _LogFile(TroubleOnce, logging.FileHandler):
    pass


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Write Caffe's log lines to a file, too, all of them."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(GlogFormatter())
    level, shown = caffe_log.level, [(other, other.level) for other in caffe_log.handlers]
    for other, _ in shown:
        other.setLevel(max(other.level, level))
    caffe_log.addHandler(handler)
    caffe_log.setLevel(logging.INFO)
    try:
        yield
    finally:
        caffe_log.removeHandler(handler)
        handler.close()
        caffe_log.setLevel(level)
        for other, previous in shown:
            other.setLevel(previous)
