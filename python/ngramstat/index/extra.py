"""Arrays that an index keeps beside its suffixes to answer faster."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.index_queries import suffix_samples

__all__ = ["extra_arrays", "extra_bytes"]


def extra_arrays(settings: IndexSettings, shard: Shard, threads: int) -> dict[str, NDArray[Any]]:
    """Arrays by name, made once when the shard is built; `Shard.extra` has them ever after.

    Names are of lower-case letters, digits, ``_`` and ``.``; arrays have one dimension.

    samples : (ceil(suffixes / 32),) uint64
        Packed symbols of every 32nd suffix, with which searches read less.
    """
    samples = suffix_samples(
        shard.tokens,
        shard.suffixes,
        settings.vocab_size,
        depth=settings.depth,
        stop_token=settings.stop_token,
        threads=threads,
    )
    return {"samples": samples}


def extra_bytes(n_suffixes: int) -> int:
    """At most what `extra_arrays` take on the disk, for a shard of this size."""
    return n_suffixes // 4 + 8 + 4096
