"""Compiles 72 programs and compares their bytes with those of another commit.

    python tests/replay.py --against main~3      with that commit, in a worktree of its own
    python tests/replay.py --record hashes.json  writes this tree's hashes
    python tests/replay.py --check hashes.json   compares this tree with recorded hashes

Six models, three targets, four settings: SHA-256 of `program.json` and of `blocks.npz`. Whoever
moves or restructures code has changed nothing if all are equal; a wanted change of the format is a
commit of its own. `--models demo gpt2` takes some of them. Exit status 1 where a program differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import ChainMap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONFIGS = Path("examples", "configs")  # relative: a program holds the name that it was given
MODELS = ("demo", "smollm2-135m", "gpt2", "llama-3.2-1b", "phi-3-mini", "mixtral-8x7b")
TARGETS = ("afm-512-projected", "hermes-64", "moe-3d")
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "parallel": {"settings": {"allocate.rule": "parallel", "merge.enabled": False}},
    "latency": {"digital": ["lm_head"], "objective": "latency"},
    "defects": {"defects": "cells_off=0.001,seed=7"},
}
FILES = ("program.json", "blocks.npz")


def hashes(model: str) -> dict[str, str]:
    """SHA-256 of each file of each program of a model, by ``model target setting file``."""
    import afmc

    found: dict[str, str] = {}
    for target, (name, options) in product(TARGETS, SETTINGS.items()):
        is_name = model == "demo"
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "out"
            compiled = afmc.compile(
                model if is_name else CONFIGS / f"{model}.json",
                target,
                shapes_only=not is_name,
                **options,
                level=0,
            )
            compiled.save(folder)
            for file in FILES:
                digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
                found[f"{model} {target} {name} {file}"] = digest
    return found


def hashes_of(tree: Path, models: Sequence[str]) -> dict[str, str]:
    """The hashes that the code in `tree` gives: a process a model, as many at once as cores."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONWARNINGS": "ignore"}

    def run(model: str) -> dict[str, str]:
        script = (
            f"import runpy; print(runpy.run_path({str(Path(__file__))!r})['as_json']({model!r}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(ChainMap(*pool.map(run, models)))


def as_json(model: str) -> str:
    return json.dumps(hashes(model))


def of_commit(revision: str, models: Sequence[str]) -> dict[str, str]:
    """The hashes that a commit gives, in a worktree that is removed afterwards."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(tree), revision], check=True)
        try:
            return hashes_of(tree, models)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--against", metavar="REV")
    what.add_argument("--record", metavar="FILE", type=Path)
    what.add_argument("--check", metavar="FILE", type=Path)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    asked = parser.parse_args()
    now = hashes_of(ROOT, asked.models)
    if asked.record is not None:
        asked.record.write_text(json.dumps(now, indent=1) + "\n")
        print(f"{len(now)} hashes recorded")
        return 0
    if asked.against:
        before = of_commit(asked.against, asked.models)
    else:
        recorded: dict[str, str] = json.loads(asked.check.read_text())
        before = {name: sha for name, sha in recorded.items() if name.split()[0] in asked.models}
    names = sorted(now.keys() | before.keys())
    differ = [name for name in names if now.get(name) != before.get(name)]
    for name in differ:
        print(f"differs: {name}")
    print(f"{len(names) - len(differ)} of {len(names)} are equal")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
