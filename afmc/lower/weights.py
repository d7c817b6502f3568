"""What tiles are to hold, read from the model when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from afmc.frontends.loaded import Loaded
from afmc.lower.prepared import preparations
from afmc.program.model import Matrix, is_bank, names_in_tiles
from afmc.program.program import Program


class IdealWeights(Mapping[str, Tensor]):
    """[outputs, inputs] of every copy of every analog matrix, by name in
    `afmc.simulator.replicas.Tiles`."""

    def __init__(self, loaded: Loaded, program: Program) -> None:
        self._loaded = loaded
        self._prepare = preparations(program)
        self._place: dict[str, tuple[Matrix, int]] = {
            name: (matrix, copy)
            for matrix in program.analog
            for copy, name in enumerate(names_in_tiles(matrix))
        }

    def __getitem__(self, name: str) -> Tensor:
        matrix, copy = self._place[name]
        module = self._loaded.module
        if is_bank(matrix):
            weight = self._loaded.bank(module.get_parameter(matrix.name))[copy].detach()
        else:
            layer: Any = module.get_submodule(matrix.module)
            weight = self._loaded.value(layer.weight).detach()
        ideal = weight.T if matrix.stored == "rows_cols" else weight
        return self._prepare[matrix.name].weights(ideal)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)
