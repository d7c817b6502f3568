"""What every page is made with: its templates, its style, and the only scripts that run in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def environment() -> Environment:
    """Whatever a template is given is text, never markup."""
    return Environment(
        loader=PackageLoader("afmc.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def shared(scripts: Sequence[str], data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What ``frame.html.j2`` takes: the style, and these scripts, which find `data` in the page."""
    texts = [_resource(name) for name in scripts]
    return {
        "style": Markup(_resource("style.css")),
        "data": None if data is None else _embedded(data),
        "scripts": [Markup(text) for text in texts],
        "script_hashes": " ".join(f"'sha256-{_digest(text)}'" for text in texts),
    }


def _resource(name: str) -> str:
    return files("afmc.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """Only scripts with this digest run: names of models and matrices cannot bring one in."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _embedded(data: Mapping[str, Any]) -> Markup:
    """JSON in which no character can end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
