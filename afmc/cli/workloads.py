"""Workloads as options say them, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from afmc.costs import BaselineCosts, Costs, Workload, estimate, estimate_baseline
from afmc.costs.workload import CONTEXTS, usual_contexts
from afmc.errors import OptionError
from afmc.program.model import Model
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


def contexts_of(models: Sequence[Model], contexts: Sequence[int] = CONTEXTS) -> str:
    """What an option would say for contexts that nobody chose."""
    return ",".join(map(str, usual_contexts(models, contexts)))


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
