"""One aten operation at a time to an nn module, a function, or nothing."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn

from toolkit.capture import images, pointwise
from toolkit.capture.builder import ADVICE, Builder, Handler, argument, operation


def read(b: Builder, node: fx.Node, user_input: str) -> None:
    """Take one node of an exported program into `b`; raises Unsupported for what has no hardware here."""
    if node.op == "placeholder":
        if node.name in b.tensors:
            b.parameters[node] = b.tensors[node.name]
        elif node.name == user_input:
            b.env[node] = b.graph.placeholder("x")
    elif node.op == "output":
        b.graph.output(b.env[node.all_input_nodes[0]])
    elif node.op == "call_function":
        if node.all_input_nodes and all(a in b.parameters for a in node.all_input_nodes):
            _constant(b, node)
            return
        name = operation(node)
        if name in HANDLERS:
            HANDLERS[name](b, node, name)
        elif name != "sym_size" and (node.users or name not in ("sym_constrain_range", "_assert_tensor_metadata")):
            raise b.refuse(node, WHY_NOT.get(name, ADVICE))
    else:
        raise b.refuse(node)


def _constant(b: Builder, node: fx.Node) -> None:
    """Arithmetic of parameters alone, as a transposed weight."""
    if operation(node) not in CONSTANT:
        raise b.refuse(node)
    b.take(sum(b.parameters[a].numel() for a in node.all_input_nodes), node)
    args = [b.parameters[a] if isinstance(a, fx.Node) else a for a in node.args]
    b.parameters[node] = node.target(*args, **node.kwargs)  # type: ignore[operator]


def _linear(b: Builder, node: fx.Node, name: str) -> None:
    if name == "addmm":
        bias, x, weight = node.args[:3]
        if argument(node, 3, "beta", 1) != 1 or argument(node, 4, "alpha", 1) != 1:
            raise b.refuse(node, "addmm with factors; use nn.Linear")
        matrix = b.parameter(weight, node)
        matrix = matrix.t() if matrix is not None else None
    elif name in ("mm", "matmul"):
        x, weight = node.args[:2]
        bias, matrix = None, b.parameter(weight, node)
        matrix = matrix.t() if matrix is not None else None
    else:
        x, weight = node.args[:2]
        bias, matrix = argument(node, 2, "bias"), b.parameter(weight, node)
    if matrix is None or matrix.ndim != 2 or len(b.shape(x)) != 1:
        raise b.refuse(node, "a Linear takes (batch, features); flatten the input first")
    offset = b.parameter(bias, node)
    layer = nn.Linear(matrix.shape[1], matrix.shape[0])
    with torch.no_grad():
        layer.weight.copy_(matrix)
        if offset is None:
            layer.bias.zero_()
        else:
            layer.bias.copy_(offset.expand(matrix.shape[0]))
    b.module(node, layer, b.value(x, node))


def _batch_norm(b: Builder, node: fx.Node, name: str) -> None:
    weight, bias, mean, var = (b.parameter(argument(node, i, "", None), node) for i in range(1, 5))
    eps = argument(node, 7, "eps", 1e-5)
    if mean is None or var is None:
        raise b.refuse(node, "a BatchNorm without running statistics has no constant scale")
    rank = len(b.shape(node.args[0]))
    if rank > 3:
        raise b.refuse(node, "a BatchNorm over volumes; BatchNorm1d and BatchNorm2d are supported")
    layer = (nn.BatchNorm2d if rank == 3 else nn.BatchNorm1d)(len(mean), eps=eps)
    with torch.no_grad():
        layer.running_mean.copy_(mean)  # type: ignore[union-attr]
        layer.running_var.copy_(var)  # type: ignore[union-attr]
        if weight is not None:
            layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    b.module(node, layer, b.value(node.args[0], node))
    b.env[node].meta["rank"] = rank


def _same(b: Builder, node: fx.Node, name: str) -> None:
    if name.endswith("dropout") and argument(node, 2, "train", False):
        b.notes.append("the model was exported in training mode; its dropout is taken as switched off")
    b.same(node, b.value(node.args[0], node))


def _reshape(b: Builder, node: fx.Node, name: str) -> None:
    # A sample of one number stays a vector of one: (batch,) is (batch, 1) here.
    before, after = b.shape(node.args[0]) or (1,), b.shape(node) or (1,)
    source = b.value(node.args[0], node)
    kept = node.meta["val"].shape[0] == node.args[0].meta["val"].shape[0]  # type: ignore[union-attr]
    if not bool(kept):
        raise b.refuse(node, "it mixes samples of the batch; reshape what follows the batch dimension")
    b.reshape(node, source, before, after)


def _add(b: Builder, node: fx.Node, name: str) -> None:
    if argument(node, 2, "alpha", 1) != 1:
        raise b.refuse(node, "an addition with a factor; scale in a layer's weights instead")
    first, second = node.args[:2]
    if not all(isinstance(v, fx.Node) and v in b.env for v in (first, second)):
        raise b.refuse(node, "adding a constant; put it into the bias of a layer")
    if b.shape(first) != b.shape(second):
        raise b.refuse(node, f"adding shapes {b.shape(first)} and {b.shape(second)}; they must be equal")
    b.env[node] = b.graph.call_function(operator.add, (b.value(first, node), b.value(second, node)))


def _cat(b: Builder, node: fx.Node, name: str) -> None:
    dim = argument(node, 1, "dim", 0)
    rank = len(node.meta["val"].shape)
    dim = dim % rank
    if dim == 0:
        raise b.refuse(node, "concatenation along the batch; use dim=1 or above")
    parts = [b.value(v, node) for v in node.args[0]]  # type: ignore[union-attr]
    b.env[node] = parts[0] if len(parts) == 1 else b.graph.call_function(torch.cat, (parts, dim))


def _softmax(b: Builder, node: fx.Node, name: str) -> None:
    if any(user.op != "output" and operation(user) != "argmax" for user in node.users):
        raise b.refuse(node, "a softmax is only supported at the end, where it is left out")
    if argument(node, 1, "dim") % (len(b.shape(node)) + 1) != 1:
        raise b.refuse(node, "it moves the argmax; only a softmax over the features or channels (dim=1) does not, and "
                             "is left out at the end")
    b.notes.append(f"the final {name.removeprefix('_')} is left out: it does not move the argmax")
    b.same(node, b.value(node.args[0], node))


def _argmax(b: Builder, node: fx.Node, name: str) -> None:
    dim = argument(node, 1, "dim")
    if dim is None or dim % 2 != 1 or len(b.shape(node.args[0])) != 1 or argument(node, 2, "keepdim", False):
        raise b.refuse(node, "argmax is supported over the features of (batch, features), as torch.argmax(x, 1)")
    if any(user.op != "output" for user in node.users):
        raise b.refuse(node, "an argmax is only supported as the last operation")
    b.env[node] = b.graph.call_function(torch.argmax, (b.value(node.args[0], node), 1))


def _item(b: Builder, node: fx.Node, name: str) -> None:
    """The first of an operation's several results, as a decomposed BatchNorm or MaxPool gives them."""
    if argument(node, 1, "index") != 0:
        if not node.users:
            return
        raise b.refuse(node, "only the values of an operation are supported, not its indices or statistics")
    b.same(node, b.value(node.args[0], node))


CONSTANT = ("t", "transpose", "permute", "detach", "clone", "to", "contiguous", "view", "reshape")
"""Of parameters alone."""
WHY_NOT = {
    "prelu": "its learned slopes are no powers of two; use nn.LeakyReLU with a slope such as 0.125",
    "conv3d": "volumes are not supported; Conv1d and Conv2d are",
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
                    "use a nearest nn.Upsample and a Conv instead"),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_linear1d", "upsample_bicubic2d"),
                    "only nearest upsampling by whole factors is supported"),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "native_layer_norm", "native_group_norm"),
                    "its scale depends on the data; use a BatchNorm, which folds into the layer before it. Supported "
                    "activations are ReLU and its kin"),
    **dict.fromkeys(("permute", "transpose"),
                    "images stay (batch, channels, ...) all through the network; leave the order of the axes alone"),
}
HANDLERS: dict[str, Handler] = {
    **pointwise.HANDLERS, **images.HANDLERS,
    **dict.fromkeys(("linear", "addmm", "mm", "matmul"), _linear),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "detach", "clone",
                     "contiguous", "to", "alias", "_to_copy", "lift_fresh_copy"), _same),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"), _reshape),
    "add": _add, **dict.fromkeys(("cat", "concat", "concatenate"), _cat), "getitem": _item,
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax), "argmax": _argmax,
}
EVALUATED = frozenset((*HANDLERS, *CONSTANT, "sym_size")) - {"getitem"}
"""Operations of a file whose shapes are computed by torch: none that makes or reads anything but tensors."""
ELEMENTWISE = frozenset((*pointwise.HANDLERS, "add", "dropout", "feature_dropout", "detach", "clone", "contiguous"))
"""Of these, those whose result is of the shape of what they read, where all that they read is of one shape."""
