"""What is written is what is read; what is not whole is not read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from written import TARGET, program, write

from afmc.errors import ArtifactError
from afmc.hardware.defects import ALL, DEAD, DEFECT, ON, Defects, Rates
from afmc.inspect import summarise
from afmc.program.folder import PROGRAM, TABLES, read_program, write_program
from afmc.program.program import LINE, ORDER, Repair

MEASURED = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {}}


def test_reads_what_was_written(tmp_path: Path) -> None:
    kept = read_program(write(tmp_path / "out"))
    mapped = program()
    for field in ("model", "matrices", "remainder", "calibration", "digital", "groups"):
        assert getattr(kept.program, field) == getattr(mapped, field)
    assert kept.program.allocation == mapped.allocation
    for table in ("blocks", "allocations", "placements"):
        assert getattr(kept.program, table).tobytes() == getattr(mapped, table).tobytes()
    assert kept.target == TARGET
    assert kept.target.overrides == {"tile.co_location": "parallel", "system.chips": 20}
    assert kept.levers == ()


def test_the_same_program_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    for name in (PROGRAM, TABLES):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_defects_and_orders_are_read_as_they_were_written(tmp_path: Path) -> None:
    entries = np.array([(90, 3, *[ALL] * 5, DEAD), (0, 0, 0, 1, 2, 0, 0, ON)], DEFECT)
    mapped = replace(
        program(),
        defects=Defects(entries, Rates(cells_off=0.001, seed=5), "map.csv"),
        repair=Repair(("permute",), "text", 12, 0.1, 0.01),
    )
    place = mapped.placements[0]
    rows, cols = (int(mapped.blocks[place["block"]][key]) for key in ("rows", "cols"))
    crossbar = tuple(int(place[key]) for key in ("chip", "tile", "tier"))
    mapped = replace(
        mapped,
        orders=np.array([(*crossbar, rows, cols)], ORDER),
        lines=np.concatenate([np.arange(rows)[::-1], np.arange(cols)]).astype(LINE),
    )
    for folder in ("one", "two"):
        write_program(
            tmp_path / folder, mapped, TARGET, summarise(mapped, TARGET, []), lambda: MEASURED
        )
        kept = read_program(tmp_path / folder).program
        assert kept.defects is not None and mapped.defects is not None
        assert kept.defects.table.tobytes() == mapped.defects.table.tobytes()
        assert (kept.defects.rates, kept.defects.name) == (mapped.defects.rates, "map.csv")
        assert kept.repair == mapped.repair
        assert kept.order_of.keys() == {crossbar}
        for table in ("orders", "lines"):
            assert getattr(kept, table).tobytes() == getattr(mapped, table).tobytes()
    for name in (PROGRAM, TABLES):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_replaces_an_older_program_and_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    (folder / "notes").touch()
    write(folder)
    assert (folder / "notes").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]  # nothing left beside it

    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").touch()
    with pytest.raises(ArtifactError) as caught:
        write(other)
    assert str(caught.value) == (
        f"{other} has files in it that afmc did not write; name another folder with -o."
    )
    assert (other / "thesis.txt").exists()


def test_a_failed_write_leaves_the_older_program(tmp_path: Path) -> None:
    folder = write(tmp_path / "out")
    before = (folder / PROGRAM).read_bytes()

    def fail(_: Path) -> None:
        raise RuntimeError("disk full")

    mapped = program()
    with pytest.raises(RuntimeError):
        write_program(folder, mapped, TARGET, summarise(mapped, TARGET, []), dict, fail)
    assert (folder / PROGRAM).read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_kill_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    """SIGKILL at the last moment: every file is written, the folder is not renamed."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from written import write
        import afmc.common.files
        afmc.common.files._take_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        write(Path(sys.argv[1]) / "out")
        """
    )
    support = Path(__file__).parents[1] / "support"
    command = [sys.executable, "-c", script, str(tmp_path), str(support)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert len(left) == 1 and (left[0] / PROGRAM).is_file()
    for folder in (*left, tmp_path / "out"):
        with pytest.raises(ArtifactError):
            read_program(folder)


def edit_json(**values: object) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / PROGRAM
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


def cut(name: str) -> Callable[[Path], object]:
    def truncate(folder: Path) -> None:
        os.truncate(folder / name, (folder / name).stat().st_size // 2)

    return truncate


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / PROGRAM).unlink(), "is not a finished afmc compile"),
    (cut(PROGRAM), "program.json cannot be read"),
    (cut(TABLES), "blocks.npz cannot be read"),
    (lambda folder: (folder / TABLES).write_bytes(b"\x80\x04N."), "blocks.npz cannot"),
    (edit_json(schema_version=99), "has schema version 99, this afmc reads 2; compile again."),
    (edit_json(matrices=[]), "is damaged"),
    (edit_json(groups=[{"members": "a"}]), "is damaged"),
    (edit_json(digital={}), "is damaged: the groups hold 210 matrices, but 211 are analog."),
    (edit_json(target={}), "is damaged"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE)
def test_damage_gets_one_sentence(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    folder = write(tmp_path / "out")
    damage(folder)
    with pytest.raises(ArtifactError) as caught:
        read_program(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        read_program(tmp_path / "nothing")
    assert str(caught.value) == (
        f"{tmp_path / 'nothing'} does not exist; make it with 'afmc compile MODEL -o DIR'."
    )
