"""Input ranges from text, for models that bring none along, and where their routers send it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from afmc.compiler.calibration import Method
from afmc.lower.watch import Given, Look, watch
from afmc.program.observed import OCTAVES

Drive = tuple[object, ...]
"""What row drivers are set to, `Matrix.drive`."""

Prepare = Callable[[str, Tensor], Tensor]
"""What converters are given, of an activation by its name: rotated, or as it is."""


def as_it_is(name: str, x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Seen:
    """What a text shows of a model."""

    ranges: Mapping[str, float]
    """By activation, half width of the input converters' range."""
    experts: Mapping[str, NDArray[np.int32]]
    """By experts' module, [tokens, experts of a token]: which ones the router chose."""


def look_at(
    module: nn.Module,
    readers: Mapping[str, str],
    experts: Iterable[str],
    windows: Iterable[Given],
    method: Method,
    observe: Callable[[int], None] = lambda tokens: None,
    prepare: Prepare = as_it_is,
) -> Seen:
    """Range of every input that the matrices read, and where the routers send the tokens.

    `readers` maps the name of an activation to the path of one module that reads it; `experts` are
    paths of modules that are given hidden states and the experts of each token; `windows` are what
    the module is given, token tensors [batch, sequence] for instance. The statistic is taken over
    each window and averaged, so that memory is bounded by one window. Rounded to six digits, which
    is far below what a converter can tell and keeps programs equal between machines.
    """
    found: dict[str, list[float]] = {name: [] for name in readers}
    chosen: dict[str, list[Tensor]] = {path: [] for path in experts}

    def look(name: str, x: Tensor) -> None:
        found[name].append(_statistic(prepare(name, x.float()), method))

    def note(path: str, of_tokens: Tensor) -> None:
        chosen[path].append(of_tokens.to(torch.int32))

    looks = [
        *(Look(path, 0, partial(look, name)) for name, path in readers.items()),
        *(Look(path, 1, partial(note, path)) for path in chosen),
    ]
    watch(module, looks, windows, observe)
    return Seen(
        {name: float(f"{sum(v) / len(v):.6g}") for name, v in found.items() if v},
        {path: torch.cat(tables).numpy() for path, tables in chosen.items()},
    )


def mean_squares(
    module: nn.Module,
    readers: Mapping[str, str],
    windows: Iterable[Given],
    observe: Callable[[int], None] = lambda tokens: None,
    prepare: Prepare = as_it_is,
) -> dict[str, Tensor]:
    """The mean square of every input that the matrices read, [rows], by activation.

    Arguments as for `look_at`. Rounded to eight bits, so that programs are equal between machines.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = dict.fromkeys(readers, 0)

    def look(name: str, x: Tensor) -> None:
        rows = prepare(name, x.float()).reshape(-1, x.shape[-1])
        sums[name] = sums.get(name, 0.0) + rows.square().sum(dim=0)
        counts[name] += len(rows)

    looks = [Look(path, 0, partial(look, name)) for name, path in readers.items()]
    watch(module, looks, windows, observe)
    return {name: _rounded(total / counts[name]) for name, total in sums.items()}


def sizes_of_inputs(
    module: nn.Module,
    readers: Mapping[Drive, str],
    ranges: Mapping[Drive, Tensor],
    windows: Iterable[Given],
    observe: Callable[[int], None] = lambda tokens: None,
    prepare: Prepare = as_it_is,
) -> dict[Drive, Tensor]:
    """How many values of every input are of which size against their converters' range, as `sizes`
    counts them, by what row drivers are set to.

    `readers` has the path of one module that reads it, `ranges` half widths, [] or [rows]; other
    arguments as for `look_at`.
    """
    found: dict[Drive, Tensor] = {}

    def look(drive: Drive, x: Tensor) -> None:
        rows = prepare(str(drive[0]), x).reshape(-1, x.shape[-1])
        counts = sizes(rows, ranges[drive]).sum(dim=0)
        found[drive] = found.get(drive, 0) + counts

    looks = [Look(path, 0, partial(look, drive)) for drive, path in readers.items()]
    watch(module, looks, windows, observe)
    return found


def sizes(values: Tensor, full: Tensor) -> Tensor:
    """How many values of each row are of which size against full scale, [rows, OCTAVES + 2] for
    [rows, values]: above it, from there down to more than a half of it, to more than a quarter, and
    so on, and the rest. `full` broadcasts to the values."""
    size = values.abs()
    above = [(size > full * 2.0**-octave).sum(dim=1) for octave in range(OCTAVES + 1)]
    counts = torch.stack([*above, torch.full_like(above[0], values.shape[1])], dim=1)
    return counts.diff(dim=1, prepend=torch.zeros_like(counts[:, :1]))


def _rounded(x: Tensor) -> Tensor:
    fraction, exponent = torch.frexp(x)
    return torch.ldexp((fraction * 2**8).round() / 2**8, exponent)


def _statistic(x: Tensor, method: Method) -> float:
    if method.kind == "std":
        return method.value * float(x.std())
    magnitudes = x.abs().flatten()
    rank = max(1, math.ceil(len(magnitudes) * method.value / 100))
    return float(magnitudes.kthvalue(rank).values)
