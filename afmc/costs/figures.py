"""The figures that costs are computed from: a target's own, or a default that says so."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from afmc.targets import Target
from afmc.targets.tables import Basis

_HOROWITZ = "Horowitz's 45 nm figures, scaled to 14 nm (Stillmaker, x 0.139)"
_IBM = "Not of this hardware: IBM/3D-CiM-LLM-Inference-Simulator, accelerator.py"


@dataclass(frozen=True)
class Figure:
    key: str
    value: float
    basis: Basis
    source: str


DEFAULTS: MappingProxyType[str, tuple[float, str]] = MappingProxyType(
    {
        "digital.units": (1, "Nobody's figure: one digital unit a chip"),
        "digital.norm_latency_ns": (50.0, f"{_IBM}: layer norm, 50 ns"),
        "digital.activation_latency_ns": (10.0, f"{_IBM}: GELU, 10 ns"),
        "digital.elementwise_latency_ns": (10.0, f"{_IBM}: addition of two vectors, 10 ns"),
        "digital.softmax_latency_ns": (10.0, "Nobody's figure: as an activation function"),
        "digital.add_latency_ns": (10.0, f"{_IBM}: addition of two vectors, 10 ns"),
        "digital.norm_energy_pJ": (3.0, f"Nobody's figure: some 20 operations, {_HOROWITZ}"),
        "digital.activation_energy_pJ": (1.0, f"Nobody's figure: some 6 operations, {_HOROWITZ}"),
        "digital.elementwise_energy_pJ": (
            0.2,
            f"Not of this hardware: 16-bit multiplication and addition, 1.1 + 0.4 pJ, {_HOROWITZ}",
        ),
        "digital.softmax_energy_pJ": (1.5, f"Nobody's figure: an exponential, {_HOROWITZ}"),
        "digital.add_energy_pJ": (
            0.037,
            "Not of this hardware: Aladdin, 32-bit addition at 40 nm, 0.21 pJ, x 0.176 for 14 nm",
        ),
        "digital.mac_energy_fJ": (
            300.0,
            "Not of this hardware: 14 nm digital accelerators, 5 to 7 TOPS/W with local memory",
        ),
        "digital.attention_TOPS": (2.0, "Nobody's figure: 1,000 multiply-accumulates at 1 GHz"),
        "cache.bandwidth_GB_s": (5.332, f"{_IBM}: its DRAM"),
        "cache.energy_pJ_B": (64.0, "Not of this hardware: LPDDR4, 8 pJ/bit (hwcomponents-cacti)"),
        "cache.on_chip_MB": (0.0, "Nobody's figure: no memory on the chip"),
        "cache.on_chip_energy_pJ_B": (
            2.0,
            "Not of this hardware: 4 MB of SRAM at 7 nm, 0.249 pJ/bit (accelforge, tpu_v4i.yaml)",
        ),
        "cache.on_chip_bandwidth_GB_s": (1000.0, "Nobody's figure: 1,000 bytes at 1 GHz"),
        "links.hop_energy_pJ_bit": (0.081, "Not of this hardware: ISAAC, 32 nm, router"),
        "links.hop_latency_ns": (10.0, f"{_IBM}: 10 ns for the output of a tile"),
        "system.link_energy_pJ_bit": (1.3, "Not of this hardware: 0.2 to 1.3 pJ/bit between chips"),
        "system.link_latency_ns": (100.0, "Nobody's figure"),
        "system.link_bandwidth_GB_s": (10.0, "Nobody's figure"),
        "input.row_energy_pJ": (
            0.291,
            "Not of this hardware: 8-bit DAC at 40 nm (CiMLoop), linear in the bits (ZigZag-IMC)",
        ),
        "output.walden_fJ_step": (
            25.0,
            "Not of this hardware: between the lower quartile, 23 fJ, and the median, 34 fJ, of "
            "published converters with 6 to 8 effective bits in 65 nm or less (Murmann's survey)",
        ),
        "output.cycle_ns": (
            1.0,
            "Not of this hardware: NeuroSim 1.4, bits + 1 nanoseconds by successive approximation",
        ),
        "output.integration_ns": (100.0, "Nobody's figure: 100 ns for an 8-bit input"),
    }
)
"""What is taken where a target says nothing, and where that comes from."""


class Figures:
    """A target's figures by dotted key, defaults where it has none, and which were asked for."""

    def __init__(self, target: Target) -> None:
        self._own = {
            key: Figure(key, float(value), origin.basis, origin.source)
            for key, value, origin in target.figures()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    def own(self, key: str) -> Figure | None:
        """None where the target does not say."""
        return self._own.get(key)

    def __getitem__(self, key: str) -> Figure:
        own = self._own.get(key)
        if own is not None:
            return own
        value, source = DEFAULTS[key]
        return Figure(key, value, "assumed", source)
