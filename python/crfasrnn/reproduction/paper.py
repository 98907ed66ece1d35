"""The paper's own numbers (Zheng et al. 2015), to stand beside ours; on the reduced validation set of PASCAL VOC 2012."""

from __future__ import annotations

# Table 1, mean IU in per cent: trained on VOC 2012 and SBD, and on these and COCO.
TABLE_1 = {
    "fcn8s": (61.3, 68.3),
    "fcn8s-dense": (63.7, 69.5),
    "crfrnn": (69.6, 72.9),
}
TABLE_1_SOURCE = "Table 1 (reduced validation set of VOC 2012, 346 images, 21 classes)"

# Section 7.1, in percentage points of mean IU.
SECTION_7_1 = {
    "per-class": "different weights for the classes: +1.8",
    "per-class-full": "asymmetric compatibility transform on top of that: +0.9",
    "crf-only": "learning the CRF alone: +1 over its start; end to end: +3.4",
    "train-t10": "T = 10 in training, too: -0.7",
    "test-t10": "T = 10 in testing after T = 5 in training: +0.2",
    "untied": "every iteration with parameters of its own: 70.9 mean IU instead of 72.9",
}
