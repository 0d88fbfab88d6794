"""Token stores of many formats, recognised and opened in place without conversion.

A reader maps its file read-only and returns a `TokenStore`. The files are not trusted: each count,
offset and length is checked against the file's real size before it is used, nothing is unpickled,
and every fault is an `InputError` that names the file.

To add a format, write a module of this package that defines ``FORMAT``, a `Format` with the
functions that recognise and open such a store (`raw` is the shortest example, `mapping` has the
shared steps), and add the module's name to ``_READERS`` in `registry`. `Corpus.open`, `inspect` and
the command line then know it. Other packages add formats by entry points (`plugin_formats`), as
those in `plugins` are.
"""

from __future__ import annotations

from ngramstat.corpus.formats.corpus_directory import (
    DOCUMENTS_FILE,
    METADATA_FILE,
    PARTIAL_SUFFIX,
    SCHEMA,
    TOKENIZER_FILE,
    TOKENS_FILE,
    is_partial,
)
from ngramstat.corpus.formats.megatron import indexed_prefix
from ngramstat.corpus.formats.registry import (
    FORMATS,
    complete_store,
    find_format,
    open_store,
    read_store,
    recognised_format,
)
from ngramstat.corpus.formats.separators import shares_at_document_ends
from ngramstat.corpus.formats.token_store import (
    Assumptions,
    Format,
    OpenOptions,
    RowMeaning,
    SeparatorPosition,
    Shard,
    TokenStore,
    check_document_ends,
    check_vocab_size,
    chunks,
    document_ends_at,
    largest_id,
    token_dtype,
)

__all__ = [
    "DOCUMENTS_FILE",
    "FORMATS",
    "METADATA_FILE",
    "PARTIAL_SUFFIX",
    "SCHEMA",
    "TOKENIZER_FILE",
    "TOKENS_FILE",
    "Assumptions",
    "Format",
    "OpenOptions",
    "RowMeaning",
    "SeparatorPosition",
    "Shard",
    "TokenStore",
    "check_document_ends",
    "check_vocab_size",
    "chunks",
    "complete_store",
    "document_ends_at",
    "find_format",
    "indexed_prefix",
    "is_partial",
    "largest_id",
    "open_store",
    "read_store",
    "recognised_format",
    "shares_at_document_ends",
    "token_dtype",
]
