"""Single files that afmc writes: whole, and over nothing but one of the same kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from afmc.common.files import Kind, begins, check_file, written, written_folder
from afmc.common.manifest import Made
from afmc.errors import OptionError

PAGE = Kind("a page of ours", begins(b"<page>", has=b"ours"))


def write(file: Path, text: str = "<page> ours") -> None:
    with written(file, PAGE) as unfinished:
        unfinished.write_text(text)


def test_a_file_of_the_same_kind_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    assert check_file(file, PAGE) is False
    write(file)
    assert check_file(file, PAGE) is True
    write(file, "<page> ours, again")
    assert file.read_text() == "<page> ours, again"
    (tmp_path / "empty").touch()
    assert check_file(tmp_path / "empty", PAGE) is False
    write(tmp_path / "empty")
    assert sorted(os.listdir(tmp_path)) == ["a.html", "empty"]


def of_another_kind(place: Path) -> Path:
    (place / "a").write_text("<page> of somebody else")
    return place / "a"


def a_pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def in_a_compile(name: str) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        with written_folder(place / "out", Made("compile", "tiny", "here"), "1") as folder:
            (folder / "program.json").write_text("<page> ours")
            (folder / "model").mkdir()
            (folder / "model" / "config.json").write_text("{}")
        return place / "out" / name

    return make


def by_a_link(place: Path) -> Path:
    (place / "link").symlink_to(in_a_compile("program.json")(place))
    return place / "link"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (of_another_kind, "a is there and is not a page of ours; name another file, or remove it"),
        (a_pipe, "pipe is there and is no file; name another one."),
        (lambda place: place, "is a folder; name a file in it."),
        (lambda place: place / "none" / "a", "there is no folder"),
        (lambda place: place / ("x" * 300), "cannot be written: File name too long."),
        (in_a_compile("program.json"), "belongs to the compile of tiny for here; name another"),
        (in_a_compile("afmc_manifest.json"), "belongs to the compile of tiny for here"),
        (in_a_compile("model/new.safetensors"), "belongs to the compile of tiny for here"),
        (by_a_link, "belongs to the compile of tiny for here"),
    ],
)
def test_what_is_not_written_over(
    make: Callable[[Path], Path], sentence: str, tmp_path: Path
) -> None:
    file = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OptionError) as caught:
        check_file(file, PAGE)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(OptionError):
        write(file)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_new_file_beside_a_compile_is_written(tmp_path: Path) -> None:
    write(in_a_compile("report.html")(tmp_path))


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "real").write_text("<page> ours")
    (tmp_path / "a").symlink_to("real")
    write(tmp_path / "a", "<page> ours, new")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "real").read_text() == "<page> ours, new"


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^-o .*a\.html cannot be written: No space left"):
        with written(tmp_path / "a.html", PAGE) as unfinished:
            unfinished.write_text("half")
            raise OSError(28, "No space left on device")
    assert not os.listdir(tmp_path)


def test_folders_on_the_way_are_made_where_that_is_asked(tmp_path: Path) -> None:
    with written(tmp_path / "a" / "b" / "c", PAGE, parents=True) as unfinished:
        unfinished.write_text("<page> ours")
    assert (tmp_path / "a" / "b" / "c").is_file()
