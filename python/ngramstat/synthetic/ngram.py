"""The n-gram language of a corpus: its interpolated Kneser-Ney model as a source of documents.

Contexts have at most k - 1 tokens, so H_n is constant from n = k - 1 on, and C(t) falls
exponentially in the end: exponents must be refused (docs/theory.md 12.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.errors import InputError
from ngramstat.kernels.worlds import sample_ngrams
from ngramstat.synthetic.ngram_chain import NgramChain
from ngramstat.synthetic.ngram_model import NgramModel
from ngramstat.synthetic.sampling import PIECE, random_key, random_words
from ngramstat.synthetic.world import (
    MAX_DENSE,
    Floats,
    KnownExponent,
    Tokens,
    World,
)

__all__ = ["NgramLanguage"]

# Below this fraction of ||C(0)|| a norm is mostly rounding: the chain has forgotten its past.
_FORGOTTEN = 1e-12
# Largest product of lag and multiplications per step for which a norm is computed: seconds.
_MAX_PRODUCTS = 1 << 23
# What a step costs beside its multiplications, in multiplications.
_STEP_OVERHEAD = 1 << 14
# Numbers in the distributions of several lags that are summed up at once.
_MAX_DISTRIBUTIONS = 1 << 25


@dataclass(frozen=True, eq=False)
class NgramLanguage(World):
    """Documents drawn from the interpolated modified Kneser-Ney model of a corpus.

    All documents of the corpus are counted. A drawn document begins, like those of the corpus,
    behind a mark, and has the length of a document of the corpus chosen at random; a corpus
    without documents becomes one stream. The separator is never drawn: it ends every document
    where the corpus has one. Norms and entropies are those of the tokens inside documents.

    Parameters
    ----------
    text : Corpus
        The corpus to count.
    order : int
        k, from 1 to 16: the model knows n-grams of up to k tokens.
    separators : bool
        Whether to end documents with the corpus's separator, if it has one.

    Raises
    ------
    InputError
        The order is out of range, or the corpus holds no tokens, ids outside its vocabulary, or
        separators inside documents.
    """

    kind: ClassVar[str] = "ngram"

    text: Corpus
    order: int
    separators: bool = True

    def __post_init__(self) -> None:
        self.text.check()
        _ = self.model

    @classmethod
    def open(
        cls, path: str | PathLike[str], order: int, *, separators: bool = True
    ) -> NgramLanguage:
        """The language of a corpus directory or token store."""
        return cls(Corpus.open(path), order, separators)

    # --- the model --------------------------------------------------------------------------------

    @cached_property
    def _contents(self) -> list[Tokens]:
        """The documents without separators; empty ones are left out."""
        corpus = self.text
        if corpus.document_ends is None:
            return [corpus.tokens]
        starts, ends = document_contents(corpus)
        return [
            corpus.tokens[first:last]
            for first, last in zip(starts.tolist(), ends.tolist(), strict=True)
            if first < last
        ]

    @cached_property
    def model(self) -> NgramModel:
        """The counted model."""
        separator, path = self.text.separator, self.text.path
        if separator is not None and any((x == separator).any() for x in self._contents):
            raise InputError(
                f"{path}: the separator {separator} occurs inside documents; tokenize the corpus "
                "again, or give the separator that its documents end with"
            )
        return NgramModel.count(self._contents, self.text.vocab_size, self.order, never=separator)

    @cached_property
    def chain(self) -> NgramChain:
        """The chain of the model's states."""
        return NgramChain(self.model)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Lengths of the corpus's documents without separators, (n_documents,)."""
        return np.array([len(x) for x in self._contents], np.int64)

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """V of the corpus."""
        return self.text.vocab_size

    @property
    def document_length(self) -> int:  # type: ignore[override]
        """Tokens of the longest document."""
        return int(self.lengths.max())

    @property
    def one_stream(self) -> bool:
        return self.text.document_ends is None

    @property
    def equal_documents(self) -> bool:
        return self.one_stream

    @property
    def longest_lag(self) -> int:
        # A document of one token has no pairs, yet truth.json lists a lag.
        return max(self.document_length - 1, 1)

    @property
    def separator(self) -> int | None:
        return self.text.separator if self.separators and not self.one_stream else None

    @property
    def tokenizer_path(self) -> Path | None:
        return self.text.tokenizer_path

    def parameters(self) -> dict[str, Any]:
        path = self.text.path
        return {
            "from": None if path is None else str(path),
            "from_sha256": self.text.sha256,
            "order": self.order,
            "separator": self.separator,
            "discounts": list(self.model.discounts),
        }

    # --- drawing ----------------------------------------------------------------------------------

    def document_lengths(self, n_tokens: int, *, seed: int) -> NDArray[np.int64]:
        key, n = random_key(seed, 2), np.uint64(len(self.lengths))
        lengths = np.zeros(0, np.int64)
        per_round = 1 + int(n_tokens / self.lengths.mean())
        while int(lengths.sum()) < n_tokens:
            numbers = np.arange(len(lengths), len(lengths) + per_round, dtype=np.uint64)
            chosen = (random_words(key, numbers) >> np.uint64(32)) * n >> np.uint64(32)
            lengths = np.concatenate([lengths, self.lengths[chosen.astype(np.int64)]])
        return lengths[: int(np.searchsorted(np.cumsum(lengths), n_tokens)) + 1]

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        tables, key = self.model.tables, random_key(seed, 1)
        if self.one_stream:
            state = self.model.start
            for first in range(0, n_tokens, PIECE):
                out = np.empty(min(PIECE, n_tokens - first), self.dtype)
                end = np.array([len(out)], np.int64)
                sample_ngrams(tables, key, first, state, end, out)
                state = self.model.state(out)
                yield out
            return
        ends = np.cumsum(self.document_lengths(n_tokens, seed=seed))
        first = document = 0
        while first < n_tokens:
            last = max(int(np.searchsorted(ends, first + PIECE, side="right")), document + 1)
            own = ends[document:last] - first
            out = np.empty(int(own[-1]), self.dtype)
            sample_ngrams(tables, key, first, self.model.start, own, out, threads=threads)
            yield out[: n_tokens - first]
            first, document = int(ends[last - 1]), last

    # --- exact curves -----------------------------------------------------------------------------

    @cached_property
    def _survivors(self) -> Floats:
        """Number of documents with more than i tokens, i = 0 .. longest - 1."""
        ended = np.cumsum(np.bincount(self.lengths))[:-1]
        survivors: Floats = (len(self.lengths) - ended).astype(np.float64)
        return survivors

    def _pairs(self, lags: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """Every lag with the distribution of the state that ends with the first of its pairs."""
        if self.one_stream:
            mass = self.chain.occupation(None)[0]
            yield from ((lag, mass) for lag in lags)
            return
        at_once = max(1, _MAX_DISTRIBUTIONS // self.model.n_states)
        for first in range(0, len(lags), at_once):
            group = [int(lag) for lag in lags[first : first + at_once]]
            # Token i is the first of a pair in the documents with more than i + lag tokens, and
            # the state behind it is that before token i + 1.
            weights = np.zeros((len(group), len(self._survivors) + 1))
            for row, lag in zip(weights, group, strict=True):
                row[1 : len(row) - lag] = self._survivors[lag:]
            yield from zip(group, self.chain.occupation(weights), strict=True)

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        self.check_boundary(boundary)
        norms = np.full(len(lags), np.nan)
        if not self._is_known(boundary):
            return norms
        known = [
            i
            for i, lag in enumerate(lags)
            if (self.one_stream or lag < self.document_length)
            and lag * (self.chain.entries + _STEP_OVERHEAD) <= _MAX_PRODUCTS
        ]
        if self.order == 1:
            norms[known] = 0.0
            return norms
        order = sorted(known, key=lambda i: lags[i])
        for i, (lag, mass) in zip(order, self._pairs([lags[i] for i in order]), strict=True):
            covariance = self.chain.covariance(lag, mass)
            norm = covariance.norm()
            if not norm > _FORGOTTEN * covariance.first.max():
                break
            norms[i] = norm
        return norms

    def _is_known(self, boundary: str) -> bool:
        """Pairs and contexts across the ends of documents are not computed."""
        return self.one_stream or boundary == Boundary.DOCUMENT

    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        return np.full(len(lags), np.nan)

    def covariance(self, lag: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        if self.vocab_size > MAX_DENSE:
            raise InputError(f"V = {self.vocab_size}: a covariance is a matrix of V^2 numbers")
        if not self._is_known(boundary):
            raise InputError("boundary=stream: pairs across documents are not known exactly")
        if not (self.one_stream or 1 <= lag < self.document_length):
            raise InputError(f"lag={lag}: the longest document has {self.document_length} tokens")
        ((_, mass),) = self._pairs([lag])
        return self.chain.covariance(lag, mass).multiply(np.eye(self.vocab_size))

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        if not self._is_known(boundary):
            return np.full(max_context + 1, np.nan)
        weights = None
        if not self.one_stream:
            if max_context >= self.document_length:
                return np.full(max_context + 1, np.nan)
            weights = self._survivors[None].copy()
            weights[:, :max_context] = 0.0
        mass = self.chain.occupation(weights)[0]
        return np.array([self.chain.conditional_entropy(n, mass) for n in range(max_context + 1)])

    def all_targets(self, max_context: int) -> Floats:
        """Exact H_n over all tokens, n = 0 .. max_context, in nats per token.

        The context is the n tokens before the target, or all of them and the mark in front of the
        document where there are fewer. Held-out losses have these targets and contexts.
        """
        mass = self.chain.occupation(None if self.one_stream else self._survivors[None])[0]
        return np.array([self.chain.conditional_entropy(n, mass) for n in range(max_context + 1)])

    def exponents(self) -> dict[str, KnownExponent]:
        why = (
            f"not a power law: contexts have at most {self.order - 1} tokens, so C(t) falls "
            f"exponentially in the end and H_n is constant from n = {self.order - 1} on"
        )
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}

    def extras(self) -> dict[str, Any]:
        lengths = self.lengths
        entropies = self.all_targets(self.order - 1)
        return {
            "all_targets": {
                "meaning": "H of a token given the n tokens before it, or all of them and the mark "
                "where its document begins less than n tokens before, over all tokens; held-out "
                "losses have these targets and tend to these values from above, and the last "
                "one holds for all larger n",
                "context": list(range(len(entropies))),
                "entropy": entropies.tolist(),
            },
            "states": self.model.n_states,
            "n_grams": len(self.model.token),
            "document_lengths": {
                "documents": len(lengths),
                "shortest": int(lengths.min()),
                "mean": float(lengths.mean()),
                "longest": int(lengths.max()),
            },
        }

    def warnings(self) -> list[str]:
        warnings = [
            "norms and entropies are those of the model that was counted, which differs from the "
            "text; they are not estimates of the text's",
        ]
        if self.separator is not None:
            warnings.append(
                f"the separator {self.separator} ends every document and is not part of the "
                "entropies; held-out losses predict it like any token, so compare them with a "
                "corpus without separators (--no-separators)"
            )
        return warnings
