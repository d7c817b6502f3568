#!/usr/bin/env bash
# From nothing to language models on noisy analog tiles: environment, models, compile, accuracy.
# A second run downloads and converts nothing.
#
#   PYTHON   the interpreter to use, 3.11 or newer   [python3.11, or python3]
#   VENV     where the environment goes              [.venv]
#   RESULTS  where the compiled SmolLM2 goes         [results/smollm2-135m.afm-512-projected]
#            and beside it the two demo models       [results/demo.afm-512-projected, ...]
#   TARGET   the hardware                            [afm-512-projected]
#   SMOLLM2  no: the demo models alone, which come with afmc
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/environment.sh

venv=${VENV:-.venv}
target=${TARGET:-afm-512-projected}
results=${RESULTS:-results/smollm2-135m.$target}
beside=$(dirname "$results")

make_environment "$venv" gguf
afmc=$venv/bin/afmc

# compile MODEL DIR TITLE: unless that was done before.
compile() {
    if [ -f "$2/program.json" ]; then
        echo "== $2 is there already; remove it to compile again"
        "$afmc" inspect "$2"
    else
        echo "== compile $3 onto $target"
        "$afmc" compile "$1" --target "$target" -o "$2"
    fi
}

compile demo "$beside/demo.$target" "a small analog foundation model"
compile demo-teacher "$beside/demo-teacher.$target" "the model that it was made from"
echo "== accuracy of both on three chips: one was trained to stand noise, of the other the compile recovered it"
"$afmc" validate "$beside/demo.$target" --instances 3
"$afmc" validate "$beside/demo-teacher.$target" --instances 3

# next DIR: what to do with a compile.
next() {
    echo "== what to do next"
    echo "   look at it:            $afmc report $1    (writes $1/report.html)"
    echo "   write text with it:    $afmc run $1 'It was a truth'"
    echo "   energy and time:       $afmc costs $1"
    echo "   another day, hotter:   $afmc validate $1 --at 1d --temperature 85C"
    echo "   other hardware:        $afmc targets list, then $afmc compile demo --target NAME"
    echo "   your own model:        $afmc compile FOLDER_OR_HUB_ID; docs/start/your-model.md"
}

if [ "${SMOLLM2:-}" = no ]; then
    next "$beside/demo.$target"
    exit 0
fi

get_smollm2 "$venv"
compile smollm2-135m "$results" SmolLM2-135M
echo "== accuracy on three chips, on text that comes with Python"
"$afmc" validate "$results" --tokens 2048 --instances 3
echo "== results: $results"
echo "   A model that was not trained for analog hardware falls apart there as it is (compile with -O0);"
echo "   the compile recovered most of it, and 'afmc inspect' lists how: docs/guide/recover.md."
next "$results"
