"""Files of text as a corpus that a model scores."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus, tokenize
from ngramstat.corpus.sources import DocumentUnit, TextOptions, find_sources, read_pieces
from ngramstat.errors import InputError
from ngramstat.ngram_models.text import ModelText, TokenizerText

__all__ = ["corpus_of_text_files"]


def corpus_of_text_files(
    paths: Sequence[str | PathLike[str]],
    text: ModelText,
    *,
    vocab_size: int,
    separator: int | None,
    document: DocumentUnit = "auto",
    threads: int | None = None,
    progress: bool | None = None,
) -> Corpus:
    """The tokens of text files, whose documents are those of `ngramstat.tokenize`.

    Parameters
    ----------
    paths
        As for `ngramstat.tokenize`.
    text : ModelText
        What makes ids of text.
    vocab_size : int
    separator : int or None
        The id that ends every document; None: documents end without one.
    document : str
        What one document is: "file", "line", "paragraph", "record" or "auto".
    threads, progress
        As for `ngramstat.tokenize`.

    Raises
    ------
    InputError
        An input cannot be read, or holds a word that the model does not know.
    """
    if isinstance(text, TokenizerText) and separator is not None:
        return _tokenized(
            paths, text, separator, document=document, threads=threads, progress=progress
        )
    documents = _documents(paths, text, TextOptions(document=document))
    return Corpus.from_documents(documents, vocab_size=vocab_size, separator=separator)


def _tokenized(
    paths: Sequence[str | PathLike[str]], text: TokenizerText, separator: int, **options: Any
) -> Corpus:
    """By the steps that make corpora, in a directory that is removed with the tokens."""
    directory = Path(tempfile.mkdtemp(prefix="ngramstat-"))
    try:
        tokenizer = directory / "tokenizer.json"
        tokenizer.write_bytes(text.contents)
        corpus = tokenize(
            list(paths), directory / "corpus", tokenizer=tokenizer, separator=separator, **options
        )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    weakref.finalize(corpus.tokens, shutil.rmtree, directory, ignore_errors=True)
    return dataclasses.replace(corpus, path=None, format="memory")


def _documents(
    paths: Sequence[str | PathLike[str]], text: ModelText, options: TextOptions
) -> Iterator[NDArray[np.uint32]]:
    for source in find_sources(paths, options):
        parts: list[str] = []
        for piece in read_pieces(source, options):
            parts.append(piece.text)
            if piece.last:
                try:
                    yield text.encode("".join(parts))
                except InputError as error:
                    raise InputError(f"{source.path}: {error}") from error
                parts = []
