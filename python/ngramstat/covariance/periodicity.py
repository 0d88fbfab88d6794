"""Periodic structure of a corpus: hard line wraps, records of fixed length, padding.

None of them belongs to the language, and each makes C(t) large at its own lags. They are found in
the tokens alone: the distances between occurrences of one token, the coincidences x_i = x_(i+t) and
the runs of equal tokens, in a sample spread evenly over the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.results import Periodicity, PeriodicKind

__all__ = ["find_periods"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# The sample: at most this many pieces of this many tokens.
_PIECES, _PIECE_TOKENS = 32, 1 << 15
# Distances of one token in a piece from which their distribution is judged.
_MIN_GAPS = 24
# A distance is regular if it is within a quarter of the period.
_REGULAR = (0.8, 1.25)
# A token is periodic in a piece if this fraction of its distances is regular, short ones (less than
# 0.6 periods, such as last lines of paragraphs) left out. Of the lengths of TinyStories' stories,
# which are much alike, 0.68 is. Where the tokens' texts are not known, wrapped lines are recognised
# by their number of tokens, of which 0.72 or more is regular (Wikipedia at 70 columns).
_MIN_REGULAR, _MIN_REGULAR_LINES, _SHORT = 0.85, 0.7, 0.6
_LINE_TOKENS = (8.0, 40.0)
_SHORTEST_PERIOD = 3
# Where the texts are known: of the lines longer than 0.6 widths this fraction has more than 0.8
# widths, and all of these hold half of the tokens of the piece. A width is 30 characters or more.
_FULL_LINE, _MIN_FULL, _MIN_FULL_TOKENS, _MIN_WIDTH = 0.8, 0.8, 0.5, 30.0
# A width is this quantile of the lengths of the lines; a few cannot be broken, such as addresses.
_WIDTH_QUANTILE = 0.98
# Fractions of the sample's tokens from which a structure is reported.
_MIN_SHARE = 0.1
_MIN_PADDING, _SHORTEST_RUN = 0.01, 16
# Padding is one token that makes nearly all long runs and is rare outside of them.
_OF_RUNS, _OF_TOKEN = 0.9, 0.9
# Periods that differ by less than this factor are one structure.
_SAME_PERIOD = 1.25
# A comb: coincidences at multiples of the period exceed those beside them by this factor.
_LONGEST_RECORD, _COMB_TEETH, _MIN_COMB, _COMB_PIECES = 256, 4, 1.5, 8
# Distances of which the middle half differs by less than this fraction are those of records; lines
# that were wrapped vary.
_RECORD_SPREAD = 0.05


@dataclass(frozen=True)
class PeriodSample:
    """The sample of a corpus, or what one shard has of it: pieces that are spread evenly.

    Attributes
    ----------
    tokens : (k,) uint32
        Of all pieces, one after the other.
    lengths : (pieces,) int64
        Tokens of each piece; a piece may lie in several shards, or not in this one.
    """

    tokens: NDArray[np.uint32]
    lengths: NDArray[np.int64]

    @classmethod
    def of_part(cls, tokens: NDArray[Any], first: int, n_tokens: int) -> PeriodSample:
        """What the part of a stream has of it that begins at token `first` of `n_tokens`."""
        count = min(_PIECES, max(n_tokens // _PIECE_TOKENS, 1))
        starts = np.linspace(0, max(n_tokens - _PIECE_TOKENS, 0), count).astype(np.int64)
        bounds = np.stack([starts, starts + _PIECE_TOKENS]) - first
        begins, ends = np.clip(bounds, 0, len(tokens))
        pieces = [
            np.asarray(tokens[begin:end], np.uint32)
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
        return cls(np.concatenate(pieces), ends - begins)

    @classmethod
    def joined(cls, parts: Sequence[PeriodSample]) -> PeriodSample:
        """That of a corpus from those of its shards, in their order."""
        pieces = [piece for of_piece in zip(*(p.pieces() for p in parts), strict=True)
                  for piece in of_piece]  # fmt: skip
        return cls(
            np.concatenate(pieces).astype(np.uint32), np.sum([p.lengths for p in parts], axis=0)
        )

    def pieces(self) -> list[Ints]:
        """The tokens of each piece."""
        return np.split(self.tokens.astype(np.int64), np.cumsum(self.lengths)[:-1])


def find_periods(corpus: Corpus, sample: PeriodSample | None = None) -> tuple[Periodicity, ...]:
    """Periodic structures of a corpus, padding first, then by share; empty for ordinary text.

    Deterministic; takes a second or two for large corpora. The sample is taken here if it is not
    given, as for a corpus of shards, whose tokens are elsewhere.
    """
    if sample is None:
        sample = PeriodSample.of_part(corpus.tokens, 0, corpus.n_tokens)
    pieces = sample.pieces()
    total = sum(len(piece) for piece in pieces)
    found = [*_wrapped_lines(corpus, pieces, total)]
    for other in (*_regular_tokens(corpus, pieces, total), *_records(corpus, pieces, total)):
        # Other tokens of the same records, and every second record, are no new structure.
        if not any(_multiple(other.period, known.period) for known in found):
            found.append(other)
    found.sort(key=lambda p: -p.share)
    return (*_padding(corpus, pieces, total), *found)


# --- lines of text ----------------------------------------------------------------------------


def _wrapped_lines(corpus: Corpus, pieces: list[Ints], total: int) -> list[Periodicity]:
    """Lines wrapped at a number of characters, where the texts of the tokens are known."""
    if corpus.tokenizer_path is None:
        return []
    texts = corpus.decode(np.arange(corpus.vocab_size))
    widths = np.array([len(text) for text in texts], dtype=np.int64)
    is_end = np.array(["\n" in text for text in texts])
    lines: list[Ints] = []
    ends: list[Ints] = []
    exact = True
    for piece in pieces:
        at = np.flatnonzero(is_end[piece])
        if len(at) <= _MIN_GAPS:
            continue
        lengths, tokens = np.diff(np.cumsum(widths[piece])[at]), np.diff(at)
        width = float(np.quantile(lengths, _WIDTH_QUANTILE))
        full = (lengths >= _FULL_LINE * width) & (lengths <= width / _FULL_LINE)
        enough = max(_MIN_FULL * int((lengths >= _SHORT * width).sum()), _MIN_GAPS)
        filled = int(tokens[full].sum()) >= _MIN_FULL_TOKENS * len(piece)
        if width >= _MIN_WIDTH and full.sum() >= enough and filled:
            lines.append(tokens[full])
            ends.append(piece[at])
            quarters = np.quantile(lengths[full], [0.25, 0.75])
            exact = exact and bool(np.ptp(quarters) <= _RECORD_SPREAD * width)
    if not lines:
        return []
    token = int(np.bincount(np.concatenate(ends)).argmax())
    kind = PeriodicKind.RECORDS if exact else PeriodicKind.LINES
    return _structure(corpus, token, kind, np.concatenate(lines), total)


# --- tokens at regular distances --------------------------------------------------------------


def _regular_tokens(corpus: Corpus, pieces: list[Ints], total: int) -> list[Periodicity]:
    """Tokens that stand at regular distances in a large part of the sample, by that part."""
    regular: dict[int, list[Ints]] = {}
    for piece in pieces:
        for token, gaps in _gaps(piece):
            may_be_line = corpus.tokenizer_path is None and token != corpus.separator
            inside = _regular_gaps(gaps, may_be_line)
            if inside is not None:
                regular.setdefault(token, []).append(inside)
    found: list[Periodicity] = []
    for token, parts in regular.items():
        gaps = np.concatenate(parts)
        low, period, high = np.quantile(gaps, [0.25, 0.5, 0.75], method="inverted_cdf")
        if high - low <= _RECORD_SPREAD * period:
            is_end = token == corpus.separator
            kind = PeriodicKind.DOCUMENTS if is_end else PeriodicKind.RECORDS
        elif corpus.tokenizer_path is None and token != corpus.separator:
            kind = PeriodicKind.LINES
        else:
            continue  # documents of similar lengths; lines of text are recognised by their widths
        found += _structure(corpus, token, kind, gaps, total)
    return sorted(found, key=lambda p: (-p.share, p.token))


def _gaps(piece: Ints) -> list[tuple[int, Ints]]:
    """Distances between occurrences of each token that has enough of them."""
    # NumPy sorts sixteen bits by their digits.
    short = piece.astype(np.uint16) if piece.max(initial=0) < 1 << 16 else piece
    order = np.argsort(short, kind="stable")
    tokens = piece[order]
    starts = np.flatnonzero(np.diff(tokens, prepend=-1))
    ends = np.append(starts[1:], len(tokens))
    return [
        (int(tokens[start]), np.diff(order[start:end]))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        if end - start > _MIN_GAPS
    ]


def _regular_gaps(gaps: Ints, may_be_line: bool) -> Ints | None:
    """The regular ones of these distances; None if they have no period."""
    ordered = np.sort(gaps)
    # Half of the distances would lie this close to each other, which is seldom the case and takes
    # little time to see.
    half = (len(ordered) + 1) // 2
    widest = 1.001 * _REGULAR[1] / _REGULAR[0]
    if not (ordered[half - 1 :] <= widest * ordered[: len(ordered) - half + 1]).any():
        return None
    periods = np.unique(ordered[ordered >= _SHORTEST_PERIOD])
    if len(periods) == 0:
        return None
    first = np.searchsorted(ordered, _REGULAR[0] * periods, side="left")
    last = np.searchsorted(ordered, _REGULAR[1] * periods, side="right")
    beyond = len(ordered) - np.searchsorted(ordered, _SHORT * periods, side="left")
    counts = last - first
    needed = np.full(len(periods), _MIN_REGULAR)
    if may_be_line:
        needed[(periods >= _LINE_TOKENS[0]) & (periods <= _LINE_TOKENS[1])] = _MIN_REGULAR_LINES
    # Not a few distances between many short ones: the regular ones are half of all.
    is_period = (counts >= np.maximum(needed * beyond, _MIN_GAPS)) & (2 * counts >= len(ordered))
    if not is_period.any():
        return None
    best = int(np.where(is_period, counts, 0).argmax())
    inside: Ints = ordered[first[best] : last[best]]
    return inside


# --- records without a token that ends them ---------------------------------------------------


def _records(corpus: Corpus, pieces: list[Ints], total: int) -> list[Periodicity]:
    """Records of one length whose fields have vocabularies of their own."""
    few = pieces[:: max(len(pieces) // _COMB_PIECES, 1)]
    counts = np.zeros(_LONGEST_RECORD * _COMB_TEETH + 2)
    for piece in few:
        short = piece.astype(np.uint32)
        for t in range(1, min(len(counts), len(piece))):
            counts[t] += np.count_nonzero(short[t:] == short[:-t])
    for length in range(_SHORTEST_PERIOD, _LONGEST_RECORD + 1):
        teeth = length * np.arange(1, _COMB_TEETH + 1)
        beside = np.maximum(counts[teeth - 1], counts[teeth + 1])
        if np.all(counts[teeth] > _MIN_COMB * np.maximum(beside, _MIN_GAPS)):
            repeated = [piece[length:][piece[length:] == piece[:-length]] for piece in pieces]
            token = int(np.bincount(np.concatenate(repeated)).argmax())
            gaps = np.full(sum(len(r) for r in repeated), length)
            return _structure(corpus, token, PeriodicKind.RECORDS, gaps, total)
    return []


# --- padding ----------------------------------------------------------------------------------


def _padding(corpus: Corpus, pieces: list[Ints], total: int) -> list[Periodicity]:
    """The token that stands in long runs and hardly elsewhere."""
    in_runs: dict[int, int] = {}
    runs: dict[int, list[int]] = {}
    for piece in pieces:
        starts = np.flatnonzero(np.diff(piece, prepend=-1))
        lengths = np.diff(np.append(starts, len(piece)))
        long = lengths >= _SHORTEST_RUN
        for start, length in zip(starts[long].tolist(), lengths[long].tolist(), strict=True):
            token = int(piece[start])
            in_runs[token] = in_runs.get(token, 0) + length
            runs.setdefault(token, []).append(length)
    if not in_runs:
        return []
    token = max(in_runs, key=lambda t: (in_runs[t], -t))
    share = in_runs[token] / total
    everywhere = sum(int(np.count_nonzero(piece == token)) for piece in pieces)
    if (
        share < _MIN_PADDING
        or in_runs[token] < _OF_RUNS * sum(in_runs.values())
        or in_runs[token] < _OF_TOKEN * everywhere
    ):
        return []
    low, high = np.quantile(runs[token], [0.05, 0.95], method="inverted_cdf")
    return [
        Periodicity(
            kind=PeriodicKind.PADDING, token=token, text=_text(corpus, token), period=1.0,
            low=float(low), high=float(high), share=share,
        )
    ]  # fmt: skip


# --- what is said of them ---------------------------------------------------------------------


def _structure(
    corpus: Corpus, token: int, kind: PeriodicKind, gaps: Ints, total: int
) -> list[Periodicity]:
    """A structure from its regular distances, if they hold enough of the sample."""
    share = min(float(gaps.sum()) / total, 1.0)
    if share < _MIN_SHARE:
        return []
    low, period, high = np.quantile(gaps, [0.05, 0.5, 0.95], method="inverted_cdf")
    return [
        Periodicity(
            kind=kind, token=token, text=_text(corpus, token), period=float(period),
            low=float(low), high=float(high), share=share,
        )
    ]  # fmt: skip


def _text(corpus: Corpus, token: int) -> str | None:
    if corpus.tokenizer_path is None:
        return None
    return str(corpus.decode(np.array([token]))[0])


def _same(a: float, b: float) -> bool:
    return max(a, b) <= _SAME_PERIOD * min(a, b)


def _multiple(period: float, of: float) -> bool:
    """Whether a period is a multiple or a fraction of another, up to a quarter."""
    ratio = max(period, of) / min(period, of)
    return _same(ratio, round(ratio))
