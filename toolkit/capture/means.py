"""Average pools with a divisor of their own, which torch has over two axes alone; sums are means over 1."""

from __future__ import annotations

import torch
from torch import nn


class AvgPool1d(nn.AvgPool1d):
    """The sums under a window of a signal over `divisor_override`, or over the window's size."""

    def __init__(self, kernel_size: int | tuple[int], stride: int | tuple[int] | None = None,
                 padding: int | tuple[int] = 0, divisor_override: int | None = None) -> None:
        super().__init__(kernel_size, kernel_size if stride is None else stride, padding)
        self.divisor_override = divisor_override

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        (kernel,), (stride,), (padding,) = (v if isinstance(v, tuple) else (v,) for v in (
            self.kernel_size, self.stride, self.padding))
        return nn.functional.avg_pool2d(input[..., None], (kernel, 1), (stride, 1), (padding, 0), False, True,
                                        self.divisor_override)[..., 0]
