#!/usr/bin/env bash
# Find or build the genuine BVLC Caffe (CPU) that the tests of the Caffe plugin run, and print its folder.
#
#   scripts/build_test_caffe.sh [--find]
#
# Fetches the source package brocolli-caffe from the Python package index and compiles it, unmodified, into a cache folder:
# $CRFASRNN_TEST_CAFFE, else crfasrnn/caffe-VERSION below $XDG_CACHE_HOME or ~/.cache. Five to ten minutes on two cores, once;
# an interrupted build goes on where it was. With --find nothing is built: exit status 1 where there is none yet.
# CRFASRNN_INSTALL=1 lets it install missing packages of Debian or Ubuntu (as root).
set -euo pipefail

version=9.0.2
checksum=c6410cc60bdd6db685d441b66be7df05410f8850ac88d6b75d48ef9b2315c08a
packages="build-essential cmake pkg-config protobuf-compiler libprotobuf-dev libboost-system-dev libboost-filesystem-dev
  libboost-thread-dev libboost-regex-dev libgoogle-glog-dev libgflags-dev libhdf5-dev libopenblas-dev"
root=${CRFASRNN_TEST_CAFFE:-${XDG_CACHE_HOME:-$HOME/.cache}/crfasrnn/caffe-$version}

if [ -e "$root/.built" ]; then
  echo "$root"
  exit
fi
if [ "${1:-}" = --find ]; then
  echo "No Caffe to test with in $root; scripts/build_test_caffe.sh builds it." >&2
  exit 1
fi

if [ "${CRFASRNN_INSTALL:-0}" = 1 ]; then
  # shellcheck disable=SC2086
  apt-get install -qq -y --no-install-recommends $packages >&2
fi
for tool in g++ make pkg-config protoc "${PYTHON:=python3}"; do
  command -v "$tool" > /dev/null || missing="${missing:-} $tool"
done
for header in boost/thread.hpp boost/regex.hpp boost/filesystem.hpp glog/logging.h gflags/gflags.h cblas.h \
  google/protobuf/message.h; do
  echo "#include <$header>" | g++ -E -x c++ - > /dev/null 2>&1 || missing="${missing:-} $header"
done
pkg-config --exists hdf5 || missing="${missing:-} hdf5"
if [ -n "${missing:-}" ]; then
  echo "Caffe needs:$missing. On Debian or Ubuntu: sudo apt-get install" $packages >&2
  exit 1
fi

if [ ! -e "$root/Makefile" ]; then
  mkdir -p "$(dirname "$root")"
  download=$(mktemp -d "$root.XXXXXX")
  trap 'rm -rf "$download"' EXIT
  "$PYTHON" -m pip download --quiet --no-deps --no-binary brocolli-caffe --dest "$download" "brocolli-caffe==$version" >&2
  archive=$download/brocolli-caffe-$version.tar.gz
  echo "$checksum  $archive" | sha256sum --check --quiet >&2
  tar -xzf "$archive" -C "$download"
  mv -T "$download/brocolli-caffe-$version" "$root"
fi

echo "Compiling Caffe in $root (log: build.log there), five to ten minutes on two cores" >&2
# The package's own variables for more folders are named after Python.
headers=$(pkg-config --cflags-only-I hdf5 | sed 's/-I//g')
libraries=$(pkg-config --libs-only-L hdf5 | sed 's/-L//g')
if ! nice -n 19 make -C "$root" -j"$(nproc)" PYTHON_INCLUDE="$headers" PYTHON_LIB="$libraries" .temp_release/tools/caffe \
  > "$root/build.log" 2>&1; then
  tail -n 30 "$root/build.log" >&2
  echo "Caffe did not compile: see $root/build.log. Remove $root to start afresh." >&2
  exit 1
fi
touch "$root/.built"
echo "$root"
