"""Feed every reader changed copies of small valid files, each in a guarded child process: `make fuzz SECONDS=60`.

An input is to give a result or one CaffeError, with at most 5 s of CPU time and 1 GB more memory than before. Whatever else
happens is told, and the input kept in build/fuzz. The exit status is 1 if anything was found.

    python -m fuzz [--seconds N] [--seed N] [target ...]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from fuzz.guard import run
from fuzz.targets import hush, targets

TOGETHER = 20  # inputs of one child
FOUND = Path(__file__).resolve().parent.parent / "build" / "fuzz"


def main() -> int:
    """Fuzz until the time is over; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="the same inputs again (default: others each time)")
    parser.add_argument("names", nargs="*", metavar="target")
    options = parser.parse_args()
    hush()
    torch.set_num_threads(1)  # a child of a process that has threads may wait for one of them
    chosen = {name: t for name, t in targets().items() if not options.names or name in options.names}
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    rng, end = random.Random(seed), time.monotonic() + options.seconds
    counts, found = dict.fromkeys(chosen, 0), set()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            for name, target in chosen.items():
                inputs = [target.mutate(rng, target.seeds) for _ in range(TOGETHER)]
                well, what, printed = run(target.read, inputs, Path(folder) / f"input{target.suffix}")
                counts[name] += well
                if not what:
                    continue
                kept = FOUND / f"{name}-{hashlib.sha256(inputs[well]).hexdigest()[:12]}{target.suffix}"
                FOUND.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(inputs[well])
                key = (name, what, "".join(printed.strip().splitlines()[-1:])[:60])
                if key not in found:
                    found.add(key)
                    print(f"{name}: {what}; the input is {kept}\n{printed}", flush=True)
    print(f"seed {seed}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    print(f"{sum(counts.values())} inputs, {len(found)} kinds of failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
