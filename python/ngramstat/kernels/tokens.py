"""Token streams: the arrays of ids that every kernel accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core

__all__ = [
    "Tokens",
    "check_tokens",
    "dtype_holding",
    "mostly_unused",
    "position_bytes",
    "token_counts",
    "token_ranges",
]

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


def check_tokens(tokens: object, name: str = "tokens") -> None:
    if not isinstance(tokens, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(tokens).__name__}")
    if tokens.dtype not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        raise TypeError(
            f"{name}: expected dtype uint16 or uint32 in native byte order, got "
            f"{tokens.dtype.str}; convert it with .astype(np.uint32)"
        )
    if tokens.ndim != 1 or not tokens.flags.c_contiguous:
        raise TypeError(
            f"{name}: expected a contiguous one-dimensional array; "
            "use np.ascontiguousarray(x).reshape(-1)"
        )


def dtype_holding(token: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a stream, or the wider one where it does not hold this id, as of a separator."""
    return dtype if token <= np.iinfo(dtype).max else np.dtype(np.uint32)


# A vocabulary of which less than this fraction occurs is worth renumbering.
_MOST_UNUSED = 0.5


def token_counts(tokens: Tokens, vocab_size: int, *, threads: int = 1) -> NDArray[np.int64]:
    """Occurrences of each token id, (V,) int64.

    Raises
    ------
    IndexError
        A token is not below vocab_size; the message gives its position.
    """
    check_tokens(tokens)
    return _core.token_counts(tokens, vocab_size, threads)


def token_ranges(counts: NDArray[np.int64], budget: int) -> list[tuple[int, int]]:
    """Contiguous ranges of token ids, each of one id or of at most `budget` occurrences."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(counts):
        end = int(np.searchsorted(before, before[start] + budget, side="right")) - 1
        ranges.append((start, max(end, start + 1)))
        start = ranges[-1][1]
    return ranges or [(0, 0)]


def position_bytes(n_tokens: int) -> int:
    return 4 if n_tokens <= 1 << 32 else 8


def mostly_unused(n_occurring: int, vocab_size: int) -> bool:
    """Whether so few vocabulary items occur that it pays to number these alone.

    Renumbering copies the tokens, so that it has to save more than half of what grows with V.
    """
    return 0 < n_occurring < _MOST_UNUSED * vocab_size
