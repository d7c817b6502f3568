"""Why an operation stays digital, by operator and by the kind of module that it stands in."""

from __future__ import annotations

from torch.fx import Node

from afmc.frontends.graph.dataflow import Dataflow, module_of, operation


class NotLowered(str):
    """A reason that says that it is afmc that does not lower an operation, and not what it is."""


SHAPE = "shape or index bookkeeping"
ELEMENTWISE = "element-wise"
REDUCTION = "reduction"
LOOK_UP = "look-up"
NORMALISATION = "normalisation"
ACTIVATION = "activation function"
SOFTMAX = "softmax"
POSITION = "positional encoding"
DROPOUT = "does nothing at inference"
SELECTION = "sorting, selection or counting"
RECURRENT = NotLowered("recurrent layer is not lowered yet")
CONVOLUTION = NotLowered("convolution is not lowered yet")
EXPERT_BANK = NotLowered("expert bank (3-D weight) is not lowered yet")
ATTENTION = "attention product: both operands are activations"
TWO_ACTIVATIONS = "both operands are activations"
CONSTANT = "every operand is constant: not folded yet"
COMPUTED = "its constant operand is computed in the graph, not stored"
BUFFER = "its constant operand is a buffer, not a parameter"
WEIGHT_ON_THE_LEFT = NotLowered("the constant is the left operand: not lowered yet")
OTHER_PRODUCT = NotLowered("a constant weight in this kind of product is not lowered yet")
NOT_A_MATRIX = "its constant operand is not a 2-D matrix"
QUANTISED = NotLowered("product of quantised numbers is not lowered yet")
OTHER_BIAS = "its bias is not a constant vector"
SCALED = NotLowered("addmm with alpha or beta is not lowered yet")
SCALED_GEMM = NotLowered("Gemm with a transposed activation, alpha or beta is not lowered yet")
NOT_FLOAT = "its constant operand is not 32-bit floating point"
IN_GROUPS = NotLowered(
    "convolution in groups, where each group of channels has a small matrix of its own, is not"
    " lowered yet"
)
DIMENSIONS = NotLowered("convolution over other than one or two dimensions is not lowered yet")
NO_BATCH = NotLowered("convolution without a batch is not lowered yet")
PADDED_BY_SIZE = NotLowered(
    "convolution whose padding depends on the size of its input is not lowered yet"
)
SHARED = "reads a weight that another operation reads transposed or with another bias"
REGION = "container: its operations are counted by themselves"
CONTROL_FLOW = NotLowered("control flow is not lowered yet")
UNKNOWN = "no rule: stays digital"
UNREAD = "no operation reads these parameters"

PRODUCTS = {
    "aten._grouped_mm", "aten._scaled_mm", "aten.addbmm", "aten.addmm", "aten.addmv",
    "aten.baddbmm", "aten.bilinear", "aten.bmm", "aten.dot", "aten.einsum", "aten.inner",
    "aten.linear", "aten.matmul", "aten.mm", "aten.mv", "aten.outer", "aten.tensordot",
    "transformers.grouped_mm_fallback",
}  # fmt: skip

# Those whose 2-D parameters become matrices.
_MATRIX_PRODUCTS = {"aten.addmm", "aten.linear", "aten.matmul", "aten.mm"}

_RULES = {
    SHAPE: "_assert_async _assert_scalar _assert_tensor_metadata _to_copy _unsafe_view __and__"
    " __or__ alias arange bitwise_and bitwise_not bitwise_or broadcast_tensors cat chunk clone"
    " constant_pad_nd contiguous copy detach diff empty empty_like eq expand expand_as"
    " fill flatten full full_like gather ge gt index index_put index_select le lift_fresh_copy"
    " linspace logical_and logical_not logical_or lt masked_fill masked_scatter meshgrid movedim"
    " narrow ne new_empty new_full new_ones new_zeros numpy_T ones ones_like pad permute repeat"
    " repeat_interleave reshape resolve_conj roll scalar_tensor scatter select select_scatter"
    " slice slice_scatter split split_with_sizes squeeze stack sym_constrain_range"
    " sym_constrain_range_for_size sym_numel sym_size t tensor_split tile to transpose tril triu"
    " type_as unbind unflatten unfold unsqueeze view where zeros zeros_like zero",
    DROPOUT: "alpha_dropout dropout feature_dropout native_dropout",
    LOOK_UP: "embedding embedding_bag",
    NORMALISATION: "_fused_rms_norm _native_batch_norm_legit_no_training batch_norm group_norm"
    " instance_norm layer_norm linalg_vector_norm native_batch_norm native_group_norm"
    " native_layer_norm norm rms_norm",
    ACTIVATION: "celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid mish"
    " prelu relu relu6 selu sigmoid silu softplus softsign tanh threshold",
    SOFTMAX: "_log_softmax _safe_softmax _softmax log_softmax logsumexp softmax",
    SELECTION: "all any argmax argmin argsort bincount bucketize cumsum histc max min nonzero"
    " one_hot searchsorted sort topk unique",
    REDUCTION: "amax amin mean prod std sum var",
    ELEMENTWISE: "abs add addcdiv addcmul ceil clamp clamp_max clamp_min cos cosh div erf exp"
    " expm1 floor floor_divide fmod lerp log log1p log2 maximum minimum mul nan_to_num neg pow"
    " reciprocal remainder round rsqrt rsub sign sin sinh sqrt square sub tan true_divide",
    CONVOLUTION: "_convolution conv1d conv2d conv3d conv_transpose1d conv_transpose2d"
    " conv_transpose3d convolution",
    RECURRENT: "gru gru_cell lstm lstm_cell rnn_relu rnn_tanh",
    ATTENTION: "_scaled_dot_product_flash_attention_for_cpu scaled_dot_product_attention",
}  # fmt: skip
_BY_OPERATOR = {f"aten.{name}": rule for rule, names in _RULES.items() for name in names.split()}

KNOWN = PRODUCTS | set(_BY_OPERATOR)
"""Operators of which it is known what they do."""

# In a norm or a rotary embedding, these say less than the module does.
_PLAIN = {ELEMENTWISE, REDUCTION}


def in_region(region: str) -> str:
    """Why an operation in a region of control flow stays digital."""
    return NotLowered(f"in {region}: {CONTROL_FLOW}")


def reason(node: Node, flow: Dataflow) -> str:
    """Why this operation, which is no matrix, stays digital."""
    name = operation(node)
    if name in PRODUCTS:
        return _product(node, flow)
    if node in flow.regions:
        return REGION
    if name.startswith("higher_order."):
        return CONTROL_FLOW
    if name.startswith(("operator.", "torch.sym_", "math.")):
        return SHAPE
    rule = _BY_OPERATOR.get(name) or _BY_OPERATOR.get(name.removesuffix("_"), UNKNOWN)
    return _place(node) or rule if rule in _PLAIN else rule


def _product(node: Node, flow: Dataflow) -> str:
    operands = node.all_input_nodes
    if node not in flow.activations:
        return _place(node) or CONSTANT
    for constant in filter(None, map(flow.carried, operands)):
        if constant not in flow.parameters:
            return _place(node) or BUFFER
        dims = flow.tensors[constant].ndim
        if dims == 3:
            return EXPERT_BANK
        if dims != 2:
            return _place(node) or NOT_A_MATRIX
        return COMPUTED if operation(node) in _MATRIX_PRODUCTS else OTHER_PRODUCT
    if any(operand not in flow.activations for operand in operands):
        return _place(node) or COMPUTED
    return _place(node) or (ATTENTION if _in_attention(node) else TWO_ACTIVATIONS)


def _place(node: Node) -> str | None:
    _, kind = module_of(node)
    if "Norm" in kind:
        return NORMALISATION
    if "Rotary" in kind or "Position" in kind:
        return POSITION
    return None


def _in_attention(node: Node) -> bool:
    return any(
        word in str(kind) for _, kind in (node.meta.get("nn_module_stack") or {}).values()
        for word in ("Attention", "Attn", "attention")
    )  # fmt: skip
