"""The tokens of a mixture: training, a tuning slice of it, and the held-out tokens in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import Documents
from ngramstat.kernels.mixing import MAX_OFFSET, Vocabulary
from ngramstat.ngram_models.split_streams import (
    ScoredPieces,
    SplitStreams,
    content_positions,
    scored_documents,
)
from ngramstat.runtime.workspace import release_pages_if_needed

__all__ = [
    "MAX_SCORED",
    "PIECE_TOKENS",
    "MixtureSplit",
    "Piece",
    "pieces_of",
    "pieces_of_targets",
    "tuning_split",
    "tuning_tokens",
]

# Held-out tokens that are scored; where there are more, a sample of whole documents. A limit of
# time and memory: Kneser-Ney scores the others, and what the two differ by varies little.
MAX_SCORED = 400_000
# Tokens scored in one piece: a limit of memory.
PIECE_TOKENS = 2_000_000


@dataclass(frozen=True)
class MixtureSplit:
    """Tokens to train, tune and score a mixture, laid out as in `ngramstat.entropy.kneser_ney`.

    Attributes
    ----------
    training : (n,) uint16 or uint32
        All training tokens; the documents of the tuning slice are its end.
    first_event : int
        Training tokens before it only serve as context.
    first_tuning : int
        Where the tuning slice begins in `training`.
    tuning, tuning_documents : the tuning slice, on which the weights are learned
    held_out : (n,) of the same dtype
    scored : ScoredPieces
        What of the held-out tokens is scored.
    vocab_size : int
    stop_token : int or None
    sample : (n_parts,) bool, optional
        The held-out parts that are scored; by default all.
    """

    training: NDArray[Any]
    first_event: int
    first_tuning: int
    tuning: NDArray[Any]
    tuning_documents: Documents
    held_out: NDArray[Any]
    scored: ScoredPieces
    vocab_size: int
    stop_token: int | None
    sample: NDArray[np.bool_] | None = None

    @property
    def in_sample(self) -> NDArray[np.bool_]:
        """Which held-out parts are scored, (n_parts,)."""
        if self.sample is None:
            return np.ones(len(self.scored.part_ends), bool)
        return self.sample

    @property
    def targets(self) -> NDArray[np.int64]:
        """Positions of the held-out tokens to score, ascending."""
        positions = content_positions(self.scored.documents)
        if self.sample is None:
            return positions
        chosen: NDArray[np.int64] = positions[
            np.repeat(self.sample[self.scored.part], self.scored.tokens)
        ]
        return chosen

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary with its stop token."""
        return Vocabulary(self.vocab_size, self.stop_token)


def tuning_tokens(n_training: int) -> float:
    """Size of the tuning slice, in tokens, that `tuning_split` aims at: not rounded.

    A fiftieth of the training tokens: at least 50,000 of them, but no more than a tenth, and at
    most 350,000.
    """
    return min(max(0.02 * n_training, min(5e4, 0.1 * n_training)), 3.5e5)


def tuning_split(streams: SplitStreams, seed: int) -> MixtureSplit:
    """Chooses whole random training documents as the tuning slice, and moves them to the end.

    Their size is about `tuning_tokens`. The training tokens are moved in place: `streams.training`
    is that of the result, and `streams.training_ends` no longer fit it.
    """
    # A separator outside the vocabulary belongs to the document before it; the very first to none.
    separators = int(streams.stop_token == streams.vocab_size)
    ends = streams.training_ends
    starts = np.concatenate([[streams.first_event], ends[:-1]])
    lengths = ends - starts - separators
    chosen = _choose_documents(lengths, seed)
    training = streams.training
    spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
    in_slice = np.concatenate(
        [training[span] for span, moves in zip(spans, chosen, strict=True) if moves]
    )
    position = streams.first_event
    for span, moves in zip(spans, chosen, strict=True):
        if moves:
            continue
        size = span.stop - span.start
        if position != span.start:
            training[position : position + size] = training[span]
        position += size
        release_pages_if_needed()
    training[position:] = in_slice
    tuning, first_event = in_slice, 0
    if streams.stop_token is not None:
        # The context of the first document begins with the stop token, as that of every other.
        stop = np.array([streams.stop_token], dtype=tuning.dtype)
        tuning, first_event = np.concatenate([stop, tuning]), 1
    tuning_ends = np.cumsum(lengths[chosen] + separators) + first_event
    return MixtureSplit(
        training,
        streams.first_event,
        position,
        tuning,
        scored_documents(tuning_ends, first_event=first_event, separators=separators),
        streams.held_out,
        streams.scored,
        streams.vocab_size,
        streams.stop_token,
        _choose_parts(streams.scored, seed),
    )


def _choose_documents(lengths: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which documents the tuning slice consists of: at least one, and not all."""
    order = np.random.default_rng([seed, 5]).permutation(len(lengths))
    running = np.cumsum(lengths[order])
    size = np.searchsorted(running, tuning_tokens(int(lengths.sum()))) + 1
    chosen = np.zeros(len(lengths), bool)
    chosen[order[: int(np.clip(size, 1, max(len(lengths) - 1, 1)))]] = True
    return chosen


def _choose_parts(scored: ScoredPieces, seed: int) -> NDArray[np.bool_] | None:
    """Random held-out parts of about MAX_SCORED tokens; None where there are no more of them."""
    if scored.tokens.sum() <= MAX_SCORED:
        return None
    sizes = scored.totals(scored.tokens)
    order = np.random.default_rng([seed, 13]).permutation(len(sizes))
    n = int(np.searchsorted(np.cumsum(sizes[order]), MAX_SCORED)) + 1
    chosen = np.zeros(len(sizes), bool)
    chosen[order[:n]] = True
    return chosen


@dataclass(frozen=True)
class Piece:
    """Consecutive tokens with the positions to score, of which the first n_tuning are tuning.

    Held-out tokens after a tuning slice begin at `held_out`; 0 where there is no slice.
    """

    tokens: NDArray[Any]
    targets: NDArray[np.int64]
    n_tuning: int
    held_out: int = 0


def pieces_of(split: MixtureSplit) -> Iterator[Piece]:
    """The tuning slice with the first held-out tokens, then the others, in fixed sizes.

    There may be no held-out tokens.
    """
    tuning = content_positions(split.tuning_documents)
    held_out = split.targets
    offset = len(split.tuning)
    joined = np.concatenate([split.tuning, split.held_out])
    n_first = max(PIECE_TOKENS - len(tuning), 1)
    first = held_out[:n_first]
    end = offset + (int(first[-1]) + 1 if len(first) else 0)
    yield Piece(joined[:end], np.concatenate([tuning, offset + first]), len(tuning), offset)
    yield from pieces_of_targets(split.held_out, held_out[n_first:])


def pieces_of_targets(tokens: NDArray[Any], targets: NDArray[np.int64]) -> Iterator[Piece]:
    """Tokens to score at ascending positions, in fixed sizes."""
    for start in range(0, len(targets), PIECE_TOKENS):
        part = targets[start : start + PIECE_TOKENS]
        begin = max(0, int(part[0]) - MAX_OFFSET)
        yield Piece(tokens[begin : int(part[-1]) + 1], part - begin, 0)
