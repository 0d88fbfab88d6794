"""Documents from separators: before or after the document, as the data show or the user states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.token_store import (
    OpenOptions,
    SeparatorPosition,
    TokenStore,
    chunks,
    document_ends_at,
)
from ngramstat.errors import InputError

__all__ = ["shares_at_document_ends", "with_separator"]

# Documents whose first and last tokens are compared with the separator.
_SAMPLED_DOCUMENTS = 10_000


def with_separator(
    store: TokenStore, options: OpenOptions, default: SeparatorPosition
) -> TokenStore:
    """Apply the user's separator; it ends the documents unless the store records their ends.

    Parameters
    ----------
    store
        With tokens of uint16 or uint32.
    options
        Its `separator` and `separator_position` are applied.
    default
        Where the separator stands in stores of this format, if the data do not show it.

    Raises
    ------
    InputError
        The separator is not an id, never occurs, or contradicts what the store records.
    """
    separator, position = _stated(store, options)
    assumed = options.assumed if separator is None else None
    if assumed is not None:
        separator, position = assumed.separator, assumed.separator_position
    if separator is None:
        return store if options.assumed else _by_likely_separator(store)
    limit = store.vocab_size or int(np.iinfo(store.tokens.dtype).max) + 1
    if not 0 <= separator < limit:
        raise InputError(f"separator {separator}: not an id of {store.path} (0 to {limit - 1})")
    if store.separator is not None:
        return store
    if store.document_ends is not None:
        return _beside_recorded_documents(store, separator, position)
    positions = _positions(store.tokens, separator)
    if positions.size == 0 and assumed is None:
        raise InputError(
            f"{store.path}: the separator {separator} never occurs; give the right --separator, "
            "or none to open the store without documents"
        )
    return _cut_at(store, separator, positions, position, default)


def _stated(store: TokenStore, options: OpenOptions) -> tuple[int | None, SeparatorPosition | None]:
    """Separator and position that the user states or the store records; they must agree."""
    separator, position = options.separator, options.separator_position
    if separator is not None and store.separator not in (None, separator):
        raise InputError(
            f"{store.path}: records the separator {store.separator}, not {separator}; "
            "leave out --separator"
        )
    if position is not None and store.separator_position not in (None, position):
        raise InputError(
            f"{store.path}: records that separators stand {store.separator_position} documents, "
            f"not {position}; leave out --separator-position"
        )
    separator = store.separator if separator is None else separator
    if separator is None and position is not None:
        raise InputError(
            f"{store.path}: --separator-position {position} needs the id of the separator; give "
            "--separator"
        )
    return separator, position


def _by_likely_separator(store: TokenStore) -> TokenStore:
    """Use the separator that is usual in such files if the stream begins with it, and say so."""
    if store.likely_separator is None or store.document_ends is not None:
        return store
    separator, tokenizer = store.likely_separator
    positions = _positions(store.tokens, separator)
    if positions.size == 0:
        return store
    if int(store.tokens[0]) != separator:
        note = (
            f"the token {separator}, which {tokenizer} puts before each document, occurs "
            f"{positions.size:,} times, but the stream does not begin with it; if it separates "
            f"documents, give --separator {separator}"
        )
        return replace(store, notes=(*store.notes, note))
    note = (
        f"the stream begins with {separator}, which {tokenizer} puts before each document, so its "
        f"{positions.size:,} occurrences separate documents; --separator states another"
    )
    store = replace(store, notes=(*store.notes, note))
    return _cut_at(store, separator, positions, "before", "before")


def _positions(tokens: NDArray[Any], separator: int) -> NDArray[np.int64]:
    """Where a separator occurs, increasing."""
    pieces = [start + np.flatnonzero(chunk == separator) for start, chunk in chunks(tokens)]
    return np.concatenate(pieces).astype(np.int64, copy=False)


def _cut_at(
    store: TokenStore,
    separator: int,
    positions: NDArray[np.int64],
    position: SeparatorPosition | None,
    default: SeparatorPosition,
) -> TokenStore:
    """The store with the documents that lie between its separators, whose positions are given."""
    tokens = store.tokens
    notes: tuple[str, ...] = ()
    if position is None:
        position, evidence = _position_in_data(tokens, separator, default)
        if evidence and positions.size:
            notes = (
                f"the separator {separator} is taken to stand {position} each document, as is "
                f"usual in this format: the stream {evidence} with it; --separator-position "
                "states it",
            )
    return replace(
        store,
        separator=separator,
        separator_position=position,
        document_ends=document_ends_at(positions, tokens.size, position),
        notes=store.notes + notes,
    )


def _position_in_data(
    tokens: NDArray[Any], separator: int, default: SeparatorPosition
) -> tuple[SeparatorPosition, str]:
    """Where separators stand, by the first and the last token, and why the data do not show it."""
    begins, ends = int(tokens[0]) == separator, int(tokens[-1]) == separator
    if begins != ends:
        return ("before" if begins else "after"), ""
    return default, "begins and ends" if begins else "neither begins nor ends"


def _beside_recorded_documents(
    store: TokenStore, separator: int, position: SeparatorPosition | None
) -> TokenStore:
    """The store, whose document ends are recorded, with where the separator stands in them."""
    assert store.document_ends is not None
    before, after = shares_at_document_ends(store.tokens, store.document_ends, separator)
    seen: SeparatorPosition | None = "before" if before > after else "after"
    if before == after == 0:
        seen = None
    return replace(store, separator=separator, separator_position=position or seen)


def shares_at_document_ends(
    tokens: NDArray[Any], document_ends: NDArray[np.int64], separator: int
) -> tuple[float, float]:
    """Shares of the documents that begin and that end with the separator, from a sample of them."""
    count = document_ends.size
    sample = np.unique(np.linspace(0, count - 1, _SAMPLED_DOCUMENTS).astype(np.int64))
    starts = np.where(sample > 0, document_ends[sample - 1], 0)
    before = np.count_nonzero(tokens[starts] == separator)
    after = np.count_nonzero(tokens[document_ends[sample] - 1] == separator)
    return float(before / sample.size), float(after / sample.size)
