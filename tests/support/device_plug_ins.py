"""Device models that do what they should not."""

from __future__ import annotations

import torch

from afmc.simulator.devices.base import Device


class NotDerived:
    devices = 1

    def program(self, g: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return g


class RaisesWhenMade(Device):
    def __init__(self) -> None:
        raise KeyError("no such chip")

    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g


class Raises(Device):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        raise ZeroDivisionError("no such luck")


class Shrinks(Device):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g[:1]


class NeverAges(Device):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g

    def age(
        self, g: torch.Tensor, wanted: torch.Tensor, t_s: float, generator: torch.Generator, /
    ) -> torch.Tensor:
        if t_s:
            raise ValueError("nobody looked after programming")
        return g


class SigmaOfAnotherShape(Device):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g

    def read_sigma(self, g: torch.Tensor, wanted: torch.Tensor, t_s: float, /) -> torch.Tensor:
        return g.sum()


class _Holds(Device):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        return g


class NoDevices(_Holds):
    devices = 0


class RangeInWords(_Holds):
    g_max_uS = "20"


class RangeRaises(_Holds):
    @property
    def g_max_uS(self) -> float:
        raise LookupError("no data sheet")


class Exits(_Holds):
    def program(self, g: torch.Tensor, generator: torch.Generator, /) -> torch.Tensor:
        raise SystemExit(3)


class SaysMuch(_Holds):
    def age(
        self, g: torch.Tensor, wanted: torch.Tensor, t_s: float, generator: torch.Generator, /
    ) -> torch.Tensor:
        raise ValueError("nobody looked.\nAt all.")


class SigmaOfNoNumber(_Holds):
    def read_sigma(self, g: torch.Tensor, wanted: torch.Tensor, t_s: float, /) -> torch.Tensor:
        return torch.full_like(g, torch.nan)
