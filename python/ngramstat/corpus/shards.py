"""Several token stores as one: checked to be of one kind, and joined in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus.formats import (
    TOKENS_FILE,
    OpenOptions,
    Shard,
    TokenStore,
    complete_store,
    read_store,
)
from ngramstat.corpus.shard_paths import ShardFiles, find_shards
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size
from ngramstat.runtime.mapped import is_mapped, release_mapped_pages

__all__ = ["open_stores"]

# Notes of single shards that are passed on.
_MAX_NOTES = 5
# What all shards have in common, and how messages call it.
_COMMON = (
    ("format", "format"),
    ("vocab_size", "vocabulary size"),
    ("separator", "separator"),
    ("separator_position", "position of the separator"),
    ("tokenizer_sha256", "tokenizer"),
)


def open_stores(places: Sequence[Path], format: str, options: OpenOptions) -> TokenStore:
    """Open one token store, or several as one; see `find_shards` for what `places` may be.

    One store is mapped. Several are copied to one array (see `TokenFileBuilder`), since documents
    and pairs of tokens run across them.

    Raises
    ------
    InputError
        A store is not recognised or damaged, contradicts `options`, or is of another kind than the
        first one.
    """
    found = find_shards(places, format, options)
    if len(found.paths) == 1 and not found.listed:
        store = read_store(found.paths[0], found.format, found.options)
        if len(store.files) > 1:
            store = replace(store, shards=tuple(_shard(path, None) for path in store.files))
    else:
        store = _join(found)
    if found.recorded_tokens not in (None, store.tokens.size):
        raise InputError(
            f"{found.name}: records {found.recorded_tokens} tokens, but its shards hold "
            f"{store.tokens.size}"
        )
    store = replace(store, notes=found.notes + store.notes)
    return complete_store(store, found.options)


def _join(found: ShardFiles) -> TokenStore:
    """The shards one after the other; tokens may still be of any integer type."""
    first = read_store(found.paths[0], found.format, found.options)
    # Stores that are mapped cost nothing until they are read: all are checked before the work.
    # Others are opened one at a time.
    stores: Iterator[TokenStore]
    expected = None
    if is_mapped(first.tokens):
        mapped = [first, *_read(found, first)]
        stores, expected = iter(mapped), sum(store.tokens.size for store in mapped)
    else:
        stores = _read(found, first, with_first=True)
    shards: list[Shard] = []
    notes: dict[str, None] = {}
    remarks: dict[str, None] = {}
    unknown = 0
    with TokenFileBuilder(
        str(found.name), expected_tokens=expected, dtype=_array_dtype(first, found.options)
    ) as builder:
        for store in stores:
            builder.begin_source(str(store.path))
            if store.document_ends is None:
                builder.append(store.tokens)
            else:
                builder.append_documents(
                    store.tokens, np.diff(np.asarray(store.document_ends), prepend=0)
                )
            release_mapped_pages(store.tokens)
            if len(store.files) > 1:
                shards += [_shard(file, None) for file in store.files]
            elif store.files:
                shards.append(_shard(store.files[0], store.tokens.size))
            else:
                shards.append(_shard(store.path, store.tokens.size))
            notes |= dict.fromkeys(store.notes)
            remarks |= dict.fromkeys(store.remarks)
            unknown += int((store.tokenization or {}).get("unknown") or 0)
        built = builder.finish()
    return replace(
        first,
        path=found.name,
        tokens=built.tokens,
        document_ends=None if first.document_ends is None else built.document_ends,
        sha256=None,
        tokenization=first.tokenization and {**first.tokenization, "unknown": unknown},
        files=(),
        notes=_few(list(notes)),
        remarks=_few(list(remarks)),
        stored_dtype=_stored_dtype(first),
        largest_id=built.largest_id,
        shards=tuple(shards),
    )


def _read(
    found: ShardFiles, first: TokenStore, *, with_first: bool = False
) -> Iterator[TokenStore]:
    """The stores after the first one, each checked to be of its kind."""
    if with_first:
        yield first
    for path in found.paths[1:]:
        store = read_store(path, found.format, found.options)
        _check_kind(first, store)
        yield store


def _check_kind(first: TokenStore, store: TokenStore) -> None:
    """Refuse a store that differs from the first one in what all shards have in common."""
    pairs = [(label, getattr(first, name), getattr(store, name)) for name, label in _COMMON]
    pairs.append(("dtype", _stored_dtype(first), _stored_dtype(store)))
    pairs.append(
        (
            "record of documents",
            "none" if first.document_ends is None else "one",
            "none" if store.document_ends is None else "one",
        )
    )
    for label, one, other in pairs:
        if one != other:
            raise InputError(
                f"{store.path}: its {label} is {_text(other)}, that of {first.path} {_text(one)}; "
                "the shards of a corpus have everything in common but their tokens"
            )


def _text(value: Any) -> str:
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."


def _array_dtype(store: TokenStore, options: OpenOptions) -> np.dtype[Any] | None:
    """The type of the joined tokens; None where it depends on the largest id."""
    as_stored = _stored_dtype(store) == store.tokens.dtype.name
    if as_stored and store.tokens.dtype.newbyteorder("=").name in (
        "int16", "uint16", "int32", "uint32",
    ):  # fmt: skip
        return np.dtype(f"u{store.tokens.itemsize}")
    return options.dtype


def _stored_dtype(store: TokenStore) -> str:
    return store.stored_dtype or store.tokens.dtype.name


def _shard(path: Path, tokens: int | None) -> Shard:
    file = path / TOKENS_FILE if path.is_dir() else path
    return Shard(path, file, regular_file_size(file), tokens)


def _few(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= _MAX_NOTES:
        return tuple(notes)
    rest = len(notes) - _MAX_NOTES
    return (*notes[:_MAX_NOTES], f"... and {rest:,} more notes on single files")
