"""A recovery that cannot be is said, whoever wrote it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from afmc.program.model import Matrix, Model
from afmc.program.program import Program
from afmc.program.recovery import Recovery
from afmc.program.rules import problems
from afmc.targets import load_target

TARGET = load_target("afm-512-projected")
PROGRAM = Program(
    Model("m", "M", "0", 32),
    (Matrix("w", 8, 4, "x", module="w", input_range=1.0),),
    digital={},
)
SOUND = Recovery(
    2, "text", "0", prefix=(1,), rotated=("x",), clips={"w": 2.5}, ranks={"w": 8}, reads=16
)


def test_a_recovery_that_can_be() -> None:
    assert not list(problems(replace(PROGRAM, recovery=SOUND), TARGET))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"clips": {"v": 2.0}}, "the recovery has a limit of v, which is no matrix."),
        ({"ranks": {"v": 2}}, "the recovery has directions of v, which is no matrix."),
        ({"ranks": {"w": 9}}, "w is corrected in 9 directions, but has 8 rows."),
        ({"ranks": {"w": -1}}, "w is corrected in -1 directions, but has 8 rows."),
        ({"clips": {"w": 0.0}}, "weights of w are cut at 0.0 root mean squares."),
        ({"clips": {"w": math.nan}}, "weights of w are cut at nan root mean squares."),
        ({"rotated": ("y",)}, "the recovery rotates y, which no matrix reads."),
        ({"reads": 0}, "corrections are measured with 0 reads."),
        ({"divergences": {"v": 0.1}}, "the recovery has the cost of v, which is no matrix."),
        ({"divergences": {"w": -0.1}}, "w costs -0.1 nats on tiles."),
        ({"divergences": {"w": math.inf}}, "w costs inf nats on tiles."),
        ({"digital": ("w",)}, "w is to be digital by the recovery, but is on tiles."),
        ({"prefix": (3, -4)}, "the prefix has the token -4."),
    ],
)
def test_one_that_cannot_be(change: dict[str, Any], sentence: str) -> None:
    broken = replace(PROGRAM, recovery=replace(SOUND, **change))
    assert list(problems(broken, TARGET)) == [sentence]
