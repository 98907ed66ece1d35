"""The same work on many pictures: order, failures, processes that are killed, and parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.many import Fussy, Late, Lost, Threads, Writing

from caffe.errors import CaffeError
from crfasrnn.many import Failure, FatalError, Pool, best_number, carry_out, each, share, tell, unfinished


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_failures_in_their_places(processes: int) -> None:
    """The first takes longest; one that nobody foresaw is told with its place."""
    with Pool(processes) as pool:
        found = list(pool.run(Fussy(slow=0, bad=3, worse=5, killed=None), list(range(8))))
        assert [found[index] for index in (0, 1, 2, 4, 6, 7)] == [0, 1, 4, 16, 36, 49]
        assert found[3] == Failure("3 is bad")
        assert isinstance(found[5], Failure)
        assert "'5': unexpected ZeroDivisionError in __call__" in found[5].reason
        assert list(pool.run(Fussy(slow=1, bad=0, worse=None, killed=None), [0, 1])) == [Failure("0 is bad"), 1]


def test_a_killed_process_is_one_failure_and_the_others_go_on() -> None:
    with Pool(2) as pool:
        found = list(pool.run(Fussy(slow=None, bad=None, worse=None, killed=2), list(range(6))))
    failure = found.pop(2)
    assert found == [0, 1, 9, 16, 25]
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("'2': the process that was at it was killed (SIGKILL: too little memory?")


def test_a_process_that_was_late_for_one_run_is_in_time_for_the_next(tmp_path: Path) -> None:
    """Its answer to the first work is no result of the second."""
    with Pool(2) as pool:
        assert list(pool.run(Late(tmp_path / "mark"), [1, 2, 3])) == [2, 4, 6]
        slow = Fussy(slow=0, bad=None, worse=None, killed=None)
        assert list(pool.run(slow, [0] * 8)) == [0] * 8


def test_work_that_does_not_arrive_ends_the_run() -> None:
    with Pool(2) as pool, pytest.raises(FatalError, match="invalid literal for int"):
        list(pool.run(Lost(), [1, 2]))


@pytest.mark.parametrize("processes", [1, 2])
def test_what_cannot_be_written_ends_the_run(tmp_path: Path, processes: int) -> None:
    with pytest.raises(FatalError, match=r"none/0\.txt"):
        list(each(Writing(tmp_path / "none"), [Path(f"{index}.txt") for index in range(5)], processes, what="write"))


def test_the_processors_are_shared_out() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with Pool(2) as pool:
            assert list(pool.run(Threads(), [0, 1])) == [2, 2]
        with Pool(1) as pool:
            assert list(pool.run(Threads(), [0])) == [4]
        assert [best_number(tasks) for tasks in (0, 1, 30)] == [1, 1, 2]
        assert best_number(10_000) <= 4
    finally:
        torch.set_num_threads(before)


def test_parts_are_all_tasks_once() -> None:
    tasks = list(range(10))
    parts = [share(tasks, (part, 3)) for part in (1, 2, 3)]
    assert sorted(task for part in parts for task in part) == tasks
    assert [len(part) for part in parts] == [4, 3, 3]
    assert share(tasks, (1, 1)) == tasks


def test_what_is_done_is_counted_and_what_cannot_be_read_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    def is_done(task: int) -> bool:
        if task == 2:
            raise CaffeError("no")
        return task > 0

    assert unfinished([0, 1, 2, 3], is_done) == [0, 2]
    assert capsys.readouterr().out.startswith("2 images of 4 done already")
    assert unfinished([0, 2], is_done) == [0, 2]
    assert capsys.readouterr() == ("", "")


def test_failures_are_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    work = Fussy(slow=None, bad=1, worse=None, killed=None)
    assert carry_out(work, [0, 1, 2], 1, what="square") == 1  # type: ignore[arg-type]
    assert capsys.readouterr() == ("0\n4\n", "error: 1 is bad\n")
    assert tell([Failure("a"), Failure("b")], 5) == 1
    assert capsys.readouterr().err == "2 of 5 images failed:\nerror: a\nerror: b\n"
    assert tell([Failure("x")] * 23, 30) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "... and 3 more"
    assert tell([], 5) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_goes_on_behind_a_parent_that_was_ended(tmp_path: Path, how: signal.Signals) -> None:
    """By Ctrl-C, which a terminal sends to all of them, or by force."""
    program = (
        "import sys; from pathlib import Path; from support.many import Writing; from crfasrnn.many import each\n"
        "if __name__ == '__main__':\n"
        "    list(each(Writing(Path(sys.argv[1]), 0.05), [Path(f'{i}.txt') for i in range(10000)], 2, what='write'))"
    )
    (tmp_path / "out").mkdir()
    tests = str(Path(__file__).resolve().parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    # Not the first file's beginning, under a name with a dot: nothing is left of that when all end here.
    while not list((tmp_path / "out").glob("[!.]*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
    # Their stderr is this pipe, too: it ends with the last of them.
    messages = process.communicate(timeout=60)[1]
    assert messages.count("Traceback") == (how == signal.SIGINT), messages
    written = sorted((tmp_path / "out").iterdir())
    assert 0 < len(written) < 10000
    assert all(path.read_text() == path.name for path in written)
