"""Labelled data sets on disk, in the formats in which they are published: photographs with label maps, and their classes.

Every reader gives a Dataset: its examples are read from disk one by one, and every label map comes as H x W uint8 with the
classes 0 .. C-1 and 255 where nothing counts, whatever the format. Dataset.select and Dataset.without_zero renumber them.
"""

from __future__ import annotations

from crfasrnn.datasets.context import pascal_context
from crfasrnn.datasets.example import Dataset, Example, select_classes
from crfasrnn.datasets.folder import folder
from crfasrnn.datasets.sbd import sbd, voc_and_sbd
from crfasrnn.datasets.voc import voc, voc_list

__all__ = [
    "Dataset",
    "Example",
    "folder",
    "pascal_context",
    "sbd",
    "select_classes",
    "voc",
    "voc_and_sbd",
    "voc_list",
]
