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


def _value(text: str) -> object:
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
