"""Segmenter prepares images as promised and gives the labels that the net's scores say."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from support.crfasrnn.models import Files, save_net, scores, with_crf
from support.reference_data import REPOSITORY
from support.warm import python

import caffe
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn import Segmenter
from crfasrnn.pictures.label_maps import read_labels, voc_palette
from crfasrnn.pictures.photographs import write_image

CAT = np.ascontiguousarray(skimage.data.cat()[..., ::-1])  # BGR, 300 x 451
MEAN = np.array([103.939, 116.779, 123.68], np.float32)


@pytest.fixture
def tiny(tmp_path: Path) -> Files:
    """A net with a CRF for three classes."""
    return save_net(tmp_path, with_crf)


def classic(files: Files, data: np.ndarray) -> np.ndarray:
    """Scores, C x H x W, the pycaffe way."""
    net = caffe.Net(str(files[0]), str(files[1]), caffe.TEST)
    net.blobs["data"].reshape(*data.shape)
    result: np.ndarray = net.forward_all(data=data)[net.outputs[0]][0]
    return result


def minus_mean(image: np.ndarray) -> np.ndarray:
    """1 x 3 x H x W."""
    return (image - MEAN).transpose(2, 0, 1)[None]


def test_native_size_gives_the_labels_of_the_classic_way(tiny: Files) -> None:
    segmenter = Segmenter(tiny[0], tiny[1])
    for image in (CAT, CAT[:33, :47], CAT[50:51, :7], CAT):
        result = segmenter.segment(image)
        assert result.labels.dtype == np.uint8
        np.testing.assert_array_equal(result.labels, classic(tiny, minus_mean(image)).argmax(0))
        assert result.probabilities is None
    assert len(segmenter.segment(CAT).present()) > 1


def test_layers_without_weights_are_told_and_nothing_else(tmp_path: Path, tiny: Files) -> None:
    """To who never asked for a log."""

    def more(n: NetSpec) -> Top:
        top = scores(n)
        n.late = L.Convolution(top, num_output=3, kernel_size=1)
        return n.late

    prototxt = save_net(tmp_path, more, "more")[0]
    for definition, lines in ((tiny[0], 0), (prototxt, 1)):
        program = f"import crfasrnn; crfasrnn.Segmenter({str(definition)!r}, {str(tiny[1])!r})"
        done = subprocess.run([python(), "-c", program], capture_output=True, text=True, check=True)
        assert done.stderr.count("has no weights for: late.") == lines
        assert len(done.stderr.splitlines()) == lines


def test_classes_that_matter_nowhere_may_be_left_out() -> None:
    exact, pruned = (Segmenter(size=128, min_probability=p).segment(CAT, probabilities=True) for p in (0, 1e-2))
    assert exact.probabilities is not None
    assert pruned.probabilities is not None
    assert not np.array_equal(exact.probabilities, pruned.probabilities)
    assert np.abs(exact.probabilities - pruned.probabilities).max() < 0.05
    assert (exact.labels != pruned.labels).mean() < 1e-3
    np.testing.assert_array_equal(
        Segmenter(size=128).segment(CAT, probabilities=True).probabilities, exact.probabilities
    )
    copy = pickle.loads(pickle.dumps(Segmenter(size=128, min_probability=1e-2)))
    np.testing.assert_array_equal(copy.segment(CAT, probabilities=True).probabilities, pruned.probabilities)
    with pytest.raises(ValueError, match="min_probability must be at least 0 and below 1, got 1"):
        Segmenter(min_probability=1)


def test_padding_is_the_released_demos(tiny: Files, tmp_path: Path) -> None:
    large = cv2.resize(CAT, (902, 600), interpolation=cv2.INTER_CUBIC)
    for name, image in (("small", CAT), ("large", large)):
        write_image(tmp_path / f"{name}.png", image)
        script = [python(), str(REPOSITORY / "scripts" / "segment.py"), str(tmp_path / f"{name}.png")]
        options = ["--prototxt", str(tiny[0]), "--weights", str(tiny[1]), "--output", str(tmp_path / f"{name}_out.png")]
        subprocess.run([*script, *options], check=True, capture_output=True)
        labels = Segmenter(tiny[0], tiny[1], pad=True).segment(image).labels
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}_out.png"), labels)
        assert labels.shape == image.shape[:2]
    padded, inner = Segmenter(tiny[0], tiny[1], pad=True).prepare(large)
    assert padded.shape == (1, 3, 500, 500)
    assert inner == (333, 500)
    assert not padded[:, :, 333:].any()
    assert padded[:, :, :333].any((0, 1)).all()


def test_padding_changes_what_a_crf_sees_only_through_the_border(tmp_path: Path) -> None:
    files = save_net(tmp_path, scores)
    padded = Segmenter(files[0], files[1], size=460, pad=True).segment(CAT).labels
    native = Segmenter(files[0], files[1]).segment(CAT).labels
    np.testing.assert_array_equal(padded, native)  # zeros are what a convolution pads with


def test_a_size_reduces_larger_images_only(tiny: Files) -> None:
    segmenter = Segmenter(tiny[0], tiny[1], size=100)
    reduced = cv2.resize(CAT, (100, 67), interpolation=cv2.INTER_AREA)
    scores = classic(tiny, minus_mean(reduced)).transpose(1, 2, 0)
    expected = cv2.resize(scores, (451, 300), interpolation=cv2.INTER_LINEAR).argmax(2)
    np.testing.assert_array_equal(segmenter.segment(CAT).labels, expected)
    small = CAT[:50, :60]
    np.testing.assert_array_equal(segmenter.segment(small).labels, Segmenter(*tiny).segment(small).labels)


@pytest.mark.parametrize("size", [None, 64])
def test_probabilities_are_soft_maxed_scores_at_the_photographs_size(tiny: Files, size: int | None) -> None:
    result = Segmenter(tiny[0], tiny[1], size=size).segment(CAT, probabilities=True)
    assert result.probabilities is not None
    assert result.probabilities.shape == (3, 300, 451)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    if size is None:
        np.testing.assert_array_equal(result.probabilities.argmax(0), result.labels)
        exponentials = np.exp(classic(tiny, minus_mean(CAT)).astype(np.float64))
        np.testing.assert_allclose(result.probabilities, exponentials / exponentials.sum(0), atol=1e-5)


def test_a_net_that_ends_in_softmax_is_not_soft_maxed_again(tmp_path: Path) -> None:
    def body(n: NetSpec) -> Top:
        n.prob = L.Softmax(scores(n))
        return n.prob

    files = save_net(tmp_path, body)
    result = Segmenter(*files).segment(CAT, probabilities=True)
    np.testing.assert_allclose(result.probabilities, classic(files, minus_mean(CAT)), atol=1e-6)


def test_class_names_come_from_the_file_beside_the_weights(tiny: Files) -> None:
    (tiny[1].parent / "classes.txt").write_text("0 background\n8 cat\n17 woolly sheep\n")
    result = Segmenter(*tiny).segment(CAT)
    assert result.classes.names == ("background", "cat", "woolly sheep")
    np.testing.assert_array_equal(result.palette[:3], voc_palette()[[0, 8, 17]])
    assert result.present() == list(np.argsort(-np.bincount(result.labels.ravel(), minlength=3)))


def test_without_such_a_file_classes_are_numbered_even_twenty_one(tmp_path: Path) -> None:
    assert Segmenter(*save_net(tmp_path, lambda n: scores(n, 21))).classes.names[20] == "class 20"
    assert Segmenter(*save_net(tmp_path, lambda n: scores(n, 2), "two")).classes.names == ("class 0", "class 1")


def test_the_slim_net_takes_images_of_any_size(tmp_path: Path) -> None:
    deploy = REPOSITORY / "prototxt" / "slim" / "fcn8s_deploy.prototxt"
    caffe.set_random_seed(1)
    caffe.Net(str(deploy), caffe.TEST).save(str(tmp_path / "slim.caffemodel"))
    segmenter = Segmenter(deploy, tmp_path / "slim.caffemodel")
    for height, width in ((32, 32), (33, 65), (1, 100), (97, 40)):
        assert segmenter.segment(CAT[:height, :width]).labels.shape == (height, width)


@pytest.fixture(scope="module")
def bundled() -> Segmenter:
    """The model that is taken where none is named."""
    return Segmenter()


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 700), (700, 1), (2, 3), (16, 16), (17, 300), (333, 250), (1500, 2000), (2000, 1500)]
)
def test_the_bundled_model_labels_photographs_of_any_size(bundled: Segmenter, size: tuple[int, int]) -> None:
    result = bundled.segment(cv2.resize(CAT, size[::-1], interpolation=cv2.INTER_AREA))
    assert result.labels.shape == size
    if min(size) >= 250:
        assert "cat" in [result.classes.names[label] for label in result.present()]


def test_labels_move_with_the_picture(bundled: Segmenter) -> None:
    """Of the places where the labels of a picture moved by one pixel could lie, they lie best where it does."""
    first, moved = bundled.segment(CAT[:-1, :-1]).labels, bundled.segment(CAT[1:, 1:]).labels
    inner = np.s_[3:-3, 3:-3]
    agreement = {
        (down, right): np.mean(np.roll(first, (-down, -right), (0, 1))[inner] == moved[inner])
        for down in range(-2, 4)
        for right in range(-2, 4)
    }
    assert len(np.unique(first[inner])) > 1
    assert max(agreement, key=lambda place: agreement[place]) == (1, 1)


def test_a_child_forked_in_the_midst_of_a_thread_computes(tiny: Files) -> None:
    """The lock that the other thread holds is held by nobody in the child."""
    segmenter = Segmenter(*tiny)
    expected = segmenter.segment(CAT).labels
    with segmenter._turn, ThreadPoolExecutor(1) as other:
        held = threading.Event()

        def hold() -> None:
            segmenter.net.enter()
            held.set()

        other.submit(hold)
        held.wait()
        child = os.fork()
        if not child:
            signal.alarm(60)
            os._exit(0 if np.array_equal(segmenter.segment(CAT).labels, expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
        other.submit(segmenter.net.leave)


def test_a_copy_is_made_from_the_same_files(tiny: Files) -> None:
    segmenter = Segmenter(*tiny, size=100)
    copy = pickle.loads(pickle.dumps(segmenter))
    assert copy.max_side == 100
    np.testing.assert_array_equal(copy.segment(CAT).labels, segmenter.segment(CAT).labels)


def test_unusable_nets_are_refused(tmp_path: Path) -> None:
    def fails(body: Callable[[NetSpec], object], message: str) -> None:
        files = save_net(tmp_path, body)  # type: ignore[arg-type]
        with pytest.raises(caffe.CaffeError, match=message):
            Segmenter(*files).segment(CAT)

    def two_outputs(n: NetSpec) -> None:
        n.other = L.ReLU(n.data)
        scores(n)

    def classifier(n: NetSpec) -> None:
        n.fc = L.InnerProduct(n.data, num_output=10, weight_filler={"type": "xavier"})

    def strided(n: NetSpec) -> None:
        n.score = L.Convolution(n.data, num_output=2, kernel_size=1, stride=2)

    fails(two_outputs, "is not a deploy net: .*one output, the scores; it has .*outputs")
    fails(classifier, "has no class scores")
    fails(strided, "is not a segmentation net for images of any size")


def test_files_that_do_not_fit_together_are_refused(tiny: Files, tmp_path: Path) -> None:
    with pytest.raises(
        caffe.CaffeError, match=r"no model 'voc-animal'.*`crfasrnn models` lists \(voc-animals-slim, voc21-deeplab"
    ):
        Segmenter("voc-animal")
    with pytest.raises(caffe.CaffeError, match="needs weights"):
        Segmenter(tiny[0])
    with pytest.raises(caffe.CaffeError, match=r"weights file .*none.caffemodel' not found"):
        Segmenter(tiny[0], tmp_path / "none.caffemodel")
    with pytest.raises(caffe.CaffeError, match=r"network definition .*none.prototxt' not found"):
        Segmenter(tmp_path / "none.prototxt", tiny[1])
    other = save_net(tmp_path, lambda n: scores(n, 4), "other")
    with pytest.raises(caffe.CaffeError, match="Cannot copy param 0 weights from layer 'score'; shape mismatch"):
        Segmenter(other[0], tiny[1])

    def renamed(n: NetSpec) -> Top:
        n.unheard = L.Convolution(n.data, num_output=3, kernel_size=1)
        return n.unheard

    with pytest.raises(caffe.CaffeError, match="no layer of this file is in the net"):
        Segmenter(save_net(tmp_path, renamed, "renamed")[0], tiny[1])
    (tmp_path / "classes.txt").write_text("0 background\n8 cat\n")
    with pytest.raises(caffe.CaffeError, match="scores 3 classes, but 2 names"):
        Segmenter(*tiny)
    (tmp_path / "classes.txt").write_text("0 background\ncat\n")
    with pytest.raises(caffe.CaffeError, match=r"classes.txt:2: expected"):
        Segmenter(*tiny)


@pytest.mark.parametrize("image", [CAT[..., 0], CAT.astype(np.float32), CAT[:0], CAT[..., :2]])
def test_arrays_that_are_no_photograph_are_refused(tiny: Files, image: np.ndarray) -> None:
    with pytest.raises(caffe.CaffeError, match="expected an H x W x 3 uint8 image"):
        Segmenter(*tiny).segment(image)


@pytest.mark.parametrize("size", [0, -3, "large"])
def test_sizes_that_are_none_are_refused(tiny: Files, size: int | str) -> None:
    with pytest.raises(caffe.CaffeError, match="size"):
        Segmenter(tiny[0], tiny[1], size=size)


def test_threads_that_share_a_segmenter_get_their_own_labels(tiny: Files) -> None:
    segmenter = Segmenter(tiny[0], tiny[1])
    images = [np.ascontiguousarray(CAT[y : y + 40 + y // 4, : 60 + y]) for y in range(0, 120, 20)]
    alone = [segmenter.segment(image, probabilities=True) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda image: segmenter.segment(image, probabilities=True), images * 5))
    for expected, result in zip(alone * 5, together):
        np.testing.assert_array_equal(result.labels, expected.labels)
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)


@pytest.mark.parametrize("shape", [(1 << 16, 1 << 16), (20_000, 20_000), (1, (1 << 31) + 5), (70_000, 70_000)])
def test_photographs_too_large_for_opencv_are_refused(tiny: Files, shape: tuple[int, int]) -> None:
    """Arrays without memory of their own: their shapes alone ended the process."""
    image = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (*shape, 3))
    segmenter = Segmenter(*tiny, size=64)
    for call in (segmenter.segment, segmenter.prepare):
        with pytest.raises(caffe.CaffeError, match="at most 80000000 are taken"):
            call(image)
    with pytest.raises(caffe.CaffeError, match="expected an H x W x 3 uint8 image"):
        segmenter.prepare(np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0, 0)))


def test_padding_to_an_impossible_size_is_refused(tiny: Files) -> None:
    with pytest.raises(caffe.CaffeError, match="with padding, size 9000"):
        Segmenter(*tiny, size=9000, pad=True)


def test_sizes_are_numbers_of_any_kind(tiny: Files) -> None:
    assert Segmenter(*tiny, size=np.int64(100)).max_side == Segmenter(*tiny, size=100.0).max_side == 100
    for wrong in ([100], 3j, b"native"):
        with pytest.raises(TypeError, match="size must be an integer"):
            Segmenter(*tiny, size=wrong)
