"""Input codes of a design, drawn at random."""

from __future__ import annotations

import numpy as np

from toolkit.design import Design


def corners(design: Design, count: int, seed: int = 0) -> np.ndarray:
    """int64 (count, *shape): random codes, and from the fourth part on mostly the two ends of the format."""
    rng = np.random.default_rng(seed)
    form = design.input.format
    drawn = rng.integers(form.min_code, form.max_code, (count, *design.input.shape), endpoint=True)
    ends = rng.choice([form.min_code, form.max_code], drawn.shape)
    drawn[count // 4:] = np.where(rng.random(drawn.shape) < 0.8, ends, drawn)[count // 4:]
    return drawn
