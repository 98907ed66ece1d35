"""Where an iteration of the CPU core goes, stage by stage: make bench-stages

Runs the program that benchmarks/stages.cpp becomes, on a photograph of scikit-image's at 500 x 500, and prints for every stage
milliseconds, nanoseconds a point, the bytes that it must read and write at least (rows of 8 or 24 floats, corners and weights), and
how fast that moves them; beside it how fast arrays are copied that fit the third-level cache, and that do not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from bench_mean_field import Case, copy_bandwidth, example

SIZE = 500
POINTS = SIZE * SIZE
THETAS = ("160", "3", "3")


def measured(program: str, image: Path, classes: int, threads: int) -> dict[str, float]:
    """What the program prints, by name."""
    command = [program, str(image), "3", str(SIZE), str(SIZE), str(classes), str(threads), *THETAS]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: float(number) for name, number in (line.split() for line in lines)}


def stages(found: dict[str, float], classes: int) -> list[tuple[str, float, float]]:
    """Name, milliseconds and bytes of each stage."""
    row = (classes + 7) // 8 * 8 * 4
    rows: list[tuple[str, float, float]] = []
    for kernel, corners in (("spatial", 3), ("bilateral", 6)):
        vertices, places = found[f"{kernel}-vertices"], found[f"{kernel}-places"]
        ghosts = places - vertices
        simplices = POINTS * corners * 8
        rows += [
            (f"{kernel}: ghosts gathered", found[f"{kernel}-gather"], 2 * ghosts * row),
            (f"{kernel}: slice", found[f"{kernel}-slice-alone"], places * row + simplices),
            (f"{kernel}: rows cleared", found[f"{kernel}-fill"], places * row),
            (f"{kernel}: splat", found[f"{kernel}-splat-alone"], 2 * places * row + simplices),
            (f"{kernel}: ghosts added up", found[f"{kernel}-merge"], (ghosts + 2 * min(ghosts, vertices)) * row),
            (f"{kernel}: blur, all axes", found[f"{kernel}-blur"], 2 * found[f"{kernel}-links"] * row),
        ]
    softened = found["slice,soft-max,splat"] - found["slice,splat"]
    return [*rows, ("soft-max", softened, 0), ("all of an iteration", found["slice,soft-max,splat"] + found["blur"], 0)]


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        example(Case(1, SIZE))[1].numpy().tofile(image)
        for threads in (1, 2):
            speeds = [copy_bandwidth(megabytes, threads) / 1e9 for megabytes in (4, 256)]
            print(f"\n{threads} thread(s); copies of 4 MiB move {speeds[0]:.0f} GB/s, of 256 MiB {speeds[1]:.0f}\n")
            print("| stage | 21 classes (ms) | ns a point | MB | GB/s | 8 classes (ms) | ns a point | MB | GB/s |")
            print("|" + " --- |" * 9)
            torch.set_num_threads(threads)
            by_classes = [stages(measured(sys.argv[1], image, classes, threads), classes) for classes in (21, 8)]
            for together in zip(*by_classes):
                cells = [together[0][0]]
                for _, milliseconds, moved in together:
                    cells += [f"{milliseconds:.2f}", f"{1e6 * milliseconds / POINTS:.1f}"]
                    cells += [f"{moved / 1e6:.1f}", f"{moved / 1e6 / milliseconds:.0f}"] if moved else ["", ""]
                print("| " + " | ".join(cells) + " |", flush=True)
            found = measured(sys.argv[1], image, 21, threads)
            print(
                f"\nBefore and after: bilateral kernel {found['bilateral-kernel']:.1f} ms (its normalisation "
                f"{found['bilateral-ones']:.1f}), to rows {found['to-rows']:.1f}, to planes {found['to-planes']:.1f}"
            )


if __name__ == "__main__":
    main()
