"""One part of an index: the tokens of consecutive documents, and their suffixes in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.kernels.tokens import Tokens

__all__ = ["IndexSettings", "Shard"]


@dataclass(frozen=True)
class IndexSettings:
    """What all shards of an index have in common.

    Attributes
    ----------
    vocab_size : int
        V; tokens are below it.
    depth : int or None
        Symbols by which suffixes are sorted; None: to their ends. Longer n-grams cannot be found.
    boundary : str
        ``stream``: matches run across documents. ``document``: they stay inside one, of which the
        separator is the last token.
    stop_token : int or None
        With boundary ``document``: the id that ends a document in `Shard.tokens`, after which
        nothing is compared. It is the corpus's separator, or V where it has none; then one is
        put after every document.
    """

    vocab_size: int
    depth: int | None
    boundary: Boundary
    stop_token: int | None

    @property
    def inserts_stops(self) -> bool:
        """Whether `Shard.tokens` holds a stop token per document that the corpus does not."""
        return self.stop_token == self.vocab_size

    @property
    def n_ids(self) -> int:
        """Ids that may stand in `Shard.tokens`: V, and one more for inserted stop tokens."""
        return self.vocab_size + self.inserts_stops


@dataclass(frozen=True)
class Shard:
    """Arrays of one shard, in memory or mapped from its file.

    Attributes
    ----------
    tokens : (m,) uint16 or uint32
        The tokens of the shard's documents, then (boundary ``stream``) the next tokens of the
        corpus, in which matches may end but not begin.
    suffixes : (k,) uint32
        Positions in `tokens` of the k <= m suffixes, in suffix order: one that ends sorts before
        its extensions. Equal ones (up to the depth or a stop token) keep the order of positions.
    token_starts : (V + 2,) int64
        The suffixes that begin with id t are token_starts[t] .. token_starts[t + 1]; the last
        entry is k. The id V is an inserted stop token.
    document_ends : (d,) int64
        Where each document ends in `tokens` (exclusive; after its inserted stop token); the last
        one is k.
    first_token, first_document : int
        Tokens and documents of the corpus before this shard. A document that goes on in the next
        shard (boundary ``stream``, where it is too long for one) counts where it ends.
    extra : mapping
        Further arrays of one dimension by name, see `ngramstat.index.extra`.
    """

    tokens: Tokens
    suffixes: NDArray[np.uint32]
    token_starts: NDArray[np.int64]
    document_ends: NDArray[np.int64]
    first_token: int
    first_document: int
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
