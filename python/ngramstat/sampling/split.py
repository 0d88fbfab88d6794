"""Which parts of a corpus are scored and which are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import Documents

__all__ = [
    "HeldOutSplit",
    "Selection",
    "check_held_out_fraction",
    "held_out_tokens",
    "random_split",
]

# A million tokens determine a loss to about 3e-3 nats. Memory and time of the models grow with the
# held-out tokens, and a fraction of a large corpus may be far more.
_MAX_HELD_OUT = 1 << 20
# What is held out if no fraction is asked for. Some 20,000 tokens would leave an uncertainty of
# 0.1 nats, and training text beyond nine tenths hardly lowers a loss.
_DEFAULT_FRACTION = 0.01
_MIN_HELD_OUT = 200_000
_MAX_FRACTION = 0.1
# The largest fraction that users may ask for.
_LARGEST_FRACTION = 0.5
# The held-out side consists of about this many parts or more, of which none may dominate: documents
# that are longer than twice such a part are cut into parts.
_PARTS = 64
# Shorter parts would consist of their beginnings, which have too little context.
_MIN_PART = 128
# On either side of a part that is cut out of a document this fraction of its length is left out of
# training: words that recur within a page would make the part too easy to predict.
_GAP = 0.25


@dataclass(frozen=True)
class Selection:
    """Parts of a corpus: documents, or pieces of them; arrays are (k,), in the stream's order.

    Attributes
    ----------
    corpus : Corpus
    documents : Documents
        All of that corpus.
    document : int64
        The document that each part belongs to.
    starts, ends : int64
        Where the parts lie in the stream.
    """

    corpus: Corpus
    documents: Documents
    document: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of_documents(
        cls, corpus: Corpus, documents: Documents, chosen: NDArray[np.int64]
    ) -> Selection:
        """Whole documents, by their numbers in ascending order."""
        return cls(corpus, documents, chosen, documents.starts[chosen], documents.ends[chosen])

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, rows: NDArray[np.int64]) -> Selection:
        """Some of the parts, by their indices in ascending order."""
        return Selection(
            self.corpus,
            self.documents,
            self.document[rows],
            self.starts[rows],
            self.ends[rows],
        )

    def spans(self, *, content: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(starts, ends) of the parts; `content` leaves out the separators of their documents."""
        if not content:
            return self.starts, self.ends
        first = np.maximum(self.starts, self.documents.content_starts[self.document])
        last = np.minimum(self.ends, self.documents.content_ends[self.document])
        return first, np.maximum(last, first)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the parts, separators included."""
        lengths: NDArray[np.int64] = self.ends - self.starts
        return lengths

    @property
    def starts_inside(self) -> NDArray[np.bool_]:
        """Whether a part begins later than its document, (k,)."""
        inside: NDArray[np.bool_] = self.starts > self.documents.starts[self.document]
        return inside

    @property
    def ends_inside(self) -> NDArray[np.bool_]:
        """Whether a part ends before its document does, (k,)."""
        inside: NDArray[np.bool_] = self.ends < self.documents.ends[self.document]
        return inside


@dataclass(frozen=True)
class HeldOutSplit:
    """The parts that are trained on and those that are scored.

    Attributes
    ----------
    training, held_out : Selection
        Of one corpus, or of two with one vocabulary.
    """

    training: Selection
    held_out: Selection


def held_out_tokens(corpus: Corpus, held_out: float | None) -> int:
    """About how many tokens are held out.

    Parameters
    ----------
    corpus : Corpus
    held_out : float or None
        A fraction of the tokens, or the default: a hundredth, but at least 200,000 tokens and at
        most a tenth. A corpus never holds out more than 2^20 tokens.
    """
    n = corpus.n_tokens
    if held_out is not None:
        return min(round(held_out * n), _MAX_HELD_OUT)
    size = min(max(_DEFAULT_FRACTION * n, _MIN_HELD_OUT), _MAX_FRACTION * n)
    return min(round(size), _MAX_HELD_OUT)


def check_held_out_fraction(fraction: float | None) -> None:
    """Refuse a fraction that leaves either side empty, or trains on less than it holds out."""
    if fraction is not None and not 0 < fraction <= _LARGEST_FRACTION:
        raise InputError(
            f"held-out fraction {fraction}: must be above 0 and at most {_LARGEST_FRACTION}"
        )


def random_split(
    corpus: Corpus, documents: Documents, *, fraction: float | None, seed: int
) -> HeldOutSplit:
    """Random documents, or parts of long ones, are held out; all other text is trained on.

    Parts are drawn until they have `held_out_tokens` tokens; at least two of them, and no more than
    half of all. Where a part is cut out of a document, the text next to it is left out of
    training, and the rest of the document stays in.

    Raises
    ------
    InputError
        There are fewer than four parts, or the fraction is not in (0, 0.5].
    """
    check_held_out_fraction(fraction)
    size = held_out_tokens(corpus, fraction)
    parts = _cut_long_documents(corpus, documents, max(size // _PARTS, _MIN_PART))
    if len(parts) < 4:
        raise InputError(
            f"{corpus.name}: {len(documents)} documents are too few to hold some out; "
            "give a held-out corpus with --held-out PATH"
        )
    order = np.random.default_rng([seed, 4]).permutation(len(parts))
    totals = np.cumsum(parts.lengths[order])
    count = int(np.searchsorted(totals, size)) + 1
    if fraction is None and totals[min(count, len(parts)) - 1] > _MAX_FRACTION * corpus.n_tokens:
        count -= 1
    count = min(max(count, 2), len(parts) // 2)
    held_out = parts.select(np.sort(order[:count]))
    return HeldOutSplit(training=_remainder(held_out), held_out=held_out)


def _cut_long_documents(corpus: Corpus, documents: Documents, part: int) -> Selection:
    """All documents, those longer than two parts cut into equal parts of about this length."""
    lengths = documents.ends - documents.starts
    pieces = np.where(lengths > 2 * part, np.rint(lengths / part), 1).astype(np.int64)
    document = np.repeat(np.arange(len(documents)), pieces)
    # The number of each piece in its document, 0 .. pieces - 1.
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start, length, n = documents.starts[document], lengths[document], pieces[document]
    return Selection(
        corpus,
        documents,
        document,
        start + length * number // n,
        start + length * (number + 1) // n,
    )


def _remainder(held_out: Selection) -> Selection:
    """Everything but the held-out parts and the gaps beside those cut out of a document."""
    documents = held_out.documents
    gaps = (_GAP * held_out.lengths).astype(np.int64)
    first = held_out.starts - gaps * held_out.starts_inside
    last = held_out.ends + gaps * held_out.ends_inside
    # The text between one held-out part of a document and the next, and before and after them; a
    # document without one is left whole. Gaps never reach beyond their document, whose pieces are
    # longer.
    own = held_out.document
    others = np.setdiff1d(np.arange(len(documents)), own)
    before = np.concatenate([[True], own[1:] != own[:-1]])
    after = np.append(before[1:], True)
    starts = np.concatenate([documents.starts[others], documents.starts[own[before]], last])
    ends_of_gaps = np.where(after, documents.ends[own], np.append(first[1:], 0))
    ends = np.concatenate([documents.ends[others], first[before], ends_of_gaps])
    document = np.concatenate([others, own[before], own])
    rows = np.flatnonzero(ends > starts)
    rows = rows[np.argsort(starts[rows], kind="stable")]
    return Selection(held_out.corpus, documents, document[rows], starts[rows], ends[rows])
