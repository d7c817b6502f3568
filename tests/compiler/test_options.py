"""`afmc.compile` takes the options, as they are described in one place."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

import afmc
import afmc.compiler.compile as module
from afmc.common.described import descriptions_of
from afmc.compiler.context import Source
from afmc.compiler.options import Options

OF_A_SOURCE = {"model", "example_inputs", "tokenizer", "revision", "trust_remote_code"}


def test_the_parameters_of_compile_are_a_source_and_the_options() -> None:
    given = inspect.signature(afmc.compile).parameters
    options = {each.name: each for each in fields(Options)}
    assert set(given) == {*OF_A_SOURCE, *options, "progress"}
    for name, option in options.items():
        assert given[name].default == option.default, name
        assert given[name].annotation == option.type, name


def test_every_option_is_described_once() -> None:
    described = descriptions_of(Options)
    assert list(described) == [each.name for each in fields(Options)]
    text = inspect.getdoc(afmc.compile) or ""
    for name, sentence in described.items():
        assert text.count(f"\n{name}: ") == 1 and f"\n{name}: {sentence}" in text


def test_a_description_ends_with_its_field() -> None:
    assert descriptions_of(_Some) == {"first": "What it is.", "third": "In two lines."}


class _Some:
    first: int = 0
    """What it is."""
    second: int = 0
    third: int = 0
    """In two
    lines."""


def test_compile_hands_every_option_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Options, "checked", lambda self: self)
    monkeypatch.setattr(module, "compile_checked", lambda *given: seen.append(given))
    marks: dict[str, Any] = {each.name: object() for each in fields(Options)}
    afmc.compile("demo", revision="main", **marks)
    [(source, options, _)] = seen
    assert source == Source("demo", revision="main")
    assert {name: getattr(options, name) for name in marks} == marks
