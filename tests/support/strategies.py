"""Hypothesis strategies for whole programs and targets."""

from __future__ import annotations

from hypothesis import strategies as st
from programs import program_of

from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.targets import Target, load_target

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([64, 96, 128, 160, 200]))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Up to a dozen matrices, some of which read the same activation."""
    matrices = []
    for index in range(draw(st.integers(1, 12))):
        rows = draw(SIZES)
        activation = f"x{rows}_{draw(st.integers(0, 3))}"
        slices = draw(st.sampled_from([(), (2.0, 1.0)])) if rows > 1 else ()
        matrices.append(
            Matrix(
                name=f"m{index}.weight",
                rows=rows,
                cols=draw(SIZES),
                input=activation,
                module=f"m{index}",
                input_range=2.0 if slices else draw(st.sampled_from([1.0, 2.0])),
                slice_ranges=slices,
            )
        )
    return program_of(matrices)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    return load_target(
        "afm-512-projected",
        {
            "crossbar.rows": draw(st.sampled_from([16, 32, 64, 100])),
            "crossbar.columns": draw(st.sampled_from([16, 32, 64, 100])),
            "tile.tiers": draw(st.integers(1, 3)),
            "chip.tiles": draw(st.integers(1, 9)),
            "tile.co_location": draw(st.sampled_from(["exclusive", "parallel", "serial"])),
        },
    )


SETTINGS = st.fixed_dictionaries(
    {
        "merge.enabled": st.sampled_from(["auto", True, False]),
        "merge.objective": st.sampled_from(["tiles", "latency", "energy", "accuracy"]),
        "split.style": st.sampled_from(["auto", "full", "balanced", "halved"]),
        "replicate.tiles": st.sampled_from([None, 100_000]),
        "replicate.objective": st.sampled_from(["throughput", "latency"]),
        "replicate.tokens": st.integers(1, 3),
        "allocate.max_patterns": st.sampled_from([1, 20_000]),
        "allocate.time_limit_s": st.just(0.2),
    }
)
