"""``--set KEY=VALUE`` as values."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from afmc.errors import OptionError


def parse_settings(pairs: Sequence[str]) -> dict[str, object]:
    """``["target.crossbar.rows=1152", "split.style=full"]`` by key; values as TOML or as text.

    ``none`` is None: the target's own rule, no such figure, a perfect converter.
    Raises OptionError for what is not KEY.OPTION=VALUE and for a key that comes twice.
    """
    settings: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or "." not in key:
            raise OptionError(
                f"--set {pair}: write PASS.OPTION=VALUE or target.TABLE.KEY=VALUE, "
                f"for instance allocate.rule=parallel."
            )
        if key in settings:
            raise OptionError(f"--set {key} is given twice; give it once.")
        settings[key] = _value(text.strip())
    return settings


def parse_values(pairs: Sequence[str]) -> dict[str, object]:
    """``["scale=2"]`` by name. Raises OptionError for what is not OPTION=VALUE, or comes twice."""
    values: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not key.isidentifier():
            raise OptionError(f"--set {pair}: write OPTION=VALUE.")
        if key in values:
            raise OptionError(f"--set {key} is given twice; give it once.")
        values[key] = _value(text)
    return values


def parse_overrides(pairs: Sequence[str]) -> dict[str, object]:
    """``["target.crossbar.rows=1152"]`` to `{"crossbar.rows": 1152}`, where no pass runs."""
    settings = parse_settings(pairs)
    for key in settings:
        if key == "target.":
            raise OptionError("--set target.: write target.TABLE.KEY=VALUE.")
        if not key.startswith("target."):
            raise OptionError(f"--set {key}: write target.TABLE.KEY=VALUE; no pass runs here.")
    return {key.removeprefix("target."): value for key, value in settings.items()}


def _value(text: str) -> object:
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
