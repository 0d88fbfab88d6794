"""Co-occurrence matrices: how often each token stands near each other one, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.counts.pair_counting import counting, csr_of_pieces
from ngramstat.counts.windows import PairWindow, Weights
from ngramstat.errors import InputError, check_choice
from ngramstat.runtime.arguments import as_flag

if TYPE_CHECKING:
    from scipy.sparse import coo_array, csr_array

__all__ = ["BoundaryName", "cooccurrence", "cooccurrence_rows"]

BoundaryName = Literal["stream", "document"]


def cooccurrence(
    corpus: CorpusLike,
    *,
    lags: int | Iterable[int] | None = None,
    window: int | None = None,
    weights: Weights = "uniform",
    symmetric: bool = False,
    boundary: BoundaryName = "stream",
    rows: Sequence[int] | None = None,
    by_lag: bool = False,
    format: Literal["csr", "coo"] = "csr",
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> Any:
    """Count how often tokens stand near each other, as a sparse matrix of scipy.

    Entry (a, b) sums the pairs (x_i = a, x_{i+lag} = b) over the lags: the row is the token on the
    left, the column the token on the right.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text; see `ngramstat.correlations`.
    lags : int or sequence of int
        Separations in tokens, each at least 1.
    window : int
        Instead: the lags 1 to `window`.
    weights : str, sequence or callable
        ``uniform``: counts are summed as they are; ``harmonic``: a pair weighs 1 / lag, as in
        GloVe; or a weight for each lag, not negative, in a sequence or from a function of the lag.
    symmetric : bool
        Count each pair also with its tokens exchanged, so that the matrix is M + M^T: tokens on
        both sides of the row's token, as GloVe counts by default.
    boundary : str
        ``stream``: pairs run across documents, and separators are tokens as any other;
        ``document``: both tokens lie in one document, and separators are in no pair.
    rows : (first, last), optional
        Only the rows of the tokens first .. last - 1; the result has last - first rows.
    by_lag : bool
        A dictionary with a matrix for each lag instead of their sum.
    format : str
        ``csr`` or ``coo``.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". A matrix that does not fit is refused;
        `save_cooccurrence` and `cooccurrence_rows` need no more memory than a part of it.
    progress : bool, optional
        Show progress; by default in notebooks.

    Returns
    -------
    scipy.sparse.csr_array or coo_array, (V, V), or dict of int to such arrays
        uint64, exact. With weights other than ``uniform`` float64: the sum over the lags, in
        ascending order, of weight times count, each product and each sum rounded; the same for any
        threads, memory limit and rows. Only entries with a pair are stored, columns ascending.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or the matrix does not fit the memory.
    """
    check_choice("format", format, ("csr", "coo"))
    if as_flag("by_lag", by_lag) and weights != "uniform":
        raise InputError("by_lag=True: gives the counts of each lag, without weights")
    chosen = PairWindow.of(
        lags=lags, window=window, weights=weights, symmetric=symmetric, boundary=boundary
    )
    counted = counting(as_corpus(corpus), chosen, rows, threads, memory_limit, progress)
    # Half of the budget is for the index of positions, an eighth for counters and steps each.
    budget = counted.budget
    limit = None if budget is None else budget // 4

    def matrix(of_lags: Sequence[int] | None) -> csr_array | coo_array:
        size = counted.corpus.vocab_size
        joined = csr_of_pieces(counted.pieces(of_lags), size, counted.value_type, limit=limit)
        return joined if format == "csr" else joined.tocoo()

    if not by_lag:
        return matrix(None)
    return {lag: matrix([lag]) for lag in chosen.lags}


def cooccurrence_rows(
    corpus: CorpusLike,
    *,
    lags: int | Iterable[int] | None = None,
    window: int | None = None,
    weights: Weights = "uniform",
    symmetric: bool = False,
    boundary: BoundaryName = "stream",
    rows: Sequence[int] | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> Iterator[tuple[int, csr_array]]:
    """The rows of a co-occurrence matrix in order, in pieces that fit a memory limit.

    Parameters
    ----------
    corpus, lags, window, weights, symmetric, boundary, rows, threads, memory_limit, progress
        As for `cooccurrence`.

    Yields
    ------
    first : int
        The token of the piece's first row.
    piece : scipy.sparse.csr_array, (rows, V)

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    chosen = PairWindow.of(
        lags=lags, window=window, weights=weights, symmetric=symmetric, boundary=boundary
    )
    counted = counting(as_corpus(corpus), chosen, rows, threads, memory_limit, progress)

    def matrices() -> Iterator[tuple[int, csr_array]]:
        for piece in counted.pieces():
            size = counted.corpus.vocab_size
            yield piece.first, csr_of_pieces([piece], size, counted.value_type)

    return matrices()
