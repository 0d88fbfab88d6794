"""Random walks on graphs (docs/theory.md 12.4).

Like those of every chain, their C(t) falls exponentially and their H(n) is constant from n = 1 on,
so an estimator must refuse to report exponents for them. Learning curves have exponents all the
same (Barkeshli et al., arXiv 2601.10684).

Matrices are sparse: a graph of 50,000 nodes and 2 million edges takes some hundred MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError, check_choice
from ngramstat.synthetic.forgetting import FORGOTTEN, chain_period, no_exponents
from ngramstat.synthetic.markov import MarkovChain
from ngramstat.synthetic.random_graphs import ENSEMBLES, draw_edges
from ngramstat.synthetic.sampling import (
    AliasTable,
    StateSource,
    alias_columns,
    document_pieces,
    random_generator,
)
from ngramstat.synthetic.world import (
    MAX_DENSE,
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
    mean_powers,
)

__all__ = ["GraphWalk"]

_MAX_NODES, _MAX_EDGES = 1 << 20, 1 << 24
# With larger ones the weights of neighbours leave the range in which their sums are exact enough.
_MAX_EXPONENT = 4.0
# Largest product of edges and lag for a graph with too many nodes for its spectrum.
_MAX_STEPPED = 1 << 25
# Iterations towards a stationary distribution, and the change in one at which they end.
_MAX_ITERATIONS, _BALANCE = 20_000, 1e-14
# Relative tolerance of singular vectors by iteration, whose square is that of norms; and vectors
# that an iteration keeps, as the largest singular values of a large graph lie close together.
_TOLERANCE, _VECTORS = 1e-6, 40
# Iterations need vectors whose squares do not vanish.
_NOTHING = 1e-100


@dataclass(frozen=True)
class GraphWalk(StationaryWorld):
    """Random walk on a random graph, one token per node (Barkeshli et al., arXiv 2601.10684).

    The walk lives on the largest connected component, whose nodes are the vocabulary. From a node
    it goes to each neighbour j with probability ~ degree(j)^bias r^-rank_exponent, where r numbers
    the neighbours of the node in an order that is drawn for every node.

    Parameters
    ----------
    nodes, edges : int
    rules_seed : int
        Seed of the graph and of the order of neighbours.
    document_length : int
    links : (m, 2) integers, optional
        Explicit undirected edges between nodes 0 .. nodes - 1 in place of drawn ones.
    ensemble : str
        ``erdos-renyi``: every graph with these numbers of nodes and edges is equally likely.
        ``barabasi-albert``: nodes come one by one, each with about edges / nodes edges to earlier
        nodes, which it chooses by their degrees.
    bias : float
        From -4 to 4. 0: all neighbours alike; above 0 the walk prefers nodes of high degree.
    rank_exponent : float
        From 0 to 4. 0: all neighbours alike; above 0 the transitions of every node follow a power
        law (Zipf's), and the walk does not look the same backwards.

    Raises
    ------
    InputError
        A parameter is out of range, or the largest component has fewer than two nodes.
    """

    kind: ClassVar[str] = "graph"

    nodes: int
    edges: int
    rules_seed: int = 0
    document_length: int = 10_000
    links: Sequence[Sequence[int]] | None = None
    ensemble: str = ENSEMBLES[0]
    bias: float = 0.0
    rank_exponent: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.nodes <= _MAX_NODES:
            raise InputError(f"nodes={self.nodes}: must lie in 2 .. 2^20")
        max_edges = min(self.nodes * (self.nodes - 1) // 2, _MAX_EDGES)
        if not 1 <= self.edges <= max_edges:
            raise InputError(
                f"edges={self.edges}: must lie in 1 .. {max_edges} for {self.nodes} nodes"
            )
        check_choice("ensemble", self.ensemble, ENSEMBLES)
        if not abs(self.bias) <= _MAX_EXPONENT:
            raise InputError(f"bias={self.bias:g}: must lie in -4 .. 4")
        if not 0 <= self.rank_exponent <= _MAX_EXPONENT:
            raise InputError(f"rank_exponent={self.rank_exponent:g}: must lie in 0 .. 4")
        check_length(self.document_length, 40)
        if self.links is not None:
            _check_links(self.links, self.nodes, self.edges)
        if self.vocab_size < 2:
            raise InputError("the graph's largest component has fewer than two nodes")

    # --- the graph --------------------------------------------------------------------------------

    @cached_property
    def adjacency(self) -> Any:
        """Adjacency matrix of the largest component: sparse (V, V), symmetric, zeros and ones."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = self.nodes
        if self.links is None:
            pairs = draw_edges(self.ensemble, n, self.edges, self.rules_seed)
        else:
            pairs = np.asarray(self.links, np.int64)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        both = np.concatenate([pairs, pairs[:, ::-1]])
        graph = coo_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n)).tocsr()
        graph.data[:] = 1.0
        _, label = connected_components(graph, directed=False)
        largest = np.flatnonzero(label == np.bincount(label).argmax())
        return graph[largest][:, largest].tocsr()

    @cached_property
    def vocab_size(self) -> int:  # type: ignore[override]
        """Nodes of the largest component."""
        return int(self.adjacency.shape[0])

    def parameters(self) -> dict[str, Any]:
        names = ["nodes", "edges", "ensemble", "bias", "rank_exponent", "rules_seed"]
        if self.links is not None:
            names.remove("ensemble")
        parameters = {name: getattr(self, name) for name in (*names, "document_length")}
        if self.links is not None:
            parameters["links"] = np.asarray(self.links).tolist()
        return parameters

    @cached_property
    def degrees(self) -> Floats:
        """Number of neighbours of every node, (V,)."""
        return np.asarray(self.adjacency.sum(axis=1)).reshape(-1)

    # --- the walk ---------------------------------------------------------------------------------

    @property
    def reversible(self) -> bool:
        """Whether the walk looks the same backwards, so that its matrix can be symmetrised."""
        return self.rank_exponent == 0.0

    @cached_property
    def _weights(self) -> Any:
        """Weights of the transitions, sparse (V, V); symmetric where the walk is reversible."""
        weights = self.adjacency.copy()
        scale = self.degrees**self.bias
        rows = np.repeat(np.arange(self.vocab_size), np.diff(weights.indptr))
        weights.data = scale[rows] * scale[weights.indices]
        if not self.reversible:
            rng = random_generator(self.rules_seed, 0x524E4B, name="rules_seed")
            order = np.lexsort((rng.random(weights.nnz), rows))
            rank = np.empty(weights.nnz)
            rank[order] = np.arange(weights.nnz) - np.repeat(
                weights.indptr[:-1], np.diff(weights.indptr)
            )
            weights.data *= (rank + 1.0) ** -self.rank_exponent
        return weights

    @cached_property
    def _strengths(self) -> Floats:
        """Sums of the weights of every node, (V,)."""
        return np.asarray(self._weights.sum(axis=1)).reshape(-1)

    @cached_property
    def transitions(self) -> Any:
        """Probabilities of the next node given the last, sparse (V, V)."""
        return self._weights.multiply(1.0 / self._strengths[:, None]).tocsr()

    @cached_property
    def stationary(self) -> Floats:
        """Distribution of a token, (V,): degree / 2E where all neighbours are alike.

        Raises
        ------
        InputError
            It cannot be computed to rounding, because the walk nearly falls into parts.
        """
        if self.reversible:
            stationary: Floats = self._strengths / self._strengths.sum()
            return stationary
        return _stationary(self.transitions, self.degrees / self.degrees.sum())

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        graph, v = self._weights, self.vocab_size
        start = AliasTable.of(self.stationary)
        nodes = np.arange(v, dtype=np.uint32)
        rows = alias_columns(self.transitions.data, graph.indptr)
        neighbours = graph.indices.astype(np.uint32)
        source = StateSource(
            np.concatenate([graph.indptr, [graph.nnz + v]]).astype(np.int64),
            np.concatenate([rows.threshold, start.threshold]),
            np.concatenate([rows.alias, start.alias]),
            np.concatenate([neighbours, nodes]),
            np.concatenate([neighbours, nodes]),
        )
        return source, v

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return document_pieces(
            source, start, self.document_length, self.dtype, n_tokens, seed=seed, threads=threads
        )

    # --- exact curves -----------------------------------------------------------------------------

    @cached_property
    def _chain(self) -> MarkovChain:
        """The walk as a chain with a dense matrix, for walks that are not reversible."""
        return MarkovChain(self.transitions.toarray(), self.document_length)

    @cached_property
    def _spectrum(self) -> tuple[Floats, Floats]:
        """Eigenvalues and eigenvectors of the symmetrised walk."""
        values, vectors = np.linalg.eigh(self._symmetric_matrix.toarray())
        # An eigenvalue that rounding puts above one would grow with the power.
        return np.clip(values, -1.0, 1.0), vectors

    @cached_property
    def _symmetric_matrix(self) -> Any:
        """D^-1/2 W D^-1/2 of the weights W, sparse (V, V): it has the walk's eigenvalues."""
        scale = 1.0 / np.sqrt(self._strengths)
        return self._weights.multiply(scale[:, None]).multiply(scale[None, :]).tocsr()

    @cached_property
    def _modes(self) -> Floats:
        """D_pi^1/2 times the eigenvectors except that of the eigenvalue one, (V, V - 1)."""
        modes: Floats = np.sqrt(self.stationary)[:, None] * self._spectrum[1][:, :-1]
        return modes

    def _matrix(self, of_values: Floats) -> Floats:
        """D_pi^1/2 f(walk) D_pi^1/2 without its constant part, from f of the eigenvalues."""
        matrix: Floats = (self._modes * of_values[:-1]) @ self._modes.T
        return matrix

    def _norm(self, of_values: Floats) -> float:
        """Largest absolute eigenvalue of that matrix."""
        # A dense solver: iterations are slow where most eigenvalues are close to the largest.
        scale = float(np.abs(of_values[:-1]).max())
        if scale == 0.0:
            return 0.0
        # These do not change the result, and arithmetic on subnormal numbers is slow.
        scaled = np.where(np.abs(of_values) < 1e-30 * scale, 0.0, of_values / scale)
        return scale * float(np.abs(np.linalg.eigvalsh(self._matrix(scaled))).max())

    @cached_property
    def _norms_by_lag(self) -> dict[int, float]:
        """Norms computed so far, by lag; both boundaries need the same ones."""
        return {}

    def process_covariance(self, lag: int) -> Floats:
        if not self.reversible:
            return self._chain.process_covariance(lag)
        return self._matrix(self._spectrum[0] ** lag)

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        if self.vocab_size > MAX_DENSE:
            return np.full(len(lags), np.nan) if sequential else self._large_norms(lags)
        if not self.reversible:
            return self._chain.process_norms(lags, sequential=sequential)
        values = self._spectrum[0]
        if sequential:
            mean = mean_powers(values, self.document_length)
            return np.array([self._norm(values**lag - mean) for lag in lags])
        return self._known_norms(lags, lambda lag: self._norm(values**lag))

    def _known_norms(self, lags: Sequence[int], norm: Any) -> Floats:
        for lag in lags:
            if lag not in self._norms_by_lag:
                self._norms_by_lag[lag] = norm(lag)
        return np.array([self._norms_by_lag[lag] for lag in lags])

    def _large_norms(self, lags: Sequence[int]) -> Floats:
        """Norms by steps of the walk; NaN at long lags, and where they are mostly rounding."""
        forgotten = np.inf

        def norm(lag: int) -> float:
            nonlocal forgotten
            if lag >= forgotten or lag * self._weights.nnz > _MAX_STEPPED:
                return np.nan
            value = self._stepped_norm(lag)
            if value < FORGOTTEN * self.stationary.max():
                forgotten = lag
                return np.nan
            return value

        return self._known_norms(lags, norm)

    def _stepped_norm(self, lag: int) -> float:
        """||C(t)||, by steps of the walk from vectors without the constant part."""
        from scipy.sparse.linalg import LinearOperator

        n, pi, walk = self.vocab_size, self.stationary, self.transitions
        back = self._backward

        def centred(x: Floats) -> Floats:
            return x - pi @ x

        def apply(x: Floats) -> Floats:
            y = centred(np.asarray(x, dtype=np.float64).reshape(-1))
            for _ in range(lag):
                y = centred(walk @ y)
            result: Floats = pi * y
            return result

        def apply_transposed(x: Floats) -> Floats:
            # (T^t)' D_pi y = D_pi (backward walk)^t y
            y = centred(np.asarray(x, dtype=np.float64).reshape(-1))
            for _ in range(lag):
                y = centred(back @ y)
            result: Floats = pi * y
            return result

        operator = LinearOperator((n, n), matvec=apply, rmatvec=apply_transposed, dtype=np.float64)
        return _largest_singular_value(operator, symmetric=self.reversible)

    @cached_property
    def _backward(self) -> Any:
        """Transitions of the walk that is read backwards, sparse (V, V)."""
        if self.reversible:
            return self.transitions
        pi = self.stationary
        back = self.transitions.T.multiply(1.0 / pi[:, None])
        return back.multiply(pi[None, :]).tocsr()

    @cached_property
    def entropy_rate(self) -> float:
        """H_n for n >= 1, nats per token."""
        if self.reversible and self.bias == 0.0:
            return float(self.stationary @ np.log(self.degrees))
        p = self.transitions
        logs = p.copy()
        logs.data = -p.data * np.log(p.data)
        return float(self.stationary @ np.asarray(logs.sum(axis=1)).reshape(-1))

    def process_entropies(self, max_context: int) -> Floats:
        entropies = np.full(max_context + 1, self.entropy_rate)
        entropies[0] = block_entropy(self.stationary)
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        period = chain_period(self.adjacency, self.stationary)
        return no_exponents(period, "H_n is constant from n = 1 on")

    def extras(self) -> dict[str, Any]:
        """Degrees of the largest component."""
        return {
            "degrees": {
                "smallest": int(self.degrees.min()),
                "mean": float(self.degrees.mean()),
                "largest": int(self.degrees.max()),
            },
            "edges": int(self.adjacency.nnz // 2),
        }


def _check_links(links: Sequence[Sequence[int]], nodes: int, edges: int) -> None:
    try:
        array = np.asarray(links)
    except ValueError as error:
        raise InputError("links: the rows differ in length; give pairs of node numbers") from error
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise InputError("links: needs pairs of node numbers")
    if array.min() < 0 or array.max() >= nodes or len(array) != edges:
        raise InputError("links: needs `edges` pairs of numbers below `nodes`")


def _stationary(transitions: Any, start: Floats) -> Floats:
    """Stationary distribution of an irreducible chain, by steps of the chain that often rests."""
    back = transitions.T.tocsr()
    pi: Floats = start
    for _ in range(_MAX_ITERATIONS):
        # Resting half of the time removes oscillations and leaves the distribution as it is.
        step: Floats = (pi + back @ pi) / 2
        step /= step.sum()
        change = float(np.abs(step - pi).sum())
        pi = step
        if change < _BALANCE:
            return pi
    raise InputError(
        f"the stationary distribution is not reached in {_MAX_ITERATIONS} steps, because the walk "
        "nearly falls into parts; use a smaller rank_exponent or bias, or another rules_seed"
    )


def _largest_singular_value(operator: Any, *, symmetric: bool) -> float:
    from scipy.sparse.linalg import eigsh, svds

    n = operator.shape[0]
    start = np.random.default_rng(0).standard_normal(n)
    if float(np.linalg.norm(operator.matvec(start))) < _NOTHING:
        return 0.0
    options: dict[str, Any] = {
        "k": 1, "which": "LM", "tol": _TOLERANCE, "ncv": min(_VECTORS, n - 1),
        "v0": start,
    }  # fmt: skip
    if symmetric:
        values = eigsh(operator, return_eigenvectors=False, **options)
    else:
        values = svds(operator, return_singular_vectors=False, **options)
    return float(np.abs(values).max())
