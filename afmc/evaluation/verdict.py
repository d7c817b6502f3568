"""What a validation says in a sentence; and where accuracy collapsed, from what and what to try."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from afmc.common.numbers import short
from afmc.evaluation.asked import Measurement
from afmc.evaluation.effects import Variant, variants
from afmc.evaluation.figures import exact, shown
from afmc.evaluation.results import Classification, Step, Validation, Verdict
from afmc.hardware.conditions import Condition
from afmc.lower.on_tiles import OnTiles

COLLAPSED = 2.0
"""Perplexity on tiles by the digital one: from here on more than a bit of what the model knew about
each token is lost. Derived: with a loss that goes as N^-0.076 (Kaplan et al. 2020, arXiv
2001.08361) a model of perplexity 14 loses as much with a twentieth of its weights."""
KEPT = 0.5
"""Share of what a classifier gets right beyond always saying the most frequent class: with less
than half, most of what it learned is gone."""
MOSTLY = 0.5
"""Share of the whole divergence that one effect adds to be called its cause alone."""
OUTSTANDING = 2.0
"""Times the median error of a product, from which on single matrices are to blame."""
NAMED = 3
"""Matrices that are named."""
PROBED = 512
"""Tokens of the probe: the beginning of the first window, on one instance, for each effect."""

RECOVER = "to recover it: compile with -O2"
"""What to try first of a model that was not trained for analog hardware and not recovered."""

Look = Callable[[OnTiles], tuple[float, float]]
"""Perplexity or accuracy, and divergence from the digital model, of what is on tiles now."""
Errors = Callable[[OnTiles], Mapping[str, float]]
"""Relative errors of the products of each matrix; empty where nobody looks."""


@dataclass(frozen=True)
class Probe:
    """What is looked at with one effect more at a time, on a single instance."""

    measurement: Measurement
    unit: str
    look: Look
    errors: Errors

    def verdict(self, sentence: str, condition: Condition) -> Verdict:
        """Of accuracy that collapsed under a condition."""
        if not self.measurement.on_tiles.fits_again:
            return Verdict(
                collapsed=True,
                sentence=sentence,
                cause="Its cause was not looked for: there is not enough memory for more tiles.",
            )
        found = [(each, self._step(each)) for each in variants(self.measurement, condition)]
        if not found:
            return Verdict(collapsed=True, sentence=sentence)
        steps = [step for _, step in found]
        added = [
            after - before
            for before, after in pairwise([0.0, *(step.divergence for step in steps)])
        ]
        worst = sorted(range(len(found)), key=lambda index: -added[index])
        alone = added[worst[0]] >= MOSTLY * sum(added)
        causes = sorted(worst[: 1 if alone else 2])
        blamed = self._blamed(found[causes[-1]][0])
        tries = [each for index in causes for each in found[index][0].effect.tries]
        program = self.measurement.on_tiles.program
        if program.recovery is None and program.training is None:
            tries.insert(0, RECOVER)
        if blamed:
            tries.append("these matrices digital: compile with --digital NAME")
        return Verdict(
            collapsed=True,
            sentence=sentence,
            cause=self._cause(steps, causes) + _named(blamed),
            tries=tuple(tries),
            steps=tuple(steps),
        )

    def _step(self, variant: Variant) -> Step:
        figure, divergence = self.look(self._written(variant))
        return Step(effect=variant.effect.name, figure=figure, divergence=divergence)

    def _written(self, variant: Variant) -> OnTiles:
        """One instance on tiles of their own, which are gone with it."""
        measurement = self.measurement
        on_tiles = measurement.on_tiles.onto(variant.target)
        on_tiles.write(
            seed=measurement.asked.seed, condition=variant.condition, defects=measurement.broken
        )
        return on_tiles

    def _cause(self, steps: Sequence[Step], causes: Sequence[int]) -> str:
        names = " and ".join(steps[index].effect for index in causes)
        first = causes[0]
        before = f"{short(steps[first - 1].divergence)} before and " if first else ""
        return (
            f"Likely cause: {names}. Adding one effect after the other, on one window of one "
            f"instance, {self.unit} is {before}{short(steps[causes[-1]].divergence)} with it."
        )

    def _blamed(self, variant: Variant) -> dict[str, float]:
        """Matrices whose products are far more wrong than those of most, worst first."""
        errors = self.errors(self._written(variant))
        if not errors:
            return {}
        usual = statistics.median(errors.values())
        worst = sorted(errors, key=lambda name: -errors[name])[:NAMED]
        return {name: errors[name] for name in worst if errors[name] > OUTSTANDING * usual}


def _named(errors: Mapping[str, float]) -> str:
    if not errors:
        return ""
    said = ", ".join(f"{name} ({exact(error, share=True)})" for name, error in errors.items())
    return f" Most wrong are the products of {said}."


def of_validation(found: Validation, probe: Probe) -> Verdict:
    """Verdict on a language model under the worst of its conditions."""
    worst = max(found.outcomes, key=lambda each: each.perplexity.mean)
    digital, analog = found.digital_perplexity, shown(worst.perplexity).mean
    collapsed = sum(each.perplexity.mean >= COLLAPSED * digital for each in found.outcomes)
    kept = shown(worst.top1_agreement, share=True).mean
    figures = f"perplexity {analog} on tiles and {exact(digital)} digital"
    of = _among(len(found.outcomes), worst.text)
    if not collapsed:
        return Verdict(
            collapsed=False,
            sentence=f"Keeps {kept} of the digital model's choices of the next token{of}: "
            f"{figures}.",
        )
    return probe.verdict(
        f"Accuracy collapses{of}: {figures}; {kept} of the digital model's choices of the next "
        f"token are kept.{_others(collapsed, len(found.outcomes))}",
        worst.condition,
    )


def of_classification(found: Classification, chance: float, probe: Probe) -> Verdict:
    """Verdict on a classifier under the worst of its conditions; `chance` is the share of the most
    frequent class."""
    worst = min(found.outcomes, key=lambda each: each.accuracy.mean)
    digital, analog = found.digital_accuracy, shown(worst.accuracy, share=True).mean
    of = _among(len(found.outcomes), worst.text)
    figures = (
        f"{analog} right on tiles and {exact(digital, share=True)} digital, "
        f"where always the most frequent class is {exact(chance, share=True)}"
    )
    collapsed = sum(
        each.accuracy.mean - chance < KEPT * (digital - chance) for each in found.outcomes
    )
    if not collapsed:
        share = shown(worst.top1_agreement, share=True).mean
        return Verdict(
            collapsed=False,
            sentence=f"Keeps {share} of the digital model's answers{of}: {figures}.",
        )
    return probe.verdict(
        f"Accuracy collapses{of}: {figures}.{_others(collapsed, len(found.outcomes))}",
        worst.condition,
    )


def _among(conditions: int, worst: str) -> str:
    return f" in the worst case ({worst})" if conditions > 1 else ""


def _others(collapsed: int, conditions: int) -> str:
    return f" So it does under {collapsed} of {conditions} conditions." if conditions > 1 else ""
