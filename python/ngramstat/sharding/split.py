"""What of every shard is held out and what is trained on, as it follows from all descriptions.

Which documents are held out, and the order of the training documents on the circle of the learning
curve, are drawn from the lengths of all documents, so that every machine draws the same. What a
machine does not have are the tokens of other shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.learning_curves import Subset, circle_order, nested_subsets, whole
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError
from ngramstat.kernels.tokens import dtype_holding
from ngramstat.ngram_models.streams import stop_token_of
from ngramstat.sampling.split import HeldOutSplit, Selection
from ngramstat.sharding.layout import Layout

__all__ = ["OwnSpans", "TextSplit"]


@dataclass(frozen=True)
class OwnSpans:
    """Parts of one shard, by their positions in it.

    Attributes
    ----------
    places : (k,) int64
        The number of each part among all of its side: of training parts, on the circle.
    first, last : (k,) int64
    """

    places: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


class TextSplit:
    """The held-out split of all shards.

    Parameters
    ----------
    layout : Layout
    options : EntropyOptions

    Attributes
    ----------
    split : HeldOutSplit
        Its training parts in the order of the circle.
    subsets : list of Subset
        All training parts, then those of the learning curve.
    stop : int or None
        The token at which contexts end; V where it is never predicted.
    dtype : dtype
        Of the streams.

    Raises
    ------
    InputError
        There are too few documents to hold some out.
    """

    def __init__(self, layout: Layout, options: EntropyOptions) -> None:
        self.layout, self.options = layout, options
        try:
            drawn = layout.text_design().held_out_split(options.held_out)
        except InputError as error:
            raise InputError(
                f"the {len(layout.lengths)} documents of the shards are too few to hold some out; "
                "plan without held-out losses (--predictor none)"
            ) from error
        self.subsets: list[Subset] = [
            whole(drawn),
            *nested_subsets(drawn, sizes=options.learning_sizes, seed=options.seed),
        ]
        circle = drawn.training.select(circle_order(drawn, seed=options.seed))
        self.split = HeldOutSplit(training=circle, held_out=drawn.held_out)
        corpus = drawn.training.corpus
        self.stop = stop_token_of(corpus, options.boundary)
        self.dtype = dtype_holding(self.stop or 0, corpus.dtype)

    @property
    def stop_is_event(self) -> bool:
        """Whether the token behind every part is one that is predicted."""
        return self.stop is not None and self.stop < self.split.training.corpus.vocab_size

    @cached_property
    def training_lengths(self) -> NDArray[np.int64]:
        """Tokens of every training part that are trained on, (n_parts,)."""
        first, last = self._spans(self.split.training)
        lengths: NDArray[np.int64] = last - first + self.stop_is_event
        return lengths

    def training_tokens(self, subset: Subset) -> int:
        """Tokens of a subset that are trained on."""
        return int(self.training_lengths[subset.first : subset.last].sum())

    def training_of(self, number: int) -> OwnSpans:
        """The training parts of a shard, in the order of the circle."""
        return self._own(self.split.training, number)

    def held_out_of(self, number: int) -> OwnSpans:
        """The held-out parts of a shard, in the order of the text."""
        return self._own(self.split.held_out, number)

    def _own(self, side: Selection, number: int) -> OwnSpans:
        begin, end = self.layout.first_tokens[number : number + 2].tolist()
        # A part belongs to one document, and that to one shard.
        places = np.flatnonzero((side.starts >= begin) & (side.starts < end))
        first, last = self._spans(side)
        return OwnSpans(places, first[places] - begin, last[places] - begin)

    def _spans(self, side: Selection) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return side.spans(content=self.stop is not None)
