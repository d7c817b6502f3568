"""Reading `program.json` and `blocks.npz`, by the format alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from afmc.errors import ArtifactError
from afmc.targets import Target
from afmc.targets.sentences import problems_in
from afmc.verifier.intervals import Numbers
from afmc.verifier.report import more
from afmc.verifier.strict import archive_problem, parse_json

PROGRAM = "program.json"
TABLES = "blocks.npz"
ROUTING = "routing.npz"
NO_LIMIT: Mapping[str, int] = {}
_MOST_ROWS = {f"{name}.npy": 1 << 24 for name in ("blocks", "allocations", "placements", "orders")}
"""More than any mapping has; what is compressed may say anything of its length."""
READS = 2
"""The schema version that is read."""

_COLUMNS = {
    "blocks": ("group", "copy", "replica", "row", "col", "rows", "cols"),
    "allocations": ("block", "tile", "row", "col"),
    "placements": ("block", "chip", "tile", "tier", "row", "col"),
    "orders": ("chip", "tile", "tier", "rows", "cols"),
    "defects": ("chip", "tile", "tier", "row", "column", "polarity", "device", "state"),
}
_LINES = "lines"
"""An array without columns: the lines of crossbars in the orders in which they are filled."""
STATUSES = ("OPTIMAL", "FEASIBLE")
_MOST = 2**31 - 1
"""Tables count in 32 bits."""

Table = Mapping[str, Numbers]


class Damaged(Exception):
    """A file does not say what the format demands. Its text is one sentence."""


@dataclass(frozen=True)
class Matrix:
    name: str
    rows: int
    cols: int
    copies: int
    per_token: float
    input: str
    input_range: float | None
    slice_ranges: tuple[float, ...]
    stored: str
    bias: str | None
    tied_to: str | None
    module: str
    layer: str
    """Full name of the class that computes the product."""
    sources: tuple[str, ...]

    @property
    def ranges(self) -> tuple[float | None, ...]:
        """Input ranges of all rows, and of each row slice that has its own."""
        return self.input_range, *self.slice_ranges

    @property
    def weights(self) -> int:
        return self.rows * self.cols * self.copies


@dataclass(frozen=True)
class Group:
    members: tuple[str, ...]
    rows: int
    cols: int
    copies: int
    replicas: tuple[int, ...]
    """How often each copy is there; empty: once."""

    @property
    def name(self) -> str:
        rest = len(self.members) - 1
        return f"{self.members[0]} and {rest} more" if rest else self.members[0]


@dataclass(frozen=True)
class Proof:
    """What the program says of its allocation."""

    rule: str
    tiles: int
    lower_bound: int
    status: str
    bounds: Mapping[str, int]
    patterns: int
    turns: int
    mean_turns: float


@dataclass(frozen=True)
class Replication:
    """What the program says of its replicas."""

    objective: str
    tokens: int
    budget: int
    crossbars: int
    turns: int
    turns_alone: int
    lower_bound: int
    status: str
    divergence: float
    divergence_alone: float
    divergence_bound: float
    """0 where replicas are not for accuracy."""
    said: Mapping[str, Any]
    """All of it, as it stands there."""


@dataclass(frozen=True)
class Recovery:
    """What the program says was done to recover accuracy."""

    level: int
    prefix: tuple[int, ...]
    rotated: tuple[str, ...]
    clips: Mapping[str, float]
    digital: tuple[str, ...]
    divergences: Mapping[str, float]
    ranks: Mapping[str, int]
    reads: int
    predicted: float | None
    together: float | None


@dataclass(frozen=True)
class Placing:
    """What the program says of its placement."""

    chips: int
    load: float
    reached: Mapping[str, tuple[float, float]]
    """What it reached and what it says that no placement can undercut, by what is counted."""
    said: Mapping[str, Any]
    """All of it, as it stands there."""


@dataclass(frozen=True)
class Broken:
    """The map of defects for which the program was made."""

    name: str
    rates: Mapping[str, Any] | None
    """Rates of a random map besides what is listed."""


@dataclass(frozen=True)
class Program:
    """What `program.json` says, as far as it is verified."""

    model: Mapping[str, Any]
    parameters: int
    shapes_only: bool
    """No weights were read, so that none are beside the program."""
    matrices: tuple[Matrix, ...]
    groups: tuple[Group, ...]
    digital: frozenset[str]
    remainder: tuple[tuple[int, bool], ...]
    """Weights of the operations that no matrix covers, and whether they are lowered."""
    proof: Proof
    replication: Replication | None
    recovery: Recovery | None
    placing: Placing | None
    routing: str | None
    """Where the sample of tokens in `routing.npz` is from."""
    defects: Broken | None
    summary: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    """Options of each pass that ran."""
    methods: tuple[str, ...]
    """What was done about stuck cells."""

    @cached_property
    def by_name(self) -> dict[str, Matrix]:
        return {matrix.name: matrix for matrix in self.matrices}

    @property
    def analog(self) -> tuple[Matrix, ...]:
        return tuple(m for m in self.matrices if m.name not in self.digital)


def check_folder(directory: Path) -> None:
    """Raises ArtifactError, in one sentence, for what no compile finished."""
    if not directory.is_dir():
        raise ArtifactError(
            f"{directory} is not a folder; make one with 'afmc compile MODEL -o DIR'."
        )
    if not (directory / PROGRAM).is_file() or directory.name.endswith(".unfinished"):
        raise ArtifactError(
            f"{directory} is not a finished afmc compile: it has no {PROGRAM} to verify."
        )


def read_json(file: Path) -> Mapping[str, Any]:
    """An object. Raises ArtifactError for what is none, and so is no compile's."""
    try:
        value = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}): nothing to verify.") from error
    if not isinstance(value, dict) or "schema_version" not in value:
        raise ArtifactError(f"{file} was not written by afmc: it has no schema_version.")
    return value


def read_program(data: Mapping[str, Any]) -> Program:
    """Raises Damaged for the first thing that is not as the format demands."""
    if data["schema_version"] != READS:
        raise Damaged(
            f"{PROGRAM} has schema version {_spell(data['schema_version'])}, but what is verified "
            f"is version {READS}; verify it with the afmc that wrote it."
        )
    program = _Object(data, PROGRAM)
    model = program.object("model")
    return Program(
        model=model.values,
        parameters=model.whole("parameters", most=None),
        shapes_only=model.flag("shapes_only"),
        matrices=tuple(_matrix(each) for each in program.objects("matrices")),
        groups=tuple(_group(each) for each in program.objects("groups")),
        digital=frozenset(program.object("digital").values),
        remainder=tuple(
            (each.whole("weights", most=None), each.flag("lowered"))
            for each in program.objects("remainder")
        ),
        proof=_proof(program.object("allocation")),
        replication=_replication(program),
        recovery=_recovery(program),
        placing=_placing(program),
        routing=program.text("routing") if program.has("routing") else None,
        methods=program.object("repair").texts("methods") if program.has("repair") else (),
        defects=_broken(program.object("defects")) if program.has("defects") else None,
        summary=program.object("summary").values,
        options={
            each.text("name"): each.object("options").values for each in program.objects("passes")
        },
    )


def read_target(data: Mapping[str, Any]) -> Target:
    """The hardware in `program.json`, checked. Raises Damaged."""
    given = _Object(data, PROGRAM).object("target").values
    try:
        return Target.model_validate(given)
    except ValidationError as error:
        raise Damaged(problems_in(error, Target, f"{PROGRAM}: target", {})[0]) from None


def _matrix(one: _Object) -> Matrix:
    return Matrix(
        name=one.text("name"),
        rows=one.whole("rows"),
        cols=one.whole("cols"),
        copies=one.whole("copies"),
        per_token=one.number("per_token"),
        input=one.text("input"),
        input_range=one.number("input_range") if one.has("input_range") else None,
        slice_ranges=one.numbers("slice_ranges"),
        stored=one.word("stored", ("cols_rows", "rows_cols")),
        bias=one.text("bias") if one.has("bias") else None,
        tied_to=one.text("tied_to") if one.has("tied_to") else None,
        module=one.text("module"),
        layer=one.text("layer"),
        sources=one.texts("sources"),
    )


def _group(one: _Object) -> Group:
    group = Group(
        members=one.texts("members"),
        rows=one.whole("rows"),
        cols=one.whole("cols"),
        copies=one.whole("copies"),
        replicas=one.wholes("replicas"),
    )
    if not group.members:
        raise Damaged(f"{one.where}.members is empty.")
    return group


def _broken(one: _Object) -> Broken:
    return Broken(one.text("name"), one.object("rates").values if one.has("rates") else None)


def _proof(one: _Object) -> Proof:
    bounds = one.object("bounds")
    return Proof(
        rule=one.word("rule", ("exclusive", "parallel", "serial")),
        tiles=one.whole("tiles"),
        lower_bound=one.whole("lower_bound"),
        status=one.word("status", STATUSES),
        bounds={name: bounds.whole(name) for name in bounds.values},
        patterns=one.whole("patterns"),
        turns=one.whole("turns"),
        mean_turns=one.number("mean_turns"),
    )


def _replication(program: _Object) -> Replication | None:
    if not program.has("replication"):
        return None
    one = program.object("replication")
    return Replication(
        objective=one.word("objective", ("throughput", "latency", "accuracy")),
        tokens=one.whole("tokens"),
        budget=one.whole("budget"),
        crossbars=one.whole("crossbars"),
        turns=one.whole("turns", most=None),
        turns_alone=one.whole("turns_alone", most=None),
        lower_bound=one.whole("lower_bound", most=None),
        status=one.word("status", STATUSES),
        divergence=one.number("divergence") if one.has("divergence") else 0.0,
        divergence_alone=one.number("divergence_alone") if one.has("divergence_alone") else 0.0,
        divergence_bound=one.number("divergence_bound") if one.has("divergence_bound") else 0.0,
        said=one.values,
    )


def _recovery(program: _Object) -> Recovery | None:
    if not program.has("recovery"):
        return None
    one = program.object("recovery")
    clips, costs, ranks = (one.object(key) for key in ("clips", "divergences", "ranks"))
    return Recovery(
        level=one.whole("level"),
        prefix=one.wholes("prefix"),
        rotated=one.texts("rotated"),
        clips={name: clips.number(name) for name in clips.values},
        digital=one.texts("digital"),
        divergences={name: costs.number(name) for name in costs.values},
        ranks={name: ranks.whole(name) for name in ranks.values},
        reads=one.whole("reads"),
        predicted=one.number("predicted") if one.has("predicted") else None,
        together=one.number("together") if one.has("together") else None,
    )


def _placing(program: _Object) -> Placing | None:
    if not program.has("placing"):
        return None
    one = program.object("placing")
    pairs = [(key, one, key, f"{key}_bound") for key in ("reads", "load", "byte_hops")]
    if one.has("experts"):
        pairs.append(("reads for experts", one.object("experts"), "reads", "bound"))
    return Placing(
        chips=one.whole("chips"),
        load=one.number("load"),
        reached={
            what: (where.number(value), where.number(bound))
            for what, where, value, bound in pairs
            if where.has(value) or where.has(bound)
        },
        said=one.values,
    )


@dataclass(frozen=True)
class _Object:
    """A JSON object, and where it stands; whoever asks says what must be there."""

    values: Mapping[str, Any]
    where: str

    def has(self, key: str) -> bool:
        return self._value(key) is not None

    def object(self, key: str) -> _Object:
        value, where = self._value(key), self._at(key)
        if not isinstance(value, dict):
            raise Damaged(f"{where} must be an object, but is {_spell(value)}.")
        return _Object(value, where)

    def objects(self, key: str) -> list[_Object]:
        found = []
        for index, value in enumerate(self._list(key)):
            where = f"{self._at(key)}[{index}]"
            if not isinstance(value, dict):
                raise Damaged(f"{where} must be an object, but is {_spell(value)}.")
            found.append(_Object(value, where))
        return found

    def text(self, key: str) -> str:
        return self._text(self._value(key), self._at(key))

    def texts(self, key: str) -> tuple[str, ...]:
        where = self._at(key)
        return tuple(self._text(v, f"{where}[{i}]") for i, v in enumerate(self._list(key)))

    def word(self, key: str, words: Iterable[str]) -> str:
        value = self._value(key)
        if value not in words:
            raise Damaged(
                f"{self._at(key)} must be one of {', '.join(words)}, but is {_spell(value)}."
            )
        return str(value)

    def whole(self, key: str, most: int | None = _MOST) -> int:
        return self._whole(self._value(key), self._at(key), most)

    def wholes(self, key: str) -> tuple[int, ...]:
        where = self._at(key)
        values = enumerate(self._list(key))
        return tuple(self._whole(v, f"{where}[{i}]", _MOST) for i, v in values)

    def flag(self, key: str) -> bool:
        value = self._value(key)
        if not isinstance(value, bool):
            raise Damaged(f"{self._at(key)} must be true or false, but is {_spell(value)}.")
        return value

    def number(self, key: str) -> float:
        return self._number(self._value(key), self._at(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        where = self._at(key)
        return tuple(self._number(v, f"{where}[{i}]") for i, v in enumerate(self._list(key)))

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise Damaged(f"{self.where} has no {key}.")
        return self.values[key]

    def _list(self, key: str) -> list[Any]:
        value = self._value(key)
        if not isinstance(value, list):
            raise Damaged(f"{self._at(key)} must be a list, but is {_spell(value)}.")
        return value

    def _at(self, key: str) -> str:
        return f"{self.where}{': ' if self.where == PROGRAM else '.'}{key}"

    @staticmethod
    def _text(value: Any, where: str) -> str:
        if not isinstance(value, str) or not value.isprintable():
            raise Damaged(f"{where} must be a line of text, but is {_spell(value)}.")
        return value

    @staticmethod
    def _number(value: Any, where: str) -> float:
        if type(value) not in (int, float) or not abs(value) < math.inf:
            raise Damaged(f"{where} must be a number, but is {_spell(value)}.")
        return float(value)

    @staticmethod
    def _whole(value: Any, where: str, most: int | None) -> int:
        if type(value) is not int:
            raise Damaged(f"{where} must be a whole number, but is {_spell(value)}.")
        if value < 0 or (most is not None and value > most):
            to = "" if most is None else f" to {most:,}"
            raise Damaged(f"{where} must be a whole number from 0{to}, but is {_spell(value)}.")
        return value


def _spell(value: Any) -> str:
    """As JSON has it, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_tables(directory: Path) -> tuple[dict[str, Table], Numbers]:
    """The tables by name, each by column, and the lines of orders. Raises Damaged."""
    with _opened(directory / TABLES, _MOST_ROWS) as stored:
        tables = {name: _columns(stored, name) for name in _COLUMNS}
        lines = _lines(stored)
    rows, cols = (tables["blocks"][key] for key in ("rows", "cols"))
    empty = np.flatnonzero((rows < 1) | (cols < 1))
    if len(empty):
        size = f"{rows[empty[0]]} x {cols[empty[0]]}"
        raise Damaged(
            f"{TABLES}: block {empty[0]} is {size}, but must be at least 1 x 1{more(len(empty))}"
        )
    return tables, lines


def read_routing(directory: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of `routing.npz` by name, whatever they hold. Raises Damaged."""
    with _opened(directory / ROUTING) as stored:
        return {name: np.asarray(stored[name]) for name in stored.files}


@contextmanager
def _opened(file: Path, most: Mapping[str, int] = NO_LIMIT) -> Iterator[np.lib.npyio.NpzFile]:
    """An archive of arrays; raises Damaged, also for what is found wrong while reading it."""
    try:
        if problem := archive_problem(file, most):
            raise Damaged(f"{file.name}: {problem}.")
        with file.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise Damaged(f"{file.name} is a single array, not an archive of several.")
            yield stored
    except FileNotFoundError:
        raise Damaged(f"{file.name} is not there.") from None
    except Damaged:
        raise
    except Exception as error:  # of a damaged file numpy and zipfile raise nearly every type
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise Damaged(f"{file.name} cannot be read: {reason.splitlines()[0]}.") from error


def _lines(stored: np.lib.npyio.NpzFile) -> Numbers:
    if _LINES not in stored.files:
        raise Damaged(f"{TABLES} has no table {_LINES}.")
    lines = stored[_LINES]
    if lines.dtype != np.dtype("<i4") or lines.ndim != 1:
        raise Damaged(
            f"{TABLES}: the table {_LINES} must be 32-bit whole numbers in one dimension, but is "
            f"{lines.dtype} in {lines.ndim}."
        )
    return np.asarray(lines, np.int64)


def _columns(stored: np.lib.npyio.NpzFile, name: str) -> Table:
    if name not in stored.files:
        raise Damaged(f"{TABLES} has no table {name}.")
    table = stored[name]
    wanted = np.dtype([(column, "<i4") for column in _COLUMNS[name]])
    if table.dtype != wanted or table.ndim != 1:
        found = ", ".join(f"{key} {table.dtype[key]}" for key in table.dtype.names or ())
        raise Damaged(
            f"{TABLES}: the table {name} must have the columns {', '.join(_COLUMNS[name])} as "
            f"32-bit whole numbers in one dimension, but has {found or table.dtype} in "
            f"{table.ndim}."
        )
    # In 64 bits no sum of what stands there overflows.
    return {column: table[column].astype(np.int64) for column in _COLUMNS[name]}
