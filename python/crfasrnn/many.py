"""The same work on many pictures: by this process or by several, whatever becomes of single ones.

A piece of work is a function of one task, such as a path; what it raises is that task's failure, and the others go on. Results
come in the order of the tasks and are the same for any number of processes. Whoever writes files asks `cannot_be_written`, since
a full disk is no failure of one picture.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NoReturn, TypeVar

from tqdm import tqdm

from caffe import mode
from caffe.errors import CaffeError
from caffe.files import system
from caffe.logs.ending import in_a_sentence, is_foreseen, traceback_wanted
from caffe.logs.glog import init_log
from caffe.logs.progress_bar import progress
from caffe.logs.wording import counted

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 4  # tasks for each process whose results may wait for an earlier one's: so much memory at most
_WORTH_IT = 12  # tasks that make up for the two or three seconds in which a process starts
_MEMORY = 31  # 2 GiB are counted for each process: its share of the published network is 1.4
_PATIENCE = 10.0  # seconds for a process to end when it is told to
_TOLD = 20  # failures that are told one by one


class FatalError(CaffeError):
    """An error that ends the whole run: it would meet all further tasks, too."""


@dataclass(frozen=True)
class Failure:
    """What stands in a result's place where there is none. reason: a sentence that names the file."""

    reason: str


@contextmanager
def cannot_be_written() -> Iterator[None]:
    """Let an error within it end the run: around what a piece of work writes."""
    try:
        yield
    except (CaffeError, OSError) as problem:
        raise FatalError(in_a_sentence(problem)) from problem


def best_number(tasks: int) -> int:
    """How many processes to take where nobody says.

    As many as torch has threads (the processors, or OMP_NUM_THREADS) with one thread each, since reading, writing and the small
    layers gain nothing from a second thread; fewer where the tasks are few or the memory is small, and one on a GPU.
    """
    if mode.uses_gpu():
        return 1
    import torch

    limits = [torch.get_num_threads(), tasks // _WORTH_IT]
    if (memory := system.memory()) is not None:
        limits.append(memory >> _MEMORY)
    return max(1, min(limits))


def share(tasks: Sequence[Task], part: tuple[int, int]) -> list[Task]:
    """Every n-th task from the i-th on, for part = (i, n), 1 <= i <= n: the n parts together are all tasks, each once."""
    first, of = part
    return list(tasks[first - 1 :: of])


def unfinished(tasks: Sequence[Task], is_done: Callable[[Task], bool]) -> list[Task]:
    """Those that are not done; what cannot be read is not. How many are done is printed."""
    left = [task for task in progress(tasks, what="done already", unit="image") if not _is_known(is_done, task)]
    if len(left) < len(tasks):
        done = counted(len(tasks) - len(left), "image")
        print(
            f"{done} of {len(tasks)} done already, of the same files and options (--again makes them anew)", flush=True
        )
    return left


def _is_known(is_done: Callable[[Task], bool], task: Task) -> bool:
    with suppress(OSError, CaffeError):
        return is_done(task)
    return False


def each(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int | None = None, *, what: str, done: int = 0
) -> Generator[tuple[Task, Result | Failure], None, None]:
    """Every task with its result, in order, while a bar tells how far it is.

    work: can be pickled, and is sent to every process once. processes: None takes best_number. what: is being done.
    done: how many were done before.
    Raises FatalError, where the work does, and where a process ends before it could begin.
    """
    number = best_number(len(tasks)) if processes is None else processes
    failed = 0
    with (
        Pool(min(number, max(1, len(tasks)))) as pool,
        progress(what=what, unit="image", total=done + len(tasks), done=done) as bar,
    ):
        for task, result in zip(tasks, pool.run(work, tasks)):
            if isinstance(result, Failure):
                failed += 1
                bar.set_postfix(failed=failed, refresh=False)
            yield task, result
            bar.update()


def carry_out(
    work: Callable[[Task], str], tasks: Sequence[Task], processes: int | None = None, *, what: str, done: int = 0
) -> int:
    """Do it for all tasks, print the line that each gives, and tell the failures at the end; returns the exit status."""
    failures = []
    with closing(each(work, tasks, processes, what=what, done=done)) as results:
        for _, line in results:
            if isinstance(line, Failure):
                failures.append(line)
                continue
            with tqdm.external_write_mode():
                print(line, flush=True)
    return tell(failures, len(tasks))


def tell(failures: Sequence[Failure], of: int) -> int:
    """Write to stderr what failed of so many images; returns the exit status, 1 if anything did."""
    if len(failures) > 1:
        print(f"{len(failures)} of {counted(of, 'image')} failed:", file=sys.stderr)
    for failure in failures[:_TOLD]:
        print(f"error: {failure.reason}", file=sys.stderr)
    if len(failures) > _TOLD:
        print(f"... and {len(failures) - _TOLD} more", file=sys.stderr)
    return int(bool(failures))


class Pool:
    """So many processes with one share of the threads each; one is this process itself, with all of its threads.

    They end with the `with` block, whatever ends that: Ctrl-C too, which reaches this process alone. A process that is killed is
    a failure of the task that it was at, and another takes its place.
    """

    def __init__(self, processes: int) -> None:
        self._number = processes
        self._workers: list[_Worker[Any]] = []

    def __enter__(self) -> Pool:
        if self._number > 1:
            import torch

            self._setting = (
                max(1, torch.get_num_threads() // self._number),
                mode.device().index if mode.uses_gpu() else None,
            )
            for _ in range(self._number):
                self._workers.append(_Worker(*self._setting))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.tell_to_end()
        for worker in self._workers:
            worker.end()

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result | Failure]:
        """The results of all tasks in order. It is to be gone through to its end before the next begins.

        Raises FatalError where the work does, and where a process cannot begin.
        """
        if self._number == 1:
            return (_outcome(work, task) for task in tasks)
        return self._spread(pickle.dumps(work), tasks)

    def _spread(self, work: bytes, tasks: Sequence[Task]) -> Iterator[Any]:
        results: dict[int, Any] = {}
        for worker in self._workers:
            worker.prepare(work)
        begun = told = 0
        while told < len(tasks):
            for worker in self._workers:
                if worker.idle and begun < min(len(tasks), told + _AHEAD * self._number):
                    worker.begin(begun, tasks[begun])
                    begun += 1
            busy: dict[Any, _Worker[Any]] = {worker.connection: worker for worker in self._workers if not worker.idle}
            for connection in wait(list(busy)):
                self._hear(busy[connection], work, tasks, results)
            while told in results:
                yield results.pop(told)
                told += 1

    def _hear(self, worker: _Worker[Any], work: bytes, tasks: Sequence[Any], results: dict[int, Any]) -> None:
        try:
            number, result = worker.answer()
        except (EOFError, OSError):
            place, cause = self._workers.index(worker), worker.cause_of_death()
            if not worker.has_begun:
                raise FatalError(f"a process {cause} before it could begin; --processes 1 does without") from None
            if worker.at is not None:
                results[worker.at] = Failure(f"{_name(tasks[worker.at])}: the process that was at it {cause}")
            self._workers[place] = _Worker(*self._setting)
            self._workers[place].prepare(work)
            return
        if isinstance(result, FatalError):
            raise result
        if number is not None:
            results[number] = result


def _name(task: object) -> str:
    """What to call a task: a path, the first of several, or by the name that it has."""
    first = task[0] if isinstance(task, tuple) else task
    return repr(str(first if isinstance(first, os.PathLike) else getattr(first, "name", first)))


def _outcome(work: Callable[[Task], Result], task: Task) -> Result | Failure:
    try:
        return work(task)
    except FatalError:
        raise
    except Exception as problem:
        if not is_foreseen(problem) and traceback_wanted():
            traceback.print_exc()
        named = f"{_name(task)}: " if isinstance(problem, MemoryError) or not is_foreseen(problem) else ""
        return Failure(f"{named}{in_a_sentence(problem)}")


# ------------------------------------------------------------------------------------------- the processes, from both sides


class _Worker(Generic[Task]):
    """A process as its parent sees it. has_begun: it has answered once."""

    def __init__(self, threads: int, gpu: int | None) -> None:
        context = get_context("spawn")  # a forked copy of a process with threads may hang
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads, gpu), daemon=True)
        with system.ctrl_c_held_back():
            self._process.start()
        theirs.close()
        self.has_begun = False
        # What is to be answered, in order: the numbers of tasks, None for work. More than one where others did all tasks of a
        # run before this process had its work.
        self._open: deque[int | None] = deque()

    @property
    def idle(self) -> bool:
        return not self._open

    @property
    def at(self) -> int | None:
        """The number of the task that it has in hand."""
        return next((number for number in self._open if number is not None), None)

    def prepare(self, work: bytes) -> None:
        """Send what is to be done with every task; the answer says that it has come."""
        self._send(None, work)

    def begin(self, number: int, task: Task) -> None:
        self._send(number, task)

    def _send(self, number: int | None, message: Any) -> None:
        self._open.append(number)
        # Who is dead does not answer either, which is seen to there.
        with suppress(OSError):
            self.connection.send(message)

    def answer(self) -> tuple[int | None, Any]:
        """Of what, and the answer. Raises EOFError or OSError where the process is dead."""
        result = self.connection.recv()
        self.has_begun = True
        return self._open.popleft(), result

    def cause_of_death(self) -> str:
        self.end()
        code = self._process.exitcode
        if code is not None and code < 0:
            hint = ": too little memory? fewer --processes need less" if -code == signal.SIGKILL else ""
            return f"was killed ({signal.Signals(-code).name}{hint})"
        return f"ended with status {code}"

    def tell_to_end(self) -> None:
        self._process.terminate()

    def end(self) -> None:
        self.connection.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, threads: int, gpu: int | None) -> None:
    """What a process does: take work, then tasks, until its parent is gone or ends it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unfinished files are removed on the way
    status = 1
    try:
        init_log(min_level=2)  # the parent has loaded the same and given the warnings
        _compute_with(threads, gpu)
        _work_off(connection)
    except (EOFError, OSError):
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)  # what the interpreter would clean up takes time, and may be interrupted


def _work_off(connection: Connection) -> NoReturn:
    """Raises EOFError or OSError when nobody sends any more or listens."""
    work: Callable[[Any], Any] | None = None
    while True:
        message = connection.recv()
        try:
            if isinstance(message, bytes):
                work, answer = pickle.loads(message), None
            else:
                assert work is not None
                answer = _outcome(work, message)
        except Exception as problem:
            answer = FatalError(in_a_sentence(problem))
        connection.send(answer)


def _compute_with(threads: int, gpu: int | None) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    if gpu is not None:
        mode.set_device(gpu)
        mode.set_mode_gpu()
