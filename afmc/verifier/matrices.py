"""What is said of the matrices: their sizes, their sides, their groups, their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from afmc.verifier.disk import Group, Matrix
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Finding, counted, more

_ORDERS = {
    "torch.nn.modules.linear.Linear": "cols_rows",
    "transformers.pytorch_utils.Conv1D": "rows_cols",
    "transformers.models.falcon.modeling_falcon.FalconLinear": "cols_rows",
}
"""How the layers that tiles can take the place of keep their weights."""


def matrices(mapped: Mapped) -> Finding:
    """Names are distinct, sizes and ranges are possible, sources exist."""
    found = mapped.program.matrices
    names = Counter(matrix.name for matrix in found)
    problems = [
        *_first([n for n, times in names.items() if times > 1], "{} is the name of two matrices"),
        *_first(
            [m for m in found if min(m.rows, m.cols, m.copies) < 1],
            "{0.name} has {0.rows} rows, {0.cols} columns and {0.copies} copies, of which none "
            "can be 0",
        ),
        *_first(
            [(m, r) for m in found for r in m.ranges if r is not None and r <= 0],
            "{0[0].name} has the input range {0[1]:g}, which must be above 0",
        ),
        *_first(
            [m for m in found if m.slice_ranges and m.input_range != max(m.slice_ranges)],
            "{0.name} has row slices with input ranges of their own, but not the largest of them "
            "as its own",
        ),
        *_first(
            [m for m in found if m.rows < len(m.slice_ranges)],
            "{0.name} has more input ranges than rows",
        ),
        *_first(
            [m for m in found if m.per_token < 0],
            "{0.name} is used {0.per_token:g} times a token, which must not be below 0",
        ),
        *_first(
            [(m.name, s) for m in found for s in m.sources if s not in names],
            "{0[0]} names the source {0[1]}, which is no matrix",
        ),
    ]
    counts = {"matrices": len(found), "weights": sum(m.weights for m in found)}
    return Finding(counts, tuple(problems))


def sides(mapped: Mapped) -> Finding:
    """Every matrix is either digital or in exactly one group."""
    program = mapped.program
    held = Counter(name for group in program.groups for name in group.members)
    analog = [m.name for m in program.analog]
    problems = [
        *_first(sorted(program.digital - set(program.by_name)), "digital {} is no matrix"),
        *_first(
            [name for name in held if name not in program.by_name], "{} in a group is no matrix"
        ),
        *_first([name for name in held if name in program.digital], "{} is digital and in a group"),
        *_first([n for n in analog if n not in held], "{} is neither digital nor in a group"),
        *_first([n for n, times in held.items() if times > 1], "{} is in groups more than once"),
    ]
    counts = {"analog": len(analog), "digital": len(program.digital)}
    return Finding(counts, tuple(problems))


def layers(mapped: Mapped) -> Finding:
    """No two analog matrices are of one layer, and each is stored as its layer keeps it."""
    analog = mapped.program.analog
    modules = Counter(m.module for m in analog if m.module and m.copies == 1)
    problems = [
        *_first(
            [module for module, times in modules.items() if times > 1],
            "{} is the module of two matrices",
        ),
        *_first(
            [(m, _ORDERS[m.layer]) for m in analog if m.stored != _ORDERS.get(m.layer, m.stored)],
            "{0[0].name} is stored as {0[0].stored}, but its layer, a {0[0].layer}, keeps {0[1]}",
        ),
        *_first(
            [m for m in analog if m.name in (m.bias, m.tied_to)],
            "{0.name} is its own bias, or tied to itself",
        ),
    ]
    return Finding({"layers": len(modules)}, tuple(problems))


def groups(mapped: Mapped) -> Finding:
    """Members read the same input over the same rows; their columns are the group's."""
    problems = _by_kind(
        problem for group in mapped.program.groups for problem in _group(group, mapped)
    )
    return Finding({"groups": len(mapped.program.groups)}, tuple(problems))


def _group(group: Group, mapped: Mapped) -> Iterator[tuple[str, str]]:
    members = [mapped.program.by_name[name] for name in group.members]
    first = members[0]
    for one in members:
        if one.rows != group.rows:
            yield "rows", f"{one.name} has {one.rows} rows, but its group has {group.rows}"
        if one.copies != group.copies:
            yield "copies", f"{one.name} has {one.copies} copies, but its group has {group.copies}"
        if one.input != first.input:
            yield (
                "input",
                f"{one.name} reads {one.input}, but {first.name} of the same group reads "
                f"{first.input}",
            )
        if one.ranges != first.ranges:
            yield (
                "range",
                f"{one.name} has the input range {_range(one)}, but {first.name} of the same "
                f"group has {_range(first)}",
            )
    total = sum(one.cols for one in members)
    if total != group.cols:
        yield (
            "cols",
            f"the members of {group.name} add up to {total} columns, but the group has "
            f"{group.cols}",
        )
    if group.replicas and len(group.replicas) != group.copies:
        yield (
            "replicas",
            f"{group.name} has {len(group.replicas)} numbers of replicas, but "
            f"{counted(group.copies, 'copy', 'copies')}",
        )
    for copy, times in enumerate(group.replicas):
        if times < 1:
            yield "times", f"copy {copy} of {group.name} has {times} replicas"


def _range(matrix: Matrix) -> str:
    if matrix.slice_ranges:
        return ", ".join(f"{each:g}" for each in matrix.slice_ranges)
    return "none" if matrix.input_range is None else f"{matrix.input_range:g}"


def weights(mapped: Mapped) -> Finding:
    """Matrices, their biases and the rest are the model's parameters; tied ones count once."""
    program = mapped.program
    in_matrices = sum(m.weights for m in program.matrices)
    biases = {m.bias: m.cols * m.copies for m in program.matrices if m.bias is not None}
    rest = sum(count for count, _ in program.remainder)
    total = in_matrices + sum(biases.values()) + rest
    on_tiles = int(mapped.areas[mapped.blocks["replica"] == 0].sum())
    analog = sum(m.weights for m in program.analog)
    problems = []
    if total != program.parameters:
        problems.append(
            f"the model has {counted(program.parameters, 'weight')}, but matrices "
            f"({in_matrices:,}), their biases ({sum(biases.values()):,}) and the rest ({rest:,}) "
            f"add up to {total:,}."
        )
    if on_tiles != analog:
        problems.append(
            f"the analog matrices have {counted(analog, 'weight')}, but the blocks of their first "
            f"replicas hold {on_tiles:,}."
        )
    return Finding({"weights": program.parameters, "on tiles": on_tiles}, tuple(problems))


def _first(offenders: Sequence[object], sentence: str) -> Iterator[str]:
    """The sentence about the first of them, and how many there are."""
    if offenders:
        yield sentence.format(offenders[0]) + more(len(offenders))


def _by_kind(problems: Iterable[tuple[str, str]]) -> list[str]:
    """The first sentence of each kind, and how many of its kind there are."""
    kinds: dict[str, list[str]] = {}
    for kind, sentence in problems:
        kinds.setdefault(kind, []).append(sentence)
    return [sentences[0] + more(len(sentences)) for sentences in kinds.values()]
