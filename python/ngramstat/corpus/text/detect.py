"""What a file is, from its first bytes; its name decides only where these leave it open."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass

from ngramstat.corpus.text.options import Kind, TextOptions
from ngramstat.corpus.text.tar import is_tar
from ngramstat.errors import InputError

__all__ = ["Detected", "detect"]

_JSON_LINES = (".jsonl", ".ndjson", ".jl", ".json")
_NAMED: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow",
    ".tar": "tar", ".tgz": "tar", ".txz": "tar", ".zip": "zip",
}  # fmt: skip
_BINARY_KINDS: tuple[Kind, ...] = ("parquet", "arrow", "tar", "zip")
_WORDS: dict[Kind, str] = {
    "text": "plain text", "jsonl": "JSON lines", "json": "a JSON array or object",
    "csv": "CSV", "tsv": "TSV", "parquet": "Parquet", "arrow": "Arrow", "tar": "a tar archive",
    "zip": "a zip archive",
}  # fmt: skip

# First bytes of files that hold no text, what they are, and what to do.
_TOKENS = (
    "if it holds tokens, measure it as it is (`ngramstat inspect FILE` shows what it is; raw ids "
    "need --dtype uint16 or uint32)"
)
_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (b"FEA1", "a Feather file of version 1", "write it anew as Arrow or Parquet"),
    (b"%PDF-", "a PDF", "extract its text, for instance with pdftotext"),
    (b"%!PS", "PostScript", "extract its text, for instance with ps2ascii"),
    (b"{\\rtf", "rich text (RTF)", "convert it, for instance with pandoc"),
    (b"SQLite format 3\0", "an SQLite database", "export the column of text as CSV or JSON lines"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", "save it as text"),
    (b"\x93NUMPY", "a NumPy array", _TOKENS),
    (b"MMIDIDX\0\0", "an index of Megatron", "name the corpus without .idx to `ngramstat inspect`"),
    (b"\x89HDF\r\n", "an HDF5 file", "export its text as JSON lines or Parquet"),
    (b"Obj\x01", "an Avro file", "convert it to JSON lines or Parquet"),
    (b"ORC", "an ORC file", "convert it to Parquet"),
    (b"\x89PNG", "an image", "it holds no text"),
    (b"\xff\xd8\xff", "an image", "it holds no text"),
    (b"GIF8", "an image", "it holds no text"),
    (b"RIFF", "an image, sound or video", "it holds no text"),
    (b"\x7fELF", "a program", "it holds no text"),
    (b"GGUF", "a model", "it holds no text"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "get the file itself with "
     "git lfs pull"),
    (b"WARC/1.", "a WARC file of web pages",
     "extract its text as JSON lines, for instance with trafilatura"),
)  # fmt: skip
_MARKUP = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(!doctype\s+html|html|\?xml|mediawiki)\b", re.I | re.S
)
_BOMS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\0\0", "UTF-32LE"), (b"\0\0\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"), (b"\xfe\xff", "UTF-16BE"),
)  # fmt: skip
_TOKEN_SUFFIXES = (".bin", ".npy", ".idx", ".ds", ".u16", ".u32", ".dat", ".tokens")


@dataclass(frozen=True)
class Detected:
    """What a file is.

    Attributes
    ----------
    kind
        How to read it.
    surprise
        What it is, in words, if its name suggests something else; otherwise empty.
    """

    kind: Kind
    surprise: str = ""


def detect(head: bytes, name: str, where: str, options: TextOptions, *, whole: bool) -> Detected:
    """Decide what a decompressed file is.

    Parameters
    ----------
    head
        Its first bytes, some ten thousand or all.
    name
        Its name, without the suffixes of compression.
    where
        Its name in messages.
    options
        The format that users insist on, and the field of the text.
    whole
        Whether `head` is all of the file.

    Raises
    ------
    InputError
        It is recognised as something that is no text.
    """
    if options.format not in ("auto", "tar", "zip"):
        return Detected(options.format)  # type: ignore[arg-type]
    suggested = _kind_by_name(name)
    if not head and suggested not in _BINARY_KINDS:
        return Detected(suggested)
    head = head.removeprefix(b"\xef\xbb\xbf")
    archive = _binary_kind(head)
    if archive is not None:
        kind = archive
    else:
        _refuse_binary(head, name, where)
        kind = _text_kind(head, name, options, whole)
    if suggested in _BINARY_KINDS and kind != suggested:
        raise InputError(
            f"{where}: is named like {_WORDS[suggested]} and holds something else; is it complete? "
            f"--format {kind} reads it as {_WORDS[kind]}"
        )
    same_family = {"jsonl", "json"}
    if kind == suggested or {kind, suggested} == same_family or kind in _BINARY_KINDS:
        return Detected(kind)
    return Detected(kind, _WORDS[kind])


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def _kind_by_name(name: str) -> Kind:
    suffix = _suffix(name)
    return "jsonl" if suffix in _JSON_LINES else _NAMED.get(suffix, "text")


def _binary_kind(head: bytes) -> Kind | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1\0\0") or _is_arrow_stream(head):
        return "arrow"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "zip"
    return "tar" if is_tar(head) else None


def _is_arrow_stream(head: bytes) -> bool:
    """A continuation mark, and the size of the schema."""
    if len(head) < 16 or head[:4] != b"\xff\xff\xff\xff":
        return False
    return 16 <= int.from_bytes(head[4:8], "little") < 1 << 28


def _refuse_binary(head: bytes, name: str, where: str) -> None:
    for magic, what, remedy in _REFUSED:
        # A word of letters may also begin a text.
        if head.startswith(magic) and (not magic.isalnum() or b"\0" in head):
            raise InputError(f"{where}: is {what}, not text: {remedy}")
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            raise InputError(
                f"{where}: is {encoding}; convert it to UTF-8: "
                f"iconv -f {encoding[:6]} -t UTF-8 (with the byte order mark at its beginning)"
            )
    markup = _MARKUP.match(head[:4096])
    if markup is not None:
        page = markup[1].lower().endswith(b"html")
        what, tool = ("an HTML page", "trafilatura") if page else ("XML", "WikiExtractor (of Wiki"
                      "pedia) or pandoc")  # fmt: skip
        raise InputError(
            f"{where}: is {what}; extract its text, for instance with {tool}, or read it with its "
            "markup: --format text"
        )
    nuls = head.count(b"\0")
    if nuls == 0:
        return
    if _suffix(name) in _TOKEN_SUFFIXES:
        raise InputError(f"{where}: is binary, not text: {_TOKENS}")
    odd, even = head[1::2].count(0), head[::2].count(0)
    if max(odd, even) > 0.4 * len(head) / 2 and min(odd, even) < 0.05 * len(head) / 2:
        encoding = "UTF-16LE" if odd > even else "UTF-16BE"
        raise InputError(
            f"{where}: every second byte is 0: is it {encoding} (iconv -f {encoding} -t UTF-8 "
            f"converts it) or binary? {_TOKENS}"
        )
    raise InputError(
        f"{where}: holds NUL bytes, so it is binary and not text: {_TOKENS}; --format text reads "
        "it as text all the same"
    )


def _text_kind(head: bytes, name: str, options: TextOptions, whole: bool) -> Kind:
    suggested = _kind_by_name(name)
    text = head.decode("utf-8", "replace")
    found = _json_kind(text, whole, named=suggested == "jsonl")
    if found is not None:
        return found
    if suggested == "csv" or suggested == "tsv":
        return suggested
    delimiters: tuple[tuple[Kind, str], ...] = (("csv", ","), ("tsv", "\t"), ("csv", ";"))
    for kind, delimiter in delimiters:
        if _has_header(text, delimiter, options.text_field):
            return kind
    return "jsonl" if suggested == "jsonl" else "text"


_MEMBER = re.compile(r'\{\s*"(?:[^"\\\x00-\x1f]|\\.){0,1000}"\s*:')


def _json_kind(text: str, whole: bool, *, named: bool) -> Kind | None:
    """JSON lines, or an array or object over several lines; None if it is neither."""
    start = text.lstrip(" \t\r\n")
    if start.startswith("["):
        inside = start[1:].lstrip(" \t\r\n")
        empty = inside.startswith("]") and named
        return "json" if empty or _MEMBER.match(inside) else None
    if not start.startswith("{"):
        return None
    line = re.split(r"[\r\n]", start, maxsplit=1)[0]
    decoder = json.JSONDecoder(parse_int=float)
    try:
        if isinstance(decoder.decode(line), dict):
            return "jsonl"
    except (ValueError, RecursionError):
        pass
    if _MEMBER.match(start) is None:
        return None
    if len(line) == len(start) and not whole:
        return "jsonl"  # a first line longer than what was looked at
    try:
        decoder.raw_decode(start)
        valid = len(start)
    except json.JSONDecodeError as error:
        valid = error.pos
    except RecursionError:
        valid = 0
    # An object that is well formed beyond its first line has several.
    return "json" if valid > len(line) else "jsonl"


def _has_header(text: str, delimiter: str, field: str) -> bool:
    """Whether the first lines are a table's, with a header that holds the field of the text."""
    first = re.split(r"\r\n|\r|\n", text, maxsplit=1)[0]
    if delimiter not in first or field not in first or len(first) > 10_000:
        return False
    rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        header = next(rows)
        second = next(rows, None)
    except (csv.Error, StopIteration):
        return False
    names = {name.strip() for name in header} - {""}
    # In prose, a blank follows a comma.
    named = field in header and names == set(header) and len(names) == len(header)
    return named and second is not None and len(second) == len(header)
