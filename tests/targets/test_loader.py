"""Names, files, overrides, and what is said when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from afmc.errors import TargetError
from afmc.targets import Target, list_targets, load_target, loader

GOOD = """\
schema_version = 1
name = "my"
title = "Mine"
description = "A chip."

[crossbar]
rows = 64
columns = 32
source = "data sheet"
basis = "published"

[input]
bits = 8
source = "data sheet"
basis = "published"

[output]
bits = 8
bound = 12
range = "column"
source = "data sheet"
basis = "published"

[device]
noise = "package.module:Class"
options = { devices = 2 }
g_max_uS = 25.0
g_min_uS = 0.5
devices_per_polarity = 1
scale = "tile"
source = "data sheet"
basis = "published"

[tile]
co_location = "parallel"
read_latency_ns = 100.0
source = "data sheet"
basis = "published"
origin.read_latency_ns = { source = "stopwatch", basis = "measured" }

[chip]
tiles = 4
source = "data sheet"
basis = "published"

[system]
chips = 2
source = "data sheet"
basis = "published"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], None]:
    """Writes my.toml in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write_file(content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        Path("my.toml").write_bytes(data)

    return write_file


Write = Callable[[str | bytes], None]


def sentence(target: str | Path | Target, overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(TargetError) as caught:
        load_target(target, overrides or {})
    return str(caught.value)


def test_a_good_file_loads_from_a_string_and_from_a_path(write: Write) -> None:
    write(GOOD)
    target = load_target("my.toml")
    assert (target.name, target.crossbar.rows, target.system.chips) == ("my", 64, 2)
    assert target.origin_of("tile.read_latency_ns").source == "stopwatch"
    assert load_target(Path("my.toml")) == load_target(target) == target


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # Keys that are not there, and keys that should be.
        (
            "read_latency_ns = 100.0",
            "read_latency_nS = 100.0",
            "tile.read_latency_nS is not a known key. Did you mean 'read_latency_ns'?",
        ),
        (
            "[tile]\n",
            "[tile]\nread_energy_nj = 1.0\n",
            "tile.read_energy_nj is not a known key. Did you mean 'read_energy_nJ'?",
        ),
        ("[tile]\n", "[tile]\nxyzzy = 1\n", "tile.xyzzy is not a known key."),
        ("rows = 64\n", "", "crossbar.rows is missing."),
        (
            "rows = 64\n",
            "row = 64\n",
            "crossbar.row is not a known key. Did you mean 'rows'? (And 1 more problem.)",
        ),
        (
            "[chip]",
            "[chips]",
            "chips is not a known key. Did you mean 'chip'? (And 1 more problem.)",
        ),
        (
            'source = "stopwatch"',
            'note = "stopwatch"',
            "tile.origin.read_latency_ns.source is missing.",
        ),
        (
            'source = "stopwatch"',
            'source = "stopwatch", notes = "x"',
            "tile.origin.read_latency_ns.notes is not a known key. Did you mean 'note'?",
        ),
        # Numbers.
        ("rows = 64", "rows = -4", "crossbar.rows must be greater than 0, but is -4."),
        ("rows = 64", "rows = 64.0", "crossbar.rows must be a whole number, but is 64.0."),
        ("rows = 64", "rows = '64'", "crossbar.rows must be a whole number, but is '64'."),
        ("rows = 64", "rows = true", "crossbar.rows must be a whole number, but is true."),
        ("rows = 64", "rows = [64]", "crossbar.rows must be a whole number, but is a list."),
        (
            "rows = 64",
            "rows = 4294967296",
            "crossbar.rows must be at most 2147483647, but is 4294967296.",
        ),
        ("bits = 8\nsource", "bits = 1\nsource", "input.bits must be at least 2, but is 1."),
        ("bits = 8\nbound", "bits = 17\nbound", "output.bits must be at most 16, but is 17."),
        ("100.0", "inf", "tile.read_latency_ns must be a finite number, but is inf."),
        ("100.0", "'fast'", "tile.read_latency_ns must be a number, but is 'fast'."),
        (
            "bound = 12\n",
            "",
            "output.bound is missing: a converter of 8 bits needs one.",
        ),
        ("bound = 12", "bound = 0", "output.bound must be greater than 0, but is 0."),
        (
            "g_min_uS = 0.5",
            "g_min_uS = 25",
            "device.g_min_uS must be less than g_max_uS, 25, but is 25.",
        ),
        ("g_min_uS = 0.5", "g_min_uS = -0.5", "device.g_min_uS must be at least 0, but is -0.5."),
        # Words.
        ('"column"', '"row"', "output.range must be 'column' or 'tile', but is 'row'."),
        (
            '"parallel"',
            '"serial"',
            "tile.co_location must be 'exclusive' or 'parallel', but is 'serial'.",
        ),
        (
            '"measured"',
            '"guessed"',
            "tile.origin.read_latency_ns.basis must be 'measured', 'published', 'derived' or "
            "'assumed', but is 'guessed'.",
        ),
        ("schema_version = 1", "schema_version = 2", "schema_version must be 1, but is 2."),
        ('"Mine"', '""', "title must not be empty."),
        ('"Mine"', "1", "title must be a string, but is 1."),
        (
            'name = "my"',
            'name = "my chip"',
            "name must be made of letters, digits, '.', '_' and '-', and begin with a letter or "
            "digit, but is 'my chip'.",
        ),
        (
            "package.module:Class",
            "package.module.Class",
            "device.noise must look like 'package.module:Class', but is 'package.module.Class'.",
        ),
        # Tables.
        (
            '[system]\nchips = 2\nsource = "data sheet"\nbasis = "published"\n',
            "[[system]]\n",
            "system must be a table, but is a list.",
        ),
        (
            "devices = 2 ",
            "devices = [2] ",
            "device.options.devices must be a number, a string, true or false.",
        ),
        ("devices = 2 ", "devices = nan ", "device.options.devices must be a finite number."),
        ("{ devices = 2 }", "2", "device.options must be a table, but is 2."),
        (
            'noise = "package.module:Class"\n',
            "",
            "device.options is given, but device.noise, which would take it, is not.",
        ),
        (
            "origin.read_latency_ns",
            "origin.latency_ns",
            "tile.origin.latency_ns is not a figure of [tile]. Did you mean 'read_latency_ns'?",
        ),
        (
            "origin.read_latency_ns",
            "origin.area_mm2",
            "tile.origin.area_mm2 is the origin of a figure that [tile] does not give.",
        ),
        (
            "schema_version",
            "overrides = {}\nschema_version",
            "overrides is not a known key: write the figures themselves.",
        ),
    ],
)
def test_a_bad_figure(write: Write, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    write(GOOD.replace(old, new))
    assert sentence("my.toml") == f"my.toml:{expected}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "my.toml:schema_version is missing. (And 10 more problems.)"),
        (
            "schema_version = 1\n\nrows == 3",
            "my.toml is not valid TOML: Invalid value (at line 3, column 7).",
        ),
        ("a = [", "my.toml is not valid TOML: Invalid value (at end of document)."),
        (
            "a = 1\na = 2",
            "my.toml is not valid TOML: Cannot overwrite a value (at end of document).",
        ),
        (b'title = "\xb5S"', "my.toml is not UTF-8 text (byte 9): save it as UTF-8."),
    ],
)
def test_a_bad_file(write: Write, content: str | bytes, expected: str) -> None:
    write(content)
    assert sentence("my.toml") == expected


def test_deep_nesting_is_an_error_and_not_a_crash(write: Write) -> None:
    write("a = " + "[" * 10_000)
    assert sentence("my.toml").startswith("my.toml is not valid TOML: ")


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loader, "entry_points", points(("a", "x", "one"), ("b", "x", "one")))
    assert sentence("my.toml") == "my.toml does not exist: give a .toml file or one of a, b."


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").mkdir()
    assert sentence("my.toml") == "my.toml is a directory: give the .toml file in it."


# Overrides.


def test_an_override_replaces_a_figure_and_is_remembered(write: Write) -> None:
    write(GOOD)
    before = load_target("my.toml")
    after = load_target("my.toml", {"crossbar.rows": 1152, "tile.read_latency_ns": 7})
    assert (after.crossbar.rows, after.tile.read_latency_ns) == (1152, 7.0)
    assert after.origin_of("crossbar.rows").model_dump() == {
        "source": "set by the user",
        "basis": "assumed",
        "note": None,
    }
    assert after.origin_of("tile.read_latency_ns").source == "set by the user"
    assert after.origin_of("crossbar.columns") == before.origin_of("crossbar.columns")
    assert dict(after.overrides) == {"crossbar.rows": 1152, "tile.read_latency_ns": 7}
    assert dict(before.overrides) == {}
    assert before.crossbar.rows == 64


def test_overrides_survive_storing_and_add_up(write: Write) -> None:
    write(GOOD)
    first = load_target("my.toml", {"crossbar.rows": 1, "chip.tiles": 9})
    stored = Target.model_validate(first.model_dump(mode="json"))
    assert stored == first
    second = load_target(stored, {"crossbar.rows": 2})
    assert dict(second.overrides) == {"crossbar.rows": 2, "chip.tiles": 9}
    assert (second.crossbar.rows, second.chip.tiles) == (2, 9)


def test_an_override_gives_a_figure_that_the_file_leaves_out(write: Write) -> None:
    write(GOOD)
    target = load_target("my.toml", {"tile.read_energy_nJ": 3.5})
    assert ("tile.read_energy_nJ", 3.5) in [figure[:2] for figure in target.figures()]


def test_none_takes_an_optional_figure_away(write: Write) -> None:
    write(GOOD)
    target = load_target("my.toml", {"tile.read_latency_ns": None, "device.options.devices": None})
    assert target.tile.read_latency_ns is None
    assert target.device.options == {}
    assert Target.model_validate(target.model_dump(mode="json")) == target


def test_options_go_with_the_class_that_they_were_written_for(write: Write) -> None:
    origin = 'origin.options = { source = "guess", basis = "assumed" }\n'
    write(GOOD.replace("g_max_uS", origin + "g_max_uS"))
    kept = load_target("my.toml", {"device.options.seed": 3})
    assert kept.device.options == {"devices": 2, "seed": 3}
    changed = load_target(kept, {"device.noise": "a.b:C", "device.options.x": True})
    assert changed.device.options == {"x": True}
    assert changed.device.origin == {}
    assert dict(changed.overrides) == {"device.noise": "a.b:C", "device.options.x": True}
    same = load_target(kept, {"device.noise": "package.module:Class"})
    assert same.device.options == {"devices": 2, "seed": 3}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "crossbar.row",
            1,
            "crossbar.row, set by the user, is not a known key of a target. "
            "Did you mean 'crossbar.rows'?",
        ),
        (
            "crosbar.rows",
            1,
            "crosbar.rows, set by the user, is not a known key of a target. "
            "Did you mean 'crossbar.rows'?",
        ),
        ("zz", 1, "zz, set by the user, is not a known key of a target."),
        (
            "tile.basis",
            "measured",
            "tile.basis, set by the user, is not a known key of a target. "
            "Did you mean 'tile.tiers'?",
        ),
        (
            "device.options",
            1,
            "device.options, set by the user, is not a known key of a target. "
            "Did you mean 'device.options.NAME'?",
        ),
        (
            "crossbar.rows",
            -4,
            "crossbar.rows, set by the user, must be greater than 0, but is -4.",
        ),
        (
            "crossbar.rows",
            None,
            "crossbar.rows, set by the user, must be a whole number, but is nothing.",
        ),
        (
            "device.options.devices",
            [1],
            "device.options.devices, set by the user, must be a number, a string, true or false.",
        ),
        (
            "device.g_max_uS",
            0.25,
            "my:device.g_min_uS must be less than g_max_uS, 0.25, but is 0.5.",
        ),
        ("output.bound", None, "my:output.bound is missing: a converter of 8 bits needs one."),
    ],
)
def test_a_bad_override(write: Write, key: str, value: object, expected: str) -> None:
    write(GOOD)
    assert sentence("my.toml", {key: value}) == expected


# Names.


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name


def points(*entries: tuple[str, str, str]) -> Callable[..., list[Any]]:
    """Stands in for `entry_points`: (name, package, distribution)."""
    found = []
    for name, value, owner in entries:
        entry = EntryPoint(name, value, "afmc.targets")
        vars(entry)["dist"] = Owner(owner)
        found.append(entry)
    return lambda *, group: [entry for entry in found if entry.group == group]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the target `my`, which must not be imported."""
    metadata = tmp_path / "my_chips-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-chips\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[afmc.targets]\nmy = my_chips\n")
    package = tmp_path / "my_chips"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "my.toml").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_a_plugin_is_found_and_not_imported(plugin: Path) -> None:
    assert "my" in list_targets()
    assert load_target("my").title == "Mine"
    assert load_target("my", {"chip.tiles": 5}).chip.tiles == 5
    assert "my_chips" not in sys.modules


def test_a_plugin_may_be_a_folder_without_init(plugin: Path) -> None:
    (plugin / "__init__.py").unlink()
    assert load_target("my").title == "Mine"


def test_the_file_of_a_plugin_is_named_in_its_errors(plugin: Path) -> None:
    (plugin / "my.toml").write_text(GOOD.replace("rows = 64", "rows = 0"))
    file = plugin / "my.toml"
    assert sentence("my") == f"{file}:crossbar.rows must be greater than 0, but is 0."


def test_the_name_in_the_file_must_be_the_name_of_the_target(plugin: Path) -> None:
    (plugin / "my.toml").write_text(GOOD.replace('name = "my"', 'name = "other"'))
    assert sentence("my") == (
        "target 'my' of my-chips calls itself 'other': its file and its name must agree."
    )


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("nowhere", "'nowhere', which is not there: reinstall broken."),
        ("afmc.errors", "'afmc.errors', which is not there: reinstall broken."),
        ("nowhere.sub", "'nowhere.sub', which cannot be found: No module named 'nowhere'."),
        ("my_chips.sub", "'my_chips.sub', which cannot be found: imported."),
    ],
)
def test_a_package_that_cannot_be_found(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, package: str, expected: str
) -> None:
    monkeypatch.setattr(loader, "entry_points", points(("my", package, "broken")))
    assert sentence("my") == f"target 'my' of broken should be in the package {expected}"


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("hermes-64", "ideal-512", "afm-512")
    owned = [(name, "afmc.targets", "afmc") for name in names]
    monkeypatch.setattr(loader, "entry_points", points(*owned))
    assert sentence("hermes") == (
        "unknown target 'hermes': it is neither a .toml file nor one of afm-512, hermes-64, "
        "ideal-512. Did you mean 'hermes-64'?"
    )


def test_no_targets_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "entry_points", points())
    assert sentence("x") == (
        "unknown target 'x': it is neither a .toml file nor an installed target (there are none)."
    )


def test_two_owners_of_a_name(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = points(("my", "theirs", "their-chips"), ("my", "my_chips", "my-chips"))
    monkeypatch.setattr(loader, "entry_points", two)
    assert list_targets() == ["my"]
    assert sentence("my") == (
        "target 'my' is offered by my-chips (my_chips) and their-chips (theirs): "
        "uninstall all but one of them."
    )


def test_one_owner_seen_twice_is_one(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = points(("my", "my_chips", "my-chips"), ("my", "my_chips", "my-chips"))
    monkeypatch.setattr(loader, "entry_points", twice)
    assert list_targets() == ["my"]
    assert load_target("my").title == "Mine"


@pytest.mark.parametrize("name", ["afm-512", "hermes-64", "ideal-512"])
def test_the_built_in_targets_come_through_the_same_door(name: str) -> None:
    assert name in list_targets()
    assert load_target(name).name == name


def test_targets_load_without_torch_and_ortools() -> None:
    code = (
        "import sys, afmc.targets as t; t.load_target('hermes-64'); "
        "print({'torch', 'ortools', 'numpy', 'rich', 'typer'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
