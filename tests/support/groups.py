"""Which tests only ``--all`` runs: those of ``slow.toml``, where each names what stands for it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "slow.toml"


def mark_slow(items: Sequence[pytest.Item], *, complete: bool) -> None:
    """Marks the tests of the table; ``complete`` where nothing was left out by name or keyword."""
    known = {name: item for item in items for name in (_bare(item.nodeid), item.nodeid)}
    table = dict(_entries())
    for item in items:
        if item.nodeid in table or _bare(item.nodeid) in table:
            item.add_marker("slow")
    if complete:
        _check(table, known)


def _entries() -> Iterator[tuple[str, str]]:
    """Names of slow tests and of what stands for them, each with its file."""
    for file, tests in tomllib.loads(TABLE.read_text()).items():
        for name, sibling in tests.items():
            yield f"{file}::{name}", sibling if "::" in sibling else f"{file}::{sibling}"


def _check(table: dict[str, str], known: dict[str, pytest.Item]) -> None:
    """Refuses names of no test, and slow tests that stand for others."""
    files = {name.partition("::")[0] for name in known}
    for slow, sibling in table.items():
        for name in (slow, sibling):
            if name not in known and name.partition("::")[0] in files:
                raise pytest.UsageError(f"{TABLE.name} names {name}, which is no test.")
        if sibling in known and known[sibling].get_closest_marker("slow"):
            raise pytest.UsageError(f"{TABLE.name}: {sibling} stands for {slow} and is slow too.")


def _bare(name: str) -> str:
    """A test without its parameters."""
    return name.partition("[")[0]
