"""What a loss is divided by, in old words and new."""

from __future__ import annotations

import numpy as np
import pytest
from support.caffe.layer_options import LABELS, MATRIX, RANDOM, SCORES, run

pytestmark = pytest.mark.usefixtures("compute")


@pytest.mark.parametrize("layer_type", ["SigmoidCrossEntropyLoss", "InfogainLoss"])
def test_normalize_is_the_old_word_for_normalization(layer_type: str) -> None:
    layer = f'layer {{{{ type: "{layer_type}" bottom: "s" bottom: "y"%s top: "l" loss_param {{{{ ignore_label: 1 {{}} }}}} }}}}'
    layer = layer % (' bottom: "h"' if layer_type == "InfogainLoss" else "")
    inputs = {"s": SCORES, "y": LABELS}
    if layer_type == "InfogainLoss":
        inputs["h"] = MATRIX[None, None]
    else:
        inputs["y"] = RANDOM.integers(0, 2, SCORES.shape).astype(np.float32)
    for old, new in (("normalize: true", "normalization: VALID"), ("normalize: false", "normalization: BATCH_SIZE")):
        assert run(layer.format(old), inputs)["l"] == run(layer.format(new), inputs)["l"]
    assert run(layer.format("normalize: true"), inputs)["l"] != run(layer.format("normalize: false"), inputs)["l"]
