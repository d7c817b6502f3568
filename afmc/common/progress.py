"""What a long piece of work says of itself: how far it is, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from afmc.common.memory import peak_bytes

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many tokens further it has come, and how many there are;
with 0 and 0 where a stage begins, and for a line that is worth saying."""


def silent(what: str, tokens: int, of: int) -> None:
    pass


_listener: ContextVar[Callable[[str], None]] = ContextVar(
    "afmc_listener", default=lambda line: None
)


def announce(line: str) -> None:
    """Says a line where somebody listens: what takes long far below of what was asked for."""
    _listener.get()(line)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Within it, `listener` is called with what is announced."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def announced_after(line: str, seconds: float = 1.0) -> Callable[[], None]:
    """A function to call now and then, which announces a line once so much time has gone by."""
    due: list[float] = [time.monotonic() + seconds]

    def tick() -> None:
        if due and time.monotonic() > due[0]:
            due.clear()
            announce(line)

    return tick


@dataclass
class Clock:
    """Seconds by stage."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Any:
        start = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - start

    def to_json(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        """Seconds of all stages, and the process's largest resident size so far; measured.

        `runtime` says what they were measured with: versions, threads.
        """
        return {
            "wall_s": sum(self.stages.values()),
            "peak_rss_mb": peak_bytes() / 2**20,
            "stages_s": dict(self.stages),
            **runtime,
        }
