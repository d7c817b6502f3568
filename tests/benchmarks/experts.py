"""A mixture of experts of real quality on tiles: SmolLM2-135M, upcycled.

    python tests/benchmarks/experts.py [--text FILE] [--tokens N] [--window N] [--instances N]

Every feed-forward layer of SmolLM2 becomes a bank of experts: copies of it, each with a little
noise of its own on the weights, and a random router that sends a token to two of them. No mixture
of experts with trained weights is small enough to come from a package; this one has real
perplexity, and experts that differ. Prints where the calibration text goes, and perplexity of the
dense model, of the mixture, and of the mixture on perfect tiles and on tiles with the programming
noise of hermes-64 alone: perfect converters, reads and wires, no stuck devices.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
import transformers
from tables import Table, add_option

import afmc
from afmc.data.text import read_text
from afmc.data.tokens import tokenise, windows_of
from afmc.evaluation.perplexity import score_of
from afmc.evaluation.results import Validation
from afmc.frontends.find import resolve
from afmc.frontends.huggingface.load import load

EXPERTS, TOP_K = 4, 2
BASIS = "Perplexity: measured, in simulation; mean and standard deviation over instances."
PROGRAMMING_ALONE: dict[str, object] = {
    "target.input.bits": None,
    "target.output.bits": None,
    "target.crossbar.wire_row_ohm": None,
    "target.crossbar.wire_column_ohm": None,
    "target.device.stuck_off_rate": 0.0,
    "target.device.read_noise": "none",
}


def upcycled(dense: Any, *, difference: float, seed: int = 0) -> Any:
    """A MixtralForCausalLM whose experts are the dense layers.

    `difference` is the standard deviation of what is added to every expert's weights, in standard
    deviations of the matrix.
    """
    kept = dense.config.to_dict()
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps",
             "rope_parameters", "tie_word_embeddings", "bos_token_id", "eos_token_id",
             "pad_token_id")  # fmt: skip
    config = transformers.MixtralConfig(
        **{name: kept[name] for name in names},
        num_local_experts=EXPERTS,
        num_experts_per_tok=TOP_K,
    )
    config.name_or_path = f"SmolLM2-135M upcycled to {EXPERTS} experts"
    draws = torch.Generator().manual_seed(seed)

    def expert(weight: torch.Tensor) -> torch.Tensor:
        noise = torch.empty_like(weight).normal_(generator=draws)
        return weight + difference * weight.std() * noise

    weights = dict(dense.state_dict())
    for layer in range(config.num_hidden_layers):
        mlp = f"model.layers.{layer}.mlp"
        gate, up, down = (weights.pop(f"{mlp}.{n}_proj.weight") for n in ("gate", "up", "down"))
        both = torch.cat([gate, up])
        weights[f"{mlp}.experts.gate_up_proj"] = torch.stack([expert(both) for _ in range(EXPERTS)])
        weights[f"{mlp}.experts.down_proj"] = torch.stack([expert(down) for _ in range(EXPERTS)])
        router = torch.empty(EXPERTS, config.hidden_size).normal_(std=0.02, generator=draws)
        weights[f"{mlp}.gate.weight"] = router
    with torch.device("meta"):
        module = transformers.MixtralForCausalLM(config)
    module.load_state_dict(weights, assign=True, strict=True)
    module.model.rotary_emb = type(module.model.rotary_emb)(config)  # its buffers are not saved
    module.tie_weights()
    return module.requires_grad_(False).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--difference", type=float, default=0.05)
    add_option(parser)
    options = parser.parse_args()
    source = load(resolve("smollm2-135m"))
    text = read_text(options.text, "validation")
    windows = windows_of(tokenise(source.tokenizer, text.content, options.tokens), options.window)
    score = score_of(source.module, windows)
    print(f"{len(windows)} windows of {options.window} tokens of {text.name}")
    print(f"{'SmolLM2-135M, digital':50} perplexity {score.perplexity:9.3f}", flush=True)
    table = Table("experts", "upcycled", ("model", "perplexity", "instances"), BASIS)
    table.keep("SmolLM2-135M, digital", f"{score.perplexity:.2f}", "")

    model = afmc.compile(
        upcycled(source.module, difference=options.difference),
        "hermes-64",
        tokenizer=source.tokenizer,
        calibration_tokens=1024,
        settings=PROGRAMMING_ALONE,
        level=0,
    )
    found = model.inspect()
    print(
        f"{found['weights_analog']:,} weights in {found['blocks']:,} blocks, "
        f"{100 * found['macs_analog_fraction']:.2f} % of the multiply-accumulates on tiles; "
        f"compiled in {found['wall_s']:.0f} s"
    )
    _print_routing(model)
    common: dict[str, Any] = {"tokens": options.tokens, "window": options.window}
    perfect = model.validate(text, **common, instances=1, settings={"device.noise": None})
    print(f"{'upcycled, digital':50} perplexity {perfect.digital_perplexity:9.3f}")
    _print_line("upcycled, perfect tiles", perfect)
    noisy = model.validate(text, **common, instances=options.instances)
    _print_line("upcycled, programming noise of hermes-64", noisy)
    table.keep("four experts, digital", f"{perfect.digital_perplexity:.2f}", "")
    table.keep("four experts, perfect tiles", f"{perfect.perplexity.mean:.2f}", "1")
    spread = "" if noisy.perplexity.std is None else f" ± {noisy.perplexity.std:.1f}"
    cells = (f"{noisy.perplexity.mean:.1f}{spread}", str(options.instances))
    table.keep("four experts, `hermes-64` with its programming noise alone", *cells)
    table.finish(options.write)


def _print_routing(model: afmc.CompiledModel) -> None:
    routing = model.program.routing
    assert routing is not None
    banks = [model.program.matrix(f"{path}.down_proj") for path in routing.experts]
    shares = np.sort([routing.shares(bank) for bank in banks], axis=1)[:, ::-1]
    skew = ", ".join(f"{100 * share:.1f}" for share in shares.mean(axis=0))
    print(
        f"routing of {routing.source}: experts of a layer by popularity, mean over "
        f"{len(banks)} layers: {skew} % of its uses; the extremes of all layers "
        f"{100 * shares.max():.1f} and {100 * shares.min():.1f} %"
    )


def _print_line(name: str, result: Validation) -> None:
    perplexity, speed = result.perplexity, result.simulation_tokens_per_s
    spread = f" std {perplexity.std:.3f}" if perplexity.std is not None else ""
    print(
        f"{name:50} perplexity {perplexity.mean:9.3f}{spread} "
        f"KL {result.kl_divergence.mean:.4f} top-1 {100 * result.top1_agreement.mean:.1f} % | "
        f"tokens/s digital {speed.digital.mean:.0f} on tiles {speed.analog.mean:.0f} "
        f"ratio {speed.analog.mean / speed.digital.mean:.2f} | "
        f"programming {result.programming_s:.0f} s an instance",
        flush=True,
    )


if __name__ == "__main__":
    main()
