"""Rule ``parallel``: the blocks of a tile share neither a row nor a column."""

from __future__ import annotations

import numpy as np

from afmc.passes.packing.bounds import Weights, best, dual_feasible_lines
from afmc.passes.packing.columns import generate_columns, price_diagonals
from afmc.passes.packing.cover import cover, tiles
from afmc.passes.packing.demand import Counts, Demand
from afmc.passes.packing.layouts import diagonal
from afmc.passes.packing.packed import Limits, Packed, Patterns
from afmc.passes.packing.patterns import capacity, fits_with_another, maximal_patterns


def pack_diagonals(shapes: Counts, demand: Demand, tile: tuple[int, int], limits: Limits) -> Packed:
    extents = [Weights(tuple(shapes[:, k].tolist()), tile[k]) for k in (0, 1)]
    bounds = {
        "rows and columns": best(extents, demand),
        "dual feasible": best(dual_feasible_lines(shapes, tile), demand),
    }
    found = patterns_of(shapes, demand, tile, limits)
    known = max(*bounds.values(), found.linear)
    goals = [tiles(found.counts)]
    chosen = cover(found.counts, demand, goals, limits.time_limit_s, known)
    bounds["set cover" if found.complete else "linear master"] = (
        chosen.bound if found.complete else found.linear
    )
    used = np.flatnonzero(chosen.times)
    layouts = {
        diagonal(found.counts[index].tolist(), shapes): int(chosen.times[index])
        for index in used.tolist()
    }
    return Packed(layouts, chosen.taken, bounds, len(found.counts))


def patterns_of(shapes: Counts, demand: Demand, tile: tuple[int, int], limits: Limits) -> Patterns:
    """Every maximal pattern where there are not too many, otherwise those that help."""
    most = demand.most
    shared = fits_with_another(shapes, most, tile, "parallel")
    alone = np.diag(~shared).astype(np.int64)[~shared]
    listed = maximal_patterns(shapes[shared], most[shared], tile, limits.max_patterns)
    if listed is not None:
        together = np.zeros((len(listed), len(shapes)), np.int64)
        together[:, shared] = listed
        return Patterns(np.vstack([together[listed.any(axis=1)], alone]), complete=True)
    fit = np.minimum(capacity(shapes, tile), most)
    price = price_diagonals(shapes, fit, tile)
    columns = generate_columns(np.diag(fit), demand, price, limits.time_limit_s)
    return Patterns(columns.patterns, complete=False, linear=columns.bound)
