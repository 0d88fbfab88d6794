"""The base class of the worlds: random sources of tokens whose curves are known exactly.

Curves come in the two forms that the package measures: over pairs inside documents (``document``),
and over the whole stream of concatenated documents at a random phase (``stream``). Values that are
not known exactly are NaN, never estimates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError

__all__ = [
    "MAX_DENSE",
    "MAX_NGRAMS",
    "Floats",
    "KnownExponent",
    "StationaryWorld",
    "Tokens",
    "World",
    "block_entropy",
    "check_length",
    "check_whole",
    "conditional_entropies",
    "longest_ngram",
    "mean_powers",
    "pair_fractions",
    "powers",
    "zipf_law",
]

Floats = NDArray[np.float64]
Tokens = NDArray[Any]

# Exact covariances are dense (V, V) matrices.
MAX_DENSE = 2048
# Largest table of n-gram probabilities that is computed.
MAX_NGRAMS = 1 << 24


@dataclass(frozen=True)
class KnownExponent:
    """An exponent of a world, or why it has none.

    Attributes
    ----------
    value : float or None
    meaning : str
        What it is the exponent of, or why there is none.
    low, high : float or None
        Bounds, where only bounds are known.
    """

    value: float | None
    meaning: str
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON object."""
        return {"value": self.value, "low": self.low, "high": self.high, "meaning": self.meaning}


class World(ABC):
    """A random source of documents, mostly of equal length, with exact statistics.

    Attributes
    ----------
    kind : str
        Name on the command line.
    vocab_size : int
        V.
    document_length : int
        Tokens per document, of the longest one where they differ; documents are independent.
    """

    kind: ClassVar[str]
    vocab_size: int
    document_length: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 or uint32, the smaller type that holds the vocabulary."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)

    @property
    def one_stream(self) -> bool:
        """Whether the corpus is one stream without document ends."""
        return False

    @property
    def equal_documents(self) -> bool:
        """Whether all documents have `document_length` tokens; otherwise see `document_lengths`."""
        return True

    @property
    def separator(self) -> int | None:
        """The token that ends every document of a corpus, beside those drawn; None: there is none.

        Only documents of unequal length have one.
        """
        return None

    @property
    def tokenizer_path(self) -> Path | None:
        """The tokenizer that the tokens are from; None where they are bare numbers."""
        return None

    @property
    def longest_lag(self) -> int:
        """Largest lag with pairs inside a document; in a single stream every lag has pairs."""
        return self.document_length - 1

    def ruler(self, longest: int) -> list[int]:
        """Lags that show the shape of the world's curve best: powers of 2, or of s for trees."""
        return powers(2, longest)

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """All parameters that determine the world, as JSON values."""

    @abstractmethod
    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        """The first `n_tokens` tokens, in pieces; a longer sample begins with a shorter one's."""

    def document_lengths(self, n_tokens: int, *, seed: int) -> NDArray[np.int64]:
        """Tokens of each document, separators not counted, of a sample of at least `n_tokens`."""
        return np.full(self.n_documents(n_tokens), self.document_length, np.int64)

    @abstractmethod
    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        """Exact ||C(t)||_op, (n_lags,); NaN where it is not known."""

    @abstractmethod
    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        """Norm of the sequential covariance inside documents (docs/theory.md 4); (n_lags,)."""

    @abstractmethod
    def covariance(self, lag: int, boundary: str) -> Floats:
        """C(t), (V, V); only for vocabularies of up to `MAX_DENSE`."""

    @abstractmethod
    def entropies(self, max_context: int, boundary: str) -> Floats:
        """Exact H_n, n = 0 .. max_context, in nats per token; NaN where it is not known.

        With boundary ``document``, the mean is over the targets that have at least max_context
        tokens before them in their document, at an unknown position. Counting has the same
        population.
        """

    @abstractmethod
    def exponents(self) -> dict[str, KnownExponent]:
        """beta, gamma, alpha and further exponents that follow from the parameters."""

    def extras(self) -> dict[str, Any]:
        """Further exact values for ``truth.json``, as JSON values."""
        return {}

    def warnings(self) -> list[str]:
        """What to know before comparing a measurement with this world."""
        return []

    def labels(self, n_documents: int, *, seed: int, first: int = 0) -> NDArray[np.uint32] | None:
        """Classes of `n_documents` documents from number `first` on; None in worlds without any."""
        return None

    def corpus(self, n_tokens: int, *, seed: int = 0, threads: int = 1) -> Corpus:
        """A corpus in memory of whole documents with at least `n_tokens` tokens in total."""
        if n_tokens < 1:
            raise InputError(f"tokens={n_tokens}: needs at least 1")
        lengths, total = None, n_tokens
        if not self.one_stream:
            lengths = self.document_lengths(n_tokens, seed=seed)
            total = int(lengths.sum())
        tokens = np.concatenate(list(self.pieces(total, seed=seed, threads=threads)))
        ends = None if lengths is None else np.cumsum(lengths)
        if ends is not None and self.separator is not None:
            tokens = np.insert(tokens, ends, self.separator)
            ends = ends + np.arange(1, len(ends) + 1)
        return Corpus.from_arrays(
            tokens, vocab_size=self.vocab_size, document_ends=ends, separator=self.separator
        )

    def n_documents(self, n_tokens: int) -> int:
        """Number of documents that hold at least `n_tokens` tokens in total."""
        if n_tokens < 1:
            raise InputError(f"tokens={n_tokens}: needs at least 1")
        return -(-n_tokens // self.document_length)

    def check_boundary(self, boundary: str) -> None:
        """Refuse anything but ``stream`` and ``document``."""
        Boundary.parse(boundary)


class StationaryWorld(World):
    """Documents that are windows of a stationary process with equal marginals everywhere.

    Then C(t) inside documents is that of the process, pairs across documents are independent, and
    the stream's C(t) is (1 - t / document_length) of it.
    """

    @abstractmethod
    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        """Norms of C(t) at the lags; (n_lags,), NaN where they are not known.

        With `sequential`, norms of C(t) - sum_k w_k (C(k) + C(k)^T) / 2, where w_k is the fraction
        of the pairs of a document that are k apart (`pair_fractions`).
        """

    @abstractmethod
    def process_entropies(self, max_context: int) -> Floats:
        """H_n of the process, n = 0 .. max_context; NaN where it is not known."""

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        self.check_boundary(boundary)
        norms = self._norms_inside(lags, sequential=False)
        if boundary == Boundary.DOCUMENT:
            return norms
        fractions = np.array([self._fraction_inside(int(lag), boundary) for lag in lags])
        # At lags beyond a document all pairs are independent; elsewhere an unknown norm stays NaN.
        return np.where(fractions == 0.0, 0.0, norms * fractions)

    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        # The mean over shuffles of a document is the mean over all its ordered pairs.
        return self._norms_inside(lags, sequential=True)

    def _norms_inside(self, lags: Sequence[int], *, sequential: bool) -> Floats:
        """Norms over pairs inside documents; NaN at lags without such pairs."""
        norms = np.full(len(lags), np.nan)
        short = [i for i, lag in enumerate(lags) if lag < self.document_length]
        if short:
            norms[short] = self.process_norms([int(lags[i]) for i in short], sequential=sequential)
        return norms

    def covariance(self, lag: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        if self.vocab_size > MAX_DENSE:
            raise InputError(f"V = {self.vocab_size}: a covariance is a matrix of V^2 numbers")
        return self.process_covariance(lag) * self._fraction_inside(lag, boundary)

    def _fraction_inside(self, lag: int, boundary: str) -> float:
        """Fraction of the boundary's pairs whose two tokens lie in one document."""
        if boundary == Boundary.DOCUMENT:
            return 1.0
        return max(1.0 - lag / self.document_length, 0.0)

    @abstractmethod
    def process_covariance(self, lag: int) -> Floats:
        """C(t) of the process, (V, V)."""

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        entropies = self.process_entropies(max_context)
        if boundary == Boundary.STREAM:
            # Contexts that cross a document's end have a different distribution.
            entropies[1:] = np.nan
        return entropies


def check_whole(name: str, value: object, minimum: int) -> None:
    """Refuse everything but integers of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f"{name}={value}: must be an integer of at least {minimum}")


def check_length(document_length: int, power: int) -> None:
    """Refuse document lengths outside 2 .. 2^power."""
    if not 2 <= document_length <= 1 << power:
        raise InputError(f"document_length={document_length}: must lie in 2 .. 2^{power}")


def block_entropy(p: Floats) -> float:
    """-sum p ln p over all entries of an array of probabilities."""
    p = p[p > 0]
    return float(-(p @ np.log(p)))


def conditional_entropies(window: Floats) -> Floats:
    """H(last | n before it), n = 0 .. w - 1, from the joint of w tokens, shape (V,) * w."""
    w = window.ndim
    entropies = []
    for n in range(w):
        joint = window.sum(axis=tuple(range(w - 1 - n)))
        entropies.append(
            block_entropy(joint.reshape(-1)) - block_entropy(joint.sum(axis=-1).reshape(-1))
        )
    return np.array(entropies)


def longest_ngram(vocab_size: int, max_ngrams: int) -> int:
    """Largest n with vocab_size^n <= max_ngrams, but at least 1."""
    n = 1
    while vocab_size ** (n + 1) <= max_ngrams:
        n += 1
    return n


def pair_fractions(length: int, first: int, last: int) -> Floats:
    """Fractions of a document's pairs that are `first` .. `last` - 1 apart, `first` >= 1."""
    lags = np.arange(first, last, dtype=np.float64)
    fractions: Floats = 2.0 * (length - lags) / (length * (length - 1.0))
    return fractions


def mean_powers(values: Floats, length: int) -> Floats:
    """sum_k w_k values^k, with `pair_fractions` w_k of `length` tokens, in O(log length).

    Parameters
    ----------
    values : (n,) float64
        In [-1, 1].
    length : int

    Returns
    -------
    (n,) float64
    """
    # G_n = sum_{k < n} x^k and W_n = G_1 + ... + G_n = sum_{k < n} (n - k) x^k are computed by
    # doubling n. For x > 0 all terms have one sign; the closed form cancels near x = 1.
    n, power, g, w = 1, values, np.ones_like(values), np.ones_like(values)
    for bit in bin(length - 1)[3:]:
        w = w + n * g + power * w
        g = g + power * g
        n, power = 2 * n, power * power
        if bit == "1":
            g = g + power
            w = w + g
            n, power = n + 1, power * values
    mean: Floats = values * w * (2.0 / length / (length - 1.0))
    return mean


def powers(base: int, longest: int) -> list[int]:
    """1, base, base^2, ... up to `longest`."""
    values = [1]
    while values[-1] * base <= longest:
        values.append(values[-1] * base)
    return values


def zipf_law(size: int, exponent: float, shift: float = 0.0) -> Floats:
    """p_r ~ (r + shift)^-exponent, r = 1 .. size.

    Raises
    ------
    InputError
        The weights leave the range of floating-point numbers.
    """
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        p = (np.arange(1.0, size + 1) + shift) ** -exponent
        total = p.sum()
    if not (np.isfinite(total) and total > 0):
        shifted = f", shift={shift:g}" if shift else ""
        raise InputError(
            f"exponent={exponent:g}{shifted}: weights (r + shift)^-exponent, r = 1 .. {size}, are "
            "too small or too large for floating-point numbers; use an exponent nearer to 0"
            + (" or a smaller shift" if shift else "")
        )
    law: Floats = p / total
    return law
