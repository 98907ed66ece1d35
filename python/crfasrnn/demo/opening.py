"""What the page opens with: the first sample and what the model's own settings give, computed once for all visitors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crfasrnn.demo.answers import Answer, answer
from crfasrnn.demo.controls import Controls
from crfasrnn.demo.fields import Deadline, Field


class Opening:
    """Remembers the field and the answer of one photograph, and nothing of any other.

    photograph: H x W x 3 uint8 BGR. Threads that ask at the same time may compute the same twice.
    """

    def __init__(self, photograph: np.ndarray) -> None:
        self._photograph = photograph
        self._field: Field | None = None
        self._answer: Answer | None = None

    def field(self, photograph: np.ndarray, compute: Callable[[np.ndarray], Field]) -> Field:
        """What `compute` gives for a photograph."""
        if not np.array_equal(photograph, self._photograph):
            return compute(photograph)
        if self._field is None:
            self._field = compute(photograph)
        return self._field

    def answer(self, field: Field, controls: Controls, deadline: Deadline) -> Answer:
        """As crfasrnn.demo.answers.answer."""
        if field is not self._field or controls != field.controls:
            return answer(field, controls, deadline)
        if self._answer is None:
            self._answer = answer(field, controls, deadline)
        return self._answer
