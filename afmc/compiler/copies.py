"""Copies of matrices whose products are averaged, -O3, as options of the pass that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from afmc.compiler.pipeline import configure
from afmc.compiler.recorded import did, left
from afmc.errors import OptionError
from afmc.passes import Pass, options_of
from afmc.passes.averaging import check_budget
from afmc.program.limits import alive
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.targets import Target


def copying(passes: Sequence[Pass]) -> Mapping[str, Any] | None:
    """Options of the pass that makes copies; None where there is none."""
    options = map(options_of, passes)
    return next((each for each in options if {"tiles", "objective"} <= each.keys()), None)


def asked_for(passes: Sequence[Pass]) -> int | None:
    """Crossbars that copies for accuracy were given; None where they were given none."""
    found = copying(passes)
    return found["tiles"] if found is not None and found["objective"] == "accuracy" else None


def without_copies(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    settings = {} if copying(passes) is None else {"replicate.tiles": None}
    return tuple(configure(passes, settings))


def with_copies(passes: Sequence[Pass], crossbars: int) -> tuple[Pass, ...]:
    """The passes, with copies for accuracy on up to so many crossbars."""
    settings = {"replicate.tiles": crossbars, "replicate.objective": "accuracy"}
    return tuple(configure(passes, settings))


def as_kept(passes: Sequence[Pass], kept: Program) -> tuple[Pass, ...]:
    """The passes with the copies for accuracy that an earlier compile chose by itself."""
    if not kept.averaged or kept.replication is None or copying(passes) is None:
        return tuple(passes)
    return with_copies(passes, kept.replication.budget)


def check_copies(
    passes: Sequence[Pass], target: Target, level: int, without: Sequence[str], shapes_only: bool
) -> None:
    """Raises OptionError where copies for accuracy were asked for and cannot be chosen."""
    crossbars = asked_for(passes)
    if crossbars is None:
        return
    asked = f"--tiles {crossbars}"
    if level < 3:
        raise OptionError(
            f"{asked}: copies are chosen by what -O3 measures; compile with -O3, or set "
            f"replicate.tiles for throughput."
        )
    if "copies" in without:
        raise OptionError(f"{asked} and --without copies contradict each other: leave one out.")
    if shapes_only:
        raise OptionError(
            f"{asked}: copies are chosen by what weights cost on tiles, and --shapes-only reads "
            f"none: leave one of the two out."
        )
    if not target.is_random and not target.needs_input_range:
        raise OptionError(f"{asked}: {target.name} computes exactly: leave --tiles out.")


def with_choice_of_copies(
    recovery: Recovery, program: Program, target: Target, passes: Sequence[Pass], off: bool
) -> tuple[Recovery, tuple[Pass, ...]]:
    """The recovery and the passes, with copies on crossbars that are given or else spare.

    `program` has every matrix once on tiles.
    """
    assert program.placing is not None
    options = copying(passes)
    given = options and options["tiles"]
    reason, budget = None, given or 0
    if off:
        reason = "it was switched off"
    elif options is None:
        reason = "none of the passes replicates"
    elif given is not None:
        if options["objective"] != "accuracy":
            reason = "replicate.tiles was given for another purpose"
    elif program.allocation is not None and program.allocation.rule != "exclusive":
        reason = "blocks share tiles, so that what is spare follows from the packing: give --tiles"
    else:
        budget, _ = alive(program, target, program.placing.chips)
    if reason is not None:
        return left(recovery, "copies", reason), tuple(passes)
    check_budget(budget, len(program.blocks))
    said = f"on up to {budget:,} crossbars"
    if given is None:
        said += f", those of the {program.placing.chips} chips that are needed anyway"
    return did(recovery, "copies", said, {"crossbars": budget}), with_copies(passes, budget)


def start_without(start: Program, passes: Sequence[Pass], reason: str) -> Program:
    """The program where nothing can be measured, with the reason.

    Raises OptionError where copies were asked for.
    """
    crossbars = asked_for(passes)
    if crossbars is not None:
        raise OptionError(f"--tiles {crossbars}: copies cannot be chosen, as {reason}.")
    assert start.recovery is not None
    return replace(start, recovery=left(start.recovery, "digital", reason))
