"""Which tasks are asked for: names, examples before each question, local data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afmc.errors import OptionError, did_you_mean
from afmc.evaluation.benchmarks.local import files_of, sha256_of, task_config

GROUPS: dict[str, tuple[str, ...]] = {
    "afm-paper": (
        "mmlu:5", "gsm8k_cot:8", "boolq:0", "hellaswag:5", "medqa_4options:2", "agieval_en:0",
        "arc_challenge:10", "arc_easy:10", "anli_r1:7", "anli_r2:7", "anli_r3:7", "ifeval:0",
    ),
}  # fmt: skip
"""Tasks by the name of a group: those of Büchel et al., Analog Foundation Models, NeurIPS 2025, but
for MATH-500 and XSTest, with as many examples as there."""


@dataclass(frozen=True)
class Task:
    """A task of lm-eval, or one of local data."""

    name: str
    shots: int | None = None
    """Examples before each question; None: as many as the task says."""
    config: Mapping[str, Any] | None = field(default=None, hash=False)
    """Of a task of local data."""
    data_sha256: str | None = None

    @property
    def text(self) -> str:
        """As it was asked for."""
        return self.name if self.shots is None else f"{self.name}:{self.shots}"


def read_tasks(asked: Sequence[str], data: Path | None = None) -> tuple[Task, ...]:
    """Tasks by name, ``arc_easy`` or with so many examples ``arc_easy:10``, and groups of them.

    With `data` all are of JSON lines in that folder: `afmc.evaluation.benchmarks.local`. Names of
    lm-eval's own tasks are checked when that is imported, see `check_names`. Raises OptionError.
    """
    words = [word for each in asked if each for word in GROUPS.get(each, (each,))]
    parsed = [_parse(word) for word in words]
    names = [each.name for each in parsed]
    if not parsed:
        raise OptionError("--tasks names no task; for instance --tasks arc_easy,lambada_openai.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"--tasks names {twice} twice.")
    if data is None:
        return tuple(parsed)
    files, found = files_of(data, names), []
    for each in parsed:
        if each.shots:
            raise OptionError(
                f"--tasks {each.text}: local data have no examples beside the questions; leave "
                f":{each.shots} out."
            )
        config = task_config(each.name, files[each.name])
        found.append(Task(each.name, each.shots, config, sha256_of(files[each.name])))
    return tuple(found)


def _parse(word: str) -> Task:
    name, colon, shots = word.strip().partition(":")
    if not name or (colon and not shots.isdigit()):
        raise OptionError(
            f"--tasks {word}: a task is a name, or a name and a number of examples: arc_easy:10."
        )
    return Task(name, int(shots) if colon else None)


def check_names(tasks: Sequence[Task], known: Sequence[str]) -> None:
    """Raises OptionError for a task that lm-eval does not have."""
    there = set(known)
    for each in tasks:
        if each.config is None and each.name not in there:
            raise OptionError(
                f"--tasks {each.name}: lm-eval has no such task."
                f"{did_you_mean(each.name, sorted(there))} Tasks of your own are JSON lines in a "
                f"folder: --data FOLDER."
            )
