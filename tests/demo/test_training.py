"""The script that made the demo models makes such a pair again, and says what it cannot do."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch

import afmc
from afmc import demo
from afmc.data.text import read_text
from afmc.data.tokens import tokenise, windows_of
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load

with contextlib.redirect_stdout(io.StringIO()):  # it prints that triton is missing
    pytest.importorskip("aihwkit_lightning", reason="pip install aihwkit-lightning==2.1.0")

import train_demo_afm
from afm_training.analog import Hardening, make_analog, rpu_config

TEXT = "\n\n".join(topics[key] for key in sorted(topics))[:120_000]


def train(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train_demo_afm.py", *map(str, arguments)])
    train_demo_afm.main()


@pytest.fixture
def threads() -> object:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_a_few_steps_make_what_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, made = tmp_path / "text.txt", tmp_path / "made"
    text.write_text(TEXT, encoding="utf-8")
    few = ("--steps", 2, "--analog-steps", 2, "--instances", 0, "--source", "help topics")
    train(monkeypatch, "--text", text, "-o", made, *few)
    assert "analog: step 2 of 2" in capsys.readouterr().out
    shipped = Path(demo.__file__).parent
    wanted = {file.relative_to(shipped) for file in shipped.rglob("*") if file.is_file()}
    found = {file.relative_to(made) for file in made.rglob("*") if file.is_file()}
    assert found == {file for file in wanted if file.suffix not in (".py", ".pyc")}
    card = (made / "analog" / "README.md").read_text(encoding="utf-8")
    assert "help topics;" in card and "`text.txt` (" in card
    model = afmc.compile(made / "analog", "hermes-64", level=0)
    result = model.validate(made / "validation.txt", tokens=512, instances=1)
    teacher = load(resolve(str(made / "teacher")))
    assert model.program.calibration is None and teacher.input_ranges == {}
    assert 1 < result.digital_perplexity < teacher.config.vocab_size + 100


def test_the_analog_layers_compute_what_afmc_simulates() -> None:
    """AIHWKIT-Lightning's own evaluation of the shipped weights, matrices whole, no noise."""
    loaded = load(resolve("demo"))
    theirs = make_analog(load(resolve("demo-teacher")).module, rpu_config(Hardening()))
    from safetensors.torch import load_file

    stored = load_file(demo.MODELS["demo"] / "model.safetensors")
    theirs.load_state_dict({name: value.float() for name, value in stored.items()}, strict=True)
    theirs.eval()
    text = read_text(None, "validation", "demo").content
    (window,) = windows_of(tokenise(loaded.tokenizer, text, 256), 256)
    ours = afmc.compile("demo", "afm-512-projected", level=0).without_noise().write(seed=0)
    with torch.inference_mode():
        expected = theirs(input_ids=window).logits
        found = ours(input_ids=window).logits
        digital = loaded.module(input_ids=window).logits
    off = (found - expected).square().mean() / (digital - expected).square().mean()
    assert off < 0.02  # where floating point decides which code a sum is rounded to
    assert (found.argmax(-1) == expected.argmax(-1)).double().mean() > 0.98


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, (), "text.txt does not exist: --text takes files of UTF-8 text."),
        (b"short", (), "give some 100 kB of text or more."),
        (b"\xff", (), "text.txt is not UTF-8 (byte 0); convert it."),
        (b"long", ("--steps", 0), "--steps and --analog-steps must be at least 1."),
        (b"long", ("-o", "."), ". exists already: name a folder that does not."),
    ],
)
@pytest.mark.usefixtures("threads")
def test_bad_input_is_a_sentence_and_writes_nothing(
    content: bytes | None,
    arguments: tuple[object, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("text.txt").write_bytes(content)
    before = list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stopped:
        train(monkeypatch, "--text", "text.txt", "-o", "made", *arguments)
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == before
