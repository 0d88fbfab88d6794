"""Text to a corpus directory: train a BPE or load a tokenizer, then encode."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ngramstat.corpus.sources import (
    DocumentUnit,
    OnError,
    Piece,
    Source,
    TextFindings,
    TextFormat,
    TextOptions,
    find_sources,
    read_pieces,
)
from ngramstat.corpus.store import Corpus, CorpusWriter, check_output_directory
from ngramstat.corpus.training import SEPARATOR_TOKEN, PreTokenizer, train_tokenizer
from ngramstat.corpus.unknown import UnknownCounter
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, regular_file_size
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import resolve_threads

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SEPARATOR_TOKEN", "tokenize"]

# End-of-document tokens of other tokenizers; the first one present is used.
_SEPARATOR_TOKENS = (
    SEPARATOR_TOKEN, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]",
)  # fmt: skip

# Characters and pieces encoded in one call: enough to keep all cores busy in little memory.
_BATCH_CHARS = 4 << 20
_BATCH_ITEMS = 1 << 14
# Longer documents are cut into pieces of about this many characters, which are encoded in parallel,
# where a check shows that the cut does not change the tokens.
_SEGMENT_CHARS = 1 << 19
# A whole-file document is cut once this many characters have been read.
_GATHER_CHARS = 8 << 20
# Characters on either side of a cut that are encoded for the check, and cuts tried before giving
# up.
_WINDOW_CHARS = 512
_MAX_CUT_TRIES = 64
# All common pre-tokenizers split between a letter and a blank that is followed by a letter.
_CUT = re.compile(r"(?<=[^\W\d_])(?=[ \n][^\W\d_])")


def tokenize(
    inputs: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    vocab_size: int = 8192,
    tokenizer: str | PathLike[str] | None = None,
    pre_tokenizer: PreTokenizer = "byte-level",
    separator: int | None = None,
    text_field: str = "text",
    document: DocumentUnit = "auto",
    format: TextFormat = "auto",
    split_on: str | None = None,
    on_error: OnError = "stop",
    max_record: int = TextOptions.max_record,
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Corpus:
    """Make a corpus directory from text.

    The inputs are streamed, twice when a tokenizer is trained and otherwise once. The separator is
    appended to every document, also to empty ones. A special token spelled out in the text is
    encoded as ordinary text. Characters that the tokenizer does not know are counted in
    `Corpus.tokenization`.

    Parameters
    ----------
    inputs
        Text, JSON, CSV, Parquet, Arrow, tar or zip files, directories, patterns, ``-``, pipes or
        URLs (see `ngramstat.corpus.sources.find_sources`).
    output
        The directory to write.
    vocab_size
        Vocabulary size of the BPE to train, at least 257 at the level of bytes; a small input may
        yield less.
    tokenizer
        A ``tokenizer.json`` (Hugging Face) to use instead of training.
    pre_tokenizer
        Of the BPE to train: ``byte-level``, or ``whitespace`` as in the paper, where white space is
        lost (see `ngramstat.corpus.training.train_tokenizer`).
    separator
        Id of the document separator in `tokenizer`; by default its end-of-text token.
    text_field
        Field or column that holds the text of a record.
    document
        What one document is: "file", "line", "paragraph", "record" or "auto".
    format
        What the inputs are; "auto" recognises each by its first bytes.
    split_on
        A marker in the text that ends documents and belongs to none.
    on_error
        "stop" at a record that cannot be used, or "skip" it and list it in ``skipped.jsonl``.
    max_record
        Largest record, in bytes.
    threads
        Threads to encode with; by default the cores this process may use. The tokenizers library
        fixes the number at its first use in a process; afterwards only 1 or more than 1 matters.
    overwrite
        Whether an existing corpus in `output` may be replaced.
    progress
        Show progress; by default in notebooks.

    Returns
    -------
    Corpus
        The corpus, opened.

    Raises
    ------
    InputError
        An input, the tokenizer, the output or an option is invalid.
    NgramstatError
        Writing failed, or a package is missing.
    """
    directory = Path(output)
    progress = shows_progress(progress)
    check_output_directory(directory, overwrite=overwrite)
    options = TextOptions(
        text_field=text_field, document=document, format=format, split_on=split_on,
        on_error=on_error, max_record=max_record,
    )  # fmt: skip
    findings = TextFindings()
    sources = find_sources(inputs, options, findings, progress=progress)
    with _thread_settings(resolve_threads(threads)):
        if tokenizer is None:
            if separator is not None:
                raise InputError(
                    f"separator={separator}: only for a given tokenizer; a trained one has its own"
                )
            model = _train(sources, vocab_size, pre_tokenizer, options, progress)
            contents = model.to_str().encode("utf-8")
        else:
            if pre_tokenizer != "byte-level":
                raise InputError(
                    f"pre_tokenizer={pre_tokenizer!r}: only for a tokenizer to be trained; a given "
                    "one has its own"
                )
            model, contents = _load(Path(tokenizer))
        model.encode_special_tokens = True
        name = "tokenizer" if tokenizer is None else str(tokenizer)
        with CorpusWriter(
            directory,
            _vocab_size(model),
            separator=_separator_id(model, separator, name),
            tokenizer=contents,
            sources=_source_records(sources),
            overwrite=overwrite,
        ) as writer:
            counter = UnknownCounter(model)
            _encode(model, counter, sources, writer, options, findings, progress)
            writer.tokenization = {
                "pre_tokenizer": pre_tokenizer if tokenizer is None else None,
                "unknown": counter.count,
                "unknown_id": counter.id,
                "left_out": counter.leaves_out,
                **findings.to_dict(),
            }
            corpus = writer.finish()
            findings.write_skipped(directory)
            return corpus


def _train(
    sources: Sequence[Source],
    vocab_size: int,
    pre_tokenizer: PreTokenizer,
    options: TextOptions,
    progress: bool,
) -> Tokenizer:
    def read() -> Iterator[str]:
        with _reading(sources, "Train tokenizer", progress) as bar:
            for piece in _read_all(sources, options, bar):
                yield piece.text

    return train_tokenizer(read, vocab_size, pre_tokenizer, progress=progress)


def _load(path: Path) -> tuple[Tokenizer, bytes]:
    """Load a tokenizer.json, without truncation, padding or randomness; also its contents."""
    regular_file_size(path)
    from tokenizers import Tokenizer

    contents = path.read_bytes()
    try:
        model = Tokenizer.from_str(contents.decode("utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"{path}: not a usable tokenizer.json: {reason(error)}") from error
    model.no_truncation()
    model.no_padding()
    if getattr(model.model, "dropout", None):
        raise InputError(f"{path}: has BPE dropout, which makes encoding random; set it to null")
    return model, contents


def _vocab_size(model: Tokenizer) -> int:
    ids = model.get_vocab(with_added_tokens=True).values()
    # Ids may have gaps, and then the largest id exceeds the number of tokens.
    return max(model.get_vocab_size(with_added_tokens=True), max(ids) + 1)


def _source_records(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [
        {"name": source.name, "bytes": source.size, "sha256": source.sha256()} for source in sources
    ]


def _separator_id(model: Tokenizer, separator: int | None, where: str) -> int:
    vocabulary = model.get_vocab(with_added_tokens=True)
    if separator is not None:
        if separator not in vocabulary.values():
            raise InputError(f"separator={separator}: {where} has no token with this id")
        return separator
    special = {token.content for token in model.get_added_tokens_decoder().values()}
    for name in _SEPARATOR_TOKENS:
        if name in special:
            return int(vocabulary[name])
    raise InputError(
        f"{where}: has no end-of-text token ({', '.join(_SEPARATOR_TOKENS)}); give the id of its "
        "document separator with --separator"
    )


def _encode(
    model: Tokenizer,
    counter: UnknownCounter,
    sources: Sequence[Source],
    writer: CorpusWriter,
    options: TextOptions,
    findings: TextFindings,
    progress: bool,
) -> None:
    texts: list[str] = []
    lasts: list[bool] = []
    size = 0
    with _reading(sources, "Encode", progress) as bar:
        pieces = _read_all(sources, options, bar, findings)
        for text, last in _segments(model, pieces):
            texts.append(text)
            lasts.append(last)
            size += len(text)
            if size >= _BATCH_CHARS or len(texts) >= _BATCH_ITEMS:
                _encode_batch(counter, texts, lasts, writer)
                texts, lasts, size = [], [], 0
        _encode_batch(counter, texts, lasts, writer)


def _encode_batch(
    counter: UnknownCounter, texts: list[str], lasts: list[bool], writer: CorpusWriter
) -> None:
    documents = []
    for encoding, last in zip(counter.encode(texts), lasts, strict=True):
        ids = np.array(encoding.ids, dtype=np.int64)
        if last:
            documents.append(ids)
        else:
            writer.append_batch(documents)
            documents = []
            writer.write(ids)
    writer.append_batch(documents)


def _segments(model: Tokenizer, pieces: Iterator[Piece]) -> Iterator[tuple[str, bool]]:
    """Join the pieces of each document, and cut long documents where that changes no token."""
    cuttable = _splits_locally(model)
    pending: list[str] = []
    length, enough = 0, _GATHER_CHARS
    for piece, last, _ in pieces:
        pending.append(piece)
        length += len(piece)
        if not last and length < enough:
            continue
        parts = _cut("".join(pending), model) if cuttable else ["".join(pending)]
        if last:
            yield from ((part, False) for part in parts[:-1])
            yield parts[-1], True
            pending, length, enough = [], 0, _GATHER_CHARS
        else:
            yield from ((part, False) for part in parts[:-1])
            pending, length = [parts[-1]], len(parts[-1])
            # Without a cut, twice as much text is gathered before the next attempt. The total cost
            # of joining and searching therefore stays proportional to the text.
            enough = max(_GATHER_CHARS, 2 * length)


def _cut(text: str, model: Tokenizer) -> list[str]:
    """Cut a text into parts that encode separately to the same tokens as the whole text."""
    parts: list[str] = []
    start = 0
    while len(text) - start > 2 * _SEGMENT_CHARS:
        at = _find_cut(text, start + _SEGMENT_CHARS, model)
        if at is None:
            break
        parts.append(text[start:at])
        start = at
    parts.append(text[start:])
    return parts


def _find_cut(text: str, start: int, model: Tokenizer) -> int | None:
    for tries, match in enumerate(_CUT.finditer(text, start, len(text) - _WINDOW_CHARS)):
        if tries == _MAX_CUT_TRIES:
            return None
        at = match.start()
        left, right = text[at - _WINDOW_CHARS : at], text[at : at + _WINDOW_CHARS]
        together, first, second = (
            encoding.ids
            for encoding in model.encode_batch_fast(
                [left + right, left, right], add_special_tokens=False
            )
        )
        if together == first + second:
            return at
    return None


def _splits_locally(model: Tokenizer) -> bool:
    """Whether a pre-tokenizer splits the text by a regular expression, which sees nearby text only.

    Without one, as in SentencePiece models, a merge may depend on distant text, and a normalizer
    may add something to every text. A local check then does not prove a cut.
    """
    description = json.loads(model.to_str())
    if description["normalizer"] is not None or description["pre_tokenizer"] is None:
        return False
    steps = description["pre_tokenizer"].get("pretokenizers", [description["pre_tokenizer"]])
    return any(
        step["type"] in ("Split", "Whitespace")
        or (step["type"] == "ByteLevel" and step.get("use_regex", True))
        for step in steps
    )


def _read_all(
    sources: Sequence[Source],
    options: TextOptions,
    bar: Progress,
    findings: TextFindings | None = None,
) -> Iterator[Piece]:
    before = 0
    for source in sources:

        def report(read: int, before: int = before) -> None:
            bar.advance_to(before + read)

        yield from read_pieces(source, options, report=report, findings=findings)
        before += source.size
        bar.advance_to(before)


def _reading(sources: Sequence[Source], description: str, progress: bool) -> Progress:
    total = sum(source.size for source in sources)
    return Progress(total, description, unit="B", enabled=progress)


@contextlib.contextmanager
def _thread_settings(threads: int) -> Iterator[None]:
    """Set the threads of the tokenizers library, which only reads them from the environment.

    The size of its thread pool is fixed at the first use. The variables are restored afterwards.
    """
    settings = {
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    except MemoryError as error:
        raise NgramstatError(
            "out of memory while tokenizing; split the largest document"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
