"""Which documents of a new text are in an indexed corpus, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.index.overlap import IndexedCorpus, MatchSpans, NewText, find_spans
from ngramstat.index.span_tables import TABLE_SUFFIXES, write_table
from ngramstat.index.tokenizer import IndexTokenizer
from ngramstat.results.tables import optional_package
from ngramstat.runtime.files import atomic_write, write_json
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.text import encoded
from ngramstat.runtime.workspace import Workspace

__all__ = ["OverlapResult", "find_overlap", "joined_spans", "require_report_name"]

_SCHEMA = "ngramstat.overlap/1"
_COLUMNS = (
    "document", "start", "length", "occurrences", "corpus_document", "corpus_position", "capped",
)  # fmt: skip


@dataclass(frozen=True)
class OverlapResult:
    """What a new text shares with an indexed corpus: spans of at least `min_length` tokens.

    Attributes
    ----------
    min_length : int
        Tokens of the shortest span that counts.
    min_share : float
        A document is contaminated if it has a span and at least this share of its tokens lies in
        spans.
    document_tokens, document_covered, document_longest : (d,) int64
        For each document of the new text, without its separator: its tokens, those in spans, and
        the longest match, also where it is shorter than `min_length`.
    span_documents : (k,) int64
        The document of the new text that each span lies in.
    span_starts : (k,) int64
        Where it begins, in tokens from the beginning of that document.
    spans : MatchSpans
        Length, occurrences and place in the corpus of each; its `starts` count from the beginning
        of the whole new text.
    max_length : int or None
        Tokens of the longest match that the index finds for certain; None: any.
    index : dict
        Path, tokens, documents, boundary and depth of the index.
    """

    min_length: int
    min_share: float
    document_tokens: NDArray[np.int64]
    document_covered: NDArray[np.int64]
    document_longest: NDArray[np.int64]
    span_documents: NDArray[np.int64]
    span_starts: NDArray[np.int64]
    spans: MatchSpans
    max_length: int | None
    index: Mapping[str, Any]
    _text: NewText = field(repr=False)
    _tokenizer: IndexTokenizer | None = field(repr=False)

    @property
    def tokens(self) -> int:
        """Tokens that were looked for."""
        return int(self.document_tokens.sum())

    @property
    def covered(self) -> int:
        """Tokens in spans."""
        return int(self.document_covered.sum())

    @property
    def share(self) -> float:
        """Share of the tokens that lie in spans; 0 without tokens."""
        return self.covered / self.tokens if self.tokens else 0.0

    @property
    def document_shares(self) -> NDArray[np.float64]:
        """The same for each document, (d,)."""
        shares: NDArray[np.float64] = self.document_covered / np.maximum(self.document_tokens, 1)
        return shares

    @cached_property
    def contaminated(self) -> NDArray[np.bool_]:
        """Which documents have a span, and `min_share` of their tokens in spans; (d,)."""
        result: NDArray[np.bool_] = (self.document_covered > 0) & (
            self.document_covered >= self.min_share * self.document_tokens
        )
        return result

    def text(self, span: int) -> str:
        """The text of a span.

        Raises
        ------
        InputError
            The indexed corpus has no tokenizer.
        """
        if self._tokenizer is None:
            raise InputError("text: the indexed corpus has no tokenizer")
        start, length = int(self.spans.starts[span]), int(self.spans.lengths[span])
        return self._tokenizer.decode(self._text.tokens[start : start + length])

    def summary(self) -> dict[str, Any]:
        """The numbers of the whole, without documents and spans; JSON values."""
        documents = len(self.document_tokens)
        contaminated = int(self.contaminated.sum())
        return {
            "schema": _SCHEMA,
            "index": dict(self.index),
            "min_length": self.min_length,
            "min_share": self.min_share,
            "tokens": self.tokens,
            "covered_tokens": self.covered,
            "share": self.share,
            "documents": documents,
            "contaminated_documents": contaminated,
            "contaminated_share": contaminated / documents if documents else 0.0,
            "longest_match": int(self.document_longest.max(initial=0)),
            "spans": len(self.spans),
            "capped_spans": int(self.spans.capped.sum()),
        }

    def to_dict(self) -> dict[str, Any]:
        """The summary, and in ``found`` every document with spans; JSON values."""
        return {**self.summary(), "found": list(self.found_documents())}

    def found_documents(self) -> Iterator[dict[str, Any]]:
        """The documents with spans: their numbers, and each span with its place in the corpus."""
        bounds = np.searchsorted(
            self.span_documents, np.arange(len(self.document_tokens) + 1), side="left"
        )
        for document in np.flatnonzero(np.diff(bounds)).tolist():
            yield {
                "document": document,
                "tokens": int(self.document_tokens[document]),
                "covered_tokens": int(self.document_covered[document]),
                "share": float(self.document_shares[document]),
                "longest_match": int(self.document_longest[document]),
                "contaminated": bool(self.contaminated[document]),
                "spans": [
                    self._span(number)
                    for number in range(int(bounds[document]), int(bounds[document + 1]))
                ],
            }

    def _span(self, number: int) -> dict[str, Any]:
        spans = self.spans
        described = {
            "start": int(self.span_starts[number]),
            "length": int(spans.lengths[number]),
            "occurrences": int(spans.occurrences[number]),
            "corpus_document": int(spans.documents[number]),
            "corpus_position": int(spans.positions[number]),
            "capped": bool(spans.capped[number]),
        }
        return described if self._tokenizer is None else {**described, "text": self.text(number)}

    def columns(self) -> dict[str, Any]:
        """One row per span, as columns: arrays, and a list of texts if there is a tokenizer."""
        spans = self.spans
        values = (
            self.span_documents, self.span_starts, spans.lengths, spans.occurrences,
            spans.documents, spans.positions, spans.capped,
        )  # fmt: skip
        table: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
        if self._tokenizer is not None:
            table["text"] = [self.text(number) for number in range(len(spans))]
        return table

    def to_pandas(self) -> Any:
        """One row per span (`columns`); NgramstatError if pandas is not installed."""
        pd = optional_package("pandas", "pandas", "to_pandas")

        return pd.DataFrame(self.columns())

    def save(self, path: str | PathLike[str]) -> None:
        """Write a file, atomically.

        Parameters
        ----------
        path
            ``.json``: `to_dict`. ``.jsonl``: one line per document with spans. ``.csv``,
            ``.parquet``: one row per span.

        Raises
        ------
        InputError
            The file's name has another ending, or its directory is missing.
        NgramstatError
            Writing failed, or pyarrow is not installed.
        """
        suffix = require_report_name(path)
        if suffix == ".json":
            write_json(path, self.to_dict())
        elif suffix == ".jsonl":
            with atomic_write(path) as file:
                for document in self.found_documents():
                    file.write(encoded(json.dumps(document, ensure_ascii=False) + "\n"))
        else:
            table = self.columns()
            write_table(path, list(table), [table])


def require_report_name(path: str | PathLike[str]) -> str:
    """The ending of a file's name, if `OverlapResult.save` knows it.

    Raises
    ------
    InputError
        It does not.
    """
    suffix = Path(path).suffix.lower()
    if suffix != ".json" and suffix not in TABLE_SUFFIXES:
        raise InputError(f"{path}: must end with .json, {', '.join(TABLE_SUFFIXES)}")
    return suffix


def joined_spans(parts: list[MatchSpans]) -> MatchSpans:
    """Several tables of spans, one after the other."""
    if not parts:
        none = np.zeros(0, np.int64)
        return MatchSpans(none, none, none, none, none, np.zeros(0, bool))
    return MatchSpans(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MatchSpans))
    )


def find_overlap(
    index: IndexedCorpus,
    text: NewText,
    *,
    min_length: int,
    min_share: float,
    tokenizer: IndexTokenizer | None,
    described: Mapping[str, Any],
    workspace: Workspace,
    bar: Progress,
) -> OverlapResult:
    """The spans of a new text in an indexed corpus, and what they cover of each document.

    Raises
    ------
    InputError
        The index cannot find matches of that length, or is damaged.
    """
    if not 0 <= min_share <= 1:
        raise InputError(f"--min-share {min_share}: must lie between 0 and 1")
    longest = np.zeros(len(text.ends), np.int64)
    parts = []
    for step in find_spans(index, text, min_length, workspace, bar):
        # Empty documents have no position of their own.
        document = np.searchsorted(text.ends, step.positions, side="right")
        first = np.flatnonzero(np.diff(document, prepend=-1))
        best = np.maximum.reduceat(step.lengths, first)
        longest[document[first]] = np.maximum(longest[document[first]], best)
        parts.append(step.spans)
    spans = joined_spans(parts)
    ends = spans.starts + spans.lengths
    new_from = np.maximum(spans.starts, np.concatenate([[0], ends[:-1]])[: len(ends)])
    document = np.searchsorted(text.ends, spans.starts, side="right")
    covered = np.zeros(len(text.ends), np.int64)
    np.add.at(covered, document, ends - new_from)
    return OverlapResult(
        min_length=min_length,
        min_share=float(min_share),
        document_tokens=text.ends - text.starts,
        document_covered=covered,
        document_longest=longest,
        span_documents=document,
        span_starts=spans.starts - text.starts[document],
        spans=spans,
        max_length=index.max_length,
        index=described,
        _text=text,
        _tokenizer=tokenizer,
    )
