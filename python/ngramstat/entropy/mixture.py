"""The best held-out predictor that can be counted: many contexts, mixed in the log odds.

A token is a path in a binary tree (`ngramstat.entropy.token_tree`). At every decision of the path
each pattern of context (the last n tokens, some of them skipped, older ones replaced by their
class) gives a Kneser-Ney estimate of the decision's probability, and a logistic mixer adds their log
odds with weights that depend on how often each context was seen there (Mattern 2013; the mixing of
Mahoney's PAQ). The weights are fitted on a slice of the training documents, whose own counts are
taken off there, and frozen on the held-out ones. The decisions of a path multiply to a probability over
the whole vocabulary, which sums to one; several trees and two mixers on each are averaged.
"""

from __future__ import annotations

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
from ngramstat.entropy.split_streams import SplitStreams
from ngramstat.entropy.token_tree import TokenTree, bisection_tree, places
from ngramstat.kernels.mixing import (
    EVENT_BYTES,
    MAX_EVENTS,
    MAX_OFFSET,
    ContextCounts,
    Mixer,
    buckets_of,
    path_lengths,
)
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed

__all__ = [
    "MixtureLosses",
    "MixtureText",
    "Pattern",
    "mixture_losses",
    "n_patterns",
    "packed_logits_bytes",
    "patterns",
    "tuning_split",
]

Floats = NDArray[np.float64]

# Classes by their letters in `_PATTERNS`: which tree of contexts, and the depth it is cut at.
_CLASSES = {"b": (1, 6), "c": (2, 8), "f": (0, 8), "e": (0, 10), "g": (1, 10)}
# Trees differ by the power of a direction's spread that scales it: their errors differ too.
_POWERS = (0.0, 1.0, -0.5)
# Below this size of the vocabulary, classes of tokens are the tokens again.
_MIN_CLASSED = 1 << 10
# Each pattern with the one it falls back on: "1c2" is the last token and the class of the one
# before it.
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
# Tokens that place the vocabulary, and tokens scored in one piece: bounds of time and memory.
_PLACING_TOKENS = 30_000_000
_PIECE_TOKENS = 2_000_000
# Passes over the slice, by their rate: without weights of single nodes, and with them.
_RATES = ((0.02, 0.01), (0.02,))
_DEPTHS = 32
# Inner nodes beyond so many share the weights of their remainders.
_NODES = 1 << 16
# Bytes of a decision beside its packed_logits: masses of a few patterns, and states. And the share of a
# step's room for all of that; the rest is for counting.
_TURN_BYTES = 24
_EVIDENCE_SHARE = 0.75
# Coarse states of a count's bucket: none, a few, ... many.
_COARSE = np.tile(np.repeat(np.arange(5, dtype=np.uint16), (1, 2, 3, 4, 6)), 2)


@dataclass(frozen=True)
class Pattern:
    """One pattern of context.

    Attributes
    ----------
    name : str
    offsets : tuple of int
        How many tokens back it looks.
    letters : tuple of str
        By offset: the class map, or "" for the token itself.
    parent : str or None
        The pattern it falls back on; None falls back on the uniform distribution.
    """

    name: str
    offsets: tuple[int, ...]
    letters: tuple[str, ...]
    parent: str | None

    @property
    def reach(self) -> int:
        """Largest offset, 0 without any."""
        return max(self.offsets, default=0)

    @property
    def neighbour(self) -> int:
        """The nearest offset that it skips, whose distinct tokens its lower counts count."""
        return next(k for k in range(1, len(self.offsets) + 2) if k not in self.offsets)


def patterns(max_context: int, *, classed: bool) -> list[Pattern]:
    """Patterns within max_context tokens, each after the one it falls back on."""
    found = [Pattern("root", (), (), None)]
    for text in _PATTERNS.split():
        name, parent = text.split("<")
        parts = re.findall(r"([a-z]?)(\d)", name)
        pattern = Pattern(
            name, tuple(int(k) for _, k in parts), tuple(letter for letter, _ in parts), parent
        )
        if pattern.reach <= max_context and (classed or not any(pattern.letters)):
            found.append(pattern)
    for n in range(6, max_context + 1):
        name = "".join(str(k) + "," for k in range(1, n + 1))
        parent = found[-1].name if n > 6 else "12345"
        found.append(Pattern(name, tuple(range(1, n + 1)), ("",) * n, parent))
    return found


@dataclass(frozen=True)
class MixtureText:
    """Texts of one training and its scoring, as `ngramstat.entropy.kneser_ney` lays them out.

    Attributes
    ----------
    counted : (n,) uint16 or uint32
        Training text; the documents of the tuning slice are its end.
    first_event : int
        Tokens before it only serve as context.
    first_tuning : int
        Where the tuning slice begins in `counted`.
    tuning, tuning_document : the slice of training documents that fits the weights
    held_out, held_out_document : the text to score
        Documents are numbered from 0; -1 only serves as context.
    vocab_size : int
    stop_token : int or None
    """

    counted: NDArray[Any]
    first_event: int
    first_tuning: int
    tuning: NDArray[Any]
    tuning_document: NDArray[np.int32]
    held_out: NDArray[Any]
    held_out_document: NDArray[np.int32]
    vocab_size: int
    stop_token: int | None


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
    texts: SplitStreams, seed: int, workspace: Workspace | None = None
) -> Iterator[MixtureText]:
    """Takes whole random documents of the training text for the weights.

    A fiftieth of the tokens: at least 50,000 of them, but no more than a tenth, and at most one
    million. The text is there for as long as the context is open.
    """
    workspace = Workspace() if workspace is None else workspace
    # A separator that is no event goes with the document before it; the very first with none.
    no_event = int(texts.stop_token == texts.vocab_size)
    ends = texts.training_ends
    starts = np.concatenate([[texts.first_event], ends[:-1]])
    lengths = ends - starts - no_event
    total = int(lengths.sum())
    wanted = min(max(0.02 * total, min(5e4, 0.1 * total)), 1e6)
    order = np.random.default_rng([seed, 5]).permutation(len(lengths))
    running = np.cumsum(lengths[order])
    # One at least, and one left to count.
    taken = int(np.clip(np.searchsorted(running, wanted) + 1, 1, max(len(lengths) - 1, 1)))
    chosen = np.zeros(len(lengths), bool)
    chosen[order[:taken]] = True
    spans = [slice(*span) for span in zip(starts.tolist(), ends.tolist(), strict=True)]
    leave_one_out = [span for span, here in zip(spans, chosen, strict=True) if here]
    tuning = np.concatenate([texts.training[part] for part in leave_one_out])
    numbers = np.flatnonzero(chosen).astype(np.int32)
    tuning_document = np.repeat(numbers, lengths[chosen] + no_event)
    if no_event:
        tuning_document[np.cumsum(lengths[chosen] + 1) - 1] = -1
    with workspace.temporary_array(len(texts.training), texts.training.dtype) as text:
        at = 0
        kept = (span for span, here in zip(spans, chosen, strict=True) if not here)
        for part in (slice(0, texts.first_event), *kept, *leave_one_out):
            size = part.stop - part.start
            text[at : at + size] = texts.training[part]
            at += size
            release_pages_if_needed()
        if texts.stop_token is not None:
            # Contexts of the first document begin with the stop token, as everywhere.
            stop = np.array([texts.stop_token], dtype=tuning.dtype)
            tuning = np.concatenate([stop, tuning])
            tuning_document = np.concatenate([np.array([-1], np.int32), tuning_document])
        yield MixtureText(
            text,
            texts.first_event,
            len(text) - sum(part.stop - part.start for part in leave_one_out),
            tuning,
            tuning_document,
            texts.held_out,
            texts.document,
            texts.vocab_size,
            texts.stop_token,
        )


def mixture_losses(
    text: MixtureText,
    *,
    max_context: int,
    n_documents: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Held-out losses of the mixture with contexts of n = 1 .. max_context tokens.

    Parameters
    ----------
    text : MixtureText
    max_context : int
        At least 1.
    n_documents : int
        Held-out documents.
    workspace : Workspace, optional
        Does not change the result. Where its room does not hold the packed_logits of all trees, they are
        read one after the other.
    progress : object with ``advance(share)``, optional
        Told shares of the work that add up to one.

    Returns
    -------
    losses : (n_documents, max_context) float64
        Sum of -ln p over each document; column n - 1 is context n.
    better : (max_context,) bool
        Whether the mixture beat its own starting point, a Kneser-Ney model, on the second half of
        the tuning slice, before it had learned from it.
    """
    workspace = Workspace() if workspace is None else workspace
    threads = workspace.threads
    size = text.vocab_size
    classed = size >= _MIN_CLASSED
    if size == 1:  # nothing to predict
        return np.zeros((n_documents, max_context)), np.ones(max_context, bool)
    # Thousands of small decompositions: threads of the linear algebra would only wait.
    with threadpool_limits(1):
        seen = text.counted[: text.first_tuning]
        placed = places(seen[seen < size][:_PLACING_TOKENS], size, _DIMENSIONS)

        def trees_of(where: Floats) -> list[TokenTree]:
            return [bisection_tree(_spread(where, power), placed.frequency) for power in _POWERS]

        trees, contexts = trees_of(placed.before), trees_of(placed.after) if classed else []
    maps = _class_maps(contexts, text) if classed else np.zeros((0, _symbols(text)), np.uint32)
    used = patterns(max_context, classed=classed)
    pieces = list(_pieces(text))
    together, most_events = _share_of_room(workspace.memory_budget(), pieces, trees, len(used))
    groups = [range(k, min(k + together, len(trees))) for k in range(0, len(trees), together)]
    share = 1.0 / (len(pieces) * (len(groups) * len(used) + len(trees) * max_context))

    def advance() -> None:
        if progress is not None:
            progress.advance(share)

    packed_logits = _PackedLogits(text, used, maps, most_events, threads)
    fitted: dict[tuple[int, int], list[Mixer]] = {}
    better = np.zeros(max_context, bool)
    members: list[list[list[Floats]]] = [[] for _ in range(max_context)]
    for piece in pieces:
        scored_here: list[list[Floats]] = [[] for _ in range(max_context)]
        for group in groups:
            decisions = dict(
                zip(
                    group,
                    packed_logits.gather(piece, [trees[k] for k in group], advance),
                    strict=True,
                )
            )
            jobs = [(tree, n) for n in range(max_context, 0, -1) for tree in group]

            def work(
                job: tuple[int, int], decisions: dict[int, _Decisions] = decisions
            ) -> tuple[list[Mixer], bool, list[Floats]]:
                tree, n = job
                selection = decisions[tree].select(n)
                mixers, improved = fitted.get(job, []), False
                if not mixers:
                    mixers, improved = _fit(decisions[tree], selection)
                scored = [
                    decisions[tree].score(mixer, selection, k) for k, mixer in enumerate(mixers)
                ]
                return mixers, improved, scored

            for job, (mixers, improved, scored) in zip(
                jobs, _in_threads(work, jobs, threads), strict=True
            ):
                fitted[job] = mixers
                better[job[1] - 1] |= improved
                scored_here[job[1] - 1] += scored
                advance()
            del decisions, work
        for n in range(max_context):
            members[n].append(scored_here[n])
    losses = np.zeros((n_documents, max_context))
    document = text.held_out_document[text.held_out_document >= 0]
    for n in range(max_context):
        stacked = np.concatenate(members[n], axis=1)  # (members, tokens)
        # The mean of probabilities, in a form that does not underflow.
        least = stacked.min(axis=0)
        mean = least - np.log(np.exp(least - stacked).mean(axis=0))
        losses[:, n] = np.bincount(document, weights=mean, minlength=n_documents)
    return losses, better


def n_patterns(max_context: int, vocab_size: int) -> int:
    """Patterns of context that a mixture of this size reads."""
    return len(patterns(max_context, classed=vocab_size >= _MIN_CLASSED))


def packed_logits_bytes(tokens: int, vocab_size: int, used: int) -> int:
    """About what the packed_logits of so many tokens takes in one tree, for plans."""
    return int(tokens * np.log2(max(vocab_size, 2)) * (2 * used + _TURN_BYTES))


def _share_of_room(
    room: int | None, pieces: Sequence[_Piece], trees: Sequence[TokenTree], n_patterns: int
) -> tuple[int, int]:
    """How many trees to read at a time, and events to count at a time."""
    if room is None:
        return len(trees), MAX_EVENTS
    largest = max(
        sum(int(path_lengths(tree.leaf_of, tree.split)[piece.text[piece.targets]].sum())
            for tree in trees)
        for piece in pieces
    )  # fmt: skip
    fits = largest * (2 * n_patterns + _TURN_BYTES) <= room * _EVIDENCE_SHARE
    events = int(room * (1 - _EVIDENCE_SHARE) / 2) // EVENT_BYTES
    return len(trees) if fits else 1, min(MAX_EVENTS, max(events, 1 << 20))


def _in_threads(work: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> Iterator[Any]:
    """Results in the order of the jobs; what has not begun is dropped on an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _spread(where: Floats, power: float) -> Floats:
    """The places with their directions scaled by a power of their spread."""
    spread: Floats = where * np.maximum((where**2).mean(axis=0), 1e-300) ** (power / 2)
    return spread


def _symbols(text: MixtureText) -> int:
    return text.vocab_size + (text.stop_token == text.vocab_size)


def _class_maps(trees: Sequence[TokenTree], text: MixtureText) -> NDArray[np.uint32]:
    """(maps, symbols); a stop token that is no type of the vocabulary is a class of its own."""
    rows = []
    for tree, depth in _CLASSES.values():
        classes = trees[tree].classes(depth)
        if _symbols(text) > text.vocab_size:
            classes = np.append(classes, classes.max() + 1).astype(np.uint32)
        rows.append(classes)
    return np.stack(rows)


@dataclass(frozen=True)
class _Piece:
    """A stretch of text with the positions to score; `tuned` of them, at the front, are tuning."""

    text: NDArray[Any]
    targets: NDArray[np.int64]
    tuned: int


def _pieces(text: MixtureText) -> Iterator[_Piece]:
    """The tuning slice with the first held-out tokens, then more of them, in fixed sizes."""
    tuning = np.flatnonzero(text.tuning_document >= 0)
    held_out = np.flatnonzero(text.held_out_document >= 0)
    offset = len(text.tuning)
    joined = np.concatenate([text.tuning, text.held_out])
    room = max(_PIECE_TOKENS - len(tuning), 1)
    first = held_out[:room]
    end = offset + int(first[-1]) + 1
    yield _Piece(joined[:end], np.concatenate([tuning, offset + first]), len(tuning))
    for start in range(room, len(held_out), _PIECE_TOKENS):
        part = held_out[start : start + _PIECE_TOKENS]
        begin = max(0, int(part[0]) - MAX_OFFSET)
        yield _Piece(text.held_out[begin : int(part[-1]) + 1], part - begin, 0)


class _PackedLogits:
    """Estimates of all patterns at all decisions of a piece of text, in every tree."""

    def __init__(
        self,
        text: MixtureText,
        used: Sequence[Pattern],
        maps: NDArray[np.uint32],
        most_events: int,
        threads: int,
    ) -> None:
        self._text, self._used, self._maps = text, used, maps
        self._most_events, self._threads = most_events, threads
        # The discounts of the first piece, which holds the tuning slice, serve the later ones.
        self._discounts: dict[str, tuple[Floats, Floats]] = {}

    def gather(
        self, piece: _Piece, trees: Sequence[TokenTree], advance: Callable[[], None]
    ) -> list[_Decisions]:
        """Count the contexts of the piece and read every pattern at its decisions, tree by tree."""
        decisions = [_Decisions(self._used, piece, tree) for tree in trees]
        children: dict[str | None, list[int]] = {}
        for i, pattern in enumerate(self._used):
            children.setdefault(pattern.parent, []).append(i)
        # What a pattern leaves to those that fall back on it is large: of siblings that with more
        # descendants comes last, when the others no longer need their parent's.
        descendants = [0] * len(self._used)
        for i in reversed(range(len(self._used))):
            descendants[i] = sum(1 + descendants[j] for j in children.get(self._used[i].name, []))
        # By pattern: the masses it falls back on, and whether it is the last that needs them.
        waiting: list[tuple[int, list[Any], bool]] = [(0, [None] * len(decisions), True)]
        while waiting:
            i, parents, last = waiting.pop()
            below = sorted(children.get(self._used[i].name, []), key=lambda j: -descendants[j])
            masses = self._read(i, piece, trees, decisions, parents, last=last, lower=bool(below))
            waiting += [(j, masses, j == below[0]) for j in below]
            advance()
        return decisions

    def _read(
        self,
        i: int,
        piece: _Piece,
        trees: Sequence[TokenTree],
        decisions: list[_Decisions],
        parents: list[Any],
        *,
        last: bool,
        lower: bool,
    ) -> list[Any]:
        """One pattern; returns what those need that fall back on it, by tree.

        The last to need its parents' masses lets go of each as it is read.
        """
        pattern, text = self._used[i], self._text
        counts = ContextCounts(
            piece.text,
            piece.targets,
            vocab_size=text.vocab_size,
            offsets=pattern.offsets,
            maps=[list(_CLASSES).index(c) if c else -1 for c in pattern.letters],
            class_maps=self._maps,
            stop_token=text.stop_token,
            leave_one_out=piece.tuned,
        )
        counts.count(
            text.counted,
            first_event=text.first_event,
            first_leave_one_out=text.first_tuning if piece.tuned else None,
            neighbour=pattern.neighbour if lower else 0,
            most_events=self._most_events,
            threads=self._threads,
        )
        if pattern.name not in self._discounts:
            self._discounts[pattern.name] = (
                discounts(counts.counts_of_counts())[0],
                discounts(counts.counts_of_counts(lower=True))[0],
            )
        raw, below = self._discounts[pattern.name]
        masses = []
        for k, (tree, here) in enumerate(zip(trees, decisions, strict=True)):
            _, mass = counts.evaluate(
                tree.leaf_of,
                tree.split,
                here.offsets,
                parents[k],
                raw=raw.tolist(),
                lower=below.tolist(),
                out=here.packed_logits[i],
                threads=self._threads,
            )
            masses.append(mass)
            if last:
                parents[k] = None
        return masses


class _Decisions:
    """Inputs of the mixers at the decisions of one piece in one tree."""

    def __init__(
        self,
        used: Sequence[Pattern],
        piece: _Piece,
        tree: TokenTree,
    ) -> None:
        tokens = piece.text[piece.targets]
        lengths = path_lengths(tree.leaf_of, tree.split)
        self._used, self.tuned = used, piece.tuned
        self.offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(lengths[tokens], dtype=np.int64)]
        )
        self._nodes = len(tree.split)  # of the tree, not of the piece: mixers serve all pieces
        self.packed_logits = np.zeros((len(used), int(self.offsets[-1])), np.uint16)
        self._depth, self._node = _positions(tree, tokens, self.offsets)

    def select(self, n: int) -> _Selection:
        """The patterns and states that a mixer of context n sees."""
        rows = [i for i, pattern in enumerate(self._used) if pattern.reach <= n]
        names = [self._used[i].name for i in rows]
        chain = {
            i
            for i in rows
            if not any(self._used[i].letters)
            and self._used[i].offsets == tuple(range(1, self._used[i].reach + 1))
        }
        counts = np.zeros(len(self._depth), np.uint16)
        for i in sorted(chain, key=lambda i: self._used[i].reach)[1:4]:
            counts = counts * 5 + _COARSE[buckets_of(self.packed_logits[i])]
        states = [self._depth, counts]
        sizes = [_DEPTHS, 5 ** min(n, 3)]
        parents = [
            names.index(parent) if (parent := self._used[i].parent) is not None else -1
            for i in rows
        ]
        initial = [1.0 if i in chain else 0.0 for i in rows]
        nodes = min(self._nodes, _NODES)
        return _Selection(
            rows,
            parents,
            initial,
            (np.stack(states), np.stack([*states, self._node])),
            (sizes, [*sizes, nodes]),
        )

    def score(self, mixer: Mixer, selection: _Selection, member: int) -> Floats:
        """-ln p of every held-out token of the piece."""
        return mixer.score(self.packed_logits, selection.states[member], self.offsets[self.tuned :])


@dataclass(frozen=True)
class _Selection:
    rows: list[int]
    parents: list[int]
    initial: list[float]
    states: tuple[NDArray[np.uint16], ...]
    sizes: tuple[list[int], ...]


def _fit(decisions: _Decisions, selection: _Selection) -> tuple[list[Mixer], bool]:
    """Mixers fitted on the tuning slice, and whether that helped on its second half."""
    middle, end = (int(decisions.offsets[k]) for k in (decisions.tuned // 2, decisions.tuned))
    second_half = decisions.offsets[decisions.tuned // 2 : decisions.tuned + 1]
    mixers, improved, before = [], False, 0.0
    for k, rates in enumerate(_RATES):
        states = selection.states[k]
        mixer = Mixer(selection.rows, selection.parents, selection.initial, selection.sizes[k])
        if k == 0:  # all of them start as the same chain
            before = float(mixer.score(decisions.packed_logits, states, second_half).sum())
        for j, rate in enumerate(rates):
            mixer.train(decisions.packed_logits, states, 0, middle, rate)
            ahead = mixer.train(decisions.packed_logits, states, middle, end, rate)
            if j == 0:
                improved |= ahead < before
        mixers.append(mixer)
    return mixers, improved


def _positions(
    tree: TokenTree, tokens: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Depth (below _DEPTHS) and inner node (modulo _NODES) of every decision."""
    size = len(tree.leaf_of)
    depth = np.zeros(int(offsets[-1]), np.uint16)
    node_of = np.zeros(int(offsets[-1]), np.uint16)
    paths: list[list[int]] = [[] for _ in range(size)]
    stack = [(0, 0, size, [])] if size > 1 else []  # type: list[tuple[int, int, int, list[int]]]
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
    flat = (
        np.concatenate([np.array(path, np.int64) for path in paths])
        if size > 1
        else np.zeros(0, np.int64)
    )
    lengths = np.array([len(path) for path in paths], np.int64)
    begin = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    chunk = 1 << 20
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        first_turn, last_turn = int(offsets[start]), int(offsets[start + len(part)])
        which = np.repeat(np.arange(len(part)), lengths[part])
        within = (
            np.arange(last_turn - first_turn)
            - (offsets[start : start + len(part)] - first_turn)[which]
        )
        depth[first_turn:last_turn] = np.minimum(within, _DEPTHS - 1)
        node_of[first_turn:last_turn] = flat[begin[part][which] + within] % _NODES
    return depth, node_of


N_TREES = len(_POWERS)
PIECE_TOKENS = _PIECE_TOKENS
PACKED_LOGITS_FRACTION = _EVIDENCE_SHARE


def tuning_tokens(n: int) -> int:
    return int(min(max(0.02 * n, min(5e4, 0.1 * n)), 1e6))


def trees_at_once(budget: float, bytes_of_all: float) -> int:
    return N_TREES if bytes_of_all <= PACKED_LOGITS_FRACTION * budget else 1
