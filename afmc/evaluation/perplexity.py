"""How accurate the model is on noisy tiles, against itself in digital arithmetic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from afmc.common.progress import Progress, silent
from afmc.data.text import Text, read_text
from afmc.data.tokens import tokenise, windows_of
from afmc.errors import ModelError, OptionError, TargetError
from afmc.evaluation.asked import Asked, CalibrationCost
from afmc.evaluation.language import check_length, require_tokenizer
from afmc.frontends.loaded import longest_window
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles
from afmc.program.model import names_in_tiles
from afmc.program.program import SCHEMA_VERSION
from afmc.simulator.product_errors import watched

# Digital log-probabilities are kept while all instances are compared with them.
_KEEP_BYTES = 2 * 2**30


@dataclass
class Score:
    """Sums over the tokens that were scored."""

    nll: float = 0.0
    kl: float = 0.0
    agree: int = 0
    scored: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nll / self.scored, 700.0))


@dataclass(frozen=True)
class Estimate:
    """Over instances: mean, standard deviation (n - 1) and Student's 95 % interval of the mean."""

    values: tuple[float, ...]
    mean: float = field(init=False)
    std: float | None = field(init=False)
    interval_95: tuple[float, float] | None = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.values)
        mean = math.fsum(self.values) / n
        std = (
            math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / (n - 1)) if n > 1 else None
        )
        half = None if std is None else float(special.stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)
        object.__setattr__(
            self, "interval_95", None if half is None else (mean - half, mean + half)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "std": self.std,
            "interval_95": list(self.interval_95) if self.interval_95 else None,
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Outcome:
    """The instances under one condition."""

    condition: Condition
    perplexity: Estimate
    kl_divergence: Estimate
    """Nats per token, of the analog model's distribution from the digital one's."""
    top1_agreement: Estimate
    """Share of tokens for which both predict the same next token."""

    @classmethod
    def of(cls, condition: Condition, scores: Sequence[Score]) -> Outcome:
        return cls(
            condition,
            Estimate(tuple(s.perplexity for s in scores)),
            Estimate(tuple(s.kl / s.scored for s in scores)),
            Estimate(tuple(s.agree / s.scored for s in scores)),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "at_s": self.condition.at_s,
            "temperature_C": self.condition.temperature_C,
            "compensation": self.condition.compensation,
            "calibration_probes": self.condition.probes,
            "analog": {"perplexity": self.perplexity.to_json()},
            "kl_divergence": self.kl_divergence.to_json(),
            "top1_agreement": self.top1_agreement.to_json(),
        }


@dataclass(frozen=True)
class OfMatrix:
    """How wrong the products of one matrix are on the tiles."""

    name: str
    relative_error: Estimate
    """The root of the summed squares of the error, by that of the digital products of the same
    inputs: 0 for perfect hardware, 1 where nothing is left."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "relative_error": self.relative_error.to_json()}


@dataclass(frozen=True)
class Validation:
    """Digital and analog on the same tokens. All figures are measured, in simulation."""

    model: str
    model_sha256: str
    target: str
    noise: bool
    """Whether anything is imperfect but the bits of converters."""
    digital_perplexity: float
    outcomes: tuple[Outcome, ...]
    """One for each condition, in the order in which they were asked for."""
    tokens: int
    scored_tokens: int
    window: int
    text: str
    text_sha256: str
    seed: int
    digital_tokens_per_s: float
    analog_tokens_per_s: float
    programming_s: float
    """To write one instance onto the tiles, on average."""
    wall_s: float
    calibration: CalibrationCost | None = None
    defects: str | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know: what the devices do not do, for instance."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the target that were set for this validation alone."""
    matrices: tuple[OfMatrix, ...] = ()
    """Under the first condition, on the first window, in dataflow order; empty where nobody asked.
    """

    @property
    def instances(self) -> int:
        return len(self.perplexity.values)

    @property
    def perplexity(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].perplexity

    @property
    def kl_divergence(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].kl_divergence

    @property
    def top1_agreement(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].top1_agreement

    def to_json(self) -> dict[str, Any]:
        """With the first condition's figures at the top."""
        return {
            "schema_version": SCHEMA_VERSION,
            "digital": {"perplexity": self.digital_perplexity},
            **self.outcomes[0].to_json(),
            "conditions": [outcome.to_json() for outcome in self.outcomes],
            "tokens": self.tokens,
            "scored_tokens": self.scored_tokens,
            "window": self.window,
            "instances": self.instances,
            "seed": self.seed,
            "defects": self.defects,
            "overrides": dict(self.overrides),
            "notes": list(self.notes),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "matrices": [each.to_json() for each in self.matrices],
            "text": self.text,
            "text_sha256": self.text_sha256,
            "tokens_per_s": {
                "digital": self.digital_tokens_per_s,
                "analog": self.analog_tokens_per_s,
                "ratio": self.analog_tokens_per_s / self.digital_tokens_per_s,
            },
            "programming_s": self.programming_s,
            "wall_s": self.wall_s,
            "noise": self.noise,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "target": self.target,
        }


def validate(
    on_tiles: OnTiles,
    text: str | Path | Text | None = None,
    *,
    tokens: int = 4096,
    window: int | None = None,
    asked: Asked = Asked(),  # noqa: B008  # frozen
    by_matrix: bool = False,
    progress: Progress = silent,
) -> Validation:
    """Perplexity, KL divergence and top-1 agreement on noisy tiles against the digital model.

    Over the first whole windows within `tokens` tokens of a text, each of `window` tokens: see
    `afmc.CompiledModel.validate`. Raises TextError, OptionError and TargetError; ModelError for a
    model that does not predict the next token.
    """
    measurement = asked.of(on_tiles)
    on_tiles, conditions = measurement.on_tiles, measurement.conditions
    model = on_tiles.program.model
    if on_tiles.network is not None:
        raise ModelError(
            f"{model.name} is no language model: its accuracy is measured on labelled samples "
            f"(--data FILE.npz, or classify(...))."
        )
    if window is None:
        window = min(tokens, longest_window(on_tiles.digital.config))
    if window < 2 or tokens < window:
        raise OptionError(
            f"--window must be at least 2 and at most --tokens, but they are {window} and {tokens}."
        )
    check_length(on_tiles, window, f"--window {window}")
    source = text if isinstance(text, Text) else read_text(text, "validation", model.name)
    ids = tokenise(require_tokenizer(on_tiles), source.content, tokens)
    windows = windows_of(ids, window)
    of_matrices: dict[int, dict[str, float]] = {}

    def write(index: int, condition: Condition) -> None:
        measurement.write(index, condition)
        if by_matrix and condition == conditions[0] and index not in of_matrices:
            of_matrices[index] = errors_by_matrix(on_tiles, windows[0])
            measurement.write(index, condition)  # the noise of reads begins anew

    digital, analog = compare(
        on_tiles.digital,
        on_tiles.analog,
        write,
        windows,
        asked.instances,
        conditions,
        lambda what, done: progress(what, done, len(windows) * window),
    )
    every = [score for of_instances in analog for score in of_instances]
    return Validation(
        model=model.name,
        model_sha256=model.sha256,
        target=on_tiles.target.name,
        noise=not on_tiles.target.is_perfect,
        digital_perplexity=digital.perplexity,
        outcomes=tuple(map(Outcome.of, conditions, analog)),
        tokens=digital.tokens,
        scored_tokens=digital.scored,
        window=window,
        text=source.name,
        text_sha256=source.sha256,
        seed=asked.seed,
        digital_tokens_per_s=digital.tokens / digital.seconds,
        analog_tokens_per_s=sum(s.tokens for s in every) / sum(s.seconds for s in every),
        programming_s=measurement.programming_s,
        wall_s=measurement.wall_s,
        calibration=measurement.calibration_cost,
        defects=measurement.defects_named,
        overrides=on_tiles.target.overrides,
        notes=measurement.notes,
        matrices=tuple(
            OfMatrix(m.name, Estimate(tuple(each[m.name] for each in of_matrices.values())))
            for m in on_tiles.program.analog
            if of_matrices
        ),
    )


def errors_by_matrix(on_tiles: OnTiles, window: Tensor) -> dict[str, float]:
    """Relative error of the products of each matrix, as the tiles are now."""
    with watched(on_tiles.tiles) as squares, torch.inference_mode():
        on_tiles.analog(input_ids=window, use_cache=False)
    found = {}
    for matrix in on_tiles.program.analog:
        mine = [squares[name] for name in names_in_tiles(matrix)]
        whole = sum(each.digital for each in mine)
        wrong = sum(each.error for each in mine)
        found[matrix.name] = math.sqrt(wrong / whole) if whole else 0.0
    return found


def compare(
    digital: nn.Module,
    analog: nn.Module,
    write: Callable[[int, Condition], object],
    windows: Sequence[Tensor],
    instances: int,
    conditions: Sequence[Condition],
    observe: Callable[[str, int], None] = lambda what, tokens: None,
) -> tuple[Score, list[list[Score]]]:
    """Scores of the digital model and, by condition, of every instance.

    `write(i, condition)` puts instance i onto the tiles of `analog`. The first token of a window is
    not scored. Windows come in chunks whose digital log-probabilities fit into memory; an instance
    is written once a chunk and is the same each time, because its noise follows from its number.
    """
    if instances < 1:
        raise OptionError(f"--instances must be at least 1, but is {instances}.")
    reference = Score()
    scores = [[Score() for _ in range(instances)] for _ in conditions]
    with torch.inference_mode():
        write(0, conditions[0])
        for model in (digital, analog):  # so that the first window's time is like the others'
            model(input_ids=windows[0][:, :2], use_cache=False)
        for chunk in _chunks(windows, digital):
            expected = []
            for window in chunk:
                expected.append(_score(digital, window, reference, None))
                observe("digital", window.numel())
            for condition, of_instances in zip(conditions, scores, strict=True):
                for index, score in enumerate(of_instances):
                    write(index, condition)
                    for window, log_p in zip(chunk, expected, strict=True):
                        _score(analog, window, score, log_p)
                        if not math.isfinite(score.nll):
                            raise TargetError(
                                f"on the tiles the model's outputs are no finite numbers (instance "
                                f"{index}, {condition}); look at the target with 'afmc targets "
                                f"check'."
                            )
                        what = f"instance {index + 1} of {instances}"
                        if len(conditions) > 1:
                            what += f", {condition}"
                        observe(what, window.numel())
    return reference, scores


def _chunks(windows: Sequence[Tensor], model: nn.Module) -> list[Sequence[Tensor]]:
    vocabulary = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
    size = max(1, _KEEP_BYTES // (windows[0].numel() * vocabulary * 4))
    return [windows[i : i + size] for i in range(0, len(windows), size)]


def _score(model: nn.Module, window: Tensor, score: Score, expected: Tensor | None) -> Tensor:
    start = time.perf_counter()
    logits = model(input_ids=window, use_cache=False).logits
    score.seconds += time.perf_counter() - start
    log_q = functional.log_softmax(logits[0, :-1].float(), dim=-1)
    following = window[0, 1:]
    score.nll -= float(log_q.gather(1, following[:, None]).sum())
    score.scored += following.numel()
    score.tokens += window.numel()
    if expected is not None:
        score.agree += int((expected.argmax(dim=-1) == log_q.argmax(dim=-1)).sum())
        score.kl += float(functional.kl_div(log_q, expected, log_target=True, reduction="sum"))
    return log_q
