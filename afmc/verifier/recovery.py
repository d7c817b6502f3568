"""What is said of a recovery is about matrices that are there, its tensors fit, costs follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from afmc.verifier.checkpoint import Shape, read_header
from afmc.verifier.disk import Damaged, Matrix, Recovery
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding

FILE = "recovery.safetensors"
_LEAST_READS = 64
"""With which the mean error of a matrix is measured."""


def recovery(mapped: Mapped) -> Finding:
    """Names, ranks and limits are possible, tensors have their shapes, and costs follow."""
    said = mapped.program.recovery
    if said is None:
        if (mapped.directory / FILE).exists():
            return Finding({}, (f"{FILE} is there, but the program was not recovered.",))
        if mapped.program.summary.get("recovery") is not None:
            return Finding({}, ("the summary has a recovery, but the program has none.",))
        return Finding({}, notes=("the program was not recovered",), skipped=True)
    problems = [*_names(mapped, said), *_figures(mapped, said)]
    if not problems:
        problems += [*_tensors(mapped, said), *_costs(mapped, said)]
    counts = {
        "matrices corrected": len(said.ranks),
        "inputs rotated": len(said.rotated),
        "tokens of the prefix": len(said.prefix),
    }
    notes = (
        "not counted again: additions of rotations; not proved again: what was measured, and that "
        "no choice within the budget is worth more",
    )
    return Finding(counts, tuple(problems), notes)


def _names(mapped: Mapped, said: Recovery) -> Iterator[str]:
    program = mapped.program
    analog = {matrix.name for matrix in program.analog}
    for what, names, known in (
        ("a limit of weights", said.clips, program.by_name.keys()),
        ("directions", said.ranks, analog),
        ("what it costs on tiles", said.divergences, program.by_name.keys()),
        ("a choice to be digital", said.digital, program.digital),
        ("a rotation", said.rotated, {matrix.input for matrix in program.matrices}),
    ):
        others = [name for name in names if name not in known]
        if others:
            yield f"the recovery has {what} of {others[0]}, to which that cannot belong."
    if len(set(said.rotated)) < len(said.rotated):
        yield "the recovery rotates an input twice."


def _figures(mapped: Mapped, said: Recovery) -> Iterator[str]:
    for name, rank in said.ranks.items():
        matrix = mapped.program.by_name.get(name)
        if matrix is not None and rank > matrix.rows:
            yield f"{name} is corrected in {rank:,} directions of {matrix.rows:,} rows."
    for name, limit in said.clips.items():
        if limit <= 0:
            yield f"weights of {name} are cut at {limit:g} root mean squares."
    for name, cost in said.divergences.items():
        if cost < 0:
            yield f"{name} is said to cost {cost:g} nats."
    for name, whole in (("predicted", said.predicted), ("together", said.together)):
        if whole is not None and (whole < 0 or not said.divergences):
            yield f"recovery.{name} is {whole:g} nats, but must follow from what matrices cost."
    if (said.predicted is None) != (said.together is None):
        yield "recovery.predicted and recovery.together are not there both."
    if said.ranks and said.reads < 1:
        yield "errors are measured with no reads."


def _tensors(mapped: Mapped, said: Recovery) -> Iterator[str]:
    """The header of the file, against what the program has."""
    wanted = {} if mapped.program.shapes_only else dict(_wanted(mapped, said))
    file = mapped.directory / FILE
    if not (wanted or said.prefix):
        if file.exists():
            yield f"{FILE} is there, but the recovery has no tensors."
        return
    if mapped.program.shapes_only:
        return
    try:
        found = read_header(file, FILE)
    except Damaged as error:
        yield str(error)
        return
    of_prefix = {name: shape for name, shape in found.items() if name.startswith("prefix.")}
    for name, shape in wanted.items():
        if found.get(name) != shape:
            yield f"{FILE}: {name} is {found.get(name, 'not there')}, but must be {shape}."
            return
    unknown = found.keys() - wanted.keys() - of_prefix.keys()
    if unknown:
        yield f"{FILE}: {min(unknown)} belongs to nothing in the program."
    yield from _prefix(of_prefix, len(said.prefix))


def _prefix(found: Mapping[str, Shape], tokens: int) -> Iterator[str]:
    if not tokens and found:
        yield f"{FILE} has a prefix, of which the program says nothing."
    if not tokens:
        return
    if found.get("prefix.tokens") != (tokens,):
        yield f"{FILE}: prefix.tokens is {found.get('prefix.tokens')}, but must be {(tokens,)}."
    layers = [name for name in found if name != "prefix.tokens"]
    pairs = {name.rpartition(".")[0] for name in layers}
    if not layers or len(layers) != 2 * len(pairs):
        yield f"{FILE}: keys and values of the prefix are not there in pairs."
    short = [name for name in layers if len(found[name]) != 4 or found[name][2] != tokens]
    if short:
        yield f"{FILE}: {short[0]} is {found[short[0]]}, but the prefix has {tokens} tokens."


def _wanted(mapped: Mapped, said: Recovery) -> Iterator[tuple[str, Shape]]:
    for name, (rows, rank) in _widest(mapped, said).items():
        yield f"directions.{name}.mean", (rows,)
        yield f"directions.{name}.basis", (rows, rank)
        yield f"directions.{name}.energy", (rank,)
        yield f"directions.{name}.rest", ()


def _widest(mapped: Mapped, said: Recovery) -> dict[str, tuple[int, int]]:
    """Rows and directions of each activation that is projected."""
    found: dict[str, tuple[int, int]] = {}
    for name, rank in said.ranks.items():
        matrix = mapped.program.by_name[name]
        before = found.get(matrix.input, (matrix.rows, 0))
        found[matrix.input] = (matrix.rows, max(rank, before[1]))
    return found


def _costs(mapped: Mapped, said: Recovery) -> Iterator[str]:
    """What the summary says that corrections cost."""
    claimed = mapped.program.summary.get("recovery")
    if not isinstance(claimed, dict):
        yield "summary.recovery is missing."
        return
    macs, values, reads = _counted(mapped, said)
    rotation = claimed.get("rotation_macs")
    every = sum(_macs(matrix) for matrix in mapped.program.matrices)
    share = (macs + rotation) / every if isinstance(rotation, int | float) and every else None
    for key, follows in (
        ("level", said.level),
        ("prefix_tokens", len(said.prefix)),
        ("correction_macs", macs),
        ("correction_values", values),
        ("correction_share", share),
        ("reads", reads),
    ):
        if not _same(claimed.get(key), follows):
            yield f"summary.recovery.{key} is {claimed.get(key)}, but {follows} follows."


def _counted(mapped: Mapped, said: Recovery) -> tuple[float, int, int]:
    """Multiply-accumulates of a token, numbers that are kept, and reads of a matrix."""
    analog, macs, values = mapped.program.analog, 0.0, 0
    for name, (rows, rank) in _widest(mapped, said).items():
        often = max(matrix.per_token for matrix in analog if matrix.input == name)
        macs, values = macs + often * rows * rank, values + rows * rank
    for name, rank in said.ranks.items():
        matrix = mapped.program.by_name[name]
        macs += matrix.per_token * matrix.cols * rank
        values += matrix.copies * matrix.cols * (rank + 1)
    reads = [_power(max(_LEAST_READS, said.reads * r, r + 1)) for r in said.ranks.values()]
    return macs, values, round(sum(reads) / len(reads)) if reads else 0


def _power(count: int) -> int:
    """The next power of two."""
    return int(2 ** math.ceil(math.log2(count)))


def _macs(matrix: Matrix) -> float:
    return matrix.per_token * matrix.rows * matrix.cols


def _same(claimed: Any, follows: Any) -> bool:
    number = type(claimed) in (int, float)
    return number and follows is not None and math.isclose(claimed, follows, rel_tol=1e-9)
