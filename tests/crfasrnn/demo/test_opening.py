"""What all visitors see first is computed once, and nothing else is remembered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from support.crfasrnn.models import CAT

from crfasrnn.demo.answers import answer, strip
from crfasrnn.demo.fields import Deadline, Field
from crfasrnn.demo.opening import Opening
from crfasrnn.demo.own import Canvas


def compute(photograph: np.ndarray) -> Field:
    labels = np.zeros(photograph.shape[:2], np.uint8)
    labels[40:80, 50:110] = 1
    return Canvas.of(photograph).of_labels(labels, 0.7)


def test_the_first_photograph_is_computed_once_and_others_each_time() -> None:
    opening, other = Opening(CAT), CAT[:, ::-1].copy()
    fields = [opening.field(photograph, compute) for photograph in (CAT, CAT.copy(), other, other)]
    assert fields[0] is fields[1]
    assert fields[2] is not fields[3]
    np.testing.assert_array_equal(fields[2].photograph, other)


def test_its_answer_is_kept_for_its_own_settings_alone() -> None:
    opening = Opening(CAT)
    field, other = opening.field(CAT, compute), compute(CAT)
    first, again = (opening.answer(field, field.controls, Deadline(60)) for _ in range(2))
    assert first is again
    assert strip(first, Deadline(60)) is strip(again, Deadline(-1))
    torch.testing.assert_close(first.scores, answer(field, field.controls, Deadline(60)).scores)
    for given, controls in ((field, replace(field.controls, iterations=2)), (other, field.controls)):
        found = opening.answer(given, controls, Deadline(60))
        assert found is not first
        assert found is not opening.answer(given, controls, Deadline(60))
        assert (found.field, found.controls) == (given, controls)
