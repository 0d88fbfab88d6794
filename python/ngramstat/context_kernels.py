"""Typed, checked front of the kernels that predict from contexts: node estimates and mixers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.errors import InputError

__all__ = ["BUCKETS", "MAX_OFFSET", "STRETCH_UNIT", "ContextNodes", "Mixer", "path_lengths"]

BUCKETS = _core.BUCKETS
MAX_OFFSET = _core.MAX_OFFSET
STRETCH_UNIT = _core.STRETCH_UNIT

Masses = NDArray[np.float32]

# (context, token) events held at a time, 8 bytes each.
_MOST_EVENTS = 1 << 27


def path_lengths(leaf_of: NDArray[np.uint32], split: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Turns on the way to each token, (V,); ValueError unless the arrays describe a tree."""
    return _core.path_lengths(leaf_of, split)


class ContextNodes:
    """What a training text says after each target's context, at every turn of the target's path.

    Parameters
    ----------
    text : (n,) uint16 or uint32
        Tokens to score, with the contexts before them.
    targets : (k,) int64
        Positions of the text to score, ascending.
    leaf_of, split : uint32
        The tree, see `ngramstat.statistics.token_tree.TokenTree`.
    offsets : sequence of int
        How many tokens back the pattern looks, 1 .. MAX_OFFSET each.
    maps : sequence of int
        By offset: the row of `class_maps` through which it looks, -1 for the token itself.
    class_maps : (n_maps, n_symbols) uint32
        n_symbols is V, or V + 1 where the stop token is V.
    stop_token : int, optional
        Contexts reach back to this token and no further.

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
        leaf_of: NDArray[np.uint32],
        split: NDArray[np.uint32],
        *,
        offsets: Sequence[int],
        maps: Sequence[int],
        class_maps: NDArray[np.uint32],
        stop_token: int | None = None,
    ) -> None:
        model: Any = _core.ContextNodes16 if text.dtype == np.uint16 else _core.ContextNodes32
        self._dtype = text.dtype
        self._nodes = model(
            text,
            np.ascontiguousarray(targets, dtype=np.int64),
            leaf_of,
            split,
            list(offsets),
            list(maps),
            class_maps,
            class_maps.shape[1],
            -1 if stop_token is None else stop_token,
        )

    def count(
        self,
        training: NDArray[Any],
        *,
        first_event: int = 0,
        neighbour: int = 0,
        most_events: int = _MOST_EVENTS,
        threads: int = 1,
    ) -> None:
        """Count what follows the contexts in the training text, from `first_event` on. Once.

        With neighbour > 0 also after how many distinct tokens so many places back (lower counts).
        Beyond `most_events` the training text is read several times; the counts are the same.
        """
        if training.dtype != self._dtype:
            raise InputError(
                f"training: dtype {training.dtype} differs from the text's {self._dtype}"
            )
        self._nodes.count(training, first_event, neighbour, most_events, threads)

    def counts_of_counts(self, *, lower: bool = False) -> NDArray[np.uint64]:
        """Numbers of distinct (context, token) with counts 1, 2, 3, 4; (4,)."""
        found: NDArray[np.uint64] = self._nodes.counts_of_counts(lower)
        return found

    def evaluate(
        self,
        discounts: Sequence[float],
        turn_offsets: NDArray[np.int64],
        parent_mass: Masses | None,
        *,
        threads: int = 1,
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Log odds of every turn taken, in STRETCH_UNIT, and its bucket of counts; (turns,) each.

        `discounts` are D1, D2, D3+; `parent_mass` (turns, 2) what the pattern falls back on, None
        the uniform distribution. Turns of target k are turn_offsets[k] .. turn_offsets[k + 1].
        """
        turns = int(turn_offsets[-1])
        stretch, buckets = np.zeros(turns, np.int16), np.zeros(turns, np.uint8)
        self._run(False, discounts, turn_offsets, parent_mass, None, stretch, buckets, threads)
        return stretch, buckets

    def mass(
        self,
        discounts: Sequence[float],
        turn_offsets: NDArray[np.int64],
        parent_mass: Masses | None,
        *,
        lower: bool = True,
        threads: int = 1,
    ) -> Masses:
        """(turns, 2): probability of the branch taken and of its sibling, of the whole vocabulary.

        From the lower counts, as patterns that fall back on this one need it, or the raw ones.
        """
        mass = np.zeros((int(turn_offsets[-1]), 2), np.float32)
        none = np.zeros(0, np.int16), np.zeros(0, np.uint8)
        self._run(lower, discounts, turn_offsets, parent_mass, mass, *none, threads)
        return mass

    def _run(
        self,
        lower: bool,
        discounts: Sequence[float],
        turn_offsets: NDArray[np.int64],
        parent_mass: Masses | None,
        mass: Masses | None,
        stretch: NDArray[np.int16],
        buckets: NDArray[np.uint8],
        threads: int,
    ) -> None:
        empty = np.zeros((0, 2), np.float32)
        self._nodes.evaluate(
            lower,
            [float(d) for d in discounts],
            turn_offsets,
            empty if parent_mass is None else parent_mass,
            empty if mass is None else mass,
            stretch,
            buckets,
            threads,
        )


class Mixer:
    """Adds log odds of several estimates with weights that depend on buckets and states.

    Parameters
    ----------
    rows : sequence of int
        Rows of the evidence that are its inputs, at most 64.
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
        stretch: NDArray[np.int16],
        buckets: NDArray[np.uint8],
        states: NDArray[np.uint16],
        first: int,
        last: int,
        rate: float,
    ) -> float:
        """One pass over the turns first .. last; returns their loss before each step, nats.

        stretch and buckets are (n_rows, turns), states (n_selectors, turns).
        """
        return self._mixer.train(stretch, buckets, states, first, last, rate)

    def score(
        self,
        stretch: NDArray[np.int16],
        buckets: NDArray[np.uint8],
        states: NDArray[np.uint16],
        turn_offsets: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """-ln p of every target, (k,), nats; its turns lie between two turn_offsets, (k + 1,)."""
        return self._mixer.score(stretch, buckets, states, np.ascontiguousarray(turn_offsets))
