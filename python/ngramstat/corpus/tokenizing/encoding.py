"""Text to tokens in flat batches: encoding, checking and writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.corpus_writer import CorpusWriter
from ngramstat.corpus.sources import Piece, Source
from ngramstat.corpus.tokenizing.engines import (
    Engine,
    EngineCheck,
    EngineError,
    EngineMismatchError,
    failing_text,
    load_fast_engine,
    odd_texts,
)
from ngramstat.corpus.tokenizing.segments import Segment, Segmenter, place
from ngramstat.corpus.tokenizing.special_tokens import spelled
from ngramstat.corpus.tokenizing.text_tokenizer import TextTokenizer
from ngramstat.corpus.tokenizing.unknown import LeftOutEngine, UnknownCounter, leaves_out
from ngramstat.errors import InputError

__all__ = ["Encoder", "choose_engine"]

# Segments encoded in one call.
_BATCH_ITEMS = 1 << 14
# Bytes of input that are encoded sooner than a second engine is loaded and compared.
_SMALL_BYTES = 1 << 19
_SPECIAL_HINT = (
    "--special-tokens keep encodes it as that token, --special-tokens text as ordinary text"
)


def choose_engine(tokenizer: TextTokenizer, size: int) -> tuple[Engine, str]:
    """The fastest engine for inputs of `size` bytes, and why it is not a faster one."""
    if leaves_out(tokenizer.description):
        return LeftOutEngine(tokenizer.reference), (
            "the tokenizer has no unknown token, and characters that it leaves out are counted"
        )
    if size < _SMALL_BYTES:
        return tokenizer.reference, "the inputs are small"
    fast, reason = load_fast_engine(tokenizer.description, as_text=tokenizer.choice != "keep")
    if fast is None:
        return tokenizer.reference, reason
    try:
        EngineCheck(fast, tokenizer.reference).compare(odd_texts(list(tokenizer.special)))
    except EngineMismatchError as error:
        return tokenizer.reference, str(error)
    except EngineError as error:
        return tokenizer.reference, f"tokenizers cannot encode the texts of the check ({error})"
    return fast, ""


class Encoder:
    """Encodes the documents of some inputs and writes them.

    Parameters
    ----------
    tokenizer
        What encodes.
    engine
        How: `choose_engine`.
    sources
        The inputs, for messages.
    writer
        Takes the tokens.

    Attributes
    ----------
    check : EngineCheck or None
        The comparison of the fast engine with the tokenizers library.
    unknown : UnknownCounter
    segmenter : Segmenter
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        engine: Engine,
        sources: Sequence[Source],
        writer: CorpusWriter,
    ) -> None:
        self._tokenizer, self._engine = tokenizer, engine
        self.sources, self._writer = sources, writer
        reference = tokenizer.reference
        fast = engine.name != reference.name
        self.check = EngineCheck(engine, reference) if fast else None
        self.unknown = UnknownCounter(tokenizer.unknown, reference, self._place)
        # A cut must not break a spelling that has a meaning.
        self._spelled = None if tokenizer.choice == "text" else spelled(tokenizer.special)
        self.segmenter = Segmenter(reference, tokenizer.description, self._spelled)
        self._forbidden = np.zeros(tokenizer.vocab_size, dtype=bool)
        if tokenizer.choice != "keep":
            self._forbidden[list(tokenizer.special.values())] = True
            if tokenizer.unknown is not None and tokenizer.unknown != tokenizer.separator:
                self._forbidden[tokenizer.unknown] = False

    def encode(self, pieces: Iterator[tuple[int, Piece]]) -> None:
        """Encode all pieces, each with the number of its input.

        Raises
        ------
        InputError
            A text cannot be encoded, or spells a special token that must not be in it.
        EngineMismatchError
            The fast engine is not equal to the tokenizers library. What was written is of no use.
        """
        for batch in self._batches(self.segmenter.segments(pieces)):
            self._encode_batch(batch)

    def _batches(self, segments: Iterable[Segment]) -> Iterator[list[Segment]]:
        batch: list[Segment] = []
        size = 0
        for segment in segments:
            batch.append(segment)
            size += len(segment.text)
            if size >= self._engine.batch_chars or len(batch) >= _BATCH_ITEMS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _encode_batch(self, batch: list[Segment]) -> None:
        texts = [segment.text for segment in batch]
        if self._tokenizer.choice == "error":
            self._refuse_spelled(batch)
        try:
            if self.check is not None:
                self.check.compare(self.check.sample(texts))
            ids, lengths = self._engine.encode(texts)
        except EngineError as error:
            raise self._failure(batch, error) from error
        if ids.size and int(ids.max()) >= self._tokenizer.vocab_size:
            raise EngineMismatchError(f"{self._engine.name} gave an id outside the vocabulary")
        if isinstance(self._engine, LeftOutEngine):
            self.unknown.add_left_out(batch, self._engine.left_out)
        else:
            self.unknown.add(batch, ids, lengths)
        ends = np.cumsum(lengths)
        self._refuse_special(batch, ids, ends)
        document_ends = ends[np.array([segment.last for segment in batch])]
        if self._tokenizer.choice == "keep":
            ids, document_ends = _split_at(ids, document_ends, self._tokenizer.separator)
        self._writer.append_flat(ids, document_ends)

    def _refuse_special(
        self, batch: list[Segment], ids: NDArray[Any], ends: NDArray[np.int64]
    ) -> None:
        """Refuse a text that became a special token although its spelling is hidden."""
        found = self._forbidden[ids]
        if not found.any():
            return
        first = int(np.argmax(found))
        number = int(np.searchsorted(ends, first, side="right"))
        segment = batch[number]
        numbers, offsets = self._tokenizer.reference.encode_with_offsets(segment.text)
        within = first - int(ends[number - 1] if number else 0)
        start, end = offsets[within] if within < len(numbers) else (0, 0)
        token = int(ids[first])
        what = "separator" if token == self._tokenizer.separator else "special token"
        raise InputError(
            f"{self._place(segment, start)}: the text {segment.text[start:end][:40]!r} is the "
            f"tokenizer's {what} {token}, which cannot be told apart from it; change the text, "
            "name another --separator, or encode it as that token with --special-tokens keep"
        )

    def _refuse_spelled(self, batch: list[Segment]) -> None:
        if self._spelled is None:
            return
        for segment in batch:
            if match := self._spelled.search(segment.text):
                raise InputError(
                    f"{self._place(segment, match.start())}: the text spells the special token "
                    f"{match[0]!r}; {_SPECIAL_HINT}"
                )

    def _failure(self, batch: list[Segment], error: EngineError) -> InputError:
        number, message = failing_text(
            self._tokenizer.reference, [segment.text for segment in batch]
        )
        segment = batch[number]
        start, word = _failing_word(self._tokenizer, segment.text)
        return InputError(
            f"{self._place(segment, start)}: the tokenizer cannot encode {word!r} and has no "
            f"unknown token for it ({message}); take a tokenizer that knows this text, or train "
            "one by leaving out --tokenizer"
        )

    def _place(self, segment: Segment, character: int) -> str:
        source = self.sources[segment.source]
        return place(source, segment.record, segment.start + character)


def _failing_word(tokenizer: TextTokenizer, text: str) -> tuple[int, str]:
    """Start and text of the first word that a tokenizer cannot encode, or of the whole text."""
    start, end = 0, len(text)
    # The shortest beginning that fails ends with the character that is not known.
    low, high = 0, len(text)
    while low < high:
        middle = (low + high) // 2
        try:
            tokenizer.reference.encode([text[:middle]])
            low = middle + 1
        except EngineError:
            high = middle
    end = low
    start = max(text.rfind(" ", 0, max(end - 1, 0)) + 1, end - 40, 0)
    while start < end - 1 and text[start].isspace():
        start += 1
    return start, text[start:end]


def _split_at(
    ids: NDArray[Any], ends: NDArray[np.int64], separator: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Take separators out of the ids; documents end where they stood."""
    found = ids == separator
    if not found.any():
        return ids, ends
    before = np.concatenate([[0], np.cumsum(found)])
    at = np.flatnonzero(found)
    # A separator ends a document before a text's own end at the same place.
    moved = np.concatenate([at - before[at], ends - before[ends]])
    return ids[~found], np.sort(moved)
