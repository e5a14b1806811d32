"""Small networks of the kinds that people write: each has something in it that captures tend to get wrong. `NETWORKS`
maps what that is to a function that makes the network, whose `shape` is a sample's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from benchmarks.supported.torch_cases import Case

VECTOR, SIGNAL, IMAGE, ROWS = (6,), (2, 8), (3, 8, 8), (5, 6)


def _net(shape: tuple[int, ...], function: Callable[..., torch.Tensor],
         *makers: Callable[[], nn.Module]) -> Callable[[], Case]:
    return lambda: Case(shape, function, *(make() for make in makers))


def _linear(inputs: int, outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs)


def _conv(inputs: int, outputs: int, kernel: int = 3, **rest: int) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **rest)  # type: ignore[arg-type]


def _conv1(inputs: int, outputs: int, kernel: int = 3) -> Callable[[], nn.Module]:
    return lambda: nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)


def _tail(channels: int, outputs: int = 3) -> Callable[[], nn.Module]:
    """A mean over all places, and a Linear."""
    return lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))


def _pruned() -> nn.Module:
    layer = nn.Linear(6, 8)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def _low_rank() -> nn.Module:
    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(8, 2)), nn.Parameter(torch.randn(2, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, self.a @ self.b)
    return LowRank()


class _Tied(nn.Module):
    """Two products with one matrix, the second with its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 6) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ self.matrix.T) @ self.matrix


class _Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 8) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,io->bo", x, self.matrix)


class _Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("code", "in", "class", "graph", "meta"):
            self.add_module(name, nn.Linear(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in ("code", "in", "class", "graph", "meta"):
            x = torch.relu(getattr(self, name)(x))
        return x


def _compiled(layer: nn.Module) -> nn.Module:
    made: nn.Module = torch.compile(layer)  # type: ignore[assignment]
    return made


def _activation(make: Callable[[], nn.Module]) -> Callable[[], Case]:
    return _net(VECTOR, lambda x, a, f, b: b(f(a(x))), _linear(6, 8), make, _linear(8, 3))


def _image(function: Callable[..., torch.Tensor], outputs: int = 4) -> Callable[[], Case]:
    """`function` behind a convolution and a ReLU, and a tail."""
    return _net(IMAGE, lambda x, a, tail: tail(function(torch.relu(a(x)))), _conv(3, 4), _tail(outputs))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "squeeze(-1)": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))).squeeze(-1), _linear(6, 8), _linear(8, 1)),
    "sigmoid of squeeze": _net(VECTOR, lambda x, a, b: torch.sigmoid(b(torch.relu(a(x))).squeeze(-1)), _linear(6, 8),
                               _linear(8, 1)),
    "slice of the input": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x[:, 1:5]))), _linear(4, 8), _linear(8, 3)),
    "slice of hidden": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))[:, 2:6]), _linear(6, 8), _linear(4, 3)),
    "strided slice": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))[:, ::2]), _linear(6, 8), _linear(4, 3)),
    "chunk and add": _net(VECTOR, lambda x, a, b: b(sum(torch.relu(a(x)).chunk(2, 1))), _linear(6, 8), _linear(4, 3)),
    "split and cat": _net(VECTOR, lambda x, a, b: b(torch.cat(torch.relu(a(x)).split([3, 5], 1)[::-1], 1)),
                          _linear(6, 8), _linear(8, 3)),
    "index": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))[:, [7, 0, 3]]), _linear(6, 8), _linear(3, 3)),
    "channels sliced": _image(lambda h: h[:, 1:3], 2),
    "normalised input": _net(VECTOR, lambda x, a, b: b(torch.relu(a((x - 0.3) / 1.7))), _linear(6, 8), _linear(8, 3)),
    "normalised by buffers": _net(IMAGE, lambda x, a, t: t(torch.relu(a((x - torch.tensor([0.1, 0.2, 0.3]).view(
        1, 3, 1, 1)) / torch.tensor([0.5, 0.6, 0.7]).view(1, 3, 1, 1)))), _conv(3, 4), _tail(4)),
    "1 - h": _net(VECTOR, lambda x, a, b: b(1 - torch.relu(a(x))), _linear(6, 8), _linear(8, 3)),
    "-h": _net(VECTOR, lambda x, a, b: b(torch.relu(-a(x))), _linear(6, 8), _linear(8, 3)),
    "a - b": _net(VECTOR, lambda x, a, b, c: c(torch.relu(a(x)) - torch.relu(b(x))), _linear(6, 8), _linear(6, 8),
                  _linear(8, 3)),
    "h * constant + constant": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x)) * 0.7 + 0.2), _linear(6, 8),
                                    _linear(8, 3)),
    "NHWC input": _net((8, 8, 3), lambda x, a, t: t(torch.relu(a(x.permute(0, 3, 1, 2)))), _conv(3, 4), _tail(4)),
    "permute before flatten": _net(IMAGE, lambda x, a, b: b(torch.relu(a(x)).permute(0, 2, 3, 1).flatten(1)),
                                   lambda: nn.Conv2d(3, 4, 3, 2), _linear(36, 3)),
    "transpose of rows": _net(ROWS, lambda x, a, b, c: c(torch.relu(b(torch.relu(a(x)).transpose(1, 2))).flatten(1)),
                              _linear(6, 4), _linear(5, 6), _linear(24, 3)),
    "BatchNorm after add": _net(VECTOR, lambda x, a, b, n, c: c(torch.relu(n(a(x) + b(x)))), _linear(6, 8),
                                _linear(6, 8), lambda: nn.BatchNorm1d(8), _linear(8, 3)),
    "BatchNorm after cat": _net(VECTOR, lambda x, a, b, n, c: c(torch.relu(n(torch.cat([a(x), b(x)], 1)))),
                                _linear(6, 4), _linear(6, 4), lambda: nn.BatchNorm1d(8), _linear(8, 3)),
    "BatchNorm after flatten": _net(IMAGE, lambda x, a, n, b: b(n(torch.relu(a(x)).flatten(1))),
                                    lambda: nn.Conv2d(3, 4, 3, 3), lambda: nn.BatchNorm1d(16), _linear(16, 3)),
    "pre-activation block": _net(IMAGE, lambda x, a, n, b, t: t((h := a(x)) + b(torch.relu(n(h)))), _conv(3, 4),
                                 lambda: nn.BatchNorm2d(4), _conv(4, 4), _tail(4)),
    "Linear on rows": _net(ROWS, lambda x, a, b: b(torch.relu(a(x)).flatten(1)), _linear(6, 4), _linear(20, 3)),
    "Linear on rows, mean": _net(ROWS, lambda x, a, b: b(torch.relu(a(x)).mean(1)), _linear(6, 8), _linear(8, 3)),
    "prune mask": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))), _pruned, _linear(8, 3)),
    "weight_norm": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))),
                        lambda: parametrizations.weight_norm(nn.Linear(6, 8)), _linear(8, 3)),
    "orthogonal": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))),
                       lambda: parametrizations.orthogonal(nn.Linear(6, 6)), _linear(6, 3)),
    "low rank": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))), _low_rank, _linear(8, 3)),
    "h @ W.T, tied": _net(VECTOR, lambda x, a: a(x), _Tied),
    "einsum with a weight": _net(VECTOR, lambda x, a, b: b(torch.relu(a(x))), _Einsum, _linear(8, 3)),
    **{type(make()).__name__: _activation(make) for make in (
        nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.Softplus, nn.Mish,
        nn.Hardsigmoid, nn.Hardswish, lambda: nn.LeakyReLU(0.125))},
    "average pool with its padding": _image(lambda h: F.avg_pool2d(h, 3, 2, 1)),
    "average pool without its padding": _image(lambda h: F.avg_pool2d(h, 2, 2, 0, count_include_pad=False)),
    "max(dim)": _net(ROWS, lambda x, a, b: b(torch.relu(a(x)).max(1).values), _linear(6, 8), _linear(8, 3)),
    "amax": _net(IMAGE, lambda x, a, b: b(a(x).amax((2, 3))), _conv(3, 4), _linear(4, 3)),
    "sum over places": _net(IMAGE, lambda x, a, b: b(torch.relu(a(x)).sum((2, 3))), _conv(3, 4), _linear(4, 3)),
    "mean over a dim": _net(SIGNAL, lambda x, a, b: b(torch.relu(a(x)).mean(2)), _conv1(2, 4), _linear(4, 3)),
    "abs": _net(VECTOR, lambda x, a, b: b(a(x).abs()), _linear(6, 8), _linear(8, 3)),
    "maximum": _net(VECTOR, lambda x, a, b, c: c(torch.maximum(a(x), b(x))), _linear(6, 8), _linear(6, 8),
                    _linear(8, 3)),
    "minimum": _net(VECTOR, lambda x, a, b, c: c(torch.minimum(a(x), b(x))), _linear(6, 8), _linear(6, 8),
                    _linear(8, 3)),
    "two flattened convolutions joined": _net(
        IMAGE, lambda x, a, b, c: c(torch.cat([torch.relu(a(x)).flatten(1), torch.relu(b(x)).flatten(1)], 1)),
        lambda: nn.Conv2d(3, 4, 3, 3), lambda: nn.Conv2d(3, 2, 4, 4), _linear(24, 3)),
    "cat([h, h]).flatten": _net(IMAGE, lambda x, a, b: b(torch.cat([h := torch.relu(a(x)), h], 1).flatten(1)),
                                lambda: nn.Conv2d(3, 3, 3, 3), _linear(24, 3)),
    "cat of global pools": _net(IMAGE, lambda x, a, b: b(torch.cat([
        F.adaptive_avg_pool2d(h := torch.relu(a(x)), 1), F.adaptive_max_pool2d(h, 1)], 1).flatten(1)), _conv(3, 4),
        _linear(8, 3)),
    "flatten(2) into Conv1d": _net(IMAGE, lambda x, a, b, c: c(torch.relu(b(torch.relu(a(x)).flatten(2))).mean(2)),
                                   _conv(3, 4), _conv1(4, 4), _linear(4, 3)),
    "mean(2) into Conv1d": _net(IMAGE, lambda x, a, b, c: c(torch.relu(b(torch.relu(a(x)).mean(2))).mean(2)),
                                _conv(3, 4), _conv1(4, 4), _linear(4, 3)),
    "view into Conv1d": _net(VECTOR, lambda x, a, b, c: c(torch.relu(b(torch.relu(a(x)).view(-1, 2, 4))).flatten(1)),
                             _linear(6, 8), _conv1(2, 3), _linear(12, 3)),
    "U-Net": _net(IMAGE, lambda x, a, b, c: c(torch.cat([F.interpolate(torch.relu(b(F.max_pool2d(
        h := torch.relu(a(x)), 2))), scale_factor=2.0), h], 1)), _conv(3, 4), _conv(4, 4), _conv(8, 2)),
    "depthwise, multiplier 2": _net(IMAGE, lambda x, a, d, t: t(torch.relu(d(torch.relu(a(x))))), _conv(3, 4),
                                    _conv(4, 8, groups=4), _tail(8)),
    "depthwise, multiplier 3": _net(IMAGE, lambda x, a, d, t: t(torch.relu(d(torch.relu(a(x))))), _conv(3, 4),
                                    _conv(4, 12, groups=4), _tail(12)),
    "cat([a(x), b(x), x])": _net(VECTOR, lambda x, a, b, c: c(torch.cat([torch.relu(a(x)), torch.relu(b(x)), x], 1)),
                                 _linear(6, 4), _linear(6, 4), _linear(14, 3)),
    "DenseNet": _net(IMAGE, lambda x, a, b, t: t(torch.cat([
        h := torch.cat([x, torch.relu(a(x))], 1), torch.relu(b(h))], 1)), _conv(3, 4), _conv(7, 4), _tail(11)),
    "residual": _net(IMAGE, lambda x, a, b, t: t(torch.relu((h := torch.relu(a(x))) + b(h))), _conv(3, 4), _conv(4, 4),
                     _tail(4)),
    "names of Python's and torch.fx's own": _net(VECTOR, lambda x, a: a(x), _Named),
    "no weights": lambda: Case((2, 4), lambda x, p: torch.relu(p(x)).flatten(1), nn.AvgPool1d(2)),
    "in training mode": lambda: Case(VECTOR, lambda x, a, n, d, b: b(d(torch.relu(n(a(x))))), nn.Linear(6, 8),
                                     nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train(),
    "torch.compile": lambda: Case(VECTOR, lambda x, a, b: b(a(x).relu()), _compiled(nn.Linear(6, 8)), nn.Linear(8, 3)),
}


def made(name: str) -> nn.Module:
    """The network of that name, its weights from a seed, BatchNorm statistics that are not the trivial ones."""
    torch.manual_seed(0)
    net = NETWORKS[name]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net if name == "in training mode" else net.eval()
