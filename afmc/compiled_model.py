"""The Python API: compile a model, look at it, validate it, run it, keep it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn
from torch.export import ExportedProgram

from afmc.common.progress import Clock, Progress, silent
from afmc.common.version import VERSION
from afmc.costs import Workload, estimate
from afmc.costs.workload import usual_workloads
from afmc.data.samples import Samples
from afmc.data.text import Text
from afmc.errors import ArtifactError
from afmc.evaluation.accuracy import classify
from afmc.evaluation.asked import Asked, AskedOptions
from afmc.evaluation.benchmarks.kept import KeptRuns
from afmc.evaluation.benchmarks.results import Benchmarks
from afmc.evaluation.benchmarks.run import evaluate_tasks
from afmc.evaluation.benchmarks.tasks import Task, read_tasks
from afmc.evaluation.generation import generate
from afmc.evaluation.perplexity import validate
from afmc.evaluation.reading import results_of
from afmc.evaluation.results import Classification, Validation
from afmc.fit import Lever
from afmc.frontends.door import Reading
from afmc.frontends.find import saved_in
from afmc.frontends.load import load_source
from afmc.frontends.loaded import Loaded
from afmc.hardware.conditions import Condition
from afmc.hardware.defects import Defects
from afmc.inspect import inspect_json
from afmc.lower.on_tiles import NOTHING, LoweredGraph, OnTiles, check_memory
from afmc.lower.recovered import Recovered, load_recovered
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import (
    MODEL_FOLDER,
    RECOVERY,
    check_model,
    read_program,
    require_weights,
    write_program,
)
from afmc.program.program import Program
from afmc.program.summary import Summary
from afmc.quantize.precision import Precision
from afmc.report import check_page, render, write_page
from afmc.simulator.replicas import Layer
from afmc.targets import Target


class CompiledModel:
    """A program, its target and the model it was made from.

    `afmc.compile` and `afmc.load` make one.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        loaded: Loaded | None,
        find_levers: Callable[[], Sequence[Lever]] = tuple,
        clock: Clock | None = None,
        measured: Mapping[str, Any] | None = None,
        afmc_version: str = VERSION,
        recovered: Recovered = NOTHING,
    ) -> None:
        self.program = program
        self.target = target
        self._loaded = loaded
        self._find_levers = find_levers
        self._clock = clock or Clock()
        self._measured = measured
        self._afmc_version = afmc_version
        self._recovered = recovered

    @property
    def digital(self) -> nn.Module:
        """The model as it came, in 32-bit floating point. Raises ArtifactError without weights."""
        return self._tiles("this").digital

    @property
    def tokenizer(self) -> Any:
        """None where the model came without one, or without weights."""
        return self._loaded.tokenizer if self._loaded else None

    # what went where

    @cached_property
    def levers(self) -> tuple[Lever, ...]:
        """Changes of options, each checked, that take fewer tiles; sought once asked for."""
        return tuple(self._find_levers())

    @cached_property
    def summary(self) -> Summary:
        """The figures that follow from the program alone."""
        return self.compiled_program.summary

    def inspect(self) -> dict[str, Any]:
        """The figures of ``afmc inspect --json``."""
        return inspect_json(self.compiled_program)

    @property
    def compiled_program(self) -> CompiledProgram:
        """Everything but tensors: what inspect, compare, report and export read."""
        measured = self._measured or self._clock_json()
        return CompiledProgram(self.program, self.target, self.levers, measured, self._afmc_version)

    def _clock_json(self) -> dict[str, Any]:
        return self._clock.to_json({"torch": torch.__version__, "threads": torch.get_num_threads()})

    def report(
        self,
        path: str | Path,
        *,
        workloads: Sequence[Workload] | None = None,
        validations: Sequence[Validation | Benchmarks | Mapping[str, Any]] = (),
    ) -> Path:
        """Writes the page of ``afmc report``: what these workloads cost, by themselves a token
        after 512 and 2,048 others where the model takes so many, and the validations that are
        given, those of `validate` and `evaluate` or what ``afmc validate --json`` and ``afmc eval
        --json`` printed.

        Raises OptionError where it cannot be written, or for a validation of another model.
        """
        check_page(Path(path))
        compiled = self.compiled_program
        given = [
            each if isinstance(each, Validation | Benchmarks) else results_of(compiled, each)
            for each in validations
        ]
        if workloads is None:
            workloads = usual_workloads([self.program.model])
        costs = [estimate(self.program, self.target, each) for each in workloads]
        return write_page(Path(path), render(compiled, costs, given))

    # on tiles

    @property
    def on_tiles(self) -> OnTiles:
        """The model with the tiles that it runs on.

        Raises ArtifactError without weights, ModelError where they do not fit into memory.
        """
        return self._tiles("this")

    def _tiles(self, purpose: str) -> OnTiles:
        require_weights(self.program, purpose)
        return self._on_tiles

    @cached_property
    def _on_tiles(self) -> OnTiles:
        assert self._loaded is not None
        loaded = self._loaded
        if loaded.on_disk is not None:
            check_memory(self.program)
            loaded = loaded.in_memory()
        prefix = self._recovered.prefix
        lowered = LoweredGraph(loaded, self.program, prefix)
        return OnTiles(self.program, self.target, loaded, lowered, self._recovered)

    @property
    def tiles(self) -> dict[str, Layer]:
        """The analog layers by the name of their matrix, for a bank of experts one for each:
        ``down_proj[3]``. `write` decides what they hold.
        """
        return self._tiles("this").tiles

    @property
    def analog(self) -> nn.Module:
        """The original module with its analog layers on tiles; call `write` first."""
        return self._tiles("this").analog

    def write(
        self,
        *,
        seed: int = 0,
        instance: int = 0,
        condition: Condition | None = None,
        defects: Defects | None = None,
    ) -> nn.Module:
        """Programs one manufactured instance onto the tiles and returns `analog`.

        Just programmed, at 25 degrees Celsius and with the target's compensation unless a
        condition says otherwise. Noise that is drawn at each read begins anew. `defects` are stuck
        cells besides those that the model was compiled for, which programming knows nothing of.
        """
        on_tiles = self._tiles("write")
        on_tiles.write(seed=seed, instance=instance, condition=condition, defects=defects)
        return on_tiles.analog

    def on(self, overrides: Mapping[str, object]) -> CompiledModel:
        """Puts this mapping on a target with other figures, `{"device.noise": None}`.

        Raises OptionError for a figure that the mapping follows from.
        """
        return self._twin(self._tiles("on").on(overrides))

    def without_noise(self) -> CompiledModel:
        """Puts this mapping on perfect devices, wires and converters, whose bits stay."""
        return self._twin(self._tiles("this").without_noise())

    def _twin(self, on_tiles: OnTiles) -> CompiledModel:
        twin = CompiledModel(
            self.program,
            on_tiles.target,
            self._loaded,
            lambda: self.levers,
            clock=self._clock,
            measured=self._measured,
            afmc_version=self._afmc_version,
            recovered=self._recovered,
        )
        twin._on_tiles = on_tiles
        return twin

    def graph(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The exported graph with ``afmc::mvm`` calls (``afmc::grouped_mvm`` for banks of experts),
        bound to these tiles: token numbers [batch, sequence] to logits. Call `write` first.

        Raises ModelError for what is no language model: its `analog` is a graph itself.
        """
        return self._tiles("this").graph()

    def digital_graph(self) -> ExportedProgram:
        """What is left to digital arithmetic: the exported graph with ``afmc::mvm`` calls.

        Raises ArtifactError without weights, ModelError for a graph that came from ONNX.
        """
        return self._tiles("digital_graph").digital_graph()

    # how accurate

    def validate(
        self,
        text: str | Path | Text | None = None,
        *,
        tokens: int = 4096,
        window: int | None = None,
        by_matrix: bool = False,
        rounded: str | None = None,
        progress: Progress = silent,
        **asked: Unpack[AskedOptions],
    ) -> Validation:
        """Perplexity, KL divergence and top-1 agreement on noisy tiles against the digital model.

        Over the first whole windows within `tokens` tokens of a text (without one, that of
        `afmc.data.text.read_text`), each of `window` tokens (1,024, or `tokens`, or as many as the
        model takes, if those are fewer), for `instances` manufactured chips, under every
        combination of the given times since programming (``"1d"``, or seconds), temperatures
        (``"85C"``, or degrees Celsius) and compensations (``"none"``, ``"tile"``, ``"column"``,
        ``"reference"``), each without and with calibration where `calibrate` probe inputs are
        given, and with `recalibrate` without and with the program's corrections measured again.
        `defects` are cells that stick besides those that the model was compiled for, as
        for `compile`; `settings` are figures of the target (``{"device.noise": None}``) for this
        validation alone. With `by_matrix` also how wrong the products of each matrix are, on the
        first window and under the first condition; with `rounded` also the digital model with the
        weights rounded to the nearest that are on tiles, to ``"4"`` bits, or in groups of 32 inputs
        ``"4:32"``. The result's `verdict` says what is kept, or,
        where accuracy collapses, from what and what to try. Raises TextError, OptionError and
        TargetError; ModelError for a model that does not predict the next token.
        """
        return validate(
            self._tiles("validate"),
            text,
            tokens=tokens,
            window=window,
            asked=Asked(**asked),
            by_matrix=by_matrix,
            rounded=None if rounded is None else Precision.parse(rounded),
            progress=progress,
        )

    def classify(
        self,
        data: str | Path | Samples,
        *,
        samples: int | None = None,
        progress: Progress = silent,
        **asked: Unpack[AskedOptions],
    ) -> Classification:
        """How often a classifier is right on noisy tiles and in digital arithmetic.

        `data` is an ``.npz`` file with ``inputs`` (or an array for each input by its name) and
        ``labels``, or `Samples`; of which the first `samples` are used. Everything else is as for
        `validate`. Raises SampleError, OptionError and TargetError; ModelError for a language
        model.
        """
        return classify(
            self._tiles("validate"),
            data,
            samples=samples,
            asked=Asked(**asked),
            progress=progress,
        )

    def evaluate(
        self,
        tasks: Sequence[str] | Sequence[Task],
        *,
        data: str | Path | None = None,
        limit: int | None = None,
        batch: int = 8,
        keep: str | Path | None = None,
        progress: Progress = silent,
        **asked: Unpack[AskedOptions],
    ) -> Benchmarks:
        """Benchmarks of lm-evaluation-harness (extra ``eval``) on noisy tiles, beside the digital
        model as it came, on the same questions.

        `tasks` are those of lm-eval, ``"arc_easy"`` or with so many examples ``"arc_easy:10"``, or
        with `data` JSON lines in that folder, ``arc_easy.jsonl``. `limit` is the number of
        questions of a task at most, `batch` of requests at once. In the folder `keep` results are
        kept in lm-eval's format, from which an evaluation that was stopped goes on. Everything else
        is as for `validate`. Raises OptionError and TargetError; ModelError for a model that does
        not predict the next token.
        """
        given = [each for each in tasks if isinstance(each, Task)]
        names = [each for each in tasks if isinstance(each, str)]
        read = given or read_tasks(names, None if data is None else Path(data))
        return evaluate_tasks(
            self._tiles("eval"),
            read,
            limit=limit,
            batch=batch,
            asked=Asked(**asked),
            kept=KeptRuns(None if keep is None else Path(keep)),
            progress=progress,
        )

    def run(
        self,
        prompt: str,
        *,
        max_tokens: int = 50,
        seed: int = 0,
        instance: int = 0,
        digital: bool = False,
        condition: Condition | None = None,
    ) -> str:
        """Text that follows the prompt, the likeliest token each time, without the prompt."""
        return generate(
            self._tiles("run"),
            prompt,
            max_tokens=max_tokens,
            seed=seed,
            instance=instance,
            digital=digital,
            condition=condition,
        )

    # on disk

    def save(self, directory: str | Path, *, force: bool = False) -> Path:
        """Writes program, tables and model, or without weights the first two; whole or not at all.

        An earlier compile of this model for this target is replaced, with `force` any other one,
        too; files that afmc did not write stay. Raises ArtifactError.
        """
        directory = Path(directory)
        loaded = self._loaded

        def write_model(folder: Path) -> None:
            if self._recovered:
                self._recovered.save(folder / RECOVERY)
            if loaded is not None:
                with self._clock.stage("save"):
                    loaded.save(folder / MODEL_FOLDER)

        write_program(
            directory,
            self.program,
            self.target,
            self.summary,
            self._clock_json,
            write_model,
            force=force,
        )
        return directory


def load(
    directory: str | Path,
    *,
    trust_remote_code: bool = False,
    kept: CompiledProgram | None = None,
    progress: Progress = silent,
) -> CompiledModel:
    """A compiled model from disk, as it was written.

    `kept` is what `read_program` gave for this directory: it is not read and checked again. Raises
    ArtifactError where a file of it was changed, or ModelError, in one sentence.
    """
    directory = Path(directory)
    kept = read_program(directory) if kept is None else kept
    loaded = None
    if not kept.program.model.shapes_only:
        loaded = _load_saved(directory, trust_remote_code, progress)
    return CompiledModel(
        kept.program,
        kept.target,
        loaded,
        lambda: kept.levers,
        measured=kept.measured,
        afmc_version=kept.version,
        recovered=load_recovered(directory / RECOVERY, kept.program),
    )


def _load_saved(directory: Path, trust_remote_code: bool, progress: Progress) -> Loaded:
    folder = check_model(directory, lambda line: progress(line, 0, 0)).absolute()
    source = saved_in(folder)
    if source is None:
        raise ArtifactError(f"{folder} is missing; compile again.")
    return load_source(source, Reading(trust_remote_code=trust_remote_code))
