#!/usr/bin/env bash
# From nothing to a language model on noisy analog tiles: environment, model, compile, accuracy.
# Repeated, it neither downloads nor converts again.
#
#   PYTHON   the interpreter to use, 3.11 or newer   [python3.11, or python3]
#   VENV     where the environment goes              [.venv]
#   RESULTS  where the compiled model goes           [results/smollm2-135m.afm-512-projected]
#   TARGET   the hardware                            [afm-512-projected]
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/environment.sh

venv=${VENV:-.venv}
target=${TARGET:-afm-512-projected}
results=${RESULTS:-results/smollm2-135m.$target}

make_environment "$venv" gguf
afmc=$venv/bin/afmc

if [ -f "$results/program.json" ]; then
    echo "== $results is there already; remove it to compile again"
    "$afmc" inspect "$results"
else
    echo "== compile SmolLM2-135M onto $target"
    "$afmc" compile smollm2-135m --target "$target" -o "$results"
fi
echo "== accuracy on three chips, on text that comes with Python"
"$afmc" validate "$results" --tokens 2048 --instances 3
echo "== results: $results"
echo "   A model that was not trained for analog hardware loses much there, most of it to 8-bit"
echo "   converters with static ranges; README.md says where, and what '--digital down_proj' saves."
echo "   look again:  $afmc inspect $results"
echo "   text:        $afmc run $results 'The capital of France is' --digital"
