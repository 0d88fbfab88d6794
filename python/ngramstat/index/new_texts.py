"""What is compared with an index: tokens of any form, or text for the tokenizer of the index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import as_corpus
from ngramstat.errors import InputError, InputTypeError
from ngramstat.index.overlap import IndexedCorpus, NewText, new_text
from ngramstat.index.tokenizer import IndexTokenizer

__all__ = ["as_new_text", "text_of_corpus"]


def as_new_text(
    index: IndexedCorpus, tokenizer: IndexTokenizer | None, tokens: Any, name: str = "tokens"
) -> NewText:
    """Tokens to look for.

    Parameters
    ----------
    tokens
        Whatever `as_corpus` takes; a string or strings are texts for the tokenizer of the index,
        one document each.

    Raises
    ------
    InputError
        There is no tokenizer, or an id is not in the vocabulary of the index.
    """
    texts = _texts(tokens)
    if texts is not None:
        return _encoded(index, tokenizer, texts, name)
    if isinstance(tokens, np.ndarray | list | tuple) and len(tokens) == 0:
        nothing = np.zeros(0, np.int64)
        return NewText(np.zeros(0, index.dtype), nothing, nothing)
    return text_of_corpus(index, as_corpus(tokens, name), name)


def text_of_corpus(
    index: IndexedCorpus, corpus: Corpus, name: str, *, separators: bool = True
) -> NewText:
    """The documents of a corpus, a single one where they are unknown.

    Parameters
    ----------
    separators : bool
        Whether a document's separator belongs to what is looked for.
    """
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


def _texts(tokens: Any) -> list[str] | None:
    if isinstance(tokens, str):
        return [tokens]
    if isinstance(tokens, list | tuple) and tokens and isinstance(tokens[0], str):
        for number, text in enumerate(tokens):
            if not isinstance(text, str):
                raise InputTypeError(
                    f"tokens: item {number} is {type(text).__name__}, but the first is a text"
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
    encoded = [tokenizer.encode(text) for text in texts]
    ends = np.cumsum([len(ids) for ids in encoded], dtype=np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    return new_text(index, np.concatenate(encoded), starts, ends, name)
