"""Why a node of an ONNX graph stays digital, by its operator."""

from __future__ import annotations

from onnx import NodeProto

from afmc.frontends.graph import reasons
from afmc.frontends.onnx.products import ONNX_DOMAINS

_RULES = {
    reasons.SHAPE: "And BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitShift Cast CastLike"
    " CenterCropPad Col2Im Compress Concat Constant ConstantOfShape DepthToSpace Equal Expand"
    " EyeLike Flatten GatherElements GatherND Greater GreaterOrEqual Identity IsInf IsNaN Less"
    " LessOrEqual Not OneHot Or Pad Range Reshape ReverseSequence Scatter ScatterElements"
    " ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze Where"
    " Xor",
    reasons.DROPOUT: "Dropout",
    reasons.LOOK_UP: "Gather",
    reasons.NORMALISATION: "BatchNormalization GroupNormalization InstanceNormalization LRN"
    " LayerNormalization LpNormalization MeanVarianceNormalization RMSNormalization",
    reasons.ACTIVATION: "Celu Elu Gelu HardSigmoid HardSwish LeakyRelu Mish PRelu Relu Selu"
    " Shrink Sigmoid Softplus Softsign Swish Tanh ThresholdedRelu",
    reasons.SOFTMAX: "Hardmax LogSoftmax Softmax",
    reasons.POSITION: "RotaryEmbedding",
    reasons.SELECTION: "ArgMax ArgMin CumSum NonMaxSuppression NonZero TopK Unique",
    reasons.REDUCTION: "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool"
    " MaxRoiPool MaxUnpool ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean"
    " ReduceMin ReduceProd ReduceSum ReduceSumSquare RoiAlign",
    reasons.ELEMENTWISE: "Abs Acos Acosh Add Asin Asinh Atan Atanh Ceil Clip Cos Cosh"
    " DequantizeLinear Div DynamicQuantizeLinear Erf Exp Floor Log Max Mean Min Mod Mul Neg Pow"
    " QuantizeLinear Reciprocal Resize Round Sign Sin Sinh Sqrt Sub Sum Tan Upsample",
    reasons.CONVOLUTION: "ConvTranspose DeformConv",
    reasons.QUANTISED: "ConvInteger MatMulInteger QLinearConv QLinearMatMul",
    reasons.RECURRENT: "GRU LSTM RNN",
    reasons.ATTENTION: "Attention",
    reasons.TWO_ACTIVATIONS: "Einsum",
    reasons.CONTROL_FLOW: "If Loop Scan",
}
_BY_OPERATOR = {name: rule for rule, names in _RULES.items() for name in names.split()}

SUMS = {"Add", "Sum"}
"""Sums, whose last summand counts as the source."""


def reason(node: NodeProto) -> str:
    """Why this node, which is no product with a matrix, stays digital."""
    if node.domain not in ONNX_DOMAINS:
        return reasons.UNKNOWN
    return _BY_OPERATOR.get(node.op_type, reasons.UNKNOWN)
