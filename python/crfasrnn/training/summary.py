"""What a training says before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe.logs.glog import number
from caffe.logs.wording import counted
from caffe.solver.solver import Solver
from crfasrnn.classes import Classes
from crfasrnn.datasets.databases import count_entries
from crfasrnn.networks import recipes
from crfasrnn.training.job import Job

_NAMED = 8  # classes at most


def opening(job: Job, classes: Classes, solver: Solver, resumed: bool) -> Iterator[str]:
    """Lines that say what is trained, on what, and for how long. resumed: it goes on from a snapshot."""
    param = solver.param
    title = recipes.title(recipes.recipe(job.recipe), job.options)
    yield f"{job.recipe} ({title}): {len(classes)} classes, {_listed(classes.names)}"
    yield f"training on {count_entries(job.train_folder)} images of {job.train_folder}, one a step"
    if param.test_iter:
        total = count_entries(job.val_folder)
        on = "all" if param.test_iter[0] == total else f"{param.test_iter[0]} of"
        yield f"testing on {on} {total} images of {job.val_folder} every {param.test_interval} steps, on all at the end"
    else:
        yield f"no {job.val_folder}: no mean IU on the way"
    rate = f"learning rate {number(solver.lr)}"
    if resumed:
        yield f"going on from step {solver.iter} of {param.max_iter}, {rate}"
    else:
        yield f"{counted(param.max_iter, 'step')} from {job.weights or 'random weights'}, {rate}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
