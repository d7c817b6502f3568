"""The models that AIHWKIT has too, against AIHWKIT itself, where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from afmc.simulator.devices import HermesPcm, PcmPolynomial, RramCmo, RramWan2022
from afmc.simulator.devices.base import Device

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    REASON = "NOT COMPARED WITH AIHWKIT: run 'pip install --no-deps aihwkit==1.1.0'"
    inference = pytest.importorskip("aihwkit.inference", reason=REASON)
    hermes = pytest.importorskip("aihwkit.inference.noise.hermes", reason=REASON)

HOUR, DAY = 3600.0, 86400.0
DRAWS = 100_000
STATES = (0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1)
"""States as shares of g_max."""


@pytest.fixture(autouse=True)
def _quiet_and_seeded(generator: torch.Generator) -> Iterator[None]:
    """AIHWKIT draws from torch's own generator, and uses torch and NumPy in ways they warn of."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(generator.initial_seed() + 1)
        warnings.simplefilter("ignore")
        yield


def _pcm(read_noise_scale: float) -> Any:
    return inference.PCMLikeNoiseModel(g_max=25.0, read_noise_scale=read_noise_scale)


def _hermes_one(read_noise_scale: float) -> Any:
    return hermes.HermesNoiseModel(num_devices=1, read_noise_scale=read_noise_scale)


def _hermes_two(read_noise_scale: float) -> Any:
    return hermes.HermesNoiseModel(num_devices=2, read_noise_scale=read_noise_scale)


def _wan(read_noise_scale: float) -> Any:
    """At 40 uS: at any other g_max AIHWKIT forgets to scale. It has no read noise of its own."""
    return inference.ReRamWan2022NoiseModel(g_max=40.0)


def _cmo_narrow(read_noise_scale: float) -> Any:
    return inference.ReRamCMONoiseModel(acceptance_range=0.2, read_noise_scale=read_noise_scale)


def _cmo_wide(read_noise_scale: float) -> Any:
    """With a key of AIHWKIT's table: its default, 2e-2, is none and means 0.2."""
    return inference.ReRamCMONoiseModel(acceptance_range=2, read_noise_scale=read_noise_scale)


PCM = [(PcmPolynomial(), _pcm), (HermesPcm(1), _hermes_one), (HermesPcm(2), _hermes_two)]
CMO = [(RramCmo(0.2), _cmo_narrow), (RramCmo(2), _cmo_wide)]

PROGRAMMED = [*PCM, *CMO]
LATER = [
    *((ours, theirs, t_s) for ours, theirs in PCM for t_s in (0.0, HOUR, DAY, 30 * DAY)),
    *((RramWan2022(), _wan, t_s) for t_s in (1.0, DAY, 2 * DAY)),
    *((ours, theirs, t_s) for ours, theirs in CMO for t_s in (1.0, HOUR, DAY, 30 * DAY)),
]
READ = [case for case in LATER if case[1] is not _wan]


def _name(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}s"
    return getattr(value, "__name__", type(value).__name__).strip("_")


def _wanted(device: Any) -> Tensor:
    """Ten states, each as often as it is drawn."""
    low = getattr(device, "g_min_uS", 0.0)
    states: Tensor = low + (device.g_max_uS - low) * torch.tensor(STATES)
    return states.unsqueeze(1).repeat(1, DRAWS)


def _apply(model: Any, method: str, *arguments: Any) -> Tensor:
    """AIHWKIT's method, on a flat copy: it indexes as if there were one dimension."""
    flat = (a.flatten() if isinstance(a, Tensor) else a for a in arguments)
    result: Tensor = getattr(model, method)(*flat).view(-1, DRAWS)
    return result


def _aged(theirs: Any, g: Tensor, wanted: Tensor, t_s: float) -> Tensor:
    parameter = theirs.generate_drift_coefficients(wanted.flatten())
    return _apply(theirs, "apply_drift_noise_to_conductance", g, parameter, t_s)


def _differences(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the means and of the standard deviations of ten states, in standard errors.

    The variance of a mean is var / n, that of a standard deviation (m4 - var^2) / (4 n var), with
    m4 the fourth central moment; both from the samples. Those of the two samples add up.
    """
    moments = []
    for sample in (ours, theirs):
        centred = sample - sample.mean(dim=1, keepdim=True)
        var, m4 = centred.square().mean(dim=1), centred.pow(4).mean(dim=1)
        n = sample.shape[1]
        moments.append((sample.mean(dim=1), var.sqrt(), var / n, (m4 - var**2) / (4 * n * var)))
    (mean, std, mean_var, std_var), (mean2, std2, mean_var2, std_var2) = moments
    return (
        (mean - mean2).abs() / (mean_var + mean_var2).sqrt(),
        (std - std2).abs() / (std_var + std_var2).sqrt(),
    )


def _assert_same(ours: Tensor, theirs: Tensor) -> None:
    for difference in _differences(ours, theirs):
        assert difference.max() < 5, difference


@pytest.mark.parametrize(("device", "theirs"), PROGRAMMED, ids=_name)
def test_programmed(device: Device, theirs: Any, generator: torch.Generator) -> None:
    wanted = _wanted(device)
    got = device.program(wanted, generator)
    _assert_same(got, _apply(theirs(0), "apply_programming_noise_to_conductance", wanted))


@pytest.mark.parametrize(("device", "theirs", "t_s"), LATER, ids=_name)
def test_later(device: Device, theirs: Any, t_s: float, generator: torch.Generator) -> None:
    wanted, model = _wanted(device), theirs(0)
    got = device.age(device.program(wanted, generator), wanted, t_s, generator)
    programmed = _apply(model, "apply_programming_noise_to_conductance", wanted)
    _assert_same(got, _aged(model, programmed, wanted, t_s))


@pytest.mark.parametrize(("device", "theirs", "t_s"), READ, ids=_name)
def test_read(device: Device, theirs: Any, t_s: float, generator: torch.Generator) -> None:
    """Cells that are programmed perfectly: then it is no matter which state sets the read noise.

    AIHWKIT clamps what is read; states at either end of the CMO's range, where it does so once and
    afmc before the read too, are left out.
    """
    wanted = _wanted(device)
    if isinstance(device, RramCmo):
        wanted = 18 + (wanted - device.g_min_uS) * 0.8
    g = device.age(wanted, wanted, t_s, generator)
    sigma = device.read_sigma(g, wanted, t_s)
    assert sigma is not None
    got = (g + sigma * torch.empty_like(g).normal_(generator=generator)).clamp_(min=0)
    expected = _aged(theirs(1), wanted, wanted, t_s)
    if not isinstance(device, RramCmo):  # at zero both are exact
        assert expected[0].abs().max() == got[0].abs().max() == 0
        got, expected = got[1:], expected[1:]
    _assert_same(got, expected)


def test_aihwkit_takes_the_read_noise_of_pcm_from_the_programmed_state(
    generator: torch.Generator,
) -> None:
    """Issue #436: at small states a read is noisier there, as some cells came out near zero."""
    device, theirs = PcmPolynomial(), _pcm(1)
    wanted = torch.full((1, DRAWS), 0.02 * 25)
    g = device.age(device.program(wanted, generator), wanted, DAY, generator)
    got = g + device.read_sigma(g, wanted, DAY) * torch.empty_like(g).normal_(generator=generator)
    programmed = _apply(theirs, "apply_programming_noise_to_conductance", wanted)
    expected = _aged(theirs, programmed, wanted, DAY)
    _, of_the_spread = _differences(got.clamp_(min=0), expected)
    assert of_the_spread > 5


def test_aihwkit_does_not_scale_the_error_of_neurram(generator: torch.Generator) -> None:
    """At 25 uS its error is that of 40 uS."""
    wanted = torch.full((1, DRAWS), 0.5 * 25)
    theirs = inference.ReRamWan2022NoiseModel(g_max=25.0)
    got = RramWan2022(25.0).age(wanted, wanted, DAY, generator)
    ratio = float(_aged(theirs, wanted, wanted, DAY).std() / got.std())
    assert ratio == pytest.approx(40 / 25, rel=0.02)
