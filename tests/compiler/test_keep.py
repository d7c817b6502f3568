"""Compiling again for new defects: only what these hit is elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_model, tiny_tokenizer
from programs import compiled, program_of

import afmc
from afmc.compiler.pipeline import configure, load_passes
from afmc.compiler.recompile import keep
from afmc.data.text import Text
from afmc.errors import CapacityError, OptionError
from afmc.hardware.defects import ALL, DEAD, DEFECT, Defects
from afmc.program.compiled import CompiledProgram
from afmc.program.model import Matrix
from afmc.program.observed import Calibration, Routing
from afmc.program.program import Program
from afmc.targets import Target, load_target

TEXT = Text("letters", "the quick brown fox jumps over the lazy dog. " * 400)
SMALL = {"crossbar.rows": 20, "crossbar.columns": 24, "chip.tiles": 30}
STUCK = "rows=0.002,cells_off=0.05,cells_on=0.05,seed=4"


def hits(a: Program, b: Program) -> list[int]:
    """Blocks that are not where they were."""
    one, other = (np.sort(each.placements, order="block") for each in (a, b))
    return np.flatnonzero(one != other).tolist()


def test_killing_a_tile_moves_the_blocks_of_that_tile(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "tokenizer": tiny_tokenizer(),
        "text": TEXT,
        "calibration_tokens": 256,
        "settings": {f"target.{key}": value for key, value in SMALL.items()},
    }
    target = "afm-512-projected"
    first = afmc.compile(tiny_model("llama"), target, defects=STUCK, **options, level=0)
    first.save(tmp_path / "first")
    placed = first.program.placements
    victim = placed[placed["block"] == 17][0]
    killed = Defects(
        np.array([(victim["chip"], victim["tile"], *[ALL] * 5, DEAD)], DEFECT), name="map.csv"
    )
    again = afmc.compile(
        tiny_model("llama"),
        target,
        defects=[STUCK, killed],
        keep=tmp_path / "first",
        **options,
        level=0,
    )
    on_tile = (placed["chip"] == victim["chip"]) & (placed["tile"] == victim["tile"])
    assert hits(first.program, again.program) == sorted(placed["block"][on_tile].tolist())
    # The lines of all other crossbars are filled as they were.
    before, after = first.program.order_of, again.program.order_of
    gone = (int(victim["chip"]), int(victim["tile"]), int(victim["tier"]))
    assert len(before) > 20 and set(before) - {gone} <= set(after)
    for crossbar in set(before) - {gone}:
        for one, other in zip(before[crossbar], after[crossbar], strict=True):
            assert np.array_equal(one, other)
    assert again.program.matrices == first.program.matrices
    assert again.program.moved == on_tile.sum() and first.program.moved is None
    assert again.program.applied == first.program.applied and again.levers == first.levers
    again.save(tmp_path / "again")
    kept = afmc.load(tmp_path / "again")
    assert kept.program.defects is not None and kept.program.repair == again.program.repair
    assert kept.program.defects.name == f"{STUCK} + map.csv"
    broken = kept.summary.defects
    assert broken is not None and broken.dead_crossbars == 1
    assert kept.summary.blocks_moved == kept.program.moved == on_tile.sum()
    options["settings"] = {**options["settings"], "split.style": "balanced"}
    with pytest.raises(OptionError) as caught:
        afmc.compile(tiny_model("llama"), target, keep=tmp_path / "first", **options, level=0)
    assert str(caught.value) == (
        f"--keep {tmp_path / 'first'}: it was compiled with split.style=auto, not balanced; "
        f"compile without --keep."
    )


TARGET = load_target("afm-512-projected")
CALIBRATION = Calibration("std:18", "text", "0" * 64, 4096)


def start(size: int = 600) -> Program:
    matrices = [Matrix(f"m{i}", size, size, f"x{i}", module=f"m{i}") for i in range(3)]
    return replace(program_of(matrices), calibration=CALIBRATION)


def kept(target: Target = TARGET) -> CompiledProgram:
    return CompiledProgram(compiled(start(), target), target, (), {})


def refused(
    given: Program | None = None,
    target: Target = TARGET,
    settings: dict[str, object] | None = None,
    passes: list[Any] | None = None,
    calibrated: tuple[str, str] = ("std:18", "0" * 64),
) -> str:
    steps = passes if passes is not None else configure(load_passes(), settings or {})
    with pytest.raises(OptionError) as caught:
        keep(given or start(), target, steps, kept(), calibrated, Path("old"))
    sentence = str(caught.value)
    assert sentence.startswith("--keep old: it was compiled ")
    assert sentence.endswith("; compile without --keep.")
    return sentence.removeprefix("--keep old: it was compiled ").removesuffix(
        "; compile without --keep."
    )


def test_another_compile_is_refused_in_one_sentence() -> None:
    other = start()
    other = replace(other, model=replace(other.model, sha256="1" * 64))
    assert refused(other) == "from other weights than those of test"
    assert refused(target=load_target("hermes-64")) == "for afm-512-projected, not for hermes-64"
    assert refused(target=load_target(TARGET, {"chip.tiles": 9})) == (
        "with target.chip.tiles=64, not 9"
    )
    assert refused(target=load_target(TARGET, {"system.chips": 9})) == (
        "with target.system.chips=null, not 9"
    )
    assert refused(settings={"merge.enabled": False}) == "with merge.enabled=auto, not false"
    assert refused(settings={"partition.digital": ("m0",)}) == (
        'with partition.digital=[], not ["m0"]'
    )
    assert refused(passes=load_passes()[:-1]) == (
        "with the passes partition,merge,split,replicate,allocate,place, not "
        "partition,merge,split,replicate,allocate"
    )
    assert refused(calibrated=("std:9", "0" * 64)) == "with --calibration std:18, not std:9"
    assert refused(calibrated=("std:18", "1" * 64)) == (
        "with input ranges from another text (text)"
    )


def test_other_shapes_or_another_routing_is_refused() -> None:
    shapes = replace(start(), model=replace(start().model, shapes_only=True))
    assert refused(shapes) == "without --shapes-only"
    routed = replace(start(), routing=Routing("r.npz", {"mlp": np.zeros((4, 2), np.int32)}))
    assert refused(routed) == "with another routing than r.npz"


def test_the_same_compile_without_new_defects_is_the_same_program() -> None:
    old = kept()
    steps = configure(load_passes(), {})
    again = keep(start(), TARGET, steps, old, ("std:18", "0" * 64), Path("old"))
    assert again.placements.tobytes() == old.program.placements.tobytes()
    assert again.defects is None and again.moved == 0


def test_a_full_system_has_no_room() -> None:
    full = load_target(TARGET, {"chip.tiles": 12, "system.chips": 1})
    old = kept(full)
    dead = Defects(np.array([(0, 3, *[ALL] * 5, DEAD)], DEFECT))
    with pytest.raises(CapacityError) as caught:
        keep(
            replace(start(), defects=dead),
            full,
            configure(load_passes(), {}),
            old,
            ("std:18", "0" * 64),
            Path("old"),
        )
    assert str(caught.value) == (
        "1 of the 1 crossbars of test that are no longer fit find no other on 1 chips; compile "
        "without --keep."
    )
