"""Markov chains of any order and random walks on graphs: exponents must be refused (THEORY 9.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import StateSource, check_probabilities, random_key, state_source
from ngramstat.synthetic.world import (
    MOST_DENSE,
    PIECE,
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
)

__all__ = ["GraphWalk", "MarkovChain"]

# Contexts of a chain, each a state with V outcomes.
_MOST_OUTCOMES = 1 << 24
_MOST_NODES = 1 << 20
# A chain whose covariance fell below this has forgotten; what is left is rounding.
_FORGOTTEN = 1e-17


def _paths(
    source: StateSource,
    start: int,
    document_length: int,
    dtype: np.dtype[Any],
    n_tokens: int,
    seed: int,
    threads: int,
) -> Iterator[Tokens]:
    """Documents from one starting state, a longer one in pieces."""
    key = random_key(seed, 1)
    per_piece = PIECE // document_length
    first = 0
    while first < n_tokens:
        if per_piece >= 1:
            documents = min(per_piece, -(-(n_tokens - first) // document_length))
            out = np.empty(documents * document_length, dtype)
            states = np.full(documents, start, np.uint32)
            source.sample(key, first, states, out, threads)
            yield out[: n_tokens - first]
            first += len(out)
            continue
        states = np.full(1, start, np.uint32)
        for done in range(0, min(document_length, n_tokens - first), PIECE):
            out = np.empty(min(PIECE, document_length - done), dtype)
            source.sample(key, first + done, states, out, threads)
            yield out[: n_tokens - first - done]
        first += document_length


@dataclass(frozen=True)
class MarkovChain(StationaryWorld):
    """A stationary chain of order k: H_n = H_k for n >= k, and C(t) falls exponentially.

    Parameters
    ----------
    transitions : array-like
        (V,) * order + (V,) probabilities of the next token given the last `order`, oldest first.
    document_length : int

    Raises
    ------
    InputError
        The array has another shape, is too large, does not sum to one, or the chain is not
        irreducible (its stationary distribution depends on where it starts).
    """

    kind: ClassVar[str] = "markov"

    transitions: Any
    document_length: int = 10_000

    def __post_init__(self) -> None:
        try:
            given = np.asarray(self.transitions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("transitions: not a rectangular array of numbers") from error
        if given.ndim < 2 or len(set(given.shape)) != 1 or given.shape[0] < 2:
            raise InputError(f"transitions: needs shape (V, ..., V), got {given.shape}")
        if given.size > _MOST_OUTCOMES:
            raise InputError(f"transitions: {given.size} numbers, at most {_MOST_OUTCOMES}")
        if not 2 <= self.document_length <= 1 << 40:
            raise InputError(f"document_length={self.document_length}: must lie in 2 .. 2^40")
        table = check_probabilities(given, "transitions")
        table.setflags(write=False)
        object.__setattr__(self, "transitions", table)
        self._require_irreducible()

    @classmethod
    def random(
        cls,
        vocab_size: int,
        order: int = 1,
        *,
        concentration: float = 1.0,
        rules_seed: int = 0,
        document_length: int = 10_000,
    ) -> MarkovChain:
        """Transitions drawn from symmetric Dirichlet distributions."""
        if not 2 <= vocab_size <= 1 << 16:
            raise InputError(f"vocab_size={vocab_size}: must lie in 2 .. 65536")
        if order < 1 or vocab_size ** (order + 1) > _MOST_OUTCOMES:
            raise InputError(
                f"order={order}: needs at least 1 and V^(order+1) <= {_MOST_OUTCOMES} transitions"
            )
        if not (math.isfinite(concentration) and concentration > 0):
            raise InputError(f"concentration={concentration}: must be positive")
        rng = np.random.default_rng([rules_seed, 0x4D4B56])
        rows = rng.dirichlet(np.full(vocab_size, concentration), vocab_size**order)
        return cls(rows.reshape((vocab_size,) * (order + 1)), document_length)

    @property
    def order(self) -> int:
        """Tokens that the next one depends on."""
        return int(self.transitions.ndim) - 1

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """V."""
        return int(self.transitions.shape[0])

    def parameters(self) -> dict[str, Any]:
        return {
            "order": self.order,
            "vocab_size": self.vocab_size,
            "document_length": self.document_length,
            "transitions": self.transitions.tolist(),
        }

    @cached_property
    def _chain(self) -> Any:
        """Transition matrix between contexts, sparse (V^k, V^k)."""
        from scipy.sparse import csr_array

        v, n = self.vocab_size, self.vocab_size**self.order
        contexts = np.repeat(np.arange(n), v)
        nexts = (contexts * v + np.tile(np.arange(v), n)) % n
        return csr_array((self.transitions.reshape(-1), (contexts, nexts)), shape=(n, n))

    def _require_irreducible(self) -> None:
        from scipy.sparse.csgraph import connected_components

        chain = self._chain.copy()
        chain.eliminate_zeros()
        count, label = connected_components(chain, directed=True, connection="strong")
        if count > 1:
            # Contexts that are left for good do not matter; two that are never left do.
            rows, columns = chain.nonzero()
            left = np.unique(label[rows[label[rows] != label[columns]]])
            if count - len(left) > 1:
                raise InputError("transitions: the chain falls into parts that it never leaves")

    @cached_property
    def stationary(self) -> Floats:
        """Distribution of the context, (V,) * order."""
        n = self.vocab_size**self.order
        if n <= MOST_DENSE:
            system = np.eye(n) - self._chain.toarray().T
            system[-1] = 1.0
            pi = np.linalg.solve(system, np.concatenate([np.zeros(n - 1), [1.0]]))
        else:
            from scipy.sparse.linalg import eigs

            _, vectors = eigs(self._chain.T.astype(np.float64), k=1, which="LM", tol=1e-14)
            pi = np.abs(vectors[:, 0].real)
        pi = np.maximum(pi, 0.0)
        found: Floats = (pi / pi.sum()).reshape((self.vocab_size,) * self.order)
        return found

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        """The chain with shorter contexts as further states, so that documents start stationary."""
        v, k = self.vocab_size, self.order
        tokens = np.arange(v)
        states = []
        # Context of j < k tokens: state number first[j] + its number; first[k] = 0 holds the rest.
        first = {k: 0}
        total = v**k
        for j in range(k - 1, -1, -1):
            first[j] = total
            total += v**j
        rows = self.transitions.reshape(-1, v)
        states += [(row, tokens, (c * v + tokens) % v**k) for c, row in enumerate(rows)]
        for j in range(k - 1, -1, -1):
            longer = self.stationary.sum(axis=tuple(range(j + 1, k))).reshape(v**j, v)
            for c in range(v**j):
                weight = longer[c].sum()
                row = longer[c] / weight if weight > 0 else np.full(v, 1.0 / v)
                states.append((row, tokens, first[j + 1] + c * v + tokens))
        return state_source(states), first[0]

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return _paths(source, start, self.document_length, self.dtype, n_tokens, seed, threads)

    @cached_property
    def marginal(self) -> Floats:
        """Distribution of a token, (V,)."""
        found: Floats = self.stationary.sum(axis=tuple(range(1, self.order)))
        return found

    def _covariances(self) -> Iterator[Floats]:
        """C(1), C(2), ..., the chain stepped once per lag."""
        v, k = self.vocab_size, self.order
        if v > MOST_DENSE:
            raise InputError(f"V = {v}: a covariance is a matrix of V^2 numbers")
        product = np.outer(self.marginal, self.marginal)
        for lag in range(1, k):
            others = tuple(a for a in range(1, k) if a != lag)
            yield self.stationary.sum(axis=others) - product
        # joint[x, context]: token x, and the context that ends some steps later.
        n = v**k
        joint = np.zeros((v, n))
        joint[np.arange(n) // v ** (k - 1), np.arange(n)] = self.stationary.reshape(-1)
        while True:
            joint = (self._chain.T @ joint.T).T
            yield joint.reshape(v, -1, v).sum(axis=1) - product

    def process_covariance(self, lag: int) -> Floats:
        return next(islice(self._covariances(), lag - 1, None))

    def process_norms(self, lags: Sequence[int], background: Floats | None = None) -> Floats:
        wanted: dict[int, Floats] = {}
        mean = np.zeros((self.vocab_size, self.vocab_size))
        last = max(lags)
        longest = last if background is None else max(last, len(background) - 1)
        for t, c in enumerate(islice(self._covariances(), longest), start=1):
            if t in lags:
                wanted[t] = c
            if background is not None and t < len(background):
                mean += background[t] * (c + c.T) / 2
            if t >= last and np.abs(c).max() < _FORGOTTEN:
                break
        return np.array([np.linalg.norm(wanted[lag] - mean, 2) for lag in lags])

    def process_entropies(self, max_context: int) -> Floats:
        found = np.empty(max_context + 1)
        v, k = self.vocab_size, self.order
        window = self.stationary.reshape(-1, 1) * self.transitions.reshape(-1, v)
        window = window.reshape((v,) * (k + 1))
        for n in range(max_context + 1):
            short = min(n, k)
            joint = window.sum(axis=tuple(range(k - short)))
            found[n] = block_entropy(joint.reshape(-1)) - block_entropy(
                joint.sum(axis=-1).reshape(-1)
            )
        return found

    def exponents(self) -> dict[str, KnownExponent]:
        why = "not a power law: C(t) falls exponentially, H_n is constant from the chain's order on"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}


@dataclass(frozen=True)
class GraphWalk(StationaryWorld):
    """Random walk on a graph, one token per node (Barkeshli, arXiv 2601.10684).

    The graph is Erdos-Renyi with the given numbers of nodes and edges, and the walk lives on its
    largest connected component, whose nodes are the vocabulary.

    Parameters
    ----------
    nodes, edges : int
    rules_seed : int
        Seed of the graph.
    document_length : int
    links : (m, 2) integers, optional
        Explicit undirected edges between nodes 0 .. nodes - 1 in place of drawn ones.

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

    def __post_init__(self) -> None:
        if not 2 <= self.nodes <= _MOST_NODES:
            raise InputError(f"nodes={self.nodes}: must lie in 2 .. 2^20")
        most = self.nodes * (self.nodes - 1) // 2
        if not 1 <= self.edges <= min(most, _MOST_OUTCOMES):
            raise InputError(
                f"edges={self.edges}: must lie in 1 .. {min(most, _MOST_OUTCOMES)} for "
                f"{self.nodes} nodes"
            )
        if not 2 <= self.document_length <= 1 << 40:
            raise InputError(f"document_length={self.document_length}: must lie in 2 .. 2^40")
        if self.links is not None:
            array = np.asarray(self.links)
            if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
                raise InputError("links: needs pairs of node numbers")
            if array.min() < 0 or array.max() >= self.nodes or len(array) != self.edges:
                raise InputError("links: needs `edges` pairs of numbers below `nodes`")
        if self.vocab_size < 2:
            raise InputError("the graph's largest component has fewer than two nodes")

    @cached_property
    def adjacency(self) -> Any:
        """Of the largest component, sparse (V, V), symmetric, zeros and ones."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = self.nodes
        if self.links is not None:
            pairs = np.asarray(self.links, dtype=np.int64)
        else:
            rng = np.random.default_rng([self.rules_seed, 0x475248])
            found: NDArray[np.int64] = np.zeros(0, np.int64)
            while len(found) < self.edges:
                more = rng.integers(0, n * n, 2 * (self.edges - len(found)) + 16)
                more = more[more // n < more % n]
                together = np.concatenate([found, more])
                _, first = np.unique(together, return_index=True)
                found = together[np.sort(first)][: self.edges]
            pairs = np.stack([found // n, found % n], axis=1)
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
        found: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("nodes", "edges", "rules_seed", "document_length")
        }
        if self.links is not None:
            found["links"] = np.asarray(self.links).tolist()
        return found

    @cached_property
    def degrees(self) -> Floats:
        """Neighbours of every node, (V,)."""
        return np.asarray(self.adjacency.sum(axis=1)).reshape(-1)

    @cached_property
    def stationary(self) -> Floats:
        """deg / 2E, (V,)."""
        found: Floats = self.degrees / self.degrees.sum()
        return found

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        graph, v = self.adjacency, self.vocab_size
        start = state_source([(self.stationary, np.arange(v), np.arange(v))])
        sizes = np.diff(graph.indptr)
        within = np.arange(graph.nnz) - np.repeat(graph.indptr[:-1], sizes)
        neighbours = graph.indices.astype(np.uint32)
        source = StateSource(
            np.concatenate([graph.indptr, [graph.nnz + v]]).astype(np.int64),
            np.concatenate([np.full(graph.nnz, 2**64 - 1, np.uint64), start.threshold]),
            np.concatenate([within.astype(np.uint32), start.alias]),
            np.concatenate([neighbours, start.token]),
            np.concatenate([neighbours, start.next]),
        )
        return source, v

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return _paths(source, start, self.document_length, self.dtype, n_tokens, seed, threads)

    @cached_property
    def _spectrum(self) -> tuple[Floats, Floats]:
        """Eigenvalues and vectors of D^-1/2 A D^-1/2, the walk made symmetric."""
        if self.vocab_size > MOST_DENSE:
            raise InputError(f"V = {self.vocab_size}: a covariance is a matrix of V^2 numbers")
        scale = 1.0 / np.sqrt(self.degrees)
        values, vectors = np.linalg.eigh(self.adjacency.toarray() * np.outer(scale, scale))
        return values, vectors

    def _matrix(self, of_values: Floats) -> Floats:
        """D_pi^1/2 f(walk) D_pi^1/2 without its constant part (the eigenvalue one)."""
        _, vectors = self._spectrum
        moved = np.sqrt(self.stationary)[:, None] * vectors[:, :-1]
        matrix: Floats = (moved * of_values[:-1]) @ moved.T
        return matrix

    def process_covariance(self, lag: int) -> Floats:
        return self._matrix(self._spectrum[0] ** lag)

    def process_norms(self, lags: Sequence[int], background: Floats | None = None) -> Floats:
        if self.vocab_size > MOST_DENSE:
            if background is not None:
                return np.full(len(lags), np.nan)
            return np.array([self._large_norm(lag) for lag in lags])
        values = self._spectrum[0]
        mean = np.zeros(len(values))
        if background is not None:
            power = np.ones(len(values))
            for weight in background[1:].tolist():
                power = power * values
                mean += weight * power
        return np.array([_symmetric_norm(self._matrix(values**lag - mean)) for lag in lags])

    def _large_norm(self, lag: int) -> float:
        from scipy.sparse.linalg import LinearOperator, eigsh

        walk = self.adjacency.multiply(1.0 / self.degrees[:, None]).tocsr()
        pi = self.stationary

        def apply(x: Floats) -> Floats:
            # D_pi T^lag x - pi (pi . x); D_pi T^lag is symmetric (detailed balance).
            y = np.asarray(x, dtype=np.float64).reshape(-1)
            out = y
            for _ in range(lag):
                out = walk @ out
            result: Floats = pi * (out - pi @ y)
            return result

        n = self.vocab_size
        operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        values = eigsh(operator, k=1, which="LM", v0=start, return_eigenvectors=False, tol=1e-10)
        return float(np.abs(values[0]))

    def process_entropies(self, max_context: int) -> Floats:
        found = np.full(max_context + 1, float(self.stationary @ np.log(self.degrees)))
        found[0] = block_entropy(self.stationary)
        return found

    def exponents(self) -> dict[str, KnownExponent]:
        why = "not a power law: C(t) falls exponentially, H_n is constant from n = 1 on"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}


def _symmetric_norm(matrix: Floats) -> float:
    """Largest absolute eigenvalue."""
    if len(matrix) <= 64:
        return float(np.abs(np.linalg.eigvalsh(matrix)).max())
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(len(matrix))
    return float(np.abs(eigsh(matrix, k=1, which="LM", v0=start, return_eigenvectors=False))[0])
