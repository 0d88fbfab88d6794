"""LLaMA (Touvron et al. 2023): RMS norms, SwiGLU, rotary positions, no biases."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from ngramstat.lm.attention import causal_attention
from ngramstat.lm.rotary import rotations
from ngramstat.lm.shape import Shape

__all__ = ["LLaMA", "hidden_width"]

_STD = 0.02
_EPSILON = 1e-5


def hidden_width(width: int) -> int:
    """Hidden width of SwiGLU: 8/3 of the width, rounded up to a multiple of 16.

    Its three matrices then have as many parameters as GPT-2's two of 4 times the width.
    """
    return -(-8 * width // 3 // 16) * 16


class _Attention(nn.Module):
    rotation: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.in_proj = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out_proj = nn.Linear(shape.width, shape.width, bias=False)
        rotation = rotations(shape.context, shape.head_width)
        self.register_buffer("rotation", rotation, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = causal_attention(self.in_proj(x), self.heads, self.rotation)
        out: Tensor = self.out_proj(y)
        return out


class _MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden = hidden_width(shape.width)
        self.gate = nn.Linear(shape.width, hidden, bias=False)
        self.in_proj = nn.Linear(shape.width, hidden, bias=False)
        self.out_proj = nn.Linear(hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(silu(self.gate(x)) * self.in_proj(x))
        return out


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=_EPSILON)
        self.attention = _Attention(shape)
        self.mlp_norm = nn.RMSNorm(shape.width, eps=_EPSILON)
        self.mlp = _MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class LLaMA(nn.Module):
    """Pre-norm transformer without biases, with separate input and output embeddings.

    All matrices are initialised from a normal distribution with standard deviation 0.02.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size + 1, shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=_EPSILON)
        self.head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=_STD)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token, (B, T, V), after tokens (B, T) int64."""
        x = self.embedding(tokens)  # (B, T, width)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits
