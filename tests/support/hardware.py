"""Hypothesis strategies for whole hardware descriptions, with every key of the format."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Figures = dict[str, st.SearchStrategy[Any]]

scalars = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
counts = st.integers(1, 2**31 - 1)
texts = st.text(min_size=1, max_size=20)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
positive = st.floats(1e-3, 1e6) | st.integers(1, 1000)
not_negative = st.just(0) | positive
bits = st.integers(2, 16)
by_bits = st.dictionaries(bits.map(str), positive, min_size=1)
scopes = st.sampled_from(["column", "tile"])
bases = st.sampled_from(["measured", "published", "derived", "assumed"])
origins = st.fixed_dictionaries({"source": texts, "basis": bases}, optional={"note": texts})

REQUIRED: dict[str, Figures] = {
    "crossbar": {"rows": counts, "columns": counts},
    "output": {"range": scopes, "bound": positive},
    "device": {"devices_per_polarity": st.integers(2, 64), "scale": scopes},
    "optics": {
        "power_mW": positive,
        "responsivity_A_W": positive,
        "load_ohm": positive,
        "bandwidth_GHz": positive,
    },
    "tile": {"co_location": st.sampled_from(["exclusive", "parallel", "serial"])},
    "chip": {"tiles": st.integers(1, 2**20)},
    "links": {"topology": st.sampled_from(["mesh", "bus"])},
}
"""By table; `bound` only where there are bits."""

FREE: dict[str, Figures] = {
    "crossbar": {
        "active_rows": st.just(1),
        "selector": st.sampled_from(["none", "transistor"]),
        "sense": st.sampled_from(["one_end", "both_ends"]),
        "cell_energy_fJ": not_negative,
    },
    "input": {
        "bits": bits,
        "slice_bits": st.just(1),
        "step_ns": positive,
        "row_energy_pJ": not_negative,
    },
    "output": {
        "gain_std": not_negative,
        "columns_per_converter": counts,
        "conversion_ns": positive,
        "integration_ns": positive,
        "conversion_by_bits_ns": by_bits,
        "conversion_energy_by_bits_pJ": by_bits,
        "conversion_energy_pJ": not_negative,
        "converter": st.sampled_from(["sar", "ramp"]),
        "cycle_ns": positive,
        "walden_fJ_step": not_negative,
    },
    "device": {
        "stuck_off_rate": st.just(0.0) | st.floats(1e-9, 0.5),
        "stuck_on_rate": st.just(0.0) | st.floats(1e-9, 0.5),
        "read_noise": st.sampled_from(["none", "frozen", "each"]),
        "compensation": st.sampled_from(["none", "tile", "column", "reference"]),
    },
    "optics": {"rin_dB_Hz": st.floats(-200, -1)},
    "tile": {
        "tiers": st.integers(1, 2**10),
        "read_phases": st.sampled_from([1, 2]),
        # Longer than any of these converters take.
        "read_latency_ns": st.floats(1e30, 1e35),
        "read_energy_nJ": positive,
        "area_mm2": positive,
    },
    "chip": {"area_mm2": positive, "power_W": positive, "static_power_W": not_negative},
    "links": {
        "hop_energy_pJ_bit": not_negative,
        "hop_latency_ns": not_negative,
        "bandwidth_GB_s": positive,
    },
    "system": {
        "chips": counts,
        "link_energy_pJ_bit": not_negative,
        "link_latency_ns": not_negative,
        "link_bandwidth_GB_s": positive,
    },
    "digital": {
        "units": counts,
        **{
            f"{kind}_{figure}": not_negative
            for kind in ("norm", "activation", "elementwise", "softmax", "add")
            for figure in ("latency_ns", "energy_pJ")
        },
        "mac_energy_fJ": not_negative,
        "attention_TOPS": positive,
    },
    "cache": {
        "bandwidth_GB_s": positive,
        "energy_pJ_B": not_negative,
        "on_chip_MB": not_negative,
        "on_chip_energy_pJ_B": not_negative,
        "on_chip_bandwidth_GB_s": positive,
    },
}
"""Figures that go with any others."""

ELECTRICAL: Figures = {
    "wire_row_ohm": not_negative,
    "wire_column_ohm": not_negative,
    "read_voltage_V": positive,
}
STEPS: Figures = {
    "offset_std_steps": not_negative,
    "inl_steps": not_negative,
    "noise_steps": not_negative,
}
TOGETHER = {
    "crossbar": ELECTRICAL,
    "input": ("encoding",),
    "output": ("bits", *STEPS),
    "device": (
        "noise",
        "options",
        "g_max_uS",
        "g_min_uS",
        "transmission_max",
        "transmission_min",
        "encoding",
        "significance",
    ),
    "links": ("columns",),
}
"""Figures that go with some others: `analog` draws them by hand."""

DIGITAL: dict[str, Figures] = {
    "compute": {
        "int8_TOPS": positive,
        "fp16_TFLOPS": positive,
        "mac_energy_fJ": positive,
        "flop_energy_pJ": positive,
    },
    "memory": {
        "bandwidth_GB_s": positive,
        "capacity_GB": positive,
        "weight_energy_pJ_B": positive,
        "kv_energy_pJ_B": positive,
        "weight_efficiency": st.floats(0.01, 1),
        "kv_efficiency": st.floats(0.01, 1),
    },
    "overhead": {"step_ms": not_negative, "layer_us": not_negative, "idle_power_W": not_negative},
    "die": {"area_mm2": positive, "power_W": positive},
}


def _head(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": draw(names),
        "title": draw(texts),
        "description": draw(texts),
    }


def _sourced(draw: st.DrawFn, figures: dict[str, Any]) -> dict[str, Any]:
    """A table of these figures, some of which have origins of their own."""
    table = {"source": draw(texts), "basis": draw(bases), **figures}
    own = draw(st.lists(st.sampled_from(sorted(figures)), unique=True)) if figures else []
    if own:
        table["origin"] = {key: draw(origins) for key in own}
    return table


def _some(draw: st.DrawFn, figures: Figures) -> dict[str, Any]:
    return draw(st.fixed_dictionaries({}, optional=figures))


@st.composite
def analog(draw: st.DrawFn) -> dict[str, Any]:
    """The data of a file of an analog target, with modes."""
    tables = {name: _some(draw, figures) for name, figures in FREE.items()}
    for name, figures in REQUIRED.items():
        tables[name] |= draw(st.fixed_dictionaries(figures))
    light = draw(st.booleans())
    if not light:
        tables["crossbar"] |= _some(draw, ELECTRICAL)
    if not light or draw(st.booleans()):
        del tables["optics"]
    if tables["links"]["topology"] == "mesh":
        tables["links"]["columns"] = 1  # there are as many tiles in any case
    if draw(st.booleans()):
        del tables["links"]
    tables["device"] |= _device(draw, light)
    if "bits" in tables["input"]:
        tables["input"] |= _some(
            draw, {"encoding": st.sampled_from(["level", "pulse_width", "bit_serial"])}
        )
        if draw(st.booleans()):
            tables["input"]["slice_bits"] = draw(st.integers(1, tables["input"]["bits"] - 1))
    if draw(st.booleans()):
        tables["output"] |= {"bits": draw(bits), **_some(draw, STEPS)}
    elif draw(st.booleans()):
        del tables["output"]["bound"]
    if tables["device"].get("encoding") != "offset" and draw(st.booleans()):
        tables["tile"]["read_phases"] = 4
    data = {**_head(draw), **{name: _sourced(draw, table) for name, table in tables.items()}}
    if draw(st.booleans()):
        data["kind"] = "analog"
    modes = {name: _mode(draw, tables) for name in draw(st.sets(names, max_size=2))}
    if draw(st.booleans()) or modes:
        data["modes"] = modes
    return data


def _device(draw: st.DrawFn, light: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if draw(st.booleans()):
        figures["noise"] = draw(st.sampled_from(["pcm-hermes", "package.module:Class"]))
        if draw(st.booleans()):
            figures["options"] = draw(st.dictionaries(st.sampled_from("abc"), scalars))
    if light:
        figures["transmission_max"] = draw(st.floats(0.5, 1))
        figures["transmission_min"] = draw(st.just(0.0) | st.floats(1e-9, 0.4))
    else:
        figures["g_max_uS"] = draw(st.floats(1, 100))
        figures["g_min_uS"] = draw(st.just(0.0) | st.floats(1e-9, 0.99))
    encoding = draw(st.sampled_from([None, "differential", "offset"]))
    if encoding is not None:
        figures["encoding"] = encoding
    if encoding != "offset" and draw(st.booleans()):
        figures["significance"] = draw(st.floats(1, 100))
    return figures


def _mode(draw: st.DrawFn, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Replaces figures that go with any others, and omits some."""
    mode: dict[str, Any] = {"title": draw(texts)}
    # A digit cannot be wider than its input, nor a phase be of a polarity that is not there.
    bound = {"input": {"bits", "slice_bits"}, "tile": {"read_phases"}}
    for name in draw(st.sets(st.sampled_from(sorted(tables)))):
        free = {k: v for k, v in FREE[name].items() if k not in bound.get(name, ())}
        figures = _some(draw, free)
        may_go = sorted(tables[name].keys() & free.keys() - figures.keys())
        mode[name] = _sourced(draw, figures)
        if draw(st.booleans()) and may_go:
            mode[name]["omit"] = draw(st.lists(st.sampled_from(may_go), unique=True))
        if draw(st.booleans()):
            mode[name]["note"] = draw(texts)
    return mode


@st.composite
def digital(draw: st.DrawFn) -> dict[str, Any]:
    """The data of a file of a digital baseline."""
    optional = draw(st.sets(st.sampled_from(["memory", "overhead"])))
    return {
        **_head(draw),
        "kind": "digital",
        **{
            name: _sourced(draw, _some(draw, figures))
            for name, figures in DIGITAL.items()
            if name in ("compute", "die") or name in optional
        },
    }
