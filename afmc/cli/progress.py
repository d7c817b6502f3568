"""How far a command is: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from afmc.cli.verbosity import verbosity
from afmc.common.progress import listening
from afmc.common.shown import escaped

Advance = Callable[[str, int, int], None]

COMPILE = {
    "import": 5.0, "load": 2.0, "export": 13.0, "calibrate": 10.0, "partition": 1.0, "merge": 1.0,
    "split": 1.0, "replicate": 1.0, "allocate": 2.0, "place": 1.0, "levers": 3.0,
    "distributions": 3.0, "repair": 2.0, "save": 4.0,
}  # fmt: skip
"""Steps of a compile in order, and seconds that they took for SmolLM2-135M on two cores, measured:
shares of the time that is left, not promises."""


_BEGUN = ("own text", "prefix", "clipping", "activations", "ranges")
"""Steps of recovery before those of the mapping."""
_RECOVERY_S = 5.0
"""For each step of recovery (assumed)."""


def expected(passes: Sequence[str], level: int = 0) -> dict[str, float]:
    """Steps of a compile with these passes, and with those of recovery above level 0."""
    names = list(COMPILE)
    before, after = names[: names.index("partition")], names[names.index("place") + 1 :]
    if level:
        before = [*before, *_BEGUN]
        after = [*after[:-1], "correction", after[-1]]
    recovery = dict.fromkeys((*_BEGUN, "correction"), _RECOVERY_S)
    return {name: (COMPILE | recovery).get(name, 1.0) for name in (*before, *passes, *after)}


RUN = {"load": 6.0, "generate": 6.0}
_INSTANCE = 5.0


def validation(instances: int, conditions: int) -> dict[str, float]:
    """Steps of a validation; those of all instances and conditions are one."""
    through = _INSTANCE * instances * conditions
    return {"load": 6.0, "digital": 3.0, "instance": through, "verdict": _INSTANCE}


@dataclass
class Plan:
    """The steps that are expected, each with its share of the time, and how far they are."""

    shares: Mapping[str, float]
    done: dict[str, float] = field(default_factory=dict)
    """Of each step that has begun, the fraction that is through."""
    current: str = ""

    def step_of(self, what: str) -> str | None:
        """The step that something belongs to: ``instance 2 of 5`` to ``instance``."""
        word = what.partition(" ")[0]
        return what if what in self.shares else word if word in self.shares else None

    def advance(self, step: str, fraction: float) -> None:
        """Goes on with a step by a fraction of it; what was due before it is done or left out."""
        names = list(self.shares)
        for earlier in names[: names.index(step)]:
            if earlier != "digital":  # of which there may be more after an instance
                self.done[earlier] = 1.0
        self.done[step] = min(1.0, self.done.get(step, 0.0) + fraction)
        self.current = step

    @property
    def fraction(self) -> float:
        """Of the whole."""
        through = sum(self.shares[step] * part for step, part in self.done.items())
        return through / sum(self.shares.values())

    @property
    def place(self) -> str:
        return f"step {list(self.shares).index(self.current) + 1} of {len(self.shares)}"


def left(elapsed_s: float, fraction: float) -> str:
    """An estimate of the time that is left, where there is something to base it on."""
    if fraction < 0.05:
        return ""
    rest = elapsed_s * (1 - fraction) / fraction
    if rest < 100:
        return f"about {max(1, round(rest))} s left"
    return f"about {round(rest / 60)} min left"


@contextmanager
def progress(shares: Mapping[str, float]) -> Iterator[Advance]:
    """Shows which step of how many is being done, how many tokens of it are through, and about how
    long the rest takes; what is no step is a line."""
    plain = verbosity.quiet or verbosity.verbose or not sys.stderr.isatty()
    with _lines() if plain else _bar(shares) as advance, listening(lambda x: advance(x, 0, 0)):
        yield advance


@contextmanager
def _bar(shares: Mapping[str, float]) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[place]}"),
        TextColumn("{task.fields[left]}"),
    )
    plan, start = Plan(shares), time.perf_counter()
    lines: set[str] = set()
    tokens: dict[str, int] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0, place="", left="")

        def advance(what: str, done: int, of: int) -> None:
            step = plan.step_of(what)
            if what not in tokens and what not in lines:
                verbosity.keep(what)
            if step is None:
                if what not in lines:
                    bar.console.print(Text(escaped(what)))
                lines.add(what)
                return
            tokens[what] = tokens.get(what, 0) + done
            share = _INSTANCE / shares[step] if step == "instance" else 1.0
            plan.advance(step, share * done / of if of else 0.0)
            place = f"{tokens[what]:,} of {of:,}, {plan.place}" if of else plan.place
            bar.update(
                task,
                description=escaped(what),
                completed=plan.fraction,
                place=place,
                left=left(time.perf_counter() - start, plan.fraction),
            )

        yield advance


@contextmanager
def _lines() -> Iterator[Advance]:
    start = time.perf_counter()
    seen: set[str] = set()

    def advance(what: str, tokens: int, of: int) -> None:
        if what not in seen:
            seen.add(what)
            line = f"[{time.perf_counter() - start:6.1f} s] {escaped(what)}"
            if not verbosity.quiet:
                print(line, file=sys.stderr, flush=True)
            verbosity.keep(line)

    yield advance
