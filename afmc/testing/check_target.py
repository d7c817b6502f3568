"""Whether a hardware description works: a toy model is compiled and simulated on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from afmc.compiler.pipeline import load_passes, run_passes
from afmc.costs.figures import Figures
from afmc.costs.product import Product
from afmc.errors import TargetError
from afmc.hardware.conditions import format_time
from afmc.lower.module import make_tiles
from afmc.program.model import Matrix, Model
from afmc.program.program import Program
from afmc.simulator.devices.base import Device, device_of
from afmc.simulator.instance import write_instance
from afmc.simulator.replicas import Layer
from afmc.simulator.wire_loss import MEANT_FOR, wire_loss
from afmc.targets import Baseline, Target, load_description, load_target
from afmc.targets.starter import FILL_IN
from afmc.targets.tables import Basis, Table


@dataclass(frozen=True)
class Finding:
    kind: Literal["passed", "suspicious", "wrong"]
    text: str


def check_target(target: str | Path | Target | Baseline) -> list[Finding]:
    """What is right, suspicious and wrong with a target, and what is different in its modes.

    Raises TargetError, in one sentence, for a description that cannot be read, and for a device
    model that does not exist or refuses its options.
    """
    given = isinstance(target, Target | Baseline)
    found = target if isinstance(target, Target | Baseline) else load_description(target)
    if isinstance(found, Baseline):
        return [*_baseline(found), *_origins(found), *_to_fill_in(found)]
    findings = [*_check(found), *_origins(found), *_to_fill_in(found)]
    modes = [] if given or found.mode is not None else [*found.modes]
    return findings + [each for mode in modes for each in _mode(f"{target}:{mode}", findings)]


def _mode(target: str, known: Collection[Finding]) -> Iterator[Finding]:
    """What is not known already from the target without the mode."""
    name = target.rpartition(":")[2]
    try:
        mode = load_target(target)
        findings = [*_check(mode), *_to_fill_in(mode)]
    except TargetError as error:
        findings = [Finding("wrong", str(error))]
    new = [each for each in findings if each not in known]
    for each in new or [Finding("passed", "nothing else is found")]:
        yield Finding(each.kind, f"mode {name}: {each.text}")


def _check(target: Target) -> Iterator[Finding]:
    target = load_target(target, {"system.chips": None})  # however few there are
    yield from _compiles(target)
    of_device = [*_device(target)]
    yield from of_device
    if not any(each.kind == "wrong" for each in of_device):
        yield from _accuracy(target)
    yield from _wires(target)
    yield from _converters(target)
    yield from _times_of_a_read(target)
    yield from _without_effect(target)
    yield from _costs(target)


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


def _device(target: Target) -> Iterator[Finding]:
    """Whether the device model keeps to its protocol, over the range of its cells."""
    device = device_of(target)
    if device is None:
        yield Finding("passed", "the devices are perfect")
        return
    high = target.device.cell_max(device.devices)
    low = high * target.device.state_min / target.device.state_max
    unit = "" if target.device.g_max_uS is None else " uS"
    times, refused = _times(device, high)
    for wanted in (low, (low + high) / 2, high):
        for name, method in _methods(device, times).items():
            fault = _fault(method, torch.full((100, 1000), wanted), sigma="read_sigma" in name)
            if fault is not None:
                yield Finding("wrong", f"{name}, for {wanted:g}{unit}, {fault}")
                return
        got = device.program(torch.full((100, 1000), wanted), torch.Generator().manual_seed(0))
        mean, spread = float(got.mean()), float(got.std())
        far = abs(mean - wanted) > 0.1 * high or spread > 0.3 * high
        yield Finding(
            "suspicious" if far else "passed",
            f"programming {wanted:g}{unit}: mean {mean:.3g}{unit}, std {spread:.3g}{unit}",
        )
    otherwise = f"; otherwise: {refused}" if refused else ""
    if times:
        known = ", ".join(map(format_time, times))
        yield Finding("passed", f"the devices are known after {known}{otherwise}")
    else:
        yield Finding("wrong", f"the devices are known at no time{otherwise}")


Method = Callable[[Tensor, Tensor, torch.Generator], object]


def _methods(device: Device, times: Sequence[float]) -> dict[str, Method]:
    """What the simulator calls, with names for people; with time at the ends of what is known."""
    methods: dict[str, Method] = {"program": lambda g, _, random: device.program(g, random)}
    for t_s in dict.fromkeys((*times[:1], *times[-1:])):
        methods |= {
            f"age, after {format_time(t_s)}": partial(_age, device, t_s),
            f"read_sigma, after {format_time(t_s)}": partial(_read_sigma, device, t_s),
        }
    methods["heat, at 60 C"] = lambda g, wanted, random: device.heat(g, wanted, 60.0, random)
    return methods


def _age(
    device: Device, t_s: float, g: Tensor, wanted: Tensor, generator: torch.Generator
) -> object:
    return device.age(g, wanted, t_s, generator)


def _read_sigma(device: Device, t_s: float, g: Tensor, wanted: Tensor, _: object) -> object:
    return device.read_sigma(g, wanted, t_s)


def _fault(method: Method, asked: Tensor, sigma: bool) -> str | None:
    """What a method of a device model does that it must not. `sigma`: may be None, not negative."""
    results = []
    for seed in (0, 0, 1):
        given = asked.clone(), asked.clone()
        try:
            result = method(*given, torch.Generator().manual_seed(seed))
        except Exception as error:  # whatever a plug-in raises
            return f"raises {error!r}"
        if not all(torch.equal(each, asked) for each in given):
            return "changes the tensor that it is given: let it work on a copy"
        if result is None and sigma:
            return None
        if not isinstance(result, Tensor):
            return f"returns {type(result).__name__}, not a tensor"
        if result.shape != asked.shape:
            shape, wanted = tuple(result.shape), tuple(asked.shape)
            return f"returns the shape {shape}, but was given {wanted}"
        if result.dtype != asked.dtype:
            return f"returns {result.dtype}, but was given {asked.dtype}"
        if not bool(torch.isfinite(result).all()):
            return "returns values that are no finite numbers"
        if sigma and bool((result < 0).any()):
            return "returns a negative standard deviation"
        results.append(result.clone())
    if not torch.equal(results[0], results[1]):
        return "returns other values each time: let it draw from its generator alone"
    spread = float(results[0].max() - results[0].min())
    if spread > 1e-4 * float(asked.abs().max()) and torch.equal(results[0], results[2]):
        return "draws the same numbers from every generator: let it draw from the one it is given"
    return None


def _times(device: Device, state: float) -> tuple[list[float], str]:
    """At which times the device is known, and its sentence about the others."""
    known, refused = [], ""
    for t_s in (0.0, 1.0, 3600.0, 86400.0, 30 * 86400.0, 365 * 86400.0):
        one, other = torch.full((1, 1), state), torch.full((1, 1), state)
        try:
            device.age(one, other, t_s, torch.Generator().manual_seed(0))
            device.read_sigma(one, other, t_s)
        except ValueError as error:
            refused = refused or str(error)
            continue
        except Exception:  # is found again, with a sentence, by _fault
            pass
        known.append(t_s)
    return known, refused


def _accuracy(target: Target) -> Iterator[Finding]:
    """The relative error of the toy model's products, noiseless and on one instance."""
    cases = {"perfect devices": target.without_noise(), "one instance": target}
    if cases["perfect devices"] == target:
        del cases["one instance"]
    for name, hardware in cases.items():
        module, start = _toy(hardware)
        program = run_passes(start, hardware, load_passes())
        tiles = make_tiles(module, program, hardware)
        try:
            write_instance(program, hardware, tiles, seed=0, instance=0)
        except TargetError as error:  # a time or read at which the device is not known
            yield Finding("wrong", str(error))
            return
        off = max(_relative_error(layer) for layer in tiles.values())
        text = f"with {name} a product is off by {100 * off:.2g} % (root mean square)"
        if not math.isfinite(off):
            yield Finding("wrong", f"with {name} a product is no finite number")
        elif off > 0.5:
            yield Finding("suspicious", text + ": converters or devices leave little of it")
        else:
            yield Finding("passed", text)


def _relative_error(layer: Layer) -> float:
    x = torch.randn(256, layer.in_features, generator=torch.Generator().manual_seed(1))
    exact = nn.functional.linear(x, layer.weight)
    return float((layer(x) - exact).norm() / exact.norm())


def _baseline(baseline: Baseline) -> Iterator[Finding]:
    """Digital hardware: what the cost model needs, and whether it fits together."""
    yield Finding("passed", "digital: costs are compared with it, nothing is compiled to it")
    compute, power = baseline.compute, baseline.die.power_W
    if compute.int8_TOPS is None and compute.fp16_TFLOPS is None:
        yield Finding("suspicious", "neither compute.int8_TOPS nor compute.fp16_TFLOPS is given")
    bandwidth = None if baseline.memory is None else baseline.memory.bandwidth_GB_s
    figures = {
        "memory.bandwidth_GB_s": bandwidth,
        "die.power_W": power,
        "die.area_mm2": baseline.die.area_mm2,
    }
    yield from _missing(figures)
    if compute.int8_TOPS is None or compute.mac_energy_fJ is None or power is None:
        return
    busy = compute.int8_TOPS * compute.mac_energy_fJ / 2e3  # a MAC is two operations
    if busy > 1.5 * power:
        yield Finding(
            "suspicious",
            f"at its peak the arithmetic draws {busy:.3g} W, but die.power_W is {power:g}",
        )


def _missing(figures: Mapping[str, float | None]) -> Iterator[Finding]:
    keys = [key for key, value in figures.items() if value is None]
    if keys:
        one = "is missing: no cost follows from it"
        many = "are missing: no costs follow from them"
        yield Finding("suspicious", f"{_and(keys)} {one if len(keys) == 1 else many}")


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _origins(target: Target | Baseline) -> Iterator[Finding]:
    """Origins of the figures that the file gives; a default is nobody's figure."""
    tables = {name: getattr(target, name) for name in target.tables()}
    basis = [
        table.origin_of(key.partition(".")[0]).basis
        for table in filter(None, tables.values())
        for key, _ in table.figures()
        if key.partition(".")[0] in table.model_fields_set
    ]
    counts = {kind: basis.count(kind) for kind in get_args(Basis)}
    yield Finding(
        "passed",
        f"{len(basis)} figures with their origin: "
        + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count),
    )


def _to_fill_in(target: Target | Baseline) -> Iterator[Finding]:
    """What `afmc targets new` wrote and nobody has replaced."""
    sources: list[str] = []
    given = [key for key in ("title", "description") if getattr(target, key) == FILL_IN]
    for name in target.tables():
        table: Table | None = getattr(target, name)
        if table is not None:
            sources += [f"[{name}]"] if table.source == FILL_IN else []
            for key, origin in table.origin.items():
                sources += [f"{name}.{key}"] if origin.source == FILL_IN else []
    if sources:
        given.append(f"the source of {_and(sources)}")
    if given:
        yield Finding("suspicious", f"still to be filled in: {', '.join(given)}")


def _wires(target: Target) -> Iterator[Finding]:
    found = wire_loss(target)
    if found is None:
        return
    loss, error = found
    text = (
        f"wires take at most {100 * loss:.2g} % of a large cell's current; the closed form is off "
        f"by {100 * error:.2g} % of a product (against nodal analysis, on a small array)"
    )
    if loss > MEANT_FOR:
        text += f"; it is meant for up to {100 * MEANT_FOR:g} %"
    yield Finding("suspicious" if loss > MEANT_FOR else "passed", text)


def _times_of_a_read(target: Target) -> Iterator[Finding]:
    """Parts of a read that together do not fit into it, or into one another."""
    needed = target.time_of_a_read_ns
    read = target.tile.read_latency_ns
    if read is not None and needed > read * (1 + 1e-9):
        yield Finding(
            "suspicious",
            f"integration and conversions one after the other take {needed:g} ns, but a read "
            f"(tile.read_latency_ns) takes {read:g}: do they overlap?",
        )
    pulse, window = target.longest_pulse_ns, target.output.integration_ns
    if pulse is not None and window is not None and pulse > window * (1 + 1e-9):
        yield Finding(
            "suspicious",
            f"the longest pulse of an input lasts {pulse:g} ns, but a column is integrated for "
            f"{window:g} (output.integration_ns)",
        )


def _without_effect(target: Target) -> Iterator[Finding]:
    """Figures that do nothing because of others."""
    given, encoding = target.model_dump(exclude_unset=True), target.input.encoding
    volt, window = target.crossbar.read_voltage_V, target.output.integration_ns
    for key, idle, why in (
        ("input.step_ns", encoding != "pulse_width", f"input.encoding is '{encoding}'"),
        ("input.slice_bits", encoding != "bit_serial", f"input.encoding is '{encoding}'"),
        ("crossbar.read_voltage_V", window is None, "output.integration_ns is not given"),
        (
            "crossbar.selector",
            target.crossbar.active_rows is None and not target.device.state_min,
            "all rows are driven and idle cells do not conduct",
        ),
        (
            "output.bound",
            target.output.bits is None,
            "output.bits is not given",
        ),
    ):
        table, figure = key.split(".")
        if idle and given[table].get(figure) not in (None, "none"):
            yield Finding("suspicious", f"{key} has no effect: {why}")
    if volt is None and window is not None and target.device.g_max_uS is not None:
        yield Finding(
            "passed",
            "thermal and shot noise are left out: crossbar.read_voltage_V is not given",
        )


def _converters(target: Target) -> Iterator[Finding]:
    """Whether so many columns can share a converter."""
    shared, columns = target.output.columns_per_converter, target.crossbar.columns
    if shared > columns:
        yield Finding(
            "wrong",
            f"output.columns_per_converter is {shared:,}, but a crossbar has {columns:,} columns",
        )


REACHED_TOPS_W = {8: 150.0, 2: 1050.0}
"""By the bits of its converters, the most that a macro reached: IMAGINE (22 nm) with 8 bits, and
with 2-bit weights and 7-bit inputs a macro at CICC 2021."""


def _peak(target: Target) -> Iterator[Finding]:
    """Whether a tile does more for a joule than any that was made."""
    whole = Product(target, Figures(target)).whole_nJ
    if not whole:
        return
    reached = 2e-3 * target.crossbar.rows * target.crossbar.columns / whole
    bits = min(target.input.bits or 8, target.output.bits or 8)
    most = REACHED_TOPS_W[8 if bits >= 6 else 2]
    if reached > most:
        own = target.tile.read_energy_nJ is not None
        key = "tile.read_energy_nJ" if own else "the energy of rows, cells and converters"
        yield Finding(
            "suspicious",
            f"a tile reaches {reached:,.0f} TOPS/W at its peak ({key}), more than any that was "
            f"made: {most:,.0f} TOPS/W",
        )


def _costs(target: Target) -> Iterator[Finding]:
    yield from _peak(target)
    costs = ("read_latency_ns", "read_energy_nJ", "area_mm2")
    yield from _missing({f"tile.{key}": getattr(target.tile, key) for key in costs})
    read, energy = target.tile.read_latency_ns, target.tile.read_energy_nJ
    if read is not None and not 0.1 <= read <= 1e6:
        yield Finding("suspicious", f"tile.read_latency_ns is {read:g}: is the unit right?")
    area, die = target.tile.area_mm2, target.chip.area_mm2
    if area is not None and die is not None and area * target.chip.tiles > die * (1 + 1e-9):
        yield Finding(
            "suspicious",
            f"{target.chip.tiles} tiles of {area:g} mm2 do not fit on a die of {die:g} mm2",
        )
    power = target.chip.power_W
    if read is not None and energy is not None and power is not None:
        busy = target.chip.tiles * energy / read
        if not 0.5 <= busy / power <= 2:
            yield Finding(
                "suspicious",
                f"all tiles reading all the time draw {busy:.3g} W, but chip.power_W is {power:g}",
            )
