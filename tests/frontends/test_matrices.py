"""Every constant product is a matrix or has a reason, and every weight is counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from models import ARCHITECTURES
from torch import nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from afmc.frontends.graph.export import export
from afmc.frontends.graph.matrices import find_matrices, find_products
from afmc.frontends.loaded import Loaded
from afmc.program.model import Matrix, Remainder

Tiny = Callable[[str], nn.Module]
Exports = Callable[[str], tuple[nn.Module, ExportedProgram]]


def counted(
    module: nn.Module, matrices: Sequence[Matrix], remainder: Sequence[Remainder]
) -> tuple[int, int]:
    """Weights in the account, and in the model."""
    sizes = {n: p.numel() for n, p in module.named_parameters(remove_duplicate=False)}
    biases = {m.bias for m in matrices if m.bias}
    total = sum(m.weights for m in matrices) + sum(r.weights for r in remainder)
    return total + sum(sizes[b] for b in biases), sum(p.numel() for p in module.parameters())


def reasons(remainder: Sequence[Remainder]) -> dict[str, str]:
    return {entry.operation: entry.reason for entry in remainder}


def test_every_weight_is_counted_once(architecture: str, exports: Exports) -> None:
    module, exported = exports(architecture)
    matrices, remainder, _ = find_matrices(exported)
    account, model = counted(module, matrices, remainder)
    assert account == model


def test_every_operation_is_counted_once(architecture: str, exports: Exports) -> None:
    _, exported = exports(architecture)
    matrices, remainder, _ = find_matrices(exported)
    calls = sum(node.op == "call_function" for node in exported.graph.nodes)
    uses = sum(1 if m.copies > 1 else m.per_token for m in matrices)  # a bank's are one operation
    assert uses + sum(r.count for r in remainder) == calls


def test_every_operation_has_a_rule(architecture: str, exports: Exports) -> None:
    _, remainder, _ = find_matrices(exports(architecture)[1])
    assert [r.operation for r in remainder if r.reason.startswith("no rule")] == []


def test_the_remainder_is_sorted(exports: Exports) -> None:
    _, remainder, _ = find_matrices(exports("llama")[1])
    keys = [(r.operation, r.reason) for r in remainder]
    assert keys == sorted(set(keys))


PER_LAYER = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc", "c_proj"],
    "bert": ["query", "key", "value", "dense", "dense", "dense"],
    "mixtral": ["q_proj", "k_proj", "v_proj", "o_proj", "gate", "gate_up_proj", "down_proj"],
}
PER_LAYER |= {"qwen2": PER_LAYER["llama"], "gemma3": PER_LAYER["llama"]}
AT_THE_END = {"bert": ["dense", "decoder"]}
LATENT = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
DENSE = ["gate_proj", "up_proj", "down_proj"]
MIXTURE = PER_LAYER["mixtral"]
WHOLE = {
    "qwen3_moe": [*MIXTURE, "lm_head"],
    "gpt_oss": [*MIXTURE[:4], "router", *MIXTURE[5:], "lm_head"],
    "deepseek_v3": [*LATENT, *DENSE, *LATENT, *MIXTURE[4:], *DENSE, "lm_head"],
}


def test_matrices_in_dataflow_order(architecture: str, exports: Exports) -> None:
    matrices, *_ = find_matrices(exports(architecture)[1])
    expected = WHOLE.get(architecture) or (
        PER_LAYER[architecture] * 2 + AT_THE_END.get(architecture, ["lm_head"])
    )
    names = [m.name.removesuffix(".weight") for m in matrices]
    assert [name.rpartition(".")[2] for name in names] == expected
    for name, matrix in zip(names, matrices, strict=True):
        assert matrix.module == (name.rpartition(".")[0] if matrix.copies > 1 else name)


def test_who_shares_an_input(exports: Exports) -> None:
    matrices, *_ = find_matrices(exports("llama")[1])
    assert [m.input for m in matrices[:7]] == [
        *["model.layers.0.input_layernorm:mul_1"] * 3,
        "model.layers.0.self_attn:reshape_3",
        *["model.layers.0.post_attention_layernorm:mul_1"] * 2,
        "model.layers.0.mlp:mul",
    ]
    assert len({m.input for m in matrices}) == 2 * 4 + 1


def test_where_inputs_come_from(exports: Exports) -> None:
    """What was added to the residual stream last, and through attention all of q, k and v."""
    matrices, *_ = find_matrices(exports("llama")[1])
    q, k, v, o, gate, up, down = (m.name for m in matrices[:7])
    assert [m.sources for m in matrices[:8]] == [
        *[()] * 3,
        (q, k, v),
        *[(o,)] * 2,
        (gate, up),
        (down,),
    ]
    assert [m.sources for m in matrices[7:10]] == [(down,)] * 3
    assert matrices[-1].sources == (matrices[-2].name,)
    assert matrices[-2].name == "model.layers.1.mlp.down_proj.weight"


def test_where_the_inputs_of_experts_come_from(exports: Exports) -> None:
    matrices, *_ = find_matrices(exports("deepseek_v3")[1])
    sources = {
        m.name.removeprefix("model.layers.1.").removesuffix(".weight"): [
            source.removeprefix("model.layers.1.").removesuffix(".weight") for source in m.sources
        ]
        for m in matrices
    }
    assert sources["self_attn.o_proj"] == [
        *("self_attn.q_b_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.kv_b_proj")
    ]
    assert sources["mlp.experts.gate_up_proj"] == ["self_attn.o_proj", "mlp.gate"]  # the router
    assert sources["mlp.experts.down_proj"] == ["mlp.experts.gate_up_proj"]
    assert sources["mlp.shared_experts.up_proj"] == ["self_attn.o_proj"]
    assert sources["lm_head"] == ["mlp.experts.down_proj", "mlp.shared_experts.down_proj"]


def test_tied_head(exports: Exports) -> None:
    matrices, remainder, _ = find_matrices(exports("llama")[1])
    head = matrices[-1]
    assert (head.name, head.tied_to) == ("lm_head.weight", "model.embed_tokens.weight")
    assert (head.rows, head.cols) == (32, 60)
    assert [r.weights for r in remainder if r.reason == "look-up"] == [0]


def test_untied_head(exports: Exports) -> None:
    matrices, remainder, _ = find_matrices(exports("qwen2")[1])
    assert matrices[-1].tied_to is None
    assert [r.weights for r in remainder if r.reason == "look-up"] == [60 * 32]


def test_biases(exports: Exports) -> None:
    matrices, *_ = find_matrices(exports("qwen2")[1])
    assert [m.bias and m.bias.split(".")[-2] for m in matrices[:4]] == [
        *("q_proj", "k_proj", "v_proj"),
        None,
    ]


def test_conv1d_of_gpt2(exports: Exports) -> None:
    matrices, *_ = find_matrices(exports("gpt2")[1])
    assert matrices[0] == Matrix(
        name="transformer.h.0.attn.c_attn.weight",
        rows=32,
        cols=96,
        input="transformer.h.0.ln_1:layer_norm",
        module="transformer.h.0.attn.c_attn",
        layer="transformers.pytorch_utils.Conv1D",
        operation="aten.addmm.default",
        stored="rows_cols",
        bias="transformer.h.0.attn.c_attn.bias",
    )


def test_tied_bias_of_bert(exports: Exports) -> None:
    matrices, *_ = find_matrices(exports("bert")[1])
    assert matrices[-1].bias == "cls.predictions.decoder.bias"
    assert matrices[-1].tied_to == "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("architecture", "layers", "copies", "top_k", "wide"),
    [
        ("mixtral", (0, 1), 4, 2, 48),
        ("qwen3_moe", (0,), 4, 2, 24),
        ("deepseek_v3", (1,), 8, 3, 24),
        ("gpt_oss", (0,), 4, 2, 48),
    ],
)
def test_banks_of_experts(
    exports: Exports, architecture: str, layers: tuple[int, ...], copies: int, top_k: int, wide: int
) -> None:
    matrices, *_ = find_matrices(exports(architecture)[1])
    banks = [m for m in matrices if m.copies > 1]
    assert len(banks) == 2 * len(layers)
    up, down = banks[-2:]
    experts = f"model.layers.{layers[-1]}.mlp.experts"
    other = architecture == "gpt_oss"  # the other way round, and with biases
    for matrix, name, rows, cols in (
        (up, "gate_up_proj", 32, 2 * wide),
        (down, "down_proj", wide, 32),
    ):
        assert matrix == Matrix(
            name=f"{experts}.{name}",
            rows=rows,
            cols=cols,
            input=matrix.input,
            copies=copies,
            per_token=top_k,
            module=experts,
            layer=matrix.layer,
            operation="transformers.grouped_mm_fallback.default",
            stored="rows_cols" if other else "cols_rows",
            bias=f"{experts}.{name}_bias" if other else None,
            sources=matrix.sources,
        )
    assert up.layer == down.layer and up.layer.endswith("Experts")
    assert up.input.startswith(f"{experts}:index")  # the tokens by expert
    assert down.input.startswith(f"{experts}:mul")  # gate times up


@pytest.mark.parametrize(
    ("architecture", "routers"),
    [
        ("llama", []),
        ("mixtral", ["model.layers.0.mlp.gate.weight", "model.layers.1.mlp.gate.weight"]),
        ("deepseek_v3", ["model.layers.1.mlp.gate.weight"]),
        ("gpt_oss", ["model.layers.0.mlp.router.weight"]),
    ],
)
def test_routers(exports: Exports, architecture: str, routers: list[str]) -> None:
    matrices, *_ = find_matrices(exports(architecture)[1])
    assert [m.name for m in matrices if m.chooses] == routers


def test_banks_without_weights_and_in_half_precision() -> None:
    """On the meta device, where torch has an operator for bfloat16. The router computes in float32,
    so that it multiplies by no stored weight, and nothing before it is taken for a router.
    """
    with torch.device("meta"):
        module = ARCHITECTURES["deepseek_v3"]().to(torch.bfloat16).eval()
    matrices, remainder, _ = find_matrices(export(module))
    up, down = [m for m in matrices if m.copies > 1]
    for matrix, rows, cols in ((up, 32, 48), (down, 24, 32)):
        assert (matrix.rows, matrix.cols, matrix.copies, matrix.per_token) == (rows, cols, 8, 3)
        assert matrix.operation == "aten._grouped_mm.default"
    assert [m.name for m in matrices if "gate.weight" in m.name or m.chooses] == []
    computed = [r for r in remainder if r.reason.startswith("its constant operand is computed")]
    assert [(r.operation, r.count) for r in computed] == [("aten.linear.default", 1)]
    account, model = counted(module, matrices, remainder)
    assert account == model


def test_experts_are_grouped_for_the_graph_and_left_as_they_were(tiny: Tiny) -> None:
    module = tiny("mixtral")
    module.set_experts_implementation("eager")  # type: ignore[operator]  # transformers is untyped
    matrices, *_ = find_matrices(export(module))
    assert [m.copies for m in matrices if m.copies > 1] == [4] * 4
    assert module.config._experts_implementation == "eager"  # type: ignore[union-attr]


def test_gemmas_norm_scales_are_arithmetic(exports: Exports) -> None:
    _, remainder, _ = find_matrices(exports("gemma3")[1])
    assert {r.reason for r in remainder if r.weights} == {"normalisation"}


def test_attention_without_a_fused_operator(tiny: Tiny) -> None:
    module = tiny("llama")
    module.set_attn_implementation("eager")  # type: ignore[operator]  # transformers is untyped
    _, remainder, _ = find_matrices(export(module))
    assert reasons(remainder)["aten.matmul.default"] == (
        "attention product: both operands are activations"
    )


class Toy(nn.Module):
    """An embedding, so that there is an activation, and one parameter for `forward` to use."""

    constant: torch.Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.w = nn.Parameter(torch.ones(shape))
        self.v = nn.Parameter(torch.ones(6))
        self.register_buffer("constant", torch.ones(4, 6))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.use(self.embedding(input_ids))

    def use(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError  # each toy has its own


class Matmul(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w


class MatmulOfTransposed(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w.t() + x @ self.w.transpose(0, 1) - x @ self.w.permute(1, 0)


class MmBehindViews(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, 4).contiguous()
        return torch.mm(flat, self.w).view(*x.shape[:2], 6) + x @ self.w


@pytest.mark.parametrize(
    ("module", "stored", "uses", "operation"),
    [
        (Matmul(4, 6), "rows_cols", 1, "aten.matmul.default"),
        (MatmulOfTransposed(6, 4), "cols_rows", 3, "aten.matmul.default"),
        (MmBehindViews(4, 6), "rows_cols", 2, "aten.mm.default"),
    ],
)
def test_other_spellings(module: Toy, stored: str, uses: int, operation: str) -> None:
    (matrix,), remainder, _ = find_matrices(export(module.eval()))
    assert (matrix.name, matrix.rows, matrix.cols, matrix.stored) == ("w", 4, 6, stored)
    assert (matrix.per_token, matrix.operation) == (uses, operation)
    assert matrix.input == ",".join(["embedding:embedding"] * uses)
    assert Remainder("none", 0, "no operation reads these parameters", 6) in remainder


class SameValuesOtherVectors(Toy):
    def __init__(self) -> None:
        super().__init__(6, 4)
        self.narrow = nn.Linear(2, 6, bias=False)

    def use(self, x: torch.Tensor) -> torch.Tensor:
        whole = F.linear(x, self.w)
        return whole.unsqueeze(2) + self.narrow(x.view(*x.shape[:2], 2, 2))


def test_a_view_that_cuts_vectors_is_another_input() -> None:
    matrices, *_ = find_matrices(export(SameValuesOtherVectors().eval()))
    assert [m.input for m in matrices] == ["embedding:embedding", "view"]


class BiasLinear(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.w, self.v)


class AddedLater(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.w) + self.v


def test_bias_of_the_operation_is_attached_and_a_later_one_is_not() -> None:
    (matrix,), remainder, _ = find_matrices(export(BiasLinear(6, 4).eval()))
    assert matrix.bias == "v"
    (matrix,), remainder, _ = find_matrices(export(AddedLater(6, 4).eval()))
    assert matrix.bias is None
    assert Remainder("aten.add.Tensor", 1, "element-wise", 6) in remainder


class Einsum(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bsi,io->bso", x, self.w)


class Bank(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x[:2], self.w)


class Loop(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w[0] + x @ self.w[1]


class OfSomeTokens(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 4)
        total = x.new_zeros(len(x), 6)
        for expert in range(2):
            which = torch.where(x[:, expert] > 0)[0]
            total = total.index_add(0, which, x[which] @ self.w[expert].mT)
        return total


class Selected(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 4)
        return torch.bmm(x.unsqueeze(1), self.w[x.argmax(-1) % 2]).squeeze(1)


class AllExperts(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x.reshape(-1, 4), self.w.transpose(-1, -2))


class WithBias(Toy):
    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        self.b = nn.Parameter(torch.ones(shape[0], shape[2]))

    def use(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 4)
        which = x.argmax(-1) % 3
        return torch.bmm(x.unsqueeze(1), self.w[which]) + self.b[which].unsqueeze(1)


@pytest.mark.parametrize(
    ("module", "copies", "stored", "uses", "inputs"),
    [
        (Bank(2, 4, 6), 2, "rows_cols", 1, "slice_1"),
        (Loop(2, 4, 6), 2, "rows_cols", 2, "embedding:embedding"),
        (OfSomeTokens(2, 6, 4), 2, "cols_rows", 2, "index,index_1"),
        (Selected(2, 4, 6), 2, "rows_cols", 1, "embedding:embedding"),
        (AllExperts(2, 6, 4), 2, "cols_rows", 2, "embedding:embedding"),
        (WithBias(3, 4, 6), 3, "rows_cols", 1, "embedding:embedding"),
    ],
)
def test_other_spellings_of_banks(
    module: Toy, copies: int, stored: str, uses: int, inputs: str
) -> None:
    (matrix,), remainder, _ = find_matrices(export(module.eval()))
    assert (matrix.name, matrix.rows, matrix.cols, matrix.copies) == ("w", 4, 6, copies)
    assert (matrix.stored, matrix.per_token, matrix.input) == (stored, uses, inputs)
    assert matrix.bias == ("b" if isinstance(module, WithBias) else None)
    account, model = counted(module, (matrix,), remainder)
    assert account == model


class ExpertsLost(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w.view(4, 12)


class Convolution(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv1d(x.transpose(1, 2), self.w, padding=1)


class OnTheLeft(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return self.w @ x.transpose(1, 2)


class Buffer(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.constant + self.w.sum()


class Computed(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.w * 2)


class TwoConstants(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum() + self.constant @ self.w


class OtherBias(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.w, self.v * 2)


class Scaled(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.v, x.reshape(-1, 4), self.w, alpha=2)


class Activations(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.transpose(1, 2) + self.w.sum()


class Unknown(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return torch.lgamma(x + self.w)


@pytest.mark.parametrize(
    ("module", "operation", "reason"),
    [
        (Einsum(4, 6), "aten.einsum.default",
         "a constant weight in this kind of product is not lowered yet"),
        (Convolution(6, 4, 3), "aten.conv1d.padding", "convolution is not lowered yet"),
        (OnTheLeft(6, 4), "aten.matmul.default",
         "the constant is the left operand: not lowered yet"),
        (ExpertsLost(2, 4, 6), "aten.matmul.default",
         "expert bank (3-D weight) is not lowered yet"),
        (Buffer(4, 6), "aten.matmul.default",
         "its constant operand is a buffer, not a parameter"),
        (Computed(4, 6), "aten.matmul.default",
         "its constant operand is computed in the graph, not stored"),
        (TwoConstants(6, 4), "aten.matmul.default", "every operand is constant: not folded yet"),
        (OtherBias(6, 4), "aten.linear.default", "its bias is not a constant vector"),
        (Scaled(4, 6), "aten.addmm.default", "addmm with alpha or beta is not lowered yet"),
        (Activations(1, 1), "aten.matmul.default", "both operands are activations"),
        (Unknown(1, 1), "aten.lgamma.default", "no rule: stays digital"),
    ],
)  # fmt: skip
def test_reason(module: Toy, operation: str, reason: str) -> None:
    matrices, remainder, _ = find_matrices(export(module.eval()))
    assert matrices == ()
    found = reasons(remainder)
    assert found.get(operation, found.get(operation.rsplit(".", 1)[0] + ".default")) == reason
    lowered = {each.lowered for each in remainder if each.reason == reason}
    assert lowered == {"not lowered yet" not in reason}
    account, model = counted(module, matrices, remainder)
    assert account == model


class BothWays(Toy):
    def use(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.linear(x, self.w), self.w.t())


def test_one_matrix_is_not_read_both_ways() -> None:
    module = BothWays(6, 4).eval()
    (matrix,), remainder, _ = find_matrices(export(module))
    assert (matrix.rows, matrix.cols, matrix.per_token) == (4, 6, 1)
    assert reasons(remainder)["aten.linear.default"] == (
        "reads a weight that another operation reads transposed or with another bias"
    )
    account, model = counted(module, (matrix,), remainder)
    assert account == model


class InsideAndOutside(nn.Module):
    """Two matrices that read one activation, one of them where gradients are switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.inside = nn.Linear(4, 6)
        self.outside = nn.Linear(4, 6)
        self.after = nn.Linear(6, 6)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.embedding(input_ids))
        with torch.no_grad():
            hidden = torch.relu(self.inside(x))
        return self.after(hidden) + self.outside(x)


def test_regions_are_seen_through() -> None:
    module = InsideAndOutside().eval()
    dynamic = {"input_ids": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(
        module, (torch.ones(2, 3, dtype=torch.long),), dynamic_shapes=dynamic, strict=False
    )
    matrices, remainder, _ = find_matrices(exported)
    assert [(m.name, m.input) for m in matrices] == [
        ("inside.weight", "tanh"),
        ("after.weight", "submod_1.relu"),
        ("outside.weight", "tanh"),
    ]
    assert reasons(remainder)["higher_order.wrap_with_set_grad_enabled"] == (
        "container: its operations are counted by themselves"
    )
    account, model = counted(module, matrices, remainder)
    assert account == model


class Conditional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.linear = nn.Linear(4, 4)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(input_ids)
        return torch.cond(x.sum() > 0, lambda x: self.linear(x), lambda x: x + 1, (x,))


def test_control_flow_is_counted_and_stays_digital() -> None:
    module = Conditional().eval()
    matrices, remainder, _ = find_matrices(export(module))
    assert matrices == ()
    found = {(r.operation, r.reason) for r in remainder}
    assert ("higher_order.cond", "control flow is not lowered yet") in found
    assert ("aten.linear.default", "in true_graph_0: control flow is not lowered yet") in found
    assert not any(each.lowered for each in remainder if "control flow" in each.reason)
    account, model = counted(module, matrices, remainder)
    assert account == model


def test_products_name_the_operands() -> None:
    exported = export(BiasLinear(6, 4).eval())
    (product,) = find_products(exported)
    assert (product.matrix, product.node.name) == ("w", "linear")
    assert product.activation.name == "embedding"
    assert product.bias is not None and product.bias.name == "p_v"


@pytest.mark.real_model
def test_real_model(smollm2: Loaded) -> None:
    matrices, remainder, _ = find_matrices(export(smollm2.module))
    assert len(matrices) == 211
    assert len({m.input for m in matrices}) == 30 * 4 + 1
    assert matrices[-1].tied_to == "model.embed_tokens.weight"
    account, model = counted(smollm2.module, matrices, remainder)
    assert account == model == 134_515_008
