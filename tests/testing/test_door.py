"""The door for chip teams: from an empty file to a package with a target and a device model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from afmc.cli import main
from afmc.errors import OptionError
from afmc.targets import Target, load_description, load_target, target_schema
from afmc.targets.starter import starter, write_starter
from afmc.testing import Finding, check_target

ROOT = Path(__file__).parents[2]
ACME = ROOT / "examples" / "acme-chip"
PAGE = ROOT / "examples" / "bring-your-own-chip.md"

Afmc = Callable[..., tuple[int, str, str]]


@pytest.fixture
def afmc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Afmc:
    """Runs a command in an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["afmc", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capsys.readouterr()

    return run


# --- afmc targets new


def keys_in(text: str) -> dict[str, str]:
    """Dotted key -> value of every line that sets a figure, as a comment or not."""
    found, table = {}, None
    for line in text.splitlines():
        if match := re.fullmatch(r"(?:# )?\[(\w+)\]", line):
            table = match[1]
        elif table and (match := re.fullmatch(r"(?:# )?(\w+) = (.*)", line)):
            found[f"{table}.{match[1]}"] = match[2]
    return found


def test_every_key_is_in_the_starting_file_with_a_value_that_it_may_have() -> None:
    found = keys_in(starter("my-chip"))
    assert set(Target.keys()) <= set(found)
    schema = target_schema()
    for key in Target.keys():
        table, figure = key.split(".")
        [value] = tomllib.loads(f"it = {found[key]}").values()
        about = schema["$defs"][Target.tables()[table].__name__]["properties"][figure]
        jsonschema.validate(value, {**about, "$defs": schema["$defs"]})


def test_every_sentence_of_the_schema_is_in_the_starting_file() -> None:
    text = " ".join(starter("my-chip").replace("\n# ", " ").split())
    definitions = target_schema()["$defs"]
    for name, kind in Target.tables().items():
        for key in kind.keys():
            sentence = definitions[kind.__name__]["properties"][key]["description"]
            assert " ".join(sentence.split()) in text, f"{name}.{key}"


def test_the_starting_file_says_what_a_key_is() -> None:
    assert (
        "# Resolution of the signed input. Omitted: a perfect converter.\n"
        "# Whole number from 2 up to 16. May be left out.\n"
        "# bits = 8\n"
    ) in starter("my-chip")
    assert max(map(len, starter("my-chip").splitlines())) <= 100


def test_a_toy_compiles_on_the_starting_file(afmc: Afmc) -> None:
    status, out, _ = afmc("targets", "new", "my-chip.toml")
    assert (status, out) == (
        0,
        "written to my-chip.toml; then: afmc targets check my-chip.toml\n",
    )
    assert load_target("my-chip.toml").name == "my-chip"
    findings = check_target("my-chip.toml")
    assert Finding("passed", "a toy model compiles: 8 blocks on 8 tiles") in findings
    assert [each.text for each in findings if each.kind != "passed"] == [
        "tile.read_latency_ns, tile.read_energy_nJ and tile.area_mm2 are missing: no costs follow "
        "from them",
        "still to be filled in: title, description, the source of [crossbar], [input], [output], "
        "[device], [tile], [chip] and [system]",
    ]


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("chip", "chip does not end in .toml: call it chip.toml."),
        ("there.toml", "there.toml exists already: choose another name, or remove it first."),
        ("nowhere/a.toml", "nowhere/a.toml: there is no folder nowhere; make it first."),
        ("there.toml/a.toml", "there.toml/a.toml: there is no folder there.toml; make it first."),
        (
            "my chip.toml",
            "'my chip' is no name for a target: it must be made of letters, digits, '.', '_' and "
            "'-', and begin with a letter or digit.",
        ),
        (
            ".toml",
            "'' is no name for a target: it must be made of letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit.",
        ),
    ],
)
def test_what_cannot_be_made_is_not_begun(
    file: str, sentence: str, afmc: Afmc, tmp_path: Path
) -> None:
    (tmp_path / "there.toml").write_text("mine")
    assert afmc("targets", "new", file) == (2, "", f"error: {sentence}\n")
    assert [each.name for each in tmp_path.iterdir()] == ["there.toml"]
    assert (tmp_path / "there.toml").read_text() == "mine"


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OptionError, match=r"a\.toml: the folder .* cannot be written to\.$"):
        write_starter(tmp_path / "a.toml")


def test_a_full_disk_leaves_no_half_that_blocks_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(file: Path, text: str, **_: object) -> None:
        with file.open("w") as stream:
            stream.write(text[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", fill)
        with pytest.raises(OptionError, match=r"a\.toml cannot be written: No space left on"):
            write_starter(tmp_path / "a.toml")
    assert not list(tmp_path.iterdir())
    write_starter(tmp_path / "a.toml")
    assert (tmp_path / "a.toml").read_text() == starter("a")


# --- afmc targets page


def test_page(afmc: Afmc, tmp_path: Path) -> None:
    status, out, _ = afmc("targets", "page", "hermes-64")
    assert status == 0 and out.startswith("# hermes-64\n\nIBM HERMES chip")
    assert afmc("targets", "page", "h100", "-o", "h100.md")[:2] == (0, "written to h100.md\n")
    assert (tmp_path / "h100.md").read_text().startswith("# h100\n")
    assert afmc("targets", "page", "h100", "-o", "h100.md")[:2] == (
        *(0, "written to h100.md, in place of an earlier one\n"),
    )
    (tmp_path / "mine.md").write_text("# mine\n")
    assert afmc("targets", "page", "h100", "-o", "mine.md")[2] == (
        "error: -o mine.md is there and is not a target's page that afmc wrote; name another file, "
        "or remove it first.\n"
    )
    assert (tmp_path / "mine.md").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["hermes-64:four-phase"],
            "a page has all modes of a target: afmc targets page hermes-64.",
        ),
        (
            ["h100", "-o", "nowhere/h100.md"],
            "-o nowhere/h100.md: there is no folder nowhere; make it first.",
        ),
        (["h100", "-o", "."], "-o . is a folder; name a file in it."),
    ],
)
def test_page_that_cannot_be_written(arguments: list[str], sentence: str, afmc: Afmc) -> None:
    assert afmc("targets", "page", *arguments) == (2, "", f"error: {sentence}\n")


# --- afmc targets devices


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs a module, with entry points for device models."""

    def install(module: str, entry_points: str) -> None:
        site = tmp_path / "site"
        about = site / "faulty-1.0.dist-info"
        about.mkdir(parents=True)
        (site / "faulty.py").write_text(module)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[afmc.devices]\n{entry_points}\n")
        monkeypatch.delitem(sys.modules, "faulty", raising=False)
        monkeypatch.syspath_prepend(site)

    return install


def test_devices(afmc: Afmc) -> None:
    status, out, _ = afmc("targets", "devices", "--json")
    rows = {row["name"]: row for row in json.loads(out)["devices"]}
    assert status == 0
    assert rows["gaussian"] == {
        "name": "gaussian",
        "class": "afmc.simulator.devices.gaussian:GaussianNoise",
        "about": "Normal noise on every weight, whatever its size.",
        "options": rows["gaussian"]["options"],
    }
    options = {each["name"]: each for each in rows["gaussian"]["options"]}
    assert options["sigma"] == {
        "name": "sigma",
        "required": True,
        "unit": "",
        "meaning": "Standard deviation of what was programmed, a share of what `of` says.",
    }
    assert (options["g_max_uS"]["default"], options["g_max_uS"]["unit"]) == (25.0, "uS")
    assert options["of"]["default"] == "weight" and options["sigma_read"]["default"] == 0.0
    assert all(row["about"] for row in rows.values())
    assert all(each["meaning"] for row in rows.values() for each in row["options"])
    shown = " ".join(afmc("targets", "devices")[1].split())
    assert "g_max_uS 4.2 uS" in shown


def test_a_plugin_that_fails_hides_no_other(
    afmc: Afmc, plugin: Callable[[str, str], None], tmp_path: Path
) -> None:
    plugin("raise RuntimeError('no licence')", "broken = faulty:Cell\nlost = nowhere:Cell")
    status, out, _ = afmc("targets", "devices", "--json")
    rows = {row["name"]: row for row in json.loads(out)["devices"]}
    assert status == 0 and "options" in rows["gaussian"]
    broken = "faulty:Cell, whose module failed: RuntimeError('no licence')."
    assert rows["broken"]["error"] == f"the entry point names {broken}"
    assert rows["lost"]["error"] == (
        "the entry point names nowhere:Cell, which cannot be imported: No module named 'nowhere'."
    )
    assert "no licence" in " ".join(afmc("targets", "devices")[1].split())

    text = starter("mine").replace('# noise = "gaussian"', 'noise = "broken"')
    (tmp_path / "mine.toml").write_text(text)
    assert afmc("targets", "check", "mine.toml") == (
        2,
        "",
        f"error: mine:device.noise names {broken}\n",
    )


# --- afmc targets check, of device models that break the protocol

FAULTY = """
import torch
from afmc import Device

class Raises(Device):
    def program(self, g, generator):
        raise RuntimeError("no fit")

class Shape(Device):
    def program(self, g, generator):
        return g[0]

class Nothing(Device):
    def program(self, g, generator):
        g + 1

class Double(Device):
    def program(self, g, generator):
        return g.double()

class NoNumbers(Device):
    def program(self, g, generator):
        return g / 0

class InPlace(Device):
    def program(self, g, generator):
        return g.add_(torch.randn(g.shape, generator=generator))

class AgesInPlace(Device):
    def program(self, g, generator):
        return g
    def age(self, g, wanted, t_s, generator):
        return g.mul_(1 - 1e-9 * t_s)

class OwnNumbers(Device):
    def program(self, g, generator):
        return g + torch.randn(g.shape)

class SameNumbers(Device):
    def program(self, g, generator):
        return g + torch.randn(g.shape, generator=torch.Generator().manual_seed(7))

class Negative(Device):
    def program(self, g, generator):
        return g
    def read_sigma(self, g, wanted, t_s):
        return -g

class Heats(Device):
    def program(self, g, generator):
        return g
    def heat(self, g, wanted, temperature_C, generator):
        return [g]

class Never(Device):
    def program(self, g, generator):
        return g
    def age(self, g, wanted, t_s, generator):
        raise ValueError("nothing was measured")
"""


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("Raises", "program, for 0.25 uS, raises RuntimeError('no fit')"),
        ("Shape", "program, for 0.25 uS, returns the shape (1000,), but was given (100, 1000)"),
        ("Nothing", "program, for 0.25 uS, returns NoneType, not a tensor"),
        ("Double", "program, for 0.25 uS, returns torch.float64, but was given torch.float32"),
        ("NoNumbers", "program, for 0.25 uS, returns values that are no finite numbers"),
        (
            "InPlace",
            "program, for 0.25 uS, changes the tensor that it is given: let it work on a copy",
        ),
        (
            "AgesInPlace",
            "age, after 1y, for 0.25 uS, changes the tensor that it is given: let it work on a "
            "copy",
        ),
        (
            "OwnNumbers",
            "program, for 0.25 uS, returns other values each time: let it draw from its generator "
            "alone",
        ),
        (
            "SameNumbers",
            "program, for 0.25 uS, draws the same numbers from every generator: let it draw from "
            "the one it is given",
        ),
        (
            "Negative",
            "read_sigma, after 0s, for 0.25 uS, returns a negative standard deviation",
        ),
        ("Heats", "heat, at 60 C, for 0.25 uS, returns list, not a tensor"),
        (
            "Never",
            "the devices are known at no time; otherwise: nothing was measured",
        ),
    ],
)
def test_what_check_says_of_a_faulty_device(
    model: str, sentence: str, plugin: Callable[[str, str], None], tmp_path: Path
) -> None:
    plugin(FAULTY, f"faulty = faulty:{model}")
    (tmp_path / "mine.toml").write_text(
        starter("mine").replace('# noise = "gaussian"', 'noise = "faulty"')
    )
    findings = check_target(tmp_path / "mine.toml")
    assert [each.text for each in findings if each.kind == "wrong"] == [sentence]
    assert "a toy model compiles" in findings[0].text


def test_a_wrong_finding_is_exit_status_1(
    afmc: Afmc, plugin: Callable[[str, str], None], tmp_path: Path
) -> None:
    plugin(FAULTY, "faulty = faulty:Shape")
    text = starter("mine").replace('# noise = "gaussian"', 'noise = "faulty"')
    (tmp_path / "mine.toml").write_text(text)
    status, out, _ = afmc("targets", "check", "mine.toml")
    assert status == 1 and out.endswith("\nmine.toml: 1 wrong, 2 suspicious\n")


def test_check_of_modes_tells_only_what_is_different() -> None:
    texts = [each.text for each in check_target("hermes-64")]
    assert len(texts) == len(set(texts))
    whole = {text for text in texts if not text.startswith("mode ")}
    of_modes = [text.split(": ", 1) for text in texts if text.startswith("mode ")]
    assert not whole & {text for _, text in of_modes}
    modes = load_target("hermes-64").modes
    assert {name.removeprefix("mode ") for name, _ in of_modes} == set(modes)


def test_check_of_a_mode_whose_device_refuses(tmp_path: Path) -> None:
    text = starter("mine") + '[modes.odd]\ntitle = "Odd"\n[modes.odd.device]\n'
    text += 'noise = "gaussian"\noptions = { sigma = -1.0 }\n'
    (tmp_path / "mine.toml").write_text(text + 'source = "fill in"\nbasis = "assumed"\n')
    findings = check_target(tmp_path / "mine.toml")
    assert [each.text for each in findings if each.kind == "wrong"] == [
        "mode odd: mine:device.noise: GaussianNoise refuses its options: "
        "sigma must not be negative, but is -1.0."
    ]


@pytest.mark.parametrize("name", ["h100", "int8-dimc"])
def test_check_of_a_baseline(name: str) -> None:
    findings = check_target(name)
    assert findings[0].text == "digital: costs are compared with it, nothing is compiled to it"
    assert {each.kind for each in findings} == {"passed"}


def test_check_of_a_poor_baseline(tmp_path: Path) -> None:
    origin = 'source = "fill in"\nbasis = "assumed"\n'
    (tmp_path / "poor.toml").write_text(
        'schema_version = 1\nkind = "digital"\nname = "poor"\ntitle = "P"\ndescription = "P"\n'
        f"[compute]\nint8_TOPS = 10.0\nmac_energy_fJ = 1000.0\n{origin}"
        f"[die]\npower_W = 1.0\n{origin}"
    )
    assert [each.text for each in check_target(tmp_path / "poor.toml")][1:] == [
        "memory.bandwidth_GB_s and die.area_mm2 are missing: no costs follow from them",
        "at its peak the arithmetic draws 5 W, but die.power_W is 1",
        "3 figures with their origin: 3 assumed",
        "still to be filled in: the source of [compute] and [die]",
    ]


# --- a package of somebody else's


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples/acme-chip is installed, from its wheel."""
    folder = tmp_path_factory.mktemp("acme")
    shutil.copytree(
        ACME,
        folder / "source",
        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"),
    )
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    make = (*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run((*make, folder, folder / "source"), check=True, capture_output=True)
    install = (*pip, "install", "--no-deps", "--no-index", "--target", folder / "site")
    subprocess.run((*install, *folder.glob("*.whl")), check=True, capture_output=True)
    return folder / "site"


def with_acme(site: Path, *command: str | Path) -> str:
    result = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "150"},
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


AFMC = Path(sys.executable).with_name("afmc")


def test_a_package_brings_a_target_and_a_device(site: Path) -> None:
    listed = json.loads(with_acme(site, AFMC, "targets", "list", "--json"))["targets"]
    [row] = [row for row in listed if row["name"] == "acme-256"]
    assert (row["noise"], row["modes"], row["rows"]) == ("acme-rram", ["eco"], 256)
    known = json.loads(with_acme(site, AFMC, "targets", "devices", "--json"))["devices"]
    [device] = [row for row in known if row["name"] == "acme-rram"]
    assert device["class"] == "acme_chip.rram:AcmeRram"
    assert device["options"][0] == {
        "name": "g_max_uS",
        "required": False,
        "default": 50.0,
        "unit": "uS",
        "meaning": "Largest conductance. A target with another one is refused.",
    }


def test_check_of_the_package(site: Path) -> None:
    found = json.loads(with_acme(site, AFMC, "targets", "check", "acme-256", "--json"))["findings"]
    assert {each["kind"] for each in found} == {"passed"}
    texts = [each["text"] for each in found]
    assert "programming 50 uS: mean 50 uS, std 0.3 uS" in texts
    assert any(text.startswith("mode eco: ") for text in texts)


LAYER = """
import json, torch, afmc
from afmc.simulator.devices.base import device_of

target = afmc.load_target("acme-256")
linear = torch.nn.Linear(300, 200)
x = torch.randn(64, 300)
errors = {}
for name, hardware in {"perfect": target.without_noise(), "acme": target}.items():
    tile = afmc.TileLinear(
        linear, hardware, input_range=4.0, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        errors[name] = float((tile(x) - linear(x)).norm() / linear(x).norm())
print(json.dumps({"device": type(device_of(target)).__name__, **errors}))
"""


def test_a_layer_on_the_package(site: Path) -> None:
    found: dict[str, Any] = json.loads(with_acme(site, sys.executable, "-c", LAYER))
    assert found["device"] == "AcmeRram"
    assert 0 < found["perfect"] < found["acme"] < 0.3


def test_the_packages_own_tests_pass(site: Path) -> None:
    test = site.parent / "source" / "test_acme.py"
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert "3 passed" in with_acme(site, *pytest_, "--rootdir", test.parent, test)


# --- what it costs, and what the page says


def test_only_devices_needs_torch(tmp_path: Path) -> None:
    code = """
import sys, afmc
from afmc.cli import main
for arguments in (["new", "a.toml"], ["page", "a.toml"], ["list"]):
    sys.argv = ["afmc", "targets", *arguments]
    try:
        main()
    except SystemExit as stopped:
        assert not stopped.code
assert "torch" not in sys.modules
afmc.Device
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_the_page_shows_the_packages_files() -> None:
    page = PAGE.read_text()
    assert f"```python\n{(ACME / 'acme_chip' / 'rram.py').read_text()}```" in page
    assert f"```toml\n{(ACME / 'pyproject.toml').read_text()}```" in page
    assert "@@" not in page and "TODO" not in page
    assert isinstance(load_description(ACME / "acme_chip" / "acme-256.toml"), Target)


COMMANDS = sorted(set(re.findall(r"^\$ afmc (.*)$", PAGE.read_text(), re.M)))


@pytest.mark.parametrize("words", COMMANDS)
def test_the_pages_commands_exist(words: str, afmc: Afmc) -> None:
    command = words.split()[:2] if words.startswith("targets") else words.split()[:1]
    assert afmc(*command, "--help")[0] == 0
