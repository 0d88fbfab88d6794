"""Texts in memory to a corpus in memory, by the same steps as files of text."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ngramstat.corpus.store import Corpus
from ngramstat.corpus.tokenizing.tokenize import tokenize
from ngramstat.errors import InputError, InputTypeError, NgramstatError
from ngramstat.runtime.files import reason
from ngramstat.runtime.log import note

__all__ = ["corpus_of_texts"]


def corpus_of_texts(texts: Iterable[str], *, name: str = "texts", **options: Any) -> Corpus:
    """See `Corpus.from_texts`, whose other options this takes.

    `name` is that of the argument, for messages.

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
            document="record",
            **options,
        )
        records.unlink()
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    corpus = dataclasses.replace(corpus, path=None, format="memory")
    trained = "" if options.get("tokenizer") else ", trained on them"
    note(
        f"{name}: {corpus.n_documents:,} texts, tokenized with a vocabulary of "
        f"{corpus.vocab_size:,}{trained}; Corpus.from_texts takes another tokenizer"
    )
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
