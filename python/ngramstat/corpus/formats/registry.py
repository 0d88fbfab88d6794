"""The list of readers, and opening a store with the right one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ngramstat.corpus.formats.mapping import as_unsigned, read_bytes
from ngramstat.corpus.formats.plugin_formats import plugin_formats
from ngramstat.corpus.formats.separators import with_separator
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    check_vocab_size,
    chunks,
)
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = [
    "FORMATS",
    "complete_store",
    "find_format",
    "open_store",
    "read_store",
    "recognised_format",
]

# Modules of this package, each with a `FORMAT` (or several `FORMATS`), in the order in which they
# are tried.
_READERS = (
    "hf_dataset",
    "infini_gram",
    "corpus_directory",
    "npy",
    "npz",
    "llmc",
    "megatron",
    "noted",
    "tokengrams",
    "dedup",
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
    """Open a token store that is one file or one directory.

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
    return complete_store(read_store(path, format, options), options)


def read_store(path: Path, format: str, options: OpenOptions) -> TokenStore:
    """What the reader of a store returns: tokens of any integer type, without a stated separator.

    Raises
    ------
    InputError
        The store is not recognised, is damaged, or contradicts `options`.
    """
    if not path.name:
        path = path.absolute()  # readers look for files beside it by its name
    if not path.name:
        raise InputError(f"{path}: the root of the file system is no token store")
    reader = recognised_format(path, format, options) if format == "auto" else find_format(format)
    if reader is None:
        raise InputError(
            f"{path}: not a known kind of token store; raw tokens need --dtype uint16|uint32, "
            "text and JSON need `ngramstat tokenize` first"
        )
    return reader.open(path, _applicable(options, reader, path))


def _applicable(options: OpenOptions, reader: Format, path: Path) -> OpenOptions:
    """The options, if such stores have the rows, columns and arrays that they speak of."""
    if options.assumed is not None:
        # What describes the corpus need not fit a store of another format that belongs to it.
        options = replace(
            options,
            rows=options.rows if reader.has_rows else "auto",
            column=options.column if reader.has_rows and reader.has_columns else None,
            array=options.array if reader.has_arrays else None,
        )
    if not reader.has_rows and (options.column is not None or options.rows != "auto"):
        raise InputError(f"{path}: {reader.description} has no rows; leave out --column and --rows")
    if not reader.has_columns and options.column is not None:
        raise InputError(f"{path}: {reader.description} has no columns; leave out --column")
    if not reader.has_arrays and options.array is not None:
        raise InputError(f"{path}: {reader.description} has one array; leave out --array")
    return options


def recognised_format(path: Path, format: str, options: OpenOptions) -> Format | None:
    """The format of a store: the stated one, or for "auto" the first that recognises it.

    A stated format of a directory has to recognise it, too; otherwise the directory may hold
    several files of that format, and the result is None.
    """
    stated = None if format == "auto" else find_format(format)
    head = b""
    is_directory = path.is_dir()
    path = path if path.name else path.absolute()
    if not path.name:
        return None
    if stated is not None and not is_directory:
        return stated
    if not is_directory:
        head = read_bytes(path, 0, min(_SNIFFED_BYTES, regular_file_size(path)))
    for candidate in _candidates() if stated is None else (stated,):
        if candidate.recognises(path, head):
            return candidate
    if is_directory:
        return None
    is_raw = options.dtype is not None or (options.assumed and options.assumed.format == "raw")
    return FORMATS["raw"] if is_raw else None


def complete_store(store: TokenStore, options: OpenOptions) -> TokenStore:
    """The store with what the user states, and its tokens as one array of uint16 or uint32.

    Raises
    ------
    InputError
        An id is negative or too large, or an option contradicts the store.
    """
    store = _with_token_array(store, options)
    if store.vocab_size is None:
        store = replace(store, vocab_size=options.vocab_size)
    elif options.vocab_size not in (None, store.vocab_size):
        raise InputError(
            f"{store.path}: records a vocabulary of {store.vocab_size}, not {options.vocab_size}; "
            "leave out --vocab-size"
        )
    vocab_size = store.vocab_size
    if vocab_size is not None:
        if store.largest_id is not None and options.dtype is None:
            store = _wide_enough(store, vocab_size)
        check_vocab_size(vocab_size, store.tokens.dtype, str(store.path))
    return with_separator(store, options, find_format(store.format).separator_position)


def _wide_enough(store: TokenStore, vocab_size: int) -> TokenStore:
    """Copied tokens, whose type is that of their largest id, in that of the vocabulary."""
    if vocab_size - 1 <= np.iinfo(store.tokens.dtype).max:
        return store
    with TokenFileBuilder(
        str(store.path), expected_tokens=store.tokens.size, dtype=np.uint32
    ) as builder:
        for _, piece in chunks(store.tokens):
            builder.append(piece)
        return replace(store, tokens=builder.finish().tokens)


def _candidates() -> Iterator[Format]:
    """Formats in the order in which they are tried; plugins are looked for only if needed."""
    yield from (format for name, format in FORMATS.items() if name not in _BY_NAME)
    yield from (format for name, format in plugin_formats().items() if name not in FORMATS)
    yield from (FORMATS[name] for name in _BY_NAME)


def _with_token_array(store: TokenStore, options: OpenOptions) -> TokenStore:
    """Signed ids are viewed as unsigned; other types are copied to one of uint16 or uint32."""
    tokens = store.tokens
    if tokens.dtype in (np.dtype("<u2"), np.dtype("<u4")):
        return store
    name = store.stored_dtype or tokens.dtype.name
    if tokens.dtype in (np.dtype("<i2"), np.dtype("<i4")) and tokens.flags.c_contiguous:
        return replace(store, tokens=as_unsigned(tokens, store.path), stored_dtype=name)
    with TokenFileBuilder(
        str(store.path), expected_tokens=tokens.size, dtype=options.dtype
    ) as builder:
        builder.append(tokens)
        built = builder.finish()
    return replace(store, tokens=built.tokens, stored_dtype=name, largest_id=built.largest_id)
