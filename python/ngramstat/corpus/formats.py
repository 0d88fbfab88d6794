"""Token stores: recognising and opening them in place, without conversion.

Every reader maps its file read-only and returns a `TokenStore`. The files are not trusted: each
count, offset and length is checked against the file's real size before it is used, nothing is
unpickled, and whatever is wrong is an `InputError` that names the file.

`FORMATS` is the one table of readers, in the order in which they are tried.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, reason, regular_file_size

__all__ = [
    "DOCUMENTS_FILE",
    "FORMATS",
    "METADATA_FILE",
    "PARTIAL_SUFFIX",
    "SCHEMA",
    "TOKENIZER_FILE",
    "TOKENS_FILE",
    "Format",
    "OpenOptions",
    "SeparatorPosition",
    "TokenStore",
    "check_document_ends",
    "check_vocab_size",
    "chunks",
    "largest_id",
    "open_store",
    "token_dtype",
]

SCHEMA = "ngramstat.corpus/1"
METADATA_FILE = "corpus.json"
TOKENS_FILE = "tokens.bin"
DOCUMENTS_FILE = "documents.bin"
TOKENIZER_FILE = "tokenizer.json"
# A corpus being written has its data under these names until the last moment.
PARTIAL_SUFFIX = ".partial"

SeparatorPosition = Literal["before", "after"]

# Tokens looked at in one step of a scan; the temporary arrays stay below some tens of MiB.
_CHUNK = 1 << 22
_MAX_METADATA_BYTES = 64 << 20
_MAX_CSV_LINE = 1 << 20
_MAX_NPY_HEADER = 1 << 16


@dataclass(frozen=True)
class OpenOptions:
    """What the user says about a store that does not say it itself.

    Attributes
    ----------
    dtype
        Type of the tokens in the file, or None to go by the file.
    vocab_size
        Number of token types, or None.
    separator
        Id of the token between documents, or None.
    """

    dtype: np.dtype[Any] | None = None
    vocab_size: int | None = None
    separator: int | None = None


@dataclass(frozen=True)
class TokenStore:
    """What a reader found.

    Attributes
    ----------
    format
        Name of the format in `FORMATS`.
    path
        The file or directory that was opened.
    tokens
        (tokens,) uint16 or uint32, native byte order, read-only, mapped from the file.
    vocab_size
        Number of token types if the store or the user says so.
    document_ends
        (documents,) int64, strictly increasing exclusive ends in tokens; None if unknown.
    separator
        Id of the separator if the store or the user names one.
    separator_position
        Whether the separator stands before or after each document.
    tokenizer_path, tokenizer_sha256
        The tokenizer recorded with the store, and its checksum.
    sha256
        Checksum of the token bytes, if the store records one.
    """

    format: str
    path: Path
    tokens: NDArray[Any]
    vocab_size: int | None = None
    document_ends: NDArray[np.int64] | None = None
    separator: int | None = None
    separator_position: SeparatorPosition | None = None
    tokenizer_path: Path | None = None
    tokenizer_sha256: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Format:
    """One kind of store: how to recognise it (by path and first bytes) and how to open it."""

    description: str
    sniff: Callable[[Path, bytes], bool]
    open: Callable[[Path, OpenOptions], TokenStore]
    separator_position: SeparatorPosition = "after"


def open_store(path: Path, format: str, options: OpenOptions) -> TokenStore:
    """Open a token store.

    Parameters
    ----------
    path
        A file or a corpus directory.
    format
        A name in `FORMATS`, or "auto" to go by the contents.
    options
        What the user says about the store.

    Raises
    ------
    InputError
        The store is not recognised, damaged, or contradicts `options`.
    """
    if format != "auto" and format not in FORMATS:
        raise InputError(f"format {format!r}: must be auto or one of {', '.join(FORMATS)}")
    name = _recognise(path, options) if format == "auto" else format
    store = FORMATS[name].open(path, options)
    if store.vocab_size is None:
        store = replace(store, vocab_size=options.vocab_size)
    elif options.vocab_size not in (None, store.vocab_size):
        raise InputError(
            f"{path}: records a vocabulary of {store.vocab_size}, not {options.vocab_size}; "
            "leave out --vocab-size"
        )
    if store.vocab_size is not None:
        check_vocab_size(store.vocab_size, store.tokens.dtype, str(path))
    return _with_separator(store, options.separator, FORMATS[name].separator_position)


def token_dtype(dtype: Any) -> np.dtype[Any]:
    """The token type that `dtype` names: uint16 or uint32.

    Raises
    ------
    InputError
        It is neither.
    """
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        raise InputError(f"dtype {dtype!r}: must be uint16 or uint32")
    return found


def check_vocab_size(vocab_size: int, dtype: np.dtype[Any], where: str) -> None:
    """Refuse a vocabulary that is empty or has more types than `dtype` has values."""
    if vocab_size < 1:
        raise InputError(f"{where}: a vocabulary of {vocab_size} types; it must be at least 1")
    if vocab_size > int(np.iinfo(dtype).max) + 1:
        raise InputError(f"{where}: a vocabulary of {vocab_size} types does not fit dtype {dtype}")


def check_document_ends(ends: NDArray[np.int64], tokens: int, where: str) -> None:
    """Refuse document ends that are not strictly increasing from above 0 to `tokens`."""
    if ends.size == 0:
        raise InputError(f"{where}: no documents")
    previous = 0
    for start, chunk in chunks(ends):
        steps = np.diff(chunk, prepend=previous)
        if np.any(steps <= 0):
            at = start + int(np.argmax(steps <= 0))
            raise InputError(f"{where}: the end of document {at} is not after the one before it")
        previous = int(chunk[-1])
    if previous != tokens:
        raise InputError(f"{where}: the last document ends at token {previous}, not {tokens}")


def chunks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Consecutive pieces of a one-dimensional array, each with the index it starts at."""
    for start in range(0, array.size, _CHUNK):
        yield start, array[start : start + _CHUNK]


def largest_id(tokens: NDArray[Any]) -> int:
    """Largest token id, found in bounded memory."""
    return max(int(chunk.max()) for _, chunk in chunks(tokens))


# --- shared steps ------------------------------------------------------------------------------


def _recognise(path: Path, options: OpenOptions) -> str:
    if path.is_dir():
        return "corpus"
    head = _read(path, 0, min(16, regular_file_size(path)))
    for name, candidate in FORMATS.items():
        if candidate.sniff(path, head):
            return name
    if options.dtype is not None:
        return "raw"
    raise InputError(
        f"{path}: not a token store that is known here; raw tokens need --dtype uint16|uint32, "
        "text and JSON need `ngramstat tokenize` first"
    )


def _read(path: Path, offset: int, count: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) != count:
        raise InputError(f"{path}: ends after {offset + len(data)} bytes, truncated")
    return data


def _map(path: Path, dtype: str | np.dtype[Any], offset: int, count: int) -> NDArray[Any]:
    """Map `count` items; the caller has checked them against the file's size."""
    kind = np.dtype(dtype)
    if offset % kind.itemsize:
        raise InputError(
            f"{path}: tokens start at byte {offset}, not a multiple of {kind.itemsize}; "
            "save the array again with numpy.save"
        )
    try:
        return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=(count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be mapped: {reason(error)}") from error


def _map_tokens(path: Path, dtype: str | np.dtype[Any], offset: int = 0) -> NDArray[Any]:
    """Map all of a file behind `offset` as tokens."""
    size = regular_file_size(path) - offset
    kind = np.dtype(dtype).newbyteorder("<")
    if size <= 0:
        raise InputError(f"{path}: holds no tokens")
    if size % kind.itemsize:
        raise InputError(
            f"{path}: {size} bytes of tokens are no multiple of {kind.itemsize}, so it is "
            f"truncated or not {kind.name}"
        )
    return _map(path, kind, offset, size // kind.itemsize)


def _as_unsigned(tokens: NDArray[Any], path: Path) -> NDArray[Any]:
    """View int32 tokens as uint32 once none is negative."""
    for start, chunk in chunks(tokens):
        if int(chunk.min()) < 0:
            at = start + int(np.argmax(chunk < 0))
            raise InputError(f"{path}: token {at} is negative ({int(tokens[at])})")
    return tokens.view(np.uint32)


def _agree(path: Path, found: np.dtype[Any], wanted: np.dtype[Any] | None) -> None:
    if wanted is not None and wanted != found:
        raise InputError(f"{path}: its tokens are {found.name}, not {wanted.name}; drop --dtype")


def _width(path: Path, size: int, tokens: int, wanted: np.dtype[Any] | None) -> np.dtype[Any]:
    """Type of a headerless file of `size` bytes whose index counts `tokens` tokens."""
    for dtype in (np.dtype(np.uint16), np.dtype(np.uint32)):
        if tokens > 0 and size == tokens * dtype.itemsize:
            _agree(path, dtype, wanted)
            return dtype
    raise InputError(
        f"{path}: its index counts {tokens} tokens, which do not fill {size} bytes as uint16 "
        "or uint32; file and index do not belong together"
    )


def _with_separator(
    store: TokenStore, separator: int | None, position: SeparatorPosition
) -> TokenStore:
    """Apply the user's separator: find the documents by it unless the store has them."""
    if separator is None:
        return store
    if store.separator not in (None, separator):
        raise InputError(
            f"{store.path}: records the separator {store.separator}, not {separator}; "
            "leave out --separator"
        )
    limit = store.vocab_size or int(np.iinfo(store.tokens.dtype).max) + 1
    if not 0 <= separator < limit:
        raise InputError(f"separator {separator}: not an id of {store.path} (0 to {limit - 1})")
    if store.separator is not None:
        return store
    if store.document_ends is not None:
        return replace(store, separator=separator)
    found = [start + np.flatnonzero(chunk == separator) for start, chunk in chunks(store.tokens)]
    places = np.concatenate(found).astype(np.int64, copy=False)
    if places.size == 0:
        raise InputError(
            f"{store.path}: the separator {separator} never occurs; give the right --separator, "
            "or none to take the store without documents"
        )
    return replace(
        store,
        separator=separator,
        separator_position=position,
        document_ends=_ends_of(places, store.tokens.size, position),
    )


def _ends_of(
    places: NDArray[np.int64], tokens: int, position: SeparatorPosition
) -> NDArray[np.int64]:
    """Document ends from the separators' places; each document keeps its separator."""
    ends = places + 1 if position == "after" else places[places > 0]
    if ends.size == 0 or ends[-1] != tokens:
        ends = np.append(ends, tokens)
    return np.asarray(ends, dtype=np.int64)


# --- corpus directory --------------------------------------------------------------------------

_METADATA_KEYS = {
    "schema", "tokens", "vocab_size", "dtype", "documents", "separator", "separator_position",
    "tokenizer", "tokenizer_sha256", "sha256", "sources", "created_by",
}  # fmt: skip
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _open_directory(path: Path, options: OpenOptions) -> TokenStore:
    if not path.is_dir():
        raise InputError(f"{path}: is not a directory, so no corpus directory")
    if not (path / METADATA_FILE).exists():
        if any((path / (name + PARTIAL_SUFFIX)).exists() for name in (TOKENS_FILE, DOCUMENTS_FILE)):
            raise InputError(
                f"{path}: an unfinished corpus (no {METADATA_FILE}); the run that wrote it was "
                "interrupted, run it again"
            )
        if (path / TOKENS_FILE).exists():
            raise InputError(f"{path}: an unfinished corpus (no {METADATA_FILE}); write it again")
        raise InputError(f"{path}: not a corpus directory (no {METADATA_FILE}); name a file in it")
    meta = _read_metadata(path / METADATA_FILE)
    tokens_path = path / TOKENS_FILE
    dtype = np.dtype(meta["dtype"])
    _agree(path, dtype, options.dtype)
    _expect_size(tokens_path, meta["tokens"] * dtype.itemsize, "tokens")
    ends = None
    if meta["documents"]:
        documents_path = path / DOCUMENTS_FILE
        _expect_size(documents_path, meta["documents"] * 8, "documents")
        ends = _map(documents_path, "<i8", 0, meta["documents"])
        check_document_ends(ends, meta["tokens"], str(documents_path))
    tokenizer = path / TOKENIZER_FILE if meta["tokenizer"] else None
    if tokenizer is not None:
        regular_file_size(tokenizer)
    return TokenStore(
        format="corpus",
        path=path,
        tokens=_map_tokens(tokens_path, dtype),
        vocab_size=meta["vocab_size"],
        document_ends=ends,
        separator=meta["separator"],
        separator_position=meta["separator_position"],
        tokenizer_path=tokenizer,
        tokenizer_sha256=meta["tokenizer_sha256"],
        sha256=meta["sha256"],
    )


def _expect_size(path: Path, size: int, what: str) -> None:
    found = regular_file_size(path)
    if found != size:
        raise InputError(
            f"{path}: {found} bytes where the metadata's count of {what} needs {size}; "
            "the corpus is damaged, write it again"
        )


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read and check ``corpus.json``; every value of the result has its type and bounds."""
    meta = read_json(path, max_bytes=_MAX_METADATA_BYTES)
    if not isinstance(meta, dict):
        raise InputError(f"{path}: not a JSON object")
    if meta.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {meta.get('schema')!r} is not {SCHEMA!r}")
    for key in sorted(meta.keys() - _METADATA_KEYS):
        raise InputError(f"{path}: unknown field {key!r}")
    for key in sorted(_METADATA_KEYS - meta.keys()):
        raise InputError(f"{path}: the field {key!r} is missing")

    def integer(key: str, low: int, high: int) -> None:
        value = meta[key]
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"{path}: {key} must be an integer from {low} to {high}")

    if meta["dtype"] not in ("uint16", "uint32"):
        raise InputError(f"{path}: dtype must be uint16 or uint32")
    integer("tokens", 1, 1 << 60)
    integer("vocab_size", 1, int(np.iinfo(meta["dtype"]).max) + 1)
    integer("documents", 0, meta["tokens"])
    position = meta["separator_position"]
    if meta["separator"] is None:
        if position is not None:
            raise InputError(f"{path}: separator_position without a separator")
    else:
        integer("separator", 0, meta["vocab_size"] - 1)
        if position not in ("before", "after"):
            raise InputError(f"{path}: separator_position must be before or after")
    if meta["tokenizer"] not in (None, TOKENIZER_FILE):
        raise InputError(f"{path}: tokenizer must be null or {TOKENIZER_FILE!r}")
    if (meta["tokenizer"] is None) != (meta["tokenizer_sha256"] is None):
        raise InputError(f"{path}: tokenizer and tokenizer_sha256 must come together")
    for key in ("sha256", "tokenizer_sha256"):
        value = meta[key]
        missing = key == "tokenizer_sha256" and value is None
        if not missing and not (isinstance(value, str) and _SHA256.fullmatch(value)):
            raise InputError(f"{path}: {key} must be 64 hexadecimal digits")
    if not isinstance(meta["created_by"], str):
        raise InputError(f"{path}: created_by must be a string")
    _check_sources(meta["sources"], path)
    return meta


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
            raise InputError(f"{path}: sources[{index}] must be a name, bytes and perhaps sha256")
        digest = source.get("sha256")
        if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
            raise InputError(f"{path}: sources[{index}].sha256 must be 64 hexadecimal digits")


# --- NumPy .npy --------------------------------------------------------------------------------

_NPY_MAGIC = b"\x93NUMPY"


def _open_npy(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    if size < 10 or not (head := _read(path, 0, min(12, size))).startswith(_NPY_MAGIC):
        raise InputError(f"{path}: no NumPy file (its first bytes are not those of .npy)")
    major = head[6]
    if major == 1:
        start, length = 10, int.from_bytes(head[8:10], "little")
    elif major in (2, 3) and len(head) == 12:
        start, length = 12, int.from_bytes(head[8:12], "little")
    else:
        raise InputError(f"{path}: unknown .npy version {major}")
    if length > min(_MAX_NPY_HEADER, size - start):
        raise InputError(f"{path}: a damaged .npy header ({length} bytes)")
    header = _parse_npy_header(_read(path, start, length), path)
    descr, shape = header["descr"], header["shape"]
    kinds = {"<u2": "uint16", "<u4": "uint32", "<i4": "int32"}
    if descr not in kinds:
        raise InputError(
            f"{path}: its elements are {str(descr)[:40]!r}, not little-endian uint16, uint32 or "
            "int32; if all ids are whole and not negative, save it again with .astype('<u4')"
        )
    if not (isinstance(shape, tuple) and len(shape) == 1 and type(shape[0]) is int):
        raise InputError(f"{path}: shape {str(shape)[:40]}, one dimension is needed; ravel it")
    if header["fortran_order"] is not False:
        raise InputError(f"{path}: is in Fortran order; save it again in C order")
    offset = start + length
    tokens = _map_tokens(path, kinds[descr], offset)
    if tokens.size != shape[0]:
        raise InputError(
            f"{path}: its header counts {shape[0]} tokens, its size holds {tokens.size}; truncated?"
        )
    if tokens.dtype.kind == "i":
        tokens = _as_unsigned(tokens, path)
    _agree(path, tokens.dtype, options.dtype)
    return TokenStore(format="npy", path=path, tokens=tokens)


def _parse_npy_header(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # A damaged header can hold text that Python's parser merely warns about.
            warnings.simplefilter("ignore")
            header = ast.literal_eval(raw.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{path}: its .npy header is damaged") from error
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise InputError(f"{path}: its .npy header lacks descr, fortran_order or shape")
    if not isinstance(header["descr"], str):
        raise InputError(f"{path}: holds records, not tokens; save one array of ids")
    return header


# --- llm.c, modded-nanogpt and NeMo headers -----------------------------------------------------

_LLMC_HEADER_BYTES = 1024
# magic -> (version, bytes per token, or None where the header says)
_LLMC_KINDS: dict[int, tuple[int, int | None]] = {
    20240520: (1, 2),
    20240801: (7, 4),
    278895051: (1, None),
}
_LLMC_EVAL_MAGIC = 20240522


def _sniff_llmc(path: Path, head: bytes) -> bool:
    if len(head) < 8:
        return False
    magic, version = struct.unpack_from("<ii", head)
    if magic == _LLMC_EVAL_MAGIC:
        return True
    return magic in _LLMC_KINDS and version == _LLMC_KINDS[magic][0]


def _open_llmc(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    if size < _LLMC_HEADER_BYTES:
        raise InputError(f"{path}: {size} bytes, less than an llm.c header; truncated")
    magic, version, count, width = struct.unpack("<iiii", _read(path, 0, 16))
    if magic == _LLMC_EVAL_MAGIC:
        raise InputError(f"{path}: an llm.c evaluation file (multiple choice), not a token stream")
    if magic not in _LLMC_KINDS or version != _LLMC_KINDS[magic][0]:
        raise InputError(f"{path}: no llm.c token file (magic {magic}, version {version})")
    width = _LLMC_KINDS[magic][1] or width
    if width not in (2, 4):
        raise InputError(f"{path}: {width} bytes per token; only 2 and 4 are known")
    if count < 1 or size != _LLMC_HEADER_BYTES + count * width:
        raise InputError(
            f"{path}: its header counts {count} tokens of {width} bytes, but {size} bytes are "
            f"there instead of {_LLMC_HEADER_BYTES + max(count, 0) * width}; truncated?"
        )
    tokens = _map_tokens(path, f"<u{width}", _LLMC_HEADER_BYTES)
    _agree(path, tokens.dtype, options.dtype)
    store = TokenStore(format="llm.c", path=path, tokens=tokens)
    index = path.with_suffix(".bos.idx")
    if magic == 278895051 and index.exists():
        return _with_bos_index(store, index)
    return store


def _with_bos_index(store: TokenStore, index: Path) -> TokenStore:
    """Documents from NeMo's list of the byte positions of the tokens that begin them."""
    size = regular_file_size(index)
    if size == 0 or size % 4:
        raise InputError(f"{index}: {size} bytes, not a list of 4-byte positions")
    positions = np.asarray(_map(index, "<u4", 0, size // 4), dtype=np.int64) - _LLMC_HEADER_BYTES
    width = store.tokens.itemsize
    places = positions // width
    if (
        np.any(positions % width)
        or places[0] < 0
        or places[-1] >= store.tokens.size
        or np.any(np.diff(places) <= 0)
    ):
        raise InputError(f"{index}: its positions do not lie in order in {store.path.name}")
    marks = np.unique(store.tokens[places])
    if marks.size != 1:
        raise InputError(f"{index}: its positions hold {marks.size} different tokens, not one BOS")
    return replace(
        store,
        separator=int(marks[0]),
        separator_position="before",
        document_ends=_ends_of(places, store.tokens.size, "before"),
    )


# --- Megatron .bin + .idx ----------------------------------------------------------------------

_MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
_MEGATRON_HEADER_BYTES = 34
_MEGATRON_NAMES = {1: "uint8", 2: "int8", 3: "int16", 5: "int64", 6: "float64", 7: "float32"}


def _sniff_megatron(path: Path, head: bytes) -> bool:
    if path.suffix == ".idx":
        return head.startswith(_MEGATRON_MAGIC)
    index = path.with_suffix(".idx")
    if path.suffix != ".bin" or not index.is_file():
        return False
    size = regular_file_size(index)
    return size >= 9 and _read(index, 0, 9) == _MEGATRON_MAGIC


def _open_megatron(path: Path, options: OpenOptions) -> TokenStore:
    index, data = path.with_suffix(".idx"), path.with_suffix(".bin")
    size = regular_file_size(index)
    if size < _MEGATRON_HEADER_BYTES:
        raise InputError(f"{index}: {size} bytes, less than a Megatron header; truncated")
    head = _read(index, 0, _MEGATRON_HEADER_BYTES)
    magic, version, code, sequences, documents = struct.unpack("<9sQBQQ", head)
    if magic != _MEGATRON_MAGIC or version != 1:
        raise InputError(f"{index}: no Megatron index of version 1")
    if code not in (4, 8):
        kind = _MEGATRON_NAMES.get(code, f"unknown (code {code})")
        raise InputError(f"{index}: its tokens are {kind}; only uint16 and int32 can be read")
    pointers_at = _MEGATRON_HEADER_BYTES + 4 * sequences
    documents_at = pointers_at + 8 * sequences
    end = documents_at + 8 * documents
    # A multimodal index carries one more byte, the mode, per sequence.
    if size not in (end, end + sequences) or sequences < 1 or documents < 2:
        raise InputError(
            f"{index}: its header counts {sequences} sequences and {documents} document marks, "
            f"which do not fit its {size} bytes; truncated or damaged"
        )
    tokens = _map_tokens(data, "<u2" if code == 8 else "<i4")
    lengths = _unaligned(index, "<i4", _MEGATRON_HEADER_BYTES, sequences)
    pointers = _unaligned(index, "<i8", pointers_at, sequences)
    marks = _unaligned(index, "<i8", documents_at, documents)
    if int(lengths.min()) < 0:
        raise InputError(f"{index}: sequence {int(np.argmax(lengths < 0))} has a negative length")
    ends = np.cumsum(lengths, dtype=np.int64)
    if int(ends[-1]) != tokens.size:
        raise InputError(
            f"{index}: its sequences hold {int(ends[-1])} tokens, {data.name} holds {tokens.size}; "
            "the pair does not belong together or the end-of-document tokens are not counted"
        )
    if not np.array_equal(pointers, (ends - lengths) * tokens.itemsize):
        raise InputError(f"{index}: its pointers do not follow one another as its lengths say")
    if marks[0] != 0 or marks[-1] != sequences or np.any(np.diff(marks) < 0):
        raise InputError(f"{index}: its document marks do not rise from 0 to {sequences}")
    if code == 4:
        tokens = _as_unsigned(tokens, data)
    _agree(data, tokens.dtype, options.dtype)
    # Documents without a token have no place in a stream; marks that coincide are one end.
    document_ends = np.unique(np.concatenate(([0], ends))[marks])
    return TokenStore(
        format="megatron", path=data, tokens=tokens, document_ends=document_ends[document_ends > 0]
    )


def _unaligned(path: Path, dtype: str, offset: int, count: int) -> NDArray[Any]:
    """Copy an array that starts anywhere in a file whose size covers it."""
    try:
        return np.fromfile(path, dtype=dtype, count=count, offset=offset)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


# --- datatrove .ds -----------------------------------------------------------------------------


def _open_datatrove(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    metadata = path.with_name(path.name + ".metadata")
    index = path.with_name(path.name + ".index")
    declared = _datatrove_width(metadata) if metadata.exists() else None
    wanted = options.dtype
    if declared is not None:
        _agree(path, declared, wanted)
        wanted = declared
    ends = None
    if index.exists():
        index_size = regular_file_size(index)
        if index_size == 0 or index_size % 8:
            raise InputError(f"{index}: {index_size} bytes, not a list of 8-byte ends")
        ends = np.unique(_map(index, "<u8", 0, index_size // 8))
        if ends[-1] >= 1 << 62:
            raise InputError(f"{index}: document ends out of range")
        marks = _map(index, "<i8", 0, index_size // 8)
        if np.any(np.diff(marks) < 0):
            raise InputError(f"{index}: its document ends do not rise")
        wanted = _width(path, size, int(ends[-1]), wanted)
        ends = ends[ends > 0].astype(np.int64)
    if wanted is None:
        raise InputError(f"{path}: neither .index nor .metadata tells its type; give --dtype")
    return TokenStore(
        format="datatrove", path=path, tokens=_map_tokens(path, wanted), document_ends=ends
    )


def _datatrove_width(path: Path) -> np.dtype[Any] | None:
    """Token type from ``tokenizer|size`` in the first line; older files do not have the size."""
    line = _read(path, 0, min(4096, regular_file_size(path))).split(b"\n", 1)[0]
    _, bar, width = line.rpartition(b"|")
    if not bar:
        return None
    if width.strip() not in (b"2", b"4"):
        raise InputError(f"{path}: {width[:20]!r} bytes per token; only 2 and 4 are known")
    return np.dtype(np.uint16 if width.strip() == b"2" else np.uint32)


# --- dolma / OLMo headerless .npy with .csv.gz --------------------------------------------------


def _open_dolma(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    ranges = path.with_suffix(".csv.gz")
    ends = _dolma_ends(ranges) if ranges.exists() else None
    wanted = options.dtype
    if ends is not None:
        wanted = _width(path, size, int(ends[-1]), wanted)
    if wanted is None:
        raise InputError(
            f"{path}: has no .npy header and no {ranges.name} beside it (a dolma file?); "
            "give --dtype uint16|uint32"
        )
    return TokenStore(
        format="dolma", path=path, tokens=_map_tokens(path, wanted), document_ends=ends
    )


def _dolma_ends(path: Path) -> NDArray[np.int64]:
    """Document ends from rows ``start,end,id,src,loc`` that must follow one another."""
    regular_file_size(path)
    ends: list[int] = []
    previous = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(_bounded_lines(file)), 1):
                try:
                    start, end = int(row[0][:20]), int(row[1][:20])
                except (IndexError, ValueError) as error:
                    raise InputError(f"{path}:{number}: no `start,end,...` row") from error
                if start != previous or end < start or end >= 1 << 62:
                    raise InputError(
                        f"{path}:{number}: the range {start} to {end} does not follow {previous}"
                    )
                if end > start:
                    ends.append(end)
                previous = end
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
    if not ends:
        raise InputError(f"{path}: names no documents")
    return np.array(ends, dtype=np.int64)


def _bounded_lines(file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(_MAX_CSV_LINE):
        if len(line) == _MAX_CSV_LINE:
            raise csv.Error(f"a line of more than {_MAX_CSV_LINE} characters")
        yield line


# --- raw ---------------------------------------------------------------------------------------

_RAW_SUFFIXES = {".bin": None, ".raw": None, ".u16": np.uint16, ".u32": np.uint32}


def _open_raw(path: Path, options: OpenOptions) -> TokenStore:
    dtype = options.dtype
    named = _RAW_SUFFIXES.get(path.suffix)
    if dtype is None and named is not None:
        dtype = np.dtype(named)
    if dtype is None:
        raise InputError(f"{path}: raw tokens do not tell their type; give --dtype uint16|uint32")
    return TokenStore(format="raw", path=path, tokens=_map_tokens(path, dtype))


FORMATS: dict[str, Format] = {
    "corpus": Format("ngramstat corpus directory", lambda path, head: False, _open_directory),
    "npy": Format(
        "NumPy .npy, one dimension", lambda path, head: head.startswith(_NPY_MAGIC), _open_npy
    ),
    "llm.c": Format("llm.c, modded-nanogpt or NeMo .bin", _sniff_llmc, _open_llmc, "before"),
    "megatron": Format("Megatron .bin with .idx", _sniff_megatron, _open_megatron),
    "datatrove": Format("datatrove .ds", lambda path, head: path.suffix == ".ds", _open_datatrove),
    "dolma": Format(
        "dolma / OLMo headerless .npy", lambda path, head: path.suffix == ".npy", _open_dolma
    ),
    "raw": Format(
        "raw little-endian tokens (nanoGPT)",
        lambda path, head: path.suffix in _RAW_SUFFIXES,
        _open_raw,
    ),
}
