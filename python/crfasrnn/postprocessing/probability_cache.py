"""A model's class probabilities for the images of a data set, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder
from caffe.logs.progress_bar import progress
from crfasrnn.claims import claim
from crfasrnn.postprocessing.probabilities import ENDINGS, write_probabilities
from crfasrnn.postprocessing.search import LabelledImage, Sample

if TYPE_CHECKING:
    from crfasrnn.segmentation.segmenter import Segmenter


def given(examples: Sequence[LabelledImage], folder: Path) -> list[Sample]:
    """The images with the files <name>.npy, <name>.npz or, as `crfasrnn segment` writes them, <name>_probabilities.npy.

    Raises CaffeError for the first without one.
    """
    samples = []
    for example in examples:
        files = [folder / f"{example.name}{end}" for end in ENDINGS]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            raise FileError(
                f"no probabilities for {example.name!r}: {str(files[0])!r} is missing (or .npz, or _probabilities.npy)"
            )
        samples.append(Sample(example, found))
    return samples


def cached(
    examples: Sequence[LabelledImage], folder: Path, model: str, segmenter: Callable[[], Segmenter], limit: int
) -> list[Sample]:
    """The images with probabilities by a model, float16 files <name>.npy in `folder`; those that are missing are computed.

    model: identifies the model (see claims.digest); the folder remembers it.
    segmenter: makes the model, if it is needed.
    limit: bytes that the folder may take.

    Raises CaffeError if the folder is another model's or would become larger than the limit.
    """
    make_folder(folder)
    claim(folder / "model.json", model, "the probabilities in {where} are of another model; give another folder")
    samples = [Sample(example, folder / f"{example.name}.npy") for example in examples]
    missing = [sample for sample in samples if not sample.probabilities.is_file()]
    size = sum(sample.probabilities.stat().st_size for sample in samples if sample.probabilities.is_file())
    made = segmenter() if missing else None
    for sample in progress(missing, what="probabilities", unit="image"):
        assert made is not None
        probabilities = made.segment(sample.example.image(), probabilities=True).probabilities
        assert probabilities is not None
        size += 2 * probabilities.size
        if size > limit:
            raise CaffeError(
                f"the probabilities of {len(samples)} images need more than {limit >> 20} MiB in {str(folder)!r}: raise the "
                "limit or take fewer images"
            )
        make_folder(sample.probabilities.parent)
        write_probabilities(sample.probabilities, probabilities)
    return samples
