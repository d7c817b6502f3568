"""Device models of targets as noise models of AIHWKIT: Python expressions, and what they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from afmc.targets import Target


@dataclass(frozen=True)
class NoiseModel:
    expression: str
    imports: tuple[tuple[str, str], ...] = ()
    """Modules, and a name of each."""
    classes: tuple[str, ...] = ()
    """Definitions of what AIHWKIT has none of."""
    before: tuple[tuple[str, str], ...] = ()
    """Names that the expression uses, and what they are."""
    notes: tuple[str, ...] = ()
    """Where it differs from afmc's, in sentences."""


def noise_model_of(target: Target) -> NoiseModel:
    """Noise model of the target's devices; one without noise where AIHWKIT has none like them."""
    device = target.device
    known = _KNOWN.get(device.noise or "")
    if known is None:
        found = _static("Perfect", "Holds what is written.", "g_target.clone()")
        return found if device.noise is None else replace(found, notes=(_without(device.noise),))
    devices, make = known
    together = int(device.options.get("devices", devices))
    cells = device.devices_per_polarity // together
    high = device.cell_max(together)
    low = high * device.state_min / device.state_max
    found = make(_Cells(target, cells, high, low, dict(device.options)))
    notes = list(found.notes)
    if device.noise != "rram-cmo" and device.encoding == "offset":
        notes.append(
            "a weight is one polarity less a reference here (device.encoding), in AIHWKIT a pair"
        )
    if device.significance > 1:
        notes.append(
            "less significant devices correct the errors of those before them here "
            "(device.significance), in AIHWKIT all count alike"
        )
    if device.read_noise == "each" and device.noise in _READ:
        notes.append(
            "read noise is drawn at each read here (device.read_noise), in AIHWKIT once for a call "
            "of drift_analog_weights"
        )
    return replace(found, notes=tuple(notes))


@dataclass(frozen=True)
class _Cells:
    """What a device model is made for."""

    target: Target
    count: int
    """Devices of a polarity."""
    high: float
    low: float
    options: dict[str, Any]

    @property
    def read_scale(self) -> str:
        return ", read_noise_scale=0.0" if self.target.device.read_noise == "none" else ""

    def with_converter(self, found: NoiseModel) -> NoiseModel:
        """The model with the pairs of devices of a weight, ``pairs``."""
        figures = f"g_max={self.high!r}, g_min={self.low!r}"
        single = "SinglePairConductanceConverter"
        maker, classes = f"{single}({figures})", found.classes
        imports = [*found.imports, ("aihwkit.inference.converter.conductance", single)]
        if self.count > 1:
            maker, classes = f"SharedPairs({self.count}, {figures})", (_SHARED, *classes)
            base = ("aihwkit.inference.converter.base", "BaseConductanceConverter")
            imports[-1:] = [base, _TENSOR]
        before = (("pairs", maker), *found.before)
        return replace(found, imports=tuple(imports), classes=classes, before=before)


_TENSOR = ("torch", "Tensor")
_BASE = ("aihwkit.inference.noise.base", "BaseNoiseModel")
_SHARED = '''\
class SharedPairs(BaseConductanceConverter):
    """Pairs of devices that hold equal shares of a weight."""

    def __init__(self, pairs: int, g_max: float, g_min: float) -> None:
        self.pairs, self.g_max, self.g_min = pairs, g_max, g_min

    def __str__(self) -> str:
        return f"SharedPairs(pairs={self.pairs}, g_max={self.g_max}, g_min={self.g_min})"

    def convert_to_conductances(self, weights: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        scale = (self.g_max - self.g_min) / weights.abs().max().clamp(min=1e-7)
        pair = [(sign * scale * weights).clamp(min=0) + self.g_min for sign in (1, -1)]
        return [each.clone() for _ in range(self.pairs) for each in pair], {"scale": scale}

    def convert_back_to_weights(
        self, conductances: list[Tensor], params: dict[str, Tensor]
    ) -> Tensor:
        positive, negative = sum(conductances[::2]), sum(conductances[1::2])
        return (positive - negative) / (self.pairs * params["scale"])
'''
_CLASS = '''\
class {name}(BaseNoiseModel):
    """{meaning}"""

    def apply_programming_noise_to_conductance(self, g_target: Tensor) -> Tensor:
        return {program}

    def apply_drift_noise_to_conductance(
        self, g_prog: Tensor, drift_noise_param: Tensor | None, t_inference: float
    ) -> Tensor:
        return g_prog
'''
_AFM = '''\
class AfmPcm({base}):
    """Programming noise with which analog foundation models are evaluated: the standard deviation
    is a polynomial in units of g_max / 180, another one above 52.5 of them; below 0.6 all is exact.
    """

    one = (2.5797410660159494, 0.22419685954327148, -0.00371581208142707, 2.939751381126213e-05)
    two = (2.110295720240385, 0.2453487119885723, -0.003054993405157235, 1.2329755395573392e-05)

    def apply_programming_noise_to_conductance(self, g_target: Tensor) -> Tensor:
        unit = self.g_converter.g_max / 180
        g = g_target.abs() / unit
        below, above = (
            sum(coefficient * g**power for power, coefficient in enumerate(each))
            for each in (self.one, self.two)
        )
        sigma = where(g > 52.5, above, below) * unit
        return where(g < 0.6, zeros_like(g), g_target + sigma * randn_like(g))
{rest}'''
_STAYS = """
    def apply_drift_noise_to_conductance(
        self, g_prog: Tensor, drift_noise_param: Tensor | None, t_inference: float
    ) -> Tensor:
        return g_prog
"""
_SCALED_ANEW = (
    "AIHWKIT scales programmed weights to g_max anew before they drift, and takes the read noise "
    "of a device from the state that resulted (its issue #436), afmc from the one that was wanted"
)


def _without(noise: str) -> str:
    return (
        f"AIHWKIT has no model of the devices (device.noise is {noise}): weights are exact there, "
        f"and do not drift"
    )


def _static(name: str, meaning: str, program: str, *imports: str) -> NoiseModel:
    """Noise that is drawn when weights are programmed, and no drift."""
    text = _CLASS.format(name=name, meaning=meaning, program=program)
    needed = (_BASE, _TENSOR, *(("torch", each) for each in imports))
    return NoiseModel(f"{name}()", needed, (text,))


def _gaussian(cells: _Cells) -> NoiseModel:
    share = 1.0 if cells.options.get("of") == "device" else 2**-0.5
    sigma = float(cells.options["sigma"]) * cells.high * share
    found = _static(
        "AdditiveNoise",
        "The same normal noise on every device, which may make it negative.",
        f"g_target + {sigma!r} * randn_like(g_target)",
        "randn_like",
    )
    notes = ("the read noise (device.options.sigma_read) is left out",)
    return cells.with_converter(
        replace(
            found,
            expression="AdditiveNoise(pairs)",
            notes=notes if cells.options.get("sigma_read") else (),
        )
    )


def _relative(cells: _Cells) -> NoiseModel:
    found = _static(
        "RelativeNoise",
        "Normal noise in proportion to the conductance.",
        f"g_target * (1 + {float(cells.options['sigma'])!r} * randn_like(g_target))",
        "randn_like",
    )
    return cells.with_converter(replace(found, expression="RelativeNoise(pairs)"))


def _afm(cells: _Cells) -> NoiseModel:
    drifts = bool(cells.options.get("drift", False))
    base = ("aihwkit.inference", "PCMLikeNoiseModel") if drifts else _BASE
    needed = (base, _TENSOR, *(("torch", each) for each in ("randn_like", "where", "zeros_like")))
    text = _AFM.format(base=base[1], rest="" if drifts else _STAYS)
    read = cells.read_scale if drifts else ""
    expression = f"AfmPcm(g_converter=pairs{read})"
    notes = (_SCALED_ANEW,) if drifts else ()
    return cells.with_converter(NoiseModel(expression, needed, (text,), notes=notes))


def _pcm(cells: _Cells) -> NoiseModel:
    name, module, argument = "PCMLikeNoiseModel", "aihwkit.inference", ""
    before: list[tuple[str, str]] = []
    nu = cells.options.get("nu")
    if nu is not None:
        name, module = "CustomDriftPCMLikeNoiseModel", "aihwkit.inference.noise.pcm"
        ends, means = [0.0, cells.high], [float(nu)] * 2
        spread = [float(cells.options.get("nu_std", 0.0))] * 2
        argument = "drift, "
        before = [("drift", f'{{"g_lst": {ends}, "nu_mean_lst": {means}, "nu_std_lst": {spread}}}')]
    return cells.with_converter(
        NoiseModel(
            f"{name}({argument}g_converter=pairs{cells.read_scale})",
            ((module, name),),
            before=tuple(before),
            notes=(_SCALED_ANEW,),
        )
    )


def _hermes(cells: _Cells) -> NoiseModel:
    devices = int(cells.options.get("devices", 2))
    name = "HermesNoiseModel"
    expression = f"{name}(num_devices={devices}, g_converter=pairs{cells.read_scale})"
    imports = (("aihwkit.inference.noise.hermes", name),)
    return cells.with_converter(NoiseModel(expression, imports, notes=(_SCALED_ANEW,)))


def _wan(cells: _Cells) -> NoiseModel:
    name, scale = "ReRamWan2022NoiseModel", cells.high / 40
    expression = f"{name}(g_converter=pairs, noise_scale={scale!r})"
    notes = (
        "states are known at 1, 86400 and 172800 seconds, to AIHWKIT at no other time, and it "
        "draws them independently of one another",
        "the read noise of 1 % of g_max (device.options.read_sigma_relative) is left out",
    )
    return cells.with_converter(NoiseModel(expression, (("aihwkit.inference", name),), notes=notes))


def _cmo(cells: _Cells) -> NoiseModel:
    name, percent = "ReRamCMONoiseModel", cells.options.get("acceptance_percent", 0.2)
    expression = (
        f"{name}(g_max={cells.high!r}, g_min={cells.low!r}, acceptance_range={percent!r}"
        f"{cells.read_scale})"
    )
    notes = (
        "AIHWKIT maps the smallest weight of a tile to g_min and the largest to g_max, on one "
        "device, afmc as device.encoding and device.scale say",
    )
    return NoiseModel(expression, (("aihwkit.inference", name),), notes=notes)


_KNOWN: dict[str, tuple[int, Callable[[_Cells], NoiseModel]]] = {
    "gaussian": (1, _gaussian),
    "gaussian-relative": (1, _relative),
    "pcm-afm": (2, _afm),
    "pcm-aihwkit": (1, _pcm),
    "pcm-hermes": (2, _hermes),
    "rram-wan2022": (1, _wan),
    "rram-cmo": (1, _cmo),
}
"""Devices that one model stands for, and how it is written."""
_READ = ("pcm-aihwkit", "pcm-hermes", "pcm-afm", "rram-wan2022", "rram-cmo")
"""Those with read noise."""
