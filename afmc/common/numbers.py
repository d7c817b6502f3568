"""Numbers for people. What is not known is said, and never 0."""

from __future__ import annotations

UNKNOWN = "not known"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"),
             (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))  # fmt: skip


def si(value: float | None, unit: str) -> str:
    """Three digits with the prefix that makes them readable: ``1.23 mJ``."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return f"0 {unit}"
    size, prefix = next(
        (pair for pair in _PREFIXES if abs(value) >= pair[0] * 0.9995), _PREFIXES[-1]
    )
    return f"{short(value / size)} {prefix}{unit}"


def nanojoules(value: float | None) -> str:
    return si(None if value is None else value * 1e-9, "J")


def nanoseconds(value: float | None) -> str:
    return si(None if value is None else value * 1e-9, "s")


def per_second(value: float | None) -> str:
    """Tokens a second."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 1000 else short(value)


def short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.15g}"
