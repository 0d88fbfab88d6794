"""Writing a corpus in the formats of other programs, so that what is measured here trains there.

`convert` writes one store. A package adds a format with an entry point of the group
``ngramstat.writers`` that names a `Writer`.
"""

from __future__ import annotations

from ngramstat.corpus.writers.registry import convert, find_writer
from ngramstat.corpus.writers.writer import WriteOptions, Writer

__all__ = ["WriteOptions", "Writer", "convert", "find_writer"]
