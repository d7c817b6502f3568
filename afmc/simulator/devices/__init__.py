"""Statistical models of published memory devices, and of the elements of photonic processors."""

from afmc.simulator.devices.fefet import FeFet
from afmc.simulator.devices.flash import Sonos
from afmc.simulator.devices.gaussian import GaussianNoise, RelativeGaussian
from afmc.simulator.devices.pcm import AfmScriptPcm, HermesPcm, PcmPolynomial
from afmc.simulator.devices.photonic import MachZehnder, Microring
from afmc.simulator.devices.rram import RramCmo, RramMilo, RramWan2022

__all__ = [
    "AfmScriptPcm",
    "FeFet",
    "GaussianNoise",
    "HermesPcm",
    "MachZehnder",
    "Microring",
    "PcmPolynomial",
    "RelativeGaussian",
    "RramCmo",
    "RramMilo",
    "RramWan2022",
    "Sonos",
]
