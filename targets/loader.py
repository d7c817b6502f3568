"""From a name, a file or a description to a checked one.

Descriptions come in by the entry-point group `afmc.targets`: `NAME = "some.package"` stands for the
file `NAME.toml` in that package. Those of afmc itself are no exception. The package that holds the
file is not imported, only its parents are.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from afmc.errors import TargetError, did_you_mean
from afmc.targets.modes import in_mode
from afmc.targets.schema import Baseline, Description, Target
from afmc.targets.sentences import problems_in, spell
from afmc.targets.tables import BY_BITS

GROUP = "afmc.targets"
OPTION = "device.options."
_NAMED = {"device.options": ".NAME", **{f"output.{each}": ".BITS" for each in BY_BITS.values()}}
"""Figures that have a name after the key, and how it is written."""
D = TypeVar("D", bound=Description)

_LARGEST_FILE = 1 << 24
"""Bytes of a description; those of afmc itself have some thousand."""


def load_target(
    target: str | Path | Target, overrides: Mapping[str, object] = MappingProxyType({})
) -> Target:
    """The target of that name, or in that `.toml` file, with some figures replaced.

    ``NAME:MODE`` is the target in one of its modes. Overrides have dotted keys,
    `{"crossbar.rows": 1152}`. None takes an optional figure away. Raises TargetError in one
    sentence, also for a digital baseline, to which nothing can be compiled.
    """
    found = target if isinstance(target, Target) else load_description(target)
    if isinstance(found, Target):
        return _override(found, overrides)
    raise TargetError(
        f"{found.name} is digital: the cost model compares with it, but no model is compiled to "
        f"it; choose an analog target (afmc targets list)."
    )


def load_description(target: str | Path) -> Target | Baseline:
    """Like `load_target`, for digital baselines too."""
    if isinstance(target, Path) or target.endswith(".toml"):
        return _read(Path(target), None)
    name, colon, mode = target.partition(":")
    if ":" in mode:
        raise TargetError(f"{target} names several modes: choose one of them.")
    if not colon:
        return _installed(target, None)
    if name.endswith(".toml"):
        return _read(Path(name), mode)
    return _installed(name, mode)


def list_targets() -> list[str]:
    """Names that `load_description` knows."""
    return sorted(_owners())


def target_schema() -> dict[str, Any]:
    """JSON Schema of a target file, for editors and validators."""
    from afmc.targets.jsonschema import json_schema

    return json_schema()


def _owners() -> dict[str, dict[tuple[str, str], EntryPoint]]:
    """Entry points by name, then by distribution and package.

    A distribution that is seen twice, as an editable install can be, owns a name once.
    """
    owners: dict[str, dict[tuple[str, str], EntryPoint]] = defaultdict(dict)
    for entry in entry_points(group=GROUP):
        distribution = entry.dist.name if entry.dist else "an unknown distribution"
        owners[entry.name][distribution, entry.value] = entry
    return owners


def _installed(name: str, mode: str | None) -> Target | Baseline:
    owners = _owners()
    if name not in owners:
        known = sorted(owners)
        names = f"one of {', '.join(known)}" if known else "an installed target (there are none)"
        raise TargetError(
            f"unknown target '{name}': it is neither a .toml file nor {names}."
            + did_you_mean(name, known)
        )
    if len(owners[name]) > 1:
        both = " and ".join(f"{dist} ({package})" for dist, package in sorted(owners[name]))
        raise TargetError(f"target '{name}' is offered by {both}: uninstall all but one of them.")
    [((distribution, package), _)] = owners[name].items()
    target = _read(_folder(name, distribution, package) / f"{name}.toml", mode)
    if target.name != name:
        raise TargetError(
            f"target '{name}' of {distribution} calls itself '{target.name}': "
            f"its file and its name must agree."
        )
    return target


def _folder(name: str, distribution: str, package: str) -> Traversable:
    where = f"target '{name}' of {distribution} should be in the package '{package}'"
    try:
        spec = find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise TargetError(f"{where}, which is not there: reinstall {distribution}.")
        return files(module_from_spec(spec))
    except TargetError:
        raise
    except Exception as error:  # the parents of the package are other people's code
        raise TargetError(f"{where}, which cannot be found: {error}.") from error


def _read(file: Path | Traversable, mode: str | None) -> Target | Baseline:
    if file.is_dir():
        raise TargetError(f"{file} is a directory: give the .toml file in it.")
    try:
        if isinstance(file, Path):
            _check_regular(file)
        data = tomllib.loads(file.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise TargetError(
            f"{file} does not exist: give a .toml file or one of {', '.join(list_targets())}."
        ) from None
    except OSError as error:
        raise TargetError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TargetError(
            f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8."
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise TargetError(f"{file} is not valid TOML: {error}.") from error
    for key in ("overrides", "mode"):
        if key in data:
            raise TargetError(f"{file}:{key} is not a known key: write the figures themselves.")
    match data.get("kind", "analog"):
        case "analog":
            return _analog(data, str(file), mode)
        case "digital":
            baseline = _validate(Baseline, data, str(file))
            if mode is not None:
                raise TargetError(f"{baseline.name} is digital: it has no mode '{mode}'.")
            return baseline
        case kind:
            raise TargetError(f"{file}:kind must be 'analog' or 'digital', but is {spell(kind)}.")


def _check_regular(file: Path) -> None:
    """Raises OSError where there is nothing, TargetError for what is not to be read whole."""
    size = file.stat().st_size
    if not file.is_file():
        raise TargetError(f"{file} is a pipe or a device; name a file.")
    if size > _LARGEST_FILE:
        raise TargetError(
            f"{file} has {size:,} bytes, and at most {_LARGEST_FILE:,} are read; cut it."
        )


def _analog(data: dict[str, Any], file: str, mode: str | None) -> Target:
    """The target in that mode. Its other modes are checked too: a file is right as a whole."""
    target = _validate(Target, data, file)
    uses: dict[str | None, Target] = {None: target}
    for name in dict.fromkeys((*target.modes, *([] if mode is None else [mode]))):
        label = f"{file}, mode {name}"
        uses[name] = _validate(Target, in_mode(target, name, label), label)
    return uses[mode]


def _validate(kind: type[D], data: dict[str, Any], label: str) -> D:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        overrides = data.get("overrides", {})
        raise TargetError("\n".join(problems_in(error, kind, label, overrides))) from None


def _optional(table: str) -> bool:
    """Whether a table may have none of its figures."""
    kind = Target.tables()[table]
    return not any(map(kind.requires, kind.keys()))


def _override(target: Target, overrides: Mapping[str, object]) -> Target:
    if not overrides:
        return target
    data = target.to_data()
    device, earlier = data["device"], dict(target.overrides)
    if overrides.get("device.noise", target.device.noise) != target.device.noise:
        device["options"] = {}  # they were the arguments of another class
        device["origin"].pop("options", None)
        earlier = {k: v for k, v in earlier.items() if not k.startswith(OPTION)}
    earlier = _restated(data, earlier, target, overrides)
    known = [key + _NAMED.get(key, "") for key in Target.keys()]
    for key, value in overrides.items():
        table, _, figure = key.partition(".")
        figure, _, name = figure.partition(".")
        if f"{table}.{figure}" in _NAMED and name:
            data[table].setdefault(figure, {})[name] = value
        elif key == "mode":
            raise TargetError(
                f"mode, set by the user, is not a figure: name the target as {target.name}:{value}."
            )
        elif key not in known:
            raise TargetError(
                f"{key}, set by the user, is not a known key of a target."
                + did_you_mean(key, known)
            )
        elif data.get(table) is None and not _optional(table):
            raise TargetError(
                f"{key}, set by the user: {target.name} has no table [{table}]; add it to the file."
            )
        else:
            if data.get(table) is None:
                data[table] = {"source": "set by the user", "basis": "assumed", "origin": {}}
            data[table][figure] = value
            data[table]["origin"].pop(figure, None)
            if value is None and not Target.tables()[table].requires(figure):
                del data[table][figure]
    for table, figure in (key.split(".") for key in _NAMED):
        if figure in data[table]:
            kept = {k: v for k, v in data[table][figure].items() if v is not None}
            data[table][figure] = kept
    data["overrides"] = earlier | dict(overrides)
    label = target.name if target.mode is None else f"{target.name}, mode {target.mode}"
    return _validate(Target, data, label)


def _restated(
    data: dict[str, Any],
    earlier: dict[str, Any],
    target: Target,
    overrides: Mapping[str, object],
) -> dict[str, Any]:
    """With figures of a conversion said to be those of the bits that the target had so far.

    They were stated for them. Changes the data, and returns the overrides so far, with new names.
    """
    before = target.output.bits
    if before is None or overrides.get("output.bits", before) == before:
        return earlier
    output = data["output"]
    for figure, by_bits in BY_BITS.items():
        if output.get(figure) is None or f"output.{figure}" in overrides:
            continue
        output[by_bits] = output.get(by_bits, {}) | {str(before): output.pop(figure)}
        origin = output["origin"]
        if figure in origin:
            origin[by_bits] = origin.pop(figure)
        names = {f"output.{figure}": f"output.{by_bits}.{before}"}
        earlier = {names.get(key, key): value for key, value in earlier.items()}
    return earlier
