"""The passes in order, their options, and the check after each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from afmc.errors import CapacityError, OptionError, PassError, did_you_mean
from afmc.ir import Applied, Lever, Program
from afmc.passes import Pass, name_of, options_of
from afmc.problems import problems
from afmc.targets import Target

PIPELINE = ("partition", "merge", "split", "allocate", "place")

Observer = Callable[[str], None]


def load_passes(names: Sequence[str] = PIPELINE) -> list[Pass]:
    """Passes by name, with their default options, from the entry-point group ``afmc.passes``.

    Raises OptionError for a name that nobody provides, or that two packages provide.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entry_points(group="afmc.passes"):
        owner = entry.dist.name if entry.dist else "unknown"
        found.setdefault(entry.name, {})[f"{entry.value} of {owner}"] = entry
    passes: list[Pass] = []
    for name in names:
        if name not in found:
            raise OptionError(
                f"there is no pass {name!r}; there are {', '.join(sorted(found))}."
                f"{did_you_mean(name, sorted(found))}"
            )
        if len(found[name]) > 1:
            owners = " and ".join(sorted(found[name]))
            raise OptionError(f"two packages provide a pass {name!r}: {owners}; uninstall one.")
        factory = next(iter(found[name].values())).load()
        step = factory() if isinstance(factory, type) else factory
        if name_of(step) != name:  # its options are set by that name
            raise OptionError(
                f"the entry point {name!r} is a pass called {name_of(step)!r}: name them alike."
            )
        passes.append(step)
    return passes


def configure(passes: Sequence[Pass], settings: Mapping[str, object]) -> list[Pass]:
    """The passes with options set: ``{"allocate.rule": "parallel"}``.

    Values may be strings, as from the command line. Raises OptionError in one sentence.
    """
    configured = list(passes)
    for key, value in settings.items():
        name, _, option = key.partition(".")
        known = [name_of(step) for step in configured]
        if name not in known:
            raise OptionError(
                f"--set {key}: there is no pass {name!r} in this pipeline ({', '.join(known)}), "
                f"and it does not begin with 'target.'.{did_you_mean(name, known)}"
            )
        index = known.index(name)
        configured[index] = _with_option(configured[index], key, option, value)
    return configured


def _with_option(step: Pass, key: str, option: str, value: object) -> Pass:
    options: list[str] = [f.name for f in fields(step)] if is_dataclass(step) else []
    if option not in options:
        has = f"its options are {', '.join(options)}" if options else "it has no options"
        raise OptionError(f"--set {key}: no such option; {has}.{did_you_mean(option, options)}")
    kind = TypeAdapter(get_type_hints(type(step))[option])
    if isinstance(value, str) and value.lower() in ("none", "null"):
        value = None
    try:
        checked = kind.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise OptionError(f"--set {key}={value}: {reason[0].lower()}{reason[1:]}.") from error
    assert is_dataclass(step) and not isinstance(step, type)
    return replace(step, **{option: checked})


def run_passes(
    program: Program,
    target: Target,
    passes: Sequence[Pass],
    observe: Observer = lambda name: None,
) -> Program:
    """Each pass in turn, and the rules after each.

    Raises PassError, for the author of the pass, when a rule is broken.
    """
    for step in passes:
        name = name_of(step)
        observe(name)
        result = step(program, target)
        if not isinstance(result, Program):
            raise PassError(f"the pass '{name}' returned {type(result).__name__}, not a Program.")
        broken = list(problems(result, target))
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise PassError(f"after the pass '{name}': {broken[0]}{more}")
        applied = (*result.applied, Applied(name, options_of(step)))
        program = replace(result, applied=applied)
    return program


def levers(start: Program, target: Target, passes: Sequence[Pass]) -> list[Lever]:
    """Single changes of options, each checked, that need fewer tiles than the passes do as given.

    `start` is the program before the first pass. The number of chips is not limited here.
    """
    open_ended = target.model_copy(
        update={"system": target.system.model_copy(update={"chips": None})}
    )
    now = run_passes(start, open_ended, passes)
    assert now.allocation is not None
    found = []
    for change, settings in _candidates(now, passes):
        try:
            changed = run_passes(start, open_ended, configure(passes, settings))
        except (OptionError, CapacityError):
            continue  # nothing would be left for the tiles, or nothing fits what defects leave
        if changed.allocation and changed.allocation.tiles < now.allocation.tiles:
            beyond = changed.allocation.rule != target.tile.co_location
            needs = f"{target.name} can share tiles" if beyond else ""
            found.append(Lever(change, changed.allocation.tiles, chips_used(changed), needs))
    return sorted(found, key=lambda lever: lever.tiles)


def _candidates(now: Program, passes: Sequence[Pass]) -> list[tuple[str, dict[str, object]]]:
    options = {name_of(step): options_of(step) for step in passes}
    candidates: list[tuple[str, dict[str, object]]] = []
    for key, value in (
        ("merge.enabled", True),
        ("split.style", "full"),
        ("allocate.rule", "parallel"),
    ):
        name, option = key.split(".")
        if option in options.get(name, {}) and options[name][option] != value:
            text = str(value).lower() if isinstance(value, bool) else value
            candidates.append((f"--set {key}={text}", {key: value}))
    if "digital" in options.get("partition", {}) and now.analog:
        digital = tuple(options["partition"]["digital"])
        largest = max(now.analog, key=lambda matrix: matrix.weights)
        pattern = largest.module or largest.name
        candidates.append(
            (f"--digital {pattern}", {"partition.digital": (*digital, pattern)}),
        )
    if len(candidates) > 1:
        together = {key: value for _, settings in candidates for key, value in settings.items()}
        candidates.append((" ".join(change for change, _ in candidates), together))
    return candidates


def fit_or_explain(
    start: Program, target: Target, passes: Sequence[Pass], observe: Observer = lambda name: None
) -> Program:
    """`run_passes`; when the system has too few chips the error says what would fit, checked."""
    try:
        return run_passes(start, target, passes, observe)
    except CapacityError as error:
        fitting = [
            str(lever)
            for lever in levers(start, target, passes)
            if lever.chips <= error.chips_available
        ]
        more_chips = f"--set target.system.chips={error.chips_needed}"
        raise CapacityError(
            error.message, error.chips_needed, error.chips_available, [*fitting, more_chips]
        ) from error


def chips_used(program: Program) -> int:
    """Up to the last one with blocks on it, dead ones among them."""
    return int(program.placements["chip"].max(initial=-1)) + 1
