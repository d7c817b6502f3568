"""The analog model: the teacher's weights, trained on with AIHWKIT-Lightning to stand noise.

As analog foundation models are made: input ranges are learned, weights clipped after each step,
noise added to them at each use, converters simulated, and what is learned is the teacher's
distribution on text that the teacher wrote.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from afm_training.teacher import BATCH, share

with contextlib.redirect_stdout(io.StringIO()):  # it prints that triton is missing
    from aihwkit_lightning.nn.conversion import convert_to_analog
    from aihwkit_lightning.optim import AnalogOptimizer
    from aihwkit_lightning.simulator.configs import (
        TorchInferenceRPUConfig,
        WeightClipType,
        WeightNoiseInjectionType,
    )

READ_TOGETHER = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("mlp.gate_proj", "mlp.up_proj"),
)
"""Layers of a block with one input, whose input converters the compiler may share."""


@dataclass(frozen=True)
class Hardening:
    """What makes the model robust."""

    noise: float = 0.06
    """Standard deviation of the noise on a weight, of the largest weight of its column."""
    clip: float = 3.0
    """Weights are clipped to so many standard deviations of their column."""
    range_start: float = 8.0
    """Input ranges start at so many standard deviations of the input."""
    range_batches: int = 100
    """Batches from which ranges are found."""
    range_decay: float = 0.001
    """How strongly ranges shrink that clip less than a twentieth of the values."""


def rpu_config(hardening: Hardening) -> Any:
    """AIHWKIT-Lightning's configuration: 8-bit converters, whole matrices, ranges by column."""
    config = TorchInferenceRPUConfig()
    config.forward.inp_res = config.forward.out_res = 254
    config.forward.out_bound = 14.0
    config.clip.type = WeightClipType.LAYER_GAUSSIAN_PER_CHANNEL
    config.clip.sigma = hardening.clip
    config.modifier.noise_type = WeightNoiseInjectionType.ADD_NORMAL_PER_CHANNEL
    config.modifier.std_dev = hardening.noise
    config.mapping.max_input_size = -1
    ranges = config.pre_post.input_range
    ranges.enable = True
    ranges.init_std_alpha = hardening.range_start
    ranges.init_from_data = hardening.range_batches
    ranges.decay = hardening.range_decay
    return config


def make_analog(teacher: LlamaForCausalLM, config: Any) -> Any:
    """A copy of the teacher of analog layers, lm_head included."""
    model: Any = convert_to_analog(teacher, config)
    for parent in list(model.modules()):
        for names in READ_TOGETHER:
            with contextlib.suppress(AttributeError):
                first, *others = (parent.get_submodule(name) for name in names)
                for layer in others:
                    layer.input_range = first.input_range
                    layer.input_range_update_idx = first.input_range_update_idx
    for layer in model.analog_layers():
        layer.clip_weights()
    return model


def train_analog(
    model: Any,
    teacher: nn.Module,
    passages: Tensor,
    steps: int,
    seed: int,
    log: Callable[[str], None],
    peak: float = 1e-3,
) -> None:
    """Distillation: the Kullback-Leibler divergence from the teacher, averaged over all tokens.

    `seed` decides the order of the passages; the noise is drawn from torch's own generator.
    """
    named = list(model.named_parameters())
    ranges = [p for name, p in named if name.endswith("input_range")]
    weights = [p for name, p in named if not name.endswith("input_range")]
    optimizer: Any = AnalogOptimizer(
        torch.optim.AdamW,
        model.analog_layers,
        [{"params": weights}, {"params": ranges, "lr": 3 * peak}],
        lr=peak,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.0,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share(step, steps))
    batches = _batches(passages, torch.Generator().manual_seed(seed))
    model.train()
    for step in range(steps):
        batch = next(batches)
        with torch.no_grad():
            wanted = teacher(input_ids=batch, use_cache=False).logits.log_softmax(-1)
        found = model(input_ids=batch, use_cache=False).logits.log_softmax(-1)
        loss = (wanted.exp() * (wanted - found)).sum(-1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            log(f"analog: step {step + 1} of {steps}, divergence {loss.item():.3f}")
    model.eval()


def _batches(passages: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """All passages in a new order each time round, for ever."""
    while True:
        order = torch.randperm(len(passages), generator=generator)
        yield from (passages[part] for part in torch.split(order, BATCH) if len(part) == BATCH)
