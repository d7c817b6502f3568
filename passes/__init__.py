"""What a pass is.

A pass is a callable ``(Program, Target) -> Program``. With options it is a frozen dataclass whose
documented fields are the options; the command line, the record in the program and `--help` come
from them. There is no base class and no registry: a pass of another package comes in by the
entry-point group ``afmc.passes`` or by ``afmc.compile(..., passes=[...])``.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any, Protocol

from afmc.program.program import Program
from afmc.targets import Target


class Pass(Protocol):
    def __call__(self, program: Program, target: Target, /) -> Program: ...


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
