"""Probabilities of every token of a text, and samples, by the counts of an index."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.store import Corpus
from ngramstat.errors import InputError
from ngramstat.index.ngram_arguments import NgramsLike
from ngramstat.index.queries import (
    NextCounts,
    Searcher,
    damage_as_input_error,
    next_counts,
    ratios,
    suffixes_that_occur,
)
from ngramstat.kernels.index_queries import TokenSlices
from ngramstat.runtime.arguments import as_number, integer_within, optional_integer_within
from ngramstat.runtime.resources import resolve_threads

__all__ = ["SamplingOptions", "Scores", "sample", "score"]

_MANY = 1 << 40
# What weights other than counts are rounded to, for the most frequent token.
_LARGEST_WEIGHT = 1 << 32


@dataclass(frozen=True, eq=False)
class Scores:
    """Probabilities of the tokens of texts after what stands before them in the same text.

    Attributes
    ----------
    tokens : (m,) uint32
        Tokens of all texts, one after the other.
    ends : (k,) int64
        Where each text ends in them.
    log_probs : (m,) float64
        Natural logarithms of the probabilities, in nats: minus infinity where the token never
        follows the suffix that was used.
    suffix_lengths : (m,) int64
        Tokens of the longest suffix of the context that occurs in the corpus; the effective n of
        the infinity-gram is one more.
    context_counts, counts : (m,) int64
        Occurrences of that suffix, and of it with the token.
    """

    tokens: NDArray[np.uint32]
    ends: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    suffix_lengths: NDArray[np.int64]
    context_counts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return self.tokens.size

    @property
    def zeros(self) -> int:
        """Tokens of probability zero."""
        return int(np.count_nonzero(self.counts == 0))

    @property
    def perplexity(self) -> float:
        """exp(-mean log-probability); infinite if any token has probability zero."""
        if not len(self):
            return math.nan
        return math.inf if self.zeros else float(np.exp(-self.log_probs.mean()))

    @property
    def perplexity_of_nonzero(self) -> float:
        """The same over the tokens of nonzero probability alone, which flatters the model."""
        nonzero = self.log_probs[self.counts > 0]
        return float(np.exp(-nonzero.mean())) if nonzero.size else math.nan


def score(
    searcher: Searcher,
    texts: NgramsLike | Corpus,
    *,
    max_context: int | None = None,
    threads: int | None = None,
) -> Scores:
    """Probabilities of all tokens of texts; see `NgramIndex.score`."""
    slices = _texts(searcher, texts)
    limit = searcher.context_limit(max_context, int(slices.lengths.max(initial=1)) - 1)
    with damage_as_input_error(searcher.name):
        found = searcher.sorted.longest_suffixes(
            slices, every_token=True, max_context=limit, threads=resolve_threads(threads)
        )
    with np.errstate(divide="ignore"):
        log_probs = np.log(ratios(found.ngrams, found.contexts))
    return Scores(
        slices.tokens, slices.ends, log_probs, found.lengths, found.contexts, found.ngrams
    )


def _texts(searcher: Searcher, texts: NgramsLike | Corpus) -> TokenSlices:
    """Texts one after the other, without overlap."""
    if not isinstance(texts, Corpus):
        return searcher.reader.texts("texts", texts).slices
    if texts.vocab_size > searcher.settings.vocab_size and not texts.vocab_size_inferred:
        raise InputError(
            f"{texts.name}: has a vocabulary of {texts.vocab_size}, but the index has "
            f"{searcher.settings.vocab_size}; tokenize it with the tokenizer of the index"
        )
    ends = texts.document_ends
    if ends is None:
        ends = np.array([texts.n_tokens], np.int64)
    tokens = searcher.reader.texts(texts.name, np.asarray(texts.tokens)).slices.tokens
    return TokenSlices(tokens, np.concatenate([np.zeros(1, np.int64), ends[:-1]]), ends)


@dataclass(frozen=True)
class SamplingOptions:
    """How samples are drawn; see `NgramIndex.sample`."""

    num_samples: int = 1
    order: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def checked(self) -> SamplingOptions:
        """The same, with numbers of Python.

        Raises
        ------
        InputError
            A number is out of range.
        """
        temperature = as_number("temperature", self.temperature)
        if temperature < 0:
            raise InputError(f"--temperature {temperature}: must be at least 0")
        return SamplingOptions(
            integer_within("num_samples", self.num_samples, 0, _MANY),
            optional_integer_within("order", self.order, 1, _MANY),
            temperature,
            optional_integer_within("top_k", self.top_k, 1, _MANY),
            integer_within("seed", self.seed, 0, (1 << 64) - 1),
        )


def sample(
    searcher: Searcher,
    n_tokens: int,
    prompt: NgramsLike | None,
    options: SamplingOptions,
    threads: int | None = None,
) -> list[NDArray[np.uint32]]:
    """Continuations drawn by the counts of the corpus; see `NgramIndex.sample`."""
    n_tokens = integer_within("n_tokens", n_tokens, 0, _MANY)
    options = options.checked()
    order = options.order
    read = searcher.reader.texts("prompt", [] if prompt is None else prompt)
    if not read.single:
        raise InputError("prompt: several were given; sample from one at a time")
    most, length = searcher.reader.max_length, read.slices.tokens.size + n_tokens
    if most is not None and (length if order is None else order) > most:
        raise InputError(
            f"{searcher.name}: finds n-grams of at most {most} tokens; give --order {most} or "
            "less, or build an index without --depth"
        )
    return _Drawing(searcher, options, resolve_threads(threads)).run(read.slices.tokens, n_tokens)


@dataclass(frozen=True)
class _Drawing:
    """Draws the next token of all samples at a time."""

    searcher: Searcher
    options: SamplingOptions
    threads: int

    def run(self, prompt: NDArray[np.uint32], n_tokens: int) -> list[NDArray[np.uint32]]:
        size, num_samples = prompt.size, self.options.num_samples
        rows = np.empty((num_samples, size + n_tokens), np.uint32)
        rows[:, :size] = prompt
        # Each sample has random numbers of its own, whatever the number of samples.
        generators = [np.random.default_rng([self.options.seed, i]) for i in range(num_samples)]
        going = np.arange(num_samples)
        ends = np.full(num_samples, size + n_tokens)
        stop = self.searcher.settings.stop_token
        for at in range(size, size + n_tokens):
            if not going.size:
                break
            uniform = np.array([generators[i].random() for i in going])
            tokens = self._next(rows, going, at, uniform)
            rows[going, at] = tokens
            if stop is not None:  # nothing follows the end of a document
                ended = tokens == stop
                ends[going[ended]] = at + 1
                going = going[~ended]
        return [row[size:end].copy() for row, end in zip(rows, ends, strict=True)]

    def _next(
        self,
        rows: NDArray[np.uint32],
        going: NDArray[np.int64],
        at: int,
        uniform: NDArray[np.float64],
    ) -> NDArray[np.uint32]:
        order, width = self.options.order, rows.shape[1]
        first = 0 if order is None else max(0, at - order + 1)
        slices = TokenSlices(rows.reshape(-1), going * width + first, going * width + at)
        if at > first:
            slices, _ = suffixes_that_occur(self.searcher, slices, None, self.threads)
        counts = next_counts(self.searcher, slices, self.threads)
        # A suffix that occurs at the end of the corpus alone is followed by nothing.
        while (without := np.flatnonzero(np.diff(counts.starts) == 0)).size:
            begins = slices.begins.copy()
            begins[without] += 1
            if (begins > slices.ends).any():
                raise InputError(f"{self.searcher.name}: the corpus holds no tokens to draw")
            slices = TokenSlices(slices.tokens, begins, slices.ends)
            counts = next_counts(self.searcher, slices, self.threads)
        if self.options.top_k is not None:
            counts = counts.top(self.options.top_k)
        return _drawn(counts, self.options.temperature, uniform)


def _drawn(
    counts: NextCounts, temperature: float, uniform: NDArray[np.float64]
) -> NDArray[np.uint32]:
    """A token per row, with probabilities proportional to counts^(1 / temperature)."""
    if temperature == 0:
        return counts.top(1).tokens
    weights = counts.counts
    if temperature != 1:
        largest = np.maximum.reduceat(counts.counts, counts.starts[:-1])[counts.rows]
        scaled = (counts.counts / largest) ** (1 / temperature)
        weights = np.round(scaled * _LARGEST_WEIGHT).astype(np.int64)
    # Sums of integers are exact, so that a row's draw does not depend on the rows before it.
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(weights)])
    low, high = sums[counts.starts[:-1]], sums[counts.starts[1:]]
    drawn = np.minimum((uniform * (high - low)).astype(np.int64), high - low - 1)
    chosen = np.searchsorted(sums, low + drawn, side="right") - 1
    tokens: NDArray[np.uint32] = counts.tokens[chosen]
    return tokens
