"""Build the source distribution, and from it the wheels for Linux, by zig's clang, for both processors; all into dist/.

    make wheels

One wheel for each processor serves all Pythons from 3.10 on, and all systems with glibc 2.28 (2018) or newer. Needs the tools
that `make wheels` installs, and apt for fetch_sysroot.sh, but no compiler of the system. What a wheel asks of the system is
checked by auditwheel, which gives it its name; what it holds and exports is checked here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parent.parent
PROCESSORS = ("x86_64", "aarch64")
GLIBC = "2.28"
REQUIRED = ("models/voc21-deeplab/model.json", "prototxt/voc21/crfrnn_deploy.prototxt", "_core.abi3.so", "py.typed")


def run(*command: str | Path, **variables: str) -> None:
    print("+", *command, flush=True)
    # pip and CMake find the tools beside this Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PATH": path, **variables})


def source(folder: Path) -> tuple[Path, Path]:
    """The source distribution, made of what git knows, and the folder that it was unpacked to."""
    clean = folder / "clean"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clean / name)
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, clean)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return archive, folder / archive.name.removesuffix(".tar.gz")


def build(processor: str, unpacked: Path, folder: Path) -> Path:
    """The wheel for a processor, as the compiler left it in the folder."""
    fetched = subprocess.run(
        [ROOT / "scripts/fetch_sysroot.sh", processor], stdout=subprocess.PIPE, text=True, check=True
    )
    settings = {
        "CMAKE_TOOLCHAIN_FILE": ROOT / "scripts/zig.cmake",
        "CRFRNN_SYSROOT": fetched.stdout.strip(),
        "CRFRNN_ZIG_TARGET": f"{processor}-linux-gnu.{GLIBC}",
        "CRFRNN_CUDA": "OFF",
    }
    arguments = [f"--config-setting=cmake.define.{name}={value}" for name, value in settings.items()]
    # Python's own name for the platform, by which the wheel is called.
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder),
        *arguments,
        unpacked,
        _PYTHON_HOST_PLATFORM=f"linux-{processor}",
    )
    return next(folder.glob("*.whl"))


def exported(library: bytes, folder: Path) -> list[str]:
    """The names of the symbols that a library defines for others."""
    path = folder / "library.so"
    path.write_bytes(library)
    with path.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym").iter_symbols()
        return [symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name]


def check(wheel: Path, folder: Path) -> None:
    """Raise SystemExit where a wheel lacks a file, or its module exports functions of the core to others."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        missing = [name for name in REQUIRED if f"crfasrnn/{name}" not in names]
        symbols = exported(archive.read("crfasrnn/_core.abi3.so"), folder)
    ours = [name for name in symbols if "6crfrnn" in name]
    if missing or ours or "PyInit__core" not in symbols:
        raise SystemExit(f"{wheel.name}: lacks {missing}; exports {ours or symbols}")


def main() -> None:
    with TemporaryDirectory() as name:
        temporary = Path(name)
        archive, unpacked = source(temporary)
        made = [archive]
        for processor in PROCESSORS:
            folder = temporary / processor
            raw = build(processor, unpacked, folder)
            check(raw, folder)
            run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder / "repaired", raw)
            made += (folder / "repaired").glob("*.whl")
        (ROOT / "dist").mkdir(exist_ok=True)
        for path in made:
            shutil.copy(path, ROOT / "dist")
            print(f"dist/{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
