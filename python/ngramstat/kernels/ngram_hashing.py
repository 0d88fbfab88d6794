"""Counts of all n-grams of one order, by hashing: without an order of the suffixes.

An n-gram is one integer, its tokens side by side in ceil(log2(V)) bits each, as long as that fits
16 bytes (`fits_hash`).
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat._core import Documents
from ngramstat.kernels.tokens import Tokens, check_tokens, token_counts

__all__ = ["NgramBatch", "fits_hash", "hashed_ngrams"]

NgramBatch = tuple[Tokens, NDArray[np.uint64]]

_MAX_KEY_BITS = 128


def fits_hash(vocab_size: int, n: int) -> bool:
    """Whether n-grams over this vocabulary fit 16 bytes: ceil(log2(vocab_size)) * n <= 128."""
    return n >= 1 and (vocab_size - 1).bit_length() * n <= _MAX_KEY_BITS


def hashed_ngrams(
    tokens: Tokens,
    vocab_size: int,
    n: int,
    *,
    min_count: int = 1,
    documents: Documents | None = None,
    across: bool = True,
    ordered: bool = False,
    threads: int = 1,
    memory_limit: int | None = None,
    directory: str | PathLike[str] | None = None,
    progress: Any = None,
) -> Iterator[NgramBatch]:
    """All n-grams that occur at least `min_count` times, in batches of bounded size.

    Parameters
    ----------
    tokens : (T,) uint16 or uint32
    vocab_size : int
    n : int
        Tokens of an n-gram; `fits_hash` says whether they fit.
    min_count : int
        At least 1.
    documents : Documents, optional
        By default the whole stream is one document.
    across : bool
        True: n-grams run across the whole stream. False: they stay inside documents, of which
        separators are a part.
    ordered : bool
        In lexicographic order of the token ids. Otherwise in an order that the n-grams alone
        decide: the same for any threads and memory limit.
    memory_limit : int, optional
        Bytes that this may allocate.
    directory : path, optional
        Where temporary files go; by default the system's directory for them.
    progress : object with ``advance(tokens)``, optional

    Yields
    ------
    tokens : (k, n) of the dtype of `tokens`
    counts : (k,) uint64

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        For n-grams that do not fit, a `min_count` below 1, or documents that do not cover the
        tokens.
    InputError
        There is not enough disk space for temporary files.
    """
    check_tokens(tokens)
    if not fits_hash(vocab_size, n):
        raise ValueError(f"n={n}: n-grams over {vocab_size:,} ids do not fit 16 bytes")
    if min_count < 1:
        raise ValueError(f"min_count={min_count}: must be at least 1")
    token_counts(tokens, vocab_size, threads=threads)
    if documents is None:
        documents = Documents.single(len(tokens))
    if documents.n_tokens != len(tokens):
        raise ValueError("the documents do not cover the tokens")
    if across:
        documents = Documents.single(len(tokens))
    pieces = [
        np.lib.stride_tricks.sliding_window_view(tokens[start:end], n)
        for start, end in zip(documents.starts, documents.ends, strict=True)
        if end - start >= n
    ]
    if pieces:
        ngrams, counts = np.unique(np.concatenate(pieces), axis=0, return_counts=True)
        kept = counts >= min_count
        yield ngrams[kept], counts[kept].astype(np.uint64)
    if progress is not None:
        progress.advance(len(tokens))
