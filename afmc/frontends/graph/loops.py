"""Models that loop over the tokens of a text, as recurrent ones do: counted for one token.

Their graph has the loop written out, turn by turn, for as many tokens as the example has. What
a token takes follows from two graphs of different lengths.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import nn
from torch.export import ExportedProgram

from afmc.errors import ModelError
from afmc.frontends.graph.export import SEQUENCE, export, tokens_of_example
from afmc.frontends.graph.matrices import Account, Row, Structure, account
from afmc.program.model import Matrix

_SHORTER = 11
_NEAR = 0.1  # what is computed once for a text weighs more in a shorter one

_TAKES = ("aten.select.", "aten.slice.", "aten.narrow.", "operator.getitem")
"""How a turn of a loop comes by what belongs to its token."""

_Where = tuple[str, Row]
"""Path of a module, and what its operations are counted under."""


def structure_of(module: nn.Module, exported: ExportedProgram) -> Structure:
    """What a model is made of, whose graph this is. Raises ModelError."""
    return for_one_token(account(exported), module).structure()


def trace(module: nn.Module) -> Account:
    """Traces the graph of an example, which is quicker than one of any length."""
    return for_one_token(account(export(module, dynamic=False)), module)


def for_one_token(traced: Account, module: nn.Module) -> Account:
    """With each operation of a loop over the example's tokens once.

    `traced` is of the module's own graph. Raises ModelError where matrices or work of a token
    depend on how many there are.
    """
    config = getattr(module, "config", None)
    longer, shorter = (tokens_of_example(config, tokens) for tokens in (SEQUENCE, _SHORTER))
    here = _counts(traced)
    taken = (count for (_, (name, _)), count in here.items() if name.startswith(_TAKES))
    if shorter == longer or max(taken, default=0) < longer:
        return traced
    other = account(export(module, dynamic=False, tokens=shorter))
    there = _counts(other)
    if _matrices(traced) != _matrices(other) or not _same_work(traced, other):
        raise ModelError(
            f"{type(module).__name__} multiplies by other matrices, or does other work for a token,"
            f" where a text has {longer} tokens and where it has {shorter}."
        )
    kept = {
        where: count - (longer - 1) * (count - there[where]) // (longer - shorter)
        for where, count in here.items()
    }
    operations = []
    seen: Counter[_Where] = Counter()
    for row, place in traced.operations:
        where = _where(traced, row, place)
        seen[where] += 1
        if seen[where] <= kept[where]:
            operations.append((row, place))
    return replace(traced, operations=tuple(operations))


def _counts(traced: Account) -> Counter[_Where]:
    return Counter(_where(traced, row, place) for row, place in traced.operations)


def _where(traced: Account, row: Row, place: int | None) -> _Where:
    return ("" if place is None else traced.modules[place], row)


def _matrices(traced: Account) -> list[Matrix]:
    return [matrix for matrix, _ in traced.matrices]


def _same_work(one: Account, other: Account) -> bool:
    ours, theirs = (_work_of(each) for each in (one, other))
    return abs(ours - theirs) <= _NEAR * max(ours, theirs)


def _work_of(traced: Account) -> float:
    """Work of a token at the first position."""
    return sum(work.values + work.by_position for work, _ in traced.work)
