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
from numpy.typing import NDArray

from ngramstat.corpus.conversion import CorpusLike
from ngramstat.errors import InputError, check_choice
from ngramstat.index.ngram_arguments import NgramsLike
from ngramstat.kernels.ngram_models import BackoffScorer
from ngramstat.ngram_models.arpa import read_arpa, write_arpa
from ngramstat.ngram_models.arpa.vocabulary import Request
from ngramstat.ngram_models.model import LanguageModel
from ngramstat.ngram_models.model_files import open_model_file, save_model_file, verify_model_file
from ngramstat.ngram_models.streams import stream_to_score
from ngramstat.ngram_models.text import ModelText, restored_text
from ngramstat.ngram_models.trie import Batch, NgramTrie
from ngramstat.ngram_models.trie_building import build_trie
from ngramstat.runtime.arguments import as_path, optional_integer_within
from ngramstat.runtime.files import reason
from ngramstat.runtime.progress import shows_progress
from ngramstat.runtime.resources import resolve_threads

__all__ = ["BackoffModel"]

Floats = NDArray[np.float64]
_BATCH = 1 << 16


class BackoffModel(LanguageModel):
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
    text : ModelText or None
        Between text and ids: the tokenizer of the corpus, or the words of an ARPA file.
    """

    def __init__(
        self,
        trie: NgramTrie,
        *,
        stop_token: int | None,
        text: ModelText | None = None,
        unknown_log_prob: float | None = None,
    ) -> None:
        self._trie = trie
        self.stop_token = stop_token
        self.text = text
        self._unknown_log_prob = unknown_log_prob
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
        settings = {
            "stop_token": self.stop_token,
            "unknown_log_prob": self._unknown_log_prob,
            **self._settings(),
        }
        attachments = {} if self.text is None else self.text.attachment()
        save_model_file(as_path("path", path), self._trie, settings, attachments)

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
        path = as_path("path", path)
        file = open_model_file(path)
        if verify:
            verify_model_file(path)
        settings = dict(file.settings)
        stop, trie = settings.pop("stop_token", -1), file.trie
        if not _is_stop(stop, trie):
            raise InputError(f"{path}: damaged: its stop token is {stop!r:.40}")
        unknown = settings.pop("unknown_log_prob", None)
        if not (unknown is None or isinstance(unknown, float)):
            raise InputError(f"{path}: damaged: its unknown_log_prob is {unknown!r:.40}")
        try:
            text = restored_text(file.attachments, trie.vocab_size, stop)
        except ValueError as error:
            raise InputError(f"{path}: damaged: {reason(error)}") from error
        model = cls._restored(path, trie, stop, settings)
        model.text, model._unknown_log_prob = text, unknown
        return model

    def _settings(self) -> dict[str, Any]:
        """What the file holds beside the trie and the stop token."""
        return {"kind": "back-off"}

    @classmethod
    def _restored(
        cls, path: str | PathLike[str], trie: NgramTrie, stop_token: int | None, settings: Any
    ) -> Self:
        return cls(trie, stop_token=stop_token)

    def write_arpa(
        self,
        path: str | PathLike[str],
        *,
        words: Literal["ids", "tokens"] | None = None,
        progress: bool | None = None,
    ) -> None:
        """Write the model as an ARPA file, which KenLM, SRILM and others read; atomically.

        The stop token becomes ``<s>`` and ``</s>``. Every id of the vocabulary is a word, and
        ``<unk>`` has the probability of an id that was never seen. A line before the model, which
        other programs skip, says what the ids are, so that `read_arpa` gives the same model.

        Parameters
        ----------
        path
            Compressed if its name ends with ``.gz``.
        words : str, optional
            How tokens are written: ``ids``, their numbers; ``tokens``, as the tokenizer spells
            them, with ``\\xNN`` or ``\\uNNNN`` for blanks, control characters and backslashes.
            By default ids, but tokens where the model has come from a file with words.
        progress : bool, optional
            Show progress; by default in notebooks.

        Raises
        ------
        InputError
            The model has no tokenizer, or the file cannot be written.
        """
        write_arpa(self, as_path("path", path), words=words, progress=shows_progress(progress))

    @classmethod
    def read_arpa(
        cls,
        path: str | PathLike[str],
        *,
        words: Literal["auto", "ids", "tokens"] = "auto",
        vocab_size: int | None = None,
        separator: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> BackoffModel:
        """Read an ARPA file, of this or another program; also compressed (.gz, .xz, .bz2, .zst).

        N-grams may be pruned and back-offs missing. Probabilities are kept as they are, -99 too.

        Parameters
        ----------
        path
        words : str
            ``ids``: the words are ids, others get the probability of ``<unk>``. ``tokens``: the
            words get ids in the order of the file, and text is split at blanks. By default ids
            where all words are whole numbers.
        vocab_size : int, optional
            V where words are ids; by default what the file says, or the largest one plus 1.
        separator : int, optional
            The id of ``<s>`` and ``</s>`` where words are ids; by default what the file says, or
            one more than the largest.
        memory_limit : str or int, optional
            Such as "80%" (the default) or "16G".
        progress : bool, optional
            Show progress; by default in notebooks.

        Raises
        ------
        InputError
            The file is damaged or truncated, states other numbers of n-grams than it has, or
            repeats one; the message names the line.
        """
        request = Request(
            words,
            optional_integer_within("vocab_size", vocab_size, 1, 1 << 32),
            optional_integer_within("separator", separator, 0, (1 << 32) - 1),
        )
        check_choice("words", words, ("auto", "ids", "tokens"))
        return read_arpa(
            BackoffModel,
            as_path("path", path),
            request,
            memory_limit=memory_limit,
            progress=shows_progress(progress),
        )

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
        unknown_log_prob: float | None = None,
        text: ModelText | None = None,
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
        unknown_log_prob : float, optional
            Of ids that have no unigram; by default they have no probability.
        text : ModelText, optional
            Between text and ids.

        Raises
        ------
        InputError
            An id is not below vocab_size, an n-gram occurs twice, or a number is not one.
        """
        symbols = vocab_size + (stop_token == vocab_size)
        unknown = -np.inf if unknown_log_prob is None else unknown_log_prob
        trie = build_trie(vocab_size, symbols, tables, unknown).with_guides(resolve_threads(None))
        return BackoffModel(
            trie, stop_token=stop_token, text=text, unknown_log_prob=unknown_log_prob
        )

    @property
    def unknown_log_prob(self) -> float | None:
        """Log probability of an id that was never seen, nats; None where there is none."""
        return self._unknown_log_prob

    def unseen_types(self) -> NDArray[np.bool_]:
        log_probs = self._trie.levels[0]["log_prob"][: self.vocab_size]
        unseen: NDArray[np.bool_] = np.isneginf(log_probs)
        if self._unknown_log_prob is not None:
            unseen |= log_probs == np.float32(self._unknown_log_prob)
        return unseen

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
        corpus = self._read_corpus(tokens)
        all_contexts = contexts == "all"
        stream, places = stream_to_score(corpus, self.stop_token, self.vocab_size)
        with corpus.naming_large_ids():
            scores = self._scorer.log_probs(
                stream, all_contexts=all_contexts, threads=resolve_threads(threads)
            )
        return scores if places is None else _at_places(scores, places)

    def next_log_probs(self, contexts: NgramsLike, *, threads: int | None = None) -> Floats:
        """Log probabilities of all V tokens after contexts, nats.

        Parameters
        ----------
        contexts
            One context, as ids or text, or many, as rows of an array or a list; as n-grams are
            given to `NgramIndex`. The tokens before, the last one at the end; only those back to
            the last stop token, at most order - 1 of them, matter. Start with `stop_token` where
            a document begins; an empty context is followed by the unigram distribution.
        threads : int, optional

        Returns
        -------
        (V,) float64 after one context, (k, V) after k of them

        Raises
        ------
        InputError
            An id is not below the vocabulary size, or the model knows no text.
        """
        queries = self._read_contexts(contexts)
        tokens, ends = queries.slices.tokens.astype(np.int64), queries.slices.ends
        rows = self._scorer.next_log_probs(tokens, ends, threads=resolve_threads(threads))
        return rows[0] if queries.single else rows


def _at_places(scores: Floats, places: NDArray[np.int64]) -> Floats:
    result = scores[np.maximum(places, 0)]
    result[places < 0] = 0.0
    return result


def _is_stop(stop: Any, trie: NgramTrie) -> bool:
    """Whether a file's stop token fits its vocabulary."""
    if trie.symbols > trie.vocab_size:
        return type(stop) is int and stop == trie.vocab_size
    return stop is None or (type(stop) is int and 0 <= stop < trie.vocab_size)
