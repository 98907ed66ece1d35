"""One training from its recipe to its final weights, resumed where it was interrupted."""

from __future__ import annotations

import gc
import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

from caffe import mode
from caffe.data.db import open_database
from caffe.errors import CaffeError
from caffe.files import atomic_path, write_text
from caffe.logs.glog import GlogFormatter, signed
from caffe.logs.glog import logger as caffe_log
from caffe.logs.json_log import json_log
from caffe.logs.progress_bar import progress_bar
from caffe.solver.signals import STOP, Signals
from caffe.solver.solver import Event, Solver, get_solver
from crfasrnn.datasets.databases import read_database
from crfasrnn.figures.cases import draw_training, read_curves
from crfasrnn.networks import recipes
from crfasrnn.pictures.label_maps import VOID
from crfasrnn.postprocessing.probability_cache import identity
from crfasrnn.segmentation.models import Classes, numbered_classes, read_classes, write_classes
from crfasrnn.training import initial_weights as start
from crfasrnn.training import monitors as watch

logger = signed("crfasrnn.py")

FINAL = "final.caffemodel"
_NOTE = "job.json"
_KEPT_SNAPSHOTS = 2
_TESTS = 10  # during a training


@dataclass(frozen=True)
class Job:
    """What is trained.

    data: folder with train/ and, for mean IU on the way, val/, each with image_lmdb, label_lmdb and perhaps classes.txt.
    output: folder for everything that the training writes.
    weights: to start from: a .caffemodel, .h5 or .npz with VGG-16's trunk; None for random ones.
    train: folder of the training databases, if it is not data/train.
    classes: of the labels, None to find them in the data.
    from_classes: for every class its number in a `weights` with other classes, None to go by names.
    iterations, test_interval, seed: None and 1 for the recipe's.
    precision: of the wide convolutions in training, "float32" or "bf16" (see caffe.mode.precision).
    """

    recipe: str
    data: Path
    output: Path
    weights: Path | None = None
    train: Path | None = None
    classes: Classes | None = None
    from_classes: tuple[int, ...] | None = None
    iterations: int | None = None
    test_interval: int | None = None
    seed: int = 1
    options: recipes.Options = field(default_factory=recipes.Options)
    precision: str = "float32"

    @property
    def train_folder(self) -> Path:
        """Where the training databases are."""
        return self.train or self.data / "train"

    @property
    def log(self) -> Path:
        """The JSON log."""
        return self.output / "log.jsonl"

    @property
    def final(self) -> Path:
        """The weights when all is done."""
        return self.output / FINAL

    @property
    def deploy(self) -> Path:
        """The definition of the network that segments."""
        return self.output / "deploy.prototxt"


def train(job: Job, stop: Callable[[], bool] | None = None, show: Callable[[str], object] = print) -> bool:
    """Train as the job says, or go on with it; returns whether it is done (False: stopped, the same call goes on).

    stop: asked after every iteration whether to take a snapshot and stop. show: gets one line now and then.
    Raises CaffeError if something is missing or does not fit, or the folder holds another training.
    """
    recipe = recipes.recipe(job.recipe)
    classes = job.classes or find_classes(job.train_folder)
    _require_databases(job.train_folder)
    facts = _check_claim(job, recipe, classes)
    if job.final.is_file():
        show(f"{job.final} is there already")
        return True
    solver_file = _write_definitions(job, recipe, classes)
    with mode.precision(job.precision), _log_file(job.output / "train.log"), json_log(str(job.log)) as write:
        solver = get_solver(str(solver_file))
        solver.save_memory()
        resumed = _resume(solver, job.output)
        if not resumed:
            _load_weights(solver, job, classes)
        write_text(job.output / _NOTE, json.dumps(facts, indent=1) + "\n")
        done = _solve(solver, job, classes, write, stop, show)
    if done:
        _finish(job, solver)
        show(f"{job.final}")
    del solver
    gc.collect()  # nets are rings of references: hundreds of megabytes that the next training needs
    return done


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
        show(f"iteration {event['iteration']}: mean IU {100 * event['mean_iu']:.1f} % on {job.data / 'val'}")

    def told(event: Event) -> None:
        if event["event"] == "snapshot":
            _prune(job.output)

    with Signals({"SIGINT": STOP, "SIGHUP": STOP}) as signalled:
        solver.requested_action = lambda: STOP if (stop is not None and stop()) else signalled()
        solver.add_listener(write)
        solver.add_listener(told)
        if solver.test_nets:
            watch.Validation(solver, classes.names, note)
        watch.NumberCheck(solver, watch.FlatLoss())
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
        draw_training(job.output / "training.png", {job.recipe: read_curves(job.log)})
    except CaffeError as problem:
        logger.warning("No picture of the curves: %s", problem)


def find_classes(folder: Path) -> Classes:
    """The classes of training databases: their classes.txt, else as many as the largest label says."""
    if (folder / "classes.txt").is_file():
        return read_classes(folder / "classes.txt")
    _require_databases(folder)
    largest = 0
    for _, labels in read_database(folder / "label_lmdb"):
        largest = max(largest, int(labels[labels != VOID].max(initial=0)))
    return numbered_classes(largest + 1)


def _require_databases(folder: Path) -> None:
    for name in ("image_lmdb", "label_lmdb"):
        if not (folder / name).is_dir():
            raise CaffeError(f"no database {str(folder / name)!r}: make it with `crfasrnn data lmdb --output {folder}`")


def entries(folder: Path) -> int:
    """How many images the databases in a folder hold."""
    return len(open_database(folder / "label_lmdb"))


def _check_claim(job: Job, recipe: recipes.Recipe, classes: Classes) -> dict[str, Any]:
    """What is trained, as the output folder remembers it; raises CaffeError if it remembers something else."""
    job.output.mkdir(parents=True, exist_ok=True)
    facts = {
        "recipe": job.recipe,
        "train": str(job.train_folder),
        "classes": list(classes.names),
        "weights": None if job.weights is None else _digest(job.weights),
        "iterations": job.iterations,
        "seed": job.seed,
        "options": asdict(job.options),
        "precision": job.precision,
        "rates": _rates(recipe),
    }
    note = job.output / _NOTE
    if not note.is_file():
        return facts
    found = json.loads(note.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if found.get(name) != value:
            raise CaffeError(
                f"{str(job.output)!r} holds another training: {name} {found.get(name)!r} there, {value!r} now. Give another "
                "--output, or remove that folder"
            )
    return facts


def _rates(recipe: recipes.Recipe) -> dict[str, Any]:
    """The recipe's own numbers, which may change from one version to the next."""
    crf = {"crf_rates": list(recipe.crf_rates), "crf_start": asdict(recipe.crf_start)} if recipe.crf_rates else {}
    return {"base_lr": recipe.base_lr, **crf}


def _digest(path: Path) -> str:
    if not path.is_file():
        raise CaffeError(f"weights {str(path)!r} not found")
    return identity(files=[path])


def _write_definitions(job: Job, recipe: recipes.Recipe, classes: Classes) -> Path:
    """Write train, val, deploy and solver prototxts and classes.txt; returns the solver's path."""
    count, validated = len(classes), (job.data / "val" / "label_lmdb").is_dir()
    nets = {
        "train": recipes.train_net(recipe, count, job.options, str(job.train_folder)),
        "deploy": recipes.deploy_net(recipe, count, job.options),
    }
    if validated:
        nets["val"] = recipes.val_net(recipe, count, job.options, str(job.data / "val"))
    if job.weights is None:
        _fill_randomly(nets["train"])
    limit = {} if job.iterations is None else {"max_iter": job.iterations}
    solver = recipe.solver(str(job.output / "net"), str(job.output / "snapshot"), recipe.base_lr, **limit)
    solver.train_net = str(job.output / "train.prototxt")
    del solver.test_net[:], solver.test_iter[:]
    solver.ClearField("test_interval")
    if validated:
        solver.test_net.append(str(job.output / "val.prototxt"))
        solver.test_iter.append(entries(job.data / "val"))
        solver.test_interval = job.test_interval or max(1, solver.max_iter // _TESTS)
    solver.snapshot = min(solver.snapshot, max(1, solver.max_iter // 2))
    solver.random_seed = job.seed
    solver.solver_mode = solver.GPU if mode.device().type == "cuda" else solver.CPU
    write_classes(job.output / "classes.txt", classes.names)
    for name, message in {**nets, "solver": solver}.items():
        heading = f"# Written by `crfasrnn train {job.recipe}`.\n"
        write_text(job.output / f"{name}.prototxt", heading + text_format.MessageToString(message))
    return job.output / "solver.prototxt"


def _fill_randomly(net: Any) -> None:
    """Let a net be trained from nothing: convolutions that have no filler get one, and none keeps its random weights."""
    for layer in net.layer:
        if layer.type != "Convolution":
            continue
        if not layer.convolution_param.HasField("weight_filler"):
            layer.convolution_param.weight_filler.type = "msra"
        for param, rate in zip(layer.param, (1, 2)):
            param.lr_mult = param.lr_mult or rate


def _load_weights(solver: Solver, job: Job, classes: Classes) -> None:
    if job.weights is None:
        start.initialize(solver.net)
        return
    kept = _kept(job, classes)
    if kept is None and job.weights.suffix != ".npz":
        solver.net.copy_from(job.weights)
        return
    with tempfile.TemporaryDirectory(prefix=".start.", dir=job.output) as folder:
        ready = Path(folder) / f"{job.weights.stem}.caffemodel.h5"
        start.convert(job.weights, ready, solver.net, kept)
        solver.net.copy_from(ready)


def _kept(job: Job, classes: Classes) -> list[int | None] | None:
    """Which class of the weights each of our classes is; None if they are the same or the weights know none."""
    assert job.weights is not None
    known = start.score_classes(job.weights)
    if known is None:
        return None
    if job.from_classes is not None:
        if len(job.from_classes) != len(classes) or max(job.from_classes) >= known:
            raise CaffeError(
                f"--from-classes needs {len(classes)} numbers below {known}, one for each of {', '.join(classes.names)}"
            )
        return list(job.from_classes)
    if known == len(classes):
        return None
    beside = job.weights.parent / "classes.txt"
    names = (read_classes(beside) if beside.is_file() else numbered_classes(known)).names
    kept = start.class_choice(classes.names, names)
    new = [name for name, source in zip(classes.names, kept) if source is None]
    if new:
        logger.warning("%s does not know %s: these classes start anew.", job.weights, ", ".join(new))
    return kept


def _snapshots(folder: Path) -> list[Path]:
    """The solver states, the newest first."""
    numbered = []
    for path in folder.glob("snapshot_iter_*.solverstate"):
        found = re.fullmatch(r"snapshot_iter_(\d+)", path.stem)
        if found:
            numbered.append((int(found[1]), path))
    return [path for _, path in sorted(numbered, reverse=True)]


def _resume(solver: Solver, folder: Path) -> bool:
    """Restore the newest snapshot that is whole; returns whether there was one."""
    for state in _snapshots(folder):
        try:
            solver.restore(state)
            return True
        except CaffeError as problem:
            logger.warning("%s is passed over: %s", state, problem)
    return False


def _prune(folder: Path) -> None:
    for state in _snapshots(folder)[_KEPT_SNAPSHOTS:]:
        for path in (state, state.with_suffix(".caffemodel")):
            with suppress(FileNotFoundError):
                path.unlink()


def _finish(job: Job, solver: Solver) -> None:
    """Name the last snapshot's weights as the result; the snapshots are needed no more."""
    last = f"{solver.param.snapshot_prefix}_iter_{solver.iter}.caffemodel"
    with atomic_path(job.final) as temporary:
        shutil.copyfile(last, temporary)
    for state in _snapshots(job.output):
        state.unlink()
        with suppress(FileNotFoundError):
            state.with_suffix(".caffemodel").unlink()


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Write Caffe's log lines to a file, too, all of them."""
    handler = logging.FileHandler(path, encoding="utf-8")
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


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads (None: as PyTorch is set)."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def budget(minutes: float | None) -> Callable[[], bool]:
    """Whether so many minutes have passed from now on (None: never)."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    return lambda: end is not None and time.monotonic() >= end


def speed(log: Path) -> float | None:
    """Iterations per second of a training, the median of what its log says; None without a log."""
    if not log.is_file():
        return None
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == "train" and event.get("iterations_per_second"):
                found.append(float(event["iterations_per_second"]))
    return float(np.median(found)) if found else None
