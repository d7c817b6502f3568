"""Options of passes, passes of other packages, and the sentences for what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from programs import smollm2

from afmc.cli.settings import parse_settings
from afmc.compiler import pipeline
from afmc.compiler.pipeline import PIPELINE, configure, load_passes, run_passes
from afmc.errors import OptionError
from afmc.program.program import Program
from afmc.targets import Target, load_target


def test_built_in_passes_come_by_entry_points() -> None:
    passes = load_passes()
    assert [type(step).__name__.lower() for step in passes] == list(PIPELINE)


def test_the_program_records_every_pass_with_all_options() -> None:
    settings = {"allocate.rule": "parallel", "allocate.time_limit_s": "5"}
    program = run_passes(
        smollm2(), load_target("afm-512-projected"), configure(load_passes(), settings)
    )
    assert [step.name for step in program.applied] == list(PIPELINE)
    assert program.applied[4].options == {
        "rule": "parallel",
        "objective": "tiles",
        "time_limit_s": 5.0,
        "max_patterns": 20_000,
    }


@dataclass(frozen=True)
class Reverse:
    """A pass of somebody else: the last chip first."""

    enabled: bool = True

    def __call__(self, program: Program, target: Target) -> Program:
        placements = program.placements.copy()
        placements["chip"] = placements["chip"].max() - placements["chip"]
        return replace(program, placements=placements) if self.enabled else program


def plugged_in(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    real = metadata.entry_points

    def both(**selected: Any) -> list[EntryPoint]:
        return [*real(**selected), *entries]

    monkeypatch.setattr(pipeline, "entry_points", both)


def test_a_pass_of_another_package_runs_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "Reverse", Reverse, raising=False)
    plugged_in(monkeypatch, EntryPoint("reverse", "afmc.compiler.pipeline:Reverse", "afmc.passes"))
    passes = load_passes([*PIPELINE, "reverse"])
    program = run_passes(smollm2(), load_target("afm-512-projected"), passes)
    assert program.placements["chip"][0] == 15
    assert program.applied[-1].options == {"enabled": True}
    same = configure(passes, {"reverse.enabled": False})
    assert run_passes(smollm2(), load_target("afm-512-projected"), same).placements["chip"][0] == 0


def test_two_passes_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged_in(monkeypatch, EntryPoint("split", "afmc.compiler.pipeline:Lever", "afmc.passes"))
    with pytest.raises(OptionError) as caught:
        load_passes()
    assert str(caught.value) == (
        "two packages provide a pass 'split': afmc.compiler.pipeline:Lever of unknown and "
        "afmc.passes.split:Split of afmc; uninstall one."
    )


BAD: list[tuple[dict[str, object], str]] = [
    (
        {"alocate.rule": "parallel"},
        "--set alocate.rule: there is no pass 'alocate' in this pipeline (partition, merge, split, "
        "replicate, allocate, place), and it does not begin with 'target.'. "
        "Did you mean 'allocate'?",
    ),
    (
        {"allocate.rules": "parallel"},
        "--set allocate.rules: no such option; its options are rule, objective, time_limit_s, "
        "max_patterns. Did you mean 'rule'?",
    ),
    (
        {"place.rule": 1},
        "--set place.rule: no such option; its options are strategy, effort, tokens, seed.",
    ),
    (
        {"allocate.rule": "dense"},
        "--set allocate.rule=dense: input should be 'exclusive', 'parallel' or 'serial'.",
    ),
    (
        {"merge.enabled": "perhaps"},
        "--set merge.enabled=perhaps: input should be 'auto' or a valid boolean, unable to "
        "interpret input.",
    ),
    (
        {"allocate.time_limit_s": "soon"},
        "--set allocate.time_limit_s=soon: input should be a valid number, unable to parse string "
        "as a number.",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD)
def test_bad_options_get_one_sentence(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        configure(load_passes(), settings)
    assert str(caught.value) == sentence


def test_limits_must_be_positive() -> None:
    passes = configure(load_passes(), {"allocate.time_limit_s": 0})
    with pytest.raises(OptionError) as caught:
        run_passes(smollm2(), load_target("afm-512-projected"), passes)
    assert str(caught.value) == (
        "allocate.time_limit_s and allocate.max_patterns must be positive."
    )


def test_an_unknown_pass() -> None:
    with pytest.raises(OptionError) as caught:
        load_passes(["partition", "splitt"])
    assert str(caught.value) == (
        "there is no pass 'splitt'; there are allocate, merge, partition, place, replicate, split. "
        "Did you mean 'split'?"
    )


def test_settings_are_read_as_toml_or_text() -> None:
    assert parse_settings(
        ["target.crossbar.rows=1152", "split.style=full", "merge.enabled=false", "a.b = none"]
    ) == {
        "target.crossbar.rows": 1152,
        "split.style": "full",
        "merge.enabled": False,
        "a.b": None,
    }


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (
            ["split.style"],
            "--set split.style: write PASS.OPTION=VALUE or target.TABLE.KEY=VALUE, "
            "for instance allocate.rule=parallel.",
        ),
        (
            ["rule=parallel"],
            "--set rule=parallel: write PASS.OPTION=VALUE or target.TABLE.KEY=VALUE, "
            "for instance allocate.rule=parallel.",
        ),
        (["a.b=1", "a.b=2"], "--set a.b is given twice; give it once."),
    ],
)
def test_bad_settings_get_one_sentence(pairs: list[str], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_settings(pairs)
    assert str(caught.value) == sentence
