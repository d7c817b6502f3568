"""The checks in order, and what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afmc.targets import Target, load_target
from afmc.verifier import blocks, broken, checkpoint, claims, layout, matrices, recovery, use
from afmc.verifier.disk import (
    PROGRAM,
    ROUTING,
    TABLES,
    Damaged,
    check_folder,
    read_json,
    read_program,
    read_routing,
    read_tables,
    read_target,
)
from afmc.verifier.mapped import Mapped
from afmc.verifier.report import Check, Finding, Outcome, Report
from afmc.verifier.sealed import MANIFEST, unchanged


@dataclass(frozen=True)
class _Rule:
    """A check to make: what holds if it passes, by which function, after which others."""

    name: str
    claim: str
    find: Callable[[Mapped], Finding]
    needs: tuple[str, ...] = ()


FILES, UNCHANGED = "files", "unchanged"

RULES = (
    _Rule("matrices", "matrices have distinct names and possible sizes", matrices.matrices),
    _Rule(
        "sides",
        "every matrix is either digital or in exactly one group",
        matrices.sides,
        ("matrices",),
    ),
    _Rule(
        "layers",
        "no two matrices are of one layer, each is stored as its layer keeps it",
        matrices.layers,
        ("sides",),
    ),
    _Rule(
        "groups",
        "the matrices of a group read the same input over the same rows; columns add up",
        matrices.groups,
        ("sides",),
    ),
    _Rule(
        "weights",
        "matrices, biases and the rest are the model's weights, tied ones counted once",
        matrices.weights,
        ("sides",),
    ),
    _Rule(
        "owners",
        "every block is of a copy and replica that exist, and none of these is without",
        blocks.owners,
        ("groups",),
    ),
    _Rule("cover", "every weight is in exactly one block", blocks.cover, ("owners",)),
    _Rule("row cuts", "row cuts run across all columns", blocks.row_cuts, ("cover",)),
    _Rule("once", "every block is allocated once and placed once", layout.once),
    _Rule("crossbars", "every block is inside its crossbar", layout.inside, ("once",)),
    _Rule("chips", "chips, tiles and tiers are there", layout.places, ("once",)),
    _Rule(
        "defects",
        "no block is on a crossbar that is listed as dead; orders have every line once",
        broken.defects,
        ("once",),
    ),
    _Rule("overlap", "no two blocks are on the same cells", layout.overlaps, ("once",)),
    _Rule(
        "co-location",
        "blocks share a crossbar only as the rule allows",
        layout.neighbours,
        ("once", "owners"),
    ),
    _Rule(
        "agreement",
        "allocation and placements say the same",
        layout.agreement,
        ("once",),
    ),
    _Rule(
        "routing",
        "a token of the sample goes to as many different experts as it takes",
        use.routing,
        ("matrices",),
    ),
    _Rule(
        "replicas",
        "replicas keep within their budget and save what is said",
        use.replication,
        ("cover", "routing"),
    ),
    _Rule("turns", "blocks on one line take turns", layout.turns, ("once",)),
    _Rule(
        "placing",
        "the placement's load follows, no bound is above its value",
        use.placing,
        ("once", "owners"),
    ),
    _Rule("summary", "the summary's figures follow", claims.summary, ("once", "routing")),
    _Rule(
        "bounds",
        "tiles are counted rightly, no bound is too high",
        claims.bounds,
        ("once",),
    ),
    _Rule(
        "recovery",
        "what was recovered is possible, its tensors have their shapes, its costs follow",
        recovery.recovery,
        ("sides",),
    ),
    _Rule(
        "model folder",
        "the weights on disk have the matrices' shapes",
        checkpoint.weights_on_disk,
        ("matrices",),
    ),
)


def verify(directory: str | Path, target: str | Path | Target | None = None) -> Report:
    """Whether the mapping that `afmc compile` wrote to a folder is what it claims to be.

    Parameters
    ----------
    directory: what ``afmc compile -o DIR`` wrote. All files are hashed; only ``program.json``,
        ``blocks.npz``, ``routing.npz`` and the headers of the weights in ``model/`` are read.
    target: the hardware to hold the mapping against, instead of the one in ``program.json``.

    Raises ArtifactError for a folder that is no compile's, TargetError for a `target` that cannot
    be read; whatever is wrong with the mapping is in the report.
    """
    directory = Path(directory)
    check_folder(directory)
    data = read_json(directory / PROGRAM)
    given = None if target is None else load_target(target)
    mapped, files, differs = _read(directory, data, given)
    needed = [name for name in (PROGRAM, TABLES, ROUTING) if (directory / name).is_file()]
    sealed = _made(
        UNCHANGED,
        "every file is as it was when the compile was finished",
        unchanged(directory, data, tuple(needed)),
    )
    checks = [files, sealed, *([_skipped(rule, FILES) for rule in RULES] if mapped is None else [])]
    if mapped is not None:
        checks += _check(mapped)
    name = given.name if given is not None else _name_of_target(data)
    return Report(str(directory), name, differs, tuple(checks))


def _check(mapped: Mapped) -> Iterator[Check]:
    passed = set()
    for rule in RULES:
        missing = [need for need in rule.needs if need not in passed]
        if missing:
            yield _skipped(rule, missing[0])
            continue
        check = _made(rule.name, rule.claim, rule.find(mapped))
        # A check with nothing to look at stands in no other's way.
        passed |= {rule.name} if check.outcome != "failed" else set()
        yield check


def _made(name: str, claim: str, found: Finding) -> Check:
    outcome: Outcome = "failed" if found.problems else "skipped" if found.skipped else "passed"
    return Check(name, claim, outcome, found.counts, found.problems, found.notes)


def _skipped(rule: _Rule, need: str) -> Check:
    return Check(rule.name, rule.claim, "skipped", notes=(f"not looked at without '{need}'",))


def _read(
    directory: Path, data: Mapping[str, Any], given: Target | None
) -> tuple[Mapped | None, Check, tuple[str, ...]]:
    """What is on disk, unless a file is damaged; the check of the files; and where a target that
    the user gave is not the program's own."""
    problems, program, own, tables, lines, routing = [], None, None, None, None, None
    known = [PROGRAM, TABLES, MANIFEST, checkpoint.MODEL, recovery.FILE]
    try:
        program = read_program(data)
        own = read_target(data)
        if program.routing is not None:
            known.append(ROUTING)
        routing = {} if program.routing is None else read_routing(directory)
    except Damaged as error:
        problems.append(str(error))
    try:
        tables, lines = read_tables(directory)
    except Damaged as error:
        problems.append(str(error))
    others = sorted(p.name for p in directory.iterdir() if p.name not in known)
    notes = (f"not read: {', '.join(others)}",) if others else ()
    counts = (
        {}
        if tables is None
        else {name: len(next(iter(table.values()))) for name, table in tables.items()}
    )
    check = _made(FILES, "the files are whole", Finding(counts, tuple(problems), notes))
    if program is None or own is None or tables is None or lines is None or routing is None:
        return None, check, ()
    mapped = Mapped(directory, program, own, given or own, lines=lines, routing=routing, **tables)
    return mapped, check, () if given is None else _differences(own, given)


def _differences(own: Target, given: Target) -> tuple[str, ...]:
    """Figures of the target that the user gave that are others than the program's."""
    one, other = ({key: value for key, value, _ in t.figures()} for t in (own, given))
    keys = dict.fromkeys((*one, *other))
    found = [
        f"{key} is {_spell(one.get(key))} in {PROGRAM}, {_spell(other.get(key))} in {given.name}"
        for key in keys
        if one.get(key) != other.get(key)
    ]
    if own.name != given.name:
        found.insert(0, f"the program is for {own.name}, not for {given.name}")
    return tuple(found)


def _spell(value: object) -> str:
    return "not given" if value is None else str(value)


def _name_of_target(data: Mapping[str, Any]) -> str:
    target = data.get("target")
    name = target.get("name") if isinstance(target, dict) else None
    return name if isinstance(name, str) else "unknown"
