"""What a pass is.

A pass is a callable ``(Program, Target) -> Program``. With options it is a frozen dataclass whose
documented fields are the options; the command line, the record in the program and `--help` come
from them. There is no base class and no registry: a pass of another package comes in by the
entry-point group ``afmc.passes`` or by ``afmc.compile(..., passes=[...])``.

A pass may have more methods, by which it takes part in the search for levers (changes that need
fewer tiles, and what would make a model fit): those of `Proves`, `HasAlternatives` and
`KeepsDigital`. Nothing else knows which passes there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from afmc.program.program import Allocation, Program
from afmc.targets import Target


class Pass(Protocol):
    def __call__(self, program: Program, target: Target, /) -> Program: ...


@runtime_checkable
class Proves(Protocol):
    """A pass that allocates, and can say how many tiles that takes without doing it."""

    def prove(self, program: Program, target: Target, /) -> Allocation:
        """The proof that the pass would put into the program."""
        ...


Kind = Literal["free", "rule", "less"]


@dataclass(frozen=True)
class Alternative:
    """Another choice of options of one pass, to be tried as a lever."""

    options: Mapping[str, object]
    kind: Kind = "free"
    """``free``: costs nothing when the model runs. ``rule``: asks more of the target; of these one
    is chosen, and those that ask least come first. ``less``: gives up something that was asked
    for, and is tried where a model does not fit."""


@runtime_checkable
class HasAlternatives(Protocol):
    """A pass that other values of its options could do better than those it has."""

    def alternatives(self, program: Program, target: Target, /) -> Sequence[Alternative]:
        """What is worth trying, seen from the program that all passes made of it."""
        ...


@runtime_checkable
class KeepsDigital(Protocol):
    """A pass that decides which matrices stay digital."""

    def keeping(self, patterns: Sequence[str], /) -> Mapping[str, object]:
        """Its options with which matrices of these patterns stay digital besides."""
        ...


def name_of(step: Pass) -> str:
    """The name under which a pass is listed and its options are set: ``allocate``.

    A function's or class's own name in lower case.
    """
    return str(getattr(step, "__name__", type(step).__name__)).lower()


def options_of(step: Pass) -> dict[str, Any]:
    """The options of a pass as plain values."""
    if is_dataclass(step) and not isinstance(step, type):
        return asdict(step)
    return {}
