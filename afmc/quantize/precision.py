"""How weights are rounded."""

from __future__ import annotations

from dataclasses import dataclass

from afmc.errors import OptionError

LEAST_BITS, MOST_BITS = 2, 8


@dataclass(frozen=True)
class Precision:
    """Bits of a weight, and how many inputs of an output share a scale."""

    bits: int
    group: int | None = None
    """None: all of them."""

    def __post_init__(self) -> None:
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise OptionError(
                f"weights are rounded to {LEAST_BITS} to {MOST_BITS} bits, not {self.bits}."
            )
        if self.group is not None and self.group < 1:
            raise OptionError(f"a group has at least one input, not {self.group}.")

    @classmethod
    def parse(cls, text: str) -> Precision:
        """``4``, or with groups of 32 inputs ``4:32``. Raises OptionError in one sentence."""
        bits, colon, group = text.strip().partition(":")
        if not bits.isdigit() or (colon and not group.isdigit()):
            raise OptionError(
                f"{text}: give a number of bits, 4, or with the inputs of a group that share a "
                f"scale 4:32."
            )
        return cls(int(bits), int(group) if colon else None)

    def __str__(self) -> str:
        by = f"groups of {self.group} inputs" if self.group else "outputs"
        return f"{self.bits} bits, scales of {by}"

    @property
    def largest(self) -> int:
        """The last level; levels lie between it and its negative."""
        return int(2 ** (self.bits - 1) - 1)
