"""What an output folder remembers of the training in it, so that no other goes on with it; it may be lengthened."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from caffe.errors import CaffeError, FileError
from caffe.files import write_text
from crfasrnn.claims import compare, digest, remembered
from crfasrnn.classes import Classes
from crfasrnn.datasets.databases import fingerprint
from crfasrnn.networks import recipes
from crfasrnn.training.job import Job
from crfasrnn.training.snapshots import snapshots

NOTE = "job.json"
_REFUSAL = (
    "{where} holds another training: {fact} {there} there, {now} now. Give another --output, or remove that folder"
)


def facts(job: Job, classes: Classes) -> dict[str, Any]:
    """What is remembered: all that decides the weights at the end, but for most of the images' content.

    Raises CaffeError if there is no such recipe or no file with the weights, or the note that is there is damaged.
    """
    there = _read(job)
    return {
        "recipe": job.recipe,
        "data": fingerprint(job.train_folder),
        "classes": list(classes.names),
        "weights": _read_for_resuming(job)["weights"] if job.resumed else _content(job.weights),
        "steps": planned_steps(job),
        "lengthened": [] if there is None else there["lengthened"],
        "seed": job.seed,
        "options": asdict(job.options),
        "precision": job.precision,
        "rates": _rates(job, recipes.recipe(job.recipe)),
        **({"scores": "float16"} if job.keeps_scores else {}),
    }


def require_weights(path: Path) -> None:
    """Raise CaffeError if there is no such file."""
    if not path.is_file():
        raise FileError(f"weights {str(path)!r} not found")


def planned_steps(job: Job) -> int:
    """How many steps the training has in the end. Raises CaffeError if there is no such recipe or the note is damaged."""
    there = _read(job)
    by_itself = recipes.recipe(job.recipe).steps if there is None else there["steps"]
    return job.steps or int(by_itself)


def lengthens(job: Job) -> bool:
    """Whether the folder's training is to have more steps than it had. Raises CaffeError if the note is damaged."""
    there = _read(job)
    return there is not None and planned_steps(job) > there["steps"]


def starts_from_scratch(job: Job) -> bool:
    """Whether it starts, or if it is resumed started, from random weights. Raises CaffeError for a damaged note of that."""
    return (_read_for_resuming(job)["weights"] if job.resumed else job.weights) is None


def check_note(job: Job, classes: Classes) -> dict[str, Any]:
    """Return the facts, or raise CaffeError if the folder holds another training; one of fewer steps is none."""
    now, there = facts(job, classes), _read(job)
    if there is not None:
        if there["weights"] != now["weights"]:
            raise FileError(
                f"{str(job.output)!r} holds a training that began with other weights: leave --weights and --scratch out to go "
                "on with it, or give another --output"
            )
        same_length = {"steps": there["steps"]} if lengthens(job) else {}
        compare(there, {**now, **same_length}, _REFUSAL, str(job.output))
    return now


def write_note(job: Job, checked: dict[str, Any], at: int) -> None:
    """Remember what check_note returned; of a training that gets longer, also at which step it was."""
    longer = [{"at": at, "steps": checked["steps"]}] if lengthens(job) else []
    now = {**checked, "lengthened": checked["lengthened"] + longer}
    write_text(job.output / NOTE, json.dumps(now, indent=1) + "\n")


def _read(job: Job) -> dict[str, Any] | None:
    """The note; None where nothing is left to go on with, or was ever made."""
    if not (job.output / NOTE).is_file() or not (job.final.is_file() or snapshots(job.output)):
        return None
    found = remembered(job.output / NOTE)
    if (
        isinstance(found, dict)
        and "weights" in found
        and isinstance(found.get("steps"), int)
        and isinstance(found.get("lengthened"), list)
    ):
        return found
    raise CaffeError(f"{job.output / NOTE} is no note of a training: give another --output, or remove that folder")


def _read_for_resuming(job: Job) -> dict[str, Any]:
    there = _read(job)
    if there is None:
        raise CaffeError(f"{job.output} holds no training to go on with: give --weights or --scratch")
    return there


def _rates(job: Job, recipe: recipes.Recipe) -> dict[str, Any]:
    """The job's rate, and the recipe's own numbers, which may change from one version to the next."""
    crf = {"crf_rates": list(recipe.crf_rates), "crf_start": asdict(recipe.crf_start)} if recipe.crf_rates else {}
    bandwidths = {"bandwidth_rate": recipe.bandwidth_rate} if job.options.variant.learn_bandwidths else {}
    return {"base_lr": job.learning_rate or recipe.base_lr, **crf, **bandwidths}


def _content(weights: Path | None) -> str | None:
    if weights is None:
        return None
    require_weights(weights)
    return digest(files=[weights])
