"""GPT-2 (Radford et al. 2019), with learned or rotary positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from ngramstat.lm.attention import causal_attention
from ngramstat.lm.rotary import rotations
from ngramstat.lm.shape import Shape

__all__ = ["GPT2"]

_STD = 0.02


class _Attention(nn.Module):
    rotation: Tensor | None

    def __init__(self, shape: Shape, *, rotary: bool) -> None:
        super().__init__()
        self.heads = shape.heads
        self.in_proj = nn.Linear(shape.width, 3 * shape.width)
        self.out_proj = nn.Linear(shape.width, shape.width)
        rotation = rotations(shape.context, shape.head_width) if rotary else None
        self.register_buffer("rotation", rotation, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = causal_attention(self.in_proj(x), self.heads, self.rotation)
        out: Tensor = self.out_proj(y)
        return out


class _MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.in_proj = nn.Linear(shape.width, 4 * shape.width)
        self.out_proj = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(gelu(self.in_proj(x), approximate="tanh"))
        return out


class _Block(nn.Module):
    def __init__(self, shape: Shape, *, rotary: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention = _Attention(shape, rotary=rotary)
        self.mlp_norm = nn.LayerNorm(shape.width)
        self.mlp = _MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class GPT2(nn.Module):
    """Pre-norm transformer with biases, GELU, and one matrix for input and output embeddings.

    Initialised as published: normal with standard deviation 0.02, divided by the square root of the
    number of residual projections for those projections; biases zero.
    """

    def __init__(self, shape: Shape, *, rotary: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size + 1, shape.width)
        self.positions = None if rotary else nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(_Block(shape, rotary=rotary) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                is_residual = name.endswith("out_proj.weight")
                divisor = math.sqrt(2 * shape.layers) if is_residual else 1.0
                nn.init.normal_(parameter, std=_STD / divisor)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token, (B, T, V), after tokens (B, T) int64."""
        x = self.embedding(tokens)  # (B, T, width)
        if self.positions is not None:
            x = x + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return linear(self.norm(x), self.embedding.weight[: self.shape.vocab_size])
