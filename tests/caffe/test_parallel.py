"""Training in two processes (gloo) against one process with twice the batch, and what happens when a process is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer

import lmdb
import numpy as np
import pytest
import torch
from support.warm import python

from caffe import parallel
from caffe.errors import CaffeError
from caffe.io import array_to_datum
from caffe.proto import model_file

NET = """
name: "pair"
layer {{ name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "images" backend: LMDB batch_size: {batch} }}
  transform_param {{ scale: 0.01 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "gaussian" std: 0.3 }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "score" type: "InnerProduct" bottom: "conv" top: "score"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""
SOLVER = """
net: "{net}" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 clip_gradients: 2 max_iter: {iterations}
display: 2 snapshot_prefix: "{prefix}" solver_mode: CPU random_seed: 7
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "caffe")
LAUNCH = ("-c", "import sys; from caffe import parallel; sys.exit(parallel.launch(2, sys.argv[1:]))")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """Twelve labelled images in an LMDB, a net with batch 1 and one with batch 2."""
    rng = np.random.default_rng(0)
    with lmdb.open(str(tmp_path / "images"), map_size=1 << 22) as database, database.begin(write=True) as transaction:
        for i in range(12):
            image = rng.integers(0, 256, (3, 6, 7), dtype=np.uint8)
            transaction.put(f"{i:04d}".encode(), array_to_datum(image, i % 3).SerializeToString())
    for name, batch in (("half", 1), ("whole", 2)):
        (tmp_path / f"{name}.prototxt").write_text(NET.format(batch=batch))
    return tmp_path


def command(
    workplace: Path,
    net: str,
    prefix: str,
    iterations: int = 10,
    several: bool = False,
    start: tuple[str, ...] = TORCHRUN,
) -> list[str]:
    (workplace / f"{prefix}_solver.prototxt").write_text(
        SOLVER.format(net=f"{net}.prototxt", prefix=prefix, iterations=iterations)
    )
    return [
        *((sys.executable, *start) if several else (python(), "-m", "caffe")),
        "train",
        "-solver",
        f"{prefix}_solver.prototxt",
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def together(arguments: list[str], workplace: Path, **variables: str) -> str:
    """Run two processes to their end, told of each other as torchrun would tell them; what they write to stderr."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **variables}
    with TemporaryFile("w+") as said:
        processes = [
            subprocess.Popen(
                [python(), *arguments],
                cwd=workplace,
                env={**environment(), **told, "RANK": rank, "LOCAL_RANK": rank},
                stderr=said,
            )
            for rank in "01"
        ]
        ends = [process.wait(200) for process in processes]
        said.seek(0)
        log = said.read()
    assert ends == [0, 0], log
    return log


def test_two_processes_are_one_with_twice_the_batch(workplace: Path) -> None:
    logs = {}
    for net, prefix, several in (("whole", "one", False), ("half", "two", True)):
        done = subprocess.run(
            command(workplace, net, prefix, several=several),
            cwd=workplace,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        logs[prefix] = done.stderr
    one, two = (model_file.read_model(workplace / f"{prefix}_iter_10.caffemodel") for prefix in ("one", "two"))
    learned = 0
    for a, b in zip(one, two, strict=True):
        for x, y in zip(a.blobs, b.blobs, strict=True):
            np.testing.assert_allclose(x, y, atol=2e-6)
            learned += 1
    assert learned == 4
    # Process 0 alone logs and writes.
    assert len(re.findall(r"Iteration 8 \(", logs["two"])) == 1
    assert len(re.findall("Snapshotting to", logs["two"])) == 1


def test_two_processes_resume_where_each_was(workplace: Path) -> None:
    text = (workplace / "half.prototxt").read_text().replace("scale: 0.01", "scale: 0.01 crop_size: 5 mirror: true")
    (workplace / "half.prototxt").write_text(text.replace("batch_size: 1", "batch_size: 1 rand_skip: 9"))
    train = command(workplace, "half", "pair")[1:]
    solver = workplace / "pair_solver.prototxt"
    solver.write_text(solver.read_text() + " snapshot: 5")
    ends = []
    for more in ([], ["-snapshot", "pair_iter_5.solverstate"]):
        together([*train, *more], workplace)
        ends.append(model_file.read_model(workplace / "pair_iter_10.caffemodel"))
        (workplace / "pair_iter_10.caffemodel").unlink()
    for a, b in zip(*ends, strict=True):
        for x, y in zip(a.blobs, b.blobs, strict=True):
            np.testing.assert_array_equal(x, y)
    # Alone, one cannot be where two were.
    alone = subprocess.run(
        [*command(workplace, "half", "pair"), "-snapshot", "pair_iter_5.solverstate"],
        cwd=workplace,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    assert "was written by 2 process(es), this run has 1" in alone.stderr


@contextmanager
def endless(
    workplace: Path, name: str, status: int = 1, start: tuple[str, ...] = TORCHRUN, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A training of two processes that is under way, and their numbers; it must end with this status when the block is left."""
    with subprocess.Popen(
        command(workplace, "half", name, iterations=10**8, several=True, start=start),
        cwd=workplace,
        env={**environment(), **variables},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        children: dict[int, int] = {}  # and what names each of them for good, since its number may be another's later

        def kill() -> None:
            process.kill()
            for child in children.values():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child, signal.SIGKILL)

        # A block may wait for an end that does not come.
        late = Timer(120, kill)
        late.start()
        try:
            assert process.stderr is not None
            next(line for line in process.stderr if "Iteration 4 (" in line)
            numbers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            children.update({int(number): os.pidfd_open(int(number)) for number in numbers})
            assert len(children) == 2
            yield process, list(children)
            process.communicate(timeout=100)
            assert process.returncode == status
            assert not late.finished.is_set(), "the processes did not end by themselves"
        finally:
            late.cancel()
            kill()
            for child in children.values():
                os.close(child)


def test_a_lost_process_ends_the_run(workplace: Path) -> None:
    with endless(workplace, "lost") as (_, children):
        os.kill(children[1], signal.SIGKILL)


def test_nobody_outlives_torchrun(workplace: Path) -> None:
    with endless(workplace, "orphans", status=-signal.SIGKILL) as (process, _):
        process.kill()
        assert process.stderr is not None
        process.stderr.read()  # to its end, which comes with that of the last who could write


@pytest.mark.parametrize(
    ("start", "status"), [(TORCHRUN, 1), (LAUNCH, 128 + signal.SIGINT)], ids=["torchrun", "launch"]
)
def test_an_interrupt_ends_all_with_one_snapshot(workplace: Path, start: tuple[str, ...], status: int) -> None:
    with endless(workplace, "stopped", status, start) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert said.count("Snapshotting solver state") == said.count("Optimization stopped early.") == 1
        assert "caffe/" not in said  # torchrun's own traceback is all there may be
        assert start is TORCHRUN or "Traceback" not in said
    assert len(list(workplace.glob("stopped_iter_*.solverstate"))) == 1


def test_who_waits_for_others_can_be_interrupted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    one_of_two = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    program = "from caffe import parallel\nprint('waiting', flush=True)\nwith parallel.group('gloo'): pass"
    start = [sys.executable, "-c", program]
    with subprocess.Popen(start, cwd=tmp_path, env={**environment(), **one_of_two}, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(1)  # it is to be inside of torch
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == -signal.SIGINT
        finally:
            process.kill()


def test_a_process_that_hangs_ends_the_run(workplace: Path) -> None:
    with endless(workplace, "hung", CAFFE_TIMEOUT="10") as (process, children):
        os.kill(children[1], signal.SIGSTOP)
        assert process.stderr is not None
        said = next(line for line in process.stderr if "caffe: error" in line or "has not answered" in line)
        assert "process 0: another training process has not answered for 10 seconds: it hangs" in said
        os.kill(children[1], signal.SIGKILL)


def test_others_wait_for_tests_from_batch_to_batch(workplace: Path) -> None:
    # Each tested batch takes less than the limit, all of them together take longer.
    (workplace / "slow.py").write_text(
        "import time\nimport caffe\n\nclass Slow(caffe.Layer):\n"
        "    def reshape(self, bottom, top):\n        top[0].reshape(1)\n"
        "    def forward(self, bottom, top):\n        time.sleep(0.8)\n"
    )
    train = command(workplace, "half", "slow", iterations=1)[1:]
    net = (workplace / "half.prototxt").read_text()
    slow = 'layer { name: "slow" type: "Python" top: "slow" python_param { module: "slow" layer: "Slow" } include { phase: TEST } }'
    (workplace / "half.prototxt").write_text(net + slow)
    solver = workplace / "slow_solver.prototxt"
    solver.write_text(solver.read_text() + " test_iter: 14 test_interval: 5")
    assert together(train, workplace, CAFFE_TIMEOUT="10").count("Testing net (#0)") == 1


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "1e99"])
def test_a_wrong_time_limit_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE_TIMEOUT", value)
    with pytest.raises(CaffeError, match=f"CAFFE_TIMEOUT is the seconds .*'{value}'"):
        parallel.timeout()
    monkeypatch.setenv("CAFFE_TIMEOUT", "2.5")
    assert parallel.timeout() == 2.5
    monkeypatch.delenv("CAFFE_TIMEOUT")
    assert parallel.timeout() == 600


def test_every_process_takes_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for local_rank in "012":
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        taken.append(parallel.own_device([3, 5, 6]))
    assert taken == [3, 5, 6]


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_several_devices_without_cuda_are_one_message(workplace: Path) -> None:
    done = subprocess.run(
        [*command(workplace, "half", "none"), "-gpu", "0,1"], cwd=workplace, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr.count("finds no CUDA device") == 1
    assert "Traceback" not in done.stderr


def test_alone_a_process_waits_for_nobody() -> None:
    assert (parallel.active(), parallel.rank(), parallel.count()) == (False, 0, 1)
    assert parallel.broadcast(2**62 - 1) == 2**62 - 1
    assert parallel.gather(b"own") == [b"own"]
    parallel.barrier()


def test_words_between_two_processes(tmp_path: Path) -> None:
    """What process 0 brings, all that is brought, and the largest of it, on both sides."""
    (tmp_path / "talk.py").write_text(
        "import caffe.parallel as p\n"
        "with p.group('gloo'):\n"
        "    p.barrier()\n"
        "    said = (p.broadcast(7 + p.rank()), p.all_reduce_max(p.rank()), p.gather(b'a' * (1 + p.rank())))\n"
        "    open(f'said{p.rank()}', 'w').write(repr(said))\n"
    )
    together(["talk.py"], tmp_path)
    assert {(tmp_path / f"said{k}").read_text() for k in (0, 1)} == {"(7, 1, [b'a', b'aa'])"}
