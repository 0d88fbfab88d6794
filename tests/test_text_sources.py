"""Text inputs of every kind: recognised by their contents, read exactly, or refused with a reason.

Most tests read the documents without tokenizing them; `tests/test_tokenize.py` has the rest of the
way.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import struct
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ngramstat.cli import main
from ngramstat.corpus import Corpus, inspect, tokenize
from ngramstat.corpus.sources import Source, TextFindings, TextOptions, find_sources, read_pieces
from ngramstat.corpus.text import findings as findings_module
from ngramstat.corpus.text import json_records, lines, markers
from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.spool import Spooled
from ngramstat.errors import InputError

PROSE = "Call me Ishmael. Some years ago, never mind how long precisely.\n"
ROWS = [f'he said "hi, there"\nand left, {i}' for i in range(5)]


def joined(pieces: Any) -> list[str]:
    """Documents of pieces."""
    documents, text = [], ""
    for piece in pieces:
        text += piece.text
        if piece.last:
            documents.append(text)
            text = ""
    assert text == ""
    return documents


def read(inputs: Any, findings: TextFindings | None = None, **options: Any) -> list[str]:
    """The documents of some inputs."""
    chosen = TextOptions(**options)
    inputs = [inputs] if isinstance(inputs, str | Path) else inputs
    found = TextFindings() if findings is None else findings
    sources = find_sources(inputs, chosen, found)
    return joined(
        piece for source in sources for piece in read_pieces(source, chosen, findings=found)
    )


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def jsonl(texts: Sequence[str]) -> bytes:
    return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()


def table(texts: Sequence[str], **format: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out, **format).writerows([("id", "text"), *enumerate(texts)])
    return out.getvalue().encode()


def tar(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def parquet(table: Any, **options: Any) -> bytes:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), out, **options)
    return out.getvalue()


def arrow(texts: Sequence[str], stream: bool = False) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.ipc")
    out, rows = io.BytesIO(), pa.table({"text": texts})
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=2)
    return out.getvalue()


def zstd(data: bytes, window_log: int | None = None) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    settings = {"window_log": window_log, "enable_ldm": True} if window_log else {}
    compressor = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(compression_level=3, **settings)
    ).compressobj()
    return bytes(compressor.compress(data) + compressor.flush())


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": zstd,
}  # fmt: skip
KINDS: dict[str, Callable[[], bytes]] = {
    "jsonl": lambda: jsonl(ROWS),
    "json": lambda: json.dumps([{"text": text} for text in ROWS], indent=1).encode(),
    "csv": lambda: table(ROWS),
    "tsv": lambda: table(ROWS, delimiter="\t"),
    "parquet": lambda: parquet({"text": ROWS}),
    "arrow": lambda: arrow(ROWS),
    "stream": lambda: arrow(ROWS, stream=True),
    "tar": lambda: tar({f"d/{i}.txt": text.encode() for i, text in enumerate(ROWS)}),
    "zip": lambda: zipped({f"d/{i}.txt": text.encode() for i, text in enumerate(ROWS)}),
}


# --- recognised by content ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "part-00000", "wiki_00", "a.jsonl.1", "a.txt", "a.dat"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_what_its_contents_are(tmp_path: Path, kind: str, name: str) -> None:
    assert read(put(tmp_path / name, KINDS[kind]())) == ROWS


@pytest.mark.parametrize("layer", COMPRESS)
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tar"])
def test_compression_is_taken_off_whatever_the_name(tmp_path: Path, kind: str, layer: str) -> None:
    data = COMPRESS[layer](KINDS[kind]())
    for name in ("a", "a.gz", "a.jsonl.xz", "urlsf_subset00-1_data.xz"):
        assert read(put(tmp_path / name, data)) == ROWS
    assert read(put(tmp_path / "twice", gzip.compress(data))) == ROWS
    (source,) = find_sources([tmp_path / "twice"])
    assert source.compression == f".gz.{layer}"


def test_names_of_compression_may_lie(tmp_path: Path) -> None:
    assert read(put(tmp_path / "plain.jsonl.gz", jsonl(ROWS))) == ROWS
    assert read(put(tmp_path / "packed.jsonl", gzip.compress(jsonl(ROWS)))) == ROWS


def test_a_surprising_kind_is_said(tmp_path: Path) -> None:
    findings = TextFindings()
    files = [put(tmp_path / f"wiki_0{i}", jsonl(ROWS)) for i in range(3)]
    read([*files, put(tmp_path / "a.jsonl", jsonl(ROWS)), put(tmp_path / "a.txt", PROSE)], findings)
    (note,) = findings.facts()
    assert note.startswith("3 files, wiki_00 the first, are read as JSON lines")


@pytest.mark.parametrize("name", ["a.jsonl", "wiki_00"])
def test_format_text_insists(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, jsonl(ROWS))
    assert read(path, format="text") == [jsonl(ROWS).decode()]
    path = put(tmp_path / name, gzip.compress(jsonl(ROWS)))
    assert read(path, format="text") == [jsonl(ROWS).decode()]
    assert read(put(tmp_path / "nul", b"a\0b"), format="text") == ["a\0b"]
    with pytest.raises(InputError, match=r"prose:1: not valid JSON"):
        read(put(tmp_path / "prose", PROSE), format="jsonl")
    with pytest.raises(InputError, match="format='doc': must be one of auto"):
        TextOptions(format="doc")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "{curly} braces begin this prose", "[1] A footnote.\nIt goes on.", "[Chapter 1]\n\nIt was.",
        "text, more\nand a, second line", "ORCHARDS and PARENTS, RIFFS", "{", "[", "{}\nx",
        "\"text\": quoted", "5\n6\n", "a\tb\tc\n", "<p>a fragment</p>", "ORC", "PARENT", "GIF8",
    ],
)  # fmt: skip
def test_prose_stays_prose(tmp_path: Path, text: str) -> None:
    if text.startswith("{}"):
        with pytest.raises(InputError, match="no field 'text'"):
            read(put(tmp_path / "a", text))
    else:
        assert read(put(tmp_path / "a", text)) == [text]


REFUSED = {
    "html": (b"  <!DOCTYPE html>\n<html><p>x</p></html>", "an HTML page; extract its text"),
    "commented html": (b"<!-- saved -->\n<html lang=en>", "an HTML page"),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><mediawiki/>", "is XML; extract"),
    "pdf": (b"%PDF-1.7\n...", "a PDF, not text: extract"),
    "sqlite": (b"SQLite format 3\0" + b"\0" * 99, "an SQLite database"),
    "numpy": (b"\x93NUMPY\x01\0v\0{'descr': '<u2'}", "a NumPy array.*ngramstat inspect"),
    "utf-16": ("text".encode("utf-16"), "is UTF-16LE; convert.*iconv -f UTF-16 -t UTF-8"),
    "utf-16be": (b"\xfe\xff\0a\0b", "is UTF-16BE"),
    "utf-32": ("text".encode("utf-32"), "is UTF-32LE; .*iconv -f UTF-32 "),
    "no mark": ("plain text of some length".encode("utf-16-le"), "every second byte is 0: is it U"),
    "char tokens": ((np.arange(500) % 65).astype("<u2").tobytes(), "every second byte is 0"),
    "nul": (b"some text\0and more", "holds NUL bytes"),
    "late nul": (b"text\n" * 20_000 + b"\0", ":20001: holds a NUL character"),
    "lz4": (b"\x04\x22\x4d\x18" + b"x" * 40, "compressed with LZ4, .*lz4 -d"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
    "warc": (b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "a WARC file"),
    "docx": (zipped({"[Content_Types].xml": b"<x/>", "word/d.xml": b""}), "an Office document"),
    "npz": (zipped({"a.npy": b"x"}), "NumPy arrays"),
    "pt": (zipped({"a/data.pkl": b"x"}), "PyTorch"),
    "png in gz": (gzip.compress(b"\x89PNG\r\n\x1a\n\0\0\0"), "an image"),
    "bomb": (gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x"))))),
             "more than 4 times"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", ["a", "a.txt", "a.jsonl"])
def test_what_is_no_text_is_refused_with_what_it_is(tmp_path: Path, case: str, name: str) -> None:
    data, message = REFUSED[case]
    if case == "late nul" and name == "a.jsonl":
        pytest.skip("its first line is no JSON")
    with pytest.raises(InputError, match=message) as caught:
        read(put(tmp_path / name, data))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_name_of_a_binary_kind_must_be_true(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow", "a.tar", "a.tar.gz", "a.zip"):
        for data in (b"", PROSE.encode()):
            with pytest.raises(InputError, match=r"is named like .* holds something else"):
                read(put(tmp_path / name, data))
    path = put(tmp_path / "train.bin", (np.arange(500) % 65).astype("<u2").tobytes())
    with pytest.raises(InputError, match="is binary, not text: if it holds tokens, measure it"):
        read(path)


# --- compression --------------------------------------------------------------------------------


def test_gzip_members_padding_and_ends(tmp_path: Path) -> None:
    one, two = gzip.compress(jsonl(["one"])), gzip.compress(jsonl(["two"]))
    assert read(put(tmp_path / "a", one + two)) == ["one", "two"]
    assert read(put(tmp_path / "a", one + b"\0" * 70_000)) == ["one"]
    assert read(put(tmp_path / "a.jsonl", gzip.compress(b""))) == []
    big = gzip.compress(jsonl(["one" * 200_000]))
    for data in (big[:-1], big[:-9], big[:40], one + two[:12], big[:-8] + b"\0" * 8):
        with pytest.raises(InputError, match="damaged or truncated"):
            read(put(tmp_path / "a", data))
    with pytest.raises(InputError, match="other bytes follow the end of the gzip data"):
        read(put(tmp_path / "a", one + b"GARBAGE"))


def test_xz_and_bzip2_streams_in_a_row(tmp_path: Path) -> None:
    for compress in (lzma.compress, bz2.compress):
        one, two = compress(jsonl(["one"])), compress(jsonl(["two" * 99_999]))
        assert read(put(tmp_path / "a", one + two)) == ["one", "two" * 99_999]
        with pytest.raises(InputError, match="damaged or truncated"):
            read(put(tmp_path / "a", one + two[:-9]))
    # The third byte of the block header is the size of the dictionary, of the index, its checksum.
    huge = bytearray(lzma.compress(jsonl(["one"])))
    assert huge[12:17] == b"\x02\x00\x21\x01\x16"
    huge[16] = 36  # 1 GiB
    huge[20:24] = zlib.crc32(huge[12:20]).to_bytes(4, "little")
    with pytest.raises(InputError, match="needs more than 512 MiB to decompress"):
        read(put(tmp_path / "a", bytes(huge)))


def test_zstd_windows_and_frames(tmp_path: Path) -> None:
    data = jsonl([f"comment number {i} here" for i in range(300)])
    skip = struct.pack("<II", 0x184D2A50, 4) + b"\0\0\0\1"
    index = struct.pack("<II", 0x184D2A5E, 17) + b"\0" * 17
    texts = [json.loads(line)["text"] for line in data.splitlines()]
    for packed in (
        zstd(data, 27), zstd(data, 31), skip + zstd(data[:51]) + skip + zstd(data[51:]),
        zstd(data) + index, zstd(b"") + zstd(data),
    ):  # fmt: skip
        assert read(put(tmp_path / "a.jsonl.zst", packed)) == texts
        with pytest.raises(InputError, match="damaged or truncated"):
            read(put(tmp_path / "a.jsonl.zst", packed[:-2]))
    with pytest.raises(InputError, match="other bytes follow the end of the zstd data"):
        read(put(tmp_path / "a.jsonl.zst", zstd(data) + b"behind it"))


def test_a_zstd_window_beyond_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ngramstat.corpus.text.zstd.available_memory_bytes", lambda: 1 << 30)
    path = put(tmp_path / "a.zst", zstd(jsonl(ROWS), 31))
    with pytest.raises(InputError, match=r"needs a window of 2\.15 G bytes, more memory than"):
        read(path)


# --- plain text ---------------------------------------------------------------------------------

WINDOWS = b"\xef\xbb\xbfone two\r\nthree four\r\n\r\nfive six\r\n"
UNIX = "one two\nthree four\n\nfive six\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 22])
def test_windows_and_old_mac_text_is_the_text_of_unix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    for data in (WINDOWS, WINDOWS.replace(b"\r\n", b"\r"), UNIX.encode()):
        path = put(tmp_path / "a.txt", data)
        assert read(path) == [UNIX]
        assert read(path, document="line") == ["one two", "three four", "", "five six"]
        assert read(path, document="paragraph") == ["one two\nthree four", "five six"]
    assert read(put(tmp_path / "a.txt", "a\u2028b\u0085c\x0cd\n"), document="line") == [
        "a\u2028b\u0085c\x0cd"
    ]
    assert read(put(tmp_path / "a.txt", "a\ufeffb")) == ["a\ufeffb"]


PARTS = st.lists(
    st.sampled_from(["a", "b c", "\n", "\n\n", " ", "\t", "<M>", "<", "M>", "\n<M>\n", "\u00e9"]),
    max_size=12,
).map("".join)


def paragraphs(text: str) -> list[str]:
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        else:
            found.append([])
    return ["\n".join(part) for part in found if part]


@settings(deadline=None, max_examples=300)
@given(PARTS, st.integers(1, 5))
def test_lines_and_paragraphs_do_not_depend_on_blocks(text: str, size: int) -> None:
    from ngramstat.corpus.text.plain import read_plain
    from ngramstat.corpus.text.reading import Reading

    whole = lines.BLOCK_BYTES
    for unit, expected in (
        ("file", [text]), ("paragraph", paragraphs(text)),
        ("line", text.removesuffix("\n").split("\n") if text else []),
    ):  # fmt: skip
        stream = io.BufferedReader(io.BytesIO(text.encode()))  # type: ignore[arg-type]
        lines.BLOCK_BYTES = size
        try:
            pieces = list(read_plain(Reading(stream, "a", "a", TextOptions(), unit)))  # type: ignore[arg-type]
        finally:
            lines.BLOCK_BYTES = whole
        assert joined(pieces) == expected
        if unit == "line":
            ends = [piece.record for piece in pieces if piece.last]
            assert ends == list(range(1, len(expected) + 1))
        elif unit == "paragraph":
            numbered = text.split("\n")
            for piece in pieces:
                assert piece.record == 0 or numbered[piece.record - 1].strip()


def test_the_line_of_a_paragraph_is_its_first(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "\n\none\n\n \n\ntwo\nthree\n\nfour")
    (source,) = find_sources([path], TextOptions(document="paragraph"))
    options = TextOptions(document="paragraph")
    assert [(p.text, p.record) for p in read_pieces(source, options) if p.text] == [
        ("one", 3), ("two\nthree", 7), ("four", 10),
    ]  # fmt: skip


def test_white_space_without_end_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ngramstat.corpus.text.plain._MAX_HELD", 10)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 4)
    path = put(tmp_path / "a.txt", "a" + "\n" * 50 + "b" + " " * 50 + "c\n" + " " * 50 + "d")
    assert read(path, document="paragraph") == ["a", "b" + " " * 50 + "c\n" + " " * 50 + "d"]


# --- markers ------------------------------------------------------------------------------------


def split(text: str, marker: str) -> list[str]:
    """A slow version: a marker takes its line end along if it is alone on its line."""
    if marker not in text:
        return [text]
    parts, start = [], 0
    for found in re.finditer(re.escape(marker), text):
        at, end = found.span()
        if at < start:
            continue
        parts.append(text[start:at])
        before = "\n" if at == 0 else text[at - 1]
        alone = before == "\n" and text[end : end + 1] in ("", "\n")
        start = end + (1 if alone and end < len(text) else 0)
    if parts[0] == "":
        parts = parts[1:]
    rest = text[start:]
    return [*parts, rest] if rest.strip() else parts


@settings(deadline=None, max_examples=300)
@given(PARTS, st.integers(1, 4), st.sampled_from(["<M>", "<", "\n", "MM"]))
def test_markers_split_the_same_however_the_text_is_cut(text: str, size: int, marker: str) -> None:
    cut = [text[i : i + size] for i in range(0, len(text), size)]
    pieces = [Piece(part, False) for part in cut] + [Piece("", True)]
    found = list(markers.split_on([*pieces, *pieces], marker, ordinal=True))
    expected = split(text, marker)
    assert joined(found) == expected * 2
    assert [piece.record for piece in found if piece.last] == list(range(1, 2 * len(expected) + 1))


def test_stories_between_markers(tmp_path: Path) -> None:
    stories = [f"Once there was a cat number {i}.\nIt slept.\n" for i in range(200)]
    path = put(tmp_path / "TinyStories-train.txt", "<|endoftext|>\n".join([*stories, ""]))
    findings = TextFindings()
    assert read(path, findings) == ["<|endoftext|>\n".join([*stories, ""])]
    assert findings.markers == {"<|endoftext|>": 200}
    (said, one) = findings.notes()
    assert "spells <|endoftext|> 200 times (first in TinyStories-train.txt)" in said
    assert "--split-on '<|endoftext|>'" in said
    assert "became one document" in one
    assert "--document paragraph" in one
    findings = TextFindings()
    assert read(path, findings, split_on="<|endoftext|>") == stories
    assert findings.notes() == []
    records = put(tmp_path / "a.jsonl", jsonl(["a</s>b", "</s>c</s>"]))
    assert read(records, split_on="</s>") == ["a", "b", "c"]
    findings = TextFindings()
    read(path, findings, split_on="<|eot|>")
    assert "the marker '<|eot|>' of --split-on does not occur" in "".join(findings.notes())
    for marker in ("", "\r\n"):
        with pytest.raises(InputError, match="split_on"):
            TextOptions(split_on=marker)


# --- JSON ---------------------------------------------------------------------------------------

B = b'{"text": "the cat one"}\n'
ODD_JSON: dict[str, tuple[bytes, list[str] | str]] = {
    "bom": (b"\xef\xbb\xbf" + B * 3, ["the cat one"] * 3),
    "bom in the middle": (B + b"\xef\xbb\xbf" + B, ["the cat one"] * 2),
    "crlf": (B.replace(b"\n", b"\r\n") * 3, ["the cat one"] * 3),
    "cr": (B.replace(b"\n", b"\r") * 3, ["the cat one"] * 3),
    "nan": (b'{"score": NaN, "p": -Infinity, "text": "a b"}\n', ["a b"]),
    "repeated": (b'{"text": "first", "text": "second"}\n', ":1: the field 'text' occurs twice"),
    "other repeated": (b'{"a": 1, "a": 2, "text": "b"}\n', ["b"]),
    "null": (B + b'{"text": null}\n', ":2: the field 'text' is null, not a string"),
    "surrogate": (b'{"text": "bad \\ud83d"}\n', ":1: .*half of a surrogate pair .*character 4"),
    "pair": (b'{"text": "good \\ud83d\\ude00"}\n', ["good \U0001f600"]),
    "comma": (b'{"text": "a",}\n', ":1: not valid JSON"),
    "separators": ('{"text": "a\u2028b\u0085c"}\n'.encode(), ["a\u2028b\u0085c"]),
    "nul": (b'{"text": "a\\u0000b"}\n', ["a\0b"]),
    "escaped line end": (b'{"text": "a\\r\\nb"}\n', ["a\r\nb"]),
    "big integer": (b'{"id": ' + b"9" * 5000 + b', "text": "a"}\n', ["a"]),
    "blank": (b"\n\n" + B + b"   \n" + B[:-1], ["the cat one"] * 2),
    "in a row": (B[:-1] * 2 + b"\n", ["the cat one"] * 2),
    "missing": (B + b'{"other": 1}\n', ":2: no field 'text'; its fields are 'other'"),
    "nested": (b'{"doc": {"text": "a"}}\n', ":1: .*fields are 'doc', 'doc.text'"),
    "raw line end": (b'{"text": "a\nb"}\n', ":1: not valid JSON"),
    "control": (b'{"text": "a\tb"}\n', ":1: not valid JSON"),
    "latin": ('{"text": "caf\xe9"}\n'.encode("latin-1"), ":1: not UTF-8 at byte 13"),
    "deep": (b'{"a": ' + b"[" * 99_999, ":1: not valid JSON"),
    "array": (b'[{"text": "a"},\n{"text": "b"}]\n', ["a", "b"]),
    "array, pretty": (b'[\n  {\n    "text": "a"\n  }\n]', ["a"]),
    "array, cut": (b'[{"text": "a"}, {"te', "record 2: not valid JSON"),
    "array, open": (b'[{"text": "a"}', "after record 1: the JSON array ends in the middle"),
    "array, open comma": (b'[{"text": "a"},', "the JSON array ends in the middle"),
    "array, more": (b'[{"text": "a"}] x', "other text follows the end"),
    "array of strings": (b'[{"text": "a"}, "b"]', "record 2: not a JSON object"),
    "array, no comma": (b'[{"text": "a"} {"text": "b"}]', "after record 1: .* has no comma"),
    "one object": (b'{\n "title": "t",\n "text": "a"\n}\n', ["a"]),
    "empty array": (b"[ ]\n", []),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_JSON)
@pytest.mark.parametrize("large", [False, True])
def test_odd_json(tmp_path: Path, case: str, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:  # as records of several megabytes are read
        monkeypatch.setattr(json_records, "_LARGE_CHARS", 1)
        monkeypatch.setattr(json_records, "_BLOCK_BYTES", 3)
    data, expected = ODD_JSON[case]
    path = put(tmp_path / "a.jsonl", data)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected if not large else "a.jsonl"):
            read(path)
    else:
        assert read(path) == expected


def test_a_line_without_end_is_refused_before_its_end() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            assert self.given < 1 << 27
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    found = lines.byte_lines(io.BufferedReader(Endless()), 1 << 20)
    assert next(found) == (None, 1, 0)
    stream: Any = io.BytesIO(b"ab\n" + b"x" * 9 + b"\ncd\n" + b"y" * 9)
    assert list(lines.byte_lines(io.BufferedReader(stream), 5)) == [
        (b"ab", 1, 0), (None, 2, 3), (b"cd", 3, 13), (None, 4, 16),
    ]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.binary().map(lambda b: bytes(b"ab\r\n"[i % 4] for i in b)), st.integers(1, 5))
def test_lines_of_bytes_do_not_depend_on_blocks(data: bytes, size: int) -> None:
    whole = lines._LINE_BLOCK_BYTES
    lines._LINE_BLOCK_BYTES = size
    try:
        stream: Any = io.BytesIO(data)
        found = list(lines.byte_lines(io.BufferedReader(stream), 1 << 20))
    finally:
        lines._LINE_BLOCK_BYTES = whole
    ends = [m.span() for m in re.finditer(rb"\r\n|\r|\n", data)]
    starts = [0, *(end for _, end in ends)]
    expected = [
        (data[a:b], i, a) for i, (a, (b, _)) in enumerate(zip(starts, ends, strict=False), 1)
    ]
    if starts[-1] < len(data):
        expected.append((data[starts[-1] :], len(expected) + 1, starts[-1]))
    assert found == expected


@pytest.mark.parametrize("large", [False, True])
def test_fields_of_nested_objects(
    tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(json_records, "_LARGE_CHARS", 1)
    record = {"a": {"b": {"c": "deep"}, "b.c": "near"}, "x.y": "exact", "x": {"y": "nested"}}
    path = put(tmp_path / "a.jsonl", json.dumps(record) + "\n" + json.dumps({"a": {"b.c": "k"}}))
    with pytest.raises(InputError, match=r":2: no field 'x.y'"):
        read(path, text_field="x.y")
    assert read(path, text_field="x.y", on_error="skip") == ["exact"]
    assert read(path, text_field="a.b.c") == ["near", "k"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner,
                                                                 max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from(["text", "a", "b", "doc", ""]), VALUES),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
def test_scanning_agrees_with_the_parser(
    record: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    from ngramstat.corpus.text.json_scan import scan_object

    text = json.dumps(record, indent=indent, ensure_ascii=ascii_only)
    found, end = scan_object(text + " tail", 0, "text")
    assert end == len(text)
    assert list(found) == list(record)
    if isinstance(record.get("text"), str):
        assert found["text"] == record["text"]
    with pytest.raises(json.JSONDecodeError):
        scan_object(text[:-1], 0, "text")


@settings(deadline=None, max_examples=500)
@given(st.text(st.sampled_from('{}[]",:1-.e \ntrufalsn\\'), max_size=12), st.booleans())
def test_scanning_accepts_what_the_parser_accepts(text: str, member: bool) -> None:
    from ngramstat.corpus.text.json_scan import scan_object

    text = '{"a": ' + text + "}" if member else "{" + text
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError:
        with pytest.raises(json.JSONDecodeError):
            scan_object(text, 0, "text")
    else:
        assert isinstance(value, dict)
        assert scan_object(text, 0, "text")[1] == end


def test_prose_that_begins_like_json_is_told_how_it_is_read(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", '{"a":1} is how JSON looks\n')
    with pytest.raises(InputError, match=r"no field 'text'.*or give format='text' if it is prose"):
        read(path)
    assert read(path, format="text") == ['{"a":1} is how JSON looks\n']


def test_a_record_has_a_largest_size(tmp_path: Path) -> None:
    long = put(tmp_path / "a.jsonl", jsonl(["x" * 1000, "y"]))
    with pytest.raises(InputError, match=r"a\.jsonl:1: a line of more than 500 bytes; max_record"):
        read(long, max_record=500)
    assert read(long, max_record=500, on_error="skip") == ["y"]
    array = put(tmp_path / "a.json", json.dumps([{"text": "x" * 600_000}]))
    with pytest.raises(InputError, match=r"record 1: not valid JSON.*, or larger than max_record"):
        read(array, max_record=500)
    cells = put(tmp_path / "a.csv", table(["x" * 1000, "y"]))
    with pytest.raises(InputError, match="a row of more than 500 characters"):
        read(cells, max_record=500)
    with pytest.raises(InputError, match=r"a\.csv:2: a row of more than 500 characters"):
        read(put(tmp_path / "a.csv", b'id,text\n1,"open' + b"\n" * 1000), max_record=500)
    rows = put(tmp_path / "a.parquet", parquet({"text": ["x" * 1000, "y"]}))
    with pytest.raises(InputError, match="row 0: more than 500 characters"):
        read(rows, max_record=500)
    assert read(put(tmp_path / "a.txt", "x" * 1000), max_record=500) == ["x" * 1000]
    for bad in (0, True, 1.5, 1 << 50):
        with pytest.raises(InputError, match="max_record"):
            TextOptions(max_record=bad)  # type: ignore[arg-type]


# --- tables -------------------------------------------------------------------------------------


def test_csv_as_other_tools_write_it(tmp_path: Path) -> None:
    for data in (
        table(ROWS, lineterminator="\n"), table(ROWS, lineterminator="\r\n"),
        table([*ROWS, "x"])[:-2], table(ROWS, quoting=csv.QUOTE_ALL),
        b"\xef\xbb\xbf" + table(ROWS), table(ROWS, delimiter=";"),
    ):  # fmt: skip
        assert read(put(tmp_path / "a.csv", data))[: len(ROWS)] == ROWS
    assert read(put(tmp_path / "a.csv", b"text\nplain\n\n\nmore\n")) == ["plain", "more"]
    assert read(put(tmp_path / "a.csv", b'id,text\r1,"a\r\nb"\r2,c')) == ["a\r\nb", "c"]
    for data, message in (
        (b"id,body\n1,x\n", "no column 'text'; its columns are 'id', 'body'"),
        (b"text,text\na,b\n", "2 columns are named 'text'"),
        (b"id,text\n1,a,b\n", r"a\.csv:2: 3 cells, but the header has 2"),
        (b"id,text\n1\n", r"a\.csv:2: 1 cell, but"),
        (b'id,text\n1,"a"b\n', r"a\.csv:2: not a valid row .*quote"),
        (b'id,text\n1,"ab\n', r"a\.csv:2: not a valid row: a quote .* is never closed"),
        (b'id,text\n1,"a\nb"\n2,"c\nd\n"e\n', r"a\.csv: lines 4 to 6: not a valid row .*quote"),
        (b'id,text\n1,"a\n\nb",c\n', r"a\.csv: lines 2 to 4: 3 cells"),
        (b"id,text\n1,\xff\n", r"a\.csv:2: not UTF-8 at byte 10"),
        (b"id,text\n1,a\0\n", "NUL"),
    ):
        with pytest.raises(InputError, match=message):
            read(put(tmp_path / "a.csv", data))
    path = put(tmp_path / "a.csv", b'id,text\n1,a\n2\n3,"b"c\n4,d\n')
    assert read(path, on_error="skip") == ["a", "d"]


def test_a_quote_that_is_never_closed_is_no_skipped_record(tmp_path: Path) -> None:
    rows = "".join(f"{i},text {i}\n" for i in range(4, 1000))
    path = put(tmp_path / "a.csv", 'id,text\n1,"a\nb"\n2,c\n3,"open\n' + rows)
    for on_error in ("stop", "skip"):
        with pytest.raises(InputError, match=r"a\.csv:5: .*close the quote, or give format='text'"):
            read(path, on_error=on_error)
    with pytest.raises(InputError, match=r"a\.csv:1: .* never closed"):
        read(put(tmp_path / "a.csv", 'text,"id\n1,2\n'), on_error="skip")
    found = TextFindings()
    path = put(tmp_path / "a.csv", 'id,text\n1,a\n2,"b\nc",d\n3,"e\n4,f\n5,"g"\n6,h\n')
    assert read(path, found, on_error="skip") == ["a", "h"]
    assert [entry.split(" (")[0] for entry in found.to_dict()["skipped_records"]] == [
        "a.csv: lines 3 to 4: 3 cells, but the header has 2; quote cells with commas",
        "a.csv: lines 5 to 7: not a valid row",
    ]


def test_parquet_columns_as_other_tools_write_them(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    texts = [f"the cat {i}" for i in range(600)]
    plain = pa.array(texts)
    columns = {
        "large": pa.array(texts, pa.large_string()),
        "dictionary": plain.dictionary_encode(),
        "large dictionary": pa.array(texts, pa.large_string()).dictionary_encode(),
        "binary": pa.array([text.encode() for text in texts]),
        "large binary": pa.array([text.encode() for text in texts], pa.large_binary()),
    }
    if hasattr(pa, "string_view"):
        columns["view"] = pa.array(texts, pa.string_view())
        columns["binary view"] = pa.array([text.encode() for text in texts], pa.binary_view())
    for name, column in columns.items():
        path = put(tmp_path / name, parquet({"text": column}, row_group_size=250))
        assert read(path) == texts, name
    nested = pa.table({"doc": [{"text": text, "more": {"text": text}} for text in texts]})
    path = put(tmp_path / "nested", parquet(nested))
    assert read(path, text_field="doc.text") == read(path, text_field="doc.more.text") == texts
    dotted = pa.table({"meta": [{"text": "wrong"}] * 600, "meta.text": texts})
    assert read(put(tmp_path / "dotted", parquet(dotted)), text_field="meta.text") == texts
    holes = pa.table({"doc": [{"text": "a"}, None, {"text": None}, {"text": "b"}]})
    path = put(tmp_path / "holes", parquet(holes))
    with pytest.raises(InputError, match=r"holes: row 1: the field 'doc.text' is null"):
        read(path, text_field="doc.text")
    assert read(path, text_field="doc.text", on_error="skip") == ["a", "b"]
    two = pa.Table.from_arrays([plain, plain], names=["text", "text"])
    for table, message in (
        (two, "2 columns are named 'text'"),
        ({"text": [["a", "b"]]}, "holds lists .*join them"),
        ({"text": [[1, 2]]}, "lists of integers, which are tokens .*ngramstat inspect"),
        ({"text": [1, 2]}, "is int64, not a string"),
        ({"text": pa.nulls(3)}, "is null, not a string"),
        ({"doc": [{"body": "x"}]}, "no column 'text'; its columns are 'doc', 'doc.body'"),
        ({"text": [b"ok", b"\xff\xfe"]}, "row 1: not UTF-8 at byte 0"),
    ):
        with pytest.raises(InputError, match=message):
            read(put(tmp_path / "bad", parquet(table)))
    assert read(put(tmp_path / "zero", parquet({"text": pa.array([], pa.string())}))) == []


def test_one_long_text_in_all_rows_is_not_read_in_large_batches(tmp_path: Path) -> None:
    """A dictionary stores it once, so the file does not tell how large its rows are together."""
    pq = pytest.importorskip("pyarrow.parquet")
    from ngramstat.corpus.text.tables import _rows_per_batch

    text = "x" * (8 << 20)
    path = put(
        tmp_path / "a",
        parquet({"text": [text] * 4}, dictionary_pagesize_limit=1 << 30, compression="zstd"),
    )
    with open(path, "rb") as stream, pq.ParquetFile(stream) as file:
        assert _rows_per_batch(file.metadata.row_group(0), [0], stream) == 3
    assert read(path) == [text] * 4
    path = put(tmp_path / "b", parquet({"text": [f"short {i % 9}" for i in range(3000)]}))
    with open(path, "rb") as stream, pq.ParquetFile(stream) as file:
        assert _rows_per_batch(file.metadata.row_group(0), [0], stream) == 256


# --- archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_members_of_every_kind(tmp_path: Path, format: int) -> None:
    long = "x" * 90 + "/" + "y" * 90
    inner = lzma.compress(tar({"1.txt": b"in the inner one"}, format))
    data = tar(
        {
            "d/1.txt": b"one\r\ntwo", "d/2.jsonl": jsonl(["a", "b"]), f"{long}.txt": b"long",
            "d/3.csv": table(["c"]), "._1.txt": b"\0\5", "d/urlsf_00.xz": inner,
            "d/pic.jpg": b"\xff",
            "d/4.json": b'{"text": "json"}', "d/5.txt.gz": gzip.compress(b"packed"),
        }, format,
    )  # fmt: skip
    findings = TextFindings()
    expected = ["one\ntwo", "a", "b", "long", "c", "in the inner one", "json", "packed"]
    assert read(put(tmp_path / "a", data), findings) == expected
    assert findings.facts() == ["not read, as they hold no text: 1 hidden members, 1 .jpg members"]
    assert read(put(tmp_path / "a", lzma.compress(data))) == expected
    with pytest.raises(InputError, match="truncated tar"):
        read(put(tmp_path / "a", data[: len(data) // 1024 * 512]))
    broken = bytearray(data)
    broken[5] ^= 1
    broken[1024 + 5] ^= 1
    with pytest.raises(InputError, match=r"wrong checksum|NUL"):
        read(put(tmp_path / "a", bytes(broken)))


def test_captioned_images(tmp_path: Path) -> None:
    members = {}
    for i in range(3):
        members |= {f"{i}.jpg": b"\xff\xd8\xff", f"{i}.json": b'{"url": "u"}', f"{i}.txt": b"a cat"}
    findings = TextFindings()
    assert read(put(tmp_path / "0.tar", tar(members)), findings) == ["a cat"] * 3
    assert "3 .json members without the text field" in "".join(findings.facts())
    bare = {name: data for name, data in members.items() if not name.endswith("txt")}
    with pytest.raises(InputError, match=r"0\.tar/0\.json: no field 'text'; its fields are 'url'"):
        read(put(tmp_path / "0.tar", tar(bare)))
    assert read(put(tmp_path / "0.tar", tar(bare)), text_field="url") == ["u"] * 3


def test_archives_name_the_member_in_errors(tmp_path: Path) -> None:
    for pack in (tar, zipped):
        path = put(tmp_path / "a.bin", pack({"d/a.jsonl": jsonl(["x"]) + b"{", "b": b"x"}))
        with pytest.raises(InputError, match=r"a\.bin/d/a\.jsonl:2: not valid JSON"):
            read(path)
        assert read(path, on_error="skip") == ["x", "x"]
        path = put(tmp_path / "a.bin", pack({"a": parquet({"text": ["a"]})}))
        with pytest.raises(InputError, match="parquet within an archive is not read; extract"):
            read(path)


def test_tar_members_that_are_no_files(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.txt"
            archive.addfile(info)
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    findings = TextFindings()
    assert read(put(tmp_path / "a.tar", out.getvalue()), findings) == ["hello"]
    assert "1 symbolic links, 1 hard links" in "".join(findings.facts())
    header = bytearray(out.getvalue()[:512])
    header[156:157] = b"x"  # an extended header that claims to be very long
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(InputError, match="a header of 8589934591 bytes"):
        read(put(tmp_path / "a.tar", bytes(header) + b"\0" * 2048))


def test_zip_files_that_cannot_be_read(tmp_path: Path) -> None:
    good = zipped({"a.txt": b"hello " * 100})
    assert read(put(tmp_path / "a", zipped({}))) == []
    for at in (30 + 5 + 4, len(good) - 8):
        bad = bytearray(good)
        bad[at] ^= 0xFF
        with pytest.raises(InputError, match="zip file"):
            read(put(tmp_path / "a", bytes(bad)))
    with pytest.raises(InputError, match="a zip file that cannot be read"):
        read(put(tmp_path / "a", good[:-10]))
    bad = bytearray(good)
    for at in (6, good.index(b"PK\1\2") + 8):
        bad[at] |= 1
    with pytest.raises(InputError, match=r"a\.txt is encrypted"):
        read(put(tmp_path / "a", bytes(bad)))
    with pytest.raises(InputError, match="a compressed zip file"):
        read(put(tmp_path / "a.zip.gz", gzip.compress(good)))


# --- finding files ------------------------------------------------------------------------------


def test_directories_and_patterns(tmp_path: Path) -> None:
    for name in ("d/b.txt", "d/a/2.txt", "d/a/1.txt", "d/c.txt", "d/.hidden", "d/.git/config"):
        put(tmp_path / name, name.rpartition("/")[2])
    findings = TextFindings()
    assert read(tmp_path / "d", findings) == ["1.txt", "2.txt", "b.txt", "c.txt"]
    assert "d: 4 files (4 .txt), 2 hidden ones left out" in findings.facts()
    assert find_sources([tmp_path / "d"])[0].name == "a/1.txt"
    assert read(str(tmp_path / "d" / "*.txt")) == ["b.txt", "c.txt"]
    assert read(str(tmp_path / "d" / "**" / "*.txt")) == ["1.txt", "2.txt", "b.txt", "c.txt"]
    assert read(str(tmp_path / "d" / "**")) == ["1.txt", "2.txt", "b.txt", "c.txt"]
    put(tmp_path / "odd[1].txt", "its name is no pattern")
    assert read(str(tmp_path / "odd[1].txt")) == ["its name is no pattern"]
    with pytest.raises(InputError, match=r"no file matches this pattern"):
        read(str(tmp_path / "*.csv"))
    put(tmp_path / "d" / "logo.png", b"\x89PNG\r\n\x1a\n\0")
    with pytest.raises(
        InputError, match=r"logo\.png: is an image.*found in a directory; a pattern"
    ):
        read(tmp_path / "d")
    (tmp_path / "d" / "logo.png").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a directory without files"):
        read(tmp_path / "empty")
    os.symlink(tmp_path / "none", tmp_path / "d" / "broken")
    findings = TextFindings()
    read(tmp_path / "d", findings)
    assert "1 that are no regular files or broken links left out" in "".join(findings.facts())


def test_a_file_named_twice_is_said_with_both_places(tmp_path: Path) -> None:
    a, b = put(tmp_path / "a.txt", "one"), put(tmp_path / "b.txt", "two")
    os.symlink(a, tmp_path / "link.txt")
    findings = TextFindings()
    assert read([a, b, a], findings) == ["one", "two", "one"]
    assert "one file is read twice, as a.txt (input 1) and a.txt (input 3)" in findings.notes()
    assert "1 of 3 documents (33.3%) repeat an earlier one exactly" in findings.notes()
    findings = TextFindings()
    read([str(tmp_path / "*.txt"), tmp_path / "link.txt"], findings)
    assert any("a.txt (input 1) and link.txt" in note and "; 2 files in all" in note
               for note in findings.notes())  # fmt: skip


def test_pipes_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(jsonl(ROWS))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    writer.start()
    (source,) = find_sources([tmp_path / "pipe"])
    writer.join()
    for _ in range(2):  # both passes
        assert joined(read_pieces(source)) == ROWS
    assert source.size == len(data)
    assert source.sha256() == Source(put(tmp_path / "f", data), 0, "text", "", "file").sha256()

    class Stdin:
        buffer = io.BytesIO(parquet({"text": ROWS}))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert read("-") == ROWS
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="there is no standard input"):
        read("-")
    with pytest.raises(InputError, match="not a regular file"):
        read("/dev/null")


def test_urls_are_copied_to_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("NGRAMSTAT_CACHE", str(tmp_path / "cache"))
    for i in range(3):
        put(tmp_path / "d" / f"{i}.jsonl", jsonl([f"text {i}"]))
    assert read(f"file://{tmp_path}/d/1.jsonl") == ["text 1"]
    assert read(f"file://{tmp_path}/d") == read(f"file://{tmp_path}/d/*.jsonl")
    copies = sorted((tmp_path / "cache").rglob("*.jsonl"))
    assert len(copies) == 3
    put(tmp_path / "d" / "1.jsonl", jsonl(["a changed text"]))
    os.utime(tmp_path / "d" / "1.jsonl", (1, 1))
    assert read(f"file://{tmp_path}/d/1.jsonl") == ["a changed text"]
    with fsspec.open("memory://bucket/a.txt", "wb") as file:
        file.write(b"in memory")
    assert read("memory://bucket/a.txt") == ["in memory"]
    for url, message in (
        ("memory://bucket/none.txt", "cannot be read"), ("memory://bucket/*.csv", "no such file"),
        ("nosuchscheme://a/b", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            read(url)


def test_names_that_are_not_utf8_are_carried_through(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        path = put(tmp_path / name, "some text to read\n" * 9)
    except OSError:
        pytest.skip("this file system refuses such names")
    corpus = tokenize([path], tmp_path / "c", vocab_size=257)
    metadata = json.loads((tmp_path / "c" / "corpus.json").read_text(encoding="utf-8"))
    assert metadata["sources"][0]["name"] == r"caf\xe9.txt"
    assert corpus.n_documents == 1


# --- what was found -----------------------------------------------------------------------------


def test_the_separator_of_a_tokenizer_is_a_marker_too(tmp_path: Path) -> None:
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "<unk>": 1}, "<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.add_special_tokens(["<doc-end>"])
    model.save(str(tmp_path / "t.json"))
    path = put(tmp_path / "a.txt", "the the\n<doc-end>\n" * 40)
    corpus = tokenize(
        path, tmp_path / "c", tokenizer=tmp_path / "t.json", separator=2, special_tokens="text"
    )
    assert corpus.tokenization["markers"] == {"<doc-end>": 40}


def test_long_records_come_in_pieces(tmp_path: Path) -> None:
    text = "ab\U0001f600" * 3_000_000
    (source,) = find_sources([put(tmp_path / "a.jsonl", jsonl([text, "x"]))])
    pieces = list(read_pieces(source))
    assert max(len(piece.text) for piece in pieces) == 1 << 22
    assert joined(pieces) == [text, "x"]
    assert [piece.record for piece in pieces if piece.last] == [1, 2]


def test_empty_and_repeated_documents_are_counted(tmp_path: Path) -> None:
    texts = ["a", "b", "", "a", "", "c", "a"]
    findings = TextFindings()
    read(put(tmp_path / "a.jsonl", jsonl(texts)), findings)
    found = findings.to_dict()
    assert found["empty_documents"] == 2
    assert found["duplicate_documents"] == 2
    assert found["duplicates_counted_exactly"] is True
    assert "2 of 7 documents are empty" in findings.notes()
    assert "2 of 7 documents (28.6%) repeat an earlier one exactly" in findings.notes()
    # Pieces of a document do not matter.
    findings = TextFindings()
    pieces = [Piece("a", False), Piece("b", True), Piece("ab", True), Piece("", False),
              Piece("", True), Piece("", True)]  # fmt: skip
    assert list(findings.observe(pieces)) == pieces
    assert (findings.documents, findings.empty, findings.duplicates()[0]) == (4, 2, 1)


def test_many_documents_are_counted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_module, "_MAX_HASHES", 2000)
    findings = TextFindings()
    for i in range(60_000):
        text = str(i % 40_000)  # a third repeats an earlier one
        for _ in findings.observe([Piece(text, True)]):
            pass
    assert len(findings._hashes) < 2000 * 8
    number, share, exact = findings.duplicates()
    assert not exact
    assert abs(share - 1 / 3) < 0.06
    assert number == pytest.approx(60_000 * share, abs=1)
    assert findings.notes()[-1].startswith("about ")


def test_skipped_records_are_counted_and_listed(tmp_path: Path) -> None:
    bad = b'{"text": null}\n{"text": "x", "text": "y"}\n\xff\n{"no": 1}\n' * 10
    path = put(tmp_path / "d" / "a.jsonl", jsonl(["good one", "good two"]) + bad)
    result = CliRunner().invoke(
        main, ["--quiet", "tokenize", str(path), "-o", str(tmp_path / "c"), "--vocab-size", "260",
               "--on-error", "skip"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Note: 40 records could not be used and were skipped, listed in skipped.jsonl; the " \
        "first: a.jsonl:3: the field 'text' is null" in result.stderr  # fmt: skip
    corpus = Corpus.open(tmp_path / "c")
    assert corpus.n_documents == 2
    assert corpus.tokenization["skipped"] == 40
    assert len(corpus.tokenization["skipped_records"]) == 20
    lines = (tmp_path / "c" / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    listed = [json.loads(line) for line in lines]
    assert len(listed) == 40
    assert listed[2] == {"source": "a.jsonl", "record": "5", "reason": listed[2]["reason"]}
    assert "not UTF-8" in listed[2]["reason"]
    assert any("40 records" in problem for problem in inspect(tmp_path / "c").problems)
    tokenize([put(path, jsonl(["a"]))], tmp_path / "c", vocab_size=257, overwrite=True)
    assert not (tmp_path / "c" / "skipped.jsonl").exists()


def test_few_documents_of_plain_text_are_said(tmp_path: Path) -> None:
    findings = TextFindings()
    read([put(tmp_path / f"{i}.txt", PROSE * (i + 1)) for i in range(14)], findings)
    (note,) = findings.notes()
    assert note.startswith("14 files of plain text became one document each; intervals need many")
    findings = TextFindings()
    read(put(tmp_path / "a.txt", PROSE * 40), findings, document="line")
    assert not any("became one document" in note for note in findings.notes())


def test_the_command_takes_all_options(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "one<M>two<M>\n" * 30)
    run = CliRunner().invoke(
        main, ["--quiet", "tokenize", "-", "-o", str(tmp_path / "c"), "--vocab-size", "257",
               "--split-on", "<M>", "--format", "text", "--max-record", "1M", "--document", "file"],
        input=path.read_bytes(),
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert Corpus.open(tmp_path / "c").n_documents == 60
    metadata = json.loads((tmp_path / "c" / "corpus.json").read_text(encoding="utf-8"))
    assert metadata["sources"][0]["name"] == "standard input"
    run = CliRunner().invoke(
        main, ["tokenize", str(path), "-o", str(tmp_path / "e"), "--max-record", "much"]
    )
    assert run.exit_code == 2
    assert "--max-record" in run.output


# --- damage -------------------------------------------------------------------------------------


def mutations(data: bytes, count: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(changed) or 1))
            match int(rng.integers(5)):
                case 0:
                    changed[at : at + 1] = bytes([int(rng.integers(256))])
                case 1:
                    del changed[at : at + int(rng.integers(1, 40))]
                case 2:
                    changed[at:at] = rng.integers(
                        0, 256, int(rng.integers(1, 9)), np.uint8
                    ).tobytes()
                case 3:
                    del changed[at:]
                case 4:
                    changed[at : at + 4] = bytes([[0, 255, 127, 128][int(rng.integers(4))]] * 4)
        yield bytes(changed)


DAMAGED: dict[str, Callable[[], bytes]] = KINDS | {
    "text": lambda: PROSE.encode() * 3 + WINDOWS,
    "jsonl.gz": lambda: gzip.compress(jsonl(ROWS)),
    "jsonl.xz": lambda: lzma.compress(jsonl(ROWS)),
    "jsonl.bz2": lambda: bz2.compress(jsonl(ROWS)),
    "jsonl.zst": lambda: zstd(jsonl(ROWS)) + zstd(jsonl(ROWS)),
    "parquet.zstd": lambda: parquet({"text": ROWS}, compression="zstd", use_dictionary=False),
    "webdataset": lambda: tar({"0.json": b'{"a": 1}', "0.txt": b"x", "1.jsonl": jsonl(ROWS)}),
}  # fmt: skip


def read_damaged(tmp_path: Path, kind: str, count: int, seed: int) -> None:
    options: list[dict[str, Any]] = [
        {}, {"on_error": "skip"},
        {"document": "paragraph"} if kind == "text" else {"split_on": "he"},
    ]  # fmt: skip
    path = tmp_path / f"a.{kind.removeprefix('web').split('.')[0]}"
    if kind in ("stream", "webdataset"):
        path = tmp_path / "a"
    for i, data in enumerate(mutations(DAMAGED[kind](), count, seed)):
        path.write_bytes(data)
        message = str(path)
        try:
            for text in read(path, **options[i % len(options)]):
                text.encode()
        except InputError as error:
            message = str(error)
        assert str(path) in message
        assert "\n" not in message


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_raise_input_errors_alone(tmp_path: Path, kind: str) -> None:
    read_damaged(tmp_path, kind, 150, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", DAMAGED)
def test_more_damaged_files_raise_input_errors_alone(tmp_path: Path, kind: str) -> None:
    read_damaged(tmp_path, kind, 2000, seed=2)


@pytest.mark.parametrize("system_has_pread", [True, False])
def test_readers_of_a_pipe_have_positions_of_their_own(monkeypatch, system_has_pread):
    if not system_has_pread:
        monkeypatch.delattr(os, "pread")
    contents = bytes(range(256)) * 5000
    spooled = Spooled(io.BytesIO(contents), "pipe")
    one, other = spooled.open(), spooled.open()
    assert other.seek(-10, os.SEEK_END) == len(contents) - 10
    assert one.read(300) == contents[:300]
    assert other.read() == contents[-10:]
    assert one.read() == contents[300:]
