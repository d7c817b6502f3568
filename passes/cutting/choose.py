"""How matrices are merged and cut, where that is not fixed: the best for the user's objective.

Matrices of one kind (equal shape, use and company) are treated alike, so that equal layers stay
equal. Each kind has a few alternatives; one small model decides about all of them together: an
integer for each way to fill a tile, one for each alternative, solved by CP-SAT, whatever the
number of layers.

Objectives are lexicographic:

* ``tiles``: fewest tiles, then fewest turns, then fewest row cuts.
* ``latency``: fewest turns (one on every tile: nothing waits), then fewest row cuts, then tiles.
* ``energy``: fewest tile reads, then fewest column conversions, then tiles, then turns.
* ``accuracy``: fewest row cuts, then tiles, then turns.

What they count:

* tiles: crossbars, from the packing that `afmc.passes.allocate` makes.
* turns: reads one after the other of a tile all of whose blocks are wanted, summed over tiles
  (`afmc.passes.packing.turns`).
* row cuts: for each column of a matrix the cuts that it crosses, of all copies. Each adds a
  conversion, hence its error, and a digital addition.
* tile reads: for one token, the blocks that are read, an expert's as often as it is used.
* column conversions: for one token, the columns of the blocks that are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from afmc.fit import Rule
from afmc.passes.cutting.cuts import Style, Styles, cut
from afmc.passes.packing.candidates import Pool
from afmc.passes.packing.columns import Pricing, generate_columns, price_diagonals
from afmc.passes.packing.cover import Goal, cover, tiles
from afmc.passes.packing.demand import Choice, Counts, Demand
from afmc.passes.packing.pack import pack
from afmc.passes.packing.packed import Limits
from afmc.passes.packing.patterns import capacity
from afmc.passes.packing.side_by_side import groupings
from afmc.passes.packing.turns import turns_of
from afmc.program.model import Matrix
from afmc.program.program import Objective

Shape = tuple[int, int]
Tile = tuple[int, int]

_MOST_WAYS = 100  # to cut the matrices of a company, or to put its blocks side by side
_TRIED = 3  # ways of a choice, where settling it takes more tiles
_SHARES = (0.03, 0.004)  # of the time limit, for patterns and for choosing


@dataclass(frozen=True)
class Company:
    """Matrices that could be merged, or one that is alone. All have the same rows and uses."""

    rows: int
    cols: tuple[int, ...]
    """Columns of each matrix."""
    copies: int
    per_token: float

    @classmethod
    def of(cls, matrices: Sequence[Matrix]) -> Company:
        first = matrices[0]
        return cls(first.rows, tuple(m.cols for m in matrices), first.copies, first.per_token)


@dataclass(frozen=True)
class Way:
    """One of the alternatives for a company, and what it takes."""

    merged: bool
    styles: tuple[Styles, ...]
    """Styles of each matrix, or of the one that they become where they are merged."""
    units: tuple[tuple[Shape, int], ...]
    """Shape and number of what is seated: blocks, or blocks of one input side by side."""
    row_cuts: int
    reads: float
    conversions: float

    @property
    def total(self) -> int:
        return sum(number for _, number in self.units)


def ways(
    company: Company, merging: Sequence[bool], styles: Sequence[Style], tile: Tile, rule: Rule
) -> list[Way]:
    """The alternatives that differ, in order of preference where nothing else decides."""
    found: dict[object, Way] = {}
    for merged in merging:
        cols = (sum(company.cols),) if merged else company.cols
        for grids in _cuttings(company.rows, cols, styles, tile):
            blocks = _sum((grid.blocks, 1) for grid in grids)
            side_by_side = _side_by_side(grids, tile[1]) if rule == "parallel" else []
            for units in side_by_side or [blocks]:
                way = Way(
                    merged=merged,
                    styles=tuple(grid.styles for grid in grids),
                    units=tuple(sorted((shape, n * company.copies) for shape, n in units.items())),
                    row_cuts=sum((len(grid.heights) - 1) * grid.cols for grid in grids)
                    * company.copies,
                    reads=units.total() * company.per_token,
                    conversions=sum(len(grid.heights) * grid.cols for grid in grids)
                    * company.per_token,
                )
                found.setdefault((way.units, way.reads), way)
    return list(found.values())


@dataclass(frozen=True)
class _Grid:
    """How a matrix is cut."""

    styles: Styles
    cols: int
    heights: tuple[int, ...]
    """Heights of its pieces, from the first row to the last."""
    widths: Counter[int]

    @cached_property
    def blocks(self) -> Counter[Shape]:
        """By shape, because a matrix may be cut into millions."""
        heights = Counter(self.heights)
        return Counter(
            {(row, col): heights[row] * self.widths[col] for row in heights for col in self.widths}
        )


def _cuttings(
    rows: int, cols: tuple[int, ...], styles: Sequence[Style], tile: Tile
) -> Iterator[tuple[_Grid, ...]]:
    """Each way to cut all matrices of a company; equal ones are cut alike."""
    options: dict[int, list[_Grid]] = {}
    for width in dict.fromkeys(cols):
        grids: dict[object, _Grid] = {}
        for each in product(styles, styles):
            heights = tuple(cut(rows, tile[0], each[0]).tolist())
            widths = Counter(cut(width, tile[1], each[1]).tolist())
            key = (heights, frozenset(widths.items()))
            grids.setdefault(key, _Grid(each, width, heights, widths))
        options[width] = list(grids.values())
    for chosen in islice(product(*options.values()), _MOST_WAYS):
        by_width = dict(zip(options, chosen, strict=True))
        yield tuple(by_width[width] for width in cols)


def _side_by_side(grids: Sequence[_Grid], columns: int) -> list[Counter[Shape]]:
    """Units of blocks that read the same rows of the same input, all apart first.

    None where there are too many ways to list.
    """
    slices: dict[tuple[int, int], Counter[int]] = {}
    for grid in grids:
        rows = zip(accumulate(grid.heights, initial=0), grid.heights, strict=False)
        for first, height in rows:
            slices.setdefault((first, height), Counter()).update(grid.widths)
    alike = Counter((height, tuple(sorted(each.items()))) for (_, height), each in slices.items())
    options = [
        [
            Counter({(height, width): number for width, number in each.items()})
            for each in _neighbours(Counter(dict(widths)), columns)
        ]
        for height, widths in alike
    ]
    if prod(map(len, options)) > _MOST_WAYS:
        return []
    return [_sum(zip(chosen, alike.values(), strict=True)) for chosen in product(*options)]


def _sum(counted: Iterable[tuple[Counter[Shape], int]]) -> Counter[Shape]:
    total: Counter[Shape] = Counter()
    for units, number in counted:
        for unit, n in units.items():
            total[unit] += n * number
    return total


def _neighbours(widths: Counter[int], columns: int) -> list[Counter[int]]:
    """Ways to put blocks of these widths side by side."""
    narrowest = min(widths)
    partial = Counter({w: n for w, n in widths.items() if w + narrowest <= columns})
    members = sorted(partial.elements())
    return [
        widths - partial + Counter(sum(members[i] for i in group) for group in grouping)
        for grouping in groupings(members, columns)
    ]


def choose(
    companies: Sequence[tuple[list[Way], int]],
    tile: Tile,
    rule: Rule,
    objective: Objective,
    limits: Limits,
) -> list[Way]:
    """The way of each kind of company, each given with how many there are of it."""
    open_ = [(_favourites(each, objective), count) for each, count in companies]
    if rule == "exclusive":
        return [min(each, key=lambda way: (way.total, way.row_cuts)) for each, _ in open_]
    first = [each[0] for each, _ in open_]
    if all(len(each) == 1 for each, _ in open_):
        return first
    counts = [count for _, count in open_]
    answers = [first, *_by_model(open_, tile, rule, limits)]
    # The model knows good layouts, a packing all that there are: it has the last word.
    return min(answers, key=lambda each: _packed(each, counts, tile, rule, limits))


def rule_for(objective: Objective, rule: Rule) -> Rule:
    """The layouts that the objective admits: without turns, where they are what counts most."""
    return "parallel" if objective == "latency" and rule == "serial" else rule


def _favourites(each: list[Way], objective: Objective) -> list[Way]:
    """Those that are best in what comes before tiles, which is known without packing."""

    def before_tiles(way: Way) -> tuple[float, ...]:
        if objective == "tiles":
            return ()
        return (way.reads, way.conversions) if objective == "energy" else (way.row_cuts,)

    least = min(map(before_tiles, each))
    return [way for way in each if before_tiles(way) == least]


def _by_model(
    companies: Sequence[tuple[list[Way], int]], tile: Tile, rule: Rule, limits: Limits
) -> list[list[Way]]:
    """Two answers: the linear master's, rounded kind by kind, and the integer master's."""
    shapes = _shapes(way for each, _ in companies for way in each)
    choices = [
        Choice(1, np.stack([_count(way, shapes) * count for way in each]))
        for each, count in companies
    ]
    demand = Demand(np.zeros(len(shapes), np.int64), tuple(choices))
    limit, limit_to_choose = (limits.time_limit_s * share for share in _SHARES)
    if rule == "parallel":
        fit = np.minimum(capacity(shapes, tile), demand.most)
        rounded = _rounded(np.diag(fit), demand, price_diagonals(shapes, fit, tile), limit)
        turns = np.ones(len(rounded.patterns), np.int64)
    else:
        pool = Pool(shapes, demand.most, tile, count_cuts=False)
        rounded = _rounded(pool.counts, demand, pool.price, limit)
        turns = np.asarray([turns_of(layout, shapes) for layout in pool.layouts.values()])
    patterns = rounded.patterns
    nothing = np.zeros(len(patterns), np.int64)
    goals = [tiles(patterns), Goal(turns), Goal(nothing, tuple(map(_cuts_then_rank, companies)))]
    if rule == "parallel":
        del goals[1]
    hint = (np.ceil(rounded.times - 1e-6).astype(np.int64), rounded.taken)
    taken = cover(patterns, demand, goals, limit_to_choose, hint=hint).taken
    return [
        [each[int(n.argmax())] for (each, _), n in zip(companies, answer, strict=True)]
        for answer in (rounded.taken, taken)
    ]


@dataclass(frozen=True, eq=False)
class _Rounded:
    patterns: Counts
    times: NDArray[np.float64]
    taken: tuple[Counts, ...]


def _rounded(patterns: Counts, demand: Demand, price: Pricing, time_limit_s: float) -> _Rounded:
    """The linear master with one choice after the other settled, the surest one first, and the
    patterns that it has a use for in between. What takes more tiles is settled otherwise.
    """
    limit = time_limit_s / len(demand.choices)
    choices = list(demand.choices)
    settled: dict[int, int] = {}
    now = generate_columns(patterns, demand, price, limit)
    while len(settled) < len(choices):
        left = [index for index in range(len(choices)) if index not in settled]
        surest = max(left, key=lambda index: (now.taken[index].max(), -index))
        choice, tried = choices[surest], []
        patterns = now.patterns
        for way in np.argsort(-now.taken[surest], kind="stable")[:_TRIED].tolist():
            choices[surest] = Choice(choice.count, choice.ways[way : way + 1])
            changed = Demand(demand.fixed, tuple(choices))
            then = generate_columns(patterns, changed, price, limit)
            patterns = then.patterns
            tried.append((then.tiles, way, then))
            if then.tiles <= now.tiles + 1e-6:
                break
        _, settled[surest], then = min(tried, key=lambda each: each[:2])
        choices[surest] = Choice(choice.count, choice.ways[settled[surest]][None])
        now = replace(then, patterns=patterns)
    taken = (
        np.eye(len(choice.ways), dtype=np.int64)[settled[index]] * choice.count
        for index, choice in enumerate(demand.choices)
    )
    times = np.pad(now.times, (0, len(patterns) - len(now.times)))
    return _Rounded(patterns, times, tuple(taken))


def _cuts_then_rank(company: tuple[list[Way], int]) -> Counts:
    """[ways], the row cuts, and of equal ones the earlier."""
    each, count = company
    cuts = np.asarray([way.row_cuts * count for way in each], np.int64)
    return cuts * len(each) + np.arange(len(each))


def _packed(
    chosen: Sequence[Way], counts: Sequence[int], tile: Tile, rule: Rule, limits: Limits
) -> tuple[int, int, int]:
    """Tiles, turns and row cuts of a choice."""
    shapes = _shapes(chosen)
    blocks = sum(_count(way, shapes) * n for way, n in zip(chosen, counts, strict=True))
    packed = pack(shapes, Demand(np.asarray(blocks)), tile, rule, limits)
    turns = sum(turns_of(layout, shapes) * n for layout, n in packed.layouts.items())
    return packed.tiles, turns, sum(w.row_cuts * n for w, n in zip(chosen, counts, strict=True))


def _shapes(chosen: Iterable[Way]) -> Counts:
    """[types, 2]"""
    return np.asarray(sorted({shape for way in chosen for shape, _ in way.units}), np.int64)


def _count(way: Way, shapes: Counts) -> Counts:
    number = dict(way.units)
    return np.asarray([number.get((r, c), 0) for r, c in shapes.tolist()], np.int64)
