"""What is compared with an index: tokens of any form, or text for the tokenizer of the index."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus, tokenize
from ngramstat.corpus.conversion import as_corpus, names_a_file
from ngramstat.corpus.formats import OpenOptions, recognised_format
from ngramstat.errors import InputError, InputTypeError
from ngramstat.index.overlap import IndexedCorpus, NewText, new_text
from ngramstat.index.tokenizer import IndexTokenizer

__all__ = ["as_new_text", "corpus_of_inputs"]

# Formats of token stores whose files can as well hold text.
_TEXT_TOO = ("jsonl", "parquet", "arrow", "hf-dataset")
# What is more likely a path by mistake than a text.
_NAME_OF_FILE = re.compile(
    r"\S+\.(arrow|bin|csv|idx|json|jsonl|md|npy|npz|parquet|tsv|txt)(\.(bz2|gz|xz|zst))?",
    re.IGNORECASE,
)


def as_new_text(
    index: IndexedCorpus,
    tokenizer: IndexTokenizer | None,
    tokens: Any,
    name: str = "tokens",
    *,
    separators: bool = True,
) -> NewText:
    """Tokens to look for.

    Parameters
    ----------
    tokens
        Whatever `as_corpus` takes; a string or strings are texts for the tokenizer of the index,
        one document each. A string that names a file or a directory is refused.
    separators : bool
        Whether the separators of documents belong to what is looked for.

    Raises
    ------
    InputError
        There is no tokenizer, an id is not in the vocabulary of the index, or a string is a path.
    """
    texts = _texts(tokens, name)
    if texts is not None:
        return _encoded(index, tokenizer, texts, name)
    if isinstance(tokens, np.ndarray | list | tuple) and len(tokens) == 0:
        return _joined(index, [], name)
    if isinstance(tokens, list | tuple) and isinstance(tokens[0], list | tuple | np.ndarray):
        # A corpus would leave empty documents out, and then number the others anew.
        return _joined(index, [_ids(document, name, i) for i, document in enumerate(tokens)], name)
    _refuse_floats(tokens, name)
    return _text_of_corpus(index, as_corpus(tokens, name), name, separators)


def _text_of_corpus(index: IndexedCorpus, corpus: Corpus, name: str, separators: bool) -> NewText:
    """The documents of a corpus, a single one where they are unknown."""
    ends = corpus.document_ends
    if ends is None:
        ends = np.array([corpus.n_tokens] if corpus.n_tokens else [], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    if not separators and corpus.separator is not None and corpus.document_ends is not None:
        if corpus.separator_position == "before":
            starts = starts + (corpus.tokens[starts] == corpus.separator)
        else:
            ends = ends - (corpus.tokens[ends - 1] == corpus.separator)
    return new_text(index, corpus.tokens, starts, ends, name)


@contextmanager
def corpus_of_inputs(
    inputs: Sequence[str | PathLike[str]],
    tokenizer: IndexTokenizer | None,
    *,
    holds_tokens: bool = False,
    **options: Any,
) -> Iterator[Corpus]:
    """Files to compare with an index: a token store, or text.

    Text is tokenized into a temporary directory, which is removed at the end.

    Parameters
    ----------
    inputs
        Files of text as `ngramstat.tokenize` takes them, or a token store of files that
        `Corpus.open` recognises. JSON lines, Parquet and Arrow are text unless `holds_tokens`.
    tokenizer
        That of the index.
    options
        Of `ngramstat.tokenize`.

    Raises
    ------
    InputError
        An input cannot be read, or is text and there is no tokenizer.
    """
    paths = [Path(path) for path in inputs]
    if holds_tokens or _are_token_stores(paths):
        yield Corpus.open(paths if len(paths) > 1 else paths[0])
        return
    if tokenizer is None:
        raise InputError(
            f"{paths[0]}: is read as text, but the indexed corpus has no tokenizer; give a token "
            "store (--tokens, if it is one of JSON lines, Parquet or Arrow)"
        )
    with tempfile.TemporaryDirectory(prefix="ngramstat-") as directory:
        yield tokenize(inputs, Path(directory) / "corpus", tokenizer=tokenizer.path, **options)


def _are_token_stores(paths: list[Path]) -> bool:
    """Whether all of them are token stores that cannot be text."""
    for path in paths:
        if not path.exists():
            return False
        found = recognised_format(path, "auto", OpenOptions())
        if found is None or found.name in _TEXT_TOO:
            return False
    return True


def _refuse_floats(tokens: Any, name: str) -> None:
    kind: Any = None
    if isinstance(tokens, np.ndarray):
        kind = tokens.dtype
    elif isinstance(tokens, list | tuple) and isinstance(tokens[0], float | np.floating):
        kind = np.asarray(tokens[0]).dtype
    if kind is not None and kind.kind == "f":
        raise InputTypeError(f"{name}: token ids must be integers, not {kind}")


def _texts(tokens: Any, name: str) -> list[str] | None:
    if isinstance(tokens, str):
        if names_a_file(tokens) or _NAME_OF_FILE.fullmatch(tokens):
            raise InputError(
                f"{name}: {tokens[:200]!r} is a string, which is read as text, and looks like a "
                "path; pass pathlib.Path(...) for the corpus there, or [text] for a text"
            )
        return [tokens]
    if isinstance(tokens, list | tuple) and tokens and isinstance(tokens[0], str):
        for number, text in enumerate(tokens):
            if not isinstance(text, str):
                raise InputTypeError(
                    f"{name}: item {number} is {type(text).__name__}, but the first is a text"
                )
        return list(tokens)
    return None


def _encoded(
    index: IndexedCorpus, tokenizer: IndexTokenizer | None, texts: list[str], name: str
) -> NewText:
    if tokenizer is None:
        raise InputError(
            f"{name}: is text, but the corpus of {index.name} has no tokenizer; give token ids "
            "(a path is given as pathlib.Path)"
        )
    return _joined(index, [tokenizer.encode(text) for text in texts], name)


def _ids(document: Any, name: str, number: int) -> NDArray[Any]:
    """The token ids of one document."""
    try:
        ids = np.asarray(document)
    except (ValueError, OverflowError) as error:
        raise InputTypeError(
            f"{name}: document {number} is no sequence of ids ({error})"
        ) from error
    if ids.size == 0 and ids.ndim == 1:
        return np.zeros(0, np.uint32)
    if ids.dtype.kind == "f":
        raise InputTypeError(
            f"{name}: document {number}: token ids must be integers, not {ids.dtype}"
        )
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputTypeError(f"{name}: document {number} is no sequence of integers")
    if int(ids.min()) < 0:
        raise InputError(f"{name}: document {number} holds a negative id")
    return ids


def _joined(index: IndexedCorpus, documents: list[NDArray[Any]], name: str) -> NewText:
    ends = np.cumsum([len(ids) for ids in documents], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    tokens = np.concatenate([np.zeros(0, np.uint32), *documents])
    return new_text(index, tokens, starts, ends, name)
