"""Compiled folders with random changes: none is taken for another, and none ends in a traceback.

What passes has the program and the model of the original, byte for byte where they are used.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from models import tiny_model, tiny_tokenizer
from mutated import mutate
from sealed import seal

import afmc
from afmc.data.text import Text
from afmc.errors import AfmcError, ArtifactError
from afmc.program.folder import check_model, read_program, to_json
from afmc.verifier import verify

_USED = ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = afmc.compile(
        tiny_model("llama"),
        "ideal-512",
        tokenizer=tiny_tokenizer(),
        settings={"target.crossbar.rows": 32, "target.crossbar.columns": 32},
        level=0,
    )
    return model.save(tmp_path_factory.mktemp("original") / "out")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def changed(original: Path, place: Path, seed: int) -> tuple[Path, str]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copytree(original, place / "out")
    return place / "out", mutate(place / "out", seed)


def verdict(folder: Path) -> bool:
    """Whether the verifier and the compiler's own reader take it."""
    try:
        passed = verify(folder).passed
    except ArtifactError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        passed = False
    return passed


def taken(folder: Path) -> bool:
    try:
        read_program(folder)
        check_model(folder)
    except AfmcError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, str(error)[:3000]
        return False
    return True


def is_same(folder: Path, original: Path) -> bool:
    one, other = read_program(folder), read_program(original)
    tables = ("blocks", "allocations", "placements", "orders", "lines")
    return (
        to_json(one.program, one.target, one.summary)
        == to_json(other.program, other.target, other.summary)
        and all(
            getattr(one.program, name).tobytes() == getattr(other.program, name).tobytes()
            for name in tables
        )
        and one.measured == other.measured
        and all(
            (folder / "model" / name).read_bytes() == (original / "model" / name).read_bytes()
            for name in _USED
        )
    )


def check(original: Path, place: Path, seeds: range) -> dict[str, int]:
    counts = {"refused": 0, "the same": 0}
    for seed in seeds:
        folder, how = changed(original, place, seed)
        for accepts in (verdict, taken):
            if not accepts(folder):
                counts["refused"] += 1
                continue
            assert is_same(folder, original), f"{accepts.__name__} takes, seed {seed}: {how}"
            counts["the same"] += 1
    return counts


def test_none_is_taken_for_another(original: Path, tmp_path: Path) -> None:
    assert is_same(original, original) and verdict(original) and taken(original)
    counts = check(original, tmp_path / "place", range(60))
    assert counts["refused"] > 90


@pytest.fixture(scope="module")
def with_noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return afmc.compile("demo", "hermes-64", level=0).save(tmp_path_factory.mktemp("noise") / "out")


def measured(folder: Path) -> dict[str, Any]:
    """What a validation of a folder says, but for what takes time."""
    text = Text("text", "It was a truth that he had not been in the house before. " * 8)
    found = afmc.load(folder).validate(text, tokens=32, window=32, instances=1).to_json()
    times = ("simulation_tokens_per_s", "programming_s", "wall_s")
    return {key: value for key, value in found.items() if key not in times}


def test_what_is_taken_validates_as_the_original(with_noise: Path, tmp_path: Path) -> None:
    """What the verifier and the reader take, run on its tiles, gives the same figures."""
    expected, seen = measured(with_noise), 0
    for seed in range(9000, 9060):
        folder, how = changed(with_noise, tmp_path / "place", seed)
        if verdict(folder) and taken(folder):
            assert measured(folder) == expected, f"seed {seed}: {how}"
            seen += 1
        if seen == 3:
            break
    assert seen


def test_a_thousand_are_not_taken_for_another(original: Path, tmp_path: Path) -> None:
    counts = check(original, tmp_path / "place", range(1000, 2000))
    assert counts["refused"] > 1500


def resealed(original: Path, place: Path, seeds: range) -> None:
    """By one who changes the manifest as well: what is wrong is a sentence, in all that reads."""
    for seed in seeds:
        folder, _ = changed(original, place, seed)
        try:
            seal(folder)
        except (AssertionError, OSError):
            continue
        verdict(folder)
        taken(folder)


def test_sealed_again_there_is_no_traceback(original: Path, tmp_path: Path) -> None:
    resealed(original, tmp_path / "place", range(5000, 5060))


def test_a_thousand_sealed_again(original: Path, tmp_path: Path) -> None:
    resealed(original, tmp_path / "place", range(6000, 7000))
