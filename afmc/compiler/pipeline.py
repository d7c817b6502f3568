"""The passes in order, their options, and the check after each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import entry_points
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from afmc.errors import OptionError, PassError, did_you_mean
from afmc.passes import KeepsDigital, Pass, name_of, options_of
from afmc.program.program import Applied, Objective, Program
from afmc.program.rules import problems
from afmc.targets import Target

PIPELINE = ("partition", "merge", "split", "replicate", "allocate", "place")

OBJECTIVES: tuple[str, ...] = get_args(Objective)

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

    Values may be strings, as from the command line. An option that follows another one takes its
    value where it is not set itself. Raises OptionError in one sentence.
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
    return [_following(step, settings, configured) for step in configured]


def with_objective(passes: Sequence[Pass], objective: str) -> list[Pass]:
    """The passes, each of which that merges, cuts or packs by an objective by this one.

    Raises OptionError for an objective that there is not, and where no pass has one.
    """
    if objective not in OBJECTIVES:
        known = f"{', '.join(map(repr, OBJECTIVES[:-1]))} or {OBJECTIVES[-1]!r}"
        raise OptionError(
            f"--objective must be {known}, but is {objective!r}."
            f"{did_you_mean(objective, OBJECTIVES)}"
        )
    asked = [
        f"{name_of(step)}.objective"
        for step in passes
        if is_dataclass(step) and get_type_hints(type(step)).get("objective") == Objective
    ]
    if not asked:
        known = ", ".join(map(name_of, passes))
        raise OptionError(f"none of the passes {known} decides by an objective.")
    return configure(passes, dict.fromkeys(asked, objective))


def with_digital(passes: Sequence[Pass], patterns: Sequence[str]) -> list[Pass]:
    """The passes, with matrices of these patterns kept digital besides.

    Raises OptionError where no pass decides about that.
    """
    settings = {
        f"{name_of(step)}.{option}": value
        for step in passes
        if isinstance(step, KeepsDigital)
        for option, value in step.keeping(patterns).items()
    }
    if not settings:
        known = ", ".join(map(name_of, passes))
        raise OptionError(f"--digital: none of the passes {known} decides what stays digital.")
    return configure(passes, settings)


def following(step: Pass) -> dict[str, str]:
    """Options that follow one of another pass, and which: ``{"rule": "allocate.rule"}``."""
    if not is_dataclass(step):
        return {}
    return {f.name: f.metadata["follows"] for f in fields(step) if "follows" in f.metadata}


def _following(step: Pass, settings: Mapping[str, object], passes: Sequence[Pass]) -> Pass:
    """The pass with the options that follow those set for other passes."""
    by_name = {name_of(each): each for each in passes}
    for option, leader in following(step).items():
        if leader in settings and f"{name_of(step)}.{option}" not in settings:
            assert is_dataclass(step) and not isinstance(step, type)
            name, _, its_option = leader.partition(".")
            step = replace(step, **{option: getattr(by_name[name], its_option)})
    return step


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
        reason, *others = (each["msg"] for each in error.errors())
        reason = " or ".join([reason, *(each.removeprefix("Input should be ") for each in others)])
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
    legal = None
    for step in passes:
        name = name_of(step)
        observe(name)
        result = step(program, target)
        if not isinstance(result, Program):
            raise PassError(f"the pass '{name}' returned {type(result).__name__}, not a Program.")
        broken = list(problems(result, target, legal))
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise PassError(f"after the pass '{name}': {broken[0]}{more}")
        applied = (*result.applied, Applied(name, options_of(step)))
        program = legal = replace(result, applied=applied)
    return program
