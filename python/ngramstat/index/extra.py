"""Arrays that an index keeps beside its suffixes to answer faster."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ngramstat.index.shard import IndexSettings, Shard

__all__ = ["extra_arrays"]


def extra_arrays(settings: IndexSettings, shard: Shard, threads: int) -> dict[str, NDArray[Any]]:
    """Arrays by name, made once when the shard is built; `Shard.extra` has them ever after.

    Names are of lower-case letters, digits, ``_`` and ``.``; arrays have one dimension.
    """
    return {}
