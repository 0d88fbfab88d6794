"""What all language models of this package offer beside the probabilities of tokens."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.corpus.sources import DocumentUnit
from ngramstat.errors import InputError, InputTypeError
from ngramstat.index.ngram_arguments import NgramReader, NgramsLike, Queries
from ngramstat.ngram_models.text import ModelText
from ngramstat.ngram_models.text_files import corpus_of_text_files
from ngramstat.results.perplexity import PerplexityResult, TextScore
from ngramstat.runtime.arguments import as_number, integer_within, optional_integer_within

__all__ = ["LanguageModel"]

Floats = NDArray[np.float64]

# Tokens scored at a time.
_PIECE = 1 << 20
# Samples whose next tokens are drawn at a time.
_SAMPLES = 256


class LanguageModel(ABC):
    """A model that predicts every token from those before it.

    Attributes
    ----------
    order : int
        N; contexts have up to N - 1 tokens.
    vocab_size : int
        V.
    stop_token : int or None
        With boundary ``document``, the token that contexts reach back to, and no further.
    text : ModelText or None
        Between text and ids; None where the model was made of ids alone.
    """

    stop_token: int | None
    text: ModelText | None

    @property
    @abstractmethod
    def order(self) -> int:
        """N."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """V."""

    @property
    def boundary(self) -> Boundary:
        """Whether contexts run across documents."""
        return Boundary.STREAM if self.stop_token is None else Boundary.DOCUMENT

    @abstractmethod
    def log_probs(self, tokens: CorpusLike, *, threads: int | None = None) -> Floats:
        """Log probability of every token given those before it, nats."""

    @abstractmethod
    def next_log_probs(self, contexts: NgramsLike, *, threads: int | None = None) -> Floats:
        """Log probabilities of all V tokens after one context, (V,), or k of them, (k, V); nats."""

    @abstractmethod
    def unseen_types(self) -> NDArray[np.bool_]:
        """Which ids were never seen in training, (V,)."""

    def perplexity(
        self, tokens: CorpusLike, *, by_document: bool = True, threads: int | None = None
    ) -> PerplexityResult:
        """Losses on a corpus, in sum and by document.

        Parameters
        ----------
        tokens
            Whatever holds tokens or text, as for `ngramstat.measure`. Texts (strings in a list)
            are tokenized as the model's corpus was.
        by_document : bool
            False: one row for the whole corpus.
        threads : int, optional
            By default the cores this process may use. Does not change the result.

        Raises
        ------
        InputError
            An id is not below the model's vocabulary size, or the corpus has another separator.
        """
        corpus = self._as_corpus(tokens)
        ends = _document_ends(corpus)
        n = len(ends)
        losses, counts, unseen = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
        openings = self._openings(corpus)
        never = self.unseen_types()
        for begin, end, log_probs in self._scored_pieces(corpus, threads):
            document = np.searchsorted(ends, np.arange(begin, end), side="right")
            document[openings[(openings >= begin) & (openings < end)] - begin] -= 1
            first = int(document[0] < 0)  # one in front of all documents, which is given
            document, part = document[first:], slice(first, None)
            losses += np.bincount(document, weights=-log_probs[part], minlength=n)
            counts += np.bincount(document, minlength=n)
            is_unseen = never[np.asarray(corpus.tokens[begin:end])[part]]
            unseen += np.bincount(document[is_unseen], minlength=n)
        if not by_document:
            losses, counts, unseen = (np.array([x.sum()]) for x in (losses, counts, unseen))
        return PerplexityResult(
            model=repr(self), corpus=corpus.info(), losses=losses, tokens=counts, unseen=unseen
        )

    def token_losses(self, tokens: CorpusLike, *, threads: int | None = None) -> Floats:
        """-ln p of every token of a corpus of any size, nats; (n,).

        As `log_probs`, in parts of bounded memory.
        """
        corpus = self._as_corpus(tokens)
        losses = np.empty(corpus.n_tokens)
        for begin, end, log_probs in self._scored_pieces(corpus, threads):
            losses[begin:end] = -log_probs
        return losses

    def read_text(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        document: DocumentUnit = "auto",
        threads: int | None = None,
        progress: bool | None = None,
    ) -> Corpus:
        """Files of text as a corpus to score.

        Parameters
        ----------
        paths
            As for `ngramstat.tokenize`.
        document : str
            What one document is: "file", "line", "paragraph", "record" or "auto".

        Raises
        ------
        InputError
            The model knows no text, or an input cannot be read.
        """
        return corpus_of_text_files(
            [paths] if isinstance(paths, str | PathLike) else paths,
            self._known_text(),
            vocab_size=self.vocab_size,
            separator=self._separator(),
            document=document,
            threads=threads,
            progress=progress,
        )

    def score(self, text: str) -> TextScore:
        """Loss of every token of a text.

        With boundary ``document`` the text is one document, and its end is predicted too.

        Raises
        ------
        InputError
            The model knows no text, or the text holds a word that the model does not know.
        """
        known = self._known_text()
        if not isinstance(text, str):
            raise InputTypeError(f"text: needs a string, not {type(text).__name__}")
        ids = known.encode(text)
        ends = self.stop_token is not None and self.stop_token < self.vocab_size
        if ends:
            ids = np.append(ids, np.uint32(self.stop_token or 0))
        if not len(ids):
            raise InputError("text: is empty")
        log_probs = self.log_probs(self._corpus_of_ids(ids))
        return TextScore(
            tokens=ids.astype(np.int64),
            spellings=tuple(known.decode([i]) for i in ids.tolist()),
            losses=-log_probs,
        )

    def sample(
        self,
        n_tokens: int = 100,
        *,
        prompt: ArrayLike | str | None = None,
        num_samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> list[NDArray[np.uint32]]:
        """Continuations drawn token by token from the smoothed distribution.

        `NgramIndex.sample` takes the same arguments and draws from the counts, without smoothing.

        Parameters
        ----------
        n_tokens : int
            Tokens of a sample. It ends earlier with the token that ends documents, where the model
            predicts one.
        prompt : ids or str, optional
            What stands before the samples; it is not part of them. By default a document begins.
        num_samples : int
        temperature : float
            Probabilities are raised to 1 / temperature and normalised: below 1 likely tokens become
            more likely. 0: the most likely token.
        top_k : int, optional
            Draw among so many most likely tokens.
        seed : int
            Sample i is the same for any number of samples and threads.
        threads : int, optional

        Returns
        -------
        list of arrays of uint32

        Raises
        ------
        InputError
            An option cannot be used as given.
        """
        n_tokens = integer_within("n_tokens", n_tokens, 0, 1 << 40)
        num_samples = integer_within("num_samples", num_samples, 0, 1 << 32)
        top_k = optional_integer_within("top_k", top_k, 1, 1 << 32)
        seed = integer_within("seed", seed, 0, 1 << 63)
        temperature = as_number("temperature", temperature)
        if temperature < 0:
            raise InputError(f"temperature={temperature}: must not be negative")
        given = [] if prompt is None else self.ids_of(prompt, "prompt").tolist()
        start = [] if self.stop_token is None else [self.stop_token]
        context, history = [*start, *given], self.order - 1
        generators = [np.random.default_rng([seed, 6, i]) for i in range(num_samples)]
        drawn: list[list[int]] = [[] for _ in range(num_samples)]
        alive = list(range(num_samples))
        for _ in range(n_tokens):
            # In parts: the distributions of all samples at once may be large.
            for first in range(0, len(alive), _SAMPLES):
                part = alive[first : first + _SAMPLES]
                tails = [(context + drawn[k])[-history:] if history else [] for k in part]
                rows = self.next_log_probs(tails, threads=threads)
                for k, row in zip(part, rows, strict=True):
                    drawn[k].append(_choose(row, temperature, top_k, generators[k]))
            alive = [k for k in alive if drawn[k][-1] != self.stop_token]
            if not alive:
                break
        return [np.array(tokens, np.uint32) for tokens in drawn]

    def ids_of(self, tokens: ArrayLike | str, name: str = "tokens") -> NDArray[np.int64]:
        """Ids of a text, or of ids, checked; (k,).

        Raises
        ------
        InputError
            The model knows no text, or an id is not below the vocabulary size.
        """
        if isinstance(tokens, str):
            return self._known_text().encode(tokens).astype(np.int64)
        ids = np.asarray(tokens)
        if ids.size == 0:
            return np.zeros(0, np.int64)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise InputTypeError(f"{name}: needs token ids in one dimension, or a text")
        if not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise InputError(f"{name}: ids must lie between 0 and {self.vocab_size - 1}")
        return ids.astype(np.int64)

    def _read_contexts(self, contexts: NgramsLike) -> Queries:
        """Contexts as an index takes them; they may hold the stop token, also where it is V."""
        symbols = self.vocab_size + (self.stop_token == self.vocab_size)
        return NgramReader(symbols, None, self._context_of_text).contexts("contexts", contexts)

    def _context_of_text(self, text: str) -> NDArray[np.uint32]:
        if self.text is None:
            raise InputTypeError(
                "contexts: hold text, but the model has no tokenizer; give token ids"
            )
        return self.text.encode(text)

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids; InputError where the model knows no text."""
        return self._known_text().decode(ids)

    def _known_text(self) -> ModelText:
        if self.text is None:
            raise InputError(
                "the model was made of token ids and has no tokenizer; give ids instead of text"
            )
        return self.text

    def _read_corpus(self, tokens: CorpusLike) -> Corpus:
        """A corpus; lists of texts are tokenized by the model's own tokenizer."""
        if isinstance(tokens, list | tuple) and tokens and isinstance(tokens[0], str):
            known = self._known_text()
            for number, text in enumerate(tokens):
                if not isinstance(text, str):
                    raise InputTypeError(f"tokens: item {number} is no string")
            return Corpus.from_documents(
                [known.encode(text) for text in tokens],
                vocab_size=self.vocab_size,
                separator=self._separator(),
            )
        return as_corpus(tokens, "tokens")

    def _as_corpus(self, tokens: CorpusLike) -> Corpus:
        """The same, with the documents of a stream of ids."""
        corpus = self._read_corpus(tokens)
        if corpus.document_ends is None and corpus.vocab_size <= self.vocab_size:
            # A stream of ids: its documents are where the model's separator stands.
            return self._corpus_of_ids(corpus.tokens)
        return corpus

    def _separator(self) -> int | None:
        stop = self.stop_token
        return stop if stop is not None and stop < self.vocab_size else None

    def _corpus_of_ids(self, ids: NDArray[Any]) -> Corpus:
        return Corpus.from_arrays(ids, vocab_size=self.vocab_size, separator=self._separator())

    def _scored_pieces(
        self, corpus: Corpus, threads: int | None
    ) -> Iterator[tuple[int, int, Floats]]:
        """(begin, end, log_probs) of consecutive parts of a corpus."""
        n, ends = corpus.n_tokens, _document_ends(corpus)
        openings = self._openings(corpus)
        begin = previous = 0
        while begin < n:
            end, context = min(begin + _PIECE, n), 0
            if self.stop_token is None:
                context = min(begin, self.order - 1)
            elif end < n:  # whole documents, one at least
                whole = int(np.searchsorted(ends, end, side="right")) - 1
                end = int(ends[max(whole, int(np.searchsorted(ends, begin, side="right")))])
            if self.stop_token is not None and begin in openings:
                context = begin - previous  # the document whose end is predicted here
            part = corpus.tokens[begin - context : end]
            inside = ends[(ends > begin - context) & (ends <= end)]
            previous = int(inside[-2]) if len(inside) > 1 else begin
            piece = dataclasses.replace(
                corpus,
                tokens=part,
                document_ends=None if self.stop_token is None else inside - (begin - context),
            )
            yield begin, end, self.log_probs(piece, threads=threads)[context:]
            begin = end

    def _openings(self, corpus: Corpus) -> NDArray[np.int64]:
        """Positions of separators that stand before their document.

        Such a separator is predicted as the end of the document before it.
        """
        if self.stop_token is None:
            return np.zeros(0, np.int64)
        ends = _document_ends(corpus)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        return starts[document_contents(corpus)[0] > starts]


def _document_ends(corpus: Corpus) -> NDArray[np.int64]:
    ends = corpus.document_ends
    return np.array([corpus.n_tokens], np.int64) if ends is None else np.asarray(ends)


def _choose(
    log_probs: Floats, temperature: float, top_k: int | None, rng: np.random.Generator
) -> int:
    if temperature == 0:
        return int(np.argmax(log_probs))
    scaled = log_probs / temperature
    weights = np.exp(scaled - scaled.max())
    if top_k is not None and top_k < len(weights):
        # Of equal ones the first.
        weights[np.argsort(-log_probs, kind="stable")[top_k:]] = 0.0
    running = np.cumsum(weights)
    return int(np.searchsorted(running, rng.random() * running[-1], side="right"))
