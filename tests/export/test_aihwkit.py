"""The configuration of AIHWKIT: what is in the file, and that AIHWKIT computes what afmc does."""

from __future__ import annotations

import ast
import runpy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept
import pytest
import torch
from analog_checkpoints import ROWS, configuration, converted, save
from torch import Tensor, nn

import afmc
from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.errors import OptionError
from afmc.export import export_aihwkit
from afmc.export.aihwkit.devices import noise_model_of
from afmc.export.aihwkit.notes import notes_on
from afmc.inspect import summarise
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import write_program
from afmc.program.model import Matrix, Model
from afmc.program.observed import Training
from afmc.program.program import Program
from afmc.simulator.devices.base import device_of
from afmc.targets import Target, list_targets, load_target

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import aihwkit  # noqa: F401
        from aihwkit.nn import AnalogLinear  # noqa: F401

        INSTALLED = True
    except ImportError:
        INSTALLED = False
NEEDS_AIHWKIT = pytest.mark.skipif(
    not INSTALLED, reason="NOT COMPARED WITH AIHWKIT: run 'pip install --no-deps aihwkit==1.1.0'"
)
NAMES = [name for name in list_targets() if name not in ("h100", "int8-dimc")]


@pytest.fixture
def quietly(generator: torch.Generator) -> Iterator[None]:
    """AIHWKIT draws from torch's own generator, and uses torch in ways that it warns of."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(generator.initial_seed() + 1)
        warnings.simplefilter("ignore")
        yield


def write(folder: Path, program: Program, target: Target) -> Path:
    measured = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {}}
    write_program(folder, program, target, summarise(program, target, []), lambda: measured)
    return folder


def mapped(target: Target, *matrices: Matrix, **options: object) -> Program:
    program = Program(Model("two", "Two", "0" * 64, sum(m.weights for m in matrices)), matrices)
    return run_passes(program, target, configure(load_passes(), options))


def two(input_range: float | None = 2.0) -> tuple[Matrix, Matrix]:
    return (
        Matrix("0.weight", 70, 24, "x", module="0", input_range=input_range),
        Matrix("2.weight", 24, 10, "y", module="2", input_range=input_range, sources=("0.weight",)),
    )


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(70, 24), nn.ReLU(), nn.Linear(24, 10)).eval()


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def layers_in(file: Path) -> Any:
    [value] = [
        node.value
        for node in tree(file).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    ]
    return ast.literal_eval(value)


def test_what_is_written(tmp_path: Path) -> None:
    target = load_target("afm-512-projected", {"crossbar.rows": 30, "crossbar.columns": 16})
    folder = write(tmp_path / "out", mapped(target, *two(), **{"split.style": "balanced"}), target)
    made = export_aihwkit(folder, tmp_path / "a.py")
    assert layers_in(tmp_path / "a.py") == {"0": (24, 12, (2.0,)), "2": (24, 10, (2.0,))}
    assert made.counts == {"layers": 2} and made.what == "configuration of 2 layers"
    assert made.notes == ("it is always 25 degrees Celsius there",)
    docstring = ast.get_docstring(tree(tmp_path / "a.py"))
    assert docstring is not None and f"* {made.notes[0]}" in docstring
    imported = {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree(tmp_path / "a.py"))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported == {"aihwkit", "torch"}
    first = (tmp_path / "a.py").read_bytes()
    export_aihwkit(folder, tmp_path / "a.py")
    assert (tmp_path / "a.py").read_bytes() == first


def test_matrices_without_a_layer_of_aihwkit(tmp_path: Path) -> None:
    made = export_aihwkit(kept.write(tmp_path / "out"), tmp_path / "a.py")
    assert set(layers_in(tmp_path / "a.py")) == {"q", "k", "b"}
    assert made.notes[0] == (
        "1 matrix is on tiles here and not in AIHWKIT, which has no layer for them, the first "
        "experts"
    )
    assert any("for 1 groups of matrices, are there once" in note for note in made.notes)
    docstring = " ".join((ast.get_docstring(tree(tmp_path / "a.py")) or "").split())
    for note in made.notes:
        assert note in docstring


@pytest.mark.parametrize(
    ("name", "figures", "sentence"),
    [
        ("rram-1024", {}, "128 rows are driven and converted at a time here"),
        ("neurram-48", {}, "states are known at 1, 86400 and 172800 seconds, to AIHWKIT at no"),
        ("hermes-64", {}, "no cells are stuck there"),
        ("hermes-64", {}, "wires have no resistance there (crossbar.wire_row_ohm"),
        ("hermes-64", {}, "AIHWKIT scales programmed weights to g_max anew before they drift"),
        ("pcm-34", {"device.significance": 2.0, "device.options.g_max_uS": 100 / 3},
         "less significant devices correct the errors"),
        ("moe-3d", {"device.encoding": "offset"}, "one polarity less a reference here"),
        ("hermes-64", {"device.read_noise": "each"}, "read noise is drawn at each read here"),
        ("fefet-28nm", {}, "AIHWKIT has no model of the devices (device.noise is fefet): weights"),
        ("ideal-512", {"tile.read_phases": 4}, "a product takes 4 conversions here"),
        ("afm-512-projected", {"device.compensation": "reference"}, "from a reference column here"),
        ("afm-512-projected", {"output.gain_std": 0.1}, "left out (output.gain_std)"),
        ("afm-512-projected", {"output.range": "tile"}, "conductances are scaled over a column"),
        ("afm-512-projected", {"input.bits": None}, "inputs beyond the range are not clipped here"),
        ("afm-512-projected", {"input.encoding": "bit_serial"}, "inputs go in digits of 1 bits"),
        ("afm-512-projected", {"crossbar.read_voltage_V": 0.2, "output.integration_ns": 10.0},
         "thermal and shot noise of reads is left out"),
    ],
)  # fmt: skip
def test_what_differs_is_said(name: str, figures: dict[str, object], sentence: str) -> None:
    target = load_target(name, figures)
    made = CompiledProgram(mapped(load_target("ideal-512"), *two()), target, (), {})
    notes = (*notes_on(made, [], []), *noise_model_of(target).notes)
    assert sum(sentence in note for note in notes) == 1, notes
    plain = CompiledProgram(made.program, load_target("ideal-512"), (), {})
    assert notes_on(plain, [], []) == noise_model_of(plain.target).notes == ()


def test_cuts_that_aihwkit_makes_elsewhere(tmp_path: Path) -> None:
    target = load_target("ideal-512", {"crossbar.rows": 50, "crossbar.columns": 16})
    program = mapped(target, *two(None), **{"split.style": "full"})
    made = export_aihwkit(write(tmp_path / "out", program, target), tmp_path / "a.py")
    assert made.notes == (
        "AIHWKIT cuts the rows of 1 layer into as many pieces, but all of nearly equal size, the "
        "first 0 (compile with --set split.style=balanced for the same cuts)",
    )


def test_tiles_that_matrices_share(tmp_path: Path) -> None:
    """Their largest weight is one for all of them here."""
    figures = {"crossbar.columns": 64, "output.range": "tile", "device.scale": "tile"}
    target = load_target("ideal-512", figures)
    alone = mapped(target, *two(None), **{"allocate.rule": "exclusive"})
    shared = mapped(target, *two(None), **{"allocate.rule": "parallel"})
    for name, program, said in (("alone", alone, False), ("shared", shared, True)):
        made = export_aihwkit(write(tmp_path / name, program, target), tmp_path / "a.py")
        assert any("that of all matrices that share it here" in note for note in made.notes) == said


TRAINING = Training(
    source="rpu_config of AIHWKIT-Lightning", input_steps=254, output_steps=254, output_bound=14.0,
    output_range="tile", ranges="static", max_rows=None, clip="matrix", clip_sigma=2.5,
    weight_noise=0.05, weight_noise_of="tile", weight_steps=14, weight_steps_of="tile",
    output_noise=0.0,
)  # fmt: skip


@NEEDS_AIHWKIT
@pytest.mark.usefixtures("quietly")
def test_what_it_was_trained_for(tmp_path: Path) -> None:
    target = load_target("afm-512-projected")
    program = replace(mapped(target, *two()), training=TRAINING)
    made = export_aihwkit(write(tmp_path / "out", program, target), tmp_path / "a.py")
    config = runpy.run_path(str(tmp_path / "a.py"))["rpu_config"]("2")
    assert (config.clip.type.value, config.clip.sigma) == ("LayerGaussian", 2.5)
    assert (config.modifier.type.value, config.modifier.std_dev) == ("AddNormal", 0.05)
    assert config.pre_post.input_range.init_value == 2.0
    assert made.notes[-1].startswith("weights were quantised in training, as they are now")
    clipped = replace(program, training=replace(TRAINING, clip="learned", weight_steps=None))
    made = export_aihwkit(write(tmp_path / "out", clipped, target), tmp_path / "a.py")
    assert made.notes[-1].startswith("weights were clipped by column in training")
    config = runpy.run_path(str(tmp_path / "a.py"))["rpu_config"]()
    assert config.clip.type.value == "None"


def test_names_cannot_bring_code_in(tmp_path: Path) -> None:
    """They come from files of others."""
    evil = 'x"""\nimport os\nos.system("true")\n\\"""\'\u2028é'
    target = load_target("ideal-512")
    matrix = Matrix("a", 8, 8, "x", module=evil)
    program = mapped(target, matrix)
    program = replace(program, model=replace(program.model, name=evil))
    export_aihwkit(write(tmp_path / "out", program, target), tmp_path / "a.py")
    assert (tmp_path / "a.py").read_text().isascii()
    assert layers_in(tmp_path / "a.py") == {evil: (8, 8, ())}
    body = tree(tmp_path / "a.py").body
    assert {type(node) for node in body} == {
        ast.Expr, ast.ImportFrom, ast.Assign, ast.ClassDef, ast.FunctionDef,
    }  # fmt: skip
    assert all("os" != name.name for n in body if isinstance(n, ast.ImportFrom) for name in n.names)


def test_bad_input(tmp_path: Path) -> None:
    folder = kept.write(tmp_path / "out")
    bank = mapped(load_target("ideal-512"), Matrix("e", 8, 8, "x", 4, 2.0, module="e"))
    write(tmp_path / "bank", bank, load_target("ideal-512"))
    for given, file, sentence in (
        (folder, "a.json", r"name a file that ends in \.py, as AIHWKIT is configured\."),
        (folder, "out", "is a folder; name a file in it"),
        (folder, "none/a.py", "there is no folder"),
        (
            tmp_path / "bank",
            "a.py",
            "two has no matrix on tiles in a layer that AIHWKIT has: it has",
        ),
    ):
        with pytest.raises(OptionError, match=sentence):
            export_aihwkit(given, tmp_path / file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "out"]


OTHERS: list[tuple[str, dict[str, object]]] = [
    ("afm-512-projected:drift", {}),
    ("hermes-64:one-device", {"device.read_noise": "none"}),
    ("pcm-34", {"device.options.nu": 0.04, "device.options.nu_std": 0.01}),
    ("moe-3d", {"device.noise": "gaussian-relative", "device.options.sigma": 0.1}),
    ("rram-1024", {"device.noise": "rram-cmo", "device.encoding": "offset",
                   "device.g_max_uS": 88.2, "device.g_min_uS": 9.0}),
]  # fmt: skip


@NEEDS_AIHWKIT
@pytest.mark.parametrize(("name", "figures"), [*((name, {}) for name in NAMES), *OTHERS])
@pytest.mark.usefixtures("quietly")
def test_every_target_runs_in_aihwkit(
    name: str, figures: dict[str, object], tmp_path: Path
) -> None:
    target = load_target(name, figures)
    folder = write(tmp_path / "out", mapped(target, *two()), target)
    made_notes = export_aihwkit(folder, tmp_path / "a.py").notes
    made = runpy.run_path(str(tmp_path / "a.py"))
    model, x = network(), torch.randn(5, 70)
    analog = made["convert"](model)
    with torch.no_grad():
        exact, plain = analog(x), model(x)
        analog.program_analog_weights()
        analog.drift_analog_weights(86_400.0)
        noisy = analog(x)
    assert (exact - plain).abs().max() < 0.25 * plain.abs().max()
    modelled = not any("has no model of the devices" in note for note in made_notes)
    wrong = float((noisy - exact).abs().max() / plain.abs().max())
    assert (wrong < 1e-5) == (target.device.noise is None or not modelled)


def same(ours: Tensor, theirs: Tensor, step: float) -> bool:
    """But where a sum lies on the boundary of two codes, which floating point decides."""
    off = (ours - theirs).abs()
    return bool((off > 1e-4 * step).double().mean() < 2e-3 and off.max() < 2.1 * step)


@NEEDS_AIHWKIT
@pytest.mark.parametrize("scope", ["column", "tile"])
@pytest.mark.usefixtures("quietly")
def test_noise_free_products_are_the_same(scope: str, tmp_path: Path) -> None:
    model = network()
    settings = {
        "target.crossbar.rows": 32,
        "target.crossbar.columns": 16,
        "target.output.range": scope,
        "target.device.scale": scope,
        "split.style": "balanced",
        "merge.enabled": False,
    }
    samples = torch.randn(500, 70)
    compiled = afmc.compile(model, example_inputs=samples, settings=settings, level=0)
    compiled.save(tmp_path / "out")
    export_aihwkit(tmp_path / "out", tmp_path / "a.py")
    made = runpy.run_path(str(tmp_path / "a.py"))
    analog = made["convert"](compiled.digital)
    twin = compiled.without_noise()
    twin.write()
    for path, (_, _, ranges) in made["LAYERS"].items():
        [name] = [m.name for m in compiled.program.analog if m.module == path]
        ours, theirs = twin.tiles[name], analog.get_submodule(path)
        sizes = [part.in_size for part in theirs.analog_tiles()]
        cut = sorted({(int(b["row"]), int(b["rows"])) for b in compiled.program.blocks
                      if compiled.program.groups[b["group"]].name == name})  # fmt: skip
        across = len(sizes) // len(cut)
        assert sizes[::across] == [rows for _, rows in cut]
        x = torch.randn(400, ours.in_features) * ranges[0] / 2
        with torch.no_grad():
            bound = 2 * ranges[0] * 14 * float(ours.weight.abs().max()) / 254
            assert same(ours(x), theirs(x), bound)
            assert (ours(x) - model.get_submodule(path)(x)).abs().max() > 1e-4


@NEEDS_AIHWKIT
@pytest.mark.usefixtures("quietly")
def test_row_slices_keep_their_own_ranges(tmp_path: Path) -> None:
    """A checkpoint of AIHWKIT-Lightning, each row slice with a range of its own."""
    pytest.importorskip("aihwkit_lightning")
    config = configuration(mapping__max_input_size=ROWS)
    save(converted(config), config, tmp_path / "in")
    settings = {"target.crossbar.rows": ROWS, "split.style": "balanced"}
    compiled = afmc.compile(tmp_path / "in", settings=settings, level=0)
    compiled.save(tmp_path / "out")
    export_aihwkit(tmp_path / "out", tmp_path / "a.py")
    made = runpy.run_path(str(tmp_path / "a.py"))
    analog = made["convert"](compiled.digital)
    twin = compiled.without_noise()
    twin.write()
    path = "model.layers.0.mlp.down_proj"
    ranges = made["LAYERS"][path][2]
    assert (
        len(set(ranges)) == 3 and ranges == compiled.program.by_name[f"{path}.weight"].slice_ranges
    )
    ours = twin.tiles[f"{path}.weight"]
    x = torch.randn(400, ours.in_features) * 2
    with torch.no_grad():
        step = 2 * max(ranges) * 14 * float(ours.weight.abs().max()) / 254
        assert same(ours(x), analog.get_submodule(path)(x), step)


LEVELS = (0.0, 0.002, 0.05, 0.2, 0.4, 0.7, 1.0)
"""Weights, as shares of the largest."""


@NEEDS_AIHWKIT
@pytest.mark.parametrize(
    "name", ["afm-512-projected", "hermes-64", "hermes-64:one-device", "pcm-34", "moe-3d"]
)
@pytest.mark.usefixtures("quietly")
def test_programmed_weights_are_as_wrong(
    name: str, tmp_path: Path, generator: torch.Generator
) -> None:
    """Mean and standard deviation by the size of a weight; of all its devices together."""
    target = load_target(name)
    export_aihwkit(write(tmp_path / "out", mapped(target, *two()), target), tmp_path / "a.py")
    config = runpy.run_path(str(tmp_path / "a.py"))["rpu_config"]()
    wanted = torch.tensor(LEVELS).unsqueeze(1).repeat(1, 40_000)
    theirs, _ = config.noise_model.apply_programming_noise(wanted)
    device = device_of(target)
    assert device is not None
    high = target.device.cell_max(device.devices)
    cells = target.device.devices_per_polarity // device.devices
    ours = torch.zeros_like(wanted)
    for _ in range(cells):
        plus = device.program(wanted * high, generator)
        minus = device.program(torch.zeros_like(wanted), generator)
        ours += (plus - minus) / (cells * high)
    torch.testing.assert_close(theirs.std(dim=1), ours.std(dim=1), rtol=0.03, atol=1e-6)
    torch.testing.assert_close(theirs.mean(dim=1), ours.mean(dim=1), rtol=0, atol=2e-3)
    assert ours.std(dim=1).max() > 0.01
