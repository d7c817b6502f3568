"""Pages about the hardware. `pytest --update-golden` writes the committed ones anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import afmc.targets
from afmc.targets import Baseline, Target, load_description
from afmc.targets.document import page, pages, write_pages
from afmc.targets.units import unit_of

FOLDER = Path(afmc.targets.__file__).parent
PAGES = Path(__file__).parents[2] / "targets" / "pages"


def test_the_committed_pages_are_what_the_files_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        write_pages(PAGES)
    committed = {file.name: file.read_text("utf-8") for file in PAGES.iterdir()}
    fresh = pages()
    assert committed.keys() == fresh.keys()
    assert committed == fresh


def test_writing_pages(tmp_path: Path) -> None:
    write_pages(tmp_path / "pages")
    assert {file.name for file in (tmp_path / "pages").iterdir()} == pages().keys()


def test_the_index_has_a_row_for_each() -> None:
    index = pages()["README.md"]
    for file in FOLDER.glob("*.toml"):
        assert f"| [{file.stem}]({file.stem}.md) |" in index
    assert "| resistive memory | 128 x 256 | 48 | `rram-wan2022` |" in index
    assert "| any | 512 x 512 x 1024 tiers | 100 | `gaussian` |" in index


def test_a_page() -> None:
    text = page(load_description(FOLDER / "hermes-64.toml"))
    for line in (
        "# hermes-64",
        "| weights | 65,536 a tile, 4.19 million a chip |",
        "| on/off ratio | without limit (the smallest state is 0) |",
        "| as in the file | 133 ns | 13.4 nJ | 205 fJ | 0.986 | 63.1 | 9.75 | 1.55 |",
        "| `four-phase` | 521 ns | 52.8 nJ | 806 fJ | 0.252 | 16.1 | 2.48 | 0.397 |",
    ):
        assert line in text.splitlines()
    assert "| `tile.read_latency_ns` | 133 ns | 521 ns | derived | 64 cores" in text
    assert "| `device.options.devices` | 2 | 1 | measured | AIHWKIT" in text
    assumed = text.split("## What is assumed")[1]
    assert "`output.bound`" in assumed and "`crossbar.rows`" not in assumed
    assert "| `tile.read_energy_nJ`, mode `one-device` | 13.44 nJ | Nobody's figure: " in assumed


def test_a_page_of_what_is_digital() -> None:
    text = page(load_description(FOLDER / "int8-dimc.toml"))
    assert "| efficiency | 36.5 TOPS/W |" in text
    assert "| `memory.weight_energy_pJ_B` | 46.3 pJ/B | assumed |" in text


def test_a_page_says_what_the_energy_includes_and_when_no_cost_is_known() -> None:
    text = page(load_description(FOLDER / "mythic-m1076.toml"))
    assert "\n\nThe energy: 3 W x 6.375 us / 76 tiles = 252 nJ" in text
    assert "| on/off ratio | 10 million |" in text
    text = page(load_description(FOLDER / "rram-1024.toml"))
    assert "No latency, energy or area is known." in text and "### A read" not in text


def test_a_figure_that_a_mode_takes_away_is_not_known_in_it() -> None:
    text = page(load_description(FOLDER / "pcm-34.toml"))
    assert "| `tile.read_energy_nJ` | 26.2 nJ | not known | assumed |" in text
    assert "| `two-pcm` | 600 ns |  |  | 1.75 | 59.4 |  |  |" in text


def test_what_a_file_does_not_give_is_no_statement_of_its_source() -> None:
    text = page(load_description(FOLDER / "pcm-34.toml"))
    assert "| `output.gain_std` |" not in text
    assert "hence as the format has it: `crossbar.selector` = none, `crossbar.sense` =" in text
    assert "`tile.area_mm2`" in text.split("Not in the file: ")[1]
    assert "transmission" not in text


def test_markup_in_a_source_does_not_break_the_table() -> None:
    target = load_description(FOLDER / "ideal-512.toml")
    system = target.model_copy(update={"title": "a|b", "modes": {}})
    assert isinstance(system, Target)
    chip = system.chip.model_copy(update={"source": "a|b"})
    assert "| `chip.tiles` | 64 | assumed | a\\|b. |" in page(
        system.model_copy(update={"chip": chip})
    )


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("tile.read_latency_ns", "ns"),
        ("tile.read_energy_nJ", "nJ"),
        ("device.g_max_uS", "uS"),
        ("overhead.layer_us", "us"),
        ("optics.responsivity_A_W", "A/W"),
        ("optics.power_mW", "mW"),
        ("optics.rin_dB_Hz", "dB/Hz"),
        ("memory.bandwidth_GB_s", "GB/s"),
        ("memory.capacity_GB", "GB"),
        ("memory.kv_energy_pJ_B", "pJ/B"),
        ("compute.flop_energy_pJ", "pJ"),
        ("compute.int8_TOPS", "TOPS"),
        ("output.offset_std_steps", "steps"),
        ("output.gain_std", ""),
        ("device.options.i_max_nA", "nA"),
        ("crossbar.rows", ""),
        ("input.bits", ""),
        ("temperature_C", "C"),
        ("W", ""),
    ],
)
def test_units(key: str, unit: str) -> None:
    assert unit_of(key) == unit


@pytest.mark.parametrize("kind", [Target, Baseline])
def test_every_key_that_ends_in_a_unit_has_one(kind: type[Target | Baseline]) -> None:
    """Units have capitals in them, or are among these; ends of other keys are words."""
    for key in kind.keys():
        end = key.rpartition("_")[2]
        if "_" in key and (end != end.lower() or end in ("ns", "us", "ms", "mm2", "ohm")):
            assert unit_of(key), key
