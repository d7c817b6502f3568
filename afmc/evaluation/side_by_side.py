"""The loop of every measurement: the model in digital arithmetic, then every instance on tiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from afmc.errors import ModelError, TargetError
from afmc.evaluation.asked import Measurement
from afmc.evaluation.results import Speed, Speeds
from afmc.hardware.conditions import Condition


@dataclass
class Sums:
    """Sums of one model over the parts of a text or of samples."""

    count: int = 0
    """Tokens or samples."""
    rates: list[float] = field(default_factory=list)
    """Tokens or samples per second, of each part; measured."""

    @contextmanager
    def timed(self, count: int) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.rates.append(count / max(time.perf_counter() - start, 1e-9))
        self.count += count


Kind = TypeVar("Kind", bound=Sums)
Part = TypeVar("Part")
Add = Callable[[nn.Module, Part, Kind, Tensor | None], Tensor]
"""Runs a model on a part and adds to its sums; gets what the digital model gave for it, or None for
that model itself. Returns the outputs."""


def side_by_side(
    measurement: Measurement,
    chunks: Sequence[Sequence[Part]],
    new: type[Kind],
    add: Add[Part, Kind],
    observe: Callable[[str, int], None],
    written: Callable[[int, Condition], None] = lambda instance, condition: None,
) -> tuple[Kind, list[list[Kind]]]:
    """Sums of the digital model and, by condition, of every instance.

    The digital model's outputs of a chunk are kept while all instances are compared with them. An
    instance is written once a chunk and is the same each time, because its noise follows from its
    number; `written` is told of it.
    """
    digital, analog = measurement.on_tiles.reference, measurement.on_tiles.analog
    conditions, instances = measurement.conditions, measurement.asked.instances
    reference = new()
    every = [[new() for _ in range(instances)] for _ in conditions]
    with torch.inference_mode():
        measurement.write(0, conditions[0])
        _warm_up(digital, analog, chunks[0][0], new, add)
        for chunk in chunks:
            expected = []
            for part in chunk:
                before = reference.count
                expected.append(_added(add, digital, part, reference, None, ""))
                observe("digital", reference.count - before)
            for condition, of_instances in zip(conditions, every, strict=True):
                for index, sums in enumerate(of_instances):
                    measurement.write(index, condition)
                    written(index, condition)
                    what = f"instance {index + 1} of {instances}"
                    what += f", {condition}" if len(conditions) > 1 else ""
                    for part, outputs in zip(chunk, expected, strict=True):
                        before = sums.count
                        _added(add, analog, part, sums, outputs, f"instance {index}, {condition}")
                        observe(what, sums.count - before)
    return reference, every


def _warm_up(
    digital: nn.Module, analog: nn.Module, part: Part, new: type[Kind], add: Add[Part, Kind]
) -> None:
    """Runs both once, so that the first part's time is like the others'."""
    outputs = add(digital, part, new(), None)
    add(analog, part, new(), outputs)


def _added(
    add: Add[Part, Kind],
    model: nn.Module,
    part: Part,
    sums: Kind,
    expected: Tensor | None,
    which: str,
) -> Tensor:
    outputs = add(model, part, sums, expected)
    if bool(torch.isfinite(outputs).all()):
        return outputs
    if expected is None:
        raise ModelError("in digital arithmetic the model's outputs are no finite numbers.")
    raise TargetError(
        f"on the tiles the model's outputs are no finite numbers ({which}); look at the target "
        f"with 'afmc targets check'."
    )


def speeds(reference: Sums, every: Sequence[Sequence[Sums]]) -> Speeds:
    """How fast this machine computed both; measured."""
    analog = [rate for of_instances in every for sums in of_instances for rate in sums.rates]
    return Speeds(digital=_speed(reference.rates), analog=_speed(analog))


def _speed(rates: Sequence[float]) -> Speed:
    std = statistics.stdev(rates) if len(rates) > 1 else None
    return Speed(mean=statistics.fmean(rates), std=std)
