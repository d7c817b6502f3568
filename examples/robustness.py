"""An off-the-shelf model beside an analog foundation model: what noisy tiles cost each of them.

    python examples/robustness.py [--models demo-teacher demo] [--targets hermes-64 ...]
                                  [--instances 10] [--seed 0]

Perplexity, measured in simulation: digital in 32-bit floating point; on perfect devices, wires and
converters, which round to the target's bits; with everything that the target describes, just after
programming, mean and standard deviation over instances (manufactured chips).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import afmc
from afmc.data.text import Text
from afmc.errors import AfmcError
from afmc.evaluation.results import Estimate

MODELS = ("demo-teacher", "demo")
TARGETS = ("hermes-64", "afm-512-projected")
HEADINGS = (
    "model",
    "target",
    "digital",
    "converters alone",
    "with noise",
    "with noise / digital",
)


@dataclass(frozen=True)
class Robustness:
    """Perplexities of one model on one target."""

    model: str
    target: str
    digital: float
    converters: float
    noisy: Estimate


def measure(
    models: Mapping[str, str | Path],
    targets: Sequence[str],
    instances: int,
    seed: int,
    *,
    tokens: int = 4096,
    calibration: Text | None = None,
    validation: Text | None = None,
) -> Iterator[Robustness]:
    """Perplexities of each model on each target; `models` has what each is called in the table."""
    for target in targets:
        for name, model in models.items():
            compiled = afmc.compile(model, target, text=calibration, level=0)  # as it is
            clean = compiled.without_noise().validate(validation, tokens=tokens, instances=1)
            noisy = compiled.validate(validation, tokens=tokens, instances=instances, seed=seed)
            yield Robustness(
                name, target, noisy.digital_perplexity, clean.perplexity.mean, noisy.perplexity
            )


def cells_of(row: Robustness) -> tuple[str, ...]:
    """A row of the table."""
    spread = "" if row.noisy.std is None else f" ± {row.noisy.std:,.2f}"
    perplexities = (f"{row.digital:,.2f}", f"{row.converters:,.2f}")
    noisy = (f"{row.noisy.mean:,.2f}{spread}", f"{row.noisy.mean / row.digital:.2f}")
    return (f"`{row.model}`", f"`{row.target}`", *perplexities, *noisy)


def table(rows: Iterable[Robustness]) -> str:
    """The perplexities in Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells_of(row))} |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    models = {name: name for name in options.models}
    try:
        print(table(measure(models, options.targets, options.instances, options.seed)))
    except AfmcError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
