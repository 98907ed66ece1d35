#!/usr/bin/env bash
# Install a wheel of dist/ into an empty environment and use it there, with no compiler on PATH.
#
#   scripts/test_wheel.sh WHEEL [opencv|headless]
#
# PYTHON names the Python; pip gets the versions of constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
begin=$SECONDS
PATH=$folder/venv/bin pip install --quiet --disable-pip-version-check --only-binary :all: --constraint constraints.txt \
  "crfasrnn[${2:-headless}] @ file://$(realpath "$1")"
echo "$(basename "$1"), $(stat -c %s "$1") bytes, installed with all it needs in $((SECONDS - begin)) s"
env -i PATH="$folder/venv/bin" HOME="$folder" python scripts/check_install.py --without-compiler
