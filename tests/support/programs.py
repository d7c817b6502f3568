"""Programs to test with: the shapes of real models, without their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afmc.compiler.pipeline import configure, load_passes, run_passes
from afmc.program.model import Matrix, Model
from afmc.program.program import Program
from afmc.targets import Target, load_target

# name within a layer, rows, columns, the activation that it reads
LLAMA = (
    ("self_attn.q_proj", "hidden", "hidden", "attention_norm"),
    ("self_attn.k_proj", "hidden", "kv", "attention_norm"),
    ("self_attn.v_proj", "hidden", "kv", "attention_norm"),
    ("self_attn.o_proj", "hidden", "hidden", "attention"),
    ("mlp.gate_proj", "hidden", "wide", "mlp_norm"),
    ("mlp.up_proj", "hidden", "wide", "mlp_norm"),
    ("mlp.down_proj", "wide", "hidden", "mlp"),
)


def program_of(matrices: Sequence[Matrix], name: str = "test") -> Program:
    weights = sum(matrix.weights for matrix in matrices)
    return Program(Model(name, "Test", "0" * 64, weights), tuple(matrices))


def llama(*, layers: int, hidden: int, kv: int, wide: int, vocabulary: int) -> Program:
    """A dense decoder with grouped attention, its lm_head tied to the embedding."""
    size = {"hidden": hidden, "kv": kv, "wide": wide}
    matrices = [
        Matrix(
            name=f"model.layers.{index}.{name}.weight",
            rows=size[rows],
            cols=size[cols],
            input=f"layer{index}.{reads}",
            module=f"model.layers.{index}.{name}",
        )
        for index in range(layers)
        for name, rows, cols, reads in LLAMA
    ]
    head = Matrix(
        name="lm_head.weight",
        rows=hidden,
        cols=vocabulary,
        input="norm",
        module="lm_head",
        tied_to="model.embed_tokens.weight",
    )
    return program_of([*matrices, head])


def smollm2() -> Program:
    """SmolLM2-135M: 211 matrices."""
    return llama(layers=30, hidden=576, kv=192, wide=1536, vocabulary=49152)


def compiled(
    start: Program, target: str | Target, settings: Mapping[str, object] | None = None
) -> Program:
    return run_passes(start, load_target(target), configure(load_passes(), settings or {}))
