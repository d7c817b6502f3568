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
make_environment "$venv" gguf,aihwkit
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet \
    --constraint constraints.txt --group dev
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
AFMC_TEST_PACKAGE=1 pytest "$@"
