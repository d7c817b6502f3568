"""The cells of one block: what is written to them, and their states at a time and a temperature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from afmc.errors import TargetError
from afmc.hardware.conditions import ROOM_C, Condition
from afmc.simulator.devices.base import Device
from afmc.simulator.faults import MakingUp, Span, Stuck, levels
from afmc.simulator.streams import Address, generator_at
from afmc.targets import Target

Streams = Callable[[str], torch.Generator]


class Perfect(Device):
    """Holds what is written."""

    def program(self, g: Tensor, generator: torch.Generator, /) -> Tensor:
        return g


@dataclass(frozen=True)
class Cell:
    """The n-th devices of one polarity of a block."""

    name: str
    """Name of its streams of random numbers: ``+0`` is the most significant positive one."""
    significance: float
    wanted: Tensor
    programmed: Tensor
    stuck: Tensor | None
    """The state at which a device stays; not a number where it does not."""

    @property
    def held(self) -> Tensor:
        """Just after programming, faults included."""
        if self.stuck is None:
            return self.programmed
        return torch.where(self.stuck.isnan(), self.programmed, self.stuck)


@dataclass(frozen=True)
class State:
    """A polarity of a block, all its devices together, in the unit of the target's range."""

    mean: Tensor
    """[cols, rows]."""
    read_variance: Tensor | None
    """[cols, rows], of what is drawn at each read."""


@dataclass(frozen=True)
class Written:
    """A block after programming."""

    plus: tuple[Cell, ...]
    minus: tuple[Cell, ...]
    """With offset encoding one column, from which all columns are read."""

    def at(
        self, target: Target, device: Device, condition: Condition, streams: Streams
    ) -> tuple[State, State]:
        """Both polarities at a time and a temperature."""
        plus, minus = (
            _sum([_state(cell, target, device, condition, streams) for cell in cells])
            for cells in (self.plus, self.minus)
        )
        return plus, minus


def streams_of(seed: int, instance: int, address: Address) -> Streams:
    return partial(generator_at, seed, instance, address)


def weight_per_state(scale: Tensor, target: Target) -> Tensor:
    """[cols]: weight that a difference of one unit between the polarities stands for."""
    span = target.device.state_max - target.device.state_min
    if target.device.encoding == "offset":
        span /= 2
    return scale / span


def write(
    ideal: Tensor,
    scale: Tensor,
    target: Target,
    device: Device,
    streams: Streams,
    stuck: Stuck | None = None,
) -> Written:
    """Programs a block: `ideal` [cols, rows] in units of the model's weights, `scale` [cols] the
    weight of full state. `stuck` are broken cells by a map."""
    low, high = target.device.state_min, target.device.state_max
    span = _span(target, device)
    known = stuck.known if stuck is not None else {}
    per_state = weight_per_state(torch.where(scale > 0, scale, 1.0), target).unsqueeze(1)
    wanted = ideal / per_state
    make = partial(_cell, target=target, device=device, streams=streams, stuck=stuck)
    shares = target.device.cells(device.devices)
    if target.device.encoding == "offset":
        middle = (low + high) / 2
        total = wanted.add_(middle).clamp_(low, high)
        reference = torch.full_like(wanted[:1], middle)
        equal = sum(shares)
        each = total / equal
        if known:
            against = MakingUp(total, known, shares, span)
            each[against.where] = against.states(0, reference=True)[0]
        plus = tuple(make(f"+{k}", share, each) for k, share in enumerate(shares))
        minus = tuple(make(f"-{k}", share, reference / equal) for k, share in enumerate(shares))
        return Written(plus, minus)
    wanted.clamp_(low - high, high - low)
    cells: tuple[list[Cell], list[Cell]] = ([], [])
    missing, rest = wanted, sum(shares)
    making_up = MakingUp(wanted, known, shares, span) if known else None
    for k, share in enumerate(shares):
        floor, room = low / sum(shares), (high - low) / sum(shares)
        each = (missing / rest).clamp_(-room, room)
        states = (each.clamp(min=0).add_(floor), each.neg().clamp_(min=0).add_(floor))
        if making_up is not None:
            made_up = making_up.states(k, reference=False)
            for state, part in zip(states, made_up, strict=True):
                state[making_up.where] = part
        pair = (make(f"+{k}", share, states[0]), make(f"-{k}", share, states[1]))
        for polarity, cell in zip(cells, pair, strict=True):
            polarity.append(cell)
        # Above a significance of 1, what is written next makes up for the error so far.
        corrects = target.device.significance > 1
        held = pair[0].held - pair[1].held if corrects else each
        missing = torch.sub(missing, held, alpha=share)
        rest -= share
        if making_up is not None:
            done = [cell.held for cell in pair] if corrects else states
            making_up.programmed(k, *(state[making_up.where] for state in done))
    return Written(tuple(cells[0]), tuple(cells[1]))


def _cell(
    name: str,
    significance: float,
    wanted: Tensor,
    *,
    target: Target,
    device: Device,
    streams: Streams,
    stuck: Stuck | None,
) -> Cell:
    programmed = _call(device, "program", wanted, wanted, streams(f"program{name}"))
    return Cell(
        name,
        significance,
        wanted,
        programmed,
        _stuck(name, wanted, target, device, streams, stuck),
    )


def _stuck(
    name: str,
    like: Tensor,
    target: Target,
    device: Device,
    streams: Streams,
    stuck: Stuck | None,
) -> Tensor | None:
    """Where devices stay at one state, by the target's rates and by a map."""
    described = target.device
    off, on = described.stuck_off_rate, described.stuck_on_rate
    mapped = None if stuck is None else stuck.cells.get(name)
    if not off and not on and mapped is None:
        return None
    low, high = _span(target, device)
    state = torch.full_like(like, torch.nan)
    if off or on:
        lot = torch.empty_like(like).uniform_(generator=streams(f"stuck{name}"))
        state.masked_fill_(lot < off, low).masked_fill_(lot >= 1 - on, high)
    if mapped is None:
        return state
    level = levels(mapped, low, high, state.dtype)
    return torch.where(level.isnan(), state, level)


def _span(target: Target, device: Device) -> Span:
    """Smallest and largest state of a cell."""
    high = target.device.cell_max(device.devices)
    return high * target.device.state_min / target.device.state_max, high


def _state(
    cell: Cell, target: Target, device: Device, condition: Condition, streams: Streams
) -> tuple[float, Tensor, Tensor | None]:
    """Significance, states, and the variance that is drawn at each read."""
    t_s, name = condition.at_s, cell.name
    g, wanted = cell.programmed, cell.wanted
    g = _call(device, "age", wanted, g, wanted, t_s, streams(f"age{name}"))
    if condition.temperature_C != ROOM_C:
        heated = streams(f"heat{name}")
        g = _call(device, "heat", wanted, g, wanted, condition.temperature_C, heated)
    variance = None
    if target.device.read_noise != "none":
        sigma = _call_or_none(device, wanted, g, wanted, t_s)
        if sigma is not None and target.device.read_noise == "each":
            variance = sigma.square()
        elif sigma is not None:
            noise = torch.empty_like(g).normal_(generator=streams(f"read{name}@{t_s!r}"))
            g = torch.addcmul(g, sigma, noise).maximum(g.clamp(max=0))  # no sign is lost to noise
    if cell.stuck is not None:
        works = cell.stuck.isnan()
        g = torch.where(works, g, cell.stuck)
        variance = None if variance is None else variance.mul_(works)
    return cell.significance, g, variance


def _sum(states: list[tuple[float, Tensor, Tensor | None]]) -> State:
    if len(states) == 1 and states[0][0] == 1:
        return State(*states[0][1:])
    mean = sum((share * g for share, g, _ in states[1:]), states[0][0] * states[0][1])
    spreads = [share**2 * v for share, _, v in states if v is not None]
    return State(mean, sum(spreads[1:], spreads[0]) if spreads else None)


def _call(device: Device, method: str, like: Tensor, *arguments: object) -> Tensor:
    """What the device model makes of it, checked: the model may be anybody's."""
    result = _raw(device, method, *arguments)
    if not isinstance(result, Tensor) or result.shape != like.shape:
        name = type(device).__name__
        raise TargetError(f"{method} of the device model {name} did not return the shape it got.")
    return result


def _call_or_none(device: Device, like: Tensor, *arguments: object) -> Tensor | None:
    result = _raw(device, "read_sigma", *arguments)
    if result is None:
        return None
    name = type(device).__name__
    if not isinstance(result, Tensor) or result.shape != like.shape:
        raise TargetError(f"read_sigma of the device model {name} did not return the shape it got.")
    if not bool((result.isfinite() & (result >= 0)).all()):
        raise TargetError(
            f"read_sigma of the device model {name} gives values that are no finite numbers of at "
            f"least 0."
        )
    return result


def _raw(device: Device, method: str, *arguments: object) -> object:
    name = type(device).__name__
    try:
        return getattr(device, method)(*arguments)
    except ValueError as error:  # the model's own sentence
        raise TargetError(f"the device model {name}: {_reason(error)}.") from error
    except (Exception, SystemExit) as error:  # whatever a plug-in raises
        raise TargetError(f"{method} of the device model {name} failed: {error!r}.") from error


def _reason(error: ValueError) -> str:
    """The first line of what the model says, as the end of a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "raises ValueError without saying why"
