"""The list of readers, and opening a store with the right one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ngramstat.corpus.formats.mapping import read_bytes
from ngramstat.corpus.formats.plugin_formats import plugin_formats
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    SeparatorPosition,
    TokenStore,
    check_vocab_size,
    chunks,
    document_ends_at,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMATS", "find_format", "open_store"]

# Modules of this package, each with a `FORMAT` (or several `FORMATS`), in the order in which they
# are tried.
_READERS = (
    "hf_dataset",
    "infini_gram",
    "corpus_directory",
    "npy",
    "llmc",
    "megatron",
    "noted",
    "tokengrams",
    "datatrove",
    "dolma",
    "arrow_ipc",
    "parquet",
    "json_rows",
    "raw",
)

# Formats that a file's name alone implies; those of plugins are tried before them.
_BY_NAME = ("dolma", "jsonl", "raw")

_SNIFFED_BYTES = 16


def _load_formats() -> dict[str, Format]:
    modules = [importlib.import_module(f"ngramstat.corpus.formats.{name}") for name in _READERS]
    formats: list[Format] = []
    for module in modules:
        formats += getattr(module, "FORMATS", (module.FORMAT,))
    return {format.name: format for format in formats}


FORMATS = _load_formats()


def find_format(name: str) -> Format:
    """The format of a name, which this package or a plugin defines.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name in FORMATS:
        return FORMATS[name]
    plugins = plugin_formats()
    if name in plugins:
        return plugins[name]
    raise InputError(f"format {name!r}: must be auto or one of {', '.join([*FORMATS, *plugins])}")


def open_store(path: Path, format: str, options: OpenOptions) -> TokenStore:
    """Open a token store.

    Parameters
    ----------
    path
        A file or a corpus directory.
    format
        A name that `find_format` knows, or "auto" to recognise the format from the contents.
    options
        What the user states about the store.

    Raises
    ------
    InputError
        The store is not recognised, is damaged, or contradicts `options`.
    """
    reader = _recognise(path, options) if format == "auto" else find_format(format)
    if not reader.has_rows and (options.column is not None or options.rows != "auto"):
        raise InputError(f"{path}: {reader.description} has no rows; leave out --column and --rows")
    store = reader.open(path, options)
    if store.vocab_size is None:
        store = replace(store, vocab_size=options.vocab_size)
    elif options.vocab_size not in (None, store.vocab_size):
        raise InputError(
            f"{path}: records a vocabulary of {store.vocab_size}, not {options.vocab_size}; "
            "leave out --vocab-size"
        )
    if store.vocab_size is not None:
        check_vocab_size(store.vocab_size, store.tokens.dtype, str(path))
    return _with_separator(store, options.separator, reader.separator_position)


def _recognise(path: Path, options: OpenOptions) -> Format:
    head = b""
    if not path.is_dir():
        head = read_bytes(path, 0, min(_SNIFFED_BYTES, regular_file_size(path)))
    for candidate in _candidates():
        if candidate.recognises(path, head):
            return candidate
    if path.is_dir():
        return FORMATS["corpus"]  # says what it lacks
    if options.dtype is not None:
        return FORMATS["raw"]
    raise InputError(
        f"{path}: not a known kind of token store; raw tokens need --dtype uint16|uint32, "
        "text and JSON need `ngramstat tokenize` first"
    )


def _candidates() -> Iterator[Format]:
    """Formats in the order in which they are tried; plugins are looked for only if needed."""
    yield from (format for name, format in FORMATS.items() if name not in _BY_NAME)
    yield from (format for name, format in plugin_formats().items() if name not in FORMATS)
    yield from (FORMATS[name] for name in _BY_NAME)


def _with_separator(
    store: TokenStore, separator: int | None, position: SeparatorPosition
) -> TokenStore:
    """Apply the user's separator; it ends the documents unless the store records their ends."""
    if separator is None:
        return store
    if store.separator not in (None, separator):
        raise InputError(
            f"{store.path}: records the separator {store.separator}, not {separator}; "
            "leave out --separator"
        )
    limit = store.vocab_size or int(np.iinfo(store.tokens.dtype).max) + 1
    if not 0 <= separator < limit:
        raise InputError(f"separator {separator}: not an id of {store.path} (0 to {limit - 1})")
    if store.separator is not None:
        return store
    if store.document_ends is not None:
        return replace(store, separator=separator)
    pieces = [start + np.flatnonzero(chunk == separator) for start, chunk in chunks(store.tokens)]
    positions = np.concatenate(pieces).astype(np.int64, copy=False)
    if positions.size == 0:
        raise InputError(
            f"{store.path}: the separator {separator} never occurs; give the right --separator, "
            "or none to open the store without documents"
        )
    return replace(
        store,
        separator=separator,
        separator_position=position,
        document_ends=document_ends_at(positions, store.tokens.size, position),
    )
