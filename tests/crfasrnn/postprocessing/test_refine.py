"""Refining one file: against the same CRF called by hand, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe.errors import CaffeError
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import photographs_in
from crfasrnn.postprocessing.probabilities import read_probabilities
from crfasrnn.postprocessing.refine import Refinement, pairs, refine_folder
from crfasrnn.postprocessing.search import Sample
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.utils import unary_from_softmax


def test_probabilities_are_refined_with_the_settings_given(samples: list[Sample], tmp_path: Path) -> None:
    example, probabilities = samples[0].example, samples[0].probabilities
    for settings in (CrfSettings(), CrfSettings((2.0, 1.0), (20.0, 30.0, 4.0), 5)):
        Refinement(settings).refine(tmp_path / "images" / f"{example.name}.png", probabilities, tmp_path / "o.png")
        expected = settings.labels(example.image(), unary_from_softmax(read_probabilities(probabilities)))
        np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), expected)


def test_labels_are_right_with_the_certainty_given(samples: list[Sample], tmp_path: Path) -> None:
    """Without iterations they stay; unknown ones become the first of equals."""
    picture = tmp_path / "images" / "disc0.png"
    labels = samples[0].example.labels()
    settings = CrfSettings(iterations=0)
    Refinement(settings).refine(picture, tmp_path / "masks" / "disc0.png", tmp_path / "o.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), np.where(labels == 255, 0, labels))
    Refinement(settings, certainty=0.1).refine(picture, tmp_path / "masks" / "disc0.png", tmp_path / "o.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), np.where(labels == 255, 0, 1 - labels))


def test_the_photograph_is_turned_as_segment_turns_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "p.jpg", exif=exif)
    write_labels(tmp_path / "upright.png", np.ones((32, 24), np.uint8))
    Refinement().refine(tmp_path / "p.jpg", tmp_path / "upright.png", tmp_path / "o.png")
    assert read_labels(tmp_path / "o.png").shape == (32, 24)
    with pytest.raises(CaffeError, match="as stored; --exif apply turns it"):
        Refinement(upright=False).refine(tmp_path / "p.jpg", tmp_path / "upright.png", tmp_path / "o.png")


def test_what_does_not_fit_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    picture, mask, output = tmp_path / "images" / "disc0.png", tmp_path / "masks" / "disc0.png", tmp_path / "o.png"
    write_labels(tmp_path / "small.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(CaffeError, match=r"small.png' is 4 x 6, but the photograph .* is 24 x 32"):
        Refinement().refine(picture, tmp_path / "small.png", output)
    write_labels(tmp_path / "three.png", np.full((24, 32), 3, np.uint8))
    with pytest.raises(CaffeError, match="has the label 3, but there are 2 classes"):
        Refinement(classes=2).refine(picture, tmp_path / "three.png", output)
    with pytest.raises(CaffeError, match="gt_prob must be in"):
        Refinement(certainty=1.0).refine(picture, mask, output)
    with pytest.raises(CaffeError, match=r"has probabilities of 2 classes, but there are 3"):
        Refinement(classes=3).refine(picture, samples[0].probabilities, output)
    np.save(tmp_path / "last.npy", np.moveaxis(read_probabilities(samples[0].probabilities), 0, 2))
    for how, words in (
        (Refinement(), "is 32 x 2, but the photograph .* is 24 x 32"),
        (Refinement(classes=2), "of 24 classes"),
    ):
        with pytest.raises(CaffeError, match=rf"{words}.*: if that is H x W x C, save numpy.moveaxis"):
            how.refine(picture, tmp_path / "last.npy", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("values", "words"), [((0, 255), "if it marks an object, save that as 1"), ((255, 255), "nothing to start from")]
)
def test_label_maps_whose_result_would_be_one_label_are_refused(
    samples: list[Sample], tmp_path: Path, values: tuple[int, int], words: str
) -> None:
    picture, output = tmp_path / "images" / "disc0.png", tmp_path / "o.png"
    mask = np.where(np.arange(32) < 10, *values)[None].repeat(24, 0).astype(np.uint8)
    write_labels(tmp_path / "mask.png", mask)
    with pytest.raises(CaffeError, match=words):
        Refinement().refine(picture, tmp_path / "mask.png", output)
    assert not output.exists()


def test_a_label_map_of_background_alone_stays_so(samples: list[Sample], tmp_path: Path) -> None:
    """As one of many pictures may be that show none of the objects; with void only if the classes are counted."""
    picture, mask = tmp_path / "images" / "disc0.png", np.zeros((24, 32), np.uint8)
    for classes in (None, 3):
        write_labels(tmp_path / "mask.png", mask)
        Refinement(classes=classes).refine(picture, tmp_path / "mask.png", tmp_path / "o.png")
        assert not read_labels(tmp_path / "o.png").any()
        mask[:3] = 255


def test_a_void_of_ones_own_is_unknown_and_never_given(samples: list[Sample], tmp_path: Path) -> None:
    picture = tmp_path / "images" / "disc0.png"
    labels = samples[0].example.labels()
    own = np.where(labels == 255, 1, np.where(labels == 1, 2, 0)).astype(np.uint8)
    own[:4] = 1
    write_labels(tmp_path / "own.png", own)
    Refinement(void=1).refine(picture, tmp_path / "own.png", tmp_path / "o.png")
    standard = np.where(own == 1, 255, own // 2).astype(np.uint8)
    write_labels(tmp_path / "standard.png", standard)
    Refinement(certainty=0.7).refine(picture, tmp_path / "standard.png", tmp_path / "s.png")
    found = read_labels(tmp_path / "o.png")
    assert set(np.unique(found)) == {0, 2}
    assert (found // 2 == read_labels(tmp_path / "s.png")).mean() > 0.99
    write_labels(tmp_path / "own.png", own // 2 * 2)
    with pytest.raises(CaffeError, match="holds nothing but 0 and 2 and 255, and 2 and 255 means"):
        Refinement(void=2).refine(picture, tmp_path / "own.png", tmp_path / "x.png")


def test_folders_are_refined_file_by_file(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, masks, output = tmp_path / "images", tmp_path / "masks", tmp_path / "out"
    (masks / "disc1.png").rename(masks / "disc1_labels.png")
    np.save(masks / "disc2_probabilities.npy", read_probabilities(samples[2].probabilities))
    write_labels(masks / "disc3.png", np.zeros((3, 3), np.uint8))
    (masks / "disc5.png").unlink()
    assert refine_folder(Refinement(), photographs_in(images), masks, output) == 1
    out, err = capsys.readouterr()
    assert sorted(path.name for path in output.iterdir()) == ["disc0.png", "disc1.png", "disc2.png", "disc4.png"]
    assert out.count(" -> ") == 4
    assert "disc3.png' is 3 x 3, but the photograph" in err
    assert "note: nothing in " in err
    assert "for 1 photograph, e.g. " in err
    Refinement().refine(images / "disc2.png", samples[2].probabilities, tmp_path / "o.png")
    np.testing.assert_array_equal(read_labels(output / "disc2.png"), read_labels(tmp_path / "o.png"))
    with pytest.raises(CaffeError, match=r"disc0.png' would be overwritten, which is to be read"):
        refine_folder(Refinement(), photographs_in(images), masks, masks)


def test_what_belongs_together_has_one_name(tmp_path: Path) -> None:
    images = [tmp_path / "a.jpg", tmp_path / "b.png"]
    with pytest.raises(CaffeError, match="belongs to one of 2 photographs"):
        pairs(images, tmp_path)
    for path in images:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    (tmp_path / "predictions").mkdir()
    for name in ("a.npy", "a.png", "a_overlay.png"):
        (tmp_path / "predictions" / name).touch()
    assert pairs(images, tmp_path / "predictions") == ([(images[0], tmp_path / "predictions" / "a.npy")], [images[1]])


def test_scores_go_through_the_softmax(samples: list[Sample], tmp_path: Path) -> None:
    picture, probabilities = tmp_path / "images" / "disc0.png", read_probabilities(samples[0].probabilities)
    np.save(tmp_path / "scores.npy", np.log(probabilities.clip(1e-6)) + 7)
    settings = CrfSettings(iterations=3)
    Refinement(settings, scores=True).refine(picture, tmp_path / "scores.npy", tmp_path / "o.png")
    Refinement(settings).refine(picture, samples[0].probabilities, tmp_path / "p.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), read_labels(tmp_path / "p.png"))
    with pytest.raises(CaffeError, match=r"values outside 0 to 1.*--scores"):
        Refinement().refine(picture, tmp_path / "scores.npy", tmp_path / "x.png")


def test_what_probabilities_sum_to_does_not_matter(samples: list[Sample], tmp_path: Path) -> None:
    picture, probabilities = tmp_path / "images" / "disc0.png", read_probabilities(samples[0].probabilities)
    np.save(tmp_path / "less.npy", probabilities * np.linspace(0.1, 1, 24, dtype=np.float32)[:, None])
    for name, given in (("o.png", samples[0].probabilities), ("less.png", tmp_path / "less.npy")):
        Refinement(CrfSettings(iterations=3)).refine(picture, given, tmp_path / name)
    np.testing.assert_array_equal(read_labels(tmp_path / "less.png"), read_labels(tmp_path / "o.png"))


def test_activation_maps_become_the_labels_they_are_called_by(samples: list[Sample], tmp_path: Path) -> None:
    """With a background of their own, or (1 - the largest of the others) to a power."""
    picture, example = tmp_path / "images" / "disc0.png", samples[0].example
    disc = read_probabilities(samples[0].probabilities)[1]
    settings = CrfSettings(iterations=2)
    np.savez(tmp_path / "maps.npz", **{"15": disc, "8": disc / 2})
    Refinement(settings, background=2.0).refine(picture, tmp_path / "maps.npz", tmp_path / "o.png")
    planes = np.stack([(1 - disc) ** 2, disc / 2, disc])
    expected = np.array([0, 8, 15])[settings.labels(example.image(), unary_from_softmax(planes))]
    np.testing.assert_array_equal(read_labels(tmp_path / "o.png"), expected)
    assert set(np.unique(expected)) == {0, 15}
    np.savez(tmp_path / "own.npz", **{"0": planes[0], "8": planes[1], "15": planes[2]})
    Refinement(settings).refine(picture, tmp_path / "own.npz", tmp_path / "p.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "p.png"), expected)
    for how, words in (
        (Refinement(classes=15), "a map for label 15, but there are 15 classes"),
        (Refinement(void=8), "a map for label 8, which means unknown"),
        (Refinement(scores=True), "activation maps, which are no scores"),
    ):
        with pytest.raises(CaffeError, match=words):
            how.refine(picture, tmp_path / "maps.npz", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_processes_parts_and_what_is_done(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, given = photographs_in(tmp_path / "images"), tmp_path / "probabilities"
    assert refine_folder(Refinement(), images, given, tmp_path / "1", processes=1) == 0
    for number in (1, 2):
        assert refine_folder(Refinement(), images, given, tmp_path / "2", processes=2, part=(number, 2)) == 0
        assert len(list((tmp_path / "2").iterdir())) == 3 * number
    capsys.readouterr()
    results = [tmp_path / "2" / f"{path.stem}.png" for path in images]
    for result in results:
        assert result.read_bytes() == (tmp_path / "1" / result.name).read_bytes()
    before = [path.stat().st_mtime_ns for path in results]
    assert refine_folder(Refinement(), images, given, tmp_path / "2") == 0
    assert [path.stat().st_mtime_ns for path in results] == before
    assert capsys.readouterr().out.startswith("6 images of 6 done already")
    np.save(given / "disc2.npy", read_probabilities(given / "disc2.npy")[:, ::-1])
    assert refine_folder(Refinement(), images, given, tmp_path / "2") == 0
    assert [path.stem for path, then in zip(results, before) if path.stat().st_mtime_ns != then] == ["disc2"]
    assert refine_folder(Refinement(CrfSettings(iterations=1)), images, given, tmp_path / "2") == 0
    assert all(path.stat().st_mtime_ns != then for path, then in zip(results, before))
