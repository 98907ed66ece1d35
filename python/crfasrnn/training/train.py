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
from caffe.net.net import Net
from caffe.solver.signals import STOP, Signals
from caffe.solver.solver import Event, Solver, get_solver
from crfasrnn.claims import alone_in
from crfasrnn.classes import Classes
from crfasrnn.datasets.databases import check_labels, count_entries, require_databases
from crfasrnn.figures.curves import draw_training, read_curves
from crfasrnn.networks import recipes
from crfasrnn.training import initial_weights, monitors, score_cache, snapshots
from crfasrnn.training.crf_watch import CrfWatch, has_crf
from crfasrnn.training.definitions import write_definitions
from crfasrnn.training.job import Job, find_classes
from crfasrnn.training.limits import StoppedError
from crfasrnn.training.note import check_note, lengthens, planned_steps, require_weights, write_note
from crfasrnn.training.progress import Progress, say
from crfasrnn.training.summary import opening

logger = signed("crfasrnn.py")


def train(job: Job, stop: Callable[[], bool] | None = None, show: Callable[[str], object] = say) -> None:
    """Train as the job says, or go on with it, or lengthen it, to its end.

    stop: asked after every step whether to take a snapshot and stop. show: gets one line now and then.
    Raises StoppedError when `stop` said so and KeyboardInterrupt after SIGINT, SIGHUP or SIGTERM: the same call goes on from the
    snapshot that was taken. Raises CaffeError if something is missing or does not fit, the folder holds another training, or
    another process trains there.
    """
    recipes.recipe(job.recipe)  # a mistyped name is told before the data are read
    if job.weights is not None:
        require_weights(job.weights)
    require_databases(job.train_folder)
    classes = job.classes or find_classes(job)
    make_folder(job.output)
    with alone_in(job.output):
        _train(job, classes, stop, show)


def write_untrained(job: Job) -> None:
    """Write the job's network with the weights that it would start from, as its result. Raises CaffeError as train does."""
    recipes.recipe(job.recipe)
    classes = job.classes or find_classes(job)
    make_folder(job.output)
    with alone_in(job.output):
        write_definitions(job, classes)
        net = Net(str(job.deploy), mode.TEST)
        initial_weights.load(net, job, classes)
        net.save(str(job.final))


def _train(job: Job, classes: Classes, stop: Callable[[], bool] | None, show: Callable[[str], object]) -> None:
    checked = check_note(job, classes)
    longer = lengthens(job)
    if job.final.is_file() and not longer:
        show(f"{job.final} is there already, of {planned_steps(job)} steps")
        return
    for folder in job.folders:
        check_labels(folder, classes.names)
    solver_file = write_definitions(job, classes)
    with mode.precision(job.precision), _log_file(job.output / "train.log"), json_log(str(job.log)) as write:
        solver = get_solver(str(solver_file))
        solver.save_memory()
        validation = monitors.Validation(solver, classes.names) if solver.test_nets else None
        resumed = snapshots.resume(solver, job.output)
        if not resumed:
            if job.resumed or longer:
                raise CaffeError(
                    f"{job.output} holds no whole snapshot to go on from: give --weights or --scratch to begin again"
                )
            initial_weights.load(solver.net, job, classes)
        if longer and job.final.is_file():
            show(f"the result so far is kept as {snapshots.set_aside(job.final, solver.iter)}")
        write_note(job, checked, solver.iter)  # not before there is something to go on with
        lines = [*opening(job, classes, solver, resumed), *score_cache.keep(solver, job)]
        _solve(solver, validation, job, lines, write, stop, show)
    snapshots.finish(solver, job.final)
    show(f"{job.final}")
    del solver, validation
    gc.collect()  # nets are rings of references: hundreds of megabytes that the next training needs


def _solve(
    solver: Solver,
    validation: monitors.Validation | None,
    job: Job,
    opening_lines: list[str],
    write: Callable[[Event], None],
    stop: Callable[[], bool] | None,
    show: Callable[[str], object],
) -> None:
    actions: set[str] = set()
    flat = monitors.FlatLoss()

    def asked() -> str:
        actions.add(action := signalled())
        return STOP if stop is not None and stop() else action

    def tested(event: Event) -> None:
        write(event)
        bar.tested(event["mean_iu"])
        where = f"{event['images']} images of {job.val_folder}"
        show(f"step {event['iteration']}: mean IU {100 * event['mean_iu']:.1f} % on {where}")

    def told(event: Event) -> None:
        write(event)
        if event["event"] == "snapshot":
            snapshots.prune(job.output)
        if event["event"] == "train" and watch is not None:
            watch.note(event["iteration"])

    def stepped(loss: float) -> None:
        flat.add(loss)
        bar.step(solver.iter + 1, loss)

    with (
        Signals({"SIGINT": STOP, "SIGHUP": STOP, "SIGTERM": STOP}) as signalled,
        Progress(solver.param.max_iter, solver.iter, _Picture(job).draw) as bar,
    ):
        for line in opening_lines:
            show(line)
        solver.requested_action = asked
        solver.add_listener(told)
        if validation is not None:
            validation.begin(tested)
        monitors.NumberCheck(solver, stepped)
        watch = CrfWatch(solver.net, job, write) if has_crf(solver.net) else None
        began = time.monotonic()
        solver.solve()
        if validation is not None and not solver.stopped_early:
            validation.on_all(count_entries(job.val_folder))
        write({"event": "session", "iteration": solver.iter, "seconds": time.monotonic() - began})
        if watch is not None and not solver.stopped_early:
            show(watch.end(solver.iter))
        bar.draw()
    if solver.stopped_early and solver.iter == solver.param.max_iter:
        show("stopped after the last step; the same command tests and ends it")
    elif solver.stopped_early:
        show(f"stopped at step {solver.iter} of {solver.param.max_iter}; the same command goes on from there")
    if solver.stopped_early:
        raise KeyboardInterrupt if STOP in actions else StoppedError


class _Picture:
    """The curves so far, drawn; a training does not end because that fails, and says it once."""

    def __init__(self, job: Job) -> None:
        self._job, self._failed = job, False

    def draw(self) -> None:
        try:
            draw_training(self._job.output / "training.png", [(self._job.recipe, read_curves(self._job.log))])
        except CaffeError as problem:
            if not self._failed:
                logger.warning("No picture of the curves: %s", problem)
            self._failed = True


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
