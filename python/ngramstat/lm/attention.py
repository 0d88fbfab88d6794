"""Causal self-attention on projected queries, keys and values; what both architectures share."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ngramstat.lm.rotary import rotate

__all__ = ["causal_attention"]


def causal_attention(joined: Tensor, heads: int, turns: Tensor | None) -> Tensor:
    """What every position takes from itself and those before, (B, T, width).

    `joined` is (B, T, 3 width): queries, keys and values side by side. With `turns` (see
    `rotations`) queries and keys turn with their position.
    """
    batch, length, width = joined.shape[0], joined.shape[1], joined.shape[2] // 3
    parts = joined.view(batch, length, 3, heads, width // heads)
    q, k, v = parts.permute(2, 0, 3, 1, 4)  # (B, heads, T, head_width) each
    if turns is not None:
        q, k = rotate(q, turns), rotate(k, turns)
    y = scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.transpose(1, 2).reshape(batch, length, width)
