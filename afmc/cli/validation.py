"""A validation as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afmc.evaluate import Estimate, Validation
from afmc.targets import Target

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: Validation, model: str, target: Target) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table

    count = len(result.perplexity.values)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("measured in simulation")
    table.add_column("digital", justify="right")
    table.add_column(f"on {target.name}: mean of {count}", justify="right")
    table.add_column("std", justify="right")
    table.add_column("95 % interval of the mean", justify="right")
    for name, digital, estimate, form in (
        ("perplexity", f"{result.digital_perplexity:.4f}", result.perplexity, "{:,.4f}"),
        ("KL divergence, nats a token", "", result.kl_divergence, "{:.5f}"),
        ("same likeliest token", "", result.top1_agreement, "{:.2%}"),
        (
            "tokens a second, this machine",
            f"{result.digital_tokens_per_s:.0f}",
            Estimate((result.analog_tokens_per_s,)),
            "{:.0f}",
        ),
    ):
        spread = form.format(estimate.std) if estimate.std is not None else ""
        interval = " to ".join(form.format(v) for v in estimate.interval_95 or ())
        table.add_row(name, digital, form.format(estimate.mean), spread, interval)
    where = (
        f"{model} on {result.tokens:,} tokens of {result.text} in windows of {result.window} "
        f"(the first token of a window is not scored); seed {result.seed}; "
        f"{result.programming_s:.1f} s to program an instance; {result.wall_s:.0f} s in all."
    )
    return Group(table, where)
