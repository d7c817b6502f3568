"""How weights make use of full conductance, and inputs of the converters' range, by kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from afmc.common.numbers import percent
from afmc.program.observed import OCTAVES, Distribution
from afmc.program.program import Program
from afmc.report.names import Kinds, layer_of

SIZES = (*(f"> 1/{2**octave}" for octave in range(1, OCTAVES + 1)), f"at most 1/{2**OCTAVES}")
"""Headings, of full scale."""


@dataclass(frozen=True)
class Row:
    """Distribution of a kind of matrices, the mean over them."""

    kind: str
    count: int
    shares: tuple[tuple[str, float], ...]
    """Shares of values by size: as text, and in per cent."""
    worst: str
    """The layer most of whose inputs are clipped, and how many; empty for weights, and where none
    are."""


@dataclass(frozen=True)
class DistributionView:
    weights: tuple[Row, ...]
    inputs: tuple[Row, ...]
    about: str


def view_of(program: Program, kinds: Kinds) -> DistributionView | None:
    """None for a program that knows nothing of its weights."""
    known = program.distributions
    if known is None:
        return None
    alike: dict[int, list[tuple[str, Distribution]]] = {}
    for name, distribution in known.matrices.items():
        alike.setdefault(kinds.of(name), []).append((name, distribution))
    names = kinds.names()
    seen = "tokens" if program.model.unit == "token" else "samples"
    about = (
        f"Inputs are those of {known.tokens:,} {seen} of {known.text} (measured)."
        if known.tokens
        else "No inputs were seen: the target needs no ranges, or there was no text."
    )
    return DistributionView(
        weights=tuple(
            _row(names[kind], [each.weights[1:] for _, each in mine])
            for kind, mine in alike.items()
        ),
        inputs=tuple(_inputs(names, alike)),
        about=about,
    )


def _inputs(
    names: Sequence[str], alike: dict[int, list[tuple[str, Distribution]]]
) -> Iterator[Row]:
    for kind, mine in alike.items():
        seen = [(name, each) for name, each in mine if each.inputs]
        if not seen:
            continue
        name, most = max(seen, key=lambda pair: pair[1].inputs[0])
        worst = f"{layer_of(name)}: {_text(most.inputs[0])}" if most.clipped else ""
        yield _row(names[kind], [each.inputs for _, each in seen], worst)


def _row(kind: str, shares: Sequence[Sequence[float]], worst: str = "") -> Row:
    means = np.mean(np.asarray(shares), axis=0).tolist()
    return Row(kind, len(shares), tuple((_text(each), 100 * each) for each in means), worst)


def _text(share: float) -> str:
    """To a tenth of a per cent, or two digits of what is less; and a zero that is one."""
    return percent(share) if share >= 0.001 else f"{100 * share:.2g} %"
