"""Whether a hardware description works: a toy model is compiled and simulated on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from afmc.ir import Matrix, Model, Program
from afmc.lower import make_tiles, write_instance
from afmc.pipeline import load_passes, run_passes
from afmc.simulator.devices import device_of
from afmc.simulator.layer import TileLinear
from afmc.targets import Target, load_target


@dataclass(frozen=True)
class Finding:
    kind: Literal["passed", "suspicious", "wrong"]
    text: str


def check_target(target: str | Path | Target) -> list[Finding]:
    """What is right, suspicious and wrong with a target.

    Raises TargetError, in one sentence, for a description that cannot be read, and for a device
    model that does not exist or refuses its options.
    """
    hardware = load_target(target, {"system.chips": None})  # however few there are
    return [*_compiles(hardware), *_devices(hardware), *_accuracy(hardware), *_figures(hardware)]


def _toy(target: Target) -> tuple[nn.Module, Program]:
    """Two layers, with row and column cuts on crossbars of less than 1,500 lines."""
    rows = min(target.crossbar.rows + 3, 1500)
    cols = min(target.crossbar.columns + 5, 1500)
    generator = torch.Generator().manual_seed(0)
    module = nn.Module()
    matrices = []
    for name, (inputs, outputs) in {"first": (rows, cols), "second": (cols, rows)}.items():
        layer = nn.Linear(inputs, outputs, bias=False)
        nn.init.normal_(layer.weight, std=inputs**-0.5, generator=generator)
        module.add_module(name, layer.requires_grad_(False))
        matrices.append(
            Matrix(f"{name}.weight", inputs, outputs, name, input_range=4.0, module=name)
        )
    model = Model("toy", "Toy", "0" * 64, sum(m.weights for m in matrices))
    return module, Program(model, tuple(matrices))


def _compiles(target: Target) -> Iterator[Finding]:
    _, start = _toy(target)
    program = run_passes(start, target, load_passes())
    assert program.allocation is not None
    yield Finding(
        "passed",
        f"a toy model compiles: {len(program.blocks)} blocks on {program.allocation.tiles} tiles",
    )


def _devices(target: Target) -> Iterator[Finding]:
    device = device_of(target)
    if device is None:
        yield Finding("passed", "the devices are perfect")
        return
    g_min, g_max = target.device.g_min_uS, target.device.g_max_uS
    for share in (0.0, 0.5, 1.0):
        wanted = g_min + share * (g_max - g_min)
        asked = torch.full((100, 1000), wanted)
        got = device.program(asked, torch.Generator().manual_seed(0))
        again = device.program(asked, torch.Generator().manual_seed(0))
        if got.shape != asked.shape or not bool(torch.isfinite(got).all()):
            yield Finding("wrong", f"programming {wanted:g} uS gives other shapes or no numbers")
            return
        if not torch.equal(got, again):
            yield Finding("wrong", "the device noise does not follow from the generator alone")
            return
        error, spread = float(got.mean()) - wanted, float(got.std())
        text = f"programming {wanted:g} uS: mean {float(got.mean()):.3g} uS, std {spread:.3g} uS"
        suspicious = abs(error) > 0.1 * g_max or spread > 0.3 * g_max
        yield Finding("suspicious" if suspicious else "passed", text)


def _accuracy(target: Target) -> Iterator[Finding]:
    """The relative error of the toy model's products, noiseless and on one instance."""
    for name, hardware in (("perfect devices", target.without_noise()), ("one instance", target)):
        module, start = _toy(hardware)
        program = run_passes(start, hardware, load_passes())
        tiles = make_tiles(module, program, hardware)
        write_instance(program, hardware, tiles, seed=0, instance=0)
        error = max(_relative_error(layer) for layer in tiles.values())
        text = f"with {name} a product is off by {100 * error:.2g} % (root mean square)"
        if error > 0.5:
            yield Finding("suspicious", text + ": converters or devices leave little of it")
        else:
            yield Finding("passed", text)


def _relative_error(layer: TileLinear) -> float:
    x = torch.randn(256, layer.in_features, generator=torch.Generator().manual_seed(1))
    exact = nn.functional.linear(x, layer.weight)
    return float((layer(x) - exact).norm() / exact.norm())


def _figures(target: Target) -> Iterator[Finding]:
    basis = [origin.basis for _, _, origin in target.figures()]
    counts = ", ".join(f"{basis.count(kind)} {kind}" for kind in dict.fromkeys(basis))
    yield Finding("passed", f"{len(basis)} figures with their origin: {counts}")
    for key in ("read_latency_ns", "read_energy_nJ", "area_mm2"):
        if getattr(target.tile, key) is None:
            yield Finding("suspicious", f"tile.{key} is missing: no cost can be derived from it")
    read = target.tile.read_latency_ns
    if read is not None and not 0.1 <= read <= 1e6:
        yield Finding("suspicious", f"tile.read_latency_ns is {read:g}: is the unit right?")
