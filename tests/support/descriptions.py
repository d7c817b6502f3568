"""Small hardware descriptions, to be changed and spoilt."""

from __future__ import annotations

import tomllib

from afmc.targets import Target

SOURCED = 'source = "data sheet"\nbasis = "published"\n'

GOOD = f"""\
schema_version = 1
name = "my"
title = "Mine"
description = "A chip."

[crossbar]
rows = 64
columns = 32
{SOURCED}
[input]
bits = 8
{SOURCED}
[output]
bits = 8
bound = 12
range = "column"
{SOURCED}
[device]
noise = "package.module:Class"
options = {{ devices = 2 }}
g_max_uS = 25.0
g_min_uS = 0.5
devices_per_polarity = 1
scale = "tile"
{SOURCED}
[tile]
co_location = "parallel"
read_latency_ns = 100.0
{SOURCED}origin.read_latency_ns = {{ source = "stopwatch", basis = "measured" }}

[chip]
tiles = 4
{SOURCED}
[system]
chips = 2
{SOURCED}"""

OPTICS = f"""\
[optics]
power_mW = 0.1
responsivity_A_W = 1.0
load_ohm = 50.0
bandwidth_GHz = 1.0
{SOURCED}"""

MESH = (
    GOOD
    + f"""
[links]
topology = "mesh"
columns = 2
hop_energy_pJ_bit = 0.08
{SOURCED}"""
)

LIGHT = GOOD.replace(
    "g_max_uS = 25.0\ng_min_uS = 0.5\n", "transmission_max = 1.0\ntransmission_min = 0.01\n"
).replace("[tile]", f"{OPTICS}\n[tile]")

SLOW = f"""
[modes.slow]
title = "Slow"

[modes.slow.tile]
read_phases = 4
read_latency_ns = 400.0
source = "textbook"
basis = "assumed"
note = "Not tried."
origin.read_latency_ns = {{ source = "stopwatch, again", basis = "measured" }}

[modes.bare]
title = "Nothing for devices"

[modes.bare.device]
omit = ["noise", "options"]
{SOURCED}
[modes.bare.tile]
omit = ["read_latency_ns"]
{SOURCED}"""

MODES = GOOD + SLOW

DIGITAL = f"""\
schema_version = 1
kind = "digital"
name = "my"
title = "Mine"
description = "A processor."

[compute]
int8_TOPS = 100.0
{SOURCED}
[memory]
bandwidth_GB_s = 3000.0
{SOURCED}
[die]
area_mm2 = 100.0
{SOURCED}"""


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with each of these replaced, which must be there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def target_of(text: str, *changes: tuple[str, str]) -> Target:
    return Target.model_validate(tomllib.loads(changed(text, *changes)))
