"""Folders that afmc writes: whole, only over its own, and nothing of anybody else's is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from afmc.common import exchange as exchanging
from afmc.common import unfinished
from afmc.common.files import check_folder, kept_beside, put_back, written_folder
from afmc.common.manifest import MARK, NAME, Made, read_manifest
from afmc.errors import OptionError

OURS = Made("compile", "tiny", "here")
DEAD = 2**22 + 1
"""A process that no Linux has."""


def write(place: Path, made: Made = OURS, *, force: bool = False, text: str = "new") -> None:
    with written_folder(place, made, "1", force=force) as folder:
        (folder / "program.json").write_text(text)
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(text)


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME
    }


def test_a_manifest_lists_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "out")
    found = read_manifest(tmp_path / "out")
    assert found is not None and found.made == OURS
    assert list(found.files) == ["model/weights", "program.json"]
    assert {each.bytes for each in found.files.values()} == {3}
    assert os.listdir(tmp_path) == ["out"]


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, text="old")
    mine = {"notes.txt": "a", "report.html": "b", "model/mine": "c", ".git/objects/00/1": "d"}
    for name, text in mine.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    (out / "empty").mkdir()
    (out / "elsewhere").symlink_to(tmp_path)
    (out / "notes.txt").chmod(0o600)
    write(out)
    assert everything(out) == {**mine, "program.json": "new", "model/weights": "new"}
    assert (out / "empty").is_dir() and (out / "elsewhere").readlink() == tmp_path
    assert (out / "notes.txt").stat().st_mode & 0o777 == 0o600
    assert (out / "notes.txt").stat().st_nlink == 1
    assert kept_beside(out) == sorted([*mine, "elsewhere"])
    assert os.listdir(tmp_path) == ["out"]


def test_without_hard_links_what_others_put_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_what_others_put_there_stays(tmp_path)


def test_without_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afmc.common.files.exchange", lambda *_: False)
    test_what_others_put_there_stays(tmp_path)


def stranger(out: Path) -> None:
    (out / ".git").mkdir(parents=True)
    (out / "program.json").write_text('{"my": "project"}')
    (out / "thesis.tex").write_text("mine")


def forged(out: Path) -> None:
    stranger(out)
    (out / NAME).write_text('{"files": ["thesis.tex"]}')


def of_no_version(out: Path) -> None:
    write(out)
    manifest = json.loads((out / NAME).read_text())
    (out / NAME).write_text(json.dumps({**manifest, "schema_version": 2}))


def outside(out: Path) -> None:
    write(out)
    manifest = json.loads((out / NAME).read_text())
    manifest["files"][0]["path"] = "../other"
    (out / NAME).write_text(json.dumps(manifest))


def a_file(out: Path) -> None:
    out.write_text("mine")


def taken(out: Path) -> None:
    write(out)
    (out / "graph.pt2").write_text("mine")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (stranger, "out has files in it that afmc did not write; name another folder with -o."),
        (forged, "out has files in it that afmc did not write"),
        (of_no_version, "out has files in it that afmc did not write"),
        (outside, "out has files in it that afmc did not write"),
        (a_file, "out is a file; name a folder with -o."),
        (taken, "graph.pt2 is something that afmc did not write, in a place that it needs"),
        (lambda out: write(out, Made("compile", "other", "here")), "out holds the compile of other "
         "for here, and this is the compile of tiny for here; name another folder with -o, or "
         "replace it with --force."),
        (lambda out: write(out, Made("compile", "tiny", "there")), "tiny for there, and this is"),
        (lambda out: write(out, Made("export", "tiny", "here")), "out holds the export of tiny for "
         "here; name another folder with -o."),
    ],
)  # fmt: skip
def test_what_is_not_replaced(make: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = everything(tmp_path)
    with pytest.raises(OptionError) as caught:
        check_folder(out, OURS, ("program.json", "graph.pt2", "model"))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    if make is not taken:
        with pytest.raises(OptionError):
            write(out)
    assert everything(tmp_path) == before


def test_force_replaces_what_afmc_wrote_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "out", Made("compile", "other", "there"))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    write(tmp_path / "out", force=True)
    assert everything(tmp_path / "out")["notes.txt"] == "mine"
    stranger(tmp_path / "mine")
    before = everything(tmp_path / "mine")
    with pytest.raises(OptionError, match="that afmc did not write"):
        write(tmp_path / "mine", force=True)
    assert everything(tmp_path / "mine") == before


def test_a_name_that_something_has_by_then(tmp_path: Path) -> None:
    """Found when the new folder is complete: the old one stays."""
    out = tmp_path / "out"
    write(out, text="old")
    (out / "model" / "weights").unlink()
    (out / "model").rmdir()
    (out / "model").symlink_to(tmp_path)
    with pytest.raises(OptionError, match=r"cannot be written: afmc writes one of that name"):
        write(out)
    assert (out / "program.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_link_in_the_folder_leads_to_is_not_removed(tmp_path: Path) -> None:
    """The user moved the weights to a larger disk and left a link."""
    out, disk = tmp_path / "out", tmp_path / "disk"
    write(out)
    (out / "model").rename(disk)
    (out / "model").symlink_to(disk)
    with written_folder(out, OURS, "1") as folder:
        (folder / "program.json").write_text("without weights")
    assert (disk / "weights").read_text() == "new"
    assert (out / "model").readlink() == disk


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(there: bool, tmp_path: Path) -> None:
    if there:
        write(tmp_path / "disk" / "real", text="old")
    (tmp_path / "out").symlink_to(Path("disk") / "real")
    write(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert everything(tmp_path / "disk" / "real")["program.json"] == "new"
    assert sorted(os.listdir(tmp_path)) == ["disk", "out"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 300, "File name too long"), ("a\0b", "null"), ("circle", "symbolic links")],
)
def test_names_that_cannot_be(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OptionError, match=reason):
        check_folder(tmp_path / name, OURS)


def test_a_name_of_the_longest_length(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path / ("ä" * 127))
    assert len(os.listdir(tmp_path)) == 1


def test_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out")
    for place in (tmp_path / "out", tmp_path / "out" / "model"):
        monkeypatch.chdir(place)
        with pytest.raises(OptionError, match="that you are in cannot be replaced"):
            write(tmp_path / "out")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_the_users(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with written_folder(tmp_path / "out", OURS, "1") as folder:
            (folder / "model").mkdir(0o700)
            os.close(os.open(folder / "model" / "weights", os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    for path in (tmp_path / "out").rglob("*"):
        whole = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == whole & ~mask, path


# --- left behind


def left_behind(place: Path, process: int, *, mark: bool = True) -> Path:
    folder = place.with_name(f".{place.name}.{process}-0123abcd.unfinished")
    folder.mkdir()
    (folder / "weights").write_text("half")
    if mark:
        (folder / MARK).touch()
    return folder


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    for name in ("out", "another"):
        left_behind(tmp_path / name, DEAD)
    (tmp_path / f".a.{DEAD}-0123abcd.unfinished.csv").write_text("half")
    write(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_what_is_being_written_and_what_is_not_afmcs_is_left(tmp_path: Path) -> None:
    busy = left_behind(tmp_path / "out", os.getpid())
    mine = left_behind(tmp_path / "mine", DEAD, mark=False)
    with written_folder(tmp_path / "other", OURS, "1"):
        write(tmp_path / "out")
        assert len(os.listdir(tmp_path)) == 4  # out and other's, and those two
    assert busy.is_dir() and (mine / "weights").is_file()
    os.utime(busy, (0, 0))  # a process of that number that began later
    write(tmp_path / "out")
    assert not busy.exists()


def test_what_was_taken_away_is_put_back(tmp_path: Path) -> None:
    write(tmp_path / "out", text="old")
    (tmp_path / "out").rename(tmp_path / f".out.{DEAD}-0123abcd.replaced")
    write(tmp_path / "unrelated")
    put_back(tmp_path / "out")
    assert everything(tmp_path / "out")["program.json"] == "old"


def test_a_signal_that_ends_the_process(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys, time
        from pathlib import Path
        from afmc.common.manifest import Made
        from afmc.common.unfinished import unfinished_file
        from afmc.common.files import written_folder
        place = Path(sys.argv[1])
        with written_folder(place / "out", Made("compile", "tiny", "here"), "1") as folder:
            with unfinished_file(place / "a.csv"):
                (folder / "weights").write_text("half")
                assert len(os.listdir(place)) == 2
                os.kill(os.getpid(), int(sys.argv[2]))
                time.sleep(60)
        """
    )
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        command = [sys.executable, "-c", script, str(tmp_path), str(int(number))]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert ended.returncode == -number, ended.stderr
        assert not os.listdir(tmp_path)


# --- killed

KILLS = textwrap.dedent(
    """
    import json, os, signal, sys
    from pathlib import Path
    from afmc.common.manifest import NAME, Made, read_manifest
    from afmc.common import files
    from afmc.common.files import put_back, written_folder

    place, exchanged = Path(sys.argv[1]), sys.argv[2] == "exchange"
    if not exchanged:
        files.exchange = lambda *_: False
    watched = ("os.", "shutil.", "ctypes.dlsym", "open")
    reads = ("os.listdir", "os.scandir", "os.walk")
    left = None

    def hook(event, arguments):
        global left
        if left is None or not event.startswith(watched) or event in reads:
            return
        if event == "open" and not arguments[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left < 0:
            left = None
            os.kill(os.getpid(), signal.SIGKILL)

    def write(text):
        with written_folder(place / "out", Made("compile", "tiny", "here"), "1") as folder:
            (folder / "program.json").write_text(text)
            (folder / "blocks.npz").write_text(text)
            (folder / "model").mkdir()
            (folder / "model" / "weights").write_text(text)

    FILES = ["blocks.npz", "model", "notes.txt", "program.json"]
    sys.addaudithook(hook)
    points = 0
    while True:
        for found in place.iterdir():
            os.system(f"rm -rf '{found}'")
        write("old")
        (place / "out" / "notes.txt").write_text("mine")
        child = os.fork()
        if not child:
            left = points
            write("new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, status
            break
        points += 1
        assert (place / "out").is_dir() or not exchanged, points
        put_back(place / "out")
        texts = {(place / "out" / each).read_text() for each in ("blocks.npz", "model/weights")}
        assert texts in ({"old"}, {"new"}), (points, texts)
        assert read_manifest(place / "out") is not None, points
        assert (place / "out" / "notes.txt").read_text() == "mine", points
        write("next")
        assert os.listdir(place) == ["out"], (points, os.listdir(place))
        assert sorted(os.listdir(place / "out")) == [NAME, *FILES]
        assert (place / "out" / "notes.txt").read_text() == "mine", points
    print(points)
    """
)


@pytest.mark.parametrize("how", ["exchange", "two renames"])
def test_a_kill_at_any_point_loses_nothing(how: str, tmp_path: Path) -> None:
    """SIGKILL before each step that changes a file system: what was there, or what is new."""
    if how == "exchange":
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        if not exchanging.exchange(tmp_path / "a", tmp_path / "b"):
            pytest.skip("this file system exchanges nothing in one step")
    place = tmp_path / "place"
    place.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", KILLS, str(place), how],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 27  # so many steps there were


def test_the_lock_tells_what_is_being_written(tmp_path: Path) -> None:
    with unfinished.unfinished_folder(tmp_path / "out") as folder:
        os.utime(folder, (0, 0))
        unfinished.clear_abandoned(tmp_path)
        assert folder.is_dir()
    assert not os.listdir(tmp_path)
