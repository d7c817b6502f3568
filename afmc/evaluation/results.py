"""Results of measurements on noisy tiles: what is written is what is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from afmc.hardware.conditions import Condition, format_time
from afmc.program.program import SCHEMA_VERSION
from afmc.targets.tables import Compensation


class Shape(BaseModel):
    """One shape of the JSON; keys that it does not name are not looked at."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Estimate(Shape):
    """Statistics over manufactured instances of a figure that cannot be negative."""

    mean: float
    std: float | None = None
    """Standard deviation (n - 1); None for one instance."""
    interval_95: tuple[float, float] | None = None
    """95 % confidence interval of the mean: Student's, on the logarithm of a figure and on the
    logit of a share. None for fewer than three instances."""
    values: tuple[float, ...] = ()
    """One for each instance."""

    @model_validator(mode="after")
    def _interval_can_be(self) -> Self:
        if self.interval_95 is not None:
            low, high = self.interval_95
            if not 0 <= low <= self.mean <= high:
                raise ValueError(
                    f"an interval from {low:g} to {high:g} cannot be that of a mean of "
                    f"{self.mean:g}"
                )
        return self

    @property
    def ends(self) -> tuple[float, float]:
        return self.interval_95 or (self.mean, self.mean)


class UnderCondition(Shape):
    """Instances under one condition."""

    at_s: float
    temperature_C: float
    compensation: Compensation
    calibration_probes: int = 0
    recalibrated: bool = False
    """Whether corrections were measured again under this condition."""

    @property
    def condition(self) -> Condition:
        return Condition(
            self.at_s,
            self.temperature_C,
            self.compensation,
            self.calibration_probes,
            self.recalibrated,
        )

    @property
    def temperature(self) -> str:
        return f"{self.temperature_C:g} °C"

    @property
    def correction(self) -> str:
        """How drift, temperature and columns are corrected."""
        probes = f", {self.calibration_probes} probes" if self.calibration_probes else ""
        again = ", recalibrated" if self.recalibrated else ""
        return f"compensation {self.compensation}{probes}{again}"

    @property
    def text(self) -> str:
        return f"{format_time(self.at_s)}, {self.temperature}, {self.correction}"


def fields_of(condition: Condition) -> dict[str, Any]:
    """A condition as `UnderCondition` names it."""
    return {
        "at_s": condition.at_s,
        "temperature_C": condition.temperature_C,
        "compensation": condition.compensation,
        "calibration_probes": condition.probes,
        "recalibrated": condition.recalibrated,
    }


class AnalogPerplexity(Shape):
    perplexity: Estimate


class Outcome(UnderCondition):
    """A language model under one condition."""

    analog: AnalogPerplexity
    kl_divergence: Estimate
    """Nats per token, of the analog model's distribution from the digital one's."""
    top1_agreement: Estimate
    """Share of tokens for which both predict the same next token."""

    @property
    def perplexity(self) -> Estimate:
        return self.analog.perplexity


class AnalogAccuracy(Shape):
    accuracy: Estimate


class Result(UnderCondition):
    """A classifier under one condition."""

    analog: AnalogAccuracy
    """Share of samples whose likeliest class is the label's."""
    top1_agreement: Estimate
    """Share of samples for which both say the same class."""

    @property
    def accuracy(self) -> Estimate:
        return self.analog.accuracy


class OfMatrix(Shape):
    """How wrong the products of one matrix are on the tiles."""

    name: str
    relative_error: Estimate
    """The root of the summed squares of the error, by that of the digital products of the same
    inputs: 0 for perfect hardware, 1 where nothing is left."""


class Step(Shape):
    """The probe of a verdict with one effect more than the step before. Measured in simulation, on
    one window of one instance."""

    effect: str
    figure: float
    """Perplexity, or accuracy."""
    divergence: float
    """Of what the digital model says: nats a token, or the share of samples of another class."""


class Verdict(Shape):
    """What the figures come to."""

    collapsed: bool
    """Whether the model lost most of what it knows."""
    sentence: str
    cause: str = ""
    """The likeliest, with what was measured to find it; empty where nothing collapsed."""
    tries: tuple[str, ...] = ()
    """What to try next."""
    steps: tuple[Step, ...] = ()
    """Effects of the hardware, one more at a time; empty where nothing collapsed."""

    @property
    def lines(self) -> tuple[str, ...]:
        """In words."""
        tries = f"Try {'; or '.join(self.tries)}." if self.tries else ""
        return tuple(line for line in (self.sentence, self.cause, tries) if line)


class CalibrationCost(Shape):
    """What measuring every column of one instance takes. Derived from the mapping."""

    probes: int
    reads: int
    """Reads by all tiles together, one block at a time."""
    tile_time_ns: float | None
    """Time that the reads of the busiest tile take at the target's read latency; None where it has
    none."""
    digital_macs: int
    """For the products that should come out."""
    digital_operations_per_token: int
    """In use: one more addition for each output of a row slice; its factor is there anyway."""


class Speed(Shape):
    """Per second, after a warm-up; measured."""

    mean: float
    std: float | None = None
    """Over windows of the text or batches of the samples; None for one."""


class Speeds(Shape):
    """How fast this machine computes. It says nothing about the hardware that it simulates."""

    digital: Speed
    analog: Speed


class Identity(Shape):
    """Model and target of a measurement."""

    model: str
    model_sha256: str | None = None
    target: str


class Measured(Identity):
    """What is told of every measurement. All figures are measured, in simulation."""

    order: ClassVar[tuple[str, ...]] = ()
    """Keys of the JSON between those of the first condition and the last seven."""

    instances: int
    seed: int
    defects: str | None = None
    """Maps of defects, by name."""
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    """Figures of the target that were set for this measurement alone."""
    notes: tuple[str, ...] = ()
    """What a reader should know: what the devices do not do, for instance."""
    calibration: CalibrationCost | None = None
    programming_s: float
    """Time to program one instance onto the tiles, on average."""
    wall_s: float
    noise: bool = True
    """Whether anything is imperfect but the bits of converters."""
    verdict: Verdict | None = None
    """None in files of others."""

    def to_json(self) -> dict[str, Any]:
        """With the first condition's figures at the top."""
        found = self.model_dump(mode="json", by_alias=True)
        first = found["conditions"][0]
        keys = (*self.order, "programming_s", "wall_s", "noise", "verdict", *Identity.model_fields)
        return {
            "schema_version": SCHEMA_VERSION,
            "digital": found["digital"],
            **first,
            "conditions": found["conditions"],
            **{key: found[key] for key in keys},
        }


_COMMON = ("instances", "seed", "defects", "overrides", "notes", "calibration")


class DigitalPerplexity(Shape):
    perplexity: float
    """Behind the program's prefix, where it has one, as on the tiles."""
    without_prefix: float | None = None
    """Of the model as it came; None where that is the same."""


class RoundedPerplexity(Shape):
    """The digital model with the weights rounded to the nearest that are on tiles otherwise."""

    bits: int
    group: int | None = None
    """Inputs that share a scale; None: all of an output's."""
    perplexity: float

    @property
    def name(self) -> str:
        return f"{self.bits} bits" + (f", groups of {self.group}" if self.group else "")


class Validation(Measured):
    """A language model, digital and analog, on the same tokens."""

    order = (
        "tokens", "scored_tokens", "window", *_COMMON, "matrices", "text", "text_sha256",
        "simulation_tokens_per_s", "without_noise", "rounded",
    )  # fmt: skip

    digital: DigitalPerplexity
    outcomes: tuple[Outcome, ...] = Field(alias="conditions")
    """One for each condition, in the order in which they were asked for."""
    tokens: int
    scored_tokens: int
    window: int
    matrices: tuple[OfMatrix, ...] = ()
    """Under the first condition, on the first window, in dataflow order; empty where nobody asked.
    """
    text: str
    text_sha256: str = ""
    simulation_tokens_per_s: Speeds
    without_noise: DigitalPerplexity | None = None
    """On the target's converters with nothing else imperfect. The fair reference of a model that
    was trained with converters: measured where it brings input ranges of its own, or where a
    perplexity on tiles is below the digital one."""

    rounded: RoundedPerplexity | None = None
    """Measured where it was asked for."""

    @property
    def digital_perplexity(self) -> float:
        return self.digital.perplexity

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


class DigitalAccuracy(Shape):
    accuracy: float


class Classification(Measured):
    """A classifier, digital and analog, on the same samples."""

    order = ("samples", *_COMMON, "data", "data_sha256", "simulation_samples_per_s")

    digital: DigitalAccuracy
    outcomes: tuple[Result, ...] = Field(alias="conditions")
    """One for each condition, in the order in which they were asked for."""
    samples: int
    data: str
    data_sha256: str
    simulation_samples_per_s: Speeds

    @property
    def digital_accuracy(self) -> float:
        return self.digital.accuracy

    @property
    def accuracy(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].accuracy

    @property
    def top1_agreement(self) -> Estimate:
        """Under the first condition."""
        return self.outcomes[0].top1_agreement
