"""The Python API: compile a model, look at it, validate it, run it, keep it."""

from __future__ import annotations

import copy
import math
import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

import afmc
from afmc import artifact, lower
from afmc.artifact import Artifact
from afmc.calls import export_calls
from afmc.classify import Classification, Result, classify
from afmc.conditions import Condition, conditions_of
from afmc.costs import Workload, estimate
from afmc.defects import Defects, gather_defects
from afmc.distributions import distributions, input_ranges
from afmc.errors import ArtifactError, ModelError, OptionError, SampleError, TextError
from afmc.evaluate import (
    CalibrationCost,
    Estimate,
    OfMatrix,
    Outcome,
    Validation,
    compare,
    tokenise,
    windows_of,
)
from afmc.frontends.export import export
from afmc.frontends.graph import Graph, parameters_in, tensors_of
from afmc.frontends.huggingface import Loaded
from afmc.frontends.load import ExampleInputs, load_source
from afmc.frontends.load import load as load_model
from afmc.frontends.matrices import find_matrices
from afmc.frontends.shapes import load_shapes, shapes_of
from afmc.frontends.sliding import with_sliding_windows
from afmc.frontends.source import resolve
from afmc.frontends.stamp import find_structure
from afmc.inspect import inspect_json, summarise
from afmc.inspect.training import notes as training_notes
from afmc.ir import (
    Calibration,
    Distributions,
    Lever,
    Matrix,
    Model,
    Program,
    RepairMethod,
    Routing,
)
from afmc.keep import keep as keep_placements
from afmc.levers import fit_or_explain, levers
from afmc.passes import Pass, name_of
from afmc.passes.partition import fits_tiles, is_bank
from afmc.pipeline import configure, load_passes, with_objective
from afmc.repair import METHODS as REPAIR
from afmc.repair import parse_repair
from afmc.repair import repair as repair_cells
from afmc.report import check_page, render, write_page
from afmc.routing import read_routing, with_routing
from afmc.samples import Samples, fitted, read_samples
from afmc.simulator.calibrate import Given, Method, look_at, mean_squares, sizes_of_inputs
from afmc.simulator.device import device_of
from afmc.simulator.products import watched
from afmc.simulator.replicas import Layer
from afmc.targets import Target, load_target
from afmc.text import Text, read_text

MODEL_FOLDER = "model"
GRAPH = "graph.pt2"
_GRAPH_FILES = ("model.onnx", "model.pt2")
"""In the folder of a model that is no language model."""

ROUTED_TOKENS = 4096
"""Of how many tokens of the calibration text a program keeps the experts at most."""

_SAMPLES = 256
"""Samples at once, where the model takes any number."""

_WINDOW = 1024
"""Tokens of a window that nobody chose, if the model takes so many."""

_REPAIR_TOKENS = 1024
"""On which the mean square of every input is measured."""

_SEEN_TOKENS = 1024
"""On which the sizes of every input are counted."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many tokens further it has come, and how many there are;
with 0 and 0 where a stage begins, and for a line that is worth saying."""


def _silent(what: str, tokens: int, of: int) -> None:
    pass


@dataclass
class Clock:
    """Seconds by stage."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Any:
        start = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - start

    def to_json(self) -> dict[str, Any]:
        """Seconds of all stages, and the process's largest resident size so far; measured."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "wall_s": sum(self.stages.values()),
            "peak_rss_mb": peak / 1024,
            "stages_s": dict(self.stages),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


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
        afmc_version: str = afmc.__version__,
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
        artifact.require_weights(self.program, purpose)
        assert self._loaded is not None
        return self._loaded

    # what went where

    @cached_property
    def summary(self) -> dict[str, Any]:
        return summarise(self.program, self.target, self.levers)

    def inspect(self) -> dict[str, Any]:
        """The figures of ``afmc inspect --json``."""
        return inspect_json(self.as_artifact())

    def as_artifact(self) -> Artifact:
        measured = self._measured or self._clock.to_json()
        return Artifact(self.program, self.target, self.levers, measured, self._afmc_version)

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
        return write_page(Path(path), render(self.as_artifact(), costs, given))

    # on tiles

    @cached_property
    def tiles(self) -> dict[str, Layer]:
        """The analog layers by the name of their matrix, for a bank of experts one for each:
        ``down_proj[3]``. `write` decides what they hold.
        """
        return lower.make_tiles(self.digital, self.program, self.target)

    @cached_property
    def analog(self) -> nn.Module:
        """The original module with its analog layers on tiles; call `write` first."""
        return lower.on_tiles(self.digital, self.program, self.tiles)

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
            lower.write_instance(
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
        target = artifact.with_figures(self.target, overrides)
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
        tiles = self.tiles

        def run(input_ids: torch.Tensor) -> torch.Tensor:
            with lower.bind_tiles(tiles), torch.inference_mode():
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
        return lower.lower_graph(exported, self.program)

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
        progress: Progress = _silent,
    ) -> Validation:
        """Perplexity, KL divergence and top-1 agreement on noisy tiles against the digital model.

        Over the first whole windows within `tokens` tokens of a text (without one, that of
        `afmc.text.read_text`), each of `window` tokens (1,024, or as many as the model takes if
        those are fewer), for `instances` manufactured chips, under every
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
        window = _longest_window(self.digital.config) if window is None else window
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
            mine = [squares[name] for name in lower.names_in_tiles(matrix)]
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
        progress: Progress = _silent,
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
        notes = lower.check_conditions(self.target, conditions)
        notes += training_notes(self.program, self.target)
        if self.program.defects is not None:
            notes += (f"broken is what this was compiled for: {self.program.defects.name}",)
        if broken is not None:
            notes += (lower.check_defects(self.program, self.target, broken),)
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
            lower.check_conditions(self.target, [condition])
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
        longest = _positions(self.digital.config)
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

    def save(self, directory: str | Path) -> Path:
        """Writes program, tables, model and graph, or without weights the first two; whole or not
        at all. Raises ArtifactError.
        """
        directory = Path(directory)
        loaded = self._loaded

        def write_model(folder: Path) -> None:
            if loaded is not None:
                with self._clock.stage("save"):
                    loaded.save(folder / MODEL_FOLDER)
                    if loaded.graph is None:
                        lower.save_graph(self._graph, folder / GRAPH)

        artifact.write(
            directory, self.program, self.target, self.summary, self._clock.to_json, write_model
        )
        return directory


def compile(
    model: str | Path | nn.Module | ExportedProgram,
    target: str | Path | Target = "afm-512-projected",
    *,
    example_inputs: ExampleInputs | None = None,
    digital: Sequence[str] = (),
    text: str | Path | Text | None = None,
    calibration: str = "std:18",
    calibration_tokens: int = 4096,
    routing: str | Path | Routing | None = None,
    objective: str | None = None,
    defects: str | Path | Defects | Sequence[str | Path | Defects] | None = None,
    repair: str | Sequence[str] = REPAIR,
    keep: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    passes: Sequence[Pass] | None = None,
    shapes_only: bool = False,
    tokenizer: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = _silent,
) -> CompiledModel:
    """Compiles a model onto the tiles of a target.

    Parameters
    ----------
    model: a name that afmc knows (``demo``, ``demo-teacher``, ``smollm2-135m``), a Hugging Face
        folder or id (also with the ``pytorch_model.bin`` and ``rpu_config`` of
        AIHWKIT-Lightning), a ``.gguf`` file, or a module in memory (then with its `tokenizer`,
        where the target has converters). With `shapes_only` also a ``.json`` configuration. Other
        than language models: an ``.onnx`` or ``.pt2`` file, a `torch.export.ExportedProgram`, or
        any module with `example_inputs`.
    target: a name, a ``.toml`` file, or a `Target`; the tiles of the paper on analog foundation
        models without one.
    example_inputs: samples for a model that is no language model, on which its input ranges are
        calibrated: a tensor for each input, whose first dimension counts samples, or an ``.npz``
        file with ``inputs``, or an array for each input by its name.
    digital: patterns of matrices to keep digital besides those that must be.
    text: calibrates the input ranges that the model does not bring along; that of
        `afmc.text.read_text` without one.
    calibration: ``std:K`` or ``percentile:P``, see `afmc.simulator.calibrate.Method`.
    routing: which experts a sample of tokens goes to, an ``.npz`` file with an array
        [tokens, experts of a token] for each experts' module; seen on the text without it.
    objective: what the mapping is to be best in, ``tiles`` (the default), ``latency``, ``energy``
        or ``accuracy``; `afmc.passes.choose` says what each of them counts.
    defects: what is broken: CSV files, rates (``"cells_off=0.005,tiles=0.01,seed=7"``), `Defects`.
    repair: what is done about stuck cells: ``permute`` (which row and column of a block goes to
        which line), ``pair`` (the working devices of a weight make up for the stuck ones), both, or
        none of it.
    keep: a folder of an earlier compile with the same model, target and passes, whose placements
        stay except where `defects` hits them.
    settings: options of passes (``{"allocate.rule": "parallel"}``) and figures of the target
        (``{"target.system.chips": 8}``), as with ``--set``.
    passes: instead of partition, merge, split, replicate, allocate and place with `settings`.
    shapes_only: reads the configuration and no weights. The mapping is the same; there are no input
        ranges, and nothing can be simulated.
    progress: called with each stage.

    Raises an AfmcError, in one sentence, for whatever the user can mend.
    """
    clock = Clock()
    method = Method.parse(calibration)
    settings = dict(settings or {})
    overrides = {
        key.removeprefix("target."): settings.pop(key)
        for key in list(settings)
        if key.startswith("target.")
    }
    hardware = load_target(target, overrides)
    device_of(hardware)
    if isinstance(routing, str | Path):
        routing = read_routing(routing)
    broken = gather_defects(defects, hardware)
    methods = parse_repair(repair)
    kept = None if keep is None else artifact.read(Path(keep))
    steps = configure(load_passes() if passes is None else list(passes), settings)
    if digital:
        steps = configure(steps, {"partition.digital": tuple(digital)})
    if objective is not None:
        steps = with_objective(steps, objective)

    if shapes_only and text is not None:
        raise OptionError(
            "a text calibrates input ranges on the weights, which --shapes-only does not read: "
            "leave one of the two out."
        )

    if shapes_only and example_inputs is not None:
        raise OptionError(
            "example inputs calibrate input ranges on the weights, which --shapes-only does not "
            "read: leave one of the two out."
        )

    progress("load", 0, 0)
    samples: Samples | None = None
    with clock.stage("load"):
        if shapes_only:
            loaded = _load_shapes(model, revision, trust_remote_code)
        else:
            loaded, samples = load_model(
                model,
                example_inputs,
                tokenizer=tokenizer,
                revision=revision,
                trust_remote_code=trust_remote_code,
                log=lambda line: progress(line, 0, 0),
            )
    if loaded.graph is not None and text is not None:
        raise OptionError(
            f"{loaded.name} is no language model: its input ranges are calibrated on samples "
            f"(--data FILE.npz), not on a text."
        )
    seen_on = _ToSee(loaded, text, samples)
    start = _start(loaded, shapes_only, broken)
    exported = None
    if kept is not None:
        assert keep is not None
        calibrated = (str(method), "" if shapes_only else seen_on.sha256)
        start = _as_kept(start, kept.program, routing)
        program = keep_placements(start, hardware, steps, kept, calibrated, Path(keep))
    else:
        progress("export", 0, 0)
        with clock.stage("export"):
            if loaded.graph is not None:
                structure = loaded.graph.structure(samples)
                parameters = parameters_in(structure)
                start = replace(start, model=replace(start.model, parameters=parameters))
            else:
                exported = None if shapes_only else export(loaded.module)
                structure = (
                    find_structure(loaded.module) if exported is None else find_matrices(exported)
                )
        matrices, remainder, work = structure
        if not matrices:
            raise ModelError(f"{loaded.name} has no linear layer with a constant weight.")
        matrices = tuple(_with_its_range(matrix, loaded) for matrix in matrices)
        work = with_sliding_windows(work, loaded.module)
        start = replace(start, matrices=matrices, remainder=remainder, work=work)
        if routing is not None:
            start = with_routing(start, routing)
        ranges = not shapes_only and _needs_ranges(start, hardware)
        unseen = start.routing is None and any(map(is_bank, matrices))
        if ranges and not unseen and hardware.system.chips is not None and passes is None:
            with clock.stage("passes"):  # whether it fits does not follow from ranges: say it soon
                fit_or_explain(start, hardware, steps)
        if ranges or (unseen and loaded.tokenizer is not None):
            with clock.stage("calibrate"):
                start = _calibrate(start, seen_on, method, calibration_tokens, ranges, progress)
            if ranges:
                _check_ranges(start)
        with clock.stage("passes"):
            program = fit_or_explain(start, hardware, steps, lambda name: progress(name, 0, 0))
        if program.allocation is None or not len(program.placements):
            names = ", ".join(name_of(step) for step in steps)
            raise OptionError(f"the passes {names} do not allocate and place every block.")
    progress("levers", 0, 0)
    with clock.stage("levers"):
        found = levers(program, start, hardware, steps)
    if not shapes_only:
        with clock.stage("distributions"):
            program = _with_distributions(program, hardware, seen_on, progress)
    if broken is not None and broken.has_stuck_cells and not shapes_only:
        with clock.stage("repair"):
            program = _repair(program, hardware, seen_on, methods, kept, progress)
    return CompiledModel(program, hardware, None if shapes_only else loaded, found, exported, clock)


def _start(loaded: Loaded, shapes_only: bool, defects: Defects | None) -> Program:
    """Before anything is known of its matrices."""
    parameters = sum(p.numel() for p in loaded.module.parameters())
    architecture = type(loaded.module).__name__
    model = Model(loaded.name, architecture, loaded.sha256, parameters, shapes_only)
    if loaded.graph is not None:
        model = replace(model, architecture=loaded.graph.architecture, unit="inference")
    return Program(model, (), training=loaded.training, defects=defects)


def _as_kept(start: Program, kept: Program, routing: Routing | None) -> Program:
    """With what the passes of an earlier compile began with, and the routing that is given now."""
    earlier = replace(
        start,
        model=replace(start.model, parameters=kept.model.parameters),
        matrices=kept.matrices,
        remainder=kept.remainder,
        work=kept.work,
        calibration=kept.calibration,
        routing=kept.routing,
    )
    return earlier if routing is None else with_routing(earlier, routing)


def _repair(
    program: Program,
    target: Target,
    seen_on: _ToSee,
    methods: Sequence[RepairMethod],
    kept: Artifact | None,
    progress: Progress,
) -> Program:
    """Orders the lines of crossbars with stuck cells, by how large the inputs are on a text."""
    progress("repair", 0, 0)
    module = seen_on.loaded.module
    tiles = lower.make_tiles(module, program, target)
    squares, name = {}, ""
    if seen_on.possible and "permute" in methods:
        readers = _readers(program)
        twin = lower.grouped(module, program.matrices, {})
        squares = mean_squares(twin, readers, seen_on.batches(_REPAIR_TOKENS))
        name = seen_on.name
    earlier = None if kept is None else kept.program
    return repair_cells(program, target, tiles, methods, squares, name, earlier)


def _with_distributions(
    program: Program, target: Target, seen_on: _ToSee, progress: Progress
) -> Program:
    """With how weights make use of full scale, and inputs where there are ranges to see."""
    progress("distributions", 0, 0)
    module = seen_on.loaded.module
    tiles = lower.make_tiles(module, program, target)
    ranges = input_ranges(program, target) if target.needs_input_range else {}
    if not seen_on.possible or not ranges:
        found = distributions(program, target, tiles, {})
        return replace(program, distributions=Distributions("", "", 0, found))
    batches = seen_on.batches(_SEEN_TOKENS)
    readers = {m.drive: _reader(m) for m in _to_calibrate(program) if m.drive in ranges}
    twin = lower.grouped(module, program.matrices, {})
    found = distributions(program, target, tiles, sizes_of_inputs(twin, readers, ranges, batches))
    used = Distributions(seen_on.name, seen_on.sha256, _count(batches), found)
    return replace(program, distributions=used)


def _load_shapes(
    model: str | Path | nn.Module | ExportedProgram, revision: str | None, trust_remote_code: bool
) -> Loaded:
    if isinstance(model, ExportedProgram):
        raise OptionError("an exported program is not read as shapes alone: leave shapes_only out.")
    if isinstance(model, nn.Module):
        return shapes_of(model)
    source = resolve(str(model), shapes_only=True)
    return load_shapes(source, trust_remote_code=trust_remote_code, revision=revision)


def _to_calibrate(program: Program) -> list[Matrix]:
    """The matrices whose layers a tile can stand in for: their input is what the layer is given."""
    return [matrix for matrix in program.matrices if fits_tiles(matrix)]


def _with_its_range(matrix: Matrix, loaded: Loaded) -> Matrix:
    """With the input ranges that the checkpoint brought along beside the weight."""
    beside = matrix.name if is_bank(matrix) else matrix.module
    ranges = loaded.input_ranges.get(beside, ())
    several = ranges if len(set(ranges)) > 1 else ()
    return replace(matrix, input_range=max(ranges, default=None), slice_ranges=several)


def _check_ranges(program: Program) -> None:
    for matrix in _to_calibrate(program):
        if not matrix.input_range:
            assert program.calibration is not None
            raise ModelError(
                f"the input of {matrix.module} is zero over {program.calibration.text}, by "
                f"{program.calibration.method}; calibrate on more or by another method."
            )


def _needs_ranges(program: Program, target: Target) -> bool:
    return target.needs_input_range and any(m.input_range is None for m in _to_calibrate(program))


@dataclass(frozen=True)
class _ToSee:
    """What a model is run on before it is on tiles: a text, or samples."""

    loaded: Loaded
    text: str | Path | Text | None
    samples: Samples | None

    @cached_property
    def source(self) -> Text:
        return (
            self.text
            if isinstance(self.text, Text)
            else read_text(self.text, "calibration", self.loaded.name)
        )

    @property
    def possible(self) -> bool:
        of_text = self.loaded.graph is None and self.loaded.tokenizer is not None
        return of_text or self.samples is not None

    @property
    def name(self) -> str:
        return self.source.name if self.samples is None else self.samples.name

    @property
    def sha256(self) -> str:
        if self.loaded.graph is None:
            return self.source.sha256
        return "" if self.samples is None else self.samples.sha256

    def batches(self, count: int) -> Sequence[Given]:
        """So many tokens of a text, or samples; what the model takes, one batch after the other.

        Raises ModelError where there is nothing to see.
        """
        if self.loaded.graph is None:
            return self._windows(count)
        if self.samples is None:
            raise ModelError(
                f"{self.loaded.name} has no samples to calibrate its input ranges on: give some "
                f"with --data FILE.npz (example_inputs=...)."
            )
        batch = self.loaded.graph.batch
        parts = list(self.samples.first(max(count, batch or 1)).batches(batch or _SAMPLES))
        whole = [each for each in parts if batch in (None, len(each))]
        if not whole:
            raise SampleError(
                f"{self.samples.name} has {len(self.samples)} samples, but {self.loaded.name} "
                f"takes {batch} at once."
            )
        return list(map(tensors_of, whole))

    def _windows(self, tokens: int) -> list[torch.Tensor]:
        """So many tokens of a text, in windows as long as possible."""
        if self.loaded.tokenizer is None:
            raise ModelError(
                f"{self.loaded.name} has no tokenizer, so its input ranges cannot be calibrated on "
                f"text; save one beside the model or pass tokenizer=..."
            )
        ids = tokenise(self.loaded.tokenizer, self.source.content, tokens)
        window = min(len(ids), _longest_window(self.loaded.config))
        if window < 2:
            raise TextError(f"the text {self.source.name} is too short to calibrate on.")
        return list(windows_of(ids, window))


def _longest_window(config: Any) -> int:
    return min(_WINDOW, _positions(config) or _WINDOW)


def _positions(config: Any) -> int | None:
    """Tokens that a model takes at most, where it says so."""
    return getattr(config, "max_position_embeddings", None)


def _readers(program: Program) -> dict[str, str]:
    """The path in `lower.grouped` of a module that reads it, by activation."""
    readers: dict[str, str] = {}
    for matrix in _to_calibrate(program):
        readers.setdefault(matrix.input, _reader(matrix))
    return readers


def _reader(matrix: Matrix) -> str:
    """The path in `lower.grouped` of the module that multiplies by it."""
    return lower.bank_path(matrix) if is_bank(matrix) else matrix.module


def _count(batches: Iterable[Given]) -> int:
    """Samples, or tokens."""
    return sum(len(each[0]) if isinstance(each, tuple) else each.numel() for each in batches)


def _calibrate(
    program: Program,
    seen_on: _ToSee,
    method: Method,
    count: int,
    ranges: bool,
    progress: Progress,
) -> Program:
    """With the input ranges, where they are wanted, and where the routers send the text."""
    batches = seen_on.batches(count)
    readers = _readers(program) if ranges else {}
    banks = filter(is_bank, program.matrices if program.routing is None else ())
    experts = list(dict.fromkeys(bank.module for bank in banks))
    language = seen_on.loaded.graph is None
    total = _count(batches)
    seen = look_at(
        lower.grouped(seen_on.loaded.module, program.matrices, {}),
        readers,
        experts,
        batches,
        method,
        lambda done: progress("calibrate", done if language else 0, total),
    )

    def with_range(matrix: Matrix) -> Matrix:
        found = seen.ranges.get(matrix.input)
        known = matrix.input_range is not None or not found
        return matrix if known else replace(matrix, input_range=found)

    used = Calibration(str(method), seen_on.name, seen_on.sha256, total)
    return replace(
        program,
        matrices=tuple(with_range(m) for m in program.matrices),
        calibration=used if ranges else None,
        routing=_routing_of(seen.experts, seen_on.source) if experts else program.routing,
    )


def _routing_of(experts: Mapping[str, NDArray[np.int32]], text: Text) -> Routing:
    kept = {path: table[:ROUTED_TOKENS] for path, table in experts.items()}
    return Routing(f"{len(next(iter(kept.values()))):,} tokens of {text.name}", kept)


def load(directory: str | Path, *, trust_remote_code: bool = False) -> CompiledModel:
    """A compiled model from disk. Raises ArtifactError or ModelError in one sentence."""
    directory = Path(directory)
    kept = artifact.read(directory)
    loaded = None
    if not kept.program.model.shapes_only:
        loaded = _load_saved(directory, trust_remote_code)
    return CompiledModel(
        kept.program,
        kept.target,
        loaded,
        kept.levers,
        measured=kept.measured,
        afmc_version=kept.afmc_version,
    )


def _load_saved(directory: Path, trust_remote_code: bool) -> Loaded:
    folder = (directory / MODEL_FOLDER).absolute()
    files = (folder / name for name in _GRAPH_FILES)
    place = next((file for file in files if file.is_file()), folder)
    if place == folder and not (folder / "config.json").is_file():
        raise ArtifactError(f"{folder} is missing; compile again.")
    return load_source(resolve(str(place)), trust_remote_code=trust_remote_code)
