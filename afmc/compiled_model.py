"""The Python API: compile a model, look at it, validate it, run it, keep it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from afmc.common.memory import GIB, available_bytes
from afmc.common.progress import Clock, Progress, silent
from afmc.common.version import VERSION
from afmc.costs import Workload, estimate
from afmc.data.samples import Samples, fitted, read_samples
from afmc.data.text import Text, read_text
from afmc.data.tokens import tokenise, windows_of
from afmc.errors import ArtifactError, ModelError, OptionError, TextError
from afmc.evaluation.accuracy import Classification, Result, classify
from afmc.evaluation.perplexity import (
    CalibrationCost,
    Estimate,
    OfMatrix,
    Outcome,
    Validation,
    compare,
)
from afmc.evaluation.preflight import check_conditions, check_defects
from afmc.fit import Lever
from afmc.frontends.find import resolve
from afmc.frontends.graph.export import export, length_of
from afmc.frontends.load import load_source
from afmc.frontends.loaded import BYTES, Loaded, longest_window, positions_of
from afmc.frontends.network import Graph
from afmc.hardware.conditions import Condition, conditions_of
from afmc.hardware.defects import Defects, gather_defects
from afmc.inspect import inspect_json
from afmc.lower.calls import export_calls
from afmc.lower.graph import lower_graph, save_graph
from afmc.lower.module import make_tiles, on_tiles
from afmc.lower.operators import bind_tiles
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import (
    GRAPH,
    MODEL_FOLDER,
    read_program,
    require_weights,
    with_figures,
    write_program,
)
from afmc.program.model import names_in_tiles
from afmc.program.program import Program
from afmc.program.summary import Summary
from afmc.program.trained_for import notes as training_notes
from afmc.report import check_page, render, write_page
from afmc.simulator.devices.base import device_of
from afmc.simulator.instance import write_instance
from afmc.simulator.product_errors import watched
from afmc.simulator.replicas import Layer
from afmc.targets import Target

_GRAPH_FILES = ("model.onnx", "model.pt2")
"""In the folder of a model that is no language model."""


class CompiledModel:
    """A program, its target and the model it was made from.

    `afmc.compile` and `afmc.load` make one.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        loaded: Loaded | None,
        found_levers: Sequence[Lever] = (),
        exported: ExportedProgram | None = None,
        clock: Clock | None = None,
        measured: Mapping[str, Any] | None = None,
        afmc_version: str = VERSION,
    ) -> None:
        self.program = program
        self.target = target
        self._loaded = loaded
        self.levers = tuple(found_levers)
        self._exported = exported
        self._clock = clock or Clock()
        self._measured = measured
        self._afmc_version = afmc_version
        self._written: object = None
        self._programming_s: list[float] = []

    @property
    def digital(self) -> nn.Module:
        """The model as it came, in 32-bit floating point. Raises ArtifactError without weights."""
        return self._weights("this").module

    @property
    def tokenizer(self) -> Any:
        """None where the model came without one, or without weights."""
        return self._loaded.tokenizer if self._loaded else None

    def _weights(self, purpose: str) -> Loaded:
        require_weights(self.program, purpose)
        assert self._loaded is not None
        if self._loaded.on_disk is not None:
            self._check_memory()
            self._loaded = self._loaded.in_memory()
        return self._loaded

    def _check_memory(self) -> None:
        """Raises ModelError where the weights do not fit into memory for certain."""
        model, on_tiles = self.program.model, sum(m.weights for m in self.program.analog)
        needed, free = BYTES * (model.parameters + on_tiles), available_bytes()
        if needed > free:
            raise ModelError(
                f"simulating {model.name} takes at least {needed / GIB:.1f} GiB of memory "
                f"({model.parameters:,} weights, and {on_tiles:,} on tiles, in 32-bit floating "
                f"point), but {free / GIB:.1f} GiB are free: use a machine with more, or a smaller "
                f"model of its family."
            )

    # what went where

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
        workloads: Sequence[Workload] = (Workload(context=512), Workload(context=2048)),
        validations: Sequence[Validation | Mapping[str, Any]] = (),
    ) -> Path:
        """Writes the page of ``afmc report``: what these workloads cost, and the validations that
        are given, those of `validate` or what ``afmc validate --json`` printed.

        Raises OptionError where it cannot be written, or for a validation of another model.
        """
        check_page(Path(path))
        given = [each.to_json() if isinstance(each, Validation) else each for each in validations]
        costs = [estimate(self.program, self.target, each) for each in workloads]
        return write_page(Path(path), render(self.compiled_program, costs, given))

    # on tiles

    @cached_property
    def tiles(self) -> dict[str, Layer]:
        """The analog layers by the name of their matrix, for a bank of experts one for each:
        ``down_proj[3]``. `write` decides what they hold.
        """
        return make_tiles(self.digital, self.program, self.target)

    @cached_property
    def analog(self) -> nn.Module:
        """The original module with its analog layers on tiles; call `write` first."""
        return on_tiles(self.digital, self.program, self.tiles)

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
        self._weights("write")
        condition = condition or conditions_of(self.target)[0]
        wanted = (seed, instance, condition, id(defects))
        if self._written != wanted or self.target.is_random_at_reads:
            self._written = None
            start = time.perf_counter()
            write_instance(
                self.program,
                self.target,
                self.tiles,
                seed=seed,
                instance=instance,
                condition=condition,
                defects=defects,
            )
            self._written = wanted
            self._programming_s.append(time.perf_counter() - start)
        return self.analog

    def on(self, overrides: Mapping[str, object]) -> CompiledModel:
        """The same mapping on a target with other figures, `{"device.noise": None}`.

        Raises OptionError for a figure that the mapping follows from.
        """
        self._weights("on")
        target = with_figures(self.target, overrides)
        device_of(target)
        if target.needs_input_range and any(m.input_range is None for m in self.program.analog):
            raise OptionError(
                f"with {', '.join(overrides)} products depend on input ranges, which this compile "
                f"did without: compile again with these figures."
            )
        return self._with(target)

    def without_noise(self) -> CompiledModel:
        """The same mapping on perfect devices, wires and converters, whose bits stay."""
        return self._with(self.target.without_noise())

    def _with(self, target: Target) -> CompiledModel:
        twin = copy.copy(self)
        twin.target, twin._written, twin._programming_s = target, None, []
        for cached in ("tiles", "analog", "summary"):
            twin.__dict__.pop(cached, None)
        return twin

    def graph(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The exported graph with ``afmc::mvm`` calls (``afmc::grouped_mvm`` for banks of experts),
        bound to these tiles: token numbers [batch, sequence] to logits. Call `write` first.

        Raises ModelError for what is no language model: its `analog` is a graph itself.
        """
        if self._graph_of is not None:
            raise ModelError(
                f"{self.program.model.name} has no graph of token numbers: call what write() gives."
            )
        module = self._graph.module()
        tiles, length = self.tiles, length_of(self._graph)

        def run(input_ids: torch.Tensor) -> torch.Tensor:
            if length is not None and input_ids.shape[1] != length:
                raise OptionError(
                    f"the graph of {self.program.model.name} takes {length} tokens, because the "
                    f"model loops over them, not {input_ids.shape[1]}: call what write() gives for "
                    f"other lengths."
                )
            with bind_tiles(tiles), torch.inference_mode():
                return module(input_ids)

        return run

    def digital_graph(self) -> ExportedProgram:
        """What is left to digital arithmetic: the exported graph with ``afmc::mvm`` calls.

        Raises ArtifactError without weights, ModelError for a graph that came from ONNX.
        """
        self._weights("digital_graph")
        if self._graph_of is None:
            return self._graph
        return export_calls(self.digital, self.program, self._graph_of)

    @property
    def _graph_of(self) -> Graph | None:
        """What is known of a model that is no language model of transformers."""
        return self._loaded.graph if self._loaded else None

    @cached_property
    def _graph(self) -> ExportedProgram:
        exported = self._exported or export(self.digital)
        self._exported = None  # its graph is used up
        return lower_graph(exported, self.program)

    def validate(
        self,
        text: str | Path | Text | None = None,
        *,
        tokens: int = 4096,
        window: int | None = None,
        instances: int = 5,
        seed: int = 0,
        at: Sequence[str | float] = (),
        temperature: Sequence[str | float] = (),
        compensation: Sequence[str] = (),
        calibrate: int = 0,
        defects: str | Path | Defects | Sequence[str | Path | Defects] | None = None,
        settings: Mapping[str, object] | None = None,
        by_matrix: bool = False,
        progress: Progress = silent,
    ) -> Validation:
        """Perplexity, KL divergence and top-1 agreement on noisy tiles against the digital model.

        Over the first whole windows within `tokens` tokens of a text (without one, that of
        `afmc.data.text.read_text`), each of `window` tokens (1,024, or `tokens`, or as many as the
        model takes, if those are fewer), for `instances` manufactured chips, under every
        combination of the given times since programming (``"1d"``, or seconds), temperatures
        (``"85C"``, or degrees Celsius) and compensations (``"none"``, ``"tile"``, ``"column"``,
        ``"reference"``), each without and with calibration where `calibrate` probe inputs are
        given. `defects` are cells that stick besides those that the model was compiled for, as
        for `compile`; `settings` are figures of the target (``{"device.noise": None}``) for this
        validation alone. With `by_matrix` also how wrong the products of each matrix are, on the
        first window and under the first condition. Raises TextError, OptionError and TargetError;
        ModelError for a model that does not predict the next token.
        """
        self._weights("validate")
        if settings:
            twin = self.on(settings)
            return twin.validate(
                text,
                tokens=tokens,
                window=window,
                instances=instances,
                seed=seed,
                at=at,
                temperature=temperature,
                compensation=compensation,
                calibrate=calibrate,
                defects=defects,
                by_matrix=by_matrix,
                progress=progress,
            )
        conditions = conditions_of(self.target, at, temperature, compensation, calibrate)
        broken = gather_defects(defects, self.target)
        notes = self._notes(conditions, broken)
        if self._graph_of is not None:
            raise ModelError(
                f"{self.program.model.name} is no language model: its accuracy is measured on "
                f"labelled samples (--data FILE.npz, or classify(...))."
            )
        if window is None:
            window = min(tokens, longest_window(self.digital.config))
        if window < 2 or tokens < window:
            raise OptionError(
                f"--window must be at least 2 and at most --tokens, but they are {window} and "
                f"{tokens}."
            )
        self._check_length(window, f"--window {window}")
        source = (
            text
            if isinstance(text, Text)
            else read_text(text, "validation", self.program.model.name)
        )
        windows = windows_of(tokenise(self._require_tokenizer(), source.content, tokens), window)
        start = time.perf_counter()
        self._written, self._programming_s = None, []
        of_matrices: dict[int, dict[str, float]] = {}

        def write(index: int, condition: Condition) -> None:
            put = partial(
                self.write, seed=seed, instance=index, condition=condition, defects=broken
            )
            put()
            if by_matrix and condition == conditions[0] and index not in of_matrices:
                of_matrices[index] = self._errors_by_matrix(windows[0])
                put()  # the noise of reads begins anew

        digital, analog = compare(
            self.digital,
            self.analog,
            write,
            windows,
            instances,
            conditions,
            lambda what, done: progress(what, done, len(windows) * window),
        )
        every = [score for of_instances in analog for score in of_instances]
        return Validation(
            model=self.program.model.name,
            model_sha256=self.program.model.sha256,
            target=self.target.name,
            noise=not self.target.is_perfect,
            digital_perplexity=digital.perplexity,
            outcomes=tuple(map(Outcome.of, conditions, analog)),
            tokens=digital.tokens,
            scored_tokens=digital.scored,
            window=window,
            text=source.name,
            text_sha256=source.sha256,
            seed=seed,
            digital_tokens_per_s=digital.tokens / digital.seconds,
            analog_tokens_per_s=sum(s.tokens for s in every) / sum(s.seconds for s in every),
            programming_s=sum(self._programming_s) / len(self._programming_s),
            wall_s=time.perf_counter() - start,
            calibration=self._calibration_cost(calibrate) if calibrate else None,
            defects=self._defects_named(broken),
            overrides=self.target.overrides,
            notes=notes,
            matrices=tuple(
                OfMatrix(m.name, Estimate(tuple(each[m.name] for each in of_matrices.values())))
                for m in self.program.analog
                if of_matrices
            ),
        )

    def _errors_by_matrix(self, window: torch.Tensor) -> dict[str, float]:
        """The relative error of the products of each matrix, as the tiles are now."""
        with watched(self.tiles) as squares, torch.inference_mode():
            self.analog(input_ids=window, use_cache=False)
        found = {}
        for matrix in self.program.analog:
            mine = [squares[name] for name in names_in_tiles(matrix)]
            whole = sum(each.digital for each in mine)
            wrong = sum(each.error for each in mine)
            found[matrix.name] = math.sqrt(wrong / whole) if whole else 0.0
        return found

    def classify(
        self,
        data: str | Path | Samples,
        *,
        samples: int | None = None,
        instances: int = 5,
        seed: int = 0,
        at: Sequence[str | float] = (),
        temperature: Sequence[str | float] = (),
        compensation: Sequence[str] = (),
        calibrate: int = 0,
        defects: str | Path | Defects | Sequence[str | Path | Defects] | None = None,
        settings: Mapping[str, object] | None = None,
        progress: Progress = silent,
    ) -> Classification:
        """How often a classifier is right on noisy tiles and in digital arithmetic.

        `data` is an ``.npz`` file with ``inputs`` (or an array for each input by its name) and
        ``labels``, or `Samples`; of which the first `samples` are used. Everything else is as for
        `validate`. Raises SampleError, OptionError and TargetError; ModelError for a language
        model.
        """
        self._weights("validate")
        if settings:
            twin = self.on(settings)
            return twin.classify(
                data,
                samples=samples,
                instances=instances,
                seed=seed,
                at=at,
                temperature=temperature,
                compensation=compensation,
                calibrate=calibrate,
                defects=defects,
                progress=progress,
            )
        name, graph = self.program.model.name, self._graph_of
        if graph is None:
            raise ModelError(
                f"{name} is a language model: its accuracy is measured on a text (--text), not on "
                f"samples."
            )
        conditions = conditions_of(self.target, at, temperature, compensation, calibrate)
        broken = gather_defects(defects, self.target)
        notes = self._notes(conditions, broken)
        given = data if isinstance(data, Samples) else read_samples(data)
        given = fitted(given, graph.inputs, name)
        if samples is not None:
            given = given.first(samples)
        start = time.perf_counter()
        self._written, self._programming_s = None, []
        digital, analog = classify(
            self.digital,
            self.analog,
            lambda index, condition: self.write(
                seed=seed, instance=index, condition=condition, defects=broken
            ),
            given,
            graph.batch,
            instances,
            conditions,
            lambda what, done: progress(what, done, len(given)),
        )
        every = [hits for of_instances in analog for hits in of_instances]
        return Classification(
            digital_accuracy=digital.right / digital.samples,
            outcomes=tuple(map(Result.of, conditions, analog)),
            samples=digital.samples,
            data=given.name,
            data_sha256=given.sha256,
            seed=seed,
            digital_samples_per_s=digital.samples / digital.seconds,
            analog_samples_per_s=sum(h.samples for h in every) / sum(h.seconds for h in every),
            programming_s=sum(self._programming_s) / len(self._programming_s),
            wall_s=time.perf_counter() - start,
            calibration=self._calibration_cost(calibrate) if calibrate else None,
            defects=self._defects_named(broken),
            overrides=self.target.overrides,
            notes=notes,
        )

    def _notes(self, conditions: Sequence[Condition], broken: Defects | None) -> tuple[str, ...]:
        """What a reader of a validation should know. Raises OptionError and TargetError."""
        notes = check_conditions(self.target, conditions)
        notes += training_notes(self.program, self.target)
        if self.program.defects is not None:
            notes += (f"broken is what this was compiled for: {self.program.defects.name}",)
        if broken is not None:
            notes += (check_defects(self.program, self.target, broken),)
        return notes

    def _defects_named(self, new: Defects | None) -> str | None:
        maps = [each.name for each in (self.program.defects, new) if each is not None]
        return " + ".join(maps) or None

    def _calibration_cost(self, probes: int) -> CalibrationCost:
        places = self.program.placements
        _, turns = np.unique(places[["chip", "tile"]], return_counts=True)
        latency_ns = self.target.tile.read_latency_ns
        blocks = self.program.blocks
        serving = blocks["replica"] == 0  # a token goes to one replica
        rows = self.target.crossbar.active_rows or self.target.crossbar.rows
        groups = -(-blocks["rows"] // rows)
        return CalibrationCost(
            probes,
            reads=probes * len(places),
            tile_time_ns=None if latency_ns is None else probes * int(turns.max()) * latency_ns,
            digital_macs=probes * int(blocks["rows"].astype(np.int64) @ blocks["cols"]),
            digital_operations_per_token=int((groups * blocks["cols"])[serving].sum()),
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
        self._weights("run")
        if max_tokens < 1:
            raise OptionError(f"--max-tokens must be at least 1, but is {max_tokens}.")
        tokenizer = self._require_tokenizer()
        if condition is not None:
            check_conditions(self.target, [condition])
        model: Any = (
            self.digital
            if digital
            else self.write(seed=seed, instance=instance, condition=condition)
        )
        inputs = tokenizer(prompt, return_tensors="pt")
        self._check_length(inputs["input_ids"].numel() + max_tokens, "prompt and --max-tokens")
        if not inputs["input_ids"].numel():
            raise TextError("the prompt is empty; give it at least one word.")
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
            )
        new = output[0, inputs["input_ids"].shape[1] :]
        return str(tokenizer.decode(new, skip_special_tokens=True))

    def _check_length(self, tokens: int, what: str) -> None:
        longest = positions_of(self.digital.config)
        if longest is not None and tokens > longest:
            raise OptionError(
                f"{what}: {tokens} tokens are more than the {longest} positions of "
                f"{self.program.model.name}."
            )

    def _require_tokenizer(self) -> Any:
        if not hasattr(self.digital, "generate") or not self._predicts_next_token:
            raise ModelError(
                f"{self.program.model.name} ({self.program.model.architecture}) does not predict "
                f"the next token; perplexity and text need a causal language model."
            )
        if self.tokenizer is None:
            raise ModelError(
                f"{self.program.model.name} came without a tokenizer; save one beside the model."
            )
        return self.tokenizer

    @property
    def _predicts_next_token(self) -> bool:
        return self.program.model.architecture.endswith(("ForCausalLM", "LMHeadModel"))

    # on disk

    def save(self, directory: str | Path, *, force: bool = False) -> Path:
        """Writes program, tables, model and graph, or without weights the first two; whole or not
        at all. There is no graph as long as the weights are left on disk.

        An earlier compile of this model for this target is replaced, with `force` any other one,
        too; files that afmc did not write stay. Raises ArtifactError.
        """
        directory = Path(directory)
        loaded = self._loaded

        def write_model(folder: Path) -> None:
            if loaded is not None:
                with self._clock.stage("save"):
                    loaded.save(folder / MODEL_FOLDER)
                    if loaded.graph is None and loaded.on_disk is None:
                        save_graph(self._graph, folder / GRAPH)

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


def load(directory: str | Path, *, trust_remote_code: bool = False) -> CompiledModel:
    """A compiled model from disk. Raises ArtifactError or ModelError in one sentence."""
    directory = Path(directory)
    kept = read_program(directory)
    loaded = None
    if not kept.program.model.shapes_only:
        loaded = _load_saved(directory, trust_remote_code)
    return CompiledModel(
        kept.program,
        kept.target,
        loaded,
        kept.levers,
        measured=kept.measured,
        afmc_version=kept.version,
    )


def _load_saved(directory: Path, trust_remote_code: bool) -> Loaded:
    folder = (directory / MODEL_FOLDER).absolute()
    files = (folder / name for name in _GRAPH_FILES)
    place = next((file for file in files if file.is_file()), folder)
    if place == folder and not (folder / "config.json").is_file():
        raise ArtifactError(f"{folder} is missing; compile again.")
    return load_source(resolve(str(place)), trust_remote_code=trust_remote_code)
