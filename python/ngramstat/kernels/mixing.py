"""Typed, checked front of the kernels that predict from contexts: node estimates and mixers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core

__all__ = [
    "BUCKETS",
    "EVENT_BYTES",
    "LOGIT_UNIT",
    "MAX_EVENTS",
    "MAX_OFFSET",
    "ContextCounts",
    "Mixer",
    "buckets_of",
    "logits_of",
    "path_lengths",
]

BUCKETS = _core.BUCKETS
MAX_OFFSET = _core.MAX_OFFSET
LOGIT_UNIT = _core.LOGIT_UNIT

PackedLogits = NDArray[np.uint16]
Masses = NDArray[np.float32]

# (context, token) events held at a time, and what each takes.
MAX_EVENTS = 1 << 27
EVENT_BYTES = 8


def path_lengths(leaf_of: NDArray[np.uint32], split: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Decisions on the way to each token, (V,); ValueError unless the arrays describe a tree."""
    return _core.path_lengths(leaf_of, split)


def buckets_of(packed_logits: PackedLogits) -> NDArray[np.uint16]:
    """How much each decision's node was seen, below BUCKETS: the lower bits of the packed_logits."""
    buckets: NDArray[np.uint16] = packed_logits & np.uint16(BUCKETS - 1)
    return buckets


def logits_of(packed_logits: PackedLogits) -> NDArray[np.float64]:
    """ln(p / (1 - p)) of each decision taken: the upper bits of the packed_logits, in LOGIT_UNIT."""
    return (packed_logits.view(np.int16) // BUCKETS).astype(np.float64) * LOGIT_UNIT


class ContextCounts:
    """What a training text says after each target's context, to be read along a tree of tokens.

    Parameters
    ----------
    text : (n,) uint16 or uint32
        Tokens to score, with the contexts before them.
    targets : (k,) int64
        Positions of the text to score, ascending.
    vocab_size : int
        V.
    offsets : sequence of int
        How many tokens back the pattern looks, 1 .. MAX_OFFSET each.
    maps : sequence of int
        By offset: the row of `class_maps` through which it looks, -1 for the token itself.
    class_maps : (n_maps, n_symbols) uint32
        n_symbols is V, or V + 1 where the stop token is V.
    stop_token : int, optional
        Contexts reach back to this token and no further.
    leave_one_out : int
        So many targets, the first ones, are of a text that is counted too: what that text says is
        taken off again when they are read.

    Raises
    ------
    IndexError
        A token is not below the number of symbols.
    ValueError
        Arrays that do not fit together.
    """

    def __init__(
        self,
        text: NDArray[Any],
        targets: NDArray[np.int64],
        *,
        vocab_size: int,
        offsets: Sequence[int],
        maps: Sequence[int],
        class_maps: NDArray[np.uint32],
        stop_token: int | None = None,
        leave_one_out: int = 0,
    ) -> None:
        self._counts = _core.ContextCounts(
            text,
            np.ascontiguousarray(targets, dtype=np.int64),
            leave_one_out,
            vocab_size,
            list(offsets),
            list(maps),
            class_maps,
            class_maps.shape[1],
            -1 if stop_token is None else stop_token,
        )
        self._has_lower = False

    def count(
        self,
        training: NDArray[Any],
        *,
        first_event: int = 0,
        first_leave_one_out: int | None = None,
        neighbour: int = 0,
        most_events: int = MAX_EVENTS,
        threads: int = 1,
    ) -> None:
        """Count what follows the contexts in the training text, from `first_event` on. Once.

        From `first_leave_one_out` on it is the text of the held-in targets. With neighbour > 0 also
        after how many distinct tokens so many places back (lower counts). Beyond `most_events` the
        training text is read several times; the counts are the same.
        """
        first_leave_one_out = len(training) if first_leave_one_out is None else first_leave_one_out
        self._counts.count(
            training, first_event, first_leave_one_out, neighbour, most_events, threads
        )
        self._has_lower = neighbour > 0

    def counts_of_counts(self, *, lower: bool = False) -> NDArray[np.uint64]:
        """Numbers of distinct (context, token) with counts 1, 2, 3, 4; (4,)."""
        found: NDArray[np.uint64] = self._counts.counts_of_counts(lower)
        return found

    def evaluate(
        self,
        leaf_of: NDArray[np.uint32],
        split: NDArray[np.uint32],
        decision_offsets: NDArray[np.int64],
        parent_mass: Masses | None,
        *,
        raw: Sequence[float],
        lower: Sequence[float] = (0.5, 1.0, 1.5),
        out: PackedLogits | None = None,
        threads: int = 1,
    ) -> tuple[PackedLogits, Masses | None]:
        """The targets' decisions along one tree, with absolute discounting.

        Parameters
        ----------
        leaf_of, split : uint32
            The tree, see `ngramstat.entropy.token_tree.TokenTree`.
        decision_offsets : (k + 1,) int64
            Decisions of target i are decision_offsets[i] .. decision_offsets[i + 1].
        parent_mass : (decisions, 2) float32, optional
            What the pattern falls back on; None is the uniform distribution.
        raw, lower : (3,) floats
            Discounts D1, D2, D3+ of the raw and of the lower counts.
        out : (decisions,) uint16, optional
            Where the packed_logits goes.

        Returns
        -------
        packed_logits : (decisions,) uint16
            Log odds of every decision taken and bucket of counts, see `logits_of` and `buckets_of`.
        mass : (decisions, 2) float32, or None without lower counts
            Probability, from the lower counts, of the branch taken and of its sibling.
        """
        decisions = int(decision_offsets[-1])
        packed_logits = np.zeros(decisions, np.uint16) if out is None else out
        mass = np.zeros((decisions if self._has_lower else 0, 2), np.float32)
        parent = np.zeros((0, 2), np.float32) if parent_mass is None else parent_mass
        self._counts.evaluate(
            leaf_of,
            split,
            [float(d) for d in raw],
            [float(d) for d in lower],
            decision_offsets,
            parent,
            packed_logits,
            mass,
            threads,
        )
        return packed_logits, mass if self._has_lower else None


class Mixer:
    """Adds log odds of several estimates with weights that depend on buckets and states.

    Parameters
    ----------
    rows : sequence of int
        Rows of the packed_logits that are its inputs, at most 64.
    parents : sequence of int
        Number of the input that each is taken relative to, before it in order; -1: none.
    initial : sequence of float
        First weights of the inputs.
    sizes : sequence of int
        Number of states of each selector, at most 65,536.
    """

    def __init__(
        self,
        rows: Sequence[int],
        parents: Sequence[int],
        initial: Sequence[float],
        sizes: Sequence[int],
    ) -> None:
        self._mixer = _core.Mixer(list(rows), list(parents), list(initial), list(sizes))

    def train(
        self,
        packed_logits: PackedLogits,
        states: NDArray[np.uint16],
        first: int,
        last: int,
        rate: float,
    ) -> float:
        """One pass over the decisions first .. last; returns their loss before each step, nats.

        packed_logits is (n_rows, decisions), states (n_selectors, decisions).
        """
        return self._mixer.train(packed_logits, states, first, last, rate)

    def score(
        self,
        packed_logits: PackedLogits,
        states: NDArray[np.uint16],
        decision_offsets: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """-ln p of every target, (k,), nats; its decisions lie between two decision_offsets, (k + 1,)."""
        return self._mixer.score(packed_logits, states, np.ascontiguousarray(decision_offsets))
