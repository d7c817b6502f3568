"""The unit of a figure: the end of its key, `ns` of `tile.read_latency_ns`."""

from __future__ import annotations

UNITS = {
    "A_W": "A/W",
    "C": "C",
    "GB": "GB",
    "GB_s": "GB/s",
    "GHz": "GHz",
    "MB": "MB",
    "TFLOPS": "TFLOPS",
    "TOPS": "TOPS",
    "V": "V",
    "W": "W",
    "dB_Hz": "dB/Hz",
    "fJ": "fJ",
    "fJ_step": "fJ/step",
    "mW": "mW",
    "mm2": "mm2",
    "ms": "ms",
    "nA": "nA",
    "nJ": "nJ",
    "ns": "ns",
    "ohm": "ohm",
    "pJ": "pJ",
    "pJ_B": "pJ/B",
    "pJ_bit": "pJ/bit",
    "std": "",  # relative
    "steps": "steps",
    "uS": "uS",
    "us": "us",
}
"""How the ends of keys are written, without a unit where there is none."""


def unit_of(key: str) -> str:
    """What a figure is counted in, by its key, dotted or not; empty where it is a plain number.

    The longest known end counts: `bandwidth_GB_s` is in GB/s. Of a figure by bits it is that of all
    of them: `conversion_by_bits_ns.8` is in ns.
    """
    table, _, name = key.rpartition(".")
    words = (table.rpartition(".")[2] if name.isdecimal() else name).split("_")
    ends = ("_".join(words[first:]) for first in range(1, len(words)))
    return next((UNITS[end] for end in ends if end in UNITS), "")
