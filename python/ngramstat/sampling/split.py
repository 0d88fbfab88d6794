"""Which documents are scored and which are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import Documents

__all__ = ["MAX_HELD_OUT", "HeldOutSplit", "Selection", "held_out_tokens", "random_split"]

# A million tokens determine a loss to about 3e-3 nats. Memory and time of the models grow with the
# held-out tokens, and a fraction of a large corpus may be far more.
MAX_HELD_OUT = 1 << 20


@dataclass(frozen=True)
class Selection:
    """Some documents of a corpus.

    Attributes
    ----------
    corpus : Corpus
    documents : Documents
        All of that corpus.
    chosen : (k,) int64
        Numbers of the chosen ones, ascending.
    """

    corpus: Corpus
    documents: Documents
    chosen: NDArray[np.int64]

    def spans(self, *, content: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(starts, ends) of the chosen documents; `content` leaves out their separators."""
        if content:
            return (
                self.documents.content_starts[self.chosen],
                self.documents.content_ends[self.chosen],
            )
        return self.documents.starts[self.chosen], self.documents.ends[self.chosen]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the chosen documents, separators included; (k,)."""
        lengths: NDArray[np.int64] = (self.documents.ends - self.documents.starts)[self.chosen]
        return lengths


@dataclass(frozen=True)
class HeldOutSplit:
    """The documents that are trained on and those that are scored.

    Attributes
    ----------
    training, held_out : Selection
        Of one corpus, or of two with one vocabulary.
    """

    training: Selection
    held_out: Selection


def held_out_tokens(corpus: Corpus, held_out: float | str) -> int:
    """About how many tokens are held out, for plans.

    `held_out` is a fraction of the documents or the path of a held-out corpus.
    """
    if isinstance(held_out, str):
        return Corpus.open(held_out).n_tokens
    return min(round(held_out * corpus.n_tokens), MAX_HELD_OUT)


def random_split(
    corpus: Corpus, documents: Documents, *, fraction: float, seed: int
) -> HeldOutSplit:
    """Random documents, about `fraction` of them (at least 2, at most half), are held out.

    No more than MAX_HELD_OUT tokens, unless a few documents have more.

    Raises
    ------
    InputError
        There are fewer than four documents, or the fraction is not in (0, 0.5].
    """
    if not 0 < fraction <= 0.5:
        raise InputError(f"held-out fraction {fraction}: must be above 0 and at most 0.5")
    n = len(documents)
    if n < 4:
        raise InputError(
            f"{corpus.path}: {n} documents are too few to hold some out; "
            "give a held-out corpus with --held-out PATH"
        )
    # At least twenty documents, where that is not more than a fifth: fewer carry no interval.
    at_least = max(min(20, n // 5), 2)
    order = np.random.default_rng([seed, 4]).permutation(n)
    lengths = (documents.ends - documents.starts)[order]
    at_most = int(np.searchsorted(np.cumsum(lengths), MAX_HELD_OUT, side="right"))
    count = max(min(round(fraction * n), at_most), at_least)
    return HeldOutSplit(
        training=Selection(corpus, documents, np.sort(order[count:])),
        held_out=Selection(corpus, documents, np.sort(order[:count])),
    )
