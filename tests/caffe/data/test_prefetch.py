"""Loading ahead in a thread: the same batches, errors and positions as without, bounded, and gone when it is not needed."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.data.prefetch import Prefetcher
from caffe.proto import caffe_pb2


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "caffe prefetch"}


def database(folder: Path, count: int = 7, damaged: int | None = None) -> Path:
    random = np.random.default_rng(0)
    with lmdb.open(str(folder / "db")) as environment, environment.begin(write=True) as transaction:
        for k in range(count):
            datum = caffe.io.array_to_datum(random.integers(0, 256, (3, 6, 7), np.uint8), k)
            if k == damaged:
                datum.height = 99
            transaction.put(b"%04d" % k, datum.SerializeToString())
    return folder / "db"


def data_net(source: Path, prefetch: int, transform: str = "crop_size: 4 mirror: true") -> caffe.Net:
    text = f"""layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }}
      data_param {{ source: "{source}" batch_size: 3 prefetch: {prefetch} }} }}"""
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)


def image_net(folder: Path, prefetch: int) -> caffe.Net:
    for k in range(5):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((4, 4, 3), k, np.uint8))
    (folder / "list.txt").write_text("".join(f"{k}.png {k}\n" for k in range(5)))
    text = f"""layer {{ name: "d" type: "ImageData" top: "data" top: "label" data_param {{ prefetch: {prefetch} }}
      image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: 2 shuffle: true }} }}"""
    return caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)


def batches(net: caffe.Net, count: int) -> list[tuple[np.ndarray, list[float], list[str]]]:
    result = []
    for _ in range(count):
        net.forward()
        result.append((net.blobs["data"].data.copy(), net.blobs["label"].data.tolist(), list(net.layers[0].places)))
    return result


def assert_same(
    first: list[tuple[np.ndarray, list[float], list[str]]], second: list[tuple[np.ndarray, list[float], list[str]]]
) -> None:
    for (images, labels, places), (others, their_labels, their_places) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, others)
        assert labels == their_labels
        assert places == their_places


def test_batches_are_those_of_reading_without(tmp_path: Path) -> None:
    source = database(tmp_path)
    runs = []
    for prefetch in (0, 1, 4):
        caffe.set_random_seed(3)
        runs.append(batches(data_net(source, prefetch), 10))
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])
    runs = []
    for prefetch in (0, 4):
        caffe.set_random_seed(3)
        runs.append(batches(image_net(tmp_path, prefetch), 10))
    assert_same(runs[0], runs[1])


def test_no_thread_before_the_first_forward_and_none_after_the_net(tmp_path: Path) -> None:
    # Other tests' threads may still be ending, so only new ones count.
    before = threads()
    net = data_net(database(tmp_path), 2)
    assert not threads() - before
    net.forward()
    (started,) = threads() - before
    del net
    gc.collect()
    started.join(timeout=10)
    assert not started.is_alive()


@pytest.mark.parametrize("prefetch", [0, 3])
def test_errors_come_with_their_batch(prefetch: int, tmp_path: Path) -> None:
    net = data_net(database(tmp_path, damaged=5), prefetch)
    assert batches(net, 1)[0][1] == [0, 1, 2]
    with pytest.raises(
        caffe.CaffeError, match=r"layer 'd' \(Data\): entry '0005' of .*: a datum of 3 x 99 x 7 holds 126 values"
    ):
        net.forward()
    # Reading goes on behind the damaged entry, as it does without a thread.
    assert batches(net, 1)[0][1] == [6, 0, 1]


@pytest.mark.parametrize("prefetch", [0, 4])
def test_reading_resumes_where_forward_was(prefetch: int, tmp_path: Path) -> None:
    for net in (data_net(database(tmp_path), prefetch), image_net(tmp_path, prefetch)):
        batches(net, 3)
        state = net.layers[0].snapshot_state()
        expected = batches(net, 6)
        net.layers[0].restore_state(state)
        assert_same(batches(net, 6), expected)
        net.layers[0].restore_state(state)
        assert_same(batches(net, 2), expected[:2])


def test_a_state_of_the_start(tmp_path: Path) -> None:
    net = image_net(tmp_path, 2)
    state = net.layers[0].snapshot_state()
    expected = batches(net, 4)
    net.layers[0].restore_state(state)
    assert_same(batches(net, 4), expected)


class Counter:
    """Something to load from."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = threading.Condition()

    def next(self) -> int:
        with self.changed:
            self.count += 1
            self.changed.notify_all()
            return self.count

    def wait_for(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.count >= count, timeout=10)


def test_the_queue_is_bounded() -> None:
    counter = Counter()
    prefetcher = Prefetcher(counter, Counter.next, 3)
    # Three wait in the queue and one in the thread's hand; only after a get is there room for another.
    assert counter.wait_for(4)
    assert counter.count == 4
    assert prefetcher.get() == 1
    assert counter.wait_for(5)
    assert [prefetcher.get() for _ in range(5)] == [2, 3, 4, 5, 6]
    prefetcher.close()
    with pytest.raises(caffe.CaffeError, match="has ended"):
        prefetcher.get()


def test_the_thread_keeps_nothing_alive() -> None:
    counter = Counter()
    prefetcher = Prefetcher(counter, Counter.next, 1)
    assert counter.wait_for(2)
    gone = weakref.ref(counter)
    del counter
    gc.collect()
    assert gone() is None
    prefetcher.close()


def test_the_interpreter_ends_while_batches_are_waiting(tmp_path: Path) -> None:
    source = database(tmp_path)
    program = f"""
import caffe
from google.protobuf import text_format
from caffe.proto import caffe_pb2
caffe.init_log(1)
text = 'layer {{ name: "d" type: "Data" top: "data" data_param {{ source: "{source}" batch_size: 1 }} }}'
net = caffe.Net(text_format.Parse(text, caffe_pb2.NetParameter()), caffe.TRAIN)
net.forward()
print(net.blobs["data"].data.shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 3, 6, 7)\n", "")
