#!/usr/bin/env bash
# Compile the core for other compilers and systems, and run its tests there.
#
#   scripts/test_ports.sh [clang|aarch64|windows|mingw ...]
#
# clang: zig's clang with LLVM's C++ library, as on macOS. aarch64: the same compiler as for the wheels, tests under qemu (package
# qemu-user). windows: clang and LLVM's C++ library for Windows, tests under Wine (wine64). mingw: Debian's
# GCC for Windows (g++-mingw-w64-x86-64-posix), tests under Wine. By default all. Needs the tools of `make wheels`.
set -euo pipefail
cd "$(dirname "$0")/.."
export WINEDEBUG=-all WINEPREFIX=$PWD/build/wine

[ $# -gt 0 ] || set -- clang aarch64 windows mingw
for port in "$@"; do
  case $port in
    clang) settings=(-DCMAKE_TOOLCHAIN_FILE=scripts/zig.cmake -DCRFRNN_ZIG_TARGET=x86_64-linux-gnu.2.28) ;;
    aarch64) settings=(-DCMAKE_TOOLCHAIN_FILE=scripts/zig.cmake -DCRFRNN_ZIG_TARGET=aarch64-linux-gnu.2.28
      "-DCRFRNN_SYSROOT=$(scripts/fetch_sysroot.sh aarch64)") ;;
    windows) settings=(-DCMAKE_TOOLCHAIN_FILE=scripts/zig.cmake -DCRFRNN_ZIG_TARGET=x86_64-windows-gnu) ;;
    mingw) settings=(-DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=x86_64
      -DCMAKE_CXX_COMPILER=x86_64-w64-mingw32-g++-posix -DCMAKE_EXE_LINKER_FLAGS=-static
      -DCMAKE_CROSSCOMPILING_EMULATOR=wine) ;;
    *) echo "no port '$port': clang, aarch64, windows or mingw" >&2; exit 1 ;;
  esac
  build=build/port-$port
  cmake -G Ninja -S . -B "$build" -DCRFRNN_BUILD_TESTS=ON -DCRFRNN_BUILD_PYTHON=OFF -DCRFRNN_CUDA=OFF \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=ON "${settings[@]}"
  cmake --build "$build"
  ctest --test-dir "$build" --output-on-failure --verbose
done
