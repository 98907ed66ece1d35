"""Times whole folders by one process and by two: python benchmarks/bench_many.py PHOTOGRAPHS [--count 60] [--processes 1 2]

`crfasrnn segment --probabilities` with the bundled model, then `crfasrnn densecrf` on what that wrote, each by so many processes
in turn, and by one process with one thread. Of each run: images per second by the clock and by processor time, starting included.
Where others use the machine, compare by processor time.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str], threads: int | None) -> tuple[float, float]:
    """Seconds by the clock and of the processors, of a command and all that it starts."""
    environment = {**os.environ} if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    runs = [(1, 1), *((number, None) for number in arguments.processes)]
    chosen = sorted(arguments.photographs.glob("*.jpg"))[: arguments.count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for path in chosen:
            shutil.copy(path, folder / "in")
        segment = ["segment", str(folder / "in"), "--probabilities", "--output", str(folder / "segmented")]
        densecrf = ["densecrf", str(folder / "in"), str(folder / "segmented"), "--output", str(folder / "refined")]
        print("| command | processes | threads | images/s | per processor second |")
        print("| --- | --- | --- | --- | --- |")
        for command in (segment, densecrf):
            for processes, threads in runs:
                line = [sys.executable, "-m", "crfasrnn", *command, "--again", "--processes", str(processes)]
                seconds, busy = timed(line, threads)
                print(
                    f"| {command[0]} | {processes} | {threads or 'all'} | {len(chosen) / seconds:.2f} | "
                    f"{len(chosen) / busy:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
