"""One aten operation at a time to an nn module, a function, or nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from toolkit.capture import affine, contraction, curves, images, indexing, multiplied, pairs, pointwise, reductions
from toolkit.capture.builder import Builder, Handler, argument, operation
from toolkit.utils.limits import MAX_PRODUCTS


def read(b: Builder, node: fx.Node) -> None:
    """Take one node of an exported program into `b`; raises Unsupported for what has no hardware here."""
    if node.op == "placeholder":
        if node.name in b.tensors:
            b.parameters[node] = b.tensors[node.name]
        elif node.name in b.inputs:
            b.input(node)
    elif node.op == "output":
        b.output(node)
    elif node.op == "call_function":
        if not node.users and operation(node).startswith(("_assert", "sym_constrain")):
            return
        if all(a in b.parameters for a in node.all_input_nodes):
            _constant(b, node)
            return
        name = operation(node)
        if name in HANDLERS:
            HANDLERS[name](b, node, name)
        elif name != "sym_size":
            raise b.refuse(node)
    else:
        raise b.refuse(node)


def _constant(b: Builder, node: fx.Node) -> None:
    """Arithmetic of parameters alone, as a transposed, masked or normalised weight."""
    if operation(node) not in CONSTANT:
        raise b.refuse(node)
    if operation(node) == "einsum" and len(node.args[1]) > 2:  # type: ignore[arg-type]
        raise b.refuse(node, "an einsum of more than two constants; multiply them two at a time")
    made = node.meta.get("val")
    for value in made if isinstance(made, list | tuple) else (made,):
        b.take(value.numel() if isinstance(value, torch.Tensor) else 0, node)
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda a: b.parameters[a])
    if operation(node) in PRODUCTS and isinstance(made, torch.Tensor):
        longest = max(max(a.meta["val"].shape, default=1) for a in node.all_input_nodes)
        if PRODUCTS[operation(node)] * made.numel() * longest > MAX_PRODUCTS:
            raise b.refuse(node, f"it takes more than {MAX_PRODUCTS:,} multiplications of constants alone; store what "
                                 "it makes as the weight")
    found: Any = node.target(*args, **kwargs)  # type: ignore[operator]
    b.parameters[node] = found.float() if isinstance(found, torch.Tensor) and found.is_floating_point() else found


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
    b.env[node].meta["shape"] = b.shape(node.args[0])


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
        raise b.refuse(node, "a softmax is only supported at the end, where it is left out; elsewhere use a function "
                             "of single elements, such as Sigmoid")
    if argument(node, 1, "dim") % (len(b.shape(node)) + 1) != 1:
        raise b.refuse(node, "it moves the argmax; only a softmax over the features or channels (dim=1) does not, and "
                             "is left out at the end")
    of = "".join(f" of the output '{output}'" for output in b.called(node))
    b.notes.append(f"the final {name.removeprefix('_')}{of} is left out: it does not move the argmax")
    b.same(node, b.value(node.args[0], node))


def _argmax(b: Builder, node: fx.Node, name: str) -> None:
    dim = argument(node, 1, "dim")
    if dim is None or dim % 2 != 1 or len(b.shape(node.args[0])) != 1 or argument(node, 2, "keepdim", False):
        raise b.refuse(node, "argmax is supported over the features of (batch, features), as torch.argmax(x, 1)")
    if any(user.op != "output" for user in node.users):
        raise b.refuse(node, "an argmax is only supported as the last operation")
    if len(b.outputs) > 1:
        raise b.refuse(node, "an argmax is only supported as a network's one output; of several outputs, give the "
                             "scores")
    b.env[node] = b.graph.call_function(torch.argmax, (b.value(node.args[0], node), 1))


def _item(b: Builder, node: fx.Node, name: str) -> None:
    """The first of an operation's several results, as a decomposed BatchNorm or MaxPool gives them."""
    source: Any = node.args[0]
    if source in b.parts:
        indexing.item(b, node, source, argument(node, 1, "index"))
        return
    if argument(node, 1, "index") != 0:
        if not node.users:
            return
        raise b.refuse(node, "only the values of an operation are supported, not its indices or statistics")
    b.same(node, b.value(node.args[0], node))


CONSTANT = frozenset((
    "t", "numpy_T", "mT", "mH", "adjoint", "transpose", "permute", "movedim", "swapaxes", "detach", "clone", "to",
    "contiguous", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "slice", "select", "index_select",
    "index", "narrow", "flip", "roll", "expand", "expand_as", "repeat", "repeat_interleave", "tile", "pad",
    "constant_pad_nd", "alias", "lift_fresh_copy", "_to_copy", "getitem", "split", "split_with_sizes", "chunk",
    "unbind", "stack", "cat", "add", "sub", "rsub", "mul", "div", "neg", "reciprocal", "sqrt", "rsqrt", "square",
    "pow", "exp", "exp2", "expm1", "log", "log2", "log1p", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "erf",
    "softplus", "relu", "clamp", "clamp_min", "clamp_max", "hardtanh", "round", "floor", "ceil", "trunc", "softmax",
    "sum", "mean", "amax", "amin", "max", "min", "std", "var", "prod", "norm", "linalg_vector_norm",
    "linalg_norm", "matrix_exp", "linalg_matrix_exp", "linalg_solve", "linalg_householder_product", "_weight_norm",
    "_weight_norm_interface", "norm_except_dim", "mm", "matmul", "mv", "dot", "vdot", "outer", "ger", "kron", "einsum",
    "addmm", "minimum", "maximum", "where", "masked_fill", "index_put", "gt", "ge", "lt", "le", "eq", "ne",
    "logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "bitwise_not", "diag", "diagonal",
    "diag_embed", "triu", "tril", "zeros", "ones", "full", "eye", "arange", "linspace", "scalar_tensor", "zeros_like",
    "ones_like", "full_like", "new_zeros", "new_ones", "new_full"))
"""Of parameters alone: weights under a mask, a weight norm, a parametrization."""
PRODUCTS = {**dict.fromkeys(("mm", "matmul", "addmm", "einsum", "linalg_solve", "linalg_householder_product"), 1),
            **dict.fromkeys(("matrix_exp", "linalg_matrix_exp"), 20)}
"""Of these, those that multiply matrices: about how many times."""
HANDLERS: dict[str, Handler] = {
    **pointwise.HANDLERS, **affine.HANDLERS, **multiplied.HANDLERS, **images.HANDLERS, **indexing.HANDLERS,
    **contraction.HANDLERS, **pairs.HANDLERS, **curves.HANDLERS, **reductions.HANDLERS,
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "detach", "clone",
                     "contiguous", "to", "alias", "_to_copy", "lift_fresh_copy"), _same),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"), _reshape),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat), "getitem": _item,
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax), "argmax": _argmax,
}
EVALUATED = frozenset((*HANDLERS, *CONSTANT, "sym_size")) - {"getitem"}
"""Operations of a file whose shapes are computed by torch: none that makes or reads anything but tensors."""
ELEMENTWISE = frozenset((*pointwise.HANDLERS, *affine.HANDLERS, "dropout", "feature_dropout", "detach", "clone",
                         "contiguous"))
"""Of these, those whose result is of the shape of what they read, where all that they read is of one shape."""
