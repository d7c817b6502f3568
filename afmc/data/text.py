"""Text to calibrate and to validate on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from afmc.common.regular import NotRegular, check_regular
from afmc.demo import MODELS, text_for
from afmc.errors import TextError

Use = Literal["calibration", "validation"]

_LARGEST = 1 << 28
"""Bytes of a text; a token takes a few, and of more than some thousand nobody waits."""


@dataclass(frozen=True)
class Text:
    name: str
    content: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


def read_text(path: str | Path | None, use: Use, model: str = "") -> Text:
    """A UTF-8 file as it is, or, without one, what is there without a network.

    For the models that come with afmc that is text of their own kind, which came with them; for any
    other `model` the standard library's help topics (`pydoc_data.topics`, technical English, in
    every CPython). Nothing is measured on the text that set the ranges: of the topics the first
    half validates and the second half calibrates. Raises TextError.
    """
    if path is None and model in MODELS:
        return Text(f"the demo's {use} text", text_for(use).read_text(encoding="utf-8"))
    if path is None:
        return _help_topics(use)
    path = Path(path)
    try:
        check_regular(path, _LARGEST)
        content = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise TextError(f"the text {path} does not exist.") from error
    except NotRegular as error:
        raise TextError(f"the text {path} {error}.") from error
    except UnicodeDecodeError as error:
        raise TextError(
            f"the text {path} is not UTF-8 (byte {error.start}); convert it first."
        ) from error
    except OSError as error:
        raise TextError(f"the text {path} cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise TextError(f"the text {path} is empty.")
    return Text(path.name, content)


def _help_topics(use: Use) -> Text:
    from pydoc_data.topics import topics

    content = "\n\n".join(topics[key] for key in sorted(topics))
    half = len(content) // 2
    if use == "validation":
        return Text("pydoc_data.topics, first half", content[:half])
    return Text("pydoc_data.topics, second half", content[half:])
