"""Text to a corpus directory: train a BPE or load a tokenizer, then encode."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ngramstat.corpus.corpus_writer import CorpusWriter, check_output_directory
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
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.tokenizing.encoding import Encoder, choose_engine
from ngramstat.corpus.tokenizing.engines import Engine, EngineMismatchError
from ngramstat.corpus.tokenizing.segments import place
from ngramstat.corpus.tokenizing.special_tokens import SpecialTokens, check_choice
from ngramstat.corpus.tokenizing.text_tokenizer import TextTokenizer, prepare_tokenizer
from ngramstat.corpus.tokenizing.tokenizer_files import read_tokenizer
from ngramstat.corpus.tokenizing.training import (
    DEFAULT_TRAIN_BYTES,
    SEPARATOR_TOKEN,
    PreTokenizer,
    TrainedTokenizer,
    check_training,
    train_tokenizer,
)
from ngramstat.corpus.tokenizing.unknown import LeftOutEngine
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.numbers import count_of
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_size, resolve_threads

__all__ = ["SEPARATOR_TOKEN", "tokenize"]

_DEFAULT_VOCAB_SIZE = 8192


def tokenize(
    inputs: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    vocab_size: int | None = None,
    tokenizer: str | PathLike[str] | None = None,
    pre_tokenizer: PreTokenizer | None = None,
    separator: int | None = None,
    special_tokens: SpecialTokens = "text",
    train_bytes: int | str | None = None,
    tiktoken_pattern: str | None = None,
    allow_download: bool = False,
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
    encoded as ordinary text, unless `special_tokens` says otherwise. What the tokenizer does not
    know is counted in `Corpus.tokenization`, which also says what encoded the text: fastokens where
    it proves equal to the tokenizers library on a sample of the job, otherwise that library.

    Parameters
    ----------
    inputs
        Text, JSON, CSV, Parquet, Arrow, tar or zip files, directories, patterns, ``-``, pipes or
        URLs (see `ngramstat.corpus.sources.find_sources`).
    output
        The directory to write.
    vocab_size
        Vocabulary size of the BPE to train, by default 8192, at least 257 at the level of bytes; a
        small input may yield less. Not with `tokenizer`.
    tokenizer
        What to use instead of training: a ``tokenizer.json`` (Hugging Face), a directory that holds
        one, a ``.tiktoken`` file, or the name of a model on the Hugging Face Hub.
    pre_tokenizer
        Of the BPE to train: ``byte-level``, the default, or ``whitespace`` as in the paper, where
        white space is lost (see `ngramstat.corpus.tokenizing.training.train_tokenizer`). Not with
        `tokenizer`.
    separator
        Id of the document separator in `tokenizer`; by default its end-of-text token.
    special_tokens
        What becomes of a text that spells a special token of the tokenizer, or the separator:
        "text" encodes it as ordinary text, "keep" as that token (a separator then ends the
        document), "error" refuses it. Added tokens that are not marked special are ordinary words.
    train_bytes
        Bytes of text to train on at most, such as ``"64M"``, in a sample spread evenly over the
        inputs; "all" for all of it, by default 16 MiB. Texts that are shorter are used whole.
    tiktoken_pattern
        How a ``.tiktoken`` file that is not well known splits text: a name of
        `ngramstat.corpus.tokenizing.tiktoken_files.TIKTOKEN_PATTERNS`, or a regular expression.
    allow_download
        Whether a tokenizer given by name may be fetched from the Hugging Face Hub. Otherwise it has
        to be in the local cache.
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
    check_choice(special_tokens)
    options = TextOptions(
        text_field=text_field, document=document, format=format, split_on=split_on,
        on_error=on_error, max_record=max_record,
    )  # fmt: skip
    findings = TextFindings()
    sources = find_sources(inputs, options, findings, progress=progress)
    reader = _Reader(sources, options, findings, progress)
    with sole_writer(directory), _thread_settings(resolve_threads(threads)):
        trained = None
        if tokenizer is None:
            if vocab_size is None:
                vocab_size = _DEFAULT_VOCAB_SIZE
            if pre_tokenizer is None:
                pre_tokenizer = "byte-level"
            limit = _check_trained(vocab_size, pre_tokenizer, separator, train_bytes)
            trained = train_tokenizer(
                lambda: (piece.text for _, piece in reader.pieces("Train tokenizer")),
                vocab_size,
                pre_tokenizer,
                train_bytes=limit,
                progress=progress,
            )
            contents = trained.model.to_str().encode("utf-8")
            model = prepare_tokenizer(contents, "tokenizer", choice=special_tokens)
        else:
            _check_given(
                vocab_size=vocab_size, pre_tokenizer=pre_tokenizer, train_bytes=train_bytes
            )
            file = read_tokenizer(
                tokenizer, tiktoken_pattern=tiktoken_pattern, allow_download=allow_download
            )
            model = prepare_tokenizer(
                file.contents,
                file.name,
                separator=separator,
                separator_token=file.separator_token,
                choice=special_tokens,
            )
        _expect_markers(findings, model)
        record = {
            "pre_tokenizer": pre_tokenizer,
            "training": _training_record(trained),
        }
        return _write(directory, model, reader, record, overwrite)


def _check_trained(
    vocab_size: int,
    pre_tokenizer: PreTokenizer,
    separator: int | None,
    train_bytes: int | str | None,
) -> int | None:
    """Check the options of a tokenizer to be trained; the bytes to train on, None: all."""
    if separator is not None:
        raise InputError(
            f"separator={separator}: only for a given tokenizer; a trained one has its own"
        )
    check_training(vocab_size, pre_tokenizer)
    if train_bytes is None:
        return DEFAULT_TRAIN_BYTES
    if str(train_bytes).strip().lower() == "all":
        return None
    if "%" in str(train_bytes):
        raise InputError(f"train_bytes={train_bytes!r}: write it like 64M, 1G or all")
    return parse_size(train_bytes, 0, "train_bytes")


def _check_given(
    *, vocab_size: int | None, pre_tokenizer: PreTokenizer | None, train_bytes: int | str | None
) -> None:
    """Refuse the options of a tokenizer to be trained beside a given one."""
    for option, value in (("--vocab-size", vocab_size), ("--pre-tokenizer", pre_tokenizer)):
        if value is not None:
            raise InputError(
                f"{option} {value}: only for a tokenizer to be trained; a given one has its own"
            )
    if train_bytes is not None:
        raise InputError(f"train_bytes={train_bytes!r}: only for a tokenizer to be trained")


def _expect_markers(findings: TextFindings, model: TextTokenizer) -> None:
    """Look for the separator in the text; what is kept as a token is not said to be text."""
    separator = next((name for name, id in model.special.items() if id == model.separator), None)
    if separator is not None:
        findings.look_for([separator])
    if model.choice == "keep":
        findings.keep(model.special, separator)


def _training_record(trained: TrainedTokenizer | None) -> dict[str, Any] | None:
    if trained is None:
        return None
    return {
        "bytes": trained.bytes_used,
        "of_bytes": trained.bytes_read,
        "cut_words": trained.cuts,
    }


def _write(
    directory: Path,
    tokenizer: TextTokenizer,
    reader: _Reader,
    record: dict[str, Any],
    overwrite: bool,
) -> Corpus:
    """Encode everything; once more by the tokenizers library if a faster one is not equal to it."""
    engine, reason = choose_engine(tokenizer, sum(source.size for source in reader.sources))
    records = _source_records(reader.sources)

    def attempt(engine: Engine, reason: str) -> Corpus:
        with CorpusWriter(
            directory,
            tokenizer.vocab_size,
            separator=tokenizer.separator,
            tokenizer=tokenizer.contents,
            sources=records,
            overwrite=overwrite,
        ) as writer:
            encoder = Encoder(tokenizer, engine, reader.sources, writer)
            findings = copy.deepcopy(reader.findings)  # counted afresh by a second attempt
            encoder.encode(reader.pieces("Encode", findings))
            _refuse_no_documents(findings, reader.sources)
            writer.tokenization = {
                **record,
                **_encoding_record(tokenizer, encoder, engine, reason),
                **findings.to_dict(),
            }
            return writer.finish(lambda _: findings.write_skipped(directory))

    try:
        return attempt(engine, reason)
    except EngineMismatchError as error:
        if engine is tokenizer.reference:
            raise NgramstatError(f"the tokenizers library failed: {error}") from error
        _note(f"{error}; all of the text is encoded again by tokenizers")
        return attempt(tokenizer.reference, str(error))


def _refuse_no_documents(findings: TextFindings, sources: Sequence[Source]) -> None:
    if findings.documents:
        return
    others = f" and {count_of(len(sources) - 1, 'other input')}" if len(sources) > 1 else ""
    skipped = f", {count_of(findings.skipped, 'record')} skipped" if findings.skipped else ""
    raise InputError(f"{sources[0].path}{others}: no text to tokenize: no documents{skipped}")


def _encoding_record(
    tokenizer: TextTokenizer, encoder: Encoder, engine: Engine, reason: str
) -> dict[str, Any]:
    unknown, check, segmenter = encoder.unknown, encoder.check, encoder.segmenter
    forced = None
    if segmenter.first_forced is not None:
        first = segmenter.first_forced
        forced = place(encoder.sources[first.source], first.record, first.start + len(first.text))
    return {
        "special_tokens": tokenizer.choice,
        "unknown": unknown.count,
        "unknown_of": unknown.total,
        "unknown_example": unknown.example,
        "unknown_id": tokenizer.unknown,
        "left_out": isinstance(engine, LeftOutEngine),
        "engine": {
            "name": engine.name,
            "reason": reason or None,
            "compared_texts": 0 if check is None else check.texts,
            "compared_characters": 0 if check is None else check.characters,
        },
        "forced_cuts": segmenter.forced,
        "first_forced_cut": forced,
    }


def _source_records(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [
        {"name": source.name, "bytes": source.size, "sha256": source.sha256()} for source in sources
    ]


class _Reader:
    """Reads all inputs in order, as often as is needed."""

    def __init__(
        self,
        sources: Sequence[Source],
        options: TextOptions,
        findings: TextFindings,
        progress: bool,
    ) -> None:
        self.sources, self.findings = sources, findings
        self._options, self._progress = options, progress

    def pieces(
        self, description: str, findings: TextFindings | None = None
    ) -> Iterator[tuple[int, Piece]]:
        """All pieces, each with the number of its input; `findings` counts what is in them."""
        total = sum(source.size for source in self.sources)
        with Progress(total, description, unit="B", enabled=self._progress) as bar:
            before = 0
            for number, source in enumerate(self.sources):

                def report(read: int, before: int = before) -> None:
                    bar.advance_to(before + read)

                for piece in read_pieces(source, self._options, report=report, findings=findings):
                    yield number, piece
                before += source.size
                bar.advance_to(before)


def _note(sentence: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"Note: {sentence}\n")


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
