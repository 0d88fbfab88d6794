"""The list of writers, and writing a corpus with one of them."""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus.entry_points import WRITERS, load_plugins, plugin_failure
from ngramstat.corpus.formats import check_vocab_size, token_dtype
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.writers.corpus_directory import CORPUS
from ngramstat.corpus.writers.flat import NANOGPT, NPY
from ngramstat.corpus.writers.megatron import MEGATRON
from ngramstat.corpus.writers.writer import WriteOptions, Writer
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.log import warn

__all__ = ["convert", "find_writer"]


_BUILT_IN = {writer.name: writer for writer in (NANOGPT, MEGATRON, NPY, CORPUS)}


def find_writer(name: str) -> Writer:
    """The writer of a name, which this package or a plugin defines.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    plugins: dict[str, Writer] = load_plugins(WRITERS, Writer)
    if name in plugins:
        return plugins[name]
    raise InputError(f"--to {name!r}: must be one of {', '.join([*_BUILT_IN, *plugins])}")


def convert(
    corpus: Corpus,
    output: str | PathLike[str],
    to: str,
    *,
    dtype: Any = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a corpus in another format.

    Documents are preserved. Where the corpus has a separator, it is written after each document,
    wherever it stood; formats that nothing else divides into documents (nanogpt, npy) need one.

    Parameters
    ----------
    corpus
        The corpus to write.
    output
        The file to write (".bin" is added to a name without suffix for nanogpt); a prefix for
        megatron, a directory for corpus. Missing parent directories are created.
    to
        "nanogpt", "megatron", "npy", "corpus", or the name of a plugin's writer.
    dtype
        "uint16" or "uint32"; by default the smaller type that holds the vocabulary. Megatron's
        files hold int32 for "uint32".
    overwrite
        Whether existing files may be replaced.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        The format cannot hold the corpus, the output exists, or there is too little disk space.
    NgramstatError
        Writing failed.
    """
    writer, path = find_writer(to), Path(output)
    if not writer.records_documents and corpus.document_ends is not None:
        _require_separator(corpus, writer)
    separator = corpus.separator
    vocab_size = max(corpus.vocab_size, 0 if separator is None else separator + 1)
    smaller = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    options = WriteOptions(token_dtype(smaller if dtype is None else dtype))
    check_vocab_size(vocab_size, options.dtype, str(path))
    _check_output(writer, path, overwrite=overwrite)
    _check_space(path, writer.bytes_needed(corpus, options))
    if corpus.vocab_size_inferred:
        warn(
            f"{corpus.path}: records no vocabulary; what is written takes its size for "
            f"{vocab_size:,}, the largest id plus 1, unless --vocab-size states that of the "
            "tokenizer"
        )
    _create_parents(path)
    try:
        # Several files make up one output.
        with sole_writer(path, directory=False):
            return writer.write(corpus, path, options)
    except (NgramstatError, MemoryError):
        raise
    except OSError as error:
        raise NgramstatError(f"{path}: writing failed: {reason(error)}") from error
    except Exception as error:
        if to in _BUILT_IN:
            raise
        raise NgramstatError(f"{path}: {plugin_failure(to, error)}") from error


def _require_separator(corpus: Corpus, writer: Writer) -> None:
    if corpus.separator is None and corpus.n_documents > 1:
        raise InputError(
            f"{corpus.name}: has {corpus.n_documents:,} documents but no separator, and "
            f"{writer.name} files tell documents by nothing else; give --separator ID, an id that "
            "occurs in none"
        )


def _check_output(writer: Writer, path: Path, *, overwrite: bool) -> None:
    for output in writer.outputs(path):
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists; give --overwrite to replace it")


def _create_parents(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: its directory {path.parent} cannot be created: {reason(error)}"
        ) from error


def _check_space(path: Path, needed: int) -> None:
    directory = path.parent
    try:
        while not directory.exists():
            directory = directory.parent
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {reason(error)}") from error
    if free < needed:
        raise InputError(f"{path}: needs {needed:,} bytes, but {free:,} are free in {directory}")
