"""What is added to a column's signal at each read: thermal noise, shot noise, and that of lasers.

A signal is counted in units of the read voltage (or of the light of one input at full scale)
times a state, so that inputs u are between -1 and 1. Its variance is

    constant + per_state * sum(g) + linear * sum(|u| g) + quadratic * sum(u^2 d^2)

over the cells of a column, g of both polarities together and d what they contribute, their
difference where they are read together: both get the light of one laser. Columns that share a laser
fluctuate together; here each is by itself.

Source: Johnson's 4 k T G B and Schottky's 2 q I B with the bandwidth B = 1 / (2 T) of an
integration over T; relative intensity noise RIN (R P)^2 B of each input's laser by itself;
textbook.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import constants

from afmc.targets import Target


@dataclass(frozen=True)
class ReadNoise:
    """Coefficients of the variance above; g in microsiemens, or a transmission."""

    constant: float = 0.0
    per_state: float = 0.0
    linear: float = 0.0
    quadratic: float = 0.0

    def __bool__(self) -> bool:
        return any((self.constant, self.per_state, self.linear, self.quadratic))


def read_noise_of(target: Target, temperature_C: float) -> ReadNoise:
    """Read noise of a target, as far as its figures say: electrical from `crossbar.read_voltage_V`
    and `output.integration_ns`, photonic from `[optics]`."""
    thermal_J = 4 * constants.k * (temperature_C + constants.zero_Celsius)
    if target.optics is not None:
        return _optical(target, thermal_J)
    volt, integration_ns = target.crossbar.read_voltage_V, target.output.integration_ns
    if volt is None or integration_ns is None:
        return ReadNoise()
    bandwidth_Hz = 1e9 / (2 * integration_ns)
    siemens = 1e-6  # of one unit of conductance
    return ReadNoise(
        per_state=thermal_J * bandwidth_Hz / (volt**2 * siemens),
        linear=2 * constants.e * bandwidth_Hz / (volt * siemens),
    )


def _optical(target: Target, thermal_J: float) -> ReadNoise:
    assert target.optics is not None
    optics = target.optics
    bandwidth_Hz = optics.bandwidth_GHz * 1e9
    ampere = optics.responsivity_A_W * optics.power_mW * 1e-3  # of one input at full scale
    rin = 0.0 if optics.rin_dB_Hz is None else 10 ** (optics.rin_dB_Hz / 10)
    return ReadNoise(
        constant=thermal_J * bandwidth_Hz / (optics.load_ohm * ampere**2),
        linear=2 * constants.e * bandwidth_Hz / ampere,
        quadratic=rin * bandwidth_Hz,
    )
