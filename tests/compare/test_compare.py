"""Compiles side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import estimates
import kept
import pytest
import written
from jsonschema import Draft202012Validator
from printing import shown

from afmc.compare import compare, compare_schema, render
from afmc.costs import Workload, estimate
from afmc.errors import ArtifactError, OptionError
from afmc.program.folder import read_program

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
 ≠   sequential reads, at most      1                   3
 ≠   sequential reads, on average   1                   2
     reads one after the other      9                   9
     bytes across chips             64                  64
     input ranges                   -                   -
     defects                        -                   -
     best lever                     -                   -

costs

     figure                                              p             s
 ─────────────────────────────────────────────────────────────────────────────────
     decode, context 512, batch 1: nJ a token            20.6135       20.6135
 ≠   decode, context 512, batch 1: ns                    247.267       353.933
 ≠   decode, context 512, batch 1: ns between tokens     93.3333       253.333
 ≠   decode, context 512, batch 1: tokens a second       4.04422e+06   2.82539e+06
     decode, context 512, batch 1: mm2                   2.4           2.4
     decode, context 2,048, batch 1: nJ a token          20.6135       20.6135
 ≠   decode, context 2,048, batch 1: ns                  247.267       353.933
 ≠   decode, context 2,048, batch 1: ns between tokens   93.3333       253.333
 ≠   decode, context 2,048, batch 1: tokens a second     4.04422e+06   2.82539e+06
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


def validated(folder: Path, file: str, **changes: Any) -> Path:
    """What `afmc validate FOLDER --json` could have printed, in a file."""
    value = estimates.validation(read_program(folder), 2) | changes
    (folder.parent / file).write_text(json.dumps(value))
    return Path(file)


@pytest.mark.usefixtures("folders")
def test_two_rules_side_by_side() -> None:
    text = shown(render(compare(["p", "s"])), 100)
    assert squeezed(text) == squeezed(f"All options of passes are equal.\n{TABLES}\n")[:-1]


@pytest.mark.usefixtures("folders")
def test_as_data() -> None:
    found = json.loads(json.dumps(compare([Path("p"), "s", "s"]).to_json(), allow_nan=False))
    Draft202012Validator(compare_schema()).validate(found)
    assert found["directories"] == ["p", "s", "s"] and found["models"] == "the same"
    figures = values(found, "figures")
    assert figures["tiles_used"] == [4, 3, 3] and figures["rule"] == ["parallel", *["serial"] * 2]
    assert values(found, "target") == {"tile.co_location": ["parallel", "serial", "serial"]}
    assert found["options"] == found["accuracy"] == []
    program, hardware = kept.program("parallel"), kept.target("parallel")
    estimated = estimate(program, hardware, Workload(context=2048))
    costs = values(found, "costs")["decode, context 2,048, batch 1: energy_nJ"]
    assert costs[0] == estimated.energy_nJ and costs[1] == costs[2]
    parts = values(found, "parts")
    for part in estimated.parts:
        energy = parts[f"decode, context 2,048, batch 1: {part.name}"]
        assert energy[0] == part.energy_nJ and energy[1] == energy[2]
    assert parts["decode, context 2,048, batch 1: static power"] == [None] * 3


@pytest.mark.usefixtures("folders")
def test_other_workloads() -> None:
    found = compare(["p", "s"], [Workload("prefill", 64, 2)]).to_json()
    titles = {name.split(": ")[0] for name in values(found, "costs") | values(found, "parts")}
    assert titles == {"prefill, context 64, batch 2"}


def test_different_models_and_options(folders: Path) -> None:
    written.write(folders / "w")
    found = compare(["p", "w"])
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    Draft202012Validator(compare_schema()).validate(data)
    assert data["models"] == "different"
    assert values(data, "options")["partition.digital"] == [None, ["lm_head"]]
    assert values(data, "target")["crossbar.rows"] == [16, 512]
    text = shown(render(found), 100)
    assert text.startswith("These are different models: kept, test.\ncompiles")
    assert "≠ partition.digital - lm_head" in squeezed(text)


def test_other_weights_of_the_same_matrices(folders: Path) -> None:
    kept.edit(folders / "s", "model", "sha256", to="1" * 64)
    found = compare([folders / "p", folders / "s"])
    assert found.models == "the same matrices"
    assert "same matrices but not the same hash" in shown(render(found), 200)


def test_a_compile_beside_itself_has_no_differences(folders: Path) -> None:
    found = compare([folders / "p", folders / "p"])
    assert not any(row.differs for row in found.figures + found.costs + found.parts)
    assert found.options == found.target == ()


def test_perplexities_of_the_folder_that_they_are_of(folders: Path) -> None:
    kept.edit(folders / "s", "model", "sha256", to="1" * 64)
    files = [validated(folders / "p", "p.json"), validated(folders / "s", "s.json")]
    found = compare(["s", "p"], validations=files)
    common = "letters.txt, 1,024 tokens in windows of 512"
    assert [row.name for row in found.accuracy] == [
        f"{common}: digital",
        f"{common}: 0s, 25 °C, compensation tile",
        f"{common}: 0s, 85 °C, compensation tile",
    ]
    digital, first, _ = found.accuracy
    assert [value and value.mean for value in digital.values] == [
        13.82,
        13.82,
    ] and not digital.differs
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    Draft202012Validator(compare_schema()).validate(data)
    assert (
        data["accuracy"][1]["values"]
        == [{"mean": 20.0, "std": 1.5, "interval_95": [16.25, 23.75],
             "values": [18.5, 20.0, 21.5], "instances": 3}] * 2
    )  # fmt: skip
    text = squeezed(shown(render(found), 300))
    cell = "20.0 (95 %: 16.2 to 23.8, 3 instances)"
    assert f"{first.name} {cell} {cell}" in text
    only = compare(["s", "p"], validations=["p.json"])
    assert [value and value.mean for value in only.accuracy[0].values] == [None, 13.82]


def test_validations_of_other_kinds_are_apart(folders: Path) -> None:
    folder = folders / "p"
    kept.edit(folders / "s", "model", "sha256", to="1" * 64)
    files = [
        validated(folder, "a.json"),
        validated(folder, "b.json", noise=False),
        validated(folder, "c.json", overrides={"device.noise": None}),
        validated(folder, "d.json", defects="dead.csv"),
        validated(folder, "e.json", text_sha256="e" * 64),
    ]
    names = [row.name.split(": ", 1) for row in compare(["p", "s"], validations=files).accuracy]
    assert {text.split(", ")[0] for text, _ in names} == {
        "letters.txt (00000000)", "letters.txt (eeeeeeee)",
    }  # fmt: skip
    at_first = [what for _, what in names if "25 °C" in what]
    assert [what.removeprefix("0s, 25 °C, compensation tile") for what in at_first] == [
        "", ", without noise", ", device.noise = none", ", broken: dead.csv", "",
    ]  # fmt: skip


def test_one_instance_has_no_interval(folders: Path) -> None:
    kept.edit(folders / "s", "model", "sha256", to="1" * 64)
    file = validated(folders / "p", "p.json", instances=1)
    value = json.loads(file.read_text())
    for each in value["conditions"]:
        each["analog"]["perplexity"] |= {"std": None, "interval_95": None, "values": [20.0]}
    file.write_text(json.dumps(value))
    text = shown(render(compare(["p", "s"], validations=[file])), 300)
    assert "compensation tile 20.00 (1 instance) -" in " ".join(text.split())


def test_a_validation_of_several_folders(folders: Path) -> None:
    """p and s are the same model on targets of the same name."""
    file = validated(folders / "p", "v.json")
    with pytest.raises(OptionError) as error:
        compare(["p", "s"], validations=[file])
    assert str(error.value) == (
        "the validation v.json is of kept on afm-512-projected, which are compiled in p and in s: "
        "say which with --validation p=v.json."
    )
    found = compare(["p", "s"], validations=["s=v.json"])
    assert [value and value.mean for value in found.accuracy[0].values] == [None, 13.82]
    assert len(compare(["p", "p"], validations=[file]).accuracy) == 3  # one folder, twice


@pytest.mark.parametrize(
    ("change", "given", "sentence"),
    [
        ({"model": "other"}, "v.json", "the validation v.json is of other on afm-512-projected, "
         "and none of p, s is that model with those weights on that target."),
        ({"target": "pcm-34"}, "v.json", "the validation v.json is of kept on pcm-34, and none of "
         "p, s is that model with those weights on that target."),
        ({"model_sha256": "2" * 64}, "p=v.json", "the validation v.json is of kept with other "
         "weights, not of kept as compiled here."),
        ({"conditions": []}, "p=v.json", "the validation v.json has no conditions."),
        ({}, "none.json", "the validation none.json cannot be read: No such file or directory."),
        ({}, "q=v.json", "the validation q=v.json cannot be read: No such file or directory."),
        ({}, "p", "the validation p cannot be read: Is a directory."),
    ],
)  # fmt: skip
def test_validations_that_are_refused(
    folders: Path, change: dict[str, Any], given: str, sentence: str
) -> None:
    validated(folders / "p", "v.json", **change)
    with pytest.raises(OptionError) as error:
        compare(["p", "s"], validations=[given])
    assert str(error.value) == sentence


def test_two_validations_under_one_condition(folders: Path) -> None:
    for file in ("a.json", "b.json"):
        validated(folders / "p", file)
    with pytest.raises(OptionError) as error:
        compare(["p", "s"], validations=["p=a.json", "p=b.json"])
    assert str(error.value) == (
        "a.json and b.json both validate p on letters.txt, 1,024 tokens in windows of 512: 0s, "
        "25 °C, compensation tile; give one."
    )


def test_what_is_refused(folders: Path) -> None:
    with pytest.raises(OptionError, match="compare needs two folders or more"):
        compare([folders / "p"])
    with pytest.raises(ArtifactError, match="nothing does not exist"):
        compare([folders / "p", folders / "nothing"])
