"""Does it fit? Demand, supply, the proof, and levers that do what they say."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import tiny_model, tiny_tokenizer
from programs import compiled, llama, program_of, smollm2

import afmc
from afmc.compiler.levers import fit_or_explain, levers
from afmc.compiler.offload import _globs, offload
from afmc.compiler.pipeline import configure, load_passes, run_passes, with_digital
from afmc.errors import CapacityError, OptionError
from afmc.fit import FitReport, Lever, Limit
from afmc.inspect import misfit_json
from afmc.passes import Alternative, Pass, name_of
from afmc.passes.partition import Partition
from afmc.passes.split import Split
from afmc.program.layout import chips_used
from afmc.program.model import Matrix
from afmc.program.program import PLACEMENT, Program
from afmc.targets import Target, load_target


def hermes(chips: int, **figures: object) -> Target:
    dotted = {key.replace("__", "."): value for key, value in figures.items()}
    return load_target("hermes-64", {"system.chips": chips, **dotted})


def explained(
    start: Program,
    target: Target,
    settings: dict[str, object] | None = None,
    passes: list[Pass] | None = None,
) -> tuple[CapacityError, FitReport]:
    with pytest.raises(CapacityError) as caught:
        fit_or_explain(start, target, configure(passes or load_passes(), settings or {}))
    assert caught.value.report is not None
    return caught.value, caught.value.report


def applied(lever: Lever, start: Program, target: Target, settings: dict[str, object]) -> Program:
    """The whole pipeline as one would type it."""
    digital: tuple[str, ...] = settings.get("partition.digital", ())  # type: ignore[assignment]
    words = shlex.split(lever.change)
    options, figures = dict(settings), {}
    for flag, word in zip(words[::2], words[1::2], strict=True):
        if flag == "--digital":
            digital = (*digital, word)
            options["partition.digital"] = digital
            continue
        assert flag == "--set"
        key, _, value = word.partition("=")
        if key.startswith("target."):
            figures[key.removeprefix("target.")] = int(value)
        else:
            options[key] = value
    return run_passes(start, load_target(target, figures), configure(load_passes(), options))


CASES: dict[str, tuple[Target, dict[str, object]]] = {
    "a few chips": (hermes(40), {}),
    "one chip": (hermes(44), {}),
    "less than half": (hermes(20), {}),
    "wasteful options": (hermes(44), {"merge.enabled": False, "split.style": "balanced"}),
    "shared tiles": (hermes(42, tile__co_location="parallel"), {}),
    "replicas": (hermes(46), {"replicate.tiles": 6000, "replicate.tokens": 2}),
    "some digital already": (hermes(35), {"partition.digital": ("o_proj",)}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_lever_does_what_it_says(case: str) -> None:
    target, settings = CASES[case]
    _, report = explained(smollm2(), target, settings)
    given = compiled(smollm2(), load_target(target, {"system.chips": 10_000}), settings)
    total = sum(m.macs_per_token for m in smollm2().matrices)
    assert len(report.levers) >= 4
    for lever in report.levers:
        fits = applied(lever, smollm2(), target, settings)  # raises where it does not fit
        assert fits.allocation is not None
        assert (lever.tiles, lever.chips) == (fits.allocation.tiles, chips_used(fits.placements))
        lost = sum(m.macs_per_token for m in {*given.analog} - {*fits.analog}) / total
        assert lever.macs_lost == pytest.approx(lost) and (lost > 0) == (
            "--digital" in lever.change
        )


def test_too_few_chips_says_how_many_and_what_would_fit() -> None:
    error, report = explained(smollm2(), hermes(40))
    assert str(error) == (
        "test needs 45 chips of hermes-64 (2826 tiles, 64 a chip), but the system has 40: 5 "
        "missing. No mapping of these blocks under the rule exclusive fits: it takes at least "
        "2,826 crossbars (blocks), and the system has 2,560. What would fit: --set "
        "allocate.rule=serial (2052 tiles, 33 chips, requires that hermes-64 can share tiles "
        "in any layout, "
        "where blocks take turns); --digital o_proj (2556 tiles, 40 chips, 7.4 % of "
        "multiply-accumulates go digital); --set "
        "target.system.chips=45 (2826 tiles, 45 chips); --set target.tile.tiers=2 (2826 tiles, 23 "
        "chips, requires that hermes-64 can stack 2 tiers); --set target.chip.tiles=71 (2826 "
        "tiles, 40 "
        "chips, requires that a chip can have 71 tiles)."
    )
    assert report.limits == (
        Limit("chips", 45, 40),
        Limit("crossbars", 2826, 2560),
        Limit("cells", 134_479_872, 2560 * 256 * 256),
    )
    assert [limit.deficit for limit in report.limits] == [5, 266, 0]
    assert report.proven == "this rule"


def test_where_the_weights_alone_are_too_many_no_layout_fits() -> None:
    _, report = explained(smollm2(), hermes(20))
    assert report.proven == "all layouts"
    assert report.proof == (
        "No layout of these weights fits: they need 134,479,872 cells (area), and the system has "
        "83,886,080."
    )


@dataclass(frozen=True)
class Spread:
    """Allocates badly: every block on a tile of its own, whatever the bound."""

    def __call__(self, program: Program, target: Target) -> Program:
        proof = program.allocation
        assert proof is not None
        table = program.allocations.copy()
        table["tile"] = range(len(table))
        table["row"] = table["col"] = 0
        proof = replace(proof, tiles=len(table), status="FEASIBLE")
        return replace(program, allocation=proof, allocations=table)


def test_where_the_bound_fits_it_says_that_nothing_is_proven() -> None:
    *begin, place = configure(load_passes(), {"allocate.rule": "parallel"})
    matrices = [Matrix(f"m{i}", 100, 100, f"x{i}", module=f"m{i}") for i in range(4)]
    target = load_target("ideal-512", {"chip.tiles": 1, "system.chips": 2})
    error, report = explained(program_of(matrices), target, passes=[*begin, Spread(), place])
    assert report.proven is None
    assert "is not ruled out: at least 1 crossbars are needed (area), and the system has 2" in str(
        error
    )


def test_one_option_is_enough_or_all_together_are() -> None:
    """The rule alone; and not before merging and whole tiles come to it."""
    _, report = explained(smollm2(), hermes(44))
    assert report.levers[0] == Lever(
        "--set allocate.rule=parallel", 2751, 43, "hermes-64 can share tiles"
    )
    target, settings = CASES["wasteful options"]
    _, report = explained(smollm2(), target, settings)
    assert report.levers[0].change == (
        "--set merge.enabled=auto --set split.style=auto --set allocate.rule=parallel"
    )


def test_fewer_replicas_fit() -> None:
    target, settings = CASES["replicas"]
    _, report = explained(smollm2(), target, settings)
    changes = [lever.change for lever in report.levers]
    assert changes[:2] == ["--set allocate.rule=parallel", "--set replicate.tiles=2944"]


def test_the_cheapest_matrices_stay_digital() -> None:
    """Against trying every choice of whole groups of layers, one block a tile."""
    start = llama(layers=3, hidden=40, kv=8, wide=56, vocabulary=100)
    target = load_target("ideal-512", {"crossbar.rows": 16, "crossbar.columns": 16})
    program = compiled(start, target)
    blocks = [int((program.blocks["group"] == i).sum()) for i in range(len(program.groups))]
    macs = [
        sum(program.matrix(name).macs_per_token for name in group.members)
        for group in program.groups
    ]
    for crossbars in (1, 7, 20, 45, 60, 75):
        best = min(
            sum(m for i, m in enumerate(macs) if choice >> i & 1)
            for choice in range(2 ** len(blocks) - 1)
            if sum(b for i, b in enumerate(blocks) if choice >> i & 1) >= crossbars
        )
        patterns = offload(program, crossbars)
        assert patterns is not None
        kept = compiled(start, target, {"partition.digital": patterns})
        lost = {*program.analog} - {*kept.analog}
        assert sum(m.macs_per_token for m in lost) == best
        assert len(kept.blocks) <= len(program.blocks) - crossbars
    assert offload(program, len(program.blocks)) is None  # nothing would be left


@given(st.integers(0, 3000), st.integers(0, 300))
def test_patterns_of_numbers(low: int, more: int) -> None:
    patterns = _globs(low, low + more)
    for number in {0, 1, 9, 10, 99, 100, 999, 1000, low - 1, low, low + more, low + more + 1}:
        matched = any(fnmatchcase(str(number), pattern) for pattern in patterns)
        assert matched == (low <= number <= low + more)
    assert len(patterns) <= 8


def test_experts_that_are_modules_go_layer_by_layer() -> None:
    matrices = [
        Matrix(f"l.{i}.e.{e}.up", 16, 32, f"x{i}", module=f"l.{i}.e.{e}.up", per_token=0.25)
        for i in range(4)
        for e in range(8)
    ] + [Matrix(f"l.{i}.q", 16, 16, f"y{i}", module=f"l.{i}.q") for i in range(4)]
    target = load_target("ideal-512", {"crossbar.rows": 16, "crossbar.columns": 16})
    program = compiled(program_of(matrices), target, {"merge.enabled": False})
    assert offload(program, 20) == ("l.[0-1].e.*.up",)
    assert offload(program, 64) == ("up",)


def test_banks_of_experts_go_one_by_one() -> None:
    """Each of 16 experts is used once in eight tokens: down_proj first, of fewer blocks a MAC."""
    bank = Matrix(
        "", 0, 0, "", copies=16, per_token=2, operation="aten._grouped_mm.default",
        layer="transformers.models.mixtral.modeling_mixtral.MixtralExperts",
    )  # fmt: skip
    matrices = [
        replace(bank, name=f"l.{i}.experts.{name}", module=f"l.{i}.experts", rows=rows, cols=cols,
                input=f"{name}{i}")
        for i in range(3)
        for name, rows, cols in (("gate_up_proj", 16, 64), ("down_proj", 24, 16))
    ] + [Matrix(f"l.{i}.q", 16, 16, f"y{i}", module=f"l.{i}.q") for i in range(3)]  # fmt: skip
    target = load_target("ideal-512", {"crossbar.rows": 16, "crossbar.columns": 16})
    program = compiled(program_of(matrices), target)
    assert offload(program, 64) == ("l.[0-1].experts.down_proj",)
    assert offload(program, 96) == ("down_proj",)
    for crossbars in (64, 96, 200):
        digital = {"partition.digital": offload(program, crossbars)}
        kept = compiled(program_of(matrices), target, digital)
        assert len(kept.blocks) <= len(program.blocks) - crossbars


def test_a_system_that_is_full_to_the_last_crossbar_fits() -> None:
    target = load_target("hermes-64", {"system.chips": 45, "chip.tiles": 63})
    fitting = fit_or_explain(smollm2(), target, load_passes())
    assert chips_used(fitting.placements) == 45 and len(fitting.placements) == 2826 <= 45 * 63


@dataclass(frozen=True)
class HalfFull:
    """Places on every second tile alone, as somebody's pass may."""

    def __call__(self, program: Program, target: Target) -> Program:
        assert program.allocation is not None
        per_chip = target.chip.tiles // 2
        chips, available = -(-program.allocation.tiles // per_chip), target.system.chips
        if available is not None and chips > available:
            raise CapacityError(
                f"needs {chips} chips, and there are {available}.", chips, available
            )
        placements = np.zeros(len(program.blocks), PLACEMENT)
        placements["block"] = program.allocations["block"]
        placements["chip"], within = np.divmod(program.allocations["tile"], per_chip)
        placements["tile"] = 2 * within
        return replace(program, placements=placements)


def test_where_tiles_do_not_fill_chips_every_lever_is_placed() -> None:
    start, target = smollm2(), hermes(80)
    passes = [*load_passes()[:-1], HalfFull()]
    error, report = explained(start, target, passes=passes)
    assert error.message == "needs 89 chips, and there are 80."
    assert report.proven is None and report.limits[1].deficit == 0
    assert [(lever.change, lever.chips) for lever in report.levers] == [
        ("--set allocate.rule=serial", 65),
        ("--digital o_proj --digital model.layers.0.mlp.down_proj", 80),
        ("--set target.system.chips=89", 89),
        ("--set target.chip.tiles=72", 79),
    ]
    wide = hermes(100)
    program = run_passes(start, wide, passes)
    assert {lever.chips for lever in levers(program, start, wide, passes)} == {51, 65, 68, 71, 86}


def test_the_report_as_json() -> None:
    error, _ = explained(smollm2(), hermes(40))
    data = misfit_json(error)
    assert data["fits"] is False and data["schema_version"] == 2
    assert (data["model"], data["target"], data["rule"]) == ("test", "hermes-64", "exclusive")
    assert data["limits"][0] == {"of": "chips", "demand": 45, "supply": 40, "deficit": 5}
    assert data["proof"]["holds_for"] == "this rule"
    assert (data["proof"]["bound"], data["proof"]["crossbars_at_least"]) == ("blocks", 2826)
    assert re.match(r"test needs 45 chips of hermes-64 .* 5 missing\.$", data["message"])
    assert data["levers"][1] == {
        "change": "--digital o_proj",
        "tiles": 2556,
        "chips": 40,
        "needs": "",
        "macs_lost": pytest.approx(0.074, abs=1e-3),
    }


def test_levers_of_a_model_that_fits() -> None:
    start, target = smollm2(), load_target("afm-512-projected")
    program = compiled(start, target)
    found = levers(program, start, target, load_passes())
    assert [(lever.change, lever.tiles, lever.chips) for lever in found] == [
        ("--set allocate.rule=serial --digital lm_head", 405, 7),
        ("--set allocate.rule=serial", 513, 9),
        ("--set allocate.rule=parallel --digital lm_head", 750, 12),
        ("--digital lm_head", 780, 13),
        ("--set allocate.rule=parallel", 942, 15),
    ]
    assert [lever.macs_lost > 0 for lever in found] == [True, False, True, True, False]


class Choose(Partition):
    """Decides what stays digital, under a name of its own."""


class Cut(Split):
    """Cuts, under a name of its own."""


def renamed() -> list[Pass]:
    """Passes of another package in the place of two of afmc's."""
    _, merge, _, *rest = load_passes()
    return [Choose(), merge, Cut("balanced"), *rest]


def test_levers_are_what_the_passes_offer_whatever_they_are_called() -> None:
    start, target = smollm2(), load_target("afm-512-projected", {"tile.co_location": "serial"})
    passes = renamed()
    found = levers(run_passes(start, target, passes), start, target, passes)
    assert [lever.change for lever in found] == [
        "--set cut.style=auto --digital lm_head",
        "--set cut.style=auto",
        "--digital lm_head",
    ]
    again = with_digital(configure(passes, {"cut.style": "auto"}), ["lm_head"])
    mapped = run_passes(start, target, again)
    assert mapped.allocation is not None and mapped.allocation.tiles == found[0].tiles


@dataclass(frozen=True)
class Skip:
    all: bool = False

    def __call__(self, program: Program, target: Target) -> Program:
        digital = {matrix.name: "skipped" for matrix in program.matrices} if self.all else {}
        return replace(program, digital=digital)

    def alternatives(self, program: Program, target: Target) -> list[Alternative]:
        return [Alternative({"all": True})]


def test_a_change_that_leaves_nothing_for_the_tiles_is_no_lever() -> None:
    one = program_of([Matrix("a", 8, 8, "x", module="a"), Matrix("b", 8, 8, "y", module="b")])
    target, passes = load_target("ideal-512"), [Skip(), *load_passes()[1:]]
    found = levers(run_passes(one, target, passes), one, target, passes)
    assert [lever.change for lever in found] == [
        "--set allocate.rule=parallel",
        "--set allocate.rule=serial",
    ]
    with pytest.raises(OptionError, match="is left for the tiles: the passes before allocate"):
        run_passes(one, target, [Skip(all=True), *load_passes()[1:]])


def test_digital_needs_a_pass_that_decides_about_it() -> None:
    _, *others = load_passes()
    with pytest.raises(OptionError, match="--digital: none of the passes merge, split, replicate"):
        with_digital(others, ["lm_head"])
    [choose] = with_digital([Choose(("a",))], ["b"])
    assert choose == Choose(("a", "b"))


def test_no_pass_is_known_by_name() -> None:
    text = Path(inspect.getsourcefile(levers) or "").read_text(encoding="utf-8")
    for name in map(name_of, load_passes()):
        assert f'"{name}' not in text and f"{name}." not in text


def test_no_lever_where_nothing_helps() -> None:
    one = program_of([Matrix("a", 8, 8, "x", module="a")])
    target = load_target("afm-512-projected", {"tile.co_location": "parallel"})
    assert levers(compiled(one, target), one, target, load_passes()) == []


def test_nothing_at_all_may_fit() -> None:
    """No pass takes options, and figures of the target do not help a pass that never places."""

    def refuse(program: Program, target: Target) -> Program:
        raise CapacityError("too much.", 5, 4)

    *begin, _ = load_passes()
    one = program_of([Matrix("a", 8, 8, "x", module="a")])
    target = load_target("ideal-512", {"system.chips": 4})
    error, report = explained(one, target, passes=[*begin, refuse])
    assert report.levers == ()
    assert str(error).endswith("What would fit: none of the changes that were tried.")


def test_it_says_so_before_it_calibrates() -> None:
    stages: list[str] = []
    with pytest.raises(CapacityError) as caught:
        afmc.compile(
            tiny_model("llama"),
            load_target("afm-512-projected", {"system.chips": 1, "chip.tiles": 3}),
            tokenizer=tiny_tokenizer(),
            progress=lambda what, done, of: stages.append(what),
            level=0,
        )
    assert caught.value.report is not None and caught.value.report.limits[0].deficit == 2
    assert "export" in stages and "calibrate" not in stages
