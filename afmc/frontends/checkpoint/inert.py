"""Pickles read as plain data: instructions are followed, but nothing is imported or called."""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from afmc.errors import ModelError

T = TypeVar("T")

_MOST_BYTES = 1 << 24  # a hundred thousand tensors; what a byte asks for takes up to 64 of them
_LONGEST_NAME = 80
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class Named:
    """A class or a function that a pickle names; it was not looked up."""

    name: str
    """Module and name, with a dot between."""


@dataclass(eq=False)
class Made:
    """What a pickle would have made by calling something."""

    by: str
    """Full name of the class or the function."""
    arguments: tuple[Any, ...]
    items: dict[str | int, Any] = field(default_factory=dict)
    """Items of a mapping."""
    state: Any = None
    """Usually the attributes, by name."""


def read_pickle(
    data: bytes,
    file: Path | str,
    what: str,
    known: Callable[[str], bool],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The object in a pickle, with `Named` and `Made` where the pickle names and calls.

    `known` says which full names may stand in it: those of `what`, in words. `persistent` gives
    what a persistent id stands for; without it there may be none. Raises ModelError about `file`.
    """
    if len(data) > _MOST_BYTES:
        raise ModelError(f"{file} has a pickle of {len(data):,} bytes, too long for {what}.")
    reader = _Reader(file, what, known, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return reader.pop()
            reader.follow(opcode.name, argument)
    except _DAMAGE as error:
        raise ModelError(
            f"{file} is truncated or damaged: its pickle cannot be followed ({error})."
        ) from error
    raise ModelError(f"{file} is truncated or damaged: its pickle has no end.")


class _Reader:
    """The stack and the memo that a pickle works on."""

    def __init__(
        self,
        file: Path | str,
        what: str,
        known: Callable[[str], bool],
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        self.file, self.what, self.known, self.persistent = file, what, known, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def follow(self, opcode: str, argument: Any) -> None:
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case _ if opcode in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode])
            case _ if opcode in _ARGUMENTS:
                self.stack.append(argument)
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "MARK":
                self.stack.append(_Reader)  # an object that no pickle can put there
            case _ if opcode in _TUPLES:
                self.stack.append(tuple(self._last(_TUPLES[opcode])))
            case "TUPLE":
                self.stack.append(tuple(self._since_mark()))
            case "APPEND" | "APPENDS":
                values = self._last(1) if opcode == "APPEND" else self._since_mark()
                _as(list, self.stack[-1]).extend(values)
            case "SETITEM" | "SETITEMS":
                self._set(self._last(2) if opcode == "SETITEM" else self._since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "POP":
                self.pop()
            case "GLOBAL":
                self._name(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                module, name = self._last(2)
                self._name(f"{_as(str, module)}.{_as(str, name)}")
            case "REDUCE" | "NEWOBJ":
                by, arguments = self._last(2)
                self.stack.append(Made(_as(Named, by).name, _as(tuple, arguments)))
            case "BUILD":
                state = self.pop()
                _as(Made, self.stack[-1]).state = state
            case "BINPERSID" if self.persistent is not None:
                self.stack.append(self.persistent(self.pop()))
            case _:
                raise ModelError(
                    f"{self.file} has the pickle instruction {opcode}, which is no part of "
                    f"{self.what}; nothing of it was run."
                )

    def _name(self, name: str) -> None:
        if not self.known(name):
            raise ModelError(
                f"{self.file} names {shown(name)}, which is no part of {self.what}; nothing of it "
                f"was run."
            )
        self.stack.append(Named(name))

    def _last(self, size: int) -> list[Any]:
        start = len(self.stack) - size
        if start < 0:
            raise IndexError("it takes more than it has")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _since_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.pop()) is not _Reader:
            values.append(value)
        return values[::-1]

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Made) else _as(dict, target)
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise TypeError(f"a key that is a {type(key).__name__}")
            items[key] = value


def shown(name: str) -> str:
    """A name from a file that is not trusted, short and printable."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return short if short.isprintable() else ascii(short)


def _as(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value
