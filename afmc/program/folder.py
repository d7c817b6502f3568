"""A program on disk: a folder, written whole or not at all, without pickles."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from afmc.common.files import check_folder, put_back, written_folder
from afmc.common.manifest import NAME, Made, Manifest, read_manifest
from afmc.common.shown import shown
from afmc.common.strict_arrays import NO_LIMIT, NotArrays, read_arrays
from afmc.common.strict_json import read_object
from afmc.common.unchanged import difference, difference_within
from afmc.common.unfinished import is_unfinished
from afmc.common.version import VERSION
from afmc.errors import ArtifactError, OptionError
from afmc.fit import Lever
from afmc.hardware.defects import DEFECT, Defects, Rates
from afmc.program.compiled import CompiledProgram
from afmc.program.model import Matrix, Model, Remainder, Work
from afmc.program.observed import Calibration, Distributions, Routing, Training
from afmc.program.program import (
    ALLOCATION,
    BLOCK,
    LINE,
    ORDER,
    PLACEMENT,
    SCHEMA_VERSION,
    Allocation,
    Applied,
    Group,
    Placing,
    Program,
    Repair,
    Replication,
    Table,
)
from afmc.program.recovery import Recovery
from afmc.program.rewriting import Rewriting
from afmc.program.rules import problems
from afmc.program.summary import Summary
from afmc.targets import Target, load_target

PROGRAM = "program.json"
TABLES = "blocks.npz"
ROUTING = "routing.npz"
MEASURED = "compile.json"
RECOVERY = "recovery.safetensors"
MODEL_FOLDER = "model"
_NAMES = (PROGRAM, TABLES, ROUTING, RECOVERY, MEASURED, MODEL_FOLDER)
_TABLES = {
    "blocks": BLOCK,
    "allocations": ALLOCATION,
    "placements": PLACEMENT,
    "orders": ORDER,
    "lines": LINE,
    "defects": DEFECT,
}
_MOST_ROWS = dict.fromkeys(("blocks", "allocations", "placements", "orders"), 1 << 24)
"""Four times as many blocks as a trillion weights have on crossbars of 512 x 512."""


def to_json(program: Program, target: Target, summary: Summary) -> dict[str, Any]:
    """``program.json`` as plain values; the tables are apart, in ``blocks.npz``."""
    defects = program.defects
    return {
        "schema_version": SCHEMA_VERSION,
        "afmc_version": VERSION,
        "model": asdict(program.model),
        "calibration": asdict(program.calibration) if program.calibration else None,
        "training": asdict(program.training) if program.training else None,
        "recovery": asdict(program.recovery) if program.recovery else None,
        "rewriting": asdict(program.rewriting) if program.rewriting else None,
        "routing": program.routing.source if program.routing else None,
        "target": target.model_dump(mode="json", exclude_unset=True),
        "passes": [asdict(step) for step in program.applied],
        "summary": summary.to_json(),
        "replication": asdict(program.replication) if program.replication else None,
        "allocation": asdict(program.allocation) if program.allocation else None,
        "placing": asdict(program.placing) if program.placing else None,
        "digital": dict(program.digital) if program.digital is not None else None,
        "groups": [asdict(group) for group in program.groups],
        "matrices": [asdict(matrix) for matrix in program.matrices],
        "remainder": [asdict(rest) for rest in program.remainder],
        "work": [asdict(each) for each in program.work],
        "defects": {"name": defects.name, "rates": defects.rates and asdict(defects.rates)}
        if defects
        else None,
        "moved": program.moved,
        "repair": asdict(program.repair) if program.repair else None,
        "distributions": asdict(program.distributions) if program.distributions else None,
    }


def write_program(
    directory: Path,
    program: Program,
    target: Target,
    summary: Summary,
    measured: Callable[[], Mapping[str, Any]],
    write_more: Callable[[Path], None] = lambda folder: None,
    *,
    force: bool = False,
) -> None:
    """Writes the folder beside its place and exchanges the two, so that a kill loses nothing.

    `write_more` adds files (weights, graph); `measured` is asked last. An older compile of the same
    model for the same target is replaced, with `force` any other one, too; what else is in
    `directory` stays. Raises ArtifactError where `check_writable` does.
    """
    made = check_writable(directory, program.model.name, target, force=force)[0]
    with written_folder(directory, made, VERSION, force=force, refusal=ArtifactError) as folder:
        write_more(folder)
        _write_tables(folder / TABLES, _tables(program))
        if program.routing is not None:
            experts: dict[str, Any] = dict(program.routing.experts)
            with (folder / ROUTING).open("wb") as file:
                np.savez(file, **experts)
        _write_json(folder / MEASURED, {"schema_version": SCHEMA_VERSION, **measured()})
        _write_json(folder / PROGRAM, to_json(program, target, summary))


def _tables(program: Program) -> dict[str, Table]:
    entries = Defects() if program.defects is None else program.defects
    tables = {name: getattr(program, name) for name in _TABLES if name != "defects"}
    return {**tables, "defects": entries.table}


def made_of(kind: str, model: str, target: Target) -> Made:
    """What the manifest of a folder of that kind says."""
    return Made(kind, model, f"{target.name}:{target.mode}" if target.mode else target.name)


def check_writable(
    directory: Path, model: str, target: Target, *, force: bool = False
) -> tuple[Made, Made | None]:
    """What a compile there would be, and what it would replace.

    Raises ArtifactError when a program cannot be written there: where afmc did not write what is
    there, and without `force` where that is a compile of another model or for another target.
    """
    made = made_of("compile", model, target)
    return made, check_folder(directory, made, _NAMES, force=force, refusal=ArtifactError)


def _write_tables(path: Path, tables: Mapping[str, Table]) -> None:
    """As np.savez, but deflated, and at the level that costs least: tables become a seventh."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, table in tables.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, table, allow_pickle=False)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_program(directory: Path) -> CompiledProgram:
    """A program that `write` finished. Raises ArtifactError in one sentence for anything else."""
    put_back(directory)
    _check_finished(directory)
    data, measured = _read_json(directory / PROGRAM), _read_json(directory / MEASURED)
    _check_measured(directory / MEASURED, measured)
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{directory / PROGRAM} has schema version {shown(str(version))}, this afmc reads "
            f"{SCHEMA_VERSION}; compile again."
        )
    tables = _read_tables(directory / TABLES)
    try:
        target = Target.model_validate(data["target"])
        program = _program(data, tables, directory)
        levers = _parse(tuple[Lever, ...], data["summary"]["levers"])
        version = _parse(str, data["afmc_version"])
    except (KeyError, ValidationError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{directory / PROGRAM} is damaged ({shown(reason, 300)}); compile again."
        ) from error
    if program.allocation is None or program.digital is None:
        raise ArtifactError(f"{directory} is damaged: something is missing; compile again.")
    broken = next(problems(program, target), None)
    if broken:
        raise ArtifactError(f"{directory} is damaged: {shown(broken, 400)} Compile again.")
    _check_unchanged(directory, program, target)
    return CompiledProgram(program, target, levers, measured, version)


def _check_finished(directory: Path) -> None:
    """Raises ArtifactError for what is no folder of a compile."""
    if not directory.exists():
        raise ArtifactError(
            f"{directory} does not exist; make it with 'afmc compile MODEL -o DIR'."
        )
    for name in (PROGRAM, NAME):
        if not (directory / name).is_file() or is_unfinished(directory):
            raise ArtifactError(
                f"{directory} is not a finished afmc compile: it has no {name}; "
                f"run 'afmc compile MODEL -o {directory}'."
            )


def _program(data: Mapping[str, Any], tables: dict[str, Any], directory: Path) -> Program:
    """The program of ``program.json`` and its tables."""
    entries = tables.pop("defects")
    return Program(
        model=_parse(Model, data["model"]),
        calibration=_parse(Calibration | None, data["calibration"]),
        training=_parse(Training | None, data["training"]),
        recovery=_parse(Recovery | None, data["recovery"]),
        rewriting=_parse(Rewriting | None, data["rewriting"]),
        routing=_read_routing(directory / ROUTING, _parse(str | None, data["routing"])),
        matrices=_parse(tuple[Matrix, ...], data["matrices"]),
        remainder=_parse(tuple[Remainder, ...], data["remainder"]),
        work=_parse(tuple[Work, ...], data["work"]),
        digital=_parse(dict[str, str] | None, data["digital"]),
        groups=_parse(tuple[Group, ...], data["groups"]),
        replication=_parse(Replication | None, data["replication"]),
        allocation=_parse(Allocation | None, data["allocation"]),
        placing=_parse(Placing | None, data["placing"]),
        applied=_parse(tuple[Applied, ...], data["passes"]),
        moved=_parse(int | None, data["moved"]),
        repair=_parse(Repair | None, data["repair"]),
        distributions=_parse(Distributions | None, data["distributions"]),
        defects=_defects(_parse(dict[str, Any] | None, data["defects"]), entries),
        **tables,
    )


def _check_unchanged(directory: Path, program: Program, target: Target) -> None:
    """Raises ArtifactError unless what was read is what the manifest lists."""
    manifest = _manifest(directory)
    if manifest.made != (made := made_of("compile", program.model.name, target)):
        raise ArtifactError(
            f"{directory / NAME} is of {manifest.made}, but {PROGRAM} is {made}; compile again."
        )
    read = [PROGRAM, TABLES, MEASURED, *([ROUTING] if program.routing is not None else [])]
    if program.has_recovered:
        read.append(RECOVERY)
    try:
        reason = difference(directory, manifest, read)
    except OSError as error:
        raise ArtifactError(f"{directory} cannot be read: {error.strerror}.") from error
    if reason:
        raise ArtifactError(f"{reason}; compile again.")


def check_model(directory: Path, log: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of the model in a compile, with every file as it was saved and no other.

    Large files are hashed once, and `log` is called before. Raises ArtifactError in one sentence.
    """
    folder = directory / MODEL_FOLDER
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is missing; compile again.")
    try:
        reason = difference_within(directory, _manifest(directory), MODEL_FOLDER, log)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error.strerror}.") from error
    if reason:
        remedy = "remove it" if reason.endswith(f"is not in {NAME}") else "compile again"
        raise ArtifactError(f"{reason}; {remedy}.")
    return folder


def _manifest(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    if manifest is None:
        raise ArtifactError(f"{directory / NAME} is damaged; compile again.")
    return manifest


def require_weights(program: Program, purpose: str) -> None:
    """Raises ArtifactError for a program of shapes only; `purpose` is what needs more."""
    if program.model.shapes_only:
        raise ArtifactError(
            f"{program.model.name} was compiled from its shapes only, and {purpose} needs its "
            f"weights: compile the folder or id that holds them, without --shapes-only."
        )


_FIXED = (
    "crossbar.rows",
    "crossbar.columns",
    "tile.co_location",
    "tile.tiers",
    "chip.tiles",
    "system.chips",
)
"""Figures of a target that a mapping follows from."""


def with_figures(target: Target, overrides: Mapping[str, object]) -> Target:
    """The hardware of a mapping that is made, with other figures: `{"device.noise": None}`.

    Raises OptionError for a figure that the mapping follows from.
    """
    for key in overrides:
        if key in _FIXED:
            raise OptionError(f"target.{key} is what the mapping follows from: compile again.")
    return load_target(target, overrides)


def _parse(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


def _defects(said: Mapping[str, Any] | None, entries: Table) -> Defects | None:
    if said is None:
        return None
    return Defects(entries, _parse(Rates | None, said["rates"]), _parse(str, said["name"]))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); compile again.") from error
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read ({error}); compile again.") from error


def _check_measured(path: Path, measured: Mapping[str, Any]) -> None:
    """Raises ArtifactError unless it has seconds, also by stage, and megabytes."""
    stages = measured.get("stages_s")
    numbers: list[Any] = [measured.get("wall_s"), measured.get("peak_rss_mb")]
    if isinstance(stages, dict):
        numbers += stages.values()
    whole = all(type(each) in (int, float) and 0 <= each < 1e15 for each in numbers)
    if not isinstance(stages, dict) or not whole:
        raise ArtifactError(f"{path} is damaged: it has no times and memory; compile again.")


def _read_routing(path: Path, source: str | None) -> Routing | None:
    return None if source is None else Routing(source, _read_arrays(path))


def _read_arrays(
    path: Path, names: Iterable[str] | None = None, most: Mapping[str, int] = NO_LIMIT
) -> dict[str, Any]:
    """The arrays of an ``.npz`` file, all of them unless names are given."""
    try:
        return dict(read_arrays(path, names, most))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); compile again.") from error
    except NotArrays as error:
        raise ArtifactError(f"{path} cannot be read ({error}); compile again.") from error


def _read_tables(path: Path) -> dict[str, Any]:
    tables = _read_arrays(path, _TABLES, _MOST_ROWS)
    for name, dtype in _TABLES.items():
        if tables[name].dtype != dtype or tables[name].ndim != 1:
            raise ArtifactError(f"{path} is damaged ({name}); compile again.")
    return tables
