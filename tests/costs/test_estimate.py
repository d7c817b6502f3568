"""Costs against the arithmetic of published figures, and against themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

import afmc
from afmc.cli import cost_tables
from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.costs import Costs, Part, Workload, estimate, estimate_baseline
from afmc.costs.figures import DEFAULTS, Figures
from afmc.costs.product import Product
from afmc.costs.workload import usual_contexts
from afmc.errors import OptionError
from afmc.program.program import Program
from afmc.targets import Target, list_targets, load_target
from afmc.targets.loader import load_description
from afmc.targets.schema import Baseline

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
ANALOG = [name for name in list_targets() if isinstance(load_description(name), Target)]


@cache
def start(model: str) -> Program:
    """Its matrices and its digital work, nothing mapped."""
    mapped = afmc.compile(CONFIGS / f"{model}.json", "ideal-512", shapes_only=True, level=0).program
    return Program(mapped.model, mapped.matrices, remainder=mapped.remainder, work=mapped.work)


@cache
def mapped(model: str, target: str) -> tuple[Program, Target]:
    hardware = load_target(target)
    return run_passes(start(model), hardware, configure(load_passes(), {})), hardware


def costs_of(model: str, target: str, **workload: object) -> Costs:
    program, hardware = mapped(model, target)
    return estimate(program, hardware, Workload(**workload))  # type: ignore[arg-type]


def part(costs: Costs, name: str) -> float:
    found = next(each for each in costs.parts if each.name == name)
    assert found.energy_nJ is not None
    return found.energy_nJ * 1e-6  # mJ


# Energy of all products with weights, in mJ a token: multiply-accumulates times the fJ of one.
PRODUCTS = {
    ("llama-3.2-1b", "afm-512-projected"): 0.0247,
    ("llama-3.2-1b", "moe-3d"): 0.0471,
    ("llama-3.2-1b", "pcm-34"): 0.1235,
    ("llama-3.2-1b", "hermes-64"): 0.2534,
    ("llama-3.2-1b", "hermes-64:four-phase"): 0.9955,
    ("phi-3-mini", "afm-512-projected"): 0.0744,
    ("phi-3-mini", "moe-3d"): 0.1420,
    ("phi-3-mini", "pcm-34"): 0.3721,
    ("phi-3-mini", "hermes-64"): 0.7634,
}


@pytest.mark.parametrize(("model", "target"), PRODUCTS)
def test_products_take_what_published_efficiencies_say(model: str, target: str) -> None:
    costs = costs_of(model, target, context=2048)
    assert part(costs, "products on tiles") == pytest.approx(PRODUCTS[model, target], rel=2e-3)


@pytest.mark.parametrize(
    ("model", "macs", "stored"),
    [("llama-3.2-1b", 134_217_728, 33_554_432), ("phi-3-mini", 402_653_184, 402_653_184)],
)
def test_attention_and_its_cache(model: str, macs: int, stored: int) -> None:
    """At a context of 2,048: multiply-accumulates, and bytes of keys and values of 8 bits. By its
    configuration Phi-3 looks at the last 2,047 only.
    """
    if model == "phi-3-mini":
        macs, stored = macs * 2047 // 2048, stored * 2047 // 2048
    costs = costs_of(model, "hermes-64", context=2048)
    counts = {each.name: each.count for each in costs.parts}
    assert counts["products of attention"] == macs
    assert counts["reading keys and values"] == stored
    assert part(costs, "reading keys and values") == pytest.approx(stored * 8 * 8e-9)
    ibm = costs_of(model, "moe-3d", context=2048)  # its own memory, 5.8 pJ a bit
    assert part(ibm, "reading keys and values") == pytest.approx(stored * 46.3e-9)


@pytest.mark.parametrize("target", ANALOG)
@pytest.mark.parametrize("model", ["smollm2-135m", "gpt2"])
def test_the_parts_are_the_whole(model: str, target: str) -> None:
    for phase in ("decode", "prefill"):
        costs = costs_of(model, target, phase=phase, context=300, batch=3)
        known = [each.energy_nJ for each in costs.parts if each.energy_nJ is not None]
        assert costs.energy_nJ == pytest.approx(sum(known)) and min(known) >= 0
        on_path = sum(each.latency_ns or 0.0 for each in costs.parts)
        plan = costs.schedule
        between = plan.latency_ns - on_path
        assert on_path == pytest.approx(sum(step.ns for step in plan.critical_path))
        assert between == pytest.approx(0, abs=1e-6 * plan.latency_ns)
        tiles = sum(each.energy_nJ or 0 for each in costs.parts if each.group == "tiles")
        assert sum(each.energy_nJ for each in costs.matrices) == pytest.approx(tiles)
        assert costs.latency_ns >= plan.latency_ns >= plan.interval_ns * (1 - 1e-9)
        for each in costs.parts:
            assert each.figure is None or each.figure.source
        json.loads(json.dumps(costs.to_json(), allow_nan=False))


@settings(max_examples=examples(30))
@given(st.integers(1, 5000), st.integers(1, 50))
def test_each_part_follows_its_formula(context: int, batch: int) -> None:
    one = costs_of("smollm2-135m", "hermes-64", context=context, batch=batch)
    longer = costs_of("smollm2-135m", "hermes-64", context=2 * context, batch=batch)
    more = costs_of("smollm2-135m", "hermes-64", context=context, batch=2 * batch)
    for a, b, c in zip(one.parts, longer.parts, more.parts, strict=True):
        grows = a.name in ("products of attention", "reading keys and values", "softmax")
        assert b.count == pytest.approx((2 if grows else 1) * a.count)
        assert c.count == pytest.approx(a.count)  # of a token
    step = one.schedule.latency_ns + (batch - 1) * one.schedule.interval_ns
    assert one.latency_ns == pytest.approx(step)
    assert one.tokens_per_s == pytest.approx(batch / step * 1e9)


def test_a_prompt_attends_to_half_of_itself() -> None:
    decode = costs_of("gpt2", "hermes-64", context=101)
    prompt = costs_of("gpt2", "hermes-64", phase="prefill", context=101)
    counts = [{p.name: p.count for p in each.parts} for each in (decode, prompt)]
    name = "products of attention"
    assert counts[1][name] == pytest.approx(counts[0][name] * 51 / 101)
    assert prompt.latency_ns == pytest.approx(
        prompt.schedule.latency_ns + 100 * prompt.schedule.interval_ns
    )


def test_an_own_figure_is_taken_before_a_default_and_both_say_so() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    own = load_target(hardware, {"digital.norm_energy_pJ": 6.0, "chip.static_power_W": 0.5})
    before, after = (estimate(program, each) for each in (hardware, own))
    assert part(after, "normalisation") == 2 * part(before, "normalisation")
    figures = [
        next(p.figure for p in each.parts if p.name == "normalisation") for each in (before, after)
    ]
    assert all(figures)
    assert [figure.basis for figure in figures if figure] == ["assumed", "assumed"]
    assert [figure.source for figure in figures if figure] == [
        DEFAULTS["digital.norm_energy_pJ"][1],
        "set by the user",
    ]
    static = 0.5 * after.workload.batch * after.latency_ns * 1e-6
    chips = next(p.count for p in after.parts if p.name == "static power")
    assert part(after, "static power") == pytest.approx(static * chips)
    assert "the static power of hermes-64 is not known" in before.missing
    assert not any("static power" in sentence for sentence in after.missing)


def test_keys_and_values_stay_on_the_chips_as_long_as_they_fit() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    chips = int(program.placements["chip"].max()) + 1
    figures = {"cache.on_chip_MB": 18432 * 100 / chips / 1e6, "cache.on_chip_energy_pJ_B": 1.0}
    own = load_target(hardware, figures)
    near, far = (estimate(program, own, Workload(context=n)) for n in (100, 101))
    assert part(near, "reading keys and values") == pytest.approx(18432 * 100 * 1e-9)
    assert part(far, "reading keys and values") == pytest.approx(18432 * 101 * 64e-9)
    assert near.schedule.latency_ns < far.schedule.latency_ns


def test_a_target_without_figures_of_a_product_says_what_is_taken() -> None:
    costs = costs_of("gpt2", "ideal-512")
    names = [each.name for each in costs.parts if each.group == "tiles"]
    assert names == ["row drivers", "cells", "converters"]
    assert all(
        each.latency_ns for each in costs.parts if each.name in ("row drivers", "converters")
    )
    text = " ".join(costs.missing)
    assert "says nothing of the time of a product: it is that of the integration" in text
    assert "row drivers, cells and converters, and control is left out" in text
    light = costs_of("gpt2", "photonic-mzi-128")
    if not any(each.name == "products on tiles" for each in light.parts):
        assert "cells, light and control are left out" in " ".join(light.missing)


DATA_SHEET = {
    "crossbar.rows": 256,
    "crossbar.columns": 128,
    "output.columns_per_converter": 8,
    "output.bits": 8,
    "output.bound": 10.0,
    "output.conversion_energy_pJ": 0.8,
    "output.conversion_ns": 40.0,
}


def rows_of(costs: Costs) -> dict[str, Part]:
    return {each.name: each for each in costs.parts}


def converters(target: Target) -> Part:
    """Those of a token of gpt2."""
    program = run_passes(start("gpt2"), target, configure(load_passes(), {}))
    return rows_of(estimate(program, target))["converters"]


def test_which_bits_of_the_converters_are_best() -> None:
    """A data sheet for 8 bits: 0.8 pJ and 40 ns a conversion, 8 columns a converter, 256 x 128."""
    sheet = load_target("ideal-512", DATA_SHEET)
    parts = {bits: converters(load_target(sheet, {"output.bits": bits})) for bits in (4, 8, 12)}
    for bits, each in parts.items():
        assert each.figure is not None and each.energy_nJ is not None
        assert each.energy_nJ == pytest.approx(each.count * 0.8e-3 * 2 ** (bits - 8))
        assert each.count == parts[8].count
        stated = f"0.8 for 8 bits (set by the user), x {2.0 ** (bits - 8):g} for {bits} bits"
        assert bits == 8 or stated in each.figure.source
    times = [each.latency_ns or 0.0 for each in parts.values()]
    assert [t / times[1] for t in times] == pytest.approx([5 / 9, 1, 13 / 9])
    # 49 products one after the other, 8 columns of each at one converter.
    assert times[1] == pytest.approx(49 * 8 * 40.0)


def test_conversions_by_bits_are_the_targets_own() -> None:
    figures = {
        "output.bits": 8,
        "output.bound": 10.0,
        "output.conversion_energy_by_bits_pJ.8": 0.5,
        "output.conversion_energy_by_bits_pJ.12": 9.0,
        "output.conversion_by_bits_ns.8": 20.0,
    }
    target = load_target("ideal-512", figures)
    for bits, energy, ns in ((8, 0.5, 20), (12, 9.0, 20 * 13 / 9), (13, 18.0, 20 * 14 / 9),
                             (6, 0.125, 20 * 7 / 9)):  # fmt: skip
        product = product_of(load_target(target, {"output.bits": bits}))
        assert product.conversion_pJ.value == pytest.approx(energy)
        assert product.conversion_ns.value == pytest.approx(ns)
    ramp = load_target(target, {"output.bits": 10, "output.converter": "ramp"})
    assert product_of(ramp).conversion_ns.value == pytest.approx(80.0)
    own = load_target(target, {"output.conversion_energy_pJ": 3.0})
    assert product_of(own).conversion_pJ.value == 3.0
    assert product_of(load_target(own, {"output.bits": 9})).conversion_pJ.value == pytest.approx(6)


def product_of(target: Target) -> Product:
    return Product(target, Figures(target))


@pytest.mark.parametrize(("kind", "ns"), [("sar", 9.0), ("ramp", 256.0)])
def test_the_default_of_a_conversion_is_a_sourced_formula(kind: str, ns: float) -> None:
    figures = {"output.bits": 8, "output.bound": 1.0, "output.converter": kind}
    product = product_of(load_target("ideal-512", figures))
    assert product.conversion_pJ.value == pytest.approx(6.4)
    assert product.conversion_ns.value == ns
    assert product.conversion_pJ.source.startswith("25 fJ a step")
    assert product.conversion_pJ.basis == product.conversion_ns.basis == "assumed"
    own = product_of(load_target("ideal-512", {**figures, "output.walden_fJ_step": 10.0,
                                               "output.cycle_ns": 2.0}))  # fmt: skip
    assert own.conversion_pJ.value == pytest.approx(2.56)
    assert own.conversion_ns.value == 2 * ns


def test_a_product_has_groups_phases_and_digits() -> None:
    """Three groups of rows, two phases, and seven digits of the magnitude."""
    figures = {
        "crossbar.active_rows": 200,
        "tile.read_phases": 2,
        "input.bits": 8,
        "input.encoding": "bit_serial",
        "output.integration_ns": 5.0,
        "output.conversion_ns": 2.0,
        "crossbar.cell_energy_fJ": 1.0,
        "input.row_energy_pJ": 1.0,
        "output.conversion_energy_pJ": 1.0,
    }
    product = product_of(load_target("ideal-512", figures))
    assert product.read_ns == 3 * 2 * 7 * (5 + 2)
    assert product.converting_ns == 3 * 2 * 7 * 2
    rows, cells, conversions = 512 * 2 * 7, 512 * 512 * 2 * 7, 512 * 3 * 2 * 7
    assert product.whole_nJ == pytest.approx(1e-3 * (rows + conversions) + 1e-6 * cells)


def test_pulses_are_integrated_for_as_long_as_they_last() -> None:
    figures = {"input.bits": 6, "input.encoding": "pulse_width", "input.step_ns": 2.0}
    product = product_of(load_target("ideal-512", figures))
    assert product.integration_ns.value == 2.0 * 31


def test_what_a_cell_takes_is_said() -> None:
    product = product_of(load_target("ideal-512", {"device.g_max_uS": 20.0}))
    figure = product.cell_fJ
    assert figure is not None and figure.value == pytest.approx(20e-6 / 4 * 0.04 * 100e-9 * 1e15)
    assert "0.2 V (nobody's figure), 100 ns" in figure.source


def test_other_bits_of_a_whole_product_are_said_not_to_count() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    costs = estimate(program, load_target(hardware, {"output.bits": 4}))
    text = " ".join(costs.missing)
    assert "tile.read_energy_nJ is that of the converters of hermes-64, and not of 4 bits" in text
    assert "--set target.tile.read_latency_ns=none" in text
    from_parts = {"output.bits": 4, "tile.read_latency_ns": None, "tile.read_energy_nJ": None}
    costs = estimate(program, load_target(hardware, from_parts))
    assert rows_of(costs)["converters"].latency_ns
    timed = estimate(program, load_target(hardware, {"tile.read_latency_ns": None}))
    rows = rows_of(timed)
    assert rows["products on tiles"].energy_nJ and rows["converters"].energy_nJ == 0
    assert rows["converters"].latency_ns


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_default_is_a_key_of_a_target(key: str) -> None:
    """What is printed as the origin of a figure can be set, and counts then."""
    hardware = load_target("moe-3d")  # which has links
    value = 3 if key == "digital.units" else 3.5
    own = load_target(hardware, {key: value})
    figure = Figures(own)[key]
    assert (figure.value, figure.source) == (value, "set by the user")


@pytest.mark.parametrize("target", ANALOG)
def test_every_figure_of_a_part_is_a_key(target: str) -> None:
    hardware = mapped("gpt2", target)[1]
    figures = [each.figure for each in costs_of("gpt2", target).parts if each.figure is not None]
    for figure in figures:
        load_target(hardware, {figure.key: figure.value})


def test_partial_crossbars_take_the_share_of_their_columns() -> None:
    program, hardware = mapped("smollm2-135m", "hermes-64")
    costs = estimate(program, hardware)
    columns = int(program.blocks["cols"].sum())
    count = next(p.count for p in costs.parts if p.name == "products on tiles")
    assert count == pytest.approx(columns / 256)
    rates = costs.efficiency
    assert rates.tile_peak_TOPS_W is not None and rates.tiles_TOPS_W is not None
    assert rates.tile_peak_TOPS_W > rates.tiles_TOPS_W > rates.system_TOPS_W


def test_replicas_do_not_cost_a_token_more() -> None:
    hardware = load_target("hermes-64")
    alone = run_passes(start("gpt2"), hardware, configure(load_passes(), {}))
    steps = configure(load_passes(), {"replicate.tiles": 5000, "replicate.tokens": 64})
    twice = run_passes(start("gpt2"), hardware, steps)
    assert len(twice.blocks) > len(alone.blocks)
    one, other = (estimate(each, hardware) for each in (alone, twice))
    counts = [next(p.count for p in e.parts if p.group == "tiles") for e in (one, other)]
    assert counts[0] == counts[1]


def test_a_matrix_that_stays_digital_is_read_from_memory() -> None:
    hardware = load_target("hermes-64")
    steps = configure(load_passes(), {"partition.digital": ("lm_head",)})
    costs = estimate(run_passes(start("gpt2"), hardware, steps), hardware)
    counts = {each.name: each.count for each in costs.parts}
    assert counts["digital matrices"] == 768 * 50257
    assert counts["reading weights of digital matrices"] == 768 * 50257


def test_attention_that_slides_reads_and_keeps_its_window() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    slides = replace(program, work=tuple(replace(w, window=100) for w in program.work))

    def counts(of: Program, **workload: object) -> dict[str, float]:
        costs = estimate(of, hardware, Workload(**workload))  # type: ignore[arg-type]
        return {each.name: each.count for each in costs.parts}

    names = ("products of attention", "reading keys and values", "softmax")
    for context in (64, 100):
        assert counts(slides, context=context) == counts(program, context=context)
    whole, window = counts(program, context=400), counts(slides, context=400)
    assert [window[name] / whole[name] for name in names] == pytest.approx([1 / 4] * 3)
    assert window["writing keys and values"] == whole["writing keys and values"]
    plan = estimate(slides, hardware, Workload(context=400)).schedule
    reading = [step.ns for step in plan.critical_path if step.kind == "memory"]
    assert reading == pytest.approx([1536 * 100 / DEFAULTS["cache.bandwidth_GB_s"][0]] * 12)
    by_hand = sum(min(t, 100) for t in range(1, 401)) / 400
    prompt = counts(slides, phase="prefill", context=400)
    assert prompt["reading keys and values"] == pytest.approx(18432 * by_hand)
    gpu = load_description("h100")
    assert isinstance(gpu, Baseline)
    kept = [
        next(p for p in estimate_baseline(each, gpu, Workload(context=400)).parts
             if p.name == "reading keys and values").count
        for each in (program, slides)
    ]  # fmt: skip
    assert kept[1] == kept[0] / 4


def test_a_stream_waits_for_a_digital_matrix_too() -> None:
    """Its weights come from the one memory beside the chips, as keys and values do."""
    hardware = load_target("hermes-64", {"cache.bandwidth_GB_s": 10.0})
    steps = configure(load_passes(), {"partition.digital": ("lm_head",)})
    program = run_passes(start("gpt2"), hardware, steps)
    plan = estimate(program, hardware, Workload(context=100)).schedule
    assert plan.bottleneck == "memory beside the chips"
    assert plan.busy[0].matrices_ns == pytest.approx(768 * 50257 / 10)
    assert plan.interval_ns == pytest.approx((768 * 50257 + 18432 * 100) / 10)
    prompt = estimate(program, hardware, Workload("prefill", context=100))
    read = next(p.count for p in prompt.parts if p.name == "reading weights of digital matrices")
    assert read == pytest.approx(768 * 50257 / 100)  # for the last token of the prompt


def test_digital_matrices_of_one_input_share_the_memory() -> None:
    """973 MB over 5.33 GB/s are 182 ms, whichever of them are read side by side."""
    steps = configure(load_passes(), {"partition.digital": ("*_proj",)})
    hardware = load_target("hermes-64")
    costs = estimate(run_passes(start("llama-3.2-1b"), hardware, steps), hardware)
    rows = {each.name: each for each in costs.parts}
    weights = rows["reading weights of digital matrices"]
    assert weights.count == pytest.approx(973_078_528)
    assert weights.latency_ns == pytest.approx(973_078_528 / 5.332)
    assert rows["digital matrices"].latency_ns is None
    plan = costs.schedule
    assert plan.latency_ns >= plan.interval_ns > 182e6
    assert plan.bottleneck == "memory beside the chips"
    assert plan.busy[0].matrices_ns / plan.busy[0].ns == pytest.approx(0.991, abs=1e-3)


def test_the_way_to_another_chip_takes_latency_and_bytes() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    assert program.placing is not None
    times = [
        estimate(program, load_target(hardware, {"system.link_bandwidth_GB_s": rate}))
        for rate in (1.0, 2.0)
    ]
    slow, fast = (next(p for p in each.parts if p.group == "links").latency_ns for each in times)
    assert slow is not None and fast is not None
    assert 0 < slow - fast <= program.placing.border_bytes / 2 * (1 + 1e-9)
    held = {each.name: each.ns for each in times[0].schedule.busy}
    chips = int(program.placements["chip"].max()) + 1
    assert held["links between chips"] == pytest.approx(program.placing.border_bytes / (chips - 1))


def test_attention_is_computed_on_the_chip_of_its_layer() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    figures = {"cache.bandwidth_GB_s": 1e9, "digital.attention_TOPS": 1.0}
    plan = estimate(program, load_target(hardware, figures), Workload(context=100)).schedule
    attending = [step.ns for step in plan.critical_path if step.name.startswith("attention")]
    assert attending == pytest.approx([2e-3 * 1536 * 100] * 12)


def test_blocks_that_were_moved_have_no_known_traffic() -> None:
    program, hardware = mapped("gpt2", "hermes-64")
    costs = estimate(replace(program, placing=None), hardware)
    assert "nothing is known of the traffic of blocks that were moved" in costs.missing


BAD: list[tuple[dict[str, object], str]] = [
    ({"context": 0}, "the context must be at least 1, but is 0."),
    ({"batch": -1}, "the batch must be at least 1, but is -1."),
    (
        {"phase": "decod"},
        "the phase must be 'decode' or 'prefill', but is 'decod'. Did you mean 'decode'?",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), BAD)
def test_a_wrong_workload(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        Workload(**options)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


def test_no_token_attends_to_more_than_the_model_has_positions() -> None:
    program, target = mapped("llama-3.2-1b", "afm-512-projected")
    short = replace(program, model=replace(program.model, positions=100))
    h100 = load_description("h100")
    assert isinstance(h100, Baseline)
    sentence = "--context 101: {} has 100 positions, and so many tokens are the most that one"
    with pytest.raises(OptionError, match=sentence.format(program.model.name)):
        estimate(short, target, Workload(context=101))
    with pytest.raises(OptionError, match=sentence.format(program.model.name)):
        estimate_baseline(short, h100, Workload(context=101))
    assert estimate(short, target).workload.context == 100
    unlimited = replace(program.model, positions=None)
    assert usual_contexts([short.model, unlimited]) == (100,)
    assert usual_contexts([unlimited]) == (512, 2048)


# Joules a token of the formula on the hardware that it was fitted on, from its own publication.
FITTED = {
    ("llama-3.2-1b", 512, 1): 0.73,
    ("phi-3-mini", 512, 1): 1.55,
    ("llama-3.2-1b", 512, 8): 0.099,
    ("phi-3-mini", 512, 8): 0.28,
    ("llama-3.2-1b", 512, 32): 0.032,
    ("llama-3.2-1b", 2048, 32): 0.054,
    ("phi-3-mini", 512, 32): 0.14,
    ("phi-3-mini", 2048, 32): 0.40,
}


@pytest.mark.parametrize(("model", "context", "batch"), FITTED)
def test_the_fitted_formula(model: str, context: int, batch: int) -> None:
    baseline = load_description("h100")
    assert isinstance(baseline, Baseline) and baseline.memory is not None
    faster = baseline.memory.model_copy(update={"bandwidth_GB_s": 4800.0})
    costs = estimate_baseline(
        start(model),
        baseline.model_copy(update={"memory": faster}),
        Workload(context=context, batch=batch),
    )
    assert costs.energy_nJ * 1e-9 == pytest.approx(FITTED[model, context, batch], rel=0.03)
    assert costs.energy_nJ == pytest.approx(sum(p.energy_nJ or 0 for p in costs.parts))


def test_a_batch_reads_more_experts() -> None:
    """Two of eight a token: 32 tokens read nearly all."""
    baseline = load_description("int8-dimc")
    assert isinstance(baseline, Baseline)
    program = start("mixtral-8x7b")
    banks = sum(m.rows * m.cols * m.copies for m in program.matrices if m.copies > 1)
    dense = sum(m.rows * m.cols for m in program.matrices if m.copies == 1)
    for batch in (1, 32):
        costs = estimate_baseline(program, baseline, Workload(batch=batch))
        read = next(p.count for p in costs.parts if p.name == "reading weights") * batch
        assert read == pytest.approx(dense + banks * (1 - 0.75**batch))
    assert "Left out" in costs.boundary


def headline(costs: Costs) -> str:
    return cost_tables.summary(costs)[0]


def test_the_headline_says_what_is_assumed() -> None:
    costs = costs_of("llama-3.2-1b", "hermes-64", context=2048)
    assert costs.cache_nJ / costs.energy_nJ == pytest.approx(0.871, abs=0.001)
    assert costs.assumed_nJ == pytest.approx(
        costs.energy_nJ - 1e6 * part(costs, "products on tiles")
    )
    assert headline(costs) == (
        "2.47 mJ a token, of which 90 % rest on assumed figures: 87 % are keys and values in a "
        "memory that is assumed (cache.energy_pJ_B = 64). Without them it is 318 µJ, 20 % of that "
        "on assumed figures."
    )
    short = costs_of("llama-3.2-1b", "hermes-64", context=16)
    assert headline(short).endswith("% rest on assumed figures.") and ":" not in headline(short)
    known = mapped("llama-3.2-1b", "moe-3d")
    assert "a memory that is assumed" not in headline(estimate(*known, Workload(context=2048)))
