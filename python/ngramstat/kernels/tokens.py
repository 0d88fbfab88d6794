"""Token streams: the arrays of ids that every kernel accepts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core

__all__ = ["Tokens", "check_tokens", "position_bytes", "token_counts", "token_ranges"]

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
    ranges: list[tuple[int, int]] = []
    start, occurrences = 0, 0
    for token, count in enumerate(counts.tolist()):
        if token > start and occurrences + count > budget:
            ranges.append((start, token))
            start, occurrences = token, 0
        occurrences += count
    ranges.append((start, len(counts)))
    return ranges


def position_bytes(n_tokens: int) -> int:
    return 4 if n_tokens <= 1 << 32 else 8
