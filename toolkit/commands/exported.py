"""A model as a file that `shiftwright build` takes."""

from __future__ import annotations

from pathlib import Path

import torch


def save_pt2(model: torch.nn.Module, sample_shape: tuple[int, ...], path: Path) -> None:
    """Save a model as `torch.export` does, with a dynamic batch."""
    program = torch.export.export(model.eval(), (torch.zeros(2, *sample_shape),),
                                  dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
