"""A model's class probabilities for the images of a data set, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caffe.errors import CaffeError, FileError
from caffe.files import make_folder
from crfasrnn.claims import claim
from crfasrnn.many import Failure, FatalError, cannot_be_written, each
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
    examples: Sequence[LabelledImage],
    folder: Path,
    model: str,
    segmenter: Callable[[], Segmenter],
    limit: int,
    processes: int | None = 1,
) -> list[Sample]:
    """The images with probabilities by a model, float16 files <name>.npy in `folder`; those that are missing are computed.

    model: identifies the model (see claims.digest); the folder remembers it.
    segmenter: makes the model, if it is needed.
    limit: bytes that the folder may take.
    processes: to share the images among; None takes crfasrnn.many.best_number.

    Raises CaffeError for the first image that cannot be read, and if the
    folder is another model's or would become larger than the limit.
    """
    make_folder(folder)
    claim(folder / "model.json", model, "the probabilities in {where} are of another model; give another folder")
    samples = [Sample(example, folder / f"{example.name}.npy") for example in examples]
    missing = [sample for sample in samples if not sample.probabilities.is_file()]
    size = sum(sample.probabilities.stat().st_size for sample in samples if sample.probabilities.is_file())
    if missing:
        too_much = (
            f"the probabilities of {len(samples)} images need more than {limit >> 20} MiB in {str(folder)!r}: raise the limit or "
            "take fewer images"
        )
        work = _Making(segmenter(), limit - size, too_much)
        with closing(each(work, missing, processes, what="probabilities")) as results:
            for _, written in results:
                if isinstance(written, Failure):
                    raise CaffeError(written.reason)
                size += written
                if size > limit:
                    raise CaffeError(too_much)
    return samples


@dataclass(frozen=True)
class _Making:
    """What is done with every image: its probabilities are written, unless they alone have no room, in bytes."""

    segmenter: Segmenter
    room: int
    too_much: str

    def __call__(self, sample: Sample) -> int:
        """How many bytes were written."""
        probabilities = self.segmenter.segment(sample.example.image(), probabilities=True).probabilities
        assert probabilities is not None
        size = 2 * probabilities.size
        if size > self.room:
            raise FatalError(self.too_much)
        with cannot_be_written():
            make_folder(sample.probabilities.parent)
            write_probabilities(sample.probabilities, probabilities)
        return size
