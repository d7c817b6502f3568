"""The measured choice of -O3: what matrices cost, which are digital, and which are averaged."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sealed import seal
from torch import nn

import afmc
from afmc.compiled_model import CompiledModel
from afmc.costs import estimate
from afmc.costs.reads import reads_of
from afmc.errors import OptionError
from afmc.inspect import render
from afmc.inspect.recovered import all_together, recovery_of_matrix
from afmc.inspect.screen import facts_of
from afmc.passes.averaging import MOST_REPLICAS, _most_worth
from afmc.program.program import Program, Replication
from afmc.program.rules import problems
from afmc.recovery.measured import Measured
from afmc.simulator.replicas import Replicas
from afmc.simulator.tile_linear import TileLinear
from afmc.targets import load_target
from afmc.verifier import verify
from afmc.verifier.averaging import _highest

TARGET = "hermes-64"
CROSSBARS = 120
ONES = np.ones(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache: Path) -> CompiledModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        return afmc.compile("demo-teacher", TARGET, level=3, tiles=CROSSBARS)


def divergence(model: CompiledModel) -> float:
    return model.validate(tokens=512, instances=2).outcomes[-1].kl_divergence.mean


def test_copies_are_chosen_by_what_matrices_cost(model: CompiledModel) -> None:
    program, claim = model.program, model.program.replication
    assert program.recovery is not None and claim is not None and program.averaged
    assert program.recovery.divergences.keys() == program.by_name.keys()
    assert len(program.blocks) <= CROSSBARS and claim.crossbars == len(program.blocks)
    assert claim.divergence is not None and claim.divergence_alone is not None
    assert claim.divergence < 0.6 * claim.divergence_alone
    assert claim.divergence_bound is not None
    assert 0.95 * claim.divergence < claim.divergence_bound <= claim.divergence
    done = {step.name: step.applied for step in program.recovery.steps}
    assert done["copies"] and "digital" in done and done["correction"]


def test_everything_is_measured_together(model: CompiledModel) -> None:
    recovery = model.program.recovery
    assert recovery is not None
    assert recovery.predicted is not None and recovery.together is not None
    claim = model.program.replication
    assert claim is not None and claim.divergence is not None
    assert recovery.predicted <= claim.divergence * 1.001
    assert recovery.together == pytest.approx(divergence(model), rel=0.5)
    assert recovery.together == pytest.approx(recovery.predicted, rel=0.9)
    assert f"and cost {recovery.together:.2g}, measured on chips" in all_together(recovery)
    assert ("choice", all_together(recovery)) in facts_of(model.compiled_program)


def test_an_earlier_choice_is_kept(cache: Path, model: CompiledModel, tmp_path: Path) -> None:
    model.save(tmp_path / "first")
    again = afmc.compile(
        "demo-teacher", TARGET, keep=tmp_path / "first", defects="tiles=0.01,seed=3"
    )
    assert again.program.averaged and again.program.recovery == model.program.recovery
    assert again.program.replication == model.program.replication
    with pytest.raises(OptionError, match=r"with replicate\.tiles=120, not 130"):
        afmc.compile("demo-teacher", TARGET, keep=tmp_path / "first", tiles=130)


def test_it_is_closer_than_without_copies(model: CompiledModel) -> None:
    two = afmc.compile("demo-teacher", TARGET, level=2, digital_budget=0.05)
    assert divergence(model) < 0.7 * divergence(two)


def test_every_copy_is_read(model: CompiledModel) -> None:
    program, first = model.program, model.program.blocks["replica"] == 0
    groups = tuple(replace(group, replicas=()) for group in program.groups)
    once = replace(program, replication=None, groups=groups, blocks=program.blocks[first])
    ours, theirs = reads_of(program, ONES), reads_of(once, ONES)
    assert ours.reads.sum() == len(program.blocks) and theirs.reads.sum() == first.sum()
    assert (ours.inputs == theirs.inputs).all()
    ends = [group.cols * (group.replicas or (1,))[0] for group in program.groups]
    added = ours.adds - theirs.adds
    assert (added >= np.asarray(ends) - [group.cols for group in program.groups]).all()
    assert estimate(program, model.target).energy_nJ > 0


def test_what_was_measured_is_measured_once(
    cache: Path, model: CompiledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted measurement goes on: only what is missing is measured again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    files = sorted((cache / "afmc" / "divergences").iterdir())
    assert len(files) == 2, "one a chip"
    kept = {file: json.loads(file.read_text()) for file in files}
    name = next(iter(kept[files[0]]))
    for file in files:
        file.write_text(json.dumps({**kept[file], name: 7.0, "model.norm": 1.0}))
    changed = dict(kept[files[1]])
    del changed[name]
    files[1].write_text(json.dumps(changed))
    again = afmc.compile("demo-teacher", TARGET, level=3, without=("copies",)).program.recovery
    assert again is not None and model.program.recovery is not None
    there = {f: json.loads(f.read_text()) for f in files}
    assert there[files[1]] == pytest.approx(kept[files[1]])
    assert again.divergences[name] == pytest.approx((7 + kept[files[1]][name]) / 2, rel=1e-3)
    for file in files:
        file.write_text(json.dumps(kept[file]))


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', '{"a": -1.0}', "[" * 100_000])
def test_a_damaged_cache_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = Measured("divergences", "key")
    kept["a"] = 0.5
    assert Measured("divergences", "key").figures == {"a": 0.5}
    [file] = (tmp_path / "afmc" / "divergences").iterdir()
    file.write_text(content)
    assert Measured("divergences", "key").figures == {}


def test_matrices_that_cost_much_stay_digital(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    chosen = afmc.compile("demo-teacher", TARGET, level=3, digital_budget=0.4, without=["copies"])
    recovery, digital = chosen.program.recovery, chosen.program.digital
    assert recovery is not None and digital is not None
    assert recovery.digital and set(recovery.digital) <= set(digital)
    assert all("chosen by -O3: on tiles it costs" in digital[name] for name in recovery.digital)
    assert set(recovery.digital).isdisjoint(recovery.ranks)
    found = chosen.summary.recovery
    assert found is not None
    macs = {m.name: m.macs_per_token for m in chosen.program.matrices}
    share = sum(macs[name] for name in recovery.digital) / sum(macs.values())
    assert share + found.correction_share <= 0.4


def test_the_verifier_counts_it_again(model: CompiledModel, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "out")
    assert verify(folder).passed
    whole = json.loads((folder / "program.json").read_text())
    matrix = next(iter(whole["recovery"]["ranks"]))

    def refused(*path: str, value: Any) -> str:
        data = json.loads(json.dumps(whole))
        place = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        (folder / "program.json").write_text(json.dumps(data))
        report = verify(seal(folder))
        failed = [check for check in report.checks if check.outcome == "failed"]
        assert failed, path
        return " ".join(problem for check in failed for problem in check.problems)

    claim, recovery = whole["replication"], whole["recovery"]
    bound = claim["divergence_bound"]
    assert "can be proved" in refused("replication", "divergence_bound", value=1.2 * bound)
    assert "follows" in refused("replication", "divergence", value=0.5 * claim["divergence"])
    rank = recovery["ranks"][matrix]
    assert "recovery.safetensors" in refused("recovery", "ranks", matrix, value=rank + 9)
    assert "directions of" in refused("recovery", "ranks", matrix, value=10_000)
    assert "root mean squares" in refused("recovery", "clips", matrix, value=-1.0)
    assert "cannot belong" in refused("recovery", "rotated", value=["somewhere"])
    assert "prefix" in refused("recovery", "prefix", value=[1])
    macs = whole["summary"]["recovery"]["correction_macs"]
    assert "follows" in refused("summary", "recovery", "correction_macs", value=macs / 2)
    assert "is missing" in refused("summary", "recovery", value=None)


costs = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), min_size=1, max_size=4)


@given(costs, st.integers(0, 12))
def test_copies_within_a_budget_and_its_bound(groups: list[tuple[float, int]], more: int) -> None:
    alone, blocks = [cost for cost, _ in groups], [size for _, size in groups]
    budget = sum(blocks) + more
    times, bound = _most_worth(alone, blocks, budget)
    assert sum(n * size for n, size in zip(times, blocks, strict=True)) <= budget
    left = sum(cost / n for cost, n in zip(alone, times, strict=True))
    best = min(
        sum(cost / n for cost, n in zip(alone, choice, strict=True))
        for choice in itertools.product(range(1, MOST_REPLICAS + 1), repeat=len(groups))
        if sum(n * size for n, size in zip(choice, blocks, strict=True)) <= budget
    )
    assert bound <= best + 1e-9 <= left + 2e-9
    assert bound - 1e-9 <= _highest(alone, blocks, budget) <= best + 1e-9


def test_the_mean_of_replicas() -> None:
    linear = nn.Linear(40, 30)
    target = load_target("hermes-64")
    layers = [
        TileLinear(linear, target, input_range=3.0, generator=torch.Generator().manual_seed(number))
        for number in range(4)
    ]
    x = torch.randn(64, 40, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        parts = [layer(x) for layer in layers]
        mean = Replicas(layers, averaged=True)(x)
        assert torch.allclose(mean, torch.stack(parts).mean(dim=0), atol=0.1)
        wanted = linear(x)
        alone = float((parts[0] - wanted).square().mean())
        together = float((mean - wanted).square().mean())
    assert 0.15 < together / alone < 0.45, "four independent errors leave a quarter of the square"


def broken(model: CompiledModel, **changes: Any) -> list[str]:
    claim = model.program.replication
    assert isinstance(claim, Replication)
    program: Program = replace(model.program, replication=replace(claim, **changes))
    return list(problems(program, model.target))


def test_claims_that_do_not_follow(model: CompiledModel) -> None:
    claim = model.program.replication
    assert claim is not None and claim.divergence is not None
    assert not broken(model)
    assert "without replicas" in broken(model, divergence_alone=9.0)[0]
    assert "not all that they save was measured" in broken(model, divergence=None)[0]
    above = broken(model, divergence_bound=2 * claim.divergence)
    assert any("is above the" in sentence for sentence in above)
    other = {"OPTIMAL": "FEASIBLE", "FEASIBLE": "OPTIMAL"}[claim.status]
    assert f"status {other}" in broken(model, status=other)[0]
    assert np.isfinite(claim.divergence)


def test_inspect_names_what_costs_most(model: CompiledModel) -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(render(model.compiled_program))
    shown = console.export_text()
    recovery = model.program.recovery
    assert recovery is not None
    costs = recovery.divergences
    first = max(costs, key=lambda name: costs[name])
    assert "matrices that cost most" in shown and f"{costs[first]:.2g}" in shown
    assert first in shown.partition("matrices that cost most")[2]
    said = recovery_of_matrix(recovery, model.program.by_name[first])
    assert f"alone on tiles it costs {costs[first]:.2g} nats a token." in said
    assert "its input is rotated (" in said and "directions of its input" in said
