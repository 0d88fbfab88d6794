"""Facts about a token store that show whether it was read correctly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

from ngramstat.corpus.formats import (
    RowMeaning,
    SeparatorPosition,
    chunks,
    find_format,
    shares_at_document_ends,
)
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.text.findings import text_notes
from ngramstat.corpus.tokenizing.tokenization import tokenization_problems

__all__ = ["QUANTILES", "Inspection", "inspect"]

#: Levels of `Inspection.document_lengths`.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_FIRST_IDS = 20
# Fewer documents than this share with a separator at an end are suspicious.
_FEW_SEPARATED = 0.5
# Of 32-bit ids of the largest vocabularies in use, which have about 2^18 tokens.
_LARGEST_UPPER_HALF = 7


@dataclass(frozen=True)
class Inspection:
    """Facts about one token store.

    Attributes
    ----------
    path, format, description
        The opened path, and the name and description of its format.
    dtype
        "uint16" or "uint32".
    tokens
        Number of tokens, separators included.
    documents
        Number of documents; 0 if the documents are unknown.
    vocab_size, vocab_size_inferred
        Vocabulary size, and whether it is only the largest id plus 1.
    largest_id
        Largest id that occurs.
    separator, separator_position, separators
        Id of the separator (None if unknown), "before" or "after" each document (None if unknown),
        and how often it occurs.
    document_lengths
        Quantiles of the document lengths in tokens at the levels `QUANTILES`; None if unknown.
    first_ids, first_text
        The first 20 ids, and the text of each if a tokenizer is recorded (otherwise None).
    sha256
        Checksum of the token bytes.
    tokenization
        How text became tokens, where that is recorded (see `Corpus`).
    problems
        One line for each fault or suspicious fact.
    notes
        What the reader of the store decided or left out, one sentence each.
    shards
        Path, bytes, tokens and sha256 of each file, in order, if there are several.
    """

    path: str
    format: str
    description: str
    dtype: str
    tokens: int
    documents: int
    vocab_size: int
    vocab_size_inferred: bool
    largest_id: int
    separator: int | None
    separator_position: str | None
    separators: int
    document_lengths: tuple[int, ...] | None
    first_ids: tuple[int, ...]
    first_text: tuple[str, ...] | None
    sha256: str
    tokenization: Mapping[str, Any] | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    shards: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with `document_lengths` keyed by the quantile levels."""
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, tuple):
                values[name] = list(value)
        if self.document_lengths is not None:
            values["document_lengths"] = {
                str(level): length
                for level, length in zip(QUANTILES, self.document_lengths, strict=True)
            }
        return values


def inspect(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    format: str = "auto",
    dtype: Any = None,
    vocab_size: int | None = None,
    separator: int | None = None,
    separator_position: SeparatorPosition | None = None,
    column: str | None = None,
    rows: RowMeaning = "auto",
    array: str | None = None,
) -> Inspection:
    """Open a token store (options as in `Corpus.open`) and read it once.

    Ids outside the vocabulary are reported in `Inspection.problems`, not raised.

    Raises
    ------
    InputError
        The path is not a token store, is damaged, or contradicts an option.
    """
    corpus = Corpus.open(
        path,
        format=format,
        dtype=dtype,
        vocab_size=vocab_size,
        separator=separator,
        separator_position=separator_position,
        column=column,
        rows=rows,
        array=array,
    )
    largest = separators = 0
    for _, chunk in chunks(corpus.tokens):
        largest = max(largest, int(chunk.max()))
        if corpus.separator is not None:
            separators += int(np.count_nonzero(chunk == corpus.separator))
    first = corpus.tokens[:_FIRST_IDS]
    text = None
    if corpus.tokenizer_path is not None and int(first.max()) < corpus.vocab_size:
        text = tuple(corpus.decode(first))
    return Inspection(
        path=str(corpus.path),
        format=corpus.format,
        description=find_format(corpus.format).description,
        dtype=corpus.dtype.name,
        tokens=corpus.n_tokens,
        documents=corpus.n_documents,
        vocab_size=corpus.vocab_size,
        vocab_size_inferred=corpus.vocab_size_inferred,
        largest_id=largest,
        separator=corpus.separator,
        separator_position=corpus.separator_position,
        separators=separators,
        document_lengths=_document_lengths(corpus),
        first_ids=tuple(int(i) for i in first),
        first_text=text,
        sha256=corpus.sha256,
        tokenization=corpus.tokenization,
        problems=tuple(_find_problems(corpus, largest, separators)),
        notes=corpus.notes,
        shards=tuple(corpus.info().get("shards", ())),
    )


def _find_problems(corpus: Corpus, largest_id: int, separators: int) -> Iterator[str]:
    if largest_id >= corpus.vocab_size:
        yield (
            f"the largest id {largest_id} is not in the vocabulary (0 to {corpus.vocab_size - 1}); "
            "is --dtype or --vocab-size wrong?"
        )
    yield from tokenization_problems(corpus.tokenization)
    yield from text_notes(corpus.tokenization)
    if corpus.separator is not None and separators == 0:
        yield f"the separator {corpus.separator} never occurs"
    elif corpus.separator is not None and corpus.document_ends is not None:
        share = max(shares_at_document_ends(corpus.tokens, corpus.document_ends, corpus.separator))
        if share < _FEW_SEPARATED:
            yield (
                f"the separator {corpus.separator} stands at an end of only {share:.0%} of the "
                "documents; is it the right id?"
            )
    contents = [shard["sha256"] for shard in corpus.info().get("shards", ())]
    if len(set(contents)) < len(contents):
        yield f"{len(contents) - len(set(contents))} of the files repeat another one's contents"
    wide = _wider_type(corpus)
    if wide is not None:
        yield wide


def _wider_type(corpus: Corpus) -> str | None:
    """A note if the tokens look like those of a wider type, read with a narrower one.

    The upper halves of little-endian ids stand at every second place, and hardly ever differ.
    """
    if corpus.format not in ("raw", "dolma", "datatrove") or corpus.n_tokens < 16:
        return None
    upper_halves = lower_halves = total = zeros = 0
    for _, chunk in chunks(corpus.tokens):
        upper, lower = chunk[1::2], chunk[::2]
        upper_halves += int(np.count_nonzero(upper <= _LARGEST_UPPER_HALF))
        lower_halves += int(np.count_nonzero(lower <= _LARGEST_UPPER_HALF))
        zeros += int(np.count_nonzero(upper == 0))
        total += upper.size
    if upper_halves < total or lower_halves > total / 2:
        return None
    width = 8 * corpus.dtype.itemsize
    seen = "is 0" if zeros == total else f"is at most {_LARGEST_UPPER_HALF}"
    return f"every second id {seen}: are these uint{2 * width} tokens, read as {corpus.dtype.name}?"


def _document_lengths(corpus: Corpus) -> tuple[int, ...] | None:
    """Quantiles of the document lengths at the levels `QUANTILES`."""
    if corpus.document_ends is None:
        return None
    lengths = np.diff(corpus.document_ends, prepend=0)
    return tuple(int(q) for q in np.quantile(lengths, QUANTILES, method="inverted_cdf"))
