"""The public API as a user would type it: mypy and pyright check this file in strict mode.

Never run. What a name gives is asserted, so that a type that becomes `Any` is noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import torch
from torch import nn

import afmc


def compile_and_look(folder: Path) -> None:
    compiled = afmc.compile(
        "demo", "hermes-64", digital=["lm_head"], settings={"merge.enabled": 0}, level=0
    )
    assert_type(compiled, afmc.CompiledModel)
    assert_type(compiled.program, afmc.Program)
    assert_type(compiled.target, afmc.Target)
    assert_type(compiled.save(folder), Path)
    assert_type(afmc.load(folder), afmc.CompiledModel)
    assert_type(compiled.without_noise(), afmc.CompiledModel)
    assert_type(compiled.on({"device.noise": None}), afmc.CompiledModel)
    assert_type(list(afmc.problems(compiled.program, compiled.target)), list[str])


def measure(compiled: afmc.CompiledModel) -> tuple[float, float]:
    result = compiled.validate(tokens=2048, instances=3, at=["0s", "1d"])
    assert_type(result.digital_perplexity, float)
    outcome = result.outcomes[0]
    assert_type(outcome.perplexity.mean, float)
    assert_type(outcome.perplexity.interval_95, tuple[float, float] | None)
    return outcome.perplexity.mean, outcome.top1_agreement.mean


def ask(compiled: afmc.CompiledModel, folder: Path) -> float:
    found = compiled.evaluate(["arc_easy"], data=folder, limit=10, instances=2)
    assert_type(found.digital_of("arc_easy", "acc").score.mean, float)
    rounded = compiled.validate(tokens=512, rounded="4:32").rounded
    return found.outcomes[0].scores[0].over_chips.mean if rounded is None else rounded.perplexity


def drop_in(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    target = afmc.load_target("hermes-64")
    assert_type(target, afmc.Target)
    tile = afmc.TileLinear(linear, target, input_range=3.0, generator=torch.Generator())
    assert_type(tile.multiply(x), torch.Tensor)
    return tile.multiply(x)


def refused() -> str | None:
    try:
        afmc.compile("no-such-model", level=0)
    except afmc.AfmcError as error:
        return str(error)
    return None


class Lossy(afmc.Device):
    """A device of the user's own."""

    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g * 0.9
