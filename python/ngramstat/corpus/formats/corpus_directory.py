"""The package's own format: a directory of tokens, document ends and ``corpus.json``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus.formats.mapping import check_dtype, map_array, map_tokens
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    check_document_ends,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, regular_file_size

__all__ = [
    "DOCUMENTS_FILE",
    "FORMAT",
    "METADATA_FILE",
    "PARTIAL_SUFFIX",
    "SCHEMA",
    "TOKENIZER_FILE",
    "TOKENS_FILE",
    "is_partial",
]

SCHEMA = "ngramstat.corpus/1"
METADATA_FILE = "corpus.json"
TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.bin"
TOKENIZER_FILE = "tokenizer.json"
# While a corpus is written its data have names with this suffix, and the writer's own digits.
PARTIAL_SUFFIX = ".partial"
_PARTIAL_NAME = re.compile(
    rf"({re.escape(TOKENS_FILE)}|{re.escape(DOCUMENTS_FILE)})(\.[0-9a-f]{{16}})?"
    rf"{re.escape(PARTIAL_SUFFIX)}"
)

_MAX_METADATA_BYTES = 64 << 20
_METADATA_KEYS = {
    "schema", "tokens", "vocab_size", "dtype", "documents", "separator", "separator_position",
    "tokenizer", "tokenizer_sha256", "sha256", "sources", "created_by",
}  # fmt: skip
# Written since text can have characters that a tokenizer lacks.
_OPTIONAL_KEYS = {"tokenization"}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_partial(name: str) -> bool:
    """Whether a file of this name was left by a writer of a corpus, or is being written."""
    return _PARTIAL_NAME.fullmatch(name) is not None


def _recognises(path: Path, head: bytes) -> bool:
    # Any other directory may hold shards.
    return path.is_dir() and (
        any((path / name).exists() for name in (METADATA_FILE, TOKENS_FILE))
        or _holds_partial_files(path)
    )


def _holds_partial_files(path: Path) -> bool:
    try:
        return any(map(is_partial, os.listdir(path)))
    except OSError:
        return False


def _open(path: Path, options: OpenOptions) -> TokenStore:
    _require_finished(path)
    meta = _read_metadata(path / METADATA_FILE)
    tokens_path = path / TOKENS_FILE
    dtype = np.dtype(meta["dtype"])
    check_dtype(path, dtype, options.dtype)
    _expect_size(tokens_path, meta["tokens"] * dtype.itemsize, "tokens")
    ends = None
    if meta["documents"]:
        documents_path = path / DOCUMENTS_FILE
        _expect_size(documents_path, meta["documents"] * 8, "documents")
        ends = map_array(documents_path, "<i8", 0, meta["documents"])
        check_document_ends(ends, meta["tokens"], str(documents_path))
    tokenizer = path / TOKENIZER_FILE if meta["tokenizer"] else None
    if tokenizer is not None:
        regular_file_size(tokenizer)
    return TokenStore(
        format=FORMAT.name,
        path=path,
        tokens=map_tokens(tokens_path, dtype),
        vocab_size=meta["vocab_size"],
        document_ends=ends,
        separator=meta["separator"],
        separator_position=meta["separator_position"],
        tokenizer_path=tokenizer,
        tokenizer_sha256=meta["tokenizer_sha256"],
        tokenization=meta["tokenization"],
        sha256=meta["sha256"],
    )


FORMAT = Format("corpus", "ngramstat corpus directory", _recognises, _open)


def _require_finished(path: Path) -> None:
    """Refuse what is not a corpus directory, or one whose writing was interrupted."""
    if not path.is_dir():
        raise InputError(f"{path}: is not a directory, so it cannot be a corpus directory")
    if (path / METADATA_FILE).exists():
        return
    if _holds_partial_files(path):
        raise InputError(
            f"{path}: an unfinished corpus (no {METADATA_FILE}); it is being written, or the run "
            "that wrote it was interrupted; run it again"
        )
    if (path / TOKENS_FILE).exists():
        raise InputError(f"{path}: an unfinished corpus (no {METADATA_FILE}); write it again")
    raise InputError(f"{path}: not a corpus directory (no {METADATA_FILE}); name a file in it")


def _expect_size(path: Path, expected: int, counted: str) -> None:
    size = regular_file_size(path)
    if size != expected:
        raise InputError(
            f"{path}: {size} bytes where the metadata's count of {counted} needs {expected}; "
            "the corpus is damaged, write it again"
        )


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read and check ``corpus.json``; every value of the result has its type and bounds."""
    meta = read_json(path, max_bytes=_MAX_METADATA_BYTES)
    if not isinstance(meta, dict):
        raise InputError(f"{path}: not a JSON object")
    if meta.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {meta.get('schema')!r} is not {SCHEMA!r}")
    for key in sorted(meta.keys() - _METADATA_KEYS - _OPTIONAL_KEYS):
        raise InputError(f"{path}: unknown field {key!r}")
    for key in sorted(_METADATA_KEYS - meta.keys()):
        raise InputError(f"{path}: the field {key!r} is missing")
    _check_counts(meta, path)
    _check_separator(meta, path)
    _check_tokenizer(meta, path)
    if not isinstance(meta["created_by"], str):
        raise InputError(f"{path}: created_by must be a string")
    _check_sources(meta["sources"], path)
    if not isinstance(meta.setdefault("tokenization", None), dict | None):
        raise InputError(f"{path}: tokenization must be an object or null")
    return meta


def _check_counts(meta: dict[str, Any], path: Path) -> None:
    if meta["dtype"] not in ("uint16", "uint32"):
        raise InputError(f"{path}: dtype must be uint16 or uint32")
    _check_integer(meta, "tokens", 1, 1 << 60, path)
    _check_integer(meta, "vocab_size", 1, int(np.iinfo(meta["dtype"]).max) + 1, path)
    _check_integer(meta, "documents", 0, meta["tokens"], path)


def _check_separator(meta: dict[str, Any], path: Path) -> None:
    position = meta["separator_position"]
    if meta["separator"] is None:
        if position is not None:
            raise InputError(f"{path}: separator_position without a separator")
        return
    _check_integer(meta, "separator", 0, meta["vocab_size"] - 1, path)
    if position not in ("before", "after"):
        raise InputError(f"{path}: separator_position must be before or after")


def _check_tokenizer(meta: dict[str, Any], path: Path) -> None:
    """Check the tokenizer and the checksums, which may both be recorded with a corpus."""
    if meta["tokenizer"] not in (None, TOKENIZER_FILE):
        raise InputError(f"{path}: tokenizer must be null or {TOKENIZER_FILE!r}")
    if (meta["tokenizer"] is None) != (meta["tokenizer_sha256"] is None):
        raise InputError(f"{path}: tokenizer and tokenizer_sha256 must come together")
    for key in ("sha256", "tokenizer_sha256"):
        missing = key == "tokenizer_sha256" and meta[key] is None
        if not missing and not _is_sha256(meta[key]):
            raise InputError(f"{path}: {key} must be 64 hexadecimal digits")


def _check_integer(meta: dict[str, Any], key: str, low: int, high: int, path: Path) -> None:
    value = meta[key]
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{path}: {key} must be an integer from {low} to {high}")


def _check_sources(sources: Any, path: Path) -> None:
    if not isinstance(sources, list):
        raise InputError(f"{path}: sources must be a list")
    for index, source in enumerate(sources):
        if (
            not isinstance(source, dict)
            or not {"name", "bytes"} <= source.keys() <= {"name", "bytes", "sha256"}
            or not isinstance(source["name"], str)
            or type(source["bytes"]) is not int
            or source["bytes"] < 0
        ):
            raise InputError(f"{path}: sources[{index}] needs a name, bytes and optionally sha256")
        digest = source.get("sha256")
        if digest is not None and not _is_sha256(digest):
            raise InputError(f"{path}: sources[{index}].sha256 must be 64 hexadecimal digits")


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
