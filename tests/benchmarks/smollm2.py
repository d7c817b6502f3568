"""SmolLM2-135M from checkpoint to perplexity: compile time, accuracy, tokens a second.

    python tests/benchmarks/smollm2.py [--text FILE] [--instances N]

Prints one line a target: digital, noiseless converters, noise.
"""

from __future__ import annotations

import argparse
from typing import Any

import afmc
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load

RUNS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("ideal-512", "ideal-512", {}),
    ("afm-512-projected, converters only", "afm-512-projected", {"target.device.noise": None}),
    (
        "afm-512-projected, device noise only",
        "afm-512-projected",
        {"target.input.bits": None, "target.output.bits": None},
    ),
    ("afm-512-projected", "afm-512-projected", {}),
    ("hermes-64, converters only", "hermes-64", {"target.device.noise": None}),
    (
        "hermes-64, device noise only",
        "hermes-64",
        {"target.input.bits": None, "target.output.bits": None},
    ),
    ("hermes-64", "hermes-64", {}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--digital", action="append", default=[])
    options = parser.parse_args()
    source = load(resolve("smollm2-135m"))
    for name, target, settings in RUNS:
        model = afmc.compile(
            source.module,
            target,
            tokenizer=source.tokenizer,
            settings=settings,
            digital=options.digital,
            level=0,
        )
        noisy = model.target.device.noise is not None
        result = model.validate(
            options.text,
            tokens=options.tokens,
            instances=options.instances if noisy else 1,
        )
        print(f"{name:30} {_line(model.inspect(), result.to_json())}", flush=True)


def _line(compiled: dict[str, Any], result: dict[str, Any]) -> str:
    analog = result["analog"]["perplexity"]
    speed = result["simulation_tokens_per_s"]
    spread = f" std {analog['std']:,.1f}" if analog["std"] is not None else ""
    return (
        f"tiles {compiled['tiles_used']:,} chips {compiled['chips_used']} "
        f"compile {compiled['wall_s']:.0f} s | "
        f"perplexity digital {result['digital']['perplexity']:.3f} "
        f"analog {analog['mean']:,.3f}{spread} "
        f"KL {result['kl_divergence']['mean']:.4f} "
        f"top-1 {100 * result['top1_agreement']['mean']:.1f} % | "
        f"simulated tokens/s digital {speed['digital']['mean']:.0f} "
        f"analog {speed['analog']['mean']:.0f} "
        f"ratio {speed['analog']['mean'] / speed['digital']['mean']:.2f}"
    )


if __name__ == "__main__":
    main()
