"""What one product on a tile takes, from the figures of its rows, cells and converters.

A conversion of b bits takes Walden's figure of merit times 2^b (JSAC 17, 539, 1999), and b + 1
cycles by successive approximation, 2^b against a ramp. Both are used for other bits than those that
a figure is stated for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from afmc.costs.figures import Figure, Figures
from afmc.targets import Target
from afmc.targets.tables import BY_BITS, Basis

USUAL_BITS = 8
"""Taken for converters without a resolution."""
USUAL_V = 0.2


class Product:
    """Energy and time of one product with a whole crossbar of a target, part by part."""

    def __init__(self, target: Target, figures: Figures) -> None:
        self.target, self.figures = target, figures
        self.turns = target.turns_of_a_read
        """How often everything is done, one after the other."""
        self.bits = target.output.bits or USUAL_BITS

    # Time.

    @property
    def own_ns(self) -> Figure | None:
        """The target's figure for all of it."""
        return self.figures.own("tile.read_latency_ns")

    @property
    def converting_ns(self) -> float:
        """Of a product, the time of the converters; 0 where only the whole is known."""
        if self.own_ns is not None:
            return 0.0
        columns = min(self.target.output.columns_per_converter, self.target.crossbar.columns)
        return math.prod(self.turns.values()) * columns * self.conversion_ns.value

    @property
    def read_ns(self) -> float:
        """Time of a product."""
        own = self.own_ns
        if own is not None:
            return own.value
        return math.prod(self.turns.values()) * self.integration_ns.value + self.converting_ns

    @property
    def integration_ns(self) -> Figure:
        """How long the currents are integrated: at least as long as the longest pulse."""
        key, pulse = "output.integration_ns", self.target.longest_pulse_ns
        if self.figures.own(key) is not None or pulse is None:
            return self.figures[key]
        step = self.figures["input.step_ns"]
        source = f"the longest pulse: {step.value:g} ns a step ({step.source})"
        return Figure(key, pulse, _calculated(step), source)

    @property
    def conversion_ns(self) -> Figure:
        """One conversion."""
        ramp = self.target.output.converter == "ramp"
        cycles = _ramp if ramp else _approximation
        key = "output.conversion_ns"
        found = self.figures.own(key) or self._by_bits("output.conversion_by_bits_ns", cycles)
        if found is not None:
            return found
        cycle = self.figures["output.cycle_ns"]
        count = f"2^{self.bits}" if ramp else f"{self.bits} + 1"
        source = f"{count} cycles of {cycle.value:g} ns ({cycle.source})"
        return Figure(key, cycle.value * cycles(self.bits), _calculated(cycle), source)

    # Energy.

    @property
    def own_nJ(self) -> Figure | None:
        """The target's figure for all of it."""
        return self.figures.own("tile.read_energy_nJ")

    @property
    def conversion_pJ(self) -> Figure:
        """One conversion."""
        key = "output.conversion_energy_pJ"
        by_bits = "output.conversion_energy_by_bits_pJ"
        found = self.figures.own(key) or self._by_bits(by_bits, _steps)
        if found is not None:
            return found
        step = self.figures["output.walden_fJ_step"]
        source = f"{step.value:g} fJ a step ({step.source}) x 2^{self.bits} steps"
        return Figure(key, 1e-3 * step.value * 2**self.bits, _calculated(step), source)

    @property
    def row_pJ(self) -> Figure:
        """A row driven once."""
        key, inputs = "input.row_energy_pJ", self.target.input
        bits = inputs.slice_bits if inputs.encoding == "bit_serial" else inputs.bits or USUAL_BITS
        own = self.figures.own(key)
        if own is not None:
            return own
        default = self.figures[key]
        source = f"{default.source}; x {bits} / {USUAL_BITS} for {bits} bits"
        return replace(default, value=default.value * bits / USUAL_BITS, source=source)

    @property
    def cell_fJ(self) -> Figure | None:
        """All devices of a weight in one integration; None for light."""
        key, device = "crossbar.cell_energy_fJ", self.target.device
        own = self.figures.own(key)
        if own is not None or device.g_max_uS is None:
            return own
        volt = self.target.crossbar.read_voltage_V or USUAL_V
        window = self.integration_ns.value
        said = "" if self.target.crossbar.read_voltage_V else " (nobody's figure)"
        source = (
            f"G x V^2 x t, as CiMLoop has it: a quarter of {device.g_max_uS:g} uS and inputs at "
            f"full scale (nobody's figures), {volt:g} V{said}, {window:g} ns"
        )
        return Figure(key, device.g_max_uS / 4 * volt**2 * window, "assumed", source)

    @property
    def whole_nJ(self) -> float:
        """Energy of a product, all rows and columns in use."""
        own = self.own_nJ
        if own is not None:
            return own.value
        rows, columns = self.target.crossbar.rows, self.target.crossbar.columns
        cells = 0.0 if self.cell_fJ is None else 1e-6 * self.cell_fJ.value
        return (
            1e-3 * rows * self.drives * self.row_pJ.value
            + rows * columns * self.drives * cells
            + 1e-3 * columns * self.conversions * self.conversion_pJ.value
        )

    @property
    def drives(self) -> int:
        """How often an input drives its row in a product, and its cells."""
        return self.turns["phases"] * self.turns["digits"]

    @property
    def conversions(self) -> int:
        """Of a column in a product."""
        return math.prod(self.turns.values())

    def _by_bits(self, key: str, grows: Callable[[int], int]) -> Figure | None:
        """The target's own figure at these bits, or from those that are nearest."""
        stated = {int(bits): self.figures.own(f"{key}.{bits}") for bits in self._stated(key)}
        if not stated:
            return None
        nearest = min(stated, key=lambda bits: (abs(bits - self.bits), bits))
        own = stated[nearest]
        assert own is not None
        if nearest == self.bits:
            return own
        times = grows(self.bits) / grows(nearest)
        source = (
            f"{own.value:g} for {nearest} bits ({own.source}), x {times:g} for {self.bits} bits "
            f"({_GROWTH[grows]})"
        )
        return Figure(own.key, own.value * times, _calculated(own), source)

    def _stated(self, key: str) -> list[str]:
        table, figure = key.split(".")
        return list(getattr(getattr(self.target, table), figure))

    def notes(self) -> Iterator[str]:
        """What is not known of a product, or not from the target."""
        name, bits = self.target.name, self.target.output.bits
        if self.own_ns is None:
            yield (
                f"{name} says nothing of the time of a product: it is that of the integration and "
                f"of the converters, without control"
            )
        if self.own_nJ is None:
            parts, without = "row drivers, cells and converters", "control is"
            if self.cell_fJ is None:
                parts, without = "row drivers and converters", "cells, light and control are"
            yield (
                f"{name} says nothing of the energy of a product: it is that of {parts}, and "
                f"{without} left out"
            )
        if "output.bits" not in self.target.overrides:
            return
        for key in ("tile.read_energy_nJ", "tile.read_latency_ns"):
            if self.figures.own(key) is not None and key not in self.target.overrides:
                yield (
                    f"{key} is that of the converters of {name}, and not of {bits} bits; with "
                    f"--set target.{key}=none it is counted from its parts"
                )
        for key, stated in BY_BITS.items():
            key, stated = f"output.{key}", f"output.{stated}"
            if key in self.target.overrides and bits is not None:
                yield (
                    f"{key} is taken as that of {bits} bits; --set target.{stated}.8=VALUE is of 8 "
                    f"bits, and others follow from it"
                )


def _approximation(bits: int) -> int:
    return bits + 1


def _ramp(bits: int) -> int:
    return int(2**bits)


def _steps(bits: int) -> int:
    return int(2**bits)


_GROWTH: dict[Callable[[int], int], str] = {
    _approximation: "bits + 1 cycles",
    _ramp: "2^bits cycles",
    _steps: "Walden: 2^bits steps",
}


def _calculated(figure: Figure) -> Basis:
    """The basis of what is calculated from a figure."""
    return "assumed" if figure.basis == "assumed" else "derived"
