"""The example with digits, on images that are made up."""

from __future__ import annotations

import gzip
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def main() -> Callable[[list[str]], None]:
    found: Callable[[list[str]], None] = runpy.run_path(str(ROOT / "examples" / "mnist.py"))["main"]
    return found


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright row says which digit it is."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, count).astype(np.uint8)
    pixels = generator.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    pixels[np.arange(count), 4 + 2 * labels] = 255
    return pixels, labels


def write_idx(folder: Path, kind: str, count: int, seed: int) -> None:
    pixels, labels = images(count, seed)
    (folder / f"{kind}-images-idx3-ubyte").write_bytes(bytes(16) + pixels.tobytes())
    packed = gzip.compress(bytes(8) + labels.tobytes())
    (folder / f"{kind}-labels-idx1-ubyte.gz").write_bytes(packed)


def write_json(folder: Path) -> None:
    """As the npm package has them."""
    pixels, labels = images(300, seed=2)
    for label in range(10):
        values = (pixels[labels == label] / 255).round(3).ravel().tolist()
        (folder / f"{label}.json").write_text(json.dumps({"data": values}))


@pytest.mark.parametrize("kind", ["idx", "json"])
def test_accuracy_of_both_networks(
    kind: str,
    main: Callable[[list[str]], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_idx(tmp_path, "t10k", 60, seed=1)
    if kind == "idx":
        write_idx(tmp_path, "train", 300, seed=2)
    else:
        write_json(tmp_path)
    folders = ["--train", str(tmp_path), "--out", str(tmp_path / "out")]
    test = ["--test", str(tmp_path)] if kind == "idx" else []
    quick = ["--epochs", "2", "--instances", "1", "--target", "ideal-512", "--at", "0s"]
    main([*folders, *test, *quick])
    printed = capsys.readouterr().out
    digital = re.findall(r"digital +([\d.]+%)", printed)
    assert len(digital) == 2 and all(float(each[:-1]) > 50 for each in digital)
    assert re.findall(r"0s, 25C\S* .*?([\d.]+%)", printed) == digital  # the tiles are perfect
    assert (tmp_path / "out" / "cnn" / "program.json").is_file()


def test_a_file_that_is_missing(main: Callable[[list[str]], None], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"train-images-idx3-ubyte does not exist"):
        main(["--train", str(tmp_path)])
