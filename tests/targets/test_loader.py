"""Names, files, overrides, and what is said when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from descriptions import DIGITAL, GOOD, LIGHT, MESH, MODES, OPTICS, SOURCED, changed

from afmc.errors import TargetError
from afmc.simulator.devices.base import device_of, list_devices
from afmc.targets import Baseline, Target, list_targets, load_description, load_target, loader


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
    return first_of(caught.value)


def first_of(error: TargetError) -> str:
    """The first sentence, and how many there are besides."""
    first, *more = str(error).split("\n")
    assert all(each.startswith("my.toml") and each.endswith((".", "?")) for each in more)
    return f"{first} (and {len(more)} more)" if more else first


def test_every_problem_is_listed_on_a_line(write: Write) -> None:
    rows = "x" * 5000
    write(changed(GOOD, ("rows = 64\n", f'row = 64\nrows = "{rows}"\n'), ("[tile]\n", "[tle]\n")))
    with pytest.raises(TargetError) as caught:
        load_target("my.toml")
    unknown, other, *missing = str(caught.value).split("\n")
    assert "crossbar.row is not a known key. Did you mean 'rows'?" in (unknown + other)
    assert "tle is not a known key. Did you mean 'tile'?" in (unknown + other)
    assert any(f"rows must be a whole number, but is '{rows[:100]}" in each for each in missing)
    assert max(map(len, missing)) <= 300 and missing[-1].endswith((".", "..."))

    many = "".join(f"k{number} = 1\n" for number in range(150))
    write(changed(GOOD, ("[tile]\n", f"[tile]\n{many}")))
    with pytest.raises(TargetError) as caught:
        load_target("my.toml")
    *listed, last = str(caught.value).split("\n")
    assert len(listed) == 100 and last == "my.toml has 50 more problems."


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
            "crossbar.row is not a known key. Did you mean 'rows'? (and 1 more)",
        ),
        (
            "[chip]",
            "[chips]",
            "chips is not a known key. Did you mean 'chip'? (and 1 more)",
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
        (
            "columns = 32\n",
            "columns = 32\nwire_ohm = 1.0\n",
            "crossbar.wire_ohm is not a known key. Did you mean 'wire_row_ohm'?",
        ),
        ("g_max_uS = 25.0\n", "", "device.g_max_uS is missing."),
        ("g_min_uS = 0.5\n", "", "device.g_min_uS is missing."),
        (
            "g_max_uS = 25.0\ng_min_uS = 0.5\n",
            "",
            "device.g_max_uS is missing (or transmission_max, for light).",
        ),
        (
            "g_max_uS = 25.0\ng_min_uS = 0.5\n",
            "transmission_max = 1.0\n",
            "device.transmission_min is missing.",
        ),
        (
            "g_max_uS = 25.0\n",
            "g_max_us = 25.0\n",
            "device.g_max_us is not a known key. Did you mean 'g_max_uS'?",
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
        (
            "columns = 32\n",
            "columns = 32\nactive_rows = 0\n",
            "crossbar.active_rows must be greater than 0, but is 0.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nactive_rows = 65\n",
            "crossbar.active_rows must be at most rows, 64, but is 65.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nwire_row_ohm = -1\n",
            "crossbar.wire_row_ohm must be at least 0, but is -1.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nwire_column_ohm = nan\n",
            "crossbar.wire_column_ohm must be a finite number, but is nan.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nread_voltage_V = 0.0\n",
            "crossbar.read_voltage_V must be greater than 0, but is 0.0.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nread_voltage_V = 1e-308\n",
            "crossbar.read_voltage_V must be at least 1e-12, but is 1e-308: is the unit right?",
        ),
        (
            "bound = 12",
            "bound = 12\ngain_std = 1e-13",
            "output.gain_std must be at least 1e-12, but is 1e-13: is the unit right?",
        ),
        (
            "bound = 12",
            "bound = 12\ngain_std = -0.1",
            "output.gain_std must be at least 0, but is -0.1.",
        ),
        (
            "bound = 12",
            "bound = 12\nnoise_steps = '1'",
            "output.noise_steps must be a number, but is '1'.",
        ),
        (
            "bound = 12",
            "bound = 12\ncolumns_per_converter = 1.5",
            "output.columns_per_converter must be a whole number, but is 1.5.",
        ),
        ("g_min_uS = 0.5", "g_min_uS = '0.5'", "device.g_min_uS must be a number, but is '0.5'."),
        (
            "g_max_uS = 25.0\ng_min_uS = 0.5\n",
            "transmission_max = 1.5\ntransmission_min = 0\n",
            "device.transmission_max must be at most 1, but is 1.5.",
        ),
        (
            "g_max_uS = 25.0\ng_min_uS = 0.5\n",
            "transmission_max = 0.5\ntransmission_min = 0.6\n",
            "device.transmission_min must be less than transmission_max, 0.5, but is 0.6.",
        ),
        (
            "[tile]\n",
            "[tile]\nread_phases = 3\n",
            "tile.read_phases must be 1, 2 or 4, but is 3.",
        ),
        (
            "[tile]\n",
            "[tile]\nread_phases = true\n",
            "tile.read_phases must be a whole number, but is true.",
        ),
        (
            "[tile]\n",
            "[tile]\nread_phases = 4.0\n",
            "tile.read_phases must be a whole number, but is 4.0.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nsignificance = 0.5',
            "device.significance must be at least 1, but is 0.5.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nstuck_off_rate = -0.1',
            "device.stuck_off_rate must be at least 0, but is -0.1.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nstuck_on_rate = 1.1',
            "device.stuck_on_rate must be at most 1, but is 1.1.",
        ),
        # Figures that cannot be true together.
        (
            "bits = 8\nsource",
            'encoding = "bit_serial"\nsource',
            "input.bits is missing: a bit-serial input has a number of bits.",
        ),
        (
            "bits = 8\nsource",
            'bits = 4\nencoding = "bit_serial"\nslice_bits = 4\nsource',
            "input.slice_bits is 4, but of 4 bits only 3 are of the magnitude.",
        ),
        (
            "bits = 8\nsource",
            'bits = 8\nencoding = "pulse_width"\nstep_ns = 1\nsource',
            "input.step_ns is 1: 127 steps take 127 ns, one after the other, but a read "
            "(tile.read_latency_ns) takes 100.",
        ),
        *(
            (
                "bits = 8\nbound",
                f"{key} = 0.5\nbound",
                f"output.{key} counts in steps of a converter, but output.bits is not given.",
            )
            for key in ("offset_std_steps", "inl_steps", "noise_steps")
        ),
        (
            "bound = 12",
            "bound = 12\nconversion_ns = 100.5",
            "output.conversion_ns is 100.5, but a read (tile.read_latency_ns) takes 100.",
        ),
        (
            "bound = 12",
            "bound = 12\nconversion_ns = 20\ncolumns_per_converter = 8",
            "output.conversion_ns is 20: 8 columns take 160 ns, one after the other, but a read "
            "(tile.read_latency_ns) takes 100.",
        ),
        (
            "bound = 12",
            "bound = 12\nintegration_ns = 101",
            "output.integration_ns is 101, but a read (tile.read_latency_ns) takes 100.",
        ),
        (
            "g_max_uS = 25.0\n",
            "g_max_uS = 25.0\ntransmission_max = 1.0\n",
            "device.transmission_max is of light, but g_max_uS, a conductance, is given too.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nsignificance = 4.0',
            "device.significance is 4, but a polarity has only one device.",
        ),
        (
            "devices_per_polarity = 1",
            'devices_per_polarity = 2\nencoding = "offset"\nsignificance = 4.0',
            "device.significance is 4, but only differential devices correct one another.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nstuck_off_rate = 0.75\nstuck_on_rate = 0.5',
            "device.stuck_off_rate and stuck_on_rate are shares of the same devices, but add up "
            "to 1.25.",
        ),
        (
            "[tile]\n",
            f"{OPTICS}\n[tile]\n",
            "optics is given, but the devices hold a conductance (device.g_max_uS).",
        ),
        (
            "rows = 64\n",
            "rows = 64\nwire_row_ohm = 1e39\n",
            "crossbar.wire_row_ohm must be at most 1e+36, but is 1e+39.",
        ),
        (
            "[tile]\n",
            "[tile]\ntiers = 1000000000\n",
            "tile.tiers times chip.tiles, 4, is more than 2147483647 crossbars a chip.",
        ),
        # Words.
        ('"column"', '"row"', "output.range must be 'column' or 'tile', but is 'row'."),
        (
            '"parallel"',
            '"dense"',
            "tile.co_location must be 'exclusive', 'parallel' or 'serial', but is 'dense'.",
        ),
        (
            '"measured"',
            '"guessed"',
            "tile.origin.read_latency_ns.basis must be 'measured', 'published', 'derived' or "
            "'assumed', but is 'guessed'.",
        ),
        ("schema_version = 1", "schema_version = 2", "schema_version must be 1, but is 2."),
        (
            "schema_version = 1",
            "schema_version = true",
            "schema_version must be a whole number, but is true.",
        ),
        (
            "columns = 32\n",
            'columns = 32\nsense = "both"\n',
            "crossbar.sense must be 'one_end' or 'both_ends', but is 'both'.",
        ),
        (
            "bits = 8\nsource",
            'bits = 8\nencoding = "serial"\nsource',
            "input.encoding must be 'level', 'pulse_width' or 'bit_serial', but is 'serial'.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nencoding = "unary"',
            "device.encoding must be 'differential' or 'offset', but is 'unary'.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\nread_noise = "always"',
            "device.read_noise must be 'none', 'frozen' or 'each', but is 'always'.",
        ),
        (
            'scale = "tile"',
            'scale = "tile"\ncompensation = "columns"',
            "device.compensation must be 'none', 'tile', 'column' or 'reference', but is "
            "'columns'.",
        ),
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
            "package.module/Class",
            "device.noise must be the name of a device model or look like 'package.module:Class', "
            "but is 'package.module/Class'.",
        ),
        # Tables.
        (
            "schema_version = 1",
            'schema_version = 1\nkind = "gpu"',
            "kind must be 'analog' or 'digital', but is 'gpu'.",
        ),
        (
            "schema_version = 1",
            "schema_version = 1\nkind = 3",
            "kind must be 'analog' or 'digital', but is 3.",
        ),
        (
            "schema_version = 1",
            'schema_version = 1\nkind = "digital"',
            "crossbar is of analog hardware, but kind is 'digital'. (and 8 more)",
        ),
        (
            "[tile]\n",
            f"[compute]\n{SOURCED}\n[tile]\n",
            "compute is of digital hardware, but kind is 'analog'.",
        ),
        (
            "[tile]\n",
            f"[optic]\n{SOURCED}\n[tile]\n",
            "optic is not a known key. Did you mean 'optics'?",
        ),
        ("schema_version = 1", "schema_version = 1\nmodes = 3", "modes must be a table, but is 3."),
        (
            "schema_version = 1",
            "schema_version = 1\nmodes.slow = 3",
            "modes.slow must be a table, but is 3.",
        ),
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
            "rows = 64\n",
            "rows = 64\norigin.sense = { source = 'x', basis = 'assumed' }\n",
            "crossbar.origin.sense is the origin of a figure that [crossbar] does not give.",
        ),
        (
            "schema_version",
            "overrides = {}\nschema_version",
            "overrides is not a known key: write the figures themselves.",
        ),
        (
            "schema_version",
            "mode = 'slow'\nschema_version",
            "mode is not a known key: write the figures themselves.",
        ),
    ],
)
def test_a_bad_figure(write: Write, old: str, new: str, expected: str) -> None:
    write(changed(GOOD, (old, new)))
    assert sentence("my.toml") == f"my.toml:{expected}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [
                ("[tile]\n", "[tile]\nread_phases = 4\n"),
                ('scale = "tile"', 'scale = "tile"\nencoding = "offset"'),
            ],
            "tile.read_phases is 4, but only differential devices have polarities to read apart.",
        ),
        (
            [
                ("[tile]\n", "[tile]\nread_phases = 2\n"),
                ("bound = 12", "bound = 12\nconversion_ns = 30\ncolumns_per_converter = 2"),
            ],
            "output.conversion_ns is 30: 2 columns x 2 phases take 120 ns, one after the other, "
            "but a read (tile.read_latency_ns) takes 100.",
        ),
        (
            [
                ("[tile]\n", "[tile]\nread_phases = 4\n"),
                ("bound = 12", "bound = 12\nintegration_ns = 25.5"),
            ],
            "output.integration_ns is 25.5: 4 phases take 102 ns, one after the other, but a read "
            "(tile.read_latency_ns) takes 100.",
        ),
        (
            [
                ("columns = 32\n", "columns = 32\nactive_rows = 24\n"),
                ("bits = 8\nsource", 'bits = 8\nencoding = "bit_serial"\nslice_bits = 2\nsource'),
                ("bound = 12", "bound = 12\nconversion_ns = 10"),
            ],
            "output.conversion_ns is 10: 3 groups of rows x 4 digits take 120 ns, one after the "
            "other, but a read (tile.read_latency_ns) takes 100.",
        ),
    ],
)
def test_figures_of_several_tables(
    write: Write, changes: list[tuple[str, str]], expected: str
) -> None:
    write(changed(GOOD, *changes))
    assert sentence("my.toml") == f"my.toml:{expected}"


@pytest.mark.parametrize(
    "changes",
    [
        [
            ("[tile]\n", "[tile]\nread_phases = 4\n"),
            ("bound = 12", "bound = 12\nintegration_ns = 25\nconversion_ns = 25"),
        ],
        # 0.1 x 10 x 100 is more than 100 in binary.
        [
            ("columns = 32", "columns = 1000"),
            ("bound = 12", "bound = 12\nconversion_ns = 0.1\ncolumns_per_converter = 1000"),
        ],
        # A converter has no more columns than there are.
        [("bound = 12", "bound = 12\nconversion_ns = 3\ncolumns_per_converter = 1000")],
        [
            ("read_latency_ns = 100.0\n", ""),
            ("origin.read_latency_ns", "origin.co_location"),
            ("bound = 12", "bound = 12\nintegration_ns = 1e9"),
        ],
        # Without effect on other encodings and perfect converters.
        [("bits = 8\nsource", "bits = 4\nslice_bits = 4\nstep_ns = 1e9\nsource")],
        [("bits = 8\nsource", 'encoding = "pulse_width"\nstep_ns = 1e9\nsource')],
        [("bits = 8\nsource", 'bits = 4\nencoding = "bit_serial"\nslice_bits = 3\nsource')],
        [('scale = "tile"', 'scale = "tile"\nstuck_off_rate = 0.5\nstuck_on_rate = 0.5')],
        [("columns = 32\n", "columns = 32\nactive_rows = 64\n")],
    ],
)
def test_what_is_just_possible(write: Write, changes: list[tuple[str, str]]) -> None:
    write(changed(GOOD, *changes))
    load_target("my.toml")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("load_ohm = 50.0\n", "", "optics.load_ohm is missing."),
        (
            "load_ohm = 50.0\n",
            "load_ohms = 50.0\n",
            "optics.load_ohms is not a known key. Did you mean 'load_ohm'? (and 1 more)",
        ),
        (
            "power_mW = 0.1\n",
            "power_mW = -0.1\n",
            "optics.power_mW must be greater than 0, but is -0.1.",
        ),
        (
            "power_mW = 0.1\n",
            "power_mW = inf\n",
            "optics.power_mW must be a finite number, but is inf.",
        ),
        (
            "power_mW = 0.1\n",
            "power_mW = '0.1 mW'\n",
            "optics.power_mW must be a number, but is '0.1 mW'.",
        ),
        (
            "power_mW = 0.1\n",
            "power_mW = 0.1\nrin_dB_Hz = 150\n",
            "optics.rin_dB_Hz must be less than 0, but is 150.",
        ),
        ("[optics]\n", "[[optics]]\n", "optics must be a table, but is a list."),
        (
            "transmission_min = 0.01\n",
            "transmission_min = -0.01\n",
            "device.transmission_min must be at least 0, but is -0.01.",
        ),
        ("transmission_max = 1.0\n", "", "device.transmission_max is missing."),
        (
            "transmission_min = 0.01\n",
            "g_min_uS = 0.01\n",
            "device.transmission_max is of light, but g_min_uS, a conductance, is given too.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nread_voltage_V = 0.2\n",
            "crossbar.read_voltage_V is given, but light has none.",
        ),
        (
            "columns = 32\n",
            "columns = 32\nwire_row_ohm = 0.2\n",
            "crossbar.wire_row_ohm is given, but light has none.",
        ),
    ],
)
def test_a_bad_figure_of_light(write: Write, old: str, new: str, expected: str) -> None:
    write(changed(LIGHT, (old, new)))
    assert sentence("my.toml") == f"my.toml:{expected}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("columns = 2\n", "", "links.columns is missing: a mesh has a number of columns."),
        ("columns = 2\n", "columns = 5\n", "links.columns is 5, but a chip has 4 tiles."),
        ("columns = 2\n", "columns = 0\n", "links.columns must be greater than 0, but is 0."),
        ('"mesh"', '"bus"', "links.columns is given, but a bus has none (topology)."),
        ('"mesh"', '"ring"', "links.topology must be 'mesh' or 'bus', but is 'ring'."),
        ("0.08", "-0.08", "links.hop_energy_pJ_bit must be at least 0, but is -0.08."),
    ],
)
def test_bad_links(write: Write, old: str, new: str, expected: str) -> None:
    write(changed(MESH, (old, new)))
    assert sentence("my.toml") == f"my.toml:{expected}"


def test_light_has_no_voltage_without_a_table_of_optics_either(write: Write) -> None:
    write(changed(LIGHT, (OPTICS, ""), ("columns = 32\n", "columns = 32\nread_voltage_V = 1.0\n")))
    assert sentence("my.toml") == "my.toml:crossbar.read_voltage_V is given, but light has none."


# Modes.


def test_a_mode_is_asked_for_behind_a_colon(write: Write) -> None:
    write(MODES)
    target = load_target("my.toml:slow")
    assert (target.name, target.mode, target.tile.read_phases) == ("my", "slow", 4)
    assert load_target("my.toml").mode is None
    assert load_target("my.toml", {"tile.tiers": 2}).mode is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("my.toml:slwo", "my has no mode 'slwo'; its modes: slow, bare. Did you mean 'slow'?"),
        ("my.toml:zz", "my has no mode 'zz'; its modes: slow, bare."),
        ("my.toml:", "my has no mode ''; its modes: slow, bare."),
    ],
)
def test_an_unknown_mode(write: Write, target: str, expected: str) -> None:
    write(MODES)
    assert sentence(target) == expected


def test_a_target_without_modes(write: Write) -> None:
    write(GOOD)
    assert sentence("my.toml:slow") == "my has no mode 'slow', nor any other."


IN_SLOW = "[modes.slow.tile]\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # What a mode is made of.
        ('title = "Slow"\n', "", ":modes.slow.title is missing."),
        (
            'title = "Slow"\n',
            'titel = "Slow"\n',
            ":modes.slow.titel is not a known key. Did you mean 'title'? (and 1 more)",
        ),
        ('title = "Slow"\n', "title = 3\n", ":modes.slow.title must be a string, but is 3."),
        (
            IN_SLOW,
            "[modes.slow.tiles]\n",
            ":modes.slow.tiles is not a known key. Did you mean 'tile'?",
        ),
        (
            'title = "Slow"\n',
            'title = "Slow"\nchip = 5\n',
            ":modes.slow.chip must be a table, but is 5.",
        ),
        *(
            (
                "[modes.bare]",
                f"[modes.'{name}']\ntitle = 'x'\n[modes.bare]",
                ":modes has a name that must be made of letters, digits, '.', '_' and '-', and "
                f"begin with a letter or digit, but is {name!r}.",
            )
            for name in ("a:b", "a b", "")
        ),
        # Where its figures come from.
        ('source = "textbook"\n', "", ":modes.slow.tile.source is missing."),
        ('basis = "assumed"\n', "", ":modes.slow.tile.basis is missing."),
        (
            'basis = "assumed"\n',
            'basis = "guessed"\n',
            ":modes.slow.tile.basis must be 'measured', 'published', 'derived' or 'assumed', but "
            "is 'guessed'.",
        ),
        ('note = "Not tried."', "note = 3", ":modes.slow.tile.note must be a string, but is 3."),
        (
            'origin.read_latency_ns = { source = "stopwatch, again", basis = "measured" }',
            "origin = 3",
            ":modes.slow.tile.origin must be a table, but is 3.",
        ),
        (
            'source = "stopwatch, again", ',
            "",
            ":modes.slow.tile.origin.read_latency_ns.source is missing.",
        ),
        (
            'source = "stopwatch, again", ',
            'sauce = "", ',
            ":modes.slow.tile.origin.read_latency_ns.sauce is not a known key. "
            "Did you mean 'source'? (and 1 more)",
        ),
        (
            IN_SLOW,
            IN_SLOW + "origin.read_phase = { source = 'x', basis = 'assumed' }\n",
            ", mode slow:tile.origin.read_phase is not a figure of [tile]. "
            "Did you mean 'read_phases'?",
        ),
        (
            IN_SLOW,
            IN_SLOW + "origin.co_location = { source = 'x', basis = 'assumed' }\n",
            ", mode slow:tile.origin.co_location is the origin of a figure that the mode does "
            "not give.",
        ),
        # What it leaves out.
        (
            IN_SLOW,
            IN_SLOW + "omit = 'area_mm2'\n",
            ":modes.slow.tile.omit must be a list, but is 'area_mm2'.",
        ),
        (IN_SLOW, IN_SLOW + "omit = [3]\n", ":modes.slow.tile.omit.0 must be a string, but is 3."),
        (
            IN_SLOW,
            IN_SLOW + "omit = ['area_mm2']\n",
            ", mode slow:tile.omit names area_mm2, which is not given.",
        ),
        (
            IN_SLOW,
            IN_SLOW + "omit = ['area']\n",
            ", mode slow:tile.omit names area, which is not a figure. Did you mean 'area_mm2'?",
        ),
        (
            IN_SLOW,
            IN_SLOW + "omit = ['co_location']\n",
            ", mode slow:tile.omit names co_location, which must be given.",
        ),
        (
            IN_SLOW,
            IN_SLOW + "omit = ['read_phases']\n",
            ", mode slow:tile.omit names read_phases, which the mode gives.",
        ),
        (
            IN_SLOW,
            IN_SLOW + "omit = ['source']\n",
            ", mode slow:tile.omit names source, which is not a figure.",
        ),
        (
            '"noise", "options"',
            '"noise"',
            ", mode bare:device.options is given, but device.noise, which would take it, is not.",
        ),
        # The figures.
        (
            "read_phases = 4\n",
            "read_phase = 4\n",
            ", mode slow:tile.read_phase is not a known key. Did you mean 'read_phases'?",
        ),
        (
            "read_phases = 4\n",
            "read_phases = 3\n",
            ", mode slow:tile.read_phases must be 1, 2 or 4, but is 3.",
        ),
        (
            "read_latency_ns = 400.0\n",
            "read_latency_ns = 'slow'\n",
            ", mode slow:tile.read_latency_ns must be a number, but is 'slow'.",
        ),
        (
            "read_latency_ns = 400.0\n",
            "read_latency_ns = nan\n",
            ", mode slow:tile.read_latency_ns must be a finite number, but is nan.",
        ),
        (
            IN_SLOW,
            f"[modes.slow.optics]\npower_mW = 1.0\n{SOURCED}{IN_SLOW}",
            ", mode slow:optics replaces figures of a table that is not given.",
        ),
        (
            IN_SLOW,
            f"[modes.slow.device]\nencoding = 'offset'\n{SOURCED}{IN_SLOW}",
            ", mode slow:tile.read_phases is 4, but only differential devices have polarities to "
            "read apart.",
        ),
        (
            IN_SLOW,
            f"[modes.slow.output]\nintegration_ns = 200\n{SOURCED}{IN_SLOW}",
            ", mode slow:output.integration_ns is 200: 4 phases take 800 ns, one after the other, "
            "but a read (tile.read_latency_ns) takes 400.",
        ),
    ],
)
def test_a_bad_mode(write: Write, old: str, new: str, expected: str) -> None:
    write(changed(MODES, (old, new)))
    assert sentence("my.toml:slow") == f"my.toml{expected}"
    assert sentence("my.toml") == f"my.toml{expected}"  # a file is right as a whole


def test_overrides_of_a_target_in_a_mode(write: Write) -> None:
    write(MODES)
    target = load_target("my.toml:slow", {"tile.read_phases": 2})
    assert (target.mode, target.tile.read_phases, target.tile.read_latency_ns) == ("slow", 2, 400)
    assert target.origin_of("tile.read_phases").source == "set by the user"
    assert target.origin_of("tile.read_latency_ns").source == "stopwatch, again"
    assert load_target(load_target("my.toml:slow"), {"tile.read_phases": 2}) == target
    assert sentence(target, {"tile.read_phases": 3}) == (
        "tile.read_phases, set by the user, must be 1, 2 or 4, but is 3."
    )
    assert sentence(target, {"tile.co_location": None}) == (
        "tile.co_location, taken away by the user, must be 'exclusive', 'parallel' or "
        "'serial', but is nothing."
    )
    assert sentence(target, {"device.encoding": "offset", "tile.read_phases": 4}) == (
        "tile.read_phases, set by the user, is 4, but only differential devices have polarities "
        "to read apart."
    )
    whole = load_target("my.toml:slow")
    assert sentence(whole, {"device.encoding": "offset"}) == (
        "my, mode slow:tile.read_phases is 4, but only differential devices have polarities to "
        "read apart."
    )


# Baselines.


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[compute]",
            f"[crossbar]\nrows = 1\n{SOURCED}\n[compute]",
            "crossbar is of analog hardware, but kind is 'digital'.",
        ),
        (
            "[compute]",
            "[modes.fast]\ntitle = 'Fast'\n\n[compute]",
            "modes is of analog hardware, but kind is 'digital'.",
        ),
        (
            'kind = "digital"\n',
            "",
            "compute is of digital hardware, but kind is 'analog'. (and 9 more)",
        ),
        (
            'kind = "digital"\n',
            'kind = "Digital"\n',
            "kind must be 'analog' or 'digital', but is 'Digital'.",
        ),
        (
            "[compute]",
            "[compte]",
            "compte is not a known key. Did you mean 'compute'? (and 1 more)",
        ),
        (
            "[compute]",
            "mode = 'x'\n[compute]",
            "mode is not a known key: write the figures themselves.",
        ),
        (
            "int8_TOPS = 100.0",
            "int8_tops = 100.0",
            "compute.int8_tops is not a known key. Did you mean 'int8_TOPS'?",
        ),
        (
            "int8_TOPS = 100.0",
            "int8_TOPS = -100.0",
            "compute.int8_TOPS must be greater than 0, but is -100.0.",
        ),
        (
            "bandwidth_GB_s = 3000.0",
            "bandwith_GB_s = 3000.0",
            "memory.bandwith_GB_s is not a known key. Did you mean 'bandwidth_GB_s'?",
        ),
        (
            "bandwidth_GB_s = 3000.0",
            "bandwidth_GB_s = 3000.0\nkv_efficiency = 22",
            "memory.kv_efficiency must be at most 1, but is 22.",
        ),
        (
            "bandwidth_GB_s = 3000.0",
            "bandwidth_GB_s = 3000.0\nkv_efficiency = 0",
            "memory.kv_efficiency must be greater than 0, but is 0.",
        ),
        ("[die]\n", "[[die]]\n", "die must be a table, but is a list."),
    ],
)
def test_a_bad_baseline(write: Write, old: str, new: str, expected: str) -> None:
    write(changed(DIGITAL, (old, new)))
    with pytest.raises(TargetError) as caught:
        load_description("my.toml")
    assert first_of(caught.value) == f"my.toml:{expected}"
    assert sentence("my.toml") == f"my.toml:{expected}"


REFUSED = (
    "is digital: the cost model compares with it, but no model is compiled to it; choose an analog "
    "target (afmc targets list)."
)


def test_nothing_is_compiled_to_a_baseline_nor_is_it_overridden(write: Write) -> None:
    write(DIGITAL)
    assert isinstance(load_description("my.toml"), Baseline)
    assert sentence("my.toml") == f"my {REFUSED}"
    assert sentence("my.toml", {"compute.int8_TOPS": 1.0}) == f"my {REFUSED}"
    assert sentence("h100") == f"h100 {REFUSED}"


def test_a_baseline_has_no_modes(write: Write) -> None:
    write(DIGITAL)
    assert sentence("my.toml:fast") == "my is digital: it has no mode 'fast'."


# Device models.


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (
            "pcm-hermez",
            "my:device.noise names 'pcm-hermez', which is neither 'package.module:Class' nor one "
            "of {known}. Did you mean 'pcm-hermes'?",
        ),
        (
            "package.module.Class",
            "my:device.noise names 'package.module.Class', which is neither "
            "'package.module:Class' nor one of {known}.",
        ),
        (
            "package.module:Class",
            "my:device.noise names package.module:Class, which cannot be imported: No module "
            "named 'package'.",
        ),
        (
            "afmc.errors:Device",
            "my:device.noise names afmc.errors:Device, but afmc.errors has no Device.",
        ),
        (
            "afmc.errors:did_you_mean",
            "my:device.noise names afmc.errors:did_you_mean, which is not a class with a method "
            "'program'.",
        ),
    ],
)
def test_an_unknown_device_model(write: Write, noise: str, expected: str) -> None:
    write(changed(GOOD, ("package.module:Class", noise)))
    target = load_target("my.toml")
    with pytest.raises(TargetError) as caught:
        device_of(target)
    assert str(caught.value) == expected.format(known=", ".join(sorted(list_devices())))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "my.toml:schema_version is missing. (and 10 more)"),
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
            "crossbar.rows, taken away by the user, must be a whole number, but is nothing.",
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
        (
            "output.bound",
            None,
            "output.bound, taken away by the user, is missing: a converter of 8 bits needs one.",
        ),
        (
            "output.conversion_ns",
            1000,
            "output.conversion_ns, set by the user, is 1000, but a read (tile.read_latency_ns) "
            "takes 100.",
        ),
        (
            "device.transmission_max",
            1.0,
            "device.transmission_max, set by the user, is of light, but g_max_uS, a conductance, "
            "is given too.",
        ),
        ("device.g_max_uS", None, "device.g_max_uS, taken away by the user, is missing."),
        (
            "optics.power_mW",
            1.0,
            "optics.power_mW, set by the user: my has no table [optics]; add it to the file.",
        ),
        (
            "optics",
            1.0,
            "optics, set by the user, is not a known key of a target. "
            "Did you mean 'optics.power_mW'?",
        ),
        ("mode", "slow", "mode, set by the user, is not a figure: name the target as my:slow."),
        (
            "target.crossbar.rows",
            1,
            "target.crossbar.rows, set by the user, is not a known key of a target. "
            "Did you mean 'crossbar.rows'?",
        ),
        (
            "modes.slow.tile.read_phases",
            1,
            "modes.slow.tile.read_phases, set by the user, is not a known key of a target. "
            "Did you mean 'tile.read_phases'?",
        ),
        (
            "device.options.",
            1,
            "device.options., set by the user, is not a known key of a target. "
            "Did you mean 'device.options.NAME'?",
        ),
        (
            "device.noise",
            "",
            "device.noise, set by the user, must be the name of a device model or look like "
            "'package.module:Class', but is ''.",
        ),
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


def test_a_mode_of_a_plugin(plugin: Path) -> None:
    (plugin / "my.toml").write_text(MODES)
    assert load_target("my:slow").mode == "slow"
    assert sentence("my:slwo") == (
        "my has no mode 'slwo'; its modes: slow, bare. Did you mean 'slow'?"
    )
    assert sentence("mu:slow").startswith("unknown target 'mu': ")


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
    names = ("hermes-64", "ideal-512", "rram-1024")
    owned = [(name, "afmc.targets", "afmc") for name in names]
    monkeypatch.setattr(loader, "entry_points", points(*owned))
    assert sentence("hermes") == (
        "unknown target 'hermes': it is neither a .toml file nor one of hermes-64, ideal-512, "
        "rram-1024. Did you mean 'hermes-64'?"
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


@pytest.mark.parametrize("name", ["afm-512-projected", "hermes-64", "ideal-512"])
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
