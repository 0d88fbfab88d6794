"""Word vectors from co-occurrences: the leading singular vectors of a PPMI matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.counts.association import as_csr, ppmi
from ngramstat.counts.cooccurrence import BoundaryName, cooccurrence
from ngramstat.counts.mapped_matrix import MappedMatrix
from ngramstat.counts.token_names import token_names, token_texts, unescaped
from ngramstat.counts.vector_files import (
    read_safetensors,
    read_word2vec,
    write_safetensors,
    write_word2vec,
)
from ngramstat.counts.windows import Weights
from ngramstat.errors import InputError, check_choice
from ngramstat.linear_algebra.lanczos import truncated_svd
from ngramstat.runtime.arguments import as_number, integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["VECTOR_FORMATS", "Neighbour", "WordVectors", "word_vectors"]

#: What `WordVectors.save` writes.
VECTOR_FORMATS = ("word2vec", "safetensors")

_MAX_DIMENSIONS = 4096
# Vectors of the Krylov space on either side, for each triplet and besides, from decompositions of
# PPMI matrices of text.
_KRYLOV_VECTORS, _KRYLOV_START = 5, 64


class Neighbour(NamedTuple):
    """A token near another one.

    Attributes
    ----------
    token : int
    text : str
        Its text, or the id as a string where no tokenizer is known.
    similarity : float
        Cosine of the angle between the vectors.
    """

    token: int
    text: str
    similarity: float


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vector for each token of a vocabulary.

    Attributes
    ----------
    vectors : (V, dimensions) float32
        Zero for tokens without co-occurrences.
    names : tuple of str
        A name for each token, all different and without blanks: its text with blanks and control
        characters escaped (``\\x20the``), ``\\#`` and the id where the text does not tell it apart,
        or the id where no tokenizer is known.
    singular_values : (dimensions,) float64 or None
        Of the matrix; None for vectors that were read from a word2vec file.
    """

    vectors: NDArray[np.float32]
    names: tuple[str, ...]
    singular_values: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.names) != len(self.vectors):
            raise InputError(
                f"names: {len(self.names)} for vectors of shape {self.vectors.shape}; one for each "
                "row is needed"
            )

    def __repr__(self) -> str:
        rows, dimensions = self.vectors.shape
        return f"WordVectors({rows:,} tokens, {dimensions} dimensions)"

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: token for token, name in enumerate(self.names)}

    @cached_property
    def _texts(self) -> dict[str, int]:
        return {unescaped(name): token for token, name in enumerate(self.names)}

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """Vectors of length 1, or 0."""
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return (self.vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    def token(self, token: int | str) -> int:
        """The id of a token given by its id, its text or its name.

        Raises
        ------
        InputError
            There is none.
        """
        if isinstance(token, str):
            found = self._texts.get(token, self._ids.get(token))
            if found is None:
                raise InputError(
                    f"token {token!r:.60}: is no token of the vocabulary; blanks belong to a "
                    "token's text, as in ' the'"
                )
            return found
        return integer_within("token", token, 0, len(self.names) - 1)

    def __getitem__(self, token: int | str) -> NDArray[np.float32]:
        """The vector of a token given by its id, its text or its name."""
        row: NDArray[np.float32] = self.vectors[self.token(token)]
        return row

    def neighbours(self, token: int | str | ArrayLike, k: int = 10) -> list[Neighbour]:
        """The tokens of largest cosine similarity, nearest first; ties by their ids.

        Parameters
        ----------
        token : int, str or (dimensions,) vector
            A token is not among its own neighbours. Tokens without co-occurrences never are.
        k : int

        Raises
        ------
        InputError
            There is no such token, it has no co-occurrences, or the vector does not fit.
        """
        k = integer_within("k", k, 1, 1 << 31)
        own = None
        if isinstance(token, int | str | np.integer):
            own = self.token(token if isinstance(token, str) else int(token))
            direction = self._directions[own]
        else:
            direction = np.asarray(token, np.float32)
            if direction.shape != (self.vectors.shape[1],):
                raise InputError(
                    f"token: needs an id, a text or a vector of {self.vectors.shape[1]} numbers, "
                    f"not of shape {direction.shape}"
                )
            direction = direction / max(float(np.linalg.norm(direction)), np.finfo(np.float32).tiny)
        if not direction.any():
            raise InputError(f"token {token!r:.60}: has no co-occurrences, and so no direction")
        # Summed by NumPy itself, in an order that does not depend on threads.
        similarity = np.einsum("ij,j->i", self._directions, direction)
        known = np.flatnonzero(self._directions.any(axis=1))
        candidates = known if own is None else known[known != own]
        order = candidates[np.argsort(-similarity[candidates], kind="stable")][:k]
        return [Neighbour(int(i), unescaped(self.names[i]), float(similarity[i])) for i in order]

    def save(self, path: str | PathLike[str], *, to: str | None = None) -> None:
        """Write the vectors, atomically.

        Parameters
        ----------
        path
            The file.
        to : str, optional
            ``safetensors``: arrays ``vectors`` and ``singular_values``, names in the metadata (the
            default for names that end in .safetensors); ``word2vec``: text, a line with the
            numbers of tokens and dimensions, and a line for each token, its name first.

        Raises
        ------
        InputError
            The file cannot be written, or there is no such format.
        """
        if _format_of(path, to) == "safetensors":
            arrays: dict[str, NDArray[Any]] = {"vectors": self.vectors}
            if self.singular_values is not None:
                arrays["singular_values"] = self.singular_values
            write_safetensors(path, arrays, self.names)
        else:
            write_word2vec(path, self.vectors, self.names)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> WordVectors:
        """Read what `save` wrote, or word2vec text from elsewhere.

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        if _format_of(path, None) == "safetensors":
            arrays, names = read_safetensors(path)
            vectors, values = arrays.get("vectors"), arrays.get("singular_values")
            if vectors is None or vectors.ndim != 2 or vectors.dtype != np.float32:
                raise InputError(f"{path}: has no matrix of float32 called vectors")
            if len(names) != len(vectors):
                raise InputError(f"{path}: has {len(names)} names for {len(vectors)} vectors")
            return cls(vectors, tuple(names), values)
        vectors, names = read_word2vec(path)
        return cls(vectors, tuple(names))


def _format_of(path: str | PathLike[str], to: str | None) -> str:
    if to is not None:
        check_choice("--to", to, VECTOR_FORMATS)
        return to
    return "safetensors" if Path(path).suffix.lower() == ".safetensors" else "word2vec"


def word_vectors(
    corpus: CorpusLike | None = None,
    *,
    matrix: Any = None,
    dimensions: int = 100,
    exponent: float = 0.5,
    shift: float = 1.0,
    context_smoothing: float = 0.75,
    window: int | None = None,
    lags: int | Iterable[int] | None = None,
    weights: Weights = "uniform",
    symmetric: bool = True,
    boundary: BoundaryName = "stream",
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> WordVectors:
    """Word vectors U S^p from the singular values S and left vectors U of a PPMI matrix.

    As good as those of word2vec and GloVe on many tasks (Levy, Goldberg and Dagan, TACL 2015), and
    the same in every run.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text; see `ngramstat.correlations`. It gives the tokens their
        names and, unless there is a `matrix`, the counts.
    matrix : scipy.sparse matrix or array, or MappedMatrix, optional
        Counts, such as from `cooccurrence`, one row for each token.
    dimensions : int
        Of the vectors; fewer where the matrix is smaller.
    exponent : float
        The exponent p of the singular values: 1 keeps the products of the rows, 0.5 (the default)
        and 0 make better vectors for similarity.
    shift, context_smoothing
        As for `ppmi`; 0.75 smooths the contexts' counts as word2vec does.
    window, lags, weights, symmetric, boundary
        As for `cooccurrence`, but a window of 5, to both sides, by default. Not with a `matrix`.
    threads, memory_limit, progress
        As for `cooccurrence`. The decomposition takes about 100 bytes for each token and dimension.

    Raises
    ------
    InputError
        An argument cannot be used, no two tokens are associated, or the decomposition does not fit
        the memory.
    """
    dimensions = integer_within("dimensions", dimensions, 1, _MAX_DIMENSIONS)
    power = as_number("exponent", exponent)
    if power < 0:
        raise InputError(f"exponent={power:g}: cannot be negative")
    if corpus is None and matrix is None:
        raise InputError("word_vectors needs a corpus or a matrix")
    known = None if corpus is None else as_corpus(corpus)
    if matrix is None:
        assert known is not None
        matrix = cooccurrence(
            known,
            lags=lags,
            window=5 if window is None and lags is None else window,
            weights=weights,
            symmetric=symmetric,
            boundary=boundary,
            threads=threads,
            memory_limit=memory_limit,
            progress=progress,
        )
    elif not (window is lags is None and isinstance(weights, str) and weights == "uniform") or (
        not symmetric or boundary != "stream"
    ):
        raise InputError(
            "window, lags, weights, symmetric and boundary say what to count; a matrix is counted "
            "already, so leave them out"
        )
    if isinstance(matrix, MappedMatrix) and matrix.first_row > 0:
        raise InputError(f"{matrix.path}: holds some of the rows only; save all of them")
    counts = as_csr(matrix)
    if known is not None and counts.shape[0] != known.vocab_size:
        raise InputError(
            f"matrix: has {counts.shape[0]} rows, but {known.name} has {known.vocab_size} tokens"
        )
    _check_memory(counts.shape, dimensions, parse_memory_limit(memory_limit))
    information = ppmi(counts, shift=shift, context_smoothing=context_smoothing)
    vectors, values = _left_vectors(
        information, dimensions, power, progress=shows_progress(progress)
    )
    texts = None if known is None else token_texts(known)
    return WordVectors(vectors, tuple(token_names(texts, len(vectors))), values)


def _check_memory(shape: tuple[int, ...], dimensions: int, limit: int) -> None:
    needed = sum(shape) * min(_KRYLOV_VECTORS * dimensions + _KRYLOV_START, *shape) * 8
    if needed > limit:
        raise InputError(
            f"dimensions={dimensions}: the decomposition for {shape[0]:,} tokens takes about "
            f"{needed >> 20:,} MB, more than --memory-limit allows; give fewer --dimensions"
        )


@dataclass(frozen=True)
class _Sparse:
    """A sparse matrix as an operator, without the rows and columns that hold nothing."""

    matrix: csr_array
    transposed: csr_array

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.matrix.shape
        return rows, columns

    def multiply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = self.matrix @ x
        return product

    def multiply_transposed(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = self.transposed @ x
        return product


def _left_vectors(
    matrix: csr_array, dimensions: int, power: float, *, progress: bool
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """U S^p of a matrix, a row for each of its rows, and S."""
    if matrix.nnz == 0:
        raise InputError(
            "no two tokens occur together more often than by chance; give more text, or a smaller "
            "--shift"
        )
    rows = np.flatnonzero(np.diff(matrix.indptr))
    columns = np.unique(matrix.indices)
    reduced = matrix[rows][:, columns] if len(columns) < matrix.shape[1] else matrix[rows]
    operator = _Sparse(reduced, reduced.T.tocsr())
    # Sums of a BLAS depend on its threads.
    with (
        threadpool_limits(1, user_api="blas"),
        Progress(None, "singular vectors", unit="blocks", enabled=progress) as bar,
    ):
        triplets = truncated_svd(operator, dimensions, on_step=bar.advance)
    vectors = np.zeros((matrix.shape[0], len(triplets.values)), np.float32)
    vectors[rows] = triplets.left * triplets.values**power
    return vectors, triplets.values
