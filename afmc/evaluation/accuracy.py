"""How often a classifier is right on noisy tiles, beside itself in digital arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from afmc.common.progress import Progress, silent
from afmc.data.samples import Samples, fitted, read_samples
from afmc.errors import ModelError, SampleError
from afmc.evaluation.asked import Asked, Measurement
from afmc.evaluation.results import (
    AnalogAccuracy,
    Classification,
    DigitalAccuracy,
    Result,
    fields_of,
)
from afmc.evaluation.side_by_side import Sums, side_by_side, speeds
from afmc.evaluation.statistics import estimate_share
from afmc.evaluation.verdict import Probe, of_classification
from afmc.frontends.graph.export import first_tensor
from afmc.frontends.network import tensors_of
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles

BATCH = 500
"""Samples at once, where the model takes any number."""


@dataclass
class Hits(Sums):
    """Sums over the samples that were classified."""

    right: int = 0
    agree: int = 0


def _result(condition: Condition, hits: Sequence[Hits]) -> Result:
    return Result(
        **fields_of(condition),
        analog=AnalogAccuracy(accuracy=estimate_share(each.right / each.count for each in hits)),
        top1_agreement=estimate_share(each.agree / each.count for each in hits),
    )


def classify(
    on_tiles: OnTiles,
    data: str | Path | Samples,
    *,
    samples: int | None = None,
    asked: Asked = Asked(),  # noqa: B008  # frozen
    progress: Progress = silent,
) -> Classification:
    """How often a classifier is right on noisy tiles and in digital arithmetic.

    See `afmc.CompiledModel.classify`. Raises SampleError, OptionError and TargetError; ModelError
    for a language model.
    """
    name, network = on_tiles.program.model.name, on_tiles.network
    if network is None:
        raise ModelError(
            f"{name} is a language model: its accuracy is measured on a text (--text), not on "
            f"samples."
        )
    measurement = asked.of(on_tiles)
    on_tiles, conditions = measurement.on_tiles, measurement.conditions
    given = data if isinstance(data, Samples) else read_samples(data)
    given = fitted(given, network.inputs, name)
    if samples is not None:
        given = given.first(samples)
    parts = _parts(given, network.batch)
    digital, analog = side_by_side(
        measurement,
        [parts],
        Hits,
        _count,
        lambda what, done: progress(what, done, len(given)),
    )
    found = Classification(
        model=name,
        model_sha256=on_tiles.program.model.sha256,
        target=on_tiles.target.name,
        noise=not on_tiles.target.is_perfect,
        digital=DigitalAccuracy(accuracy=digital.right / digital.count),
        conditions=tuple(map(_result, conditions, analog)),
        samples=digital.count,
        data=given.name,
        data_sha256=given.sha256,
        seed=asked.seed,
        instances=asked.instances,
        simulation_samples_per_s=speeds(digital, analog),
        programming_s=measurement.programming_s,
        wall_s=measurement.wall_s,
        calibration=measurement.calibration_cost,
        defects=measurement.defects_named,
        overrides=dict(on_tiles.target.overrides),
        notes=measurement.notes,
    )
    assert given.labels is not None
    chance = float(np.bincount(given.labels).max()) / len(given)
    progress("verdict", 0, 0)
    verdict = of_classification(found, chance, _probe(measurement, parts[0]))
    return found.model_copy(update={"verdict": verdict, "wall_s": measurement.wall_s})


def _probe(measurement: Measurement, part: Samples) -> Probe:
    """What a verdict looks at: some samples, on one instance."""

    def look(on_tiles: OnTiles) -> tuple[float, float]:
        hits = Hits()
        with torch.inference_mode():
            expected = _count(on_tiles.digital, part, Hits(), None)
            _count(on_tiles.analog, part, hits, expected)
        return hits.right / hits.count, 1 - hits.agree / hits.count

    what = "the share of samples that change their class"
    return Probe(measurement, what, look, lambda on_tiles: {})


def _parts(samples: Samples, batch: int | None) -> list[Samples]:
    """Samples in batches; what is left over at the end is not used where the model takes exactly so
    many."""
    if samples.labels is None:
        raise SampleError(f"{samples.name} has no array 'labels', the class of each sample.")
    parts = [
        each for each in samples.batches(batch or BATCH) if batch is None or len(each) == batch
    ]
    if not parts:
        raise SampleError(
            f"{samples.name} has {len(samples)} samples, but the model takes {batch} at once."
        )
    return parts


def _count(model: nn.Module, part: Samples, hits: Hits, expected: Tensor | None) -> Tensor:
    assert part.labels is not None
    with hits.timed(len(part)):
        scores = first_tensor(model(*tensors_of(part)), type(model).__name__)
    if scores.ndim != 2 or len(scores) != len(part):
        told = " x ".join(map(str, scores.shape))
        raise SampleError(
            f"the model's output is {told} for {len(part)} samples: accuracy needs a score for "
            f"each sample and class."
        )
    highest = int(part.labels.max())
    if highest >= scores.shape[1]:
        raise SampleError(
            f"{part.name} has the label {highest}, but the model tells {scores.shape[1]} classes "
            f"apart, from 0."
        )
    classes = scores.argmax(dim=1)
    hits.right += int((classes == torch.tensor(part.labels, dtype=torch.long)).sum())
    if expected is not None:
        hits.agree += int((classes == expected.argmax(dim=1)).sum())
    return scores
