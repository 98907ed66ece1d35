#!/usr/bin/env bash
# Fetch what programs for old Linux systems are linked to and run with, and print its folder.
#
#   scripts/fetch_sysroot.sh x86_64|aarch64
#
# GCC's C++ library of Debian 11, whose symbols manylinux_2_28 has, and its C library, for qemu: signed packages of Debian's, taken
# apart in build/sysroot-PROCESSOR. Nothing is installed. Needs apt and dpkg, but not Debian 11.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "usage: $0 x86_64|aarch64" >&2; exit 1 ;;
esac
folder=$PWD/build/sysroot-$1
if [ ! -e "$folder/.complete" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$folder" "$work"/{lists,cache/archives}/partial
  touch "$work/status"
  echo "deb [arch=$architecture] http://deb.debian.org/debian bullseye main" > "$work/sources.list"
  apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists"
    -o "Dir::State::Status=$work/status" -o "Dir::Cache=$work/cache" -o "APT::Architecture=$architecture"
    -o "APT::Architectures=$architecture" -o APT::Sandbox::User=)
  "${apt[@]}" update >&2
  (cd "$work" && "${apt[@]}" download libstdc++-10-dev libstdc++6 libgcc-s1 libc6 >&2)
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$folder"; done
  touch "$folder/.complete"
fi
echo "$folder"
