"""Compiles side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kept
import pytest
import written
from printing import shown

from afmc.compare import compare_json, render_compare
from afmc.costs import Workload, estimate
from afmc.errors import ArtifactError, OptionError

TABLES = """\
compiles; ≠: differs

     figure                         p                   s
 ────────────────────────────────────────────────────────────────────
     model                          kept                kept
     architecture                   Kept                Kept
     shapes only                    yes                 yes
     weights of the model           398                 398
     target                         afm-512-projected   afm-512-projected
     matrices on tiles              4                   4
     matrices digital               1                   1
     weights on tiles               360                 360
     weights digital                98                  98
     digital multiply-accumulates   7.16 %              7.16 %
     blocks                         9                   9
     blocks that are replicas       1                   1
 ≠   tiles                          4                   3
     tiles, at least                3                   3
 ≠   proof                          FEASIBLE            OPTIMAL
 ≠   gap                            25.00 %             0.00 %
     chips                          2                   2
 ≠   cells used                     51.56 %             68.75 %
 ≠   rule                           parallel            serial
     objective                      -                   -
 ≠   turns, at most                 1                   3
 ≠   turns, on average              1                   2
     reads one after the other      9                   9
     bytes across chips             64                  64
     input ranges                   -                   -
     defects                        -                   -
     best lever                     -                   -

costs

     figure                                              p             s
 ─────────────────────────────────────────────────────────────────────────────────
     decode, context 512, batch 1: nJ a token            20.6135       20.6135
 ≠   decode, context 512, batch 1: ns                    220           340
 ≠   decode, context 512, batch 1: ns between tokens     106.667       253.333
 ≠   decode, context 512, batch 1: tokens a second       4.54545e+06   2.94118e+06
     decode, context 512, batch 1: mm2                   2.4           2.4
     decode, context 2,048, batch 1: nJ a token          20.6135       20.6135
 ≠   decode, context 2,048, batch 1: ns                  220           340
 ≠   decode, context 2,048, batch 1: ns between tokens   106.667       253.333
 ≠   decode, context 2,048, batch 1: tokens a second     4.54545e+06   2.94118e+06
     decode, context 2,048, batch 1: mm2                 2.4           2.4

figures of the target that differ; -: not set

     figure              p          s
 ───────────────────────────────────────────
 ≠   tile.co_location    parallel   serial
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept.write(tmp_path / "p", "parallel")
    kept.write(tmp_path / "s", "serial")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(found: dict[str, Any], table: str) -> dict[str, list[Any]]:
    return {row["name"]: row["values"] for row in found[table]}


def squeezed(text: str) -> list[str]:
    """Lines without the widths of columns."""
    return [" ".join(line.split()) for line in text.splitlines() if "──" not in line]


@pytest.mark.usefixtures("folders")
def test_two_rules_side_by_side() -> None:
    found = compare_json([Path("p"), Path("s")])
    text = shown(render_compare(found), 100)
    assert squeezed(text) == squeezed(f"All options of passes are equal.\n{TABLES}\n")[:-1]


@pytest.mark.usefixtures("folders")
def test_as_data() -> None:
    found = json.loads(json.dumps(compare_json([Path("p"), Path("s"), Path("s")])))
    assert found["directories"] == ["p", "s", "s"] and found["models"] == "the same"
    figures = values(found, "figures")
    assert figures["tiles_used"] == [4, 3, 3] and figures["rule"] == ["parallel", *["serial"] * 2]
    assert values(found, "target") == {"tile.co_location": ["parallel", "serial", "serial"]}
    assert found["options"] == []
    program, hardware = kept.program("parallel"), kept.target("parallel")
    energy = estimate(program, hardware, Workload(context=2048)).energy_nJ
    costs = values(found, "costs")["decode, context 2,048, batch 1: energy_nJ"]
    assert costs[0] == energy and costs[1] == costs[2]


def test_different_models_and_options(folders: Path) -> None:
    written.write(folders / "w")
    found = compare_json([Path("p"), Path("w")])
    assert found["models"] == "different"
    assert values(found, "options")["partition.digital"] == [None, ["lm_head"]]
    assert values(found, "target")["crossbar.rows"] == [16, 512]
    text = shown(render_compare(found), 100)
    assert text.startswith("These are different models: kept, test.\ncompiles")
    assert "≠ partition.digital - lm_head" in squeezed(text)


def test_other_weights_of_the_same_matrices(folders: Path) -> None:
    kept.edit(folders / "s", "model", "sha256", to="1" * 64)
    found = compare_json([folders / "p", folders / "s"])
    assert found["models"] == "the same matrices"
    assert "same matrices but not the same hash" in shown(render_compare(found), 200)


def test_a_compile_beside_itself_has_no_differences(folders: Path) -> None:
    found = compare_json([folders / "p", folders / "p"])
    assert not any(row["differs"] for row in found["figures"] + found["costs"])
    assert found["options"] == found["target"] == []


def test_what_is_refused(folders: Path) -> None:
    with pytest.raises(OptionError, match="compare needs two folders or more"):
        compare_json([folders / "p"])
    with pytest.raises(ArtifactError, match="nothing does not exist"):
        compare_json([folders / "p", folders / "nothing"])
