"""A model on tiles: the one object that owns its tensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from afmc.common.memory import GIB, available_bytes
from afmc.errors import ModelError, OptionError
from afmc.frontends.graph.export import export, length_of
from afmc.frontends.loaded import BYTES, Loaded
from afmc.frontends.network import Graph
from afmc.hardware.conditions import Condition, conditions_of
from afmc.hardware.defects import Defects
from afmc.lower.calls import export_calls
from afmc.lower.graph import lower_graph
from afmc.lower.module import make_tiles, on_tiles, twin_of
from afmc.lower.operators import bind_tiles
from afmc.lower.prefix import Kept, Prefix, put_behind
from afmc.lower.recovered import Recovered
from afmc.program.folder import with_figures
from afmc.program.layout import Owner
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.simulator.devices.base import device_of
from afmc.simulator.directions import Directions
from afmc.simulator.instance import write_instance
from afmc.simulator.replicas import Layer
from afmc.targets import Target

NOTHING = Recovered()


@dataclass(frozen=True, eq=False)
class Written:
    """One manufactured instance that was programmed onto tiles."""

    seed: int
    instance: int
    condition: Condition
    defects: Defects | None
    """Defects besides those that the program was made for."""
    seconds: float
    """Time that programming took; measured."""

    def is_of(
        self, seed: int, instance: int, condition: Condition, defects: Defects | None
    ) -> bool:
        """Whether this is what would be written. Defects cannot change: one object is one map."""
        same = (self.seed, self.instance, self.condition) == (seed, instance, condition)
        return same and self.defects is defects


class LoweredGraph:
    """The exported graph of a model with calls of tiles, made once however many targets run it."""

    def __init__(
        self,
        loaded: Loaded,
        program: Program,
        prefix: Prefix | None = None,
    ) -> None:
        self._loaded, self._program, self._prefix = loaded, program, prefix

    @cached_property
    def graph(self) -> ExportedProgram:
        module, prefix = self._loaded.module, self._prefix
        kept = None if prefix is None else Kept(prefix, module.config)
        return lower_graph(export(module, behind=kept), self._program)


class OnTiles:
    """A model, its program and a target, with the tiles that hold the model's analog matrices.

    Which of these it is about never changes: another target is another object with tiles of its
    own. What the tiles hold is what `write` programmed last.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        loaded: Loaded,
        lowered: LoweredGraph,
        recovered: Recovered = NOTHING,
    ) -> None:
        self._program, self._target = program, target
        self._loaded, self._lowered = loaded, lowered
        self._recovered = recovered
        self._beforehand: dict[Owner, torch.Tensor] = {}
        self._written: Written | None = None

    @property
    def program(self) -> Program:
        return self._program

    @property
    def target(self) -> Target:
        return self._target

    @property
    def loaded(self) -> Loaded:
        return self._loaded

    @property
    def digital(self) -> nn.Module:
        """The model as it came, in 32-bit floating point."""
        return self._loaded.module

    @property
    def prefix(self) -> Prefix | None:
        """What stands before every sequence; None where nothing does."""
        return self._recovered.prefix

    @cached_property
    def reference(self) -> nn.Module:
        """The model in digital arithmetic, behind the prefix where there is one."""
        if self.prefix is None:
            return self.digital
        return put_behind(twin_of(self.digital), self.prefix)

    @property
    def network(self) -> Graph | None:
        """Inputs and structure of a model that is no language model of transformers."""
        return self._loaded.graph

    @cached_property
    def tiles(self) -> dict[str, Layer]:
        """The analog layers by the name of their matrix, for a bank of experts one for each:
        ``down_proj[3]``. `write` decides what they hold.
        """
        return make_tiles(self.digital, self._program, self._target)

    @cached_property
    def analog(self) -> nn.Module:
        """The original module with its analog layers on tiles, behind the prefix where there is
        one; call `write` first."""
        module = on_tiles(self.digital, self._program, self.tiles)
        return module if self.prefix is None else put_behind(module, self.prefix)

    def write(
        self,
        *,
        seed: int = 0,
        instance: int = 0,
        condition: Condition | None = None,
        defects: Defects | None = None,
    ) -> Written:
        """Programs one manufactured instance onto the tiles, unless they hold it already.

        Noise that is drawn at each read begins anew. Returns what is on the tiles.
        """
        condition = condition or conditions_of(self._target)[0]
        there = self._written
        if there is not None and there.is_of(seed, instance, condition, defects):
            if not self._target.is_random_at_reads:
                return there
        self._written = None
        start = time.perf_counter()
        write_instance(
            self._program,
            self._target,
            self.tiles,
            seed=seed,
            instance=instance,
            condition=condition,
            defects=defects,
            directions=self._directions,
            reads=0 if self._program.recovery is None else self._program.recovery.reads,
            beforehand=self._beforehand,
        )
        seconds = time.perf_counter() - start
        self._written = Written(seed, instance, condition, defects, seconds)
        return self._written

    @cached_property
    def _directions(self) -> dict[str, Directions]:
        """By name in `tiles`."""
        of_matrices = self._recovered.of(self._program)
        return {
            name: directions
            for matrix, directions in of_matrices.items()
            for name in names_in_tiles(self._program.by_name[matrix])
        }

    def on(self, overrides: Mapping[str, object]) -> OnTiles:
        """Puts this mapping on a target with other figures, `{"device.noise": None}`.

        Raises OptionError for a figure that the mapping follows from.
        """
        target = with_figures(self._target, overrides)
        device_of(target)
        if target.needs_input_range and any(m.input_range is None for m in self._program.analog):
            raise OptionError(
                f"with {', '.join(overrides)} products depend on input ranges, which this compile "
                f"did without: compile again with these figures."
            )
        return self.onto(target)

    def without_noise(self) -> OnTiles:
        """Puts this mapping on perfect devices, wires and converters, whose bits stay."""
        return self.onto(self._target.without_noise())

    def onto(self, target: Target) -> OnTiles:
        """Puts this mapping on tiles of their own, of a target on which it can be as it is."""
        return OnTiles(self._program, target, self._loaded, self._lowered, self._recovered)

    @property
    def fits_again(self) -> bool:
        """Whether there is memory for as many tiles once more, with what writing them takes."""
        return available_bytes() > 2 * BYTES * sum(m.weights for m in self._program.analog)

    def graph(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The exported graph with ``afmc::mvm`` calls (``afmc::grouped_mvm`` for banks of experts),
        bound to these tiles: token numbers [batch, sequence] to logits. Call `write` first.

        Raises ModelError for what is no language model: its `analog` is a graph itself.
        """
        name = self._program.model.name
        if self.network is not None:
            raise ModelError(f"{name} has no graph of token numbers: call what write() gives.")
        module: Any = self._lowered.graph.module()
        tiles, length = self.tiles, length_of(self._lowered.graph)

        def run(input_ids: torch.Tensor) -> torch.Tensor:
            if length is not None and input_ids.shape[1] != length:
                raise OptionError(
                    f"the graph of {name} takes {length} tokens, because the model loops over "
                    f"them, not {input_ids.shape[1]}: call what write() gives for other lengths."
                )
            with bind_tiles(tiles), torch.inference_mode():
                return module(input_ids)

        return run

    def digital_graph(self) -> ExportedProgram:
        """What is left to digital arithmetic: the exported graph with ``afmc::mvm`` calls.

        Raises ModelError for a graph that came from ONNX.
        """
        if self.network is None:
            return self._lowered.graph
        return export_calls(self.digital, self._program, self.network)


def check_memory(program: Program) -> None:
    """Raises ModelError where a model on tiles does not fit into memory for certain."""
    model, on_tiles_ = program.model, sum(m.weights for m in program.analog)
    needed, free = BYTES * (model.parameters + on_tiles_), available_bytes()
    if needed > free:
        raise ModelError(
            f"simulating {model.name} takes at least {needed / GIB:.1f} GiB of memory "
            f"({model.parameters:,} weights, and {on_tiles_:,} on tiles, in 32-bit floating "
            f"point), but {free / GIB:.1f} GiB are free: use a machine with more, or a smaller "
            f"model of its family."
        )
