"""The files that a training is defined by: train, val, deploy and solver prototxt, and classes.txt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffe import mode
from caffe.files import write_text
from crfasrnn.classes import Classes, write_classes
from crfasrnn.datasets.databases import count_entries, have_databases
from crfasrnn.networks import recipes
from crfasrnn.training.job import NAMES, Job
from crfasrnn.training.note import planned_steps, starts_from_scratch
from crfasrnn.training.snapshots import PREFIX

_TESTS = 10  # during a training
# Of the images for such a test: at least so many, and at most so many for each step since the last one. As a step costs three times
# what a forward pass does, tests then take at most a quarter of the training's time.
_FEWEST, _PER_STEP = 10, 0.75


def write_definitions(job: Job, classes: Classes) -> Path:
    """Write them into the job's folder, the val net only if there are databases for it; returns the solver's path.

    Raises CaffeError if there is no such recipe.
    """
    recipe = recipes.recipe(job.recipe)
    count, validated = len(classes), have_databases(job.val_folder)
    nets = {
        "train": recipes.train_net(recipe, count, job.options, str(job.train_folder)),
        "deploy": recipes.deploy_net(recipe, count, job.options),
    }
    if validated:
        nets["val"] = recipes.val_net(recipe, count, job.options, str(job.val_folder))
    if starts_from_scratch(job):
        _fill_randomly(nets["train"])
    write_classes(job.output / NAMES, classes.names)
    for name, message in {**nets, "solver": _solver(job, recipe, validated)}.items():
        heading = f"# Written by `crfasrnn train {job.recipe}`.\n"
        write_text(job.output / f"{name}.prototxt", heading + text_format.MessageToString(message))
    return job.output / "solver.prototxt"


def _solver(job: Job, recipe: recipes.Recipe, validated: bool) -> Any:
    """The recipe's SolverParameter with the job's files, rate, length, seed and device."""
    steps, rate = planned_steps(job), job.learning_rate or recipe.base_lr
    solver = recipe.solver(str(job.output / "net"), str(job.output / PREFIX), rate, steps)
    solver.train_net = str(job.output / "train.prototxt")
    del solver.test_net[:], solver.test_iter[:]
    solver.ClearField("test_interval")
    if validated:
        solver.test_net.append(str(job.output / "val.prototxt"))
        solver.test_interval = job.test_interval or max(1, steps // _TESTS)
        affordable = job.test_images or max(_FEWEST, int(_PER_STEP * solver.test_interval))
        solver.test_iter.append(min(count_entries(job.val_folder), affordable))
    solver.snapshot = job.snapshot_interval or min(solver.snapshot, max(1, steps // 2))
    solver.random_seed = job.seed
    solver.solver_mode = solver.GPU if mode.device().type == "cuda" else solver.CPU
    return solver


def _fill_randomly(net: Any) -> None:
    """Let a net be trained from nothing: convolutions that have no filler get one, and none keeps its random weights."""
    for layer in net.layer:
        if layer.type != "Convolution":
            continue
        if not layer.convolution_param.HasField("weight_filler"):
            layer.convolution_param.weight_filler.type = "msra"
        for param, rate in zip(layer.param, (1, 2)):
            param.lr_mult = param.lr_mult or rate
