"""From a name, a file or a target to a checked target.

Targets come in by the entry-point group `afmc.targets`: `NAME = "some.package"` stands for the file
`NAME.toml` in that package. The targets of afmc itself are no exception. The package that holds the
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
from typing import Any

from pydantic import ValidationError

from afmc.errors import TargetError, did_you_mean
from afmc.targets.schema import Target
from afmc.targets.sentences import first_problem

GROUP = "afmc.targets"
OPTION = "device.options."


def load_target(
    target: str | Path | Target, overrides: Mapping[str, object] = MappingProxyType({})
) -> Target:
    """The target of that name, or in that `.toml` file, with some figures replaced.

    Overrides have dotted keys, `{"crossbar.rows": 1152}`. None takes an optional figure away.
    """
    if isinstance(target, Target):
        return _override(target, overrides)
    if isinstance(target, Path) or target.endswith(".toml"):
        return _override(_read(Path(target)), overrides)
    return _override(_installed(target), overrides)


def list_targets() -> list[str]:
    """Names that `load_target` knows."""
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


def _installed(name: str) -> Target:
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
    target = _read(_folder(name, distribution, package) / f"{name}.toml")
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


def _read(file: Path | Traversable) -> Target:
    if file.is_dir():
        raise TargetError(f"{file} is a directory: give the .toml file in it.")
    try:
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
    if "overrides" in data:
        raise TargetError(f"{file}:overrides is not a known key: write the figures themselves.")
    return _validate(data, str(file))


def _validate(data: dict[str, Any], label: str) -> Target:
    try:
        return Target.model_validate(data)
    except ValidationError as error:
        raise TargetError(first_problem(error, label, data.get("overrides", {}))) from None


def _override(target: Target, overrides: Mapping[str, object]) -> Target:
    if not overrides:
        return target
    data = target.model_dump()
    device, earlier = data["device"], dict(target.overrides)
    if overrides.get("device.noise", target.device.noise) != target.device.noise:
        device["options"] = {}  # they were the arguments of another class
        device["origin"].pop("options", None)
        earlier = {k: v for k, v in earlier.items() if not k.startswith(OPTION)}
    known = [f"{OPTION}NAME" if key == "device.options" else key for key in Target.keys()]
    for key, value in overrides.items():
        table, _, figure = key.partition(".")
        if key.startswith(OPTION):
            device["options"][key.removeprefix(OPTION)] = value
        elif key in known:
            data[table][figure] = value
            data[table]["origin"].pop(figure, None)
        else:
            raise TargetError(
                f"{key}, set by the user, is not a known key of a target."
                + did_you_mean(key, known)
            )
    device["options"] = {k: v for k, v in device["options"].items() if v is not None}
    data["overrides"] = earlier | dict(overrides)
    return _validate(data, target.name)
