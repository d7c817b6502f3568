"""Workloads as options say them, and what they cost."""

from __future__ import annotations

from pathlib import Path

from afmc.common.strict_json import read_object
from afmc.costs import BaselineCosts, Costs, Workload, estimate, estimate_baseline
from afmc.errors import OptionError
from afmc.program.folder import MODEL_FOLDER
from afmc.program.program import Program
from afmc.targets import Baseline, Target
from afmc.targets.loader import load_description

Result = tuple[Costs, tuple[BaselineCosts, ...]]


def estimates(
    program: Program, target: Target, context: str, batch: str, phase: str, against: str
) -> list[Result]:
    """One for each context and batch, beside the digital hardware of that name.

    Raises OptionError for numbers that are none, and TargetError for analog hardware.
    """
    baselines = [] if against in ("", "none") else [_baseline(n) for n in _listed(against)]
    return [
        (
            estimate(program, target, each),
            tuple(estimate_baseline(program, other, each) for other in baselines),
        )
        for each in workloads(context, batch, phase)
    ]


CONTEXT = 512
"""Tokens of a workload that nobody chose, if the model takes so many."""


def context_of(directory: Path, asked: str | None) -> str:
    """The contexts that were asked for, or one that the model takes.

    Raises OptionError for one of more tokens than it has positions, as far as its folder says how
    many these are.
    """
    most = _positions(directory)
    if asked is None:
        return str(min(CONTEXT, most or CONTEXT))
    for each in _listed(asked):
        if most is not None and _whole("context", each) > most:
            raise OptionError(
                f"--context {each}: the model in {directory} has {most:,} positions, and so many "
                f"tokens are the most that one attends to."
            )
    return asked


def _positions(directory: Path) -> int | None:
    """None where only shapes were read, or where the model's configuration does not say."""
    file = directory / MODEL_FOLDER / "config.json"
    if not file.is_file():
        return None
    config = read_object(file)
    text = config.get("text_config")
    for each in (config, text if isinstance(text, dict) else {}):
        for key in ("max_position_embeddings", "n_positions"):
            if isinstance(found := each.get(key), int) and found > 0:
                return found
    return None


def workloads(context: str, batch: str, phase: str) -> list[Workload]:
    """Every context with every batch. Raises OptionError for numbers that are none."""
    return [
        Workload(
            phase,  # type: ignore[arg-type]  # which it checks
            _whole("context", tokens),
            _whole("batch", sequences),
        )
        for tokens in _listed(context)
        for sequences in _listed(batch)
    ]


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def _whole(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < len(text) < 10:
        raise OptionError(f"--{name} must be whole numbers with commas between, but has {text!r}.")
    return int(text)


def _baseline(name: str) -> Baseline:
    found = load_description(name)
    if isinstance(found, Target):
        raise OptionError(
            f"--against {name}: it is analog; compile the model for it, and compare the two."
        )
    return found
