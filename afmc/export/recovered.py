"""What a compile recovered that a format of another program cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from afmc.common.tables import count, listed
from afmc.errors import OptionError
from afmc.program.program import Program


def recovered_in(program: Program) -> list[str]:
    """What was done to recover accuracy, in words; nothing where nothing was."""
    recovery = program.recovery
    return [] if recovery is None else list(_parts(program))


def _parts(program: Program) -> Iterator[str]:
    recovery = program.recovery
    assert recovery is not None
    if recovery.prefix:
        yield f"the prefix of {count(len(recovery.prefix), 'token')}"
    if recovery.rotated:
        yield f"rotations of {count(len(recovery.rotated), 'input')}"
    if recovery.clips:
        yield f"limits of the weights of {count(len(recovery.clips), 'matrix', 'matrices')}"
    if recovery.wires:
        yield "weights that are written for the loss in wires"
    if recovery.ranks:
        yield f"corrections of {count(len(recovery.ranks), 'matrix', 'matrices')}"


def notes_on_recovery(program: Program, where: str) -> tuple[str, ...]:
    """A note on what there is not in a format, `where`."""
    parts = recovered_in(program)
    if not parts:
        return ()
    return (
        f"of the recovery of this compile, -O{program.recovery and program.recovery.level}, "
        f"{where} does not hold {listed(parts)}",
    )


def check_inputs_as_they_are(program: Program, format: str) -> None:
    """Raises OptionError where input ranges are those of other inputs than the model's own."""
    recovery = program.recovery
    if recovery is None or not (recovery.prefix or recovery.rotated):
        return
    parts = recovered_in(program)
    raise OptionError(
        f"{program.model.name} was compiled with {listed(parts)}, which {format} does not "
        f"have, and with input ranges for that: compile with -O0, or with --without "
        f"prefix,rotation."
    )
