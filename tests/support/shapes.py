"""Matrices of published models: shapes, numbers and what reads what. Embeddings stay digital.

From the models' public configurations (`examples/configs/` has them). As the counts of blocks that
other tools give have it, GPT-2's q, k and v are apart and read inputs of their own, experts are
three matrices each, and routers are on tiles.
"""

from __future__ import annotations

from collections.abc import Callable

from programs import llama, program_of, smollm2

from afmc.program.model import Matrix
from afmc.program.program import Program


def gpt2(*, layers: int = 12, hidden: int = 768) -> Program:
    """GPT-2 124M, with q, k and v apart."""
    attention = tuple((name, hidden, hidden) for name in "qkvo")
    shapes = (*attention, ("up", hidden, 4 * hidden), ("down", 4 * hidden, hidden))
    return program_of(
        [
            Matrix(f"h.{i}.{name}", rows, cols, f"h.{i}.{name}.in", module=f"h.{i}.{name}")
            for i in range(layers)
            for name, rows, cols in shapes
        ]
        + [Matrix("lm_head.weight", hidden, 50257, "norm", module="lm_head")]
    )


def gpt2_xl() -> Program:
    return gpt2(layers=48, hidden=1600)


def qwen2() -> Program:
    """Qwen2.5-0.5B"""
    return llama(layers=24, hidden=896, kv=128, wide=4864, vocabulary=151936)


def llama_1b() -> Program:
    """Llama-3.2-1B"""
    return llama(layers=16, hidden=2048, kv=512, wide=8192, vocabulary=128256)


def llama_8b() -> Program:
    """Llama-3-8B"""
    return llama(layers=32, hidden=4096, kv=1024, wide=14336, vocabulary=128256)


def phi3() -> Program:
    """Phi-3-mini, which stores q, k, v and gate, up as one each."""
    shapes = (
        ("qkv", 3072, 9216, "norm"),
        ("o", 3072, 3072, "attention"),
        ("gate_up", 3072, 16384, "mlp_norm"),
        ("down", 8192, 3072, "mlp"),
    )
    return program_of(
        [
            Matrix(f"{i}.{name}", rows, cols, f"{i}.{reads}", module=f"{i}.{name}")
            for i in range(32)
            for name, rows, cols, reads in shapes
        ]
        + [Matrix("lm_head.weight", 3072, 32064, "norm", module="lm_head")]
    )


def _experts(layer: int, hidden: int, wide: int, experts: int, used: int) -> list[Matrix]:
    """A router and a bank of experts, of which each token uses some."""
    shapes = (
        ("gate", hidden, wide, "mlp_norm"),
        ("up", hidden, wide, "mlp_norm"),
        ("down", wide, hidden, "expert"),
    )
    router = Matrix(
        f"{layer}.router", hidden, experts, f"{layer}.mlp_norm", module=f"{layer}.router"
    )
    return [
        router,
        *(
            Matrix(
                f"{layer}.experts.{name}",
                rows,
                cols,
                f"{layer}.{reads}.routed",
                copies=experts,
                per_token=used,
                module=f"{layer}.experts.{name}",
            )
            for name, rows, cols, reads in shapes
        ),
    ]


def _dense(layer: int, name: str, hidden: int, wide: int) -> list[Matrix]:
    shapes = (
        ("gate", hidden, wide, "mlp_norm"),
        ("up", hidden, wide, "mlp_norm"),
        ("down", wide, hidden, f"{name}.mlp"),
    )
    return [
        Matrix(f"{layer}.{name}.{part}", rows, cols, f"{layer}.{reads}", module=f"{name}.{part}")
        for part, rows, cols, reads in shapes
    ]


def mixtral() -> Program:
    """Mixtral-8x7B"""
    attention = (
        ("q", 4096, 4096, "norm"),
        ("k", 4096, 1024, "norm"),
        ("v", 4096, 1024, "norm"),
        ("o", 4096, 4096, "attention"),
    )
    matrices: list[Matrix] = []
    for i in range(32):
        matrices += [
            Matrix(f"{i}.{name}", rows, cols, f"{i}.{reads}", module=f"{i}.{name}")
            for name, rows, cols, reads in attention
        ]
        matrices += _experts(i, 4096, 14336, experts=8, used=2)
    return program_of([*matrices, Matrix("lm_head.weight", 4096, 32000, "norm", module="lm_head")])


def deepseek_v3() -> Program:
    """DeepSeek-V3: latent attention of 128 heads, 3 dense layers, 58 with 256 experts and one that
    is always used."""
    attention = (
        ("q_a", 7168, 1536, "norm"),
        ("q_b", 1536, 128 * (128 + 64), "q"),
        ("kv_a", 7168, 512 + 64, "norm"),
        ("kv_b", 512, 128 * (128 + 128), "kv"),
        ("o", 128 * 128, 7168, "attention"),
    )
    matrices: list[Matrix] = []
    for i in range(61):
        matrices += [
            Matrix(f"{i}.{name}", rows, cols, f"{i}.{reads}", module=f"{i}.{name}")
            for name, rows, cols, reads in attention
        ]
        if i < 3:
            matrices += _dense(i, "mlp", 7168, 18432)
        else:
            matrices += _experts(i, 7168, 2048, experts=256, used=8)
            matrices += _dense(i, "shared", 7168, 2048)
    return program_of([*matrices, Matrix("lm_head.weight", 7168, 129280, "norm", module="lm_head")])


MODELS: dict[str, Callable[[], Program]] = {
    "SmolLM-135M": smollm2,
    "GPT-2 124M": gpt2,
    "GPT-2 XL": gpt2_xl,
    "Qwen2.5-0.5B": qwen2,
    "Llama-3.2-1B": llama_1b,
    "Phi-3-mini": phi3,
    "Llama-3-8B": llama_8b,
    "Mixtral-8x7B": mixtral,
    "DeepSeek-V3": deepseek_v3,
}
