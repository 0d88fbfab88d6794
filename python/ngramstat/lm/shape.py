"""Widths and depths of the models, from 0.1 M to 100 M parameters without embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.errors import InputError, check_choice

__all__ = ["SIZES", "Shape", "shape_of", "size_above"]

# (layers, heads, width); each has about 12 layers width^2 parameters besides its embeddings.
SIZES: dict[str, tuple[int, int, int]] = {
    "0.1M": (2, 2, 64),
    "0.3M": (3, 3, 96),
    "1M": (5, 4, 128),
    "3M": (4, 4, 256),
    "10M": (6, 6, 384),
    "30M": (10, 8, 512),
    # GPT-2 small, as in Cagnetta et al.: 98 M parameters with embeddings of 8,192 items.
    "85M": (12, 12, 768),
    "100M": (14, 12, 768),
}


@dataclass(frozen=True)
class Shape:
    """Vocabulary, context, depth and width: what all architectures share.

    Attributes
    ----------
    vocab_size : int
        V, the number of vocabulary items that are predicted. Id V is the start symbol, which occurs
        only before a sequence.
    context : int
        T, the length of the longest sequence.
    layers, heads, width : int
    """

    vocab_size: int
    context: int
    layers: int
    heads: int
    width: int

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.context, self.layers, self.heads) < 1:
            raise InputError(f"{self}: every size must be at least 1")
        if self.width % (2 * self.heads):
            raise InputError(
                f"width {self.width}: must be a multiple of twice the {self.heads} heads"
            )

    @property
    def start(self) -> int:
        """Id of the start symbol."""
        return self.vocab_size

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def shape_of(size: str, vocab_size: int, context: int) -> Shape:
    """The shape of a named size.

    Raises
    ------
    InputError
        There is no such size.
    """
    check_choice("size", size, SIZES)
    layers, heads, width = SIZES[size]
    return Shape(vocab_size, context, layers, heads, width)


def size_above(size: str) -> str | None:
    """The next size of at least twice the parameters; None if there is none."""
    names = list(SIZES)
    larger = (
        name for name in names[names.index(size) + 1 :] if _nominal(name) >= 2 * _nominal(size)
    )
    return next(larger, None)


def _nominal(size: str) -> float:
    return float(size.removesuffix("M"))
