"""Opening a held-out corpus beside the corpus that is trained on."""

from __future__ import annotations

import os
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ngramstat.corpus.formats import chunks
from ngramstat.corpus.store import Corpus
from ngramstat.errors import InputError

__all__ = ["open_held_out"]


def open_held_out(held_out: str | PathLike[str] | Corpus, corpus: Corpus) -> tuple[Corpus, Corpus]:
    """The held-out corpus and the corpus to train on, with one vocabulary.

    What the held-out files do not record is as in the corpus: the type of the tokens, the
    separator and its position. Held-out ids need not occur in the corpus: where the vocabulary of
    both is only inferred from the ids, both get the larger one.

    Parameters
    ----------
    held_out
        Path, glob or directory of the held-out corpus, or the corpus itself.
    corpus
        What is trained on.

    Raises
    ------
    InputError
        The held-out corpus cannot be opened, has another vocabulary, or shares files with the
        corpus.
    """
    other = held_out if isinstance(held_out, Corpus) else Corpus.open_like(corpus, held_out)
    _refuse_shared_files(other, corpus)
    size, note = _common_vocabulary(other, corpus)
    if other.vocab_size != size:
        other = replace(other, vocab_size=size)
    if corpus.vocab_size != size:
        # The checksum of the tokens, which takes a pass over them, stays known.
        corpus = replace(corpus, vocab_size=size, _recorded_sha256=corpus.sha256)
    return replace(other, notes=other.notes + note), corpus


def _common_vocabulary(other: Corpus, corpus: Corpus) -> tuple[int, tuple[str, ...]]:
    """Vocabulary size of both, and a note where it is not that of the corpus."""
    size, known = other.vocab_size, corpus.vocab_size
    if size == known:
        return known, ()
    if other.vocab_size_inferred and size < known:
        return known, ()
    if corpus.vocab_size_inferred and size > known:
        origin = "its largest id" if other.vocab_size_inferred else "its record"
        return size, (
            f"{_name(other)}: by {origin} the vocabulary has {size:,} items; {_name(corpus)} only "
            f"shows ids up to {known - 1:,}, so {size:,} is used for both (--vocab-size states it)",
        )
    if other.vocab_size_inferred:
        raise InputError(
            f"{_name(other)}: its largest id is {size - 1}, which is not in the vocabulary of "
            f"{_name(corpus)} (0 to {known - 1}); tokenize both with the same tokenizer, or give "
            "the vocabulary's size with --vocab-size if the files do not record it"
        )
    raise InputError(
        f"{_name(other)}: its vocabulary has {size} items, that of {_name(corpus)} {known}; "
        "tokenize both with the same tokenizer"
    )


def _refuse_shared_files(other: Corpus, corpus: Corpus) -> None:
    trained_on = {_identity(path): path for path in _files(corpus)}
    for path in _files(other):
        if _identity(path) in trained_on:
            raise InputError(
                f"{path}: is held out and part of the corpus {_name(corpus)}, so its losses would "
                "be those of known text; name another file, or a fraction such as --held-out 0.01"
            )
    if _same_tokens(other, corpus):
        raise InputError(
            f"{_name(other)}: has the same tokens as the corpus {_name(corpus)}, so its losses "
            "would be those of known text; name another file, or a fraction such as "
            "--held-out 0.01"
        )


def _same_tokens(one: Corpus, other: Corpus) -> bool:
    """Whether two corpora hold the same stream, whatever the types of their tokens."""
    return one.n_tokens == other.n_tokens and all(
        np.array_equal(piece, other.tokens[start : start + piece.size])
        for start, piece in chunks(one.tokens)
    )


def _files(corpus: Corpus) -> list[Path]:
    if corpus.shards:
        return [shard.token_file for shard in corpus.shards]
    return [] if corpus.path is None else [corpus.path]


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = os.stat(path)
    except OSError:
        return str(path)
    return status.st_dev, status.st_ino


def _name(corpus: Corpus) -> str:
    return "the corpus in memory" if corpus.path is None else str(corpus.path)
