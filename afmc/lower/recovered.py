"""The tensors of a recovery, which lie beside the program: a prefix, and principal directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from afmc.errors import ArtifactError
from afmc.lower.prefix import Prefix
from afmc.program.program import Program
from afmc.simulator.directions import Directions


@dataclass(frozen=True, eq=False)
class Recovered:
    """What the recovery of a program computed; empty where there was none."""

    prefix: Prefix | None = None
    directions: Mapping[str, Directions] = field(default_factory=dict)
    """By activation."""

    def __bool__(self) -> bool:
        return self.prefix is not None or bool(self.directions)

    def of(self, program: Program) -> dict[str, Directions]:
        """Those that each matrix is corrected in, by its name."""
        ranks = {} if program.recovery is None else program.recovery.ranks
        return {
            matrix.name: self.directions[matrix.input].first(ranks[matrix.name])
            for matrix in program.analog
            if matrix.name in ranks
        }

    def save(self, file: Path) -> None:
        """Writes safetensors."""
        tensors: dict[str, Tensor] = {}
        if self.prefix is not None:
            tensors["prefix.tokens"] = torch.tensor(self.prefix.tokens)
            for number, (keys, values) in enumerate(self.prefix.layers):
                tensors[f"prefix.{number}.keys"] = keys
                tensors[f"prefix.{number}.values"] = values
        for name, each in self.directions.items():
            tensors[f"directions.{name}.mean"] = each.mean
            tensors[f"directions.{name}.basis"] = each.basis
            tensors[f"directions.{name}.energy"] = each.energy
            tensors[f"directions.{name}.rest"] = torch.tensor(each.rest, dtype=torch.float64)
        save_file({name: each.contiguous().clone() for name, each in tensors.items()}, file)


def load_recovered(file: Path, program: Program) -> Recovered:
    """What `Recovered.save` wrote for this program. Raises ArtifactError for anything else."""
    recovery = program.recovery
    if recovery is None or not program.has_recovered:
        return Recovered()
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}); compile again.") from error
    try:
        return Recovered(_prefix(tensors, recovery.prefix), _directions(tensors, program))
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{file} is damaged ({error}); compile again.") from error


def _prefix(tensors: Mapping[str, Tensor], tokens: tuple[int, ...]) -> Prefix | None:
    if not tokens:
        return None
    if tuple(tensors["prefix.tokens"].tolist()) != tokens:
        raise ValueError("its prefix is another one")
    layers, number = [], 0
    while f"prefix.{number}.keys" in tensors:
        layers.append((tensors[f"prefix.{number}.keys"], tensors[f"prefix.{number}.values"]))
        number += 1
    return Prefix(tokens, tuple(layers))


def _directions(tensors: Mapping[str, Tensor], program: Program) -> dict[str, Directions]:
    assert program.recovery is not None
    found: dict[str, Directions] = {}
    for name, rank in program.recovery.ranks.items():
        matrix = program.by_name[name]
        place = f"directions.{matrix.input}"
        each = Directions(
            tensors[f"{place}.mean"],
            tensors[f"{place}.basis"],
            tensors[f"{place}.energy"],
            float(tensors[f"{place}.rest"]),
        )
        if (
            each.mean.shape != (matrix.rows,)
            or each.basis.shape != (matrix.rows, len(each.energy))
            or len(each) < rank
        ):
            raise ValueError(f"it has no {rank} directions of the input of {name}")
        found[matrix.input] = each
    return found
