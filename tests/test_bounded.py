"""Tokenizers of strangers: one sentence, in bounded time and memory."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import transformers as hf
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from afmc.data import bounded as limits
from afmc.data.tokens import tokenise
from afmc.errors import ModelError


def tokenizer(**parts: object) -> Any:
    made = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    for name, part in parts.items():
        setattr(made, name, part)
    return hf.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 1)
    monkeypatch.setattr(limits, "BYTES", 1 << 30)


def test_a_good_one() -> None:
    assert tokenise(tokenizer(), "aaba" * 100, 7).tolist() == [1, 1, 0, 1, 1, 1, 0]
    assert tokenise(tokenizer(), "", 7).tolist() == []


@pytest.mark.parametrize(
    "parts",
    [
        {"pre_tokenizer": pre_tokenizers.Split(Regex(r"(a|a|aa)+$"), "isolated")},
        {"normalizer": normalizers.Sequence([normalizers.Replace("a", "a" * 64)] * 8)},
    ],
    ids=["a pattern without end", "a text that grows"],
)
def test_one_without_end(parts: dict[str, object]) -> None:
    start = time.process_time()
    sentence = r"the tokenizer takes more than 1 seconds or 1 GiB for \d+ characters: its patterns"
    with pytest.raises(ModelError, match=sentence):
        tokenise(tokenizer(**parts), "a" * 400 + "b", 64)
    assert time.process_time() - start < 1  # of this process


class Failing:
    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        raise KeyError("no such\nthing")


class Ending:
    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        os._exit(3)


def test_one_that_fails_or_ends_the_process() -> None:
    with pytest.raises(ModelError, match=r"the tokenizer fails on the text \(.no such"):
        tokenise(Failing(), "a", 64)
    with pytest.raises(ModelError, match="the tokenizer takes more than"):
        tokenise(Ending(), "a", 64)
