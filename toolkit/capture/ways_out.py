"""What is refused by its class or by its operator: why, and what works in its place."""

from __future__ import annotations

from dataclasses import dataclass

KNOWN = ("supported are Linear, Conv1d / Conv2d, ConvTranspose1d / ConvTranspose2d, BatchNorm, max and average pools, "
         "nearest Upsample, ReLU, ReLU6, LeakyReLU, Hardtanh / clamp, Sigmoid, Tanh, SiLU, GELU and their hard "
         "variants, Dropout, Identity, Flatten, adding and multiplying two tensors element by element, concatenation, "
         "argmax, and a softmax at the end")


@dataclass(frozen=True)
class Way:
    """Why something is refused, and the way out."""

    why: str
    way_out: str


RECURRENT = Way("a recurrent layer keeps a state from step to step, and hardware here keeps none",
                "use Conv1d layers over a window of steps (a TCN); unrolling over the steps is not done")
ATTENTION = Way("attention is a matrix product of activations, and hardware here sums products with constants alone",
                "mix the positions with constant weights: a Conv1d, or a Conv1d of kernel 1 behind a permute")
NORM = Way("its scale depends on the data",
           "use BatchNorm1d or BatchNorm2d, which folds into the layer before it")
EMBEDDING = Way("it looks whole numbers up, and the inputs here are numbers of a fixed point",
                "give one-hot vectors to a Linear without bias, whose weight is the table transposed")
VOLUME = Way("volumes are not supported; Conv1d and Conv2d are",
             "take one axis as the channels of a Conv2d")
SMOOTH = Way("only nearest upsampling by whole factors is supported", "use nn.Upsample(mode='nearest')")
BILINEAR = Way("it sums products of activations, and hardware here sums products with constants alone",
               "multiply its inputs element by element (x * y) and use a Linear")
CONTROL = Way("recurrence and control flow are not supported",
              "write the steps out, or use Conv1d layers over a window")
BRANCH = Way("its forward takes its way by what the data hold (an if, a loop or a shape that depends on values)",
             "compute the same for every sample; sums, clamps and constants may stand in for a choice")
BATCH = Way("it works for one batch size alone", "use x.shape[0] or -1 where a number stands for the batch")
QUANTISED = Way("this operator is not supported",
                "export the float model, or a quantised one as QDQ (QuantizeLinear and DequantizeLinear) or QONNX")
PT2E = Way("it holds a quantised network (PT2E), of which only the .onnx is imported",
           "write that with torch.onnx.export(torch.export.load('net.pt2'), samples, 'net.onnx', dynamo=True)")
BREVITAS = Way("its layers are Brevitas's, whose integers only an .onnx file holds",
               "write that with brevitas.export.export_qonnx(model, samples, 'net.onnx'), and give it in its place")

BY_CLASS: dict[str, Way] = {
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), RECURRENT),
    **dict.fromkeys(("MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerDecoder",
                     "TransformerEncoderLayer", "TransformerDecoderLayer"), ATTENTION),
    **dict.fromkeys(("LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
                     "LocalResponseNorm", "CrossMapLRN2d"), NORM),
    **dict.fromkeys(("Embedding", "EmbeddingBag"), EMBEDDING),
    **dict.fromkeys(("Conv3d", "ConvTranspose3d", "BatchNorm3d", "MaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d",
                     "AdaptiveMaxPool3d"), VOLUME),
    "Bilinear": BILINEAR,
}
"""Classes of torch.nn that have no hardware, whatever their options."""

BY_OPERATION: dict[str, Way] = {
    **dict.fromkeys(("gru", "lstm", "rnn_tanh", "rnn_relu", "gru_cell", "lstm_cell", "rnn_tanh_cell",
                     "rnn_relu_cell"), RECURRENT),
    **dict.fromkeys(("scaled_dot_product_attention", "bmm", "baddbmm", "_native_multi_head_attention"), ATTENTION),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "native_layer_norm", "native_group_norm",
                     "rms_norm"), NORM),
    **dict.fromkeys(("embedding", "embedding_bag"), EMBEDDING),
    **dict.fromkeys(("conv3d", "conv_transpose3d", "max_pool3d", "avg_pool3d", "adaptive_avg_pool3d"), VOLUME),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_linear1d", "upsample_bicubic2d"), SMOOTH),
    "bilinear": BILINEAR,
    **dict.fromkeys(("quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel", "dequantize_per_channel"),
                    PT2E),
}
"""Operations of PyTorch, by their names without the namespace."""

BY_OPERATOR: dict[str, Way] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), RECURRENT), **dict.fromkeys(("Loop", "Scan", "If"), CONTROL),
    **dict.fromkeys(("Attention", "MultiHeadAttention"), ATTENTION),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
                     "RMSNormalization", "LRN"),
                    Way(NORM.why, "use BatchNormalization, which folds into a layer's weights")),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "ConvInteger",
                     "MatMulInteger"), QUANTISED),
}
"""Operators of ONNX."""


def foreign(target: str) -> str:
    """What is told of an operation in a file that is none of PyTorch's own on tensors."""
    told = f"calls '{target[:80]}', which is not a plain tensor operation"
    if target.startswith("torch.ops.quantized_decomposed."):
        return f"{told}: {PT2E.why}; {PT2E.way_out}"
    return told
