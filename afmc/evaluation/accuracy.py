"""How often a classifier is right on noisy tiles, beside itself in digital arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from afmc.common.progress import Progress, silent
from afmc.data.samples import Samples, fitted, read_samples
from afmc.errors import ModelError, OptionError, SampleError, TargetError
from afmc.evaluation.asked import Asked, CalibrationCost
from afmc.evaluation.perplexity import Estimate
from afmc.frontends.graph.export import first_tensor
from afmc.frontends.network import tensors_of
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles
from afmc.program.program import SCHEMA_VERSION

BATCH = 500
"""Samples at once, where the model takes any number."""


@dataclass
class Hits:
    """Sums over the samples that were classified."""

    right: int = 0
    agree: int = 0
    samples: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """The instances under one condition."""

    condition: Condition
    accuracy: Estimate
    """Share of samples whose likeliest class is the label's."""
    top1_agreement: Estimate
    """Share of samples for which both say the same class."""

    @classmethod
    def of(cls, condition: Condition, hits: Sequence[Hits]) -> Result:
        return cls(
            condition,
            Estimate(tuple(each.right / each.samples for each in hits)),
            Estimate(tuple(each.agree / each.samples for each in hits)),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "at_s": self.condition.at_s,
            "temperature_C": self.condition.temperature_C,
            "compensation": self.condition.compensation,
            "calibration_probes": self.condition.probes,
            "analog": {"accuracy": self.accuracy.to_json()},
            "top1_agreement": self.top1_agreement.to_json(),
        }


@dataclass(frozen=True)
class Classification:
    """Digital and analog on the same samples. All figures are measured, in simulation."""

    digital_accuracy: float
    outcomes: tuple[Result, ...]
    """One for each condition, in the order in which they were asked for."""
    samples: int
    data: str
    data_sha256: str
    seed: int
    digital_samples_per_s: float
    analog_samples_per_s: float
    programming_s: float
    """To write one instance onto the tiles, on average."""
    wall_s: float
    calibration: CalibrationCost | None = None
    defects: str | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know: what the devices do not do, for instance."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the target that were set for this alone."""

    @property
    def accuracy(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].accuracy

    @property
    def top1_agreement(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].top1_agreement

    @property
    def instances(self) -> int:
        return len(self.accuracy.values)

    def to_json(self) -> dict[str, Any]:
        """With the first condition's figures at the top."""
        return {
            "schema_version": SCHEMA_VERSION,
            "digital": {"accuracy": self.digital_accuracy},
            **self.outcomes[0].to_json(),
            "conditions": [outcome.to_json() for outcome in self.outcomes],
            "samples": self.samples,
            "instances": self.instances,
            "seed": self.seed,
            "defects": self.defects,
            "overrides": dict(self.overrides),
            "notes": list(self.notes),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "data": self.data,
            "data_sha256": self.data_sha256,
            "samples_per_s": {
                "digital": self.digital_samples_per_s,
                "analog": self.analog_samples_per_s,
                "ratio": self.analog_samples_per_s / self.digital_samples_per_s,
            },
            "programming_s": self.programming_s,
            "wall_s": self.wall_s,
        }


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
    digital, analog = count_right(
        on_tiles.digital,
        on_tiles.analog,
        measurement.write,
        given,
        network.batch,
        asked.instances,
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
        seed=asked.seed,
        digital_samples_per_s=digital.samples / digital.seconds,
        analog_samples_per_s=sum(h.samples for h in every) / sum(h.seconds for h in every),
        programming_s=measurement.programming_s,
        wall_s=measurement.wall_s,
        calibration=measurement.calibration_cost,
        defects=measurement.defects_named,
        overrides=on_tiles.target.overrides,
        notes=measurement.notes,
    )


def count_right(
    digital: nn.Module,
    analog: nn.Module,
    write: Callable[[int, Condition], object],
    samples: Samples,
    batch: int | None,
    instances: int,
    conditions: Sequence[Condition],
    observe: Callable[[str, int], None] = lambda what, samples: None,
) -> tuple[Hits, list[list[Hits]]]:
    """Hits of the digital model and, by condition, of every instance.

    `write(i, condition)` puts instance i onto the tiles of `analog`. With a `batch` the model takes
    exactly so many samples, and what is left over at the end is not used.
    """
    if instances < 1:
        raise OptionError(f"--instances must be at least 1, but is {instances}.")
    if samples.labels is None:
        raise SampleError(f"{samples.name} has no array 'labels', the class of each sample.")
    parts = [
        each for each in samples.batches(batch or BATCH) if batch is None or len(each) == batch
    ]
    if not parts:
        raise SampleError(
            f"{samples.name} has {len(samples)} samples, but the model takes {batch} at once."
        )
    reference, expected = Hits(), []
    for part in parts:
        expected.append(_count(digital, part, reference, None))
        observe("digital", len(part))
    every = [[Hits() for _ in range(instances)] for _ in conditions]
    for condition, of_instances in zip(conditions, every, strict=True):
        for index, hits in enumerate(of_instances):
            write(index, condition)
            what = f"instance {index + 1} of {instances}"
            if len(conditions) > 1:
                what += f", {condition}"
            for part, classes in zip(parts, expected, strict=True):
                _count(analog, part, hits, classes)
                observe(what, len(part))
    return reference, every


def _count(model: nn.Module, part: Samples, hits: Hits, expected: Tensor | None) -> Tensor:
    assert part.labels is not None
    start = time.perf_counter()
    with torch.inference_mode():
        scores = first_tensor(model(*tensors_of(part)), type(model).__name__)
    hits.seconds += time.perf_counter() - start
    if scores.ndim != 2 or len(scores) != len(part):
        told = " x ".join(map(str, scores.shape))
        raise SampleError(
            f"the model's output is {told} for {len(part)} samples: accuracy needs a score for "
            f"each sample and class."
        )
    if not bool(torch.isfinite(scores).all()):
        where = "in digital arithmetic" if expected is None else "on the tiles"
        raise TargetError(f"{where} the model's outputs are no finite numbers.")
    highest = int(part.labels.max())
    if highest >= scores.shape[1]:
        raise SampleError(
            f"{part.name} has the label {highest}, but the model tells {scores.shape[1]} classes "
            f"apart, from 0."
        )
    classes = scores.argmax(dim=1)
    hits.right += int((classes == torch.tensor(part.labels, dtype=torch.long)).sum())
    hits.samples += len(part)
    if expected is not None:
        hits.agree += int((classes == expected).sum())
    return classes
