"""SmolLM2-135M on every analog target: what converters, devices, time and compensation do to it.

    python tests/benchmarks/targets.py --text wikitext2-test.raw [--tokens 1024] [--instances 3]

Perplexity, measured in simulation: digital; with the target's converters and nothing else; with
everything just after programming, after a day and after a month, with and without digital
compensation. Mean and standard deviation over instances, seed 0. A dash: the device model has no
figures for that time, or time does nothing in it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tables import Table, add_option

import afmc
from afmc.errors import TargetError
from afmc.evaluation.preflight import check_conditions
from afmc.evaluation.results import Outcome
from afmc.hardware.conditions import Condition
from afmc.simulator.devices.base import device_of
from afmc.targets import Target

TARGETS = (
    "hermes-64",
    "pcm-34",
    "afm-512-projected",
    "afm-512-projected:drift",
    "moe-3d",
    "neurram-48",
    "rram-1024",
    "mythic-m1076",
    "fefet-28nm",
    "photonic-mzi-128",
    "photonic-pace-64",
    "ideal-512",
)
DAY, MONTH = 86400.0, 30 * 86400.0
HEADINGS = (
    "target", "instances", "noiseless", "fresh",
    *(f"{when}, {kind}" for when in ("1 day", "30 days") for kind in ("none", "tile")),
)  # fmt: skip
BASIS = "Perplexity: measured, in simulation; mean and standard deviation over instances, seed 0."


def known(target: Target, at_s: float) -> bool:
    """Whether the devices are known then, and are not what they were."""
    device = device_of(target)
    if device is None or type(device).age is afmc.Device.age:
        return False
    if not getattr(device, "drift", True):
        return False
    try:
        check_conditions(target, [Condition(at_s)])
    except TargetError:
        return False
    return True


def text_of(outcome: Outcome) -> str:
    estimate = outcome.perplexity
    digits = 1 if estimate.mean < 1000 else 0
    spread = "" if not estimate.std else f" ± {estimate.std:,.{digits}f}"
    return f"{estimate.mean:,.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--digital", action="append", default=[])
    parser.add_argument("--targets", nargs="*", default=TARGETS)
    add_option(parser)
    arguments = parser.parse_args()
    table = Table("accuracy", "targets", HEADINGS, BASIS)
    table.begin()
    for name in arguments.targets:
        start = time.perf_counter()
        model = afmc.compile("smollm2-135m", name, digital=arguments.digital, level=0)
        options = {"text": arguments.text, "tokens": arguments.tokens}
        clean = model.without_noise().validate(**options, instances=1)
        instances = arguments.instances if model.target.is_random else 1
        cells = [f"`{name}`", str(instances), text_of(clean.outcomes[0])]
        for at_s in (0.0, DAY, MONTH):
            if at_s and not known(model.target, at_s):
                cells += ["-", "-"]
                continue
            kinds = ["none", "tile"] if at_s else ["none"]
            result = model.validate(**options, instances=instances, at=[at_s], compensation=kinds)
            cells += [text_of(outcome) for outcome in result.outcomes]
        table.add(*cells)
        print(
            f"<!-- {name}: digital {clean.digital_perplexity:.3f}; "
            f"{time.perf_counter() - start:.0f} s -->",
            flush=True,
        )
    table.finish(arguments.write)


if __name__ == "__main__":
    main()
