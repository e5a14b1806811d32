"""Weights as minifloats: ml_dtypes' types, saturating, subnormals kept, a power-of-two scale for each tensor."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from toolkit.utils.errors import InputError

KINDS = {"E4M3": ml_dtypes.float8_e4m3fn, "E5M2": ml_dtypes.float8_e5m2, "E3M4": ml_dtypes.float8_e3m4,
         "E3M2": ml_dtypes.float6_e3m2fn, "E2M3": ml_dtypes.float6_e2m3fn, "E2M1": ml_dtypes.float4_e2m1fn}
"""Sign, exponent and mantissa bits; E4M3 is the OCP type without infinities (largest value 448)."""


class Minifloat:
    """One minifloat type. Values beyond the largest finite one become it; ties round to even; subnormals are kept."""

    def __init__(self, name: str) -> None:
        if name not in KINDS:
            raise InputError(f"unknown minifloat '{name[:20]}'; known are {', '.join(KINDS)}")
        self.name, self.type = name, np.dtype(KINDS[name])
        info = ml_dtypes.finfo(KINDS[name])
        self.max, self.mantissa, self.lowest = float(info.max), int(info.nmant), int(info.minexp)
        self.bits = 1 + int(name[1]) + int(name[3])

    def __str__(self) -> str:
        return f"minifloat:{self.name}"

    def scale(self, values: torch.Tensor) -> int:
        """The exponent s for which values * 2**-s just fit below the largest value."""
        peak = float(values.detach().abs().max())
        return 0 if peak == 0 else int(np.ceil(np.log2(peak / self.max)))

    def project(self, values: torch.Tensor, scale: int) -> torch.Tensor:
        """The nearest value of the type, times 2**scale: what a cast to the type gives, in torch."""
        scaled = values * 2.0**-scale
        power = torch.frexp(scaled)[1].long() - 1
        step = torch.clamp(power, min=self.lowest) - self.mantissa
        unit = torch.ldexp(torch.ones_like(scaled), step)
        return torch.clamp(torch.round(scaled / unit) * unit, -self.max, self.max) * 2.0**scale

    def codes(self, values: np.ndarray, scale: int) -> np.ndarray:
        """uint8 codes of values that lie on the grid."""
        return np.ldexp(values.astype(np.float64), -scale).astype(np.float32).astype(self.type).view(np.uint8)

    def values(self, codes: np.ndarray, scale: int) -> np.ndarray:
        """float32 values of uint8 codes."""
        return np.ldexp(codes.view(self.type).astype(np.float32), scale)
