"""Changes that help: fewer tiles for a model that fits, and what would make another one fit."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil

from afmc.compiler.offload import offload
from afmc.compiler.pipeline import Observer, configure, run_passes
from afmc.errors import AfmcError, CapacityError
from afmc.fit import FitReport, Lever, Rule
from afmc.hardware.crossbars import per_chip
from afmc.passes import HasAlternatives, KeepsDigital, Kind, Pass, Proves, name_of, options_of
from afmc.program.layout import chips_used
from afmc.program.limits import alive, limits
from afmc.program.program import Program
from afmc.targets import Target, load_target

Settings = Mapping[str, object]
"""Options of passes, and figures of the target that begin with ``target.``."""

# From the strictest rule to the one that allows most: what a target has to be able to do for it.
_RULES: dict[Rule, str] = {
    "exclusive": "",
    "parallel": "{target} can share tiles",
    "serial": "{target} can share tiles in any layout, where blocks take turns",
}

# How often more is tried, where the first guess does not fit.
_ROUNDS = 8


def fit_or_explain(
    start: Program, target: Target, passes: Sequence[Pass], observe: Observer = lambda name: None
) -> Program:
    """`run_passes`; when the system has too few chips the error says why, and what would fit."""
    try:
        return run_passes(start, target, passes, observe)
    except CapacityError as error:
        trials = _Trials(start, target, passes)
        now = trials.given = trials.allocated(passes)
        if now.allocation is None or target.system.chips is None:
            raise  # somebody else's, of another kind
        trials.counting = start.defects is None and error.chips_needed == _filled(now, target)
        trials.share_that_fits = target.system.chips / error.chips_needed
        bounds = now.allocation.bounds
        report = FitReport(
            model=now.model.name,
            target=target.name,
            rule=now.allocation.rule,
            limits=limits(now, target, error.chips_needed),
            bound=max(bounds, key=lambda name: bounds[name]),
            at_least=now.allocation.lower_bound,
            levers=tuple(_fitting(trials, now, error.chips_needed)),
        )
        raise CapacityError(
            error.message, error.chips_needed, error.chips_available, report
        ) from error


def levers(program: Program, start: Program, target: Target, passes: Sequence[Pass]) -> list[Lever]:
    """Changes of options, each checked, that need fewer tiles than the program takes.

    `program` is what the passes made of `start`. The number of chips is not limited here.
    """
    assert program.allocation is not None
    system = target.system.model_copy(update={"chips": None})
    trials = _Trials(start, target.model_copy(update={"system": system}), passes)
    trials.given = program
    trials.counting = start.defects is None and chips_used(program.placements) == _filled(
        program, target
    )
    largest = max(program.analog, key=lambda matrix: matrix.weights)
    digital = trials.digital([largest.module or largest.name])
    options, rules = trials.others(program, "free"), trials.others(program, "rule")
    changes = [*options, *rules, *digital]
    for rule in rules or [{}]:
        together = _all_of([*options, rule, *digital])
        if together not in changes:
            changes.append(together)
    found = [trials.lever(settings) for settings in changes]
    fewer = [f for f in found if f is not None and f.tiles < program.allocation.tiles]
    return sorted(fewer, key=lambda lever: lever.tiles)


def _fitting(trials: _Trials, now: Program, chips_needed: int) -> Iterator[Lever]:
    """What would fit: other options first, then fewer replicas, more digital, more hardware."""
    target = trials.target
    assert now.allocation is not None and target.system.chips is not None
    crossbars, _ = alive(now, target, target.system.chips)
    options, rules = trials.others(now, "free"), trials.others(now, "rule")
    together = [_all_of(options), *(_all_of([*options, rule]) for rule in rules)]
    found = trials.fitting([*options, *rules]) or trials.fitting(together)[:1]
    yield from found
    yield from trials.fitting(trials.others(now, "less"))
    alone = list(trials.offloading({}, crossbars))
    yield from alone
    accepted = [each for each in [*options, *rules, *together] if each and trials.lever(each)]
    if accepted and not found:
        for lever in trials.offloading(accepted[-1], crossbars):
            if not alone or lever.macs_lost <= alone[0].macs_lost / 2:  # else not worth the words
                yield lever
    per_tier = target.system.chips * target.chip.tiles
    per_tile = target.system.chips * target.tile.tiers
    yield from trials.smallest("system.chips", chips_needed)
    yield from trials.smallest(
        "tile.tiers", -(-now.allocation.tiles // per_tier), "{target} can stack {value} tiers"
    )
    yield from trials.smallest(
        "chip.tiles", -(-now.allocation.tiles // per_tile), "a chip can have {value} tiles"
    )


class _Trials:
    """Runs of the passes with changes, without the rules of a legal program after each.

    A run begins where its passes differ from those that were given. Where `counting` is set it
    ends with the proof of the allocation: placed, the tiles take as many chips as they fill.
    """

    def __init__(self, start: Program, target: Target, passes: Sequence[Pass]) -> None:
        self.target, self.passes = target, passes
        self.counting = False
        self.given: Program | None = None
        """What the passes as given make, at least as far as the proof of the allocation."""
        self.share_that_fits = 1.0
        self._before = [start]
        self._patterns = {
            key: options_of(step)[key.partition(".")[2]]
            for step in passes
            if isinstance(step, KeepsDigital)
            for key in _settings(step, step.keeping(()))
        }
        self._known: dict[str, Lever | None] = {}

    # runs

    def allocated(self, passes: Sequence[Pass]) -> Program:
        """The program with the proof of its allocation, or after the last of the passes."""
        alike = [a == b for a, b in zip(passes, self.passes, strict=True)]
        if all(alike) and self.given is not None:
            return self.given
        first = alike.index(False) if False in alike else len(alike)
        program = self._given(first)
        for step in passes[first:]:
            program = self._next(program, step)
        return program

    def _given(self, count: int) -> Program:
        """The program after so many of the passes as given, or with its proof."""
        while len(self._before) <= count and self._before[-1].allocation is None:
            step = self.passes[len(self._before) - 1]
            self._before.append(self._next(self._before[-1], step))
        return self._before[: count + 1][-1]

    def _next(self, program: Program, step: Pass) -> Program:
        """After one more pass, unless the proof is there; of a pass that can `prove` that alone."""
        if program.allocation is not None:
            return program
        if not isinstance(step, Proves):
            return step(program, self.target)
        return replace(program, allocation=step.prove(program, self.target))

    def lever(self, settings: Settings, needs: str = "") -> Lever | None:
        """What a change does; None where it is refused."""
        typed = self._typed(settings)
        if typed not in self._known:
            self._known[typed] = self._try(typed, settings, needs)
        return self._known[typed]

    def _try(self, typed: str, settings: Settings, needs: str) -> Lever | None:
        options = {key: value for key, value in settings.items() if not _is_figure(key)}
        try:
            target = self._on(settings)
            passes = configure(self.passes, options)
            if self.counting:
                program = self.allocated(passes)
                chips = _filled(program, target)
            else:
                program = self._before[0]
                for step in passes:
                    program = step(program, target)
                chips = chips_used(program.placements)
        except AfmcError:
            return None
        if program.allocation is None:
            return None
        given, rule = self.allocated(self.passes), program.allocation.rule
        if list(_RULES).index(rule) > list(_RULES).index(target.tile.co_location):
            needs = _RULES[rule].format(target=target.name)
        lost = _analog_macs(given) - _analog_macs(program)
        total = sum(matrix.macs_per_token for matrix in given.matrices)
        return Lever(typed, program.allocation.tiles, chips, needs, lost / total)

    def _on(self, settings: Settings) -> Target:
        figures = {k.removeprefix("target."): v for k, v in settings.items() if _is_figure(k)}
        return load_target(self.target, figures) if figures else self.target

    def _typed(self, settings: Settings) -> str:
        """As on the command line."""
        words = []
        for key, value in settings.items():
            known = self._patterns.get(key)
            if known is not None:
                new = [each for each in _texts(value) if each not in known]
                words += [f"--digital {shlex.quote(each)}" for each in new]
            else:
                text = str(value).lower() if isinstance(value, bool) else value
                words.append(f"--set {key}={text}")
        return " ".join(words)

    # changes

    def others(self, program: Program, kind: Kind) -> list[Settings]:
        """Other values of options, as the passes offer them."""
        return [
            _settings(step, each.options)
            for step in self.passes
            if isinstance(step, HasAlternatives)
            for each in step.alternatives(program, self.target)
            if each.kind == kind
        ]

    def digital(self, patterns: Sequence[str]) -> list[Settings]:
        """These matrices kept digital besides."""
        return [
            _settings(step, step.keeping(patterns))
            for step in self.passes
            if isinstance(step, KeepsDigital)
        ]

    # what fits

    def fitting(self, changes: Sequence[Settings], needs: str = "") -> list[Lever]:
        found = []
        for settings in changes:
            lever = self.lever(settings, needs)
            if lever is not None and lever.chips <= (self._on(settings).system.chips or 0):
                found.append(lever)
        return found

    def offloading(self, settings: Settings, crossbars: int) -> Iterator[Lever]:
        """As few multiply-accumulates digital as leave no more tiles than that, with `settings`."""
        try:
            program = self.allocated(configure(self.passes, settings))
        except AfmcError:
            return
        assert program.allocation is not None
        missing = max(1, program.allocation.tiles - crossbars)
        if not self.counting and program.defects is None:
            missing = ceil(program.allocation.tiles * (1 - self.share_that_fits))
        for _ in range(_ROUNDS):
            patterns = offload(program, missing)
            if patterns is None:
                return
            for digital in self.digital(patterns):
                change = _all_of([settings, digital])
                if found := self.fitting([change]):
                    yield from found
                    return
                # Where blocks share tiles, fewer blocks are not as many fewer tiles.
                lever = self.lever(change)
                missing += max(1, missing // 8 if lever is None else lever.tiles - crossbars)

    def smallest(self, key: str, least: int, needs: str = "") -> Iterator[Lever]:
        """The smallest value of a figure of the target, from `least` on, with which it fits."""

        def fits(value: int) -> list[Lever]:
            words = needs.format(target=self.target.name, value=value)
            return self.fitting([{f"target.{key}": value}], words)

        low = high = max(1, least)
        for _ in range(_ROUNDS):
            if fits(high):
                break
            low, high = high + 1, 2 * high
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle + 1, high)
        yield from fits(high)


def _all_of(changes: Sequence[Settings]) -> Settings:
    return {key: value for settings in changes for key, value in settings.items()}


def _settings(step: Pass, options: Mapping[str, object]) -> Settings:
    return {f"{name_of(step)}.{option}": value for option, value in options.items()}


def _is_figure(key: str) -> bool:
    return key.startswith("target.")


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, tuple) else [str(value)]


def _filled(program: Program, target: Target) -> int:
    """Chips of which the tiles fill every crossbar, but for the last."""
    tiles = 0 if program.allocation is None else program.allocation.tiles
    return -(-tiles // per_chip(target))


def _analog_macs(program: Program) -> float:
    return sum(matrix.macs_per_token for matrix in program.analog)
