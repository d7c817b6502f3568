"""How accurate the model is on noisy tiles, against itself in digital arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.common.progress import Progress, silent
from afmc.data.text import Text, read_text
from afmc.data.tokens import begin_of, check_known, tokenise, windows_of
from afmc.errors import ModelError, OptionError
from afmc.evaluation.asked import Asked, Measurement
from afmc.evaluation.language import check_length, require_tokenizer
from afmc.evaluation.results import (
    AnalogPerplexity,
    DigitalPerplexity,
    OfMatrix,
    Outcome,
    RoundedPerplexity,
    Validation,
    fields_of,
)
from afmc.evaluation.side_by_side import Sums, side_by_side, speeds
from afmc.evaluation.statistics import estimate, estimate_share
from afmc.evaluation.verdict import PROBED, Probe, of_validation
from afmc.frontends.loaded import longest_window
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles
from afmc.lower.prefix import put_behind
from afmc.program.model import names_in_tiles
from afmc.quantize.precision import Precision
from afmc.quantize.twin import rounded_twin
from afmc.simulator.product_errors import watched

# Digital log-probabilities are kept while all instances are compared with them.
_KEEP_BYTES = 2 * 2**30


@dataclass
class Score(Sums):
    """Sums over the tokens that were scored."""

    nll: float = 0.0
    kl: float = 0.0
    agree: int = 0
    scored: int = 0

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nll / self.scored, 700.0))

    @property
    def divergence(self) -> float:
        """Kullback-Leibler divergence, nats a token; sums of rounded figures may be below 0."""
        return max(0.0, self.kl / self.scored)


def _outcome(condition: Condition, scores: Sequence[Score]) -> Outcome:
    return Outcome(
        **fields_of(condition),
        analog=AnalogPerplexity(perplexity=estimate(s.perplexity for s in scores)),
        kl_divergence=estimate(s.divergence for s in scores),
        top1_agreement=estimate_share(s.agree / s.scored for s in scores),
    )


def validate(
    on_tiles: OnTiles,
    text: str | Path | Text | None = None,
    *,
    tokens: int = 4096,
    window: int | None = None,
    asked: Asked = Asked(),  # noqa: B008  # frozen
    by_matrix: bool = False,
    rounded: Precision | None = None,
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
    tokenizer = require_tokenizer(on_tiles)
    ids = tokenise(tokenizer, source.content, tokens)
    check_known(ids, on_tiles.digital.config)
    begin = begin_of(tokenizer)
    windows = windows_of(ids, window, () if on_tiles.prefix else begin)
    skip = 0 if on_tiles.prefix else len(begin)
    of_matrices: dict[int, dict[str, float]] = {}

    def written(index: int, condition: Condition) -> None:
        if by_matrix and condition == conditions[0] and index not in of_matrices:
            of_matrices[index] = errors_by_matrix(on_tiles, windows[0])
            measurement.write(index, condition)  # the noise of reads begins anew

    digital, analog = side_by_side(
        measurement,
        _chunks(windows, on_tiles.digital),
        Score,
        partial(_score, skip=skip),
        lambda what, done: progress(what, done, len(windows) * window),
        written,
    )
    found = Validation(
        model=model.name,
        model_sha256=model.sha256,
        target=on_tiles.target.name,
        noise=not on_tiles.target.is_perfect,
        digital=DigitalPerplexity(
            perplexity=digital.perplexity,
            without_prefix=_without_prefix(on_tiles, ids, window, begin),
        ),
        conditions=tuple(map(_outcome, conditions, analog)),
        tokens=digital.count,
        scored_tokens=digital.scored,
        window=window,
        text=source.name,
        text_sha256=source.sha256,
        seed=asked.seed,
        instances=asked.instances,
        simulation_tokens_per_s=speeds(digital, analog),
        programming_s=measurement.programming_s,
        wall_s=measurement.wall_s,
        calibration=measurement.calibration_cost,
        defects=measurement.defects_named,
        overrides=dict(on_tiles.target.overrides),
        notes=measurement.notes,
        matrices=tuple(
            OfMatrix(
                name=m.name,
                relative_error=estimate(each[m.name] for each in of_matrices.values()),
            )
            for m in on_tiles.program.analog
            if of_matrices
        ),
    )
    progress("verdict", 0, 0)
    more = {
        "rounded": None if rounded is None else _rounded(on_tiles, windows, skip, rounded),
        "without_noise": _without_noise(on_tiles, windows, skip, found),
        "verdict": of_validation(found, _probe(measurement, windows[0][:, :PROBED], skip)),
    }
    return found.model_copy(update={**more, "wall_s": measurement.wall_s})


def _without_noise(
    on_tiles: OnTiles, windows: Sequence[Tensor], skip: int, found: Validation
) -> DigitalPerplexity | None:
    """The model with the target's converters alone, where that is the fair reference."""
    training = on_tiles.program.training
    learned = training is not None and training.ranges == "static"
    better = any(each.perplexity.mean < found.digital_perplexity for each in found.outcomes)
    if on_tiles.target.is_perfect or not (learned or better) or not on_tiles.fits_again:
        return None
    twin = on_tiles.without_noise()
    twin.write()
    return DigitalPerplexity(perplexity=score_of(twin.analog, windows, skip).perplexity)


def _rounded(
    on_tiles: OnTiles, windows: Sequence[Tensor], skip: int, precision: Precision
) -> RoundedPerplexity:
    """The digital model with rounded weights, behind the prefix where there is one."""
    twin = rounded_twin(on_tiles.digital, on_tiles.program, precision)
    if on_tiles.prefix is not None:
        twin = put_behind(twin, on_tiles.prefix)
    found = score_of(twin, windows, skip).perplexity
    return RoundedPerplexity(bits=precision.bits, group=precision.group, perplexity=found)


def _probe(measurement: Measurement, window: Tensor, skip: int) -> Probe:
    """What a verdict looks at: one window, on one instance."""

    def look(on_tiles: OnTiles) -> tuple[float, float]:
        score = Score()
        with torch.inference_mode():
            expected = _score(on_tiles.reference, window, Score(), None, skip=skip)
            _score(on_tiles.analog, window, score, expected, skip=skip)
        return score.perplexity, score.divergence

    return Probe(
        measurement,
        "the divergence from the digital model, in nats a token,",
        look,
        lambda on_tiles: errors_by_matrix(on_tiles, window),
    )


def _without_prefix(
    on_tiles: OnTiles, ids: Tensor, window: int, begin: tuple[int, ...]
) -> float | None:
    if on_tiles.prefix is None:
        return None
    windows = windows_of(ids, window + len(begin), begin)  # of the text the same tokens
    return score_of(on_tiles.digital, windows, len(begin)).perplexity


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


def score_of(model: nn.Module, windows: Sequence[Tensor], skip: int = 0) -> Score:
    """Sums of a model in digital arithmetic; the first `skip` tokens are no part of the text."""
    found = Score()
    with torch.inference_mode():
        for window in windows:
            _score(model, window, found, None, skip=skip)
    return found


def _chunks(windows: Sequence[Tensor], model: nn.Module) -> list[Sequence[Tensor]]:
    vocabulary = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
    size = max(1, _KEEP_BYTES // (windows[0].numel() * vocabulary * 4))
    return [windows[i : i + size] for i in range(0, len(windows), size)]


def _score(
    model: nn.Module, window: Tensor, score: Score, expected: Tensor | None, *, skip: int
) -> Tensor:
    with score.timed(window.numel()):
        logits = model(input_ids=window, use_cache=False).logits
    log_q = functional.log_softmax(logits[0, skip:-1].float(), dim=-1)
    following = window[0, skip + 1 :]
    score.nll -= float(log_q.gather(1, following[:, None]).sum())
    score.scored += following.numel()
    if expected is not None:
        score.agree += int((expected.argmax(dim=-1) == log_q.argmax(dim=-1)).sum())
        score.kl += float(functional.kl_div(log_q, expected, log_target=True, reduction="sum"))
    return log_q
