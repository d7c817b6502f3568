"""Tasks asked of the digital model and of chips, each by itself."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from afmc.common.install import install
from afmc.common.progress import Progress, silent
from afmc.common.version import VERSION
from afmc.errors import AfmcError, ModelError, OptionError
from afmc.evaluation.asked import Asked, Measurement
from afmc.evaluation.benchmarks.kept import KeptRuns
from afmc.evaluation.benchmarks.results import (
    AnalogScore,
    Benchmarks,
    DigitalScore,
    DigitalScores,
    OverQuestions,
    Paired,
    ScoresUnder,
)
from afmc.evaluation.benchmarks.tasks import Task, check_names
from afmc.evaluation.language import require_tokenizer
from afmc.evaluation.results import fields_of
from afmc.evaluation.statistics import estimate, estimate_share, estimate_signed
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles


def require_harness() -> None:
    """Raises OptionError where lm-evaluation-harness is not installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise OptionError(f'benchmarks need the package lm_eval: run "{install("eval")}".')


def evaluate_tasks(
    on_tiles: OnTiles,
    tasks: Sequence[Task],
    *,
    limit: int | None = None,
    batch: int = 8,
    asked: Asked = Asked(),  # noqa: B008  # frozen
    kept: KeptRuns | None = None,
    progress: Progress = silent,
) -> Benchmarks:
    """Metrics of benchmarks on noisy tiles and in digital arithmetic, on the same questions.

    See `afmc.CompiledModel.evaluate`. Raises OptionError and TargetError; ModelError for a model
    that does not predict the next token.
    """
    require_harness()
    model = on_tiles.program.model
    if on_tiles.network is not None:
        raise ModelError(f"{model.name} is no language model: its accuracy is that of classify.")
    if limit is not None and limit < 1:
        raise OptionError(f"--limit must be at least 1, but is {limit}.")
    if batch < 1:
        raise OptionError(f"--batch must be at least 1, but is {batch}.")
    measurement = asked.of(on_tiles)
    runs = _Runs(measurement, tasks, limit, batch, kept or KeptRuns(None), progress)
    digital = {task.name: runs.digital(task) for task in tasks}
    analog = [
        [
            {task.name: runs.analog(task, chip, each) for task in tasks}
            for chip in range(asked.instances)
        ]
        for each in measurement.conditions
    ]
    shown = [score for task in tasks for score in digital[task.name]]
    check_scores(shown)
    return Benchmarks(
        model=model.name,
        model_sha256=model.sha256,
        target=measurement.on_tiles.target.name,
        noise=not measurement.on_tiles.target.is_perfect,
        digital=DigitalScores(scores=tuple(each.of_digital for each in shown)),
        conditions=tuple(
            _under(condition, shown, [[s for t in tasks for s in chip[t.name]] for chip in chips])
            for condition, chips in zip(measurement.conditions, analog, strict=True)
        ),
        tasks=tuple(task.text for task in tasks),
        limit=limit,
        batch=batch,
        harness=runs.harness,
        data={task.name: task.data_sha256 for task in tasks if task.data_sha256 is not None},
        instances=asked.instances,
        seed=asked.seed,
        defects=measurement.defects_named,
        overrides=dict(measurement.on_tiles.target.overrides),
        notes=measurement.notes,
        calibration=measurement.calibration_cost,
        programming_s=measurement.programming_s if measurement.written else 0.0,
        wall_s=measurement.wall_s,
    )


@dataclass(frozen=True)
class Score:
    """A metric of a task, as one model got it."""

    task: str
    metric: str
    value: float
    higher_is_better: bool
    shots: int
    questions: int
    by_question: tuple[float, ...]
    """Empty where the value is not their mean."""

    @property
    def is_share(self) -> bool:
        """Whether it is the share of questions of which something is so, or a mean of shares."""
        return bool(self.by_question) and all(0 <= each <= 1 for each in self.by_question)

    @property
    def of_digital(self) -> DigitalScore:
        return DigitalScore(
            task=self.task,
            metric=self.metric,
            questions=self.questions,
            shots=self.shots,
            higher_is_better=self.higher_is_better,
            is_share=self.is_share,
            score=OverQuestions(
                mean=self.value,
                standard_error=_standard_error(self.by_question) if self.by_question else None,
            ),
        )


class _Runs:
    """What lm-eval is asked, or was asked before."""

    def __init__(
        self,
        measurement: Measurement,
        tasks: Sequence[Task],
        limit: int | None,
        batch: int,
        kept: KeptRuns,
        progress: Progress,
    ) -> None:
        import lm_eval
        from lm_eval.tasks import TaskManager

        self._measurement, self._tasks = measurement, tasks
        self._limit, self._batch = limit, batch
        self._kept, self._progress = kept, progress
        self.harness = str(lm_eval.__version__)
        own = all(task.config is not None for task in tasks)
        with _quiet():
            self._manager = TaskManager(include_defaults=not own)
        check_names(tasks, self._manager.all_tasks)
        self._around = _around(measurement.on_tiles)

    def digital(self, task: Task) -> list[Score]:
        return self._scores(task, "digital", {}, None, None)

    def analog(self, task: Task, chip: int, condition: Condition) -> list[Score]:
        asked, on_tiles = self._measurement.asked, self._measurement.on_tiles
        depends = {
            "target": on_tiles.target.model_dump_json(),
            "mapping": _mapping(on_tiles),
            "seed": asked.seed,
            "chip": chip,
            "condition": repr(condition),
            "defects": [
                each and (repr(each.rates), hashlib.sha256(each.table.tobytes()).hexdigest())
                for each in (on_tiles.program.defects, self._measurement.broken)
            ],
        }
        under = re.sub(r"[^0-9A-Za-z.]+", "-", str(condition).replace("comp. ", ""))
        return self._scores(task, f"chip{chip}-{under}", depends, chip, condition)

    def _scores(
        self,
        task: Task,
        who: str,
        depends: dict[str, Any],
        chip: int | None,
        condition: Condition | None,
    ) -> list[Score]:
        depends = {
            "afmc_version": VERSION,
            **{f"{name}_version": metadata.version(name) for name in _PACKAGES},
            "model": self._measurement.on_tiles.program.model.sha256,
            "around": self._around,
            "task": task.text,
            "data": task.data_sha256,
            "limit": self._limit,
            "batch": self._batch,
            **depends,
        }
        found = self._kept.read(who, task.name, depends)
        if found is None:
            found = self._ask(task, chip, condition)
            self._kept.write(who, task.name, depends, found)
        return list(scores_in(task.name, found))

    def _ask(self, task: Task, chip: int | None, condition: Condition | None) -> dict[str, Any]:
        import lm_eval

        from afmc.evaluation.benchmarks.harness import OnTilesLM

        on_tiles = self._measurement.on_tiles
        chips = self._measurement.asked.instances
        what = "digital" if chip is None else f"instance {chip + 1} of {chips}: {task.name}"
        if chip is not None and condition is not None:
            self._measurement.write(chip, condition)  # the noise of reads begins anew

        def count(more: int, of: int) -> None:
            self._progress(what, more, of * len(self._tasks))

        self._progress(what, 0, 0)
        config: Any = task.name if task.config is None else dict(task.config)
        try:
            with _quiet():
                lm = OnTilesLM(on_tiles, digital=chip is None, batch_size=self._batch, done=count)
                found = lm_eval.simple_evaluate(
                    lm,
                    tasks=[config],
                    num_fewshot=task.shots,
                    limit=self._limit,
                    bootstrap_iters=0,
                    task_manager=self._manager,
                    log_samples=True,
                )
        except AfmcError:
            raise
        except Exception as error:  # of data sets, networks, tasks: whatever lm-eval runs
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise OptionError(f"lm-eval cannot run {task.text}: {reason.rstrip('.')}.") from error
        assert found is not None
        return {key: value for key, value in dict(found).items() if key in _KEPT}


_PACKAGES = ("datasets", "lm_eval", "torch", "transformers")
"""On whose versions a run depends besides afmc's."""

_KEPT = (
    "results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better",
    "n-samples", "samples", "config",
)  # fmt: skip


def scores_in(task: str, found: dict[str, Any]) -> Iterator[Score]:
    """The metrics of a task, of a group of tasks over all their questions, and where a name stands
    for several tasks those of each."""
    subtasks = _leaves(task, found.get("group_subtasks", {}))
    samples = found["samples"]
    if subtasks == [task] and task not in samples:
        for each in sorted(samples):
            yield from scores_in(each, found)
        return
    results = found["results"].get(task, {})
    if task not in samples and not any(isinstance(each, int | float) for each in results.values()):
        for each in subtasks:  # of a group that has no figure of its own
            yield from scores_in(each, found)
        return
    for key, value in results.items():
        metric, _, chosen = key.partition(",")
        if metric.endswith("_stderr") or not chosen or not isinstance(value, int | float):
            continue
        values = [
            float(each[metric])
            for name in subtasks
            for each in samples[name]
            if each.get("filter", chosen) == chosen and isinstance(each.get(metric), int | float)
        ]
        asked = sum(
            each.get("filter", chosen) == chosen for name in subtasks for each in samples[name]
        )
        is_mean = len(values) == asked and math.isclose(
            math.fsum(values) / len(values), value, rel_tol=1e-6, abs_tol=1e-9
        )
        yield Score(
            task=task,
            metric=metric if chosen == "none" else f"{metric} ({chosen})",
            value=float(value),
            higher_is_better=bool(found["higher_is_better"][subtasks[0]].get(metric, True)),
            shots=int(found["n-shot"].get(subtasks[0], 0) or 0),
            questions=asked,
            by_question=tuple(values) if is_mean else (),
        )


def check_scores(scores: Sequence[Score]) -> None:
    """Raises OptionError where one metric of a task was asked for twice: no row could say which."""
    seen = set()
    for each in scores:
        if (each.task, each.metric) in seen:
            raise OptionError(f"--tasks asks for {each.task} twice, by different names.")
        seen.add((each.task, each.metric))


def _leaves(task: str, groups: dict[str, list[str]]) -> list[str]:
    within = groups.get(task) or []
    return [leaf for each in within for leaf in _leaves(each, groups)] or [task]


def _under(
    condition: Condition, digital: Sequence[Score], chips: Sequence[Sequence[Score]]
) -> ScoresUnder:
    return ScoresUnder(
        **fields_of(condition),
        scores=tuple(
            _analog(one, [chip[number] for chip in chips]) for number, one in enumerate(digital)
        ),
    )


def _analog(digital: Score, chips: Sequence[Score]) -> AnalogScore:
    values = [each.value for each in chips]
    how = estimate if min(values) > 0 else estimate_signed
    over_chips = (estimate_share if digital.is_share else how)(values)
    standard_error = difference = None
    if digital.by_question and all(each.by_question for each in chips):
        by_question = zip(*(each.by_question for each in chips), strict=True)
        mean = [math.fsum(values) / len(chips) for values in by_question]
        standard_error = _standard_error(mean)
        apart = [a - d for a, d in zip(mean, digital.by_question, strict=True)]
        difference = Paired(
            mean=math.fsum(apart) / len(apart), standard_error=_standard_error(apart)
        )
    return AnalogScore(
        task=digital.task,
        metric=digital.metric,
        over_chips=over_chips,
        standard_error=standard_error,
        difference=difference,
    )


def _standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for one value."""
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def _around(on_tiles: OnTiles) -> str:
    """SHA-256 of the configuration and the tokenizer, but for the padding, which lm-eval sets."""
    tokenizer = require_tokenizer(on_tiles)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    read: Any = tokenizer.get_vocab() if backend is None else json.loads(backend.to_str())
    config: Any = on_tiles.digital.config
    parts = (read, dict(tokenizer.special_tokens_map), config.to_dict())
    left_out = ("padding", "truncation", "pad_token", "_name_or_path")
    kept = [{k: v for k, v in each.items() if k not in left_out} for each in parts]
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def _mapping(on_tiles: OnTiles) -> str:
    """SHA-256 of everything of the program that the tiles depend on."""
    program = on_tiles.program
    parts = (repr(program.recovery), repr(program.matrices), repr(program.rewriting))
    tables = (program.blocks, program.placements, program.orders, program.lines)
    found = hashlib.sha256("".join(parts).encode())
    for table in tables:
        found.update(table.tobytes())
    return found.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it lm-eval and its bars say nothing but what is wrong."""
    import tqdm

    names = ("lm_eval", "lm-eval", "datasets", "evaluate")
    before = {name: logging.getLogger(name).level for name in names}
    start = tqdm.tqdm.__init__

    def hidden(bar: Any, *args: Any, **options: Any) -> None:
        start(bar, *args, **{**options, "disable": True})

    tqdm.tqdm.__init__ = hidden
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        tqdm.tqdm.__init__ = start
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
