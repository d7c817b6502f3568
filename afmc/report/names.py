"""Names of matrices, taken apart: which layer, which kind, and which numbers it is of its kind."""

from __future__ import annotations

from afmc.inspect.kinds import kind_of


def layer_of(name: str) -> str:
    """``model.layers.3`` of ``model.layers.3.mlp.up_proj.weight``: up to the first number. Without
    one the first part, ``lm_head`` of ``lm_head.weight``."""
    parts = name.split(".")
    first = next((at for at, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: first + 1])


def numbers_of(name: str) -> list[int | str]:
    """What stands in the place of the stars of its kind, so that both together are the name."""
    return [
        int(part) if part.isascii() and part.isdecimal() and part == str(int(part)) else part
        for part in name.split(".")
        if part.isdigit() or part == "*"
    ]


class Kinds:
    """Kinds by number, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self.number.setdefault(kind_of(name), len(self.number))

    def packed(self, name: str) -> list[int | str]:
        """A name in a few bytes: the number of its kind, and its own numbers."""
        return [self.of(name), *numbers_of(name)]

    def names(self) -> list[str]:
        return list(self.number)
