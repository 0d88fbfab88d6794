"""Where one shard stands in the corpus that its sampling design was drawn for."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.kernels import Documents
from ngramstat.kernels.tokens import Tokens

__all__ = ["ShardPlace"]


@dataclass(frozen=True)
class ShardPlace:
    """What a shard has to know of the rest of its corpus.

    Attributes
    ----------
    documents : Documents
        Of the shard, with the folds and clusters that were drawn for all documents of the corpus.
    first_token : int
        Its place in the stream.
    n_tokens : int
        Of the whole corpus.
    following : (k,) uint16 or uint32
        The text after it, as far as the longest lag.
    """

    documents: Documents
    first_token: int
    n_tokens: int
    following: Tokens
