"""What a world of known answer is: tokens that can be drawn, and exact curves beside them.

Curves come in the two forms that the package measures: over pairs inside documents (``document``)
and over the whole stream of concatenated documents at a random phase (``stream``). NaN stands where
no exact value is known; it is never replaced by an estimate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError

__all__ = [
    "MAX_DENSE",
    "MAX_NGRAMS",
    "PIECE",
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
    "pair_shares",
    "powers",
    "zipf_law",
]

Floats = NDArray[np.float64]
Tokens = NDArray[Any]

# Tokens drawn at a time: a few MB, and a fraction of a second.
PIECE = 1 << 22
# Exact covariances are dense (V, V) matrices.
MAX_DENSE = 2048
# Largest table of n-gram probabilities that is made.
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
        Bounds, where only those are known.
    """

    value: float | None
    meaning: str
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON object."""
        return {"value": self.value, "low": self.low, "high": self.high, "meaning": self.meaning}


class World(ABC):
    """A random source of documents of equal length with exact statistics.

    Attributes
    ----------
    kind : str
        Name on the command line.
    vocab_size : int
        V.
    document_length : int
        Tokens per document; documents are independent.
    """

    kind: ClassVar[str]
    vocab_size: int
    document_length: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 or uint32, the smaller that holds the vocabulary."""
        return np.dtype(np.uint16 if self.vocab_size <= 1 << 16 else np.uint32)

    @property
    def one_stream(self) -> bool:
        """Whether the corpus is one stream without document ends."""
        return False

    @property
    def longest_lag(self) -> int:
        """Largest lag with pairs inside a document (in a single stream: any)."""
        return self.document_length - 1

    def ruler(self, longest: int) -> list[int]:
        """Lags at which the world's curve is most telling: powers of 2, of s for trees."""
        return powers(2, longest)

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Everything the world depends on, as JSON."""

    @abstractmethod
    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        """The first `n_tokens` tokens, in pieces; a longer sample begins with a shorter one's."""

    @abstractmethod
    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        """||C(t)||_op, exactly; (n_lags,), NaN where it is not known."""

    @abstractmethod
    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        """Norm of the sequential covariance inside documents (docs/theory.md 4); (n_lags,)."""

    @abstractmethod
    def covariance(self, lag: int, boundary: str) -> Floats:
        """C(t) itself, (V, V); for vocabularies that allow it."""

    @abstractmethod
    def entropies(self, max_context: int, boundary: str) -> Floats:
        """Exact H_n, n = 0 .. max_context, in nats per token; NaN where it is not known.

        With boundary ``document`` over the targets that have max_context tokens before them in
        their document (position unknown), the population that counting uses.
        """

    @abstractmethod
    def exponents(self) -> dict[str, KnownExponent]:
        """beta, gamma, alpha and whatever else the world fixes."""

    def extras(self) -> dict[str, Any]:
        """Further exact values for ``truth.json``, as JSON."""
        return {}

    def warnings(self) -> list[str]:
        """What a user of this world should know before comparing."""
        return []

    def labels(self, n_documents: int, *, seed: int, first: int = 0) -> NDArray[np.uint32] | None:
        """Classes of `n_documents` documents from `first` on, None for worlds without classes."""
        return None

    def corpus(self, n_tokens: int, *, seed: int = 0, threads: int = 1) -> Corpus:
        """Whole documents of at least `n_tokens` tokens in all, in memory."""
        n_documents = self.n_documents(n_tokens)
        total = n_tokens if self.one_stream else n_documents * self.document_length
        tokens = np.concatenate(list(self.pieces(total, seed=seed, threads=threads)))
        ends = None
        if not self.one_stream:
            ends = np.arange(1, n_documents + 1, dtype=np.int64) * self.document_length
        return Corpus.from_arrays(tokens, vocab_size=self.vocab_size, document_ends=ends)

    def n_documents(self, n_tokens: int) -> int:
        """Documents that hold at least `n_tokens` tokens."""
        if n_tokens < 1:
            raise InputError(f"tokens={n_tokens}: needs at least 1")
        return -(-n_tokens // self.document_length)

    def check_boundary(self, boundary: str) -> None:
        """Refuse anything but ``stream`` and ``document``."""
        if boundary not in ("stream", "document"):
            raise InputError(f"boundary={boundary!r}: expected stream or document")


class StationaryWorld(World):
    """Documents that are windows of a stationary process with equal marginals everywhere.

    Then C(t) inside documents is that of the process, pairs across documents are independent, and
    the stream's C(t) is (1 - t / document_length) of it.
    """

    @abstractmethod
    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        """Norms of C(t) at the lags; (n_lags,), NaN where they are not known.

        With `sequential`, of C(t) - sum_k share_k (C(k) + C(k)^T) / 2, where share_k is the share
        of pairs k apart among all pairs of a document (`pair_shares`).
        """

    @abstractmethod
    def process_entropies(self, max_context: int) -> Floats:
        """H_n of the process, n = 0 .. max_context; NaN where it is not known."""

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        self.check_boundary(boundary)
        found = self._inside(lags, sequential=False)
        if boundary == "document":
            return found
        shares = np.array([self._share(int(lag), boundary) for lag in lags])
        # Lags beyond a document have no pair inside one, but an unknown norm stays unknown.
        return np.where(shares == 0.0, 0.0, found * shares)

    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        # The mean over shuffles of a document is the mean over all its ordered pairs.
        return self._inside(lags, sequential=True)

    def _inside(self, lags: Sequence[int], *, sequential: bool) -> Floats:
        found = np.full(len(lags), np.nan)
        short = [i for i, lag in enumerate(lags) if lag < self.document_length]
        if short:
            found[short] = self.process_norms([int(lags[i]) for i in short], sequential=sequential)
        return found

    def covariance(self, lag: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        if self.vocab_size > MAX_DENSE:
            raise InputError(f"V = {self.vocab_size}: a covariance is a matrix of V^2 numbers")
        return self.process_covariance(lag) * self._share(lag, boundary)

    def _share(self, lag: int, boundary: str) -> float:
        if boundary == "document":
            return 1.0
        return max(1.0 - lag / self.document_length, 0.0)

    @abstractmethod
    def process_covariance(self, lag: int) -> Floats:
        """C(t) of the process, (V, V)."""

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        found = self.process_entropies(max_context)
        if boundary == "stream":
            found[1:] = np.nan  # contexts that cross a document's end mix phases
        return found


def check_whole(name: str, value: object, least: int) -> None:
    """Refuse what is no integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}={value}: must be an integer of at least {least}")


def check_length(document_length: int, power: int) -> None:
    """Refuse lengths of documents outside 2 .. 2^power."""
    if not 2 <= document_length <= 1 << power:
        raise InputError(f"document_length={document_length}: must lie in 2 .. 2^{power}")


def block_entropy(p: Floats) -> float:
    """-sum p ln p over all entries of an array of probabilities."""
    p = p[p > 0]
    return float(-(p @ np.log(p)))


def conditional_entropies(window: Floats) -> Floats:
    """H(last | n before it), n = 0 .. w - 1, from the joint of w tokens, shape (V,) * w."""
    w = window.ndim
    found = []
    for n in range(w):
        joint = window.sum(axis=tuple(range(w - 1 - n)))
        found.append(
            block_entropy(joint.reshape(-1)) - block_entropy(joint.sum(axis=-1).reshape(-1))
        )
    return np.array(found)


def longest_ngram(vocab_size: int, most: int) -> int:
    """Largest n >= 1 with vocab_size^n <= most (1 where even that is too many)."""
    n = 1
    while vocab_size ** (n + 1) <= most:
        n += 1
    return n


def pair_shares(length: int, first: int, last: int) -> Floats:
    """Share of the pairs first .. last - 1 apart (at least 1) among all pairs of a document."""
    apart = np.arange(first, last, dtype=np.float64)
    found: Floats = 2.0 * (length - apart) / (length * (length - 1.0))
    return found


def mean_powers(values: Floats, length: int) -> Floats:
    """sum_k share_k values^k over the pairs of a document of `length` tokens, in O(log length).

    Parameters
    ----------
    values : (n,) float64
        In [-1, 1].
    length : int

    Returns
    -------
    (n,) float64
    """
    # G_n = sum_{k < n} x^k and W_n = G_1 + ... + G_n = sum_{k < n} (n - k) x^k double by sums of
    # terms of one sign for x > 0, unlike the closed form, which cancels near x = 1.
    n, power, g, w = 1, values, np.ones_like(values), np.ones_like(values)
    for bit in bin(length - 1)[3:]:
        w = w + n * g + power * w
        g = g + power * g
        n, power = 2 * n, power * power
        if bit == "1":
            g = g + power
            w = w + g
            n, power = n + 1, power * values
    found: Floats = values * w * (2.0 / length / (length - 1.0))
    return found


def powers(base: int, longest: int) -> list[int]:
    found = [1]
    while found[-1] * base <= longest:
        found.append(found[-1] * base)
    return found


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
    found: Floats = p / total
    return found
