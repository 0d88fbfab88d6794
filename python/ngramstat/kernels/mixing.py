"""Validated wrappers of the kernels that predict from contexts: counts of contexts, and mixers.

Tokens are predicted by binary decisions along a tree. `ContextCounts` estimates the probability of
every decision from one pattern of context, as packed logits; `MixerGroup` combines the packed
logits of many patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.kernels.gpu_dispatch import gpu_tokens

__all__ = [
    "BUCKETS",
    "EVENT_BYTES",
    "FALLBACK_UNIT",
    "LOGIT_UNIT",
    "MAX_EVENTS",
    "MAX_MIXERS",
    "MAX_OFFSET",
    "ContextCounts",
    "ContextPattern",
    "Discounts",
    "FallbackLogits",
    "GpuTraining",
    "MixerGroup",
    "MixerShape",
    "TokenTree",
    "Vocabulary",
    "buckets_of",
    "decision_states",
    "logits_of",
    "path_lengths",
]

BUCKETS = _core.BUCKETS
MAX_MIXERS = _core.MAX_MIXERS
MAX_OFFSET = _core.MAX_OFFSET
FALLBACK_UNIT = _core.FALLBACK_UNIT
LOGIT_UNIT = _core.LOGIT_UNIT

PackedLogits = NDArray[np.uint16]
FallbackLogits = NDArray[np.int16]

# (context, token) events held at a time, and the bytes of one.
MAX_EVENTS = 1 << 25
EVENT_BYTES = 8


@dataclass(frozen=True)
class TokenTree:
    """A binary tree over V tokens.

    Attributes
    ----------
    leaf_of : (V,) uint32
        Number of each token's leaf, from left to right.
    split : (V - 1,) uint32
        By inner node in preorder: the first leaf of its right branch.
    """

    leaf_of: NDArray[np.uint32]
    split: NDArray[np.uint32]

    def classes(self, depth: int) -> NDArray[np.uint32]:
        """The branch of every token at a depth, (V,), numbered from 0 from left to right."""
        size = len(self.leaf_of)
        if size == 1:
            return np.zeros(1, np.uint32)
        leaf = self.leaf_of.astype(np.int64)
        first, end = np.zeros(size, np.int64), np.full(size, size)
        node = np.zeros(size, np.int64)
        for _ in range(depth):
            inner = end - first > 1
            at = self.split[np.minimum(node, size - 2)].astype(np.int64)
            right, left = inner & (leaf >= at), inner & (leaf < at)
            node = np.where(right, node + at - first, np.where(left, node + 1, node))
            first, end = np.where(right, at, first), np.where(left, at, end)
        return np.unique(first, return_inverse=True)[1].astype(np.uint32)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a stream.

    Attributes
    ----------
    size : int
        V: the tokens that can be predicted.
    stop_token : int or None
        Contexts extend back to this token and no further. The id V itself may stand for a separator
        that is never predicted.
    """

    size: int
    stop_token: int | None = None

    @property
    def n_symbols(self) -> int:
        """Number of ids that occur in the stream: V, or V + 1 where the stop token is V."""
        return self.size + (self.stop_token == self.size)


@dataclass(frozen=True)
class ContextPattern:
    """Which tokens make a context.

    Attributes
    ----------
    offsets : sequence of int
        How many tokens back each of them is, 1 .. MAX_OFFSET.
    maps : sequence of int
        By offset: the row of `class_maps` that replaces the token by its class; -1 keeps the token.
    class_maps : (n_maps, n_symbols) uint32
        The class of every symbol.
    """

    offsets: Sequence[int]
    maps: Sequence[int]
    class_maps: NDArray[np.uint32]


@dataclass(frozen=True)
class Discounts:
    """Discounts D1, D2, D3+ of the raw counts and of the continuation counts, (3,) each."""

    raw: Sequence[float]
    continuation: Sequence[float] = (0.5, 1.0, 1.5)


def path_lengths(tree: TokenTree) -> NDArray[np.uint32]:
    """Number of decisions on the path to each token, (V,); ValueError for an invalid tree."""
    return _core.path_lengths(tree.leaf_of, tree.split)


def decision_states(
    tree: TokenTree,
    tokens: NDArray[Any],
    offsets: NDArray[np.int64],
    *,
    max_depth: int,
    max_nodes: int,
    threads: int = 1,
) -> NDArray[np.uint16]:
    """Depth and inner node of every decision on the paths to some tokens, (2, decisions).

    Parameters
    ----------
    tree : TokenTree
    tokens : (n,) integers
    offsets : (n + 1,) int64
        Decisions of token i are offsets[i] .. offsets[i + 1].
    max_depth, max_nodes : int
        Up to 65536: deeper decisions have depth max_depth - 1, and nodes are modulo max_nodes.

    Raises
    ------
    ValueError
        The offsets are not those of the tokens' paths.
    IndexError
        A token is not in the tree.
    """
    states = np.zeros((2, int(offsets[-1])), np.uint16)
    _core.decision_states(
        tree.leaf_of, tree.split, tokens.astype(np.uint32), offsets, max_depth, max_nodes, states,
        threads,
    )  # fmt: skip
    return states


def buckets_of(packed_logits: PackedLogits) -> NDArray[np.uint16]:
    """How often each decision's node was seen, as a bucket below BUCKETS."""
    buckets: NDArray[np.uint16] = packed_logits & np.uint16(BUCKETS - 1)
    return buckets


def logits_of(packed_logits: PackedLogits) -> NDArray[np.float64]:
    """ln(p / (1 - p)) of the branch taken at each decision, a multiple of LOGIT_UNIT."""
    return (packed_logits.view(np.int16) // BUCKETS).astype(np.float64) * LOGIT_UNIT


class GpuTraining:
    """A training stream on a GPU, for the counts of any number of patterns.

    Parameters
    ----------
    tokens : (m,) uint16 or uint32
        Or a tensor on the GPU, which is not copied.
    vocabulary : Vocabulary
    gpu : Gpu

    Raises
    ------
    IndexError
        A token is not below the number of symbols.
    DeviceMemoryError
        The stream does not fit the GPU's memory.
    """

    def __init__(self, tokens: Any, vocabulary: Vocabulary, gpu: _core.Gpu) -> None:
        stop_token = vocabulary.stop_token
        self._size = len(tokens)
        self.counter = gpu.followers_counter(
            gpu_tokens(tokens), vocabulary.size, -1 if stop_token is None else stop_token
        )

    def __len__(self) -> int:
        return self._size


class ContextCounts:
    """What a training stream says after each target's context, to be read along trees of tokens.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
        Tokens to score, with the contexts before them.
    targets : (k,) int64
        Positions of the tokens to score, ascending.
    vocabulary : Vocabulary
    pattern : ContextPattern
    n_leave_one_out : int
        Number of targets, the first ones, that are scored leave-one-out: they lie in a part of the
        training stream whose counts are subtracted for them.
    second_stream : int
        Tokens from this position on are another stream, whose contexts do not reach back before it;
        0: there is one stream.
    threads : int

    Raises
    ------
    IndexError
        A token is not below the number of symbols.
    ValueError
        Arrays that do not fit together.
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        targets: NDArray[np.int64],
        *,
        vocabulary: Vocabulary,
        pattern: ContextPattern,
        n_leave_one_out: int = 0,
        second_stream: int = 0,
        threads: int = 1,
    ) -> None:
        stop_token = vocabulary.stop_token
        self._counts = _core.ContextCounts(
            tokens,
            np.ascontiguousarray(targets, dtype=np.int64),
            n_leave_one_out,
            second_stream,
            vocabulary.size,
            -1 if stop_token is None else stop_token,
            list(pattern.offsets),
            list(pattern.maps),
            pattern.class_maps,
            threads,
        )
        self._has_continuation = False

    def count(
        self,
        training: NDArray[Any] | GpuTraining,
        *,
        first_event: int = 0,
        first_leave_one_out: int | None = None,
        continuation_offset: int = 0,
        max_events: int = MAX_EVENTS,
        threads: int = 1,
        candidates: NDArray[np.uint64] | None = None,
    ) -> NDArray[np.uint64] | None:
        """Count the tokens that follow the targets' contexts in training. To be called once.

        Parameters
        ----------
        training : (m,) as `tokens`, or GpuTraining
            Of the same vocabulary. Counts that are made on a GPU are the same.
        first_event : int
            Tokens before it only serve as context.
        first_leave_one_out : int, optional
            Where the part begins that the leave-one-out targets lie in; it goes to the end.
        continuation_offset : int
            If positive, also count the distinct tokens at this distance before the token
            (continuation counts), for the patterns that fall back on this one.
        max_events : int
            Beyond this number of events, training is read several times; the counts are the same.
            On a GPU its memory decides.
        candidates : (ceil(m / 64),) uint64, optional
            One bit per training token, of word i // 64 from the lowest bit on: events whose context
            may be one of the targets', such as the known ones of a pattern that this one falls back
            on. All others are skipped.

        Returns
        -------
        NDArray or None
            With continuation counts: the events whose context is one of the targets', as
            `candidates`.
        """
        if first_leave_one_out is None:
            first_leave_one_out = len(training)
        words = (len(training) + 63) // 64
        none = np.zeros(0, np.uint64)
        known = np.zeros(words, np.uint64) if continuation_offset > 0 else none
        if candidates is None:
            candidates = none
        if isinstance(training, GpuTraining):
            training.counter.count(
                self._counts, first_event, first_leave_one_out, continuation_offset, threads,
                candidates, known,
            )  # fmt: skip
        else:
            self._counts.count(
                training, first_event, first_leave_one_out, continuation_offset, max_events,
                threads, candidates, known,
            )  # fmt: skip
        self._has_continuation = continuation_offset > 0
        return known if self._has_continuation else None

    def counts_of_counts(
        self, *, continuation: bool = False, left_out: bool = False, threads: int = 1
    ) -> NDArray[np.uint64]:
        """Numbers of distinct (context, token) with counts 1, 2, 3, 4; (4,).

        Of the contexts of all targets, or with `left_out` of the leave-one-out ones.
        """
        numbers: NDArray[np.uint64] = self._counts.counts_of_counts(continuation, left_out, threads)
        return numbers

    def interpolate(
        self,
        tree: TokenTree,
        decision_offsets: NDArray[np.int64],
        parent_logits: FallbackLogits | None,
        *,
        discounts: Discounts,
        out: PackedLogits | None = None,
        threads: int = 1,
    ) -> tuple[PackedLogits, FallbackLogits | None]:
        """The targets' decisions along one tree, by interpolated absolute discounting.

        Parameters
        ----------
        tree : TokenTree
        decision_offsets : (k + 1,) int64
            Decisions of target i are decision_offsets[i] .. decision_offsets[i + 1].
        parent_logits : (decisions,) int16, optional
            `fallback_logits` of the pattern that this one falls back on; None: the uniform
            distribution.
        discounts : Discounts
        out : (decisions,) uint16, optional
            Array for the packed logits.

        Returns
        -------
        packed_logits : (decisions,) uint16
            Logit of the branch taken and bucket of counts, see `logits_of` and `buckets_of`.
        fallback_logits : (decisions,) int16, or None without continuation counts
            Logit of the branch taken by the continuation counts, a multiple of FALLBACK_UNIT.
        """
        decisions = int(decision_offsets[-1])
        packed_logits = np.zeros(decisions, np.uint16) if out is None else out
        fallback_logits = np.zeros(decisions if self._has_continuation else 0, np.int16)
        parent = np.zeros(0, np.int16) if parent_logits is None else parent_logits
        self._counts.interpolate(
            tree.leaf_of,
            tree.split,
            [float(d) for d in discounts.raw],
            [float(d) for d in discounts.continuation],
            decision_offsets,
            parent,
            packed_logits,
            fallback_logits,
            threads,
        )
        return packed_logits, fallback_logits if self._has_continuation else None


@dataclass(frozen=True)
class MixerShape:
    """Which inputs and selectors one mixer of a group has: the first ones of each.

    Attributes
    ----------
    n_inputs : int
    n_chain : int
        How many inputs of the chain; their counts are a selector.
    n_selectors : int
        At most 2.
    """

    n_inputs: int
    n_chain: int
    n_selectors: int


class MixerGroup:
    """Logistic mixers of the same decisions: each adds logits with weights learned online.

    The weight of an input is a sum of one weight by its bucket and one by each selector's state.
    What the mixers share is read once.

    Parameters
    ----------
    parents : sequence of int
        The input whose logit is subtracted from each input's, before it in order; -1: none.
    initial : sequence of float
        Initial weights of the inputs.
    chain : sequence of int
        Inputs, at most three, whose counts are a selector.
    sizes : sequence of int
        Number of states of each selector, at most 65,536.
    shapes : sequence of MixerShape
        Of the mixers, at most MAX_MIXERS.
    """

    def __init__(
        self,
        parents: Sequence[int],
        initial: Sequence[float],
        chain: Sequence[int],
        sizes: Sequence[int],
        shapes: Sequence[MixerShape],
    ) -> None:
        self.shapes = list(shapes)
        self._group = _core.MixerGroup(
            list(parents),
            list(initial),
            list(chain),
            list(sizes),
            [[s.n_inputs, s.n_chain, s.n_selectors] for s in shapes],
        )

    def weights(self, mixer: int) -> list[NDArray[np.float32]]:
        """What `score` depends on, of one mixer: own weights, those of the chain and selectors."""
        return self._group.weights(mixer)

    def set_weights(self, mixer: int, weights: Sequence[NDArray[np.float32]]) -> None:
        """Replace the weights of one mixer by those of a group with the same arguments.

        Raises
        ------
        ValueError
            Their sizes are not those of this mixer.
        """
        arrays = [np.ascontiguousarray(w, np.float32) for w in weights]
        self._group.set_weights(mixer, arrays)

    def train(
        self,
        packed_logits: PackedLogits,
        states: NDArray[np.uint16],
        first: int,
        last: int,
        rates: Sequence[float],
    ) -> NDArray[np.float64]:
        """One pass over the decisions first .. last, with a learning rate for each mixer.

        packed_logits is (n_inputs, decisions), states (n_selectors, decisions). Returns by mixer
        the sum of -ln p, nats, of every decision before it was learned from.
        """
        return np.array(self._group.train(packed_logits, states, first, last, list(rates)))

    def score(
        self,
        packed_logits: PackedLogits,
        states: NDArray[np.uint16],
        decision_offsets: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """-ln p of every target by every mixer, (mixers, k), nats.

        Decisions of target i are decision_offsets[i] .. decision_offsets[i + 1].
        """
        return self._group.score(packed_logits, states, np.ascontiguousarray(decision_offsets))
