"""Rotary positions (Su et al. 2021): queries and keys are rotated by their position."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rotate", "rotations"]

_BASE = 10_000.0


def rotations(context: int, head_width: int) -> Tensor:
    """Cosines and sines of every position and pair of dimensions, (2, T, head_width / 2)."""
    rates = _BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.arange(context, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """x, (..., T, head_width), rotated by `rotations`; dimension j pairs with j + half."""
    cosine, sine = rotation[:, : x.shape[-2]].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
