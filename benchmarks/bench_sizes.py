"""Time and memory of whole commands by the size of the photograph: python benchmarks/bench_sizes.py [--sides 512 1024 2000]

Squares of scikit-image's `astronaut`, enlarged, with noise of six grey levels as of a camera; labels of two classes. Each command
is a process of its own, its start and the reading of a PNG included. Where others use the machine, the processors' time tells more
than the clock's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from crfasrnn.pictures.label_maps import write_labels
from crfasrnn.pictures.photographs import write_image

SIDE, NOISE = 512, 6


def make(folder: Path, side: int) -> tuple[Path, Path]:
    """A photograph of side x side pixels and labels for it: 1 in an ellipse where the person is."""
    photo, labels = folder / f"photo{side}.png", folder / f"labels{side}.png"
    large = cv2.resize(skimage.data.astronaut()[..., ::-1], (side, side), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    for rows in np.array_split(large, max(1, side // 256)):  # views
        rows[...] = np.clip(rows + rng.integers(-NOISE, NOISE + 1, rows.shape, dtype=np.int16), 0, 255)
    write_image(photo, large)
    person: np.ndarray = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(person, (225, 330), (150, 280), 0, 0, 360, 1, -1)
    write_labels(labels, cv2.resize(person, (side, side), interpolation=cv2.INTER_NEAREST))
    return photo, labels


_WAITER = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(status)
"""


def measured(command: list[str], threads: int) -> tuple[float, float, float]:
    """Seconds by the clock and of the processors, and the peak memory in MiB, of a command of crfasrnn.

    Raises RuntimeError if it fails.
    """
    began = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    # A child's peak includes what its parent had in memory when it was forked: a small one tells.
    program = [sys.executable, "-c", _WAITER, sys.executable, "-m", "crfasrnn", *command]
    done = subprocess.run(program, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    processors, kibibytes = done.stdout.split()
    return time.perf_counter() - began, float(processors), float(kibibytes) / 1024


def commands(photo: Path, labels: Path, side: int, native: int, many: int) -> dict[str, list[str]]:
    """What is measured, by its title; the net at native size and many classes up to a side each."""
    output, reach = photo.parent, side / SIDE
    densecrf = ["densecrf", str(photo), str(labels), "-o", str(output / "refined.png"), "--min-probability", "0"]
    segment = ["segment", str(photo), "--output", str(output), "--again", "--processes", "1"]
    found = {
        "segment": segment,
        "densecrf, 2 classes": [*densecrf, "--num-classes", "2"],
        "densecrf, 2 classes, widths times side / 512": [
            *densecrf, "--num-classes", "2", "--spatial", f"{3 * reach}", "3", "--bilateral", f"{80 * reach}", "13", "10",
        ],
    }  # fmt: skip
    if side <= native:
        found["segment --size native"] = [*segment, "--size", "native"]
    if side <= many:
        found["densecrf, 21 classes"] = [*densecrf, "--num-classes", "21"]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2000, 3464, 4900, 7072])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--native", type=int, default=2000, help="largest side for the net at native size (2000)")
    parser.add_argument("--many", type=int, default=3464, help="largest side for 21 classes (3464)")
    arguments = parser.parse_args()
    print("| megapixels | command | clock (s) | processors (s) | peak memory (MiB) |\n| --- | --- | --- | --- | --- |")
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as folder:
            photo, labels = make(Path(folder), side)
            for title, command in commands(photo, labels, side, arguments.native, arguments.many).items():
                clock, processors, memory = measured(command, arguments.threads)
                print(
                    f"| {side * side / 1e6:.1f} | {title} | {clock:.1f} | {processors:.1f} | {memory:.0f} |", flush=True
                )


if __name__ == "__main__":
    main()
