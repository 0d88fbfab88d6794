"""A mixture of many contexts: the held-out predictor with the lowest loss.

Kneser-Ney falls back along one chain of contexts. The mixture estimates from many contexts at once
and combines them by logistic mixing (Mahoney's PAQ; Mattern 2013):

1. **Binary decisions.** The vocabulary is a binary tree (`ngramstat.entropy.token_tree`), and a
   token is a path in it. A distribution over tokens is a probability at every inner node, so
   estimates can be mixed decision by decision, and their products over a path still sum to one.
2. **Patterns of context** (`patterns`): the last n tokens, some of them skipped, older ones
   replaced by their class. Classes are the branches, at a fixed depth, of other trees.
3. **Counts and continuation counts.** Each pattern is counted in the training tokens. It falls back
   on a shorter pattern, its parent, which uses continuation counts: the number of distinct tokens
   at the nearest offset that it skips, as in Kneser-Ney. The discounts are estimated from counts of
   counts.
4. **Interpolation.** At every decision, interpolated absolute discounting gives the probability of
   the branch taken. It is stored as packed logits: the logit and a bucket for how often the
   pattern was seen at the node.
5. **Mixing.** A mixer adds the logits of all patterns within n tokens, each relative to its
   parent's, with weights by bucket and by selector: the depth of the node, the buckets of the
   shortest contexts and, in one of the two mixers, the node. It starts as the Kneser-Ney chain.
6. **Tuning.** The weights are learned on a slice of the training documents (`tuning_split`). The
   slice is counted like all training tokens, so its decisions are estimated leave-one-out: without
   the counts of the slice. The weights are frozen on the held-out tokens.
7. **Averaging.** The probabilities of three trees with two mixers each are averaged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.entropy.kneser_ney import discounts
from ngramstat.entropy.split_streams import (
    SplitStreams,
    content_positions,
    scored_documents,
)
from ngramstat.entropy.token_tree import bisection_tree, embed_tokens
from ngramstat.kernels import Documents
from ngramstat.kernels.mixing import (
    EVENT_BYTES,
    MAX_EVENTS,
    MAX_OFFSET,
    ContextCounts,
    ContextPattern,
    Discounts,
    Masses,
    Mixer,
    TokenTree,
    Vocabulary,
    buckets_of,
    path_lengths,
)
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed

__all__ = [
    "MixtureCost",
    "MixtureLosses",
    "MixtureSplit",
    "Pattern",
    "mixture_cost",
    "mixture_losses",
    "n_patterns",
    "packed_logits_bytes",
    "patterns",
    "trees_at_once",
    "tuning_split",
    "tuning_tokens",
]

Floats = NDArray[np.float64]

# Classes by their letters in `_PATTERNS`: number of the class tree, and depth of its branches.
_CLASSES = {"b": (1, 6), "c": (2, 8), "f": (0, 8), "e": (0, 10), "g": (1, 10)}
# Trees differ by the power of a direction's variance that scales it, so their errors differ too.
_POWERS = (0.0, 1.0, -0.5)
# In smaller vocabularies classes would be nearly the tokens themselves.
_MIN_VOCAB_WITH_CLASSES = 1 << 10
# Each pattern with its parent: "1c2" is the last token and the class of the one before it.
_PATTERNS = """
1<root c1<root f1<root e1<root
2<root 12<1 1c2<1 1f2<1 1e2<1 1g2<1 c12<2 g12<2 c1c2<c1 f1f2<f1 e1e2<e1 b1b2<root
13<1 23<2 123<12 12c3<12 12f3<12 12e3<12 12g3<12 1c2c3<1c2 1f2f3<1f2 1e2e3<1e2 c1c2c3<c1c2
e1e2e3<e1e2 b1b2b3<b1b2
124<12 1234<123 123c4<123 123f4<123 12c3c4<12c3 12f3f4<12f3 1c2c3c4<1c2c3 c1c2c3c4<c1c2c3
b1b2b3b4<b1b2b3
12345<1234 123c4c5<123c4 b1b2b3b4b5<b1b2b3b4
"""
_DIMENSIONS = 96
# Tokens from which embeddings are made, and tokens scored in one piece: limits of time and memory.
_EMBEDDING_TOKENS = 30_000_000
_PIECE_TOKENS = 2_000_000
# Learning rates of the passes over the tuning slice: of the mixer without weights by node, and of
# the one with them.
_RATES = ((0.02, 0.01), (0.02,))
_MAX_DEPTH = 32
# Inner nodes have weights by their number modulo this.
_MAX_NODES = 1 << 16
# Bytes of a decision besides its packed logits: masses of a few patterns, and states.
_DECISION_BYTES = 24
# The fraction of the memory budget for decisions; the rest is for the events of counting, and half
# of that for sorting them.
_DECISIONS_FRACTION = 0.75
_MIN_EVENTS = 1 << 20
# Buckets merged into five states: no count, a few, ... many.
_COARSE_BUCKETS = np.tile(np.repeat(np.arange(5, dtype=np.uint16), (1, 2, 3, 4, 6)), 2)


@dataclass(frozen=True)
class Pattern:
    """One pattern of context.

    Attributes
    ----------
    name : str
    offsets : tuple of int
        How many tokens back its tokens are.
    letters : tuple of str
        By offset: the letter of the classes, or "" for the token itself.
    parent : str or None
        The pattern it falls back on; None falls back on the uniform distribution.
    """

    name: str
    offsets: tuple[int, ...]
    letters: tuple[str, ...]
    parent: str | None

    @property
    def length(self) -> int:
        """Number of tokens back to the oldest one; 0 without any."""
        return max(self.offsets, default=0)

    @property
    def continuation_offset(self) -> int:
        """The nearest offset that it skips, whose distinct tokens are its continuation counts."""
        return next(k for k in range(1, len(self.offsets) + 2) if k not in self.offsets)

    @property
    def is_ngram(self) -> bool:
        """Whether it is all of the last tokens, as in Kneser-Ney."""
        return not any(self.letters) and self.offsets == tuple(range(1, self.length + 1))


def patterns(max_context: int, *, classed: bool) -> list[Pattern]:
    """Patterns within max_context tokens, each after its parent; with classes if `classed`."""
    selected = [Pattern("root", (), (), None)]
    for entry in _PATTERNS.split():
        name, parent = entry.split("<")
        parts = re.findall(r"([a-z]?)(\d)", name)
        pattern = Pattern(
            name, tuple(int(k) for _, k in parts), tuple(letter for letter, _ in parts), parent
        )
        if pattern.length <= max_context and (classed or not any(pattern.letters)):
            selected.append(pattern)
    for n in range(6, max_context + 1):
        name = "".join(str(k) + "," for k in range(1, n + 1))
        parent = selected[-1].name if n > 6 else "12345"
        selected.append(Pattern(name, tuple(range(1, n + 1)), ("",) * n, parent))
    return selected


def _has_classes(vocab_size: int) -> bool:
    return vocab_size >= _MIN_VOCAB_WITH_CLASSES


def n_patterns(max_context: int, vocab_size: int) -> int:
    """Number of patterns of a mixture."""
    return len(patterns(max_context, classed=_has_classes(vocab_size)))


def tuning_tokens(n_training: int) -> float:
    """Size of the tuning slice, in tokens, that `tuning_split` aims at: not rounded.

    A fiftieth of the training tokens: at least 50,000 of them, but no more than a tenth, and at
    most one million.
    """
    return min(max(0.02 * n_training, min(5e4, 0.1 * n_training)), 1e6)


def packed_logits_bytes(tokens: int, vocab_size: int, n_patterns: int) -> int:
    """Expected memory of the decisions of `tokens` tokens in one tree, with all patterns."""
    decisions_per_token = np.log2(max(vocab_size, 2))
    return int(tokens * decisions_per_token * _bytes_per_decision(n_patterns))


def _bytes_per_decision(n_patterns: int) -> int:
    return 2 * n_patterns + _DECISION_BYTES


def trees_at_once(memory_budget: float | None, bytes_of_all_trees: float) -> int:
    """How many trees to interpolate and mix at a time: all, or one where they do not fit.

    Each pattern is counted again for every group of trees.
    """
    if memory_budget is None or bytes_of_all_trees <= memory_budget * _DECISIONS_FRACTION:
        return len(_POWERS)
    return 1


def _events_at_once(memory_budget: int | None) -> int:
    """How many events to count at a time; half of their memory is for sorting."""
    if memory_budget is None:
        return MAX_EVENTS
    events = int(memory_budget * (1 - _DECISIONS_FRACTION) / 2) // EVENT_BYTES
    return min(MAX_EVENTS, max(events, _MIN_EVENTS))


@dataclass(frozen=True)
class MixtureCost:
    """What a mixture takes, as expected before it is run.

    Attributes
    ----------
    n_trees, n_patterns : int
    decisions : float
        Binary decisions in one tree, of tuning and held-out tokens.
    tree_bytes : int
        Memory of the decisions of one tree, for the largest piece that is scored at a time.
    event_bytes : int
        Memory of the events of counting one pattern, where the budget does not limit them.
    """

    n_trees: int
    n_patterns: int
    decisions: float
    tree_bytes: int
    event_bytes: int

    @property
    def min_budget(self) -> float:
        """The memory budget, in bytes, in which the decisions of one tree fit."""
        return self.tree_bytes / _DECISIONS_FRACTION

    def trees_at_once(self, memory_budget: float | None) -> int:
        """How many trees fit a memory budget: all or one."""
        return trees_at_once(memory_budget, self.n_trees * self.tree_bytes)

    def training_passes(self, memory_budget: float | None) -> int:
        """How often the training tokens are read: by every pattern for each group of trees."""
        groups = -(-self.n_trees // self.trees_at_once(memory_budget))
        return self.n_patterns * groups


def mixture_cost(
    n_training: int, n_held_out: int, *, vocab_size: int, max_context: int
) -> MixtureCost:
    """The cost of `mixture_losses` for n_training training and n_held_out held-out tokens."""
    tokens = int(tuning_tokens(n_training)) + n_held_out
    used = n_patterns(max_context, vocab_size)
    return MixtureCost(
        n_trees=len(_POWERS),
        n_patterns=used,
        decisions=tokens * math.log2(max(vocab_size, 2)),
        tree_bytes=packed_logits_bytes(min(tokens, _PIECE_TOKENS), vocab_size, used),
        event_bytes=EVENT_BYTES * min(MAX_EVENTS, n_training),
    )


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
    held_out, held_out_documents : the tokens to score
        The content of the documents is scored; other tokens only serve as context.
    vocab_size : int
    stop_token : int or None
    """

    training: NDArray[Any]
    first_event: int
    first_tuning: int
    tuning: NDArray[Any]
    tuning_documents: Documents
    held_out: NDArray[Any]
    held_out_documents: Documents
    vocab_size: int
    stop_token: int | None

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary with its stop token."""
        return Vocabulary(self.vocab_size, self.stop_token)


@dataclass(frozen=True)
class MixtureLosses:
    """Held-out losses of the mixture for contexts of n = 1 .. max_context tokens.

    Attributes
    ----------
    losses : (n_documents, max_context) float64
        Sum of -ln p over the scored tokens of each held-out document; column n - 1 is context n.
    better : (max_context,) bool
        Whether the mixture beat its own starting point, a Kneser-Ney model, on the second half of
        the tuning slice, before it had learned from it.
    tuning_tokens : int
        Tokens of the slice.
    """

    losses: Floats
    better: NDArray[np.bool_]
    tuning_tokens: int


@contextmanager
def tuning_split(
    streams: SplitStreams, seed: int, workspace: Workspace | None = None
) -> Iterator[MixtureSplit]:
    """Chooses whole random training documents as the tuning slice, and moves them to the end.

    Their size is about `tuning_tokens`. The arrays are valid while the context is open.
    """
    workspace = Workspace() if workspace is None else workspace
    # A separator outside the vocabulary belongs to the document before it; the very first to none.
    separators = int(streams.stop_token == streams.vocab_size)
    ends = streams.training_ends
    starts = np.concatenate([[streams.first_event], ends[:-1]])
    lengths = ends - starts - separators
    chosen = _choose_documents(lengths, seed)
    spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
    slice_spans = [span for span, in_slice in zip(spans, chosen, strict=True) if in_slice]
    other_spans = [span for span, in_slice in zip(spans, chosen, strict=True) if not in_slice]
    tuning = np.concatenate([streams.training[span] for span in slice_spans])
    tuning_ends = np.cumsum(lengths[chosen] + separators)
    first_event = 0
    if streams.stop_token is not None:
        # The context of the first document begins with the stop token, as that of every other.
        stop = np.array([streams.stop_token], dtype=tuning.dtype)
        tuning, first_event = np.concatenate([stop, tuning]), 1
    with workspace.temporary_array(len(streams.training), streams.training.dtype) as training:
        position = 0
        for span in (slice(0, streams.first_event), *other_spans, *slice_spans):
            size = span.stop - span.start
            training[position : position + size] = streams.training[span]
            position += size
            release_pages_if_needed()
        yield MixtureSplit(
            training,
            streams.first_event,
            len(training) - sum(span.stop - span.start for span in slice_spans),
            tuning,
            scored_documents(
                tuning_ends + first_event, first_event=first_event, separators=separators
            ),
            streams.held_out,
            streams.held_out_documents,
            streams.vocab_size,
            streams.stop_token,
        )


def _choose_documents(lengths: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which documents the tuning slice consists of: at least one, and not all."""
    order = np.random.default_rng([seed, 5]).permutation(len(lengths))
    running = np.cumsum(lengths[order])
    size = np.searchsorted(running, tuning_tokens(int(lengths.sum()))) + 1
    chosen = np.zeros(len(lengths), bool)
    chosen[order[: int(np.clip(size, 1, max(len(lengths) - 1, 1)))]] = True
    return chosen


def mixture_losses(
    split: MixtureSplit,
    *,
    max_context: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> MixtureLosses:
    """Train a mixture for contexts of n = 1 .. max_context tokens, and score the held-out tokens.

    Parameters
    ----------
    split : MixtureSplit
    max_context : int
        At least 1.
    workspace : Workspace, optional
        Does not change the result. Where its memory budget does not hold the packed logits of all
        trees, the trees are evaluated one after the other.
    progress : object with ``advance(fraction)``, optional
        Told the fractions of the work as they are done; they sum to one.
    """
    workspace = Workspace() if workspace is None else workspace
    n_tuning = len(content_positions(split.tuning_documents))
    if split.vocab_size == 1:  # nothing to predict
        losses = np.zeros((len(split.held_out_documents), max_context))
        return MixtureLosses(losses, np.ones(max_context, bool), n_tuning)
    trees, class_maps = _grow_trees(split)
    used = patterns(max_context, classed=_has_classes(split.vocab_size))
    pieces = list(_pieces(split))
    memory_budget = workspace.memory_budget()
    largest = _max_decisions(pieces, trees) * _bytes_per_decision(len(used))
    together = trees_at_once(memory_budget, largest)
    groups = [range(k, min(k + together, len(trees))) for k in range(0, len(trees), together)]
    steps = len(pieces) * (len(groups) * len(used) + len(trees) * max_context)

    def advance() -> None:
        if progress is not None:
            progress.advance(1.0 / steps)

    estimator = _Estimator(
        split, used, class_maps, _events_at_once(memory_budget), workspace.threads
    )
    mixers = _Mixers(max_context, workspace.threads)
    # By n, member and piece: -ln p of the held-out tokens. Members are trees and mixers.
    members: list[list[list[Floats]]] = [[] for _ in range(max_context)]
    for piece in pieces:
        of_piece: list[list[Floats]] = [[] for _ in range(max_context)]
        for group in groups:
            decisions = estimator.estimate(piece, [trees[k] for k in group], advance)
            by_tree = dict(zip(group, decisions, strict=True))
            del decisions
            for n, scored in mixers.score(by_tree, advance):
                of_piece[n - 1] += scored
            del by_tree  # before the next group takes memory
        for n in range(max_context):
            members[n].append(of_piece[n])
    return MixtureLosses(_average(members, split.held_out_documents), mixers.better, n_tuning)


def _average(members: list[list[list[Floats]]], documents: Documents) -> Floats:
    """Losses by document, (n_documents, max_context), of the mean of the members' probabilities."""
    n_documents = len(documents)
    losses = np.zeros((n_documents, len(members)))
    document = np.repeat(np.arange(n_documents), documents.content_ends - documents.content_starts)
    for n, pieces in enumerate(members):
        stacked = np.concatenate(pieces, axis=1)  # (members, tokens)
        # The mean of probabilities, in a form that does not underflow.
        smallest = stacked.min(axis=0)
        mean = smallest - np.log(np.exp(smallest - stacked).mean(axis=0))
        losses[:, n] = np.bincount(document, weights=mean, minlength=n_documents)
    return losses


def _grow_trees(split: MixtureSplit) -> tuple[list[TokenTree], NDArray[np.uint32]]:
    """The trees of decisions, and the class maps (maps, symbols).

    Decisions separate tokens by what comes before them, classes by what comes after: tokens of one
    class are alike as contexts.
    """
    size = split.vocab_size
    # Thousands of small decompositions: threads of the linear algebra would not help.
    with threadpool_limits(1):
        tokens = split.training[: split.first_tuning]
        embeddings = embed_tokens(tokens[tokens < size][:_EMBEDDING_TOKENS], size, _DIMENSIONS)

        def trees_of(points: Floats) -> list[TokenTree]:
            return [
                bisection_tree(_scaled(points, power), embeddings.frequency) for power in _POWERS
            ]

        trees = trees_of(embeddings.before)
        if not _has_classes(size):
            return trees, np.zeros((0, split.vocabulary.n_symbols), np.uint32)
        return trees, _class_maps(trees_of(embeddings.after), split.vocabulary)


def _scaled(embeddings: Floats, power: float) -> Floats:
    """The embeddings with their directions scaled by a power of their root mean square."""
    scaled: Floats = embeddings * np.maximum((embeddings**2).mean(axis=0), 1e-300) ** (power / 2)
    return scaled


def _class_maps(trees: Sequence[TokenTree], vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """(maps, symbols); a stop token outside the vocabulary is a class of its own."""
    rows = []
    for tree, depth in _CLASSES.values():
        classes = trees[tree].classes(depth)
        if vocabulary.n_symbols > vocabulary.size:
            classes = np.append(classes, classes.max() + 1).astype(np.uint32)
        rows.append(classes)
    return np.stack(rows)


@dataclass(frozen=True)
class _Piece:
    """Consecutive tokens with the positions to score, of which the first n_tuning are tuning."""

    tokens: NDArray[Any]
    targets: NDArray[np.int64]
    n_tuning: int


def _pieces(split: MixtureSplit) -> Iterator[_Piece]:
    """The tuning slice with the first held-out tokens, then the others, in fixed sizes."""
    tuning = content_positions(split.tuning_documents)
    held_out = content_positions(split.held_out_documents)
    offset = len(split.tuning)
    joined = np.concatenate([split.tuning, split.held_out])
    n_first = max(_PIECE_TOKENS - len(tuning), 1)
    first = held_out[:n_first]
    end = offset + int(first[-1]) + 1
    yield _Piece(joined[:end], np.concatenate([tuning, offset + first]), len(tuning))
    for start in range(n_first, len(held_out), _PIECE_TOKENS):
        part = held_out[start : start + _PIECE_TOKENS]
        begin = max(0, int(part[0]) - MAX_OFFSET)
        yield _Piece(split.held_out[begin : int(part[-1]) + 1], part - begin, 0)


def _max_decisions(pieces: Sequence[_Piece], trees: Sequence[TokenTree]) -> int:
    """Decisions of the largest piece, summed over the trees."""
    return max(
        sum(int(path_lengths(tree)[piece.tokens[piece.targets]].sum()) for tree in trees)
        for piece in pieces
    )


class _Estimator:
    """Estimates of all patterns at all decisions of a piece, along every tree."""

    def __init__(
        self,
        split: MixtureSplit,
        used: Sequence[Pattern],
        class_maps: NDArray[np.uint32],
        max_events: int,
        threads: int,
    ) -> None:
        self._split, self._used, self._class_maps = split, used, class_maps
        self._max_events, self._threads = max_events, threads
        # Estimated on the first piece, which holds the tuning slice, and used for the later ones.
        self._discounts: dict[str, Discounts] = {}

    def estimate(
        self, piece: _Piece, trees: Sequence[TokenTree], advance: Callable[[], None]
    ) -> list[_Decisions]:
        """Counts and interpolates every pattern, each after its parent; decisions by tree."""
        decisions = [_Decisions(self._used, piece, tree) for tree in trees]
        children: dict[str | None, list[int]] = {}
        for i, pattern in enumerate(self._used):
            children.setdefault(pattern.parent, []).append(i)
        # The masses that children need of their parent are large. Of siblings, the one with the
        # most descendants comes last, when the parent's masses are no longer needed.
        descendants = [0] * len(self._used)
        for i in reversed(range(len(self._used))):
            descendants[i] = sum(1 + descendants[j] for j in children.get(self._used[i].name, []))
        # Depth first. By pattern: its parent's masses by tree, and whether it is their last user.
        waiting: list[tuple[int, list[Masses | None], bool]] = [(0, [None] * len(trees), True)]
        while waiting:
            i, parent_masses, last_user = waiting.pop()
            own_children = sorted(
                children.get(self._used[i].name, []), key=lambda j: -descendants[j]
            )
            counts = self._count(self._used[i], piece, continuation=bool(own_children))
            masses = self._interpolate(i, counts, trees, decisions, parent_masses, free=last_user)
            waiting += [(j, masses, j == own_children[0]) for j in own_children]
            advance()
        return decisions

    def _count(self, pattern: Pattern, piece: _Piece, *, continuation: bool) -> ContextCounts:
        """Counts of one pattern; of its continuations where other patterns fall back on it."""
        split = self._split
        rows = [list(_CLASSES).index(letter) if letter else -1 for letter in pattern.letters]
        counts = ContextCounts(
            piece.tokens,
            piece.targets,
            vocabulary=split.vocabulary,
            pattern=ContextPattern(pattern.offsets, rows, self._class_maps),
            n_leave_one_out=piece.n_tuning,
        )
        counts.count(
            split.training,
            first_event=split.first_event,
            first_leave_one_out=split.first_tuning if piece.n_tuning else None,
            continuation_offset=pattern.continuation_offset if continuation else 0,
            max_events=self._max_events,
            threads=self._threads,
        )
        if pattern.name not in self._discounts:
            self._discounts[pattern.name] = Discounts(
                raw=discounts(counts.counts_of_counts())[0].tolist(),
                continuation=discounts(counts.counts_of_counts(continuation=True))[0].tolist(),
            )
        return counts

    def _interpolate(
        self,
        i: int,
        counts: ContextCounts,
        trees: Sequence[TokenTree],
        decisions: list[_Decisions],
        parent_masses: list[Masses | None],
        *,
        free: bool,
    ) -> list[Masses | None]:
        """Writes the packed logits of pattern i; returns its masses by tree.

        With `free`, the parent's masses are dropped tree by tree as they are read.
        """
        masses = []
        for k, (tree, of_tree) in enumerate(zip(trees, decisions, strict=True)):
            _, mass = counts.interpolate(
                tree,
                of_tree.offsets,
                parent_masses[k],
                discounts=self._discounts[self._used[i].name],
                out=of_tree.packed_logits[i],
                threads=self._threads,
            )
            masses.append(mass)
            if free:
                parent_masses[k] = None
        return masses


class _Decisions:
    """Inputs of the mixers at the binary decisions of one piece along one tree."""

    def __init__(self, used: Sequence[Pattern], piece: _Piece, tree: TokenTree) -> None:
        tokens = piece.tokens[piece.targets]
        lengths = path_lengths(tree)
        self._used, self.n_tuning = used, piece.n_tuning
        self.offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(lengths[tokens], dtype=np.int64)]
        )
        self._n_nodes = len(tree.split)  # of the tree, not of the piece: mixers serve all pieces
        self.packed_logits = np.zeros((len(used), int(self.offsets[-1])), np.uint16)
        self._depth, self._node = _decision_nodes(tree, tokens, self.offsets)

    def select(self, n: int) -> _Selection:
        """The patterns and selectors of the mixers with contexts of n tokens."""
        rows = [i for i, pattern in enumerate(self._used) if pattern.length <= n]
        names = [self._used[i].name for i in rows]
        chain = [i for i in rows if self._used[i].is_ngram]
        parents = [
            names.index(parent) if (parent := self._used[i].parent) is not None else -1
            for i in rows
        ]
        # One state by the coarse buckets of the contexts of 1, 2 and 3 tokens.
        seen = np.zeros(len(self._depth), np.uint16)
        for i in sorted(chain, key=lambda i: self._used[i].length)[1:4]:
            seen = seen * 5 + _COARSE_BUCKETS[buckets_of(self.packed_logits[i])]
        states = [self._depth, seen]
        sizes = [_MAX_DEPTH, 5 ** min(n, 3)]
        return _Selection(
            rows,
            parents,
            [1.0 if i in chain else 0.0 for i in rows],
            (np.stack(states), np.stack([*states, self._node])),
            (sizes, [*sizes, min(self._n_nodes, _MAX_NODES)]),
        )

    def fit(self, selection: _Selection) -> tuple[list[Mixer], bool]:
        """Mixers trained on the tuning slice, and whether that helped on its second half."""
        middle, end = (int(self.offsets[k]) for k in (self.n_tuning // 2, self.n_tuning))
        second_half = self.offsets[self.n_tuning // 2 : self.n_tuning + 1]
        mixers, improved, untrained_loss = [], False, 0.0
        for k, rates in enumerate(_RATES):
            states = selection.states[k]
            mixer = Mixer(selection.rows, selection.parents, selection.initial, selection.sizes[k])
            if k == 0:  # the same for all of them: they start as the Kneser-Ney chain
                untrained = mixer.score(self.packed_logits, states, second_half)
                untrained_loss = float(untrained.sum())
            for j, rate in enumerate(rates):
                mixer.train(self.packed_logits, states, 0, middle, rate)
                loss = mixer.train(self.packed_logits, states, middle, end, rate)
                if j == 0:  # only in the first pass the second half is new to the mixer
                    improved |= loss < untrained_loss
            mixers.append(mixer)
        return mixers, improved

    def score(self, mixer: Mixer, selection: _Selection, k: int) -> Floats:
        """-ln p of every held-out token of the piece, by mixer number k."""
        return mixer.score(self.packed_logits, selection.states[k], self.offsets[self.n_tuning :])


@dataclass(frozen=True)
class _Selection:
    """Arguments of the mixers for one length of context; states and sizes by mixer."""

    rows: list[int]
    parents: list[int]
    initial: list[float]
    states: tuple[NDArray[np.uint16], ...]
    sizes: tuple[list[int], ...]


class _Mixers:
    """The mixers of all trees and lengths of context, trained on the first piece.

    Attributes
    ----------
    better : (max_context,) bool
        As in `MixtureLosses`.
    """

    def __init__(self, max_context: int, threads: int) -> None:
        self._threads = threads
        self._trained: dict[tuple[int, int], list[Mixer]] = {}
        self.better = np.zeros(max_context, bool)

    def score(
        self, decisions: dict[int, _Decisions], advance: Callable[[], None]
    ) -> Iterator[tuple[int, list[Floats]]]:
        """(n, -ln p of every held-out token by each mixer) of each tree and n.

        Longer contexts come first, as they take longer.
        """
        jobs = [(tree, n) for n in range(len(self.better), 0, -1) for tree in decisions]

        def work(job: tuple[int, int]) -> tuple[list[Mixer], bool, list[Floats]]:
            tree, n = job
            selection = decisions[tree].select(n)
            mixers, improved = self._trained.get(job, []), False
            if not mixers:
                mixers, improved = decisions[tree].fit(selection)
            scored = [decisions[tree].score(mixer, selection, k) for k, mixer in enumerate(mixers)]
            return mixers, improved, scored

        results = _in_threads(work, jobs, self._threads)
        for job, (mixers, improved, scored) in zip(jobs, results, strict=True):
            self._trained[job] = mixers
            self.better[job[1] - 1] |= improved
            yield job[1], scored
            advance()


def _in_threads(work: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> Iterator[Any]:
    """Results in the order of the jobs; jobs that have not begun are dropped on an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _paths(tree: TokenTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inner nodes on the path to every token, one path after the other, and where each begins."""
    size = len(tree.leaf_of)
    paths: list[list[int]] = [[] for _ in range(size)]
    stack: list[tuple[int, int, int, list[int]]] = [(0, 0, size, [])] if size > 1 else []
    token_of = np.empty(size, np.int64)
    token_of[tree.leaf_of] = np.arange(size)
    while stack:
        node, first, end, above = stack.pop()
        if end - first == 1:
            paths[int(token_of[first])] = above
            continue
        at = int(tree.split[node])
        path = [*above, node]
        stack.append((node + 1, first, at, path))
        stack.append((node + at - first, at, end, path))
    nodes = np.array([node for path in paths for node in path], np.int64)
    begin = np.concatenate([[0], np.cumsum([len(path) for path in paths])]).astype(np.int64)
    return nodes, begin


def _decision_nodes(
    tree: TokenTree, tokens: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Depth (below _MAX_DEPTH) and inner node (modulo _MAX_NODES) of every decision."""
    depth = np.zeros(int(offsets[-1]), np.uint16)
    node = np.zeros(int(offsets[-1]), np.uint16)
    nodes, begin = _paths(tree)
    lengths = np.diff(begin)
    chunk = 1 << 20
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        first, last = int(offsets[start]), int(offsets[start + len(part)])
        token = np.repeat(np.arange(len(part)), lengths[part])
        on_path = np.arange(last - first) - (offsets[start : start + len(part)] - first)[token]
        depth[first:last] = np.minimum(on_path, _MAX_DEPTH - 1)
        node[first:last] = nodes[begin[part][token] + on_path] % _MAX_NODES
    return depth, node
