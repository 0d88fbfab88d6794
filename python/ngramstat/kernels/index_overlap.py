"""The longest matches of a text in sorted suffixes of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.kernels.tokens import Tokens, check_tokens

__all__ = ["Matches", "SortedText", "common_lengths", "longest_matches", "mark_duplicates"]


@dataclass(frozen=True)
class SortedText:
    """A text and its suffixes in order.

    Attributes
    ----------
    tokens : (m,) uint16 or uint32
    suffixes : (k,) uint32
        Positions of the k <= m suffixes in order; one that ends sorts before its extensions.
    token_starts : (V + 2,) int64
        The suffixes that begin with id t are token_starts[t] .. token_starts[t + 1].
    depth : int
        Symbols by which suffixes are sorted; 0: to their ends.
    """

    tokens: Tokens
    suffixes: NDArray[np.uint32]
    token_starts: NDArray[np.int64]
    depth: int = 0


@dataclass(frozen=True)
class Matches:
    """The longest match of each query, (n,) int64 each.

    Attributes
    ----------
    lengths
        In tokens, at most the depth; 0: the first token does not occur.
    occurrences
        Of the matched sequence in the sorted text; 0 where the length is 0.
    places
        Where one of the occurrences begins in the sorted text; -1 where there is none.
    """

    lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    places: NDArray[np.int64]


def longest_matches(
    index: SortedText,
    text: Tokens,
    ranges: NDArray[np.int64],
    *,
    is_own: bool = False,
    threads: int = 1,
) -> Matches:
    """The longest sequences of a text that also occur in a sorted one.

    Parameters
    ----------
    index : SortedText
    text : (n,) of the dtype of the sorted text
    ranges : (q, 2) int64
        Where each match begins, and where it must end at the latest: at the end of its document,
        and not after a stop token of the index. Consecutive beginnings are faster than others.
    is_own : bool
        `text` is the sorted text itself: an occurrence at the beginning of the match does not
        count.

    Raises
    ------
    TypeError
        The texts differ in dtype.
    ValueError
        For a range outside the text, a token above the vocabulary, or an index whose arrays
        contradict each other.
    """
    check_tokens(text, "text")
    check_tokens(index.tokens)
    if text.dtype != index.tokens.dtype:
        raise TypeError(f"text: has dtype {text.dtype}, but the index has {index.tokens.dtype}")
    found = _core.longest_matches(
        index.tokens, index.suffixes, index.token_starts, index.depth, text, ranges, is_own, threads
    )
    return Matches(*found)


def common_lengths(
    index: SortedText, text: Tokens, ranges: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Tokens that a text and a sorted one share from given places on, (n,) int64.

    Parameters
    ----------
    ranges : (n, 2) int64
        Positions in `text`, and where the comparison ends at the latest.
    places : (n,) int64
        Positions in the sorted text; -1 shares none.

    Raises
    ------
    ValueError
        For a range or place outside its text.
    """
    return _core.common_lengths(index.tokens, text, ranges, places)


def mark_duplicates(
    shards: Sequence[SortedText],
    marks: Sequence[NDArray[np.uint8]],
    ranks: NDArray[np.int64],
    *,
    length: int,
    stop_token: int | None = None,
    later_only: bool = False,
    threads: int = 1,
) -> None:
    """Mark where sequences of `length` tokens begin that occur several times.

    Parameters
    ----------
    shards : sequence of SortedText
        Parts of one text, in its order.
    marks : sequence of uint8 arrays
        One bit per suffix of each shard, which are set: position p is bit p % 8 of byte p // 8.
    ranks : (shards, 2) int64
        Which suffixes to look at: in every shard all those that begin with the same tokens.
    length : int
        At most the depth of the shards.
    stop_token : int, optional
        Sequences do not go on after it; where it is V, none holds it.
    later_only : bool
        Leave the first occurrence of each sequence unmarked.

    Raises
    ------
    ValueError
        For another length, marks of another size, or arrays that contradict each other.
    """
    for shard in shards:
        check_tokens(shard.tokens)
        if shard.depth and not 1 <= length <= shard.depth:
            raise ValueError(f"length={length}: must lie between 1 and {shard.depth}, the depth")
    _core.mark_duplicates(
        [(shard.tokens, shard.suffixes, bits) for shard, bits in zip(shards, marks, strict=True)],
        ranks,
        len(shards[0].token_starts) - 2 if shards else 0,
        -1 if stop_token is None else stop_token,
        length,
        later_only,
        threads,
    )
