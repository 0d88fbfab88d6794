"""Texts in memory to a corpus in memory, by the same steps as files of text."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from ngramstat.corpus.store import Corpus
from ngramstat.corpus.tokenize import tokenize
from ngramstat.corpus.training import PreTokenizer
from ngramstat.errors import InputError, InputTypeError, NgramstatError
from ngramstat.runtime.files import reason

__all__ = ["corpus_of_texts"]


def corpus_of_texts(
    texts: Iterable[str],
    *,
    vocab_size: int = 8192,
    tokenizer: str | PathLike[str] | None = None,
    pre_tokenizer: PreTokenizer = "byte-level",
    separator: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    name: str = "texts",
) -> Corpus:
    """See `Corpus.from_texts`; `name` is that of the argument, for messages.

    The texts go through a temporary directory, which has room for them twice. It is removed with
    the corpus, whose tokens are mapped from there.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputTypeError(
            f"{name}: needs a list of strings, one for each document, not {type(texts).__name__}"
        )
    directory = Path(tempfile.mkdtemp(prefix="ngramstat-"))
    try:
        records = directory / "texts.jsonl"
        _write_records(texts, records, name)
        corpus = tokenize(
            [records],
            directory / "corpus",
            vocab_size=vocab_size,
            tokenizer=tokenizer,
            pre_tokenizer=pre_tokenizer,
            separator=separator,
            document="record",
            threads=threads,
            progress=progress,
        )
        records.unlink()
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    corpus = dataclasses.replace(corpus, path=None, format="memory")
    weakref.finalize(corpus.tokens, shutil.rmtree, directory, ignore_errors=True)
    return corpus


def _write_records(texts: Iterable[str], path: Path, name: str) -> None:
    written = 0
    try:
        with open(path, "w", encoding="utf-8") as file:
            for number, text in enumerate(texts):
                if not isinstance(text, str):
                    raise InputTypeError(
                        f"{name}: text {number} is {type(text).__name__}, not a string"
                    )
                try:
                    file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                except UnicodeEncodeError as error:
                    raise InputError(
                        f"{name}: text {number} has half of a surrogate pair at character "
                        f"{_surrogate(text)}, which is no character; decode its source anew"
                    ) from error
                written += 1
    except OSError as error:
        raise NgramstatError(
            f"{path.parent}: texts cannot be written there: {reason(error)}; set TMPDIR to a "
            "directory with more room"
        ) from error
    if written == 0:
        raise InputError(f"{name}: holds no texts")


def _surrogate(text: str) -> int:
    return next(i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff")
