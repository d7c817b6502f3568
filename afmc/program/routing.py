"""Routing statistics from a file: which experts a sample of tokens went to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from afmc.common.strict_arrays import NotArrays, read_arrays
from afmc.errors import OptionError
from afmc.program.model import is_bank
from afmc.program.observed import Routing
from afmc.program.program import Program
from afmc.program.rules import routing_problems


def read_routing(path: str | Path) -> Routing:
    """An ``.npz`` file, its arrays [tokens, experts of a token] named by the experts' modules.

    Raises OptionError in one sentence.
    """
    path = Path(path)
    if not path.exists():
        raise OptionError(f"the routing {path} does not exist.")
    try:
        arrays = read_arrays(path)
    except (OSError, NotArrays) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OptionError(
            f"the routing {path} is no .npz file of arrays of integers ({reason})."
        ) from error
    for name, array in arrays.items():
        limits = np.iinfo(np.int32)
        if array.dtype.kind not in "iu" or ((array < limits.min) | (array > limits.max)).any():
            raise OptionError(f"the routing {path} has in {name} something else than integers.")
    experts = {name: array.astype(np.int32) for name, array in arrays.items()}
    return Routing(path.name, experts)


def with_routing(program: Program, routing: Routing) -> Program:
    """The program with a routing of all its banks. Raises OptionError where it does not fit."""
    broken = next(routing_problems(program, routing), None)
    banks = dict.fromkeys(matrix.module for matrix in program.matrices if is_bank(matrix))
    missing = [module for module in banks if module not in routing.experts]
    if broken is None and missing:
        broken = (
            f"{len(missing)} of {len(banks)} banks of experts are not in it, {missing[0]} first."
        )
    if broken is None and not banks:
        broken = f"{program.model.name} has no banks of experts."
    if broken is not None:
        raise OptionError(f"the routing {routing.source} does not fit: {broken}")
    return replace(program, routing=routing)
