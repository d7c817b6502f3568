"""The loop of every measurement: what is kept, what is warmed up, what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from afmc.errors import AfmcError, ModelError, TargetError
from afmc.evaluation.asked import Asked, Measurement
from afmc.evaluation.side_by_side import Sums, side_by_side, speeds
from afmc.hardware.conditions import Condition

DAY = Condition(at_s=86400.0)


class Fake:
    """Measurement that remembers what is asked of it."""

    def __init__(self, analog: nn.Module) -> None:
        self.on_tiles = SimpleNamespace(reference=nn.Identity(), analog=analog)
        self.asked, self.conditions = Asked(instances=2), (Condition(), DAY)
        self.seen: list[Any] = []

    def write(self, instance: int, condition: Condition) -> None:
        self.seen.append((instance, condition))


def add(model: nn.Module, part: Tensor, sums: Sums, expected: Tensor | None) -> Tensor:
    with sums.timed(part.numel()):
        outputs: Tensor = model(part)
    return outputs


def run(measurement: Fake, chunks: list[list[Tensor]]) -> tuple[Sums, list[list[Sums]]]:
    def observe(what: str, count: int) -> None:
        measurement.seen.append((what, count))

    return side_by_side(cast(Measurement, measurement), chunks, Sums, add, observe)


def test_every_instance_sees_every_part_and_warming_up_counts_nothing() -> None:
    fake = Fake(nn.Identity())
    reference, every = run(fake, [[torch.ones(3)], [torch.ones(4)]])
    assert reference.count == 7 and [[s.count for s in c] for c in every] == [[7, 7], [7, 7]]
    assert fake.seen[0] == (0, Condition()) and fake.seen[1] == ("digital", 3)
    assert (
        fake.seen.count((1, DAY)) == 2 and ("instance 2 of 2, 1d, 25C, comp. none", 4) in fake.seen
    )
    speed = speeds(reference, every)
    assert speed.digital.mean > 0 and speed.digital.std is not None
    one = speeds(Sums(rates=[5.0]), [[Sums(rates=[4.0])]])
    assert (one.digital.mean, one.digital.std, one.analog.mean) == (5.0, None, 4.0)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0


@pytest.mark.parametrize(
    ("digital", "kind", "sentence"),
    [
        (True, ModelError, "in digital arithmetic the model's outputs are no finite numbers."),
        (False, TargetError, "on the tiles the model's outputs are no finite numbers (instance 0, "
         "0s, 25C, comp. none); look at the target with 'afmc targets check'."),
    ],
)  # fmt: skip
def test_outputs_that_are_no_numbers(digital: bool, kind: type[AfmcError], sentence: str) -> None:
    fake = Fake(Broken())
    if digital:
        fake.on_tiles.reference = Broken()
    with pytest.raises(kind) as error:
        run(fake, [[torch.ones(2)]])
    assert str(error.value) == sentence
