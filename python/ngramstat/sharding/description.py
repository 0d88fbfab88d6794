"""What the other shards have to know of one: lengths of documents, counts of tokens, its edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.errors import InputError
from ngramstat.kernels import token_counts
from ngramstat.sharding.plan import ShardPlan

__all__ = ["ShardDescription"]

_NO_SEPARATOR = -1


@dataclass(frozen=True)
class ShardDescription:
    """One shard, in 10 bytes a document and 8 a vocabulary item.

    Attributes
    ----------
    vocab_size : int
    separator : int
        -1: there is none.
    dtype, sha256, tokenizer : str
        Of the tokens; the tokenizer's path, or empty.
    lengths : (n_documents,) int64
        In tokens, separators included.
    leading, trailing : (n_documents,) uint8
        Separators at the start and at the end of each document.
    token_counts : (V,) int64
    head : (k,) uint32
        Its first tokens, as far as the longest lag.
    tail : (k,) uint32
        Its last tokens, as many as the longest context.
    """

    vocab_size: int
    separator: int
    dtype: str
    sha256: str
    tokenizer: str
    lengths: NDArray[np.int64]
    leading: NDArray[np.uint8]
    trailing: NDArray[np.uint8]
    token_counts: NDArray[np.int64]
    head: NDArray[np.uint32]
    tail: NDArray[np.uint32]

    @classmethod
    def of(cls, corpus: Corpus, plan: ShardPlan, *, threads: int = 1) -> ShardDescription:
        """Reads the tokens once.

        Raises
        ------
        InputError
            The shard has no documents, or a token is not below the vocabulary's size.
        """
        if corpus.document_ends is None or corpus.n_documents == 0:
            raise InputError(
                f"{corpus.name}: a shard consists of whole documents, and its are not known; give "
                "the separator's id with --separator"
            )
        starts, ends = document_contents(corpus)
        lengths = np.diff(corpus.document_ends, prepend=0)
        with corpus.naming_large_ids():
            counts = token_counts(corpus.tokens, corpus.vocab_size, threads=threads)
        n = corpus.n_tokens
        return cls(
            corpus.vocab_size,
            _NO_SEPARATOR if corpus.separator is None else corpus.separator,
            corpus.dtype.name,
            corpus.sha256,
            "" if corpus.tokenizer_path is None else str(corpus.tokenizer_path),
            lengths,
            (starts - (corpus.document_ends - lengths)).astype(np.uint8),
            (corpus.document_ends - ends).astype(np.uint8),
            counts,
            np.asarray(corpus.tokens[: plan.longest_lag], np.uint32),
            np.asarray(corpus.tokens[max(n - plan.max_context, 0) :], np.uint32),
        )

    @property
    def n_tokens(self) -> int:
        """Of the shard."""
        return int(self.lengths.sum())
