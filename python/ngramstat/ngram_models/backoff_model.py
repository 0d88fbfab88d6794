"""Back-off models: what trained n-gram models and ARPA files have in common.

An n-gram that the model holds has a probability; any other has that of the n-gram without its
oldest token, times the back-off weight of the context that loses it (1 where the model does not
hold the context). Interpolated Kneser-Ney takes this form exactly (Chen and Goodman 1999, section
2.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError, check_choice
from ngramstat.kernels.ngram_models import BackoffScorer
from ngramstat.kernels.tokens import Tokens
from ngramstat.ngram_models.model_files import open_model_file, save_model_file, verify_model_file
from ngramstat.ngram_models.streams import (
    document_contents,
    stream_places,
    stream_size,
    write_stream,
)
from ngramstat.ngram_models.trie import Batch, NgramTrie
from ngramstat.ngram_models.trie_building import build_trie
from ngramstat.runtime.resources import resolve_threads

__all__ = ["BackoffModel"]

Floats = NDArray[np.float64]
_BATCH = 1 << 16


class BackoffModel:
    """An n-gram model in back-off form.

    Use `from_tables`, or `KneserNeyModel.train`, or `load`.

    Attributes
    ----------
    order : int
        N; contexts have up to N - 1 tokens.
    vocab_size : int
        V.
    boundary : Boundary
        ``document``: contexts reach back to the start of their document, ``stream``: across
        documents.
    stop_token : int or None
        With boundary ``document``, the token that contexts reach back to, and no further: the
        separator, which is predicted at the end of a document, or V, which is never predicted.
    """

    def __init__(self, trie: NgramTrie, *, stop_token: int | None) -> None:
        self._trie = trie
        self.stop_token = stop_token
        self._scorer = BackoffScorer(
            trie.vocab_size, trie.symbols, trie.levels, trie.guides, stop_token
        )

    @property
    def order(self) -> int:
        return self._trie.order

    @property
    def vocab_size(self) -> int:
        return self._trie.vocab_size

    @property
    def boundary(self) -> Boundary:
        return Boundary.STREAM if self.stop_token is None else Boundary.DOCUMENT

    @property
    def n_ngrams(self) -> tuple[int, ...]:
        """N-grams of each order, (order,); of order 1 the vocabulary, seen or not."""
        return (self.vocab_size, *self._trie.sizes[1:])

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n:,}" for n in self.n_ngrams)
        return (
            f"{type(self).__name__}(order {self.order}, vocabulary {self.vocab_size:,}, boundary "
            f"{self.boundary.value}: {sizes} n-grams)"
        )

    # Files

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file that `load` maps, atomically.

        Raises
        ------
        InputError, NgramstatError
            The file cannot be written.
        """
        save_model_file(path, self._trie, {"stop_token": self.stop_token, **self._settings()})

    @classmethod
    def load(cls, path: str | PathLike[str], *, verify: bool = False) -> Self:
        """Open a model that `save` has written, mapped from its file.

        Parameters
        ----------
        path
        verify : bool
            Read all of it and compare it with its checksums, which takes a second or so per GB.
            Otherwise only the header is checked.

        Raises
        ------
        InputError
            The file is no model of this kind, is damaged, truncated or of another version.
        """
        file = open_model_file(path)
        if verify:
            verify_model_file(path)
        settings = dict(file.settings)
        stop, trie = settings.pop("stop_token", -1), file.trie
        if not _is_stop(stop, trie):
            raise InputError(f"{path}: damaged: its stop token is {stop!r:.40}")
        return cls._restored(path, trie, stop, settings)

    def _settings(self) -> dict[str, Any]:
        """What the file holds beside the trie and the stop token."""
        return {"kind": "back-off"}

    @classmethod
    def _restored(
        cls, path: str | PathLike[str], trie: NgramTrie, stop_token: int | None, settings: Any
    ) -> Self:
        return cls(trie, stop_token=stop_token)

    # Tables

    def tables(self, m: int, *, batch: int = _BATCH) -> Iterator[Batch]:
        """All n-grams of order m, in batches.

        Yields
        ------
        tokens : (k, m) int64
            Oldest token first; sorted by the last token, then the one before it, and so on.
        log_probs : (k,) float64
            Nats; minus infinity for a stop token that is never predicted.
        log_backoffs : (k,) float64, or None at the highest order
        """
        trie, size = self._trie, self._trie.sizes[m - 1]
        for start in range(0, size, batch):
            stop = min(start + batch, size)
            part = trie.levels[m - 1][start:stop]
            backoffs = None if m == self.order else part["log_backoff"].astype(np.float64)
            yield trie.all_tokens(m, start, stop), part["log_prob"].astype(np.float64), backoffs

    @classmethod
    def from_tables(
        cls,
        vocab_size: int,
        tables: Sequence[Iterable[Batch]],
        *,
        stop_token: int | None = None,
        unknown_log_prob: float = -np.inf,
    ) -> BackoffModel:
        """A model from the n-grams of each order, as `tables` yields them, in any order.

        Parameters
        ----------
        vocab_size : int
        tables : sequence
            Of m = 1 .. order: batches (tokens (k, m), log_probs (k,), log_backoffs (k,) or None).
            An n-gram without whose suffix of m - 1 tokens none could be found gets that suffix,
            with the probability that backing off gives it.
        stop_token : int, optional
            Token that contexts reach back to; vocab_size if it is never predicted.
        unknown_log_prob : float
            Of ids that have no unigram.

        Raises
        ------
        InputError
            An id is not below vocab_size, an n-gram occurs twice, or a number is not one.
        """
        symbols = vocab_size + (stop_token == vocab_size)
        trie = build_trie(vocab_size, symbols, tables, unknown_log_prob)
        return BackoffModel(trie.with_guides(resolve_threads(None)), stop_token=stop_token)

    # Scores

    def log_probs(
        self,
        tokens: CorpusLike,
        *,
        contexts: Literal["longest", "all"] = "longest",
        threads: int | None = None,
    ) -> Floats:
        """Log probability of every token given those before it, nats.

        Parameters
        ----------
        tokens
            Whatever holds tokens, as for `ngramstat.measure`: a corpus, a path, an array of ids
            (with boundary ``document``: one document), a list of documents.
        contexts : str
            ``longest``: given as many tokens as the model's order allows; ``all``: a column for
            every maximal number n = 0 .. order - 1 of tokens.
        threads : int, optional

        Returns
        -------
        (n,) or (n, order) float64
            One per token of the corpus, separators included. A separator is predicted as the end of
            its document; one in front of the first document only opens it, and has 0.

        Raises
        ------
        InputError
            An id is not below the model's vocabulary size, or the corpus has another separator.
        """
        check_choice("contexts", contexts, ["longest", "all"])
        corpus = as_corpus(tokens, "tokens")
        if corpus.vocab_size > self.vocab_size:
            raise InputError(
                f"{corpus.name}: its vocabulary has {corpus.vocab_size} items, the model's has "
                f"{self.vocab_size}; tokenize it as the model's corpus was"
            )
        all_contexts = contexts == "all"
        stream, places = self._stream(corpus)
        try:
            scores = self._scorer.log_probs(
                stream, all_contexts=all_contexts, threads=resolve_threads(threads)
            )
        except IndexError as error:
            raise InputError(f"{corpus.name}: {error}") from error
        return scores if places is None else _at_places(scores, places)

    def next_log_probs(
        self, contexts: Sequence[ArrayLike] | NDArray[Any], *, threads: int | None = None
    ) -> Floats:
        """Log probabilities of all V tokens after each context, (k, V), nats.

        Parameters
        ----------
        contexts : sequence of k sequences of ids, or (k, n) integers
            The tokens before, the last one at the end; only those back to the last stop token, at
            most order - 1 of them, matter. Start with `stop_token` where a document begins; an
            empty context is followed by the unigram distribution.
        """
        parts = [np.asarray(context, np.int64).reshape(-1) for context in contexts]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        joined = np.concatenate([np.zeros(0, np.int64), *parts])
        if (joined < 0).any():
            raise InputError(f"contexts: token {joined[joined < 0][0]} is negative")
        try:
            return self._scorer.next_log_probs(joined, ends, threads=resolve_threads(threads))
        except IndexError as error:
            raise InputError(f"contexts: {error}") from error

    def _stream(self, corpus: Corpus) -> tuple[Tokens, NDArray[np.int64] | None]:
        """The stream to score, and the place in it of each token of the corpus (-1: given).

        None instead of places where stream and corpus are the same.
        """
        tokens, stop = corpus.tokens, self.stop_token
        if stop is None:
            return np.ascontiguousarray(tokens), None
        separator = corpus.separator
        if separator is not None and separator != stop:
            own = "none" if stop == self.vocab_size else str(stop)
            raise InputError(
                f"{corpus.name}: its separator is {separator}, that of the model's corpus {own}"
            )
        first, last = document_contents(corpus)
        dtype = np.uint16 if tokens.dtype == np.uint16 and stop <= 0xFFFF else np.uint32
        stream: Any = np.empty(stream_size(first, last, stop), dtype)
        ends = write_stream(stream, tokens, first, last, stop)
        return stream, stream_places(tokens, first, last, ends, separator)


def _at_places(scores: Floats, places: NDArray[np.int64]) -> Floats:
    result = scores[np.maximum(places, 0)]
    result[places < 0] = 0.0
    return result


def _is_stop(stop: Any, trie: NgramTrie) -> bool:
    """Whether a file's stop token fits its vocabulary."""
    if trie.symbols > trie.vocab_size:
        return type(stop) is int and stop == trie.vocab_size
    return stop is None or (type(stop) is int and 0 <= stop < trie.vocab_size)
