"""Causal self-attention, shared by both architectures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ngramstat.lm.rotary import rotate

__all__ = ["causal_attention"]

# Up to this length all products of queries and keys are written out in bfloat16 on a CPU: torch's
# own backward pass takes ten times as long as the forward one there.
_MAX_EXPLICIT = 256


def causal_attention(projected: Tensor, heads: int, rotation: Tensor | None) -> Tensor:
    """Output of multi-head causal attention, (B, T, width).

    `projected` is (B, T, 3 width): queries, keys and values side by side. With a `rotation` (see
    `rotations`) queries and keys are rotated by their position.
    """
    batch, length, width = projected.shape[0], projected.shape[1], projected.shape[2] // 3
    parts = projected.view(batch, length, 3, heads, width // heads)
    q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, heads, T, head_width) each
    if rotation is not None:
        q, k = rotate(q, rotation), rotate(k, rotation)
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and length <= _MAX_EXPLICIT:
        y = _explicit_attention(q, k, v)
    else:
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.transpose(1, 2).reshape(batch, length, width)


def _explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    length, width = q.shape[-2:]
    scores = (q @ k.transpose(-1, -2)).float() * width**-0.5
    scores = scores + torch.full((length, length), float("-inf")).triu(1)
    y: Tensor = scores.softmax(dim=-1).to(v.dtype) @ v
    return y
