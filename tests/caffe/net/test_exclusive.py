"""A net that two threads use at once says so; nets on shared weights compute what they compute alone."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.caffe.nets import CONV

import caffe


def test_a_second_thread_gets_an_error_until_the_first_is_done(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    alone = net.forward(data=x)["a"].copy()
    inside, go_on = threading.Event(), threading.Event()
    first = threading.get_ident()

    def wait(layer: int) -> None:
        if threading.get_ident() != first:
            inside.set()
            assert go_on.wait(30)

    net.before_forward(wait)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: net.forward()["a"].copy())
        assert inside.wait(30)
        for call in (
            net.forward,
            lambda: net.forward(data=x),
            lambda: net.forward_all(data=x),
            net.backward,
            net.reshape,
            lambda: net.copy_from("none.caffemodel"),
        ):
            with pytest.raises(caffe.CaffeError, match=r"being used by another thread.*share_with"):
                call()
        go_on.set()
        np.testing.assert_array_equal(other.result(), alone)
    np.testing.assert_array_equal(net.forward(data=x)["a"], alone)


def test_a_hook_may_use_the_net_that_calls_it(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    net.after_forward(lambda layer: net.reshape() if layer == 1 else None)
    assert net.forward()["a"].shape == (2, 2, 5, 6)


def test_an_error_in_a_layer_leaves_the_net_usable(write) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    with pytest.raises(ValueError, match="Input 'data' has shape"):
        net.forward(data=np.zeros((2, 3, 1, 1)))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(net.forward).result()["a"].shape == (2, 2, 5, 6)


def test_threads_with_nets_of_their_own_share_weights(write) -> None:
    owner = caffe.Net(write(CONV), caffe.TEST)
    images = np.random.default_rng(1).normal(size=(24, 2, 3, 5, 6)).astype(np.float32)
    expected = [owner.forward(data=image)["a"].copy() for image in images]
    own = threading.local()

    def answer(image: np.ndarray) -> np.ndarray:
        if not hasattr(own, "net"):
            own.net = caffe.Net(str(owner_path), caffe.TEST)
            own.net.share_with(owner)
        return own.net.forward(data=image)["a"].copy()

    owner_path = write(CONV)
    with ThreadPoolExecutor(4) as pool:
        for found, one in zip(pool.map(answer, images), expected):
            np.testing.assert_allclose(found, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_net_can_be_copied_and_is_not_in_use(write, copied: Callable[[caffe.Net], caffe.Net]) -> None:
    net = caffe.Net(write(CONV), caffe.TEST)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    expected = net.forward(data=x)["a"].copy()
    again = copied(net)
    with ThreadPoolExecutor(1) as pool:
        np.testing.assert_array_equal(pool.submit(lambda: again.forward(data=x)["a"]).result(), expected)
