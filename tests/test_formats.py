"""Token stores of other tools: each layout is read in place, damaged files never cause a crash."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngramstat.corpus import Corpus, inspect
from ngramstat.corpus.formats import (
    FORMATS,
    Format,
    OpenOptions,
    TokenStore,
    document_ends_at,
    token_store,
)
from ngramstat.errors import InputError

IDS = [9, 1, 2, 9, 3, 4, 5]


def npy(ids: Any, dtype: str) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(ids, dtype=dtype))
    return buffer.getvalue()


def npz(*, compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def llmc(ids: list[int], *, magic: int = 20240520, version: int = 1, width: int = 2) -> bytes:
    header = np.zeros(256, "<i4")
    header[:4] = magic, version, len(ids), width
    return header.tobytes() + np.array(ids, f"<u{width}").tobytes()


def megatron_index(
    lengths: list[int],
    marks: list[int],
    *,
    code: int = 8,
    pointers: list[int] | None = None,
    version: int = 1,
    modes: bool = False,
) -> bytes:
    width = {1: 1, 5: 8, 8: 2}.get(code, 4)
    if pointers is None:
        pointers = [sum(lengths[:i]) * width for i in range(len(lengths))]
    return (
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", version, code, len(lengths), len(marks))
        + np.array(lengths, "<i4").tobytes()
        + np.array(pointers, "<i8").tobytes()
        + np.array(marks, "<i8").tobytes()
        + bytes(len(lengths) if modes else 0)
    )


def raw(ids: list[int], width: int = 2) -> bytes:
    return np.array(ids, f"<u{width}").tobytes()


def put(directory: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def ends(corpus: Corpus) -> list[int] | None:
    return None if corpus.document_ends is None else corpus.document_ends.tolist()


# --- accepted files -----------------------------------------------------------------------------

# name, files (the first is opened), format, dtype, document ends without and with --separator 9
GOOD: dict[str, tuple[dict[str, bytes], str, str, list[int] | None, list[int]]] = {
    "npy uint16": ({"a.npy": npy(IDS, "<u2")}, "npy", "uint16", None, [3, 7]),
    "npy uint32": ({"a.npy": npy(IDS, "<u4")}, "npy", "uint32", None, [3, 7]),
    "npy int32": ({"a.npy": npy(IDS, "<i4")}, "npy", "uint32", None, [3, 7]),
    "npy without its suffix": ({"a.bin": npy(IDS, "<u2")}, "npy", "uint16", None, [3, 7]),
    "llm.c": ({"a.bin": llmc(IDS)}, "llm.c", "uint16", None, [3, 7]),
    "llm.c Llama 3": (
        {"a.bin": llmc(IDS, magic=20240801, version=7, width=4)}, "llm.c", "uint32", None, [3, 7],
    ),
    "NeMo uint16": ({"a.bin": llmc(IDS, magic=278895051)}, "llm.c", "uint16", None, [3, 7]),
    "NeMo uint32": (
        {"a.bin": llmc(IDS, magic=278895051, width=4)}, "llm.c", "uint32", None, [3, 7],
    ),
    "NeMo with index": (
        {
            "a.bin": llmc(IDS, magic=278895051, width=4),
            "a.bos.idx": np.array([1024, 1036], "<i4").tobytes(),
        }, "llm.c", "uint32", [3, 7], [3, 7],
    ),
    "Megatron uint16": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([3, 2, 2], [0, 1, 3])},
        "megatron", "uint16", [3, 7], [3, 7],
    ),
    "Megatron int32, by its index, with modes": (
        {"a.idx": megatron_index([3, 4], [0, 1, 2], code=4, modes=True), "a.bin": raw(IDS, 4)},
        "megatron", "uint32", [3, 7], [3, 7],
    ),
    "Megatron with empty documents": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([0, 3, 0, 4], [0, 0, 1, 2, 3, 4])},
        "megatron", "uint16", [3, 7], [3, 7],
    ),
    "datatrove": (
        {
            "a.ds": raw(IDS, 4), "a.ds.index": np.array([3, 3, 7], "<u8").tobytes(),
            "a.ds.metadata": b"org/model|4\n7\n7 T",
        }, "datatrove", "uint32", [3, 7], [3, 7],
    ),
    "datatrove, old metadata": (
        {
            "a.ds": raw(IDS), "a.ds.index": np.array([3, 7], "<u8").tobytes(),
            "a.ds.metadata": b"gpt2\n7\n7 T",
        }, "datatrove", "uint16", [3, 7], [3, 7],
    ),
    "datatrove without index": (
        {"a.ds": raw(IDS), "a.ds.metadata": b"gpt2|2\n7\n7 T"},
        "datatrove", "uint16", None, [3, 7],
    ),
    "dolma": (
        {
            "a.npy": raw(IDS),
            "a.csv.gz": gzip.compress(b'0,3,"i,d",src,1\r\n3,3,x,src,2\r\n3,7,y,src,3\r\n'),
        }, "dolma", "uint16", [3, 7], [3, 7],
    ),
    "dolma uint32": (
        {"a.npy": raw(IDS, 4), "a.csv.gz": gzip.compress(b"0,7,y,src,3\n")},
        "dolma", "uint32", [7], [7],
    ),
    "raw by its suffix": ({"a.u32": raw(IDS, 4)}, "raw", "uint32", None, [3, 7]),
}  # fmt: skip


# Stores that cannot be mapped as uint16 or uint32: name, files (the first is opened), format,
# dtype, document ends.
COPIED: dict[str, tuple[dict[str, bytes], str, str, list[int] | None]] = {
    "npy int64": ({"a.npy": npy(IDS, "<i8")}, "npy", "uint16", None),
    "npy int64, large ids": ({"a.npy": npy([*IDS[:-1], 70_000], "<i8")}, "npy", "uint32", None),
    "npy uint64": ({"a.npy": npy(IDS, "<u8")}, "npy", "uint16", None),
    "npy uint8": ({"a.npy": npy(IDS, "u1")}, "npy", "uint16", None),
    "npy int8": ({"a.npy": npy(IDS, "i1")}, "npy", "uint16", None),
    "npy big-endian": ({"a.npy": npy(IDS, ">u2")}, "npy", "uint16", None),
    "npy big-endian int32": ({"a.npy": npy(IDS, ">i4")}, "npy", "uint16", None),
    "npy Fortran": ({"a.npy": npy(np.asfortranarray(np.reshape(IDS, (7, 1))), "<u2")}, "npy",
        "uint16", None),
    "npz": ({"a.npz": npz(x=IDS)}, "npz", "uint16", None),
    "npz compressed": ({"a.npz": npz(compressed=True, x=IDS)}, "npz", "uint16", None),
    "Megatron int64": (
        {"a.bin": raw(IDS, 8), "a.idx": megatron_index([3, 4], [0, 1, 2], code=5)},
        "megatron", "uint16", [3, 7],
    ),
    "Megatron uint8": (
        {"a.bin": bytes(IDS), "a.idx": megatron_index([3, 4], [0, 1, 2], code=1)},
        "megatron", "uint16", [3, 7],
    ),
    "Megatron, sequences in another order": (
        {
            "a.bin": raw([9, 3, 4, 5, 9, 1, 2]),
            "a.idx": megatron_index([3, 0, 4], [0, 1, 2, 3], pointers=[8, 98, 0]),
        }, "megatron", "uint16", [3, 7],
    ),
    "Megatron in pieces": (
        {
            "a.idx": megatron_index([3, 4], [0, 1, 2]), "a-00000-of-00002.bin": raw(IDS[:2]),
            "a-00001-of-00002.bin": raw(IDS[2:]),
        }, "megatron", "uint16", [3, 7],
    ),
    "shards.json": (
        {
            "shards.json": json.dumps(
                {
                    "schema": "ngramstat.shards/1", "dtype": "uint16",
                    "shards": ["b.bin", {"path": "a.bin", "bytes": 10}],
                }
            ).encode(),
            "a.bin": raw(IDS[2:]), "b.bin": raw(IDS[:2]),
        }, "raw", "uint16", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COPIED)
def test_other_layouts_are_read_exactly(tmp_path: Path, case: str) -> None:
    files, format, dtype, documents = COPIED[case]
    put(tmp_path, files)
    corpus = Corpus.open(tmp_path / next(iter(files)))
    assert (corpus.format, corpus.dtype) == (format, dtype)
    assert corpus.tokens.tolist()[:6] == IDS[:6]
    assert corpus.n_tokens == 7
    assert corpus.tokens.flags.c_contiguous
    assert not corpus.tokens.flags.writeable
    assert ends(corpus) == documents
    assert (corpus.vocab_size, corpus.vocab_size_inferred) == (int(corpus.tokens.max()) + 1, True)
    corpus.check()


@pytest.mark.parametrize("case", GOOD)
def test_formats_are_read_in_place(tmp_path: Path, case: str) -> None:
    files, format, dtype, documents, by_separator = GOOD[case]
    put(tmp_path, files)
    path = tmp_path / next(iter(files))
    corpus = Corpus.open(path)
    assert corpus.format == format
    assert corpus.dtype == dtype
    assert corpus.dtype.isnative
    assert corpus.tokens.tolist() == IDS
    assert corpus.tokens.flags.aligned
    assert corpus.tokens.flags.c_contiguous
    assert not corpus.tokens.flags.writeable
    base: Any = corpus.tokens
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert base is not None, "tokens were copied"
    assert ends(corpus) == documents
    assert (corpus.vocab_size, corpus.vocab_size_inferred) == (10, True)
    stated = Corpus.open(path, separator=9, vocab_size=50, dtype=dtype, format=format)
    assert (stated.vocab_size, stated.vocab_size_inferred) == (50, False)
    assert ends(stated) == by_separator
    assert stated.separator == 9
    inspection = inspect(path, separator=9)
    assert (inspection.tokens, inspection.largest_id, inspection.separators) == (7, 9, 2)
    assert inspection.first_ids == tuple(IDS)
    assert inspection.problems == ()
    other = "uint32" if dtype == "uint16" else "uint16"
    if format != "raw":
        with pytest.raises(InputError, match=dtype):
            Corpus.open(path, dtype=other)


def test_raw_tokens_need_a_dtype(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    path.write_bytes(raw([1, 0, 7, 0]))
    with pytest.raises(InputError, match="dtype"):
        Corpus.open(path)
    corpus = Corpus.open(path, dtype=np.uint16, vocab_size=8, separator=0)
    assert (corpus.format, corpus.separator_position) == ("raw", "after")
    assert ends(corpus) == [2, 4]
    assert Corpus.open(path, dtype="uint32").n_tokens == 2
    (tmp_path / "odd").write_bytes(b"abc")
    with pytest.raises(InputError, match="3 bytes of tokens are not a multiple of 2"):
        Corpus.open(tmp_path / "odd", dtype="uint16")
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(InputError, match="no tokens"):
        Corpus.open(tmp_path / "empty.bin", dtype="uint16")
    with pytest.raises(InputError, match="never occurs"):
        Corpus.open(path, dtype="uint16", separator=3)
    with pytest.raises(InputError, match="separator 9: not an id"):
        Corpus.open(path, dtype="uint16", vocab_size=8, separator=9)
    with pytest.raises(InputError, match="does not fit"):
        Corpus.open(path, dtype="uint16", vocab_size=70_000)


def test_the_error_for_text_names_tokenize(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(InputError, match="ngramstat tokenize"):
        Corpus.open(tmp_path / "a.jsonl")


def test_a_new_format_is_one_more_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_reversed(path: Path, options: OpenOptions) -> TokenStore:
        tokens = np.memmap(path, "<u2", mode="r")[::-1]
        return TokenStore(format="reversed", path=path, tokens=tokens, vocab_size=10)

    reader = Format(
        "reversed",
        "tokens, last one first",
        lambda path, head: path.suffix == ".rev",
        open_reversed,
    )
    monkeypatch.setitem(FORMATS, reader.name, reader)
    (tmp_path / "a.rev").write_bytes(raw(IDS))
    corpus = Corpus.open(tmp_path / "a.rev", separator=9)
    assert corpus.format == "reversed"
    assert corpus.tokens.tolist() == IDS[::-1]
    assert ends(corpus) == [4, 7]
    assert inspect(tmp_path / "a.rev").description == reader.description


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.sampled_from(["before", "after"]))
def test_documents_by_separator_partition_the_stream(ids: list[int], position: str) -> None:
    tokens = np.array(ids)
    separators = np.flatnonzero(tokens == 0)
    document_ends = document_ends_at(separators, tokens.size, position)  # type: ignore[arg-type]
    pieces = np.split(tokens, document_ends[:-1])
    assert all(piece.size for piece in pieces)
    for number, piece in enumerate(pieces):
        inside = piece[:-1] if position == "after" else piece[1:]
        assert 0 not in inside
        if position == "after" and number < len(pieces) - 1:
            assert piece[-1] == 0
        if position == "before" and number > 0:
            assert piece[0] == 0


# --- refused files ------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "npy float": ({"a.npy": npy(IDS, "<f4")}, "floating-point"),
    "npy no dimension": ({"a.npy": npy(5, "<u2")}, "single number"),
    "npy records": ({"a.npy": npy([(1, 2)], "u2,u2")}, "records"),
    "npy negative": ({"a.npy": npy([1, -2, 3], "<i4")}, "token 1 is negative"),
    "npy empty": ({"a.npy": npy([], "<u2")}, "no tokens"),
    "npy truncated": ({"a.npy": npy(IDS, "<u2")[:-2]}, "truncated"),
    "npy version 9": ({"a.npy": b"\x93NUMPY\x09\x00" + bytes(20)}, "version 9"),
    "npy huge header": ({"a.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(20)}, "damaged"),
    "npy pickle": (
        {"a.npy": npy(IDS, "<u2").replace(b"'<u2'", b"'|O' ")}, "unpickled",
    ),
    "npy huge shape": (
        {"a.npy": npy(IDS, "<u2").replace(b"(7,), }     ", b"(9999999,), ")}, "damaged|9999999",
    ),
    "llm.c eval": ({"a.bin": llmc(IDS, magic=20240522)}, "evaluation"),
    "llm.c truncated": ({"a.bin": llmc(IDS)[:-1]}, "counts 7 tokens"),
    "llm.c too long": (
        {"a.bin": llmc(IDS) + bytes(6)}, r"counts 7 tokens.* 6 bytes too many",
    ),
    "llm.c negative count": (
        {"a.bin": struct.pack("<iii", 20240520, 1, -1) + llmc(IDS)[12:]},
        "counts -1 tokens.* unfinished or damaged header",
    ),
    "llm.c header only": ({"a.bin": llmc(IDS)[:100]}, "truncated"),
    "llm.c no tokens": ({"a.bin": llmc([])}, "counts 0 tokens"),
    "NeMo width": ({"a.bin": llmc(IDS, magic=278895051)[:12] + bytes(1012)}, "0 bytes per token"),
    "NeMo index of another file": (
        {"a.bin": llmc(IDS, magic=278895051), "a.bos.idx": np.array([1024, 1026], "<i4").tobytes()},
        "2 different",
    ),
    "NeMo index out of range": (
        {"a.bin": llmc(IDS, magic=278895051), "a.bos.idx": np.array([1024, 9999], "<i4").tobytes()},
        "do not lie in order",
    ),
    "Megatron float": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([7], [0, 1], code=6)}, "float64",
    ),
    "Megatron length": ({"a.bin": raw(IDS), "a.idx": megatron_index([6], [0, 1])}, "6 tokens"),
    "Megatron negative": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([-1, 8], [0, 1])}, "negative length",
    ),
    "Megatron pointers": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([3, 4], [0, 2], pointers=[6, 0])}, "pointers",
    ),
    "Megatron marks": ({"a.bin": raw(IDS), "a.idx": megatron_index([3, 4], [0, 3])}, "marks"),
    "Megatron falling marks": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([3, 4], [0, 2, 1, 2])}, "marks",
    ),
    "Megatron more sequences than tokens": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([0] * 5 + [3, 4, 0], [0, 8])},
        "counts 8 sequences and 2 document marks, but a.bin holds 7 tokens",
    ),
    "Megatron version": (
        {"a.bin": raw(IDS), "a.idx": megatron_index([7], [0, 1], version=2)}, "version 1",
    ),
    "Megatron counts beyond the file": (
        {
            "a.bin": raw(IDS),
            "a.idx": struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, 1 << 62, 1 << 63) + bytes(99),
        }, "do not fit",
    ),
    "Megatron without data": ({"a.idx": megatron_index([7], [0, 1])}, "No such file"),
    "datatrove without a type": ({"a.ds": raw(IDS)}, "give dtype"),
    "datatrove index": (
        {"a.ds": raw(IDS), "a.ds.index": np.array([6], "<u8").tobytes()}, "6 tokens",
    ),
    "datatrove falling index": (
        {"a.ds": raw(IDS), "a.ds.index": np.array([7, 3], "<u8").tobytes()}, "do not rise",
    ),
    "datatrove odd index": ({"a.ds": raw(IDS), "a.ds.index": b"123"}, "3 bytes"),
    "datatrove width": ({"a.ds": raw(IDS), "a.ds.metadata": b"x|3"}, "bytes per token"),
    "dolma without a type": ({"a.npy": raw(IDS)}, "give dtype"),
    "dolma gap": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"0,3,,,\n4,7,,,\n")}, ":2: the range 4",
    ),
    "dolma no numbers": ({"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"from,to\n")}, ":1: not"),
    "dolma beyond the tokens": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"0,7,,,\n7,9,,,\n" + b"9,11,,,\n" * 99)},
        ":2: goes on beyond the 14 bytes",
    ),
    "dolma empty documents without end": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"0,0,,,\n" * 99)}, ":17: goes on beyond",
    ),
    "dolma numbers in other digits": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress("0,\uff17,,,\n".encode())}, ":1: not",
    ),
    "dolma numbers with underscores": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"0,0_7,,,\n")}, ":1: not",
    ),
    "dolma truncated": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(b"0,7,,,\n")[:-9]}, "damaged",
    ),
    "dolma endless line": (
        {"a.npy": raw(IDS), "a.csv.gz": gzip.compress(bytes(1 << 22))}, "damaged",
    ),
}  # fmt: skip


def test_an_index_of_megatron_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of more sequences than fit in memory: 2^20 here, where all arrays would take 44 MB."""
    monkeypatch.setattr(token_store, "_CHUNK", 1 << 16)
    n = 1 << 20
    np.zeros(n, "<u2").tofile(tmp_path / "a.bin")
    with open(tmp_path / "a.idx", "wb") as file:
        file.write(struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, n, n // 2 + 1))
        np.ones(n, "<i4").tofile(file)
        (2 * np.arange(n, dtype="<i8")).tofile(file)
        np.arange(0, n + 1, 2, dtype="<i8").tofile(file)
    tracemalloc.start()
    corpus = Corpus.open(tmp_path / "a.bin", vocab_size=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.document_ends is not None
    assert np.array_equal(corpus.document_ends, np.arange(2, n + 1, 2))
    # Marks and ends of half as many documents, some times over, and pieces of the rest.
    assert peak < 28 << 20


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(tmp_path: Path, case: str) -> None:
    files, message = BAD[case]
    put(tmp_path, files)
    path = tmp_path / next(iter(files))
    with pytest.raises(InputError, match=message) as caught:
        Corpus.open(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["corpus", "npy", "llm.c", "megatron", "datatrove", "dolma"])
def test_a_forced_format_still_checks(tmp_path: Path, format: str) -> None:
    (tmp_path / "a.bin").write_bytes(raw(IDS))
    with pytest.raises(InputError):
        Corpus.open(tmp_path / "a.bin", format=format)


def _damage(rng: np.random.Generator, blob: bytes) -> bytes:
    """Cut the file anywhere, or change bytes, mostly in its header."""
    if rng.random() < 0.3:
        return blob[: rng.integers(len(blob))]
    changed = bytearray(blob)
    for _ in range(rng.integers(1, 5)):
        end = min(64, len(changed)) if rng.random() < 0.5 else len(changed)
        changed[rng.integers(end)] = rng.choice([0, 1, 255, rng.integers(256)])
    return bytes(changed)


def _open_damaged(directory: Path, case: str, count: int, seed: int) -> int:
    """Open damaged copies of a store; returns how many were refused in one line."""
    files = {**GOOD, **COPIED}[case][0]
    rng = np.random.default_rng(seed)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(count):
            name = sorted(files)[rng.integers(len(files))]
            put(directory, {**files, name: _damage(rng, files[name])})
            tracemalloc.reset_peak()
            try:
                corpus = Corpus.open(directory / next(iter(files)))
                assert corpus.n_tokens <= 1024
                corpus.check()
            except InputError as error:
                refused += "\n" not in str(error)
            # Far above what these small files need, far below what a forged count would allocate.
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    return refused


@pytest.mark.parametrize("case", [*GOOD, *COPIED])
def test_damaged_files_open_or_are_refused(tmp_path: Path, case: str) -> None:
    assert _open_damaged(tmp_path, case, 200, 0) > 20


@pytest.mark.nightly
@pytest.mark.parametrize("case", [*GOOD, *COPIED])
def test_many_damaged_files_open_or_are_refused(tmp_path: Path, case: str) -> None:
    assert _open_damaged(tmp_path, case, 2000, 1) > 200


# --- arrays of NumPy ------------------------------------------------------------------------------


def test_rows_of_an_array_are_blocks_unless_stated(tmp_path: Path) -> None:
    rows = np.arange(1, 13).reshape(3, 4)
    layouts = {
        "c.npy": npy(rows, "<u2"),
        "f.npy": npy(np.asfortranarray(rows), "<i8"),
        "z.npz": npz(x=np.asfortranarray(rows)),
    }
    put(tmp_path, layouts)
    for name in layouts:
        corpus = Corpus.open(tmp_path / name)
        assert corpus.tokens.tolist() == rows.ravel().tolist()
        assert corpus.document_ends is None
        assert "3 rows of 4 tokens" in corpus.notes[0]
        assert ends(Corpus.open(tmp_path / name, rows="documents")) == [4, 8, 12]
        assert Corpus.open(tmp_path / name, rows="packed").notes == ()
    # One row or one column is a stream.
    for shape in ((1, 12), (12, 1)):
        (tmp_path / "s.npy").write_bytes(npy(rows.reshape(shape), "<u2"))
        corpus = Corpus.open(tmp_path / "s.npy")
        assert (corpus.n_tokens, corpus.document_ends, corpus.notes) == (12, None, ())
    assert ends(Corpus.open(tmp_path / "s.npy", rows="documents")) == list(range(1, 13))
    (tmp_path / "s.npy").write_bytes(npy(rows.ravel(), "<u2"))
    with pytest.raises(InputError, match="has one dimension and no rows"):
        Corpus.open(tmp_path / "s.npy", rows="documents")
    with pytest.raises(InputError, match="has no columns"):
        Corpus.open(tmp_path / "s.npy", column="x")


def test_an_array_of_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(npz(train=IDS, val=[1, 2]))
    with pytest.raises(InputError, match=r"holds 2 arrays \(train, val\).*array"):
        Corpus.open(path)
    assert Corpus.open(path, array="val").tokens.tolist() == [1, 2]
    with pytest.raises(InputError, match="no single array 'x'"):
        Corpus.open(path, array="x")
    (tmp_path / "a.npy").write_bytes(npy(IDS, "<u2"))
    with pytest.raises(InputError, match="has one array"):
        Corpus.open(tmp_path / "a.npy", array="val")


def test_a_header_cannot_promise_more_than_an_archive_holds(tmp_path: Path) -> None:
    huge = npy(IDS, "<u2").replace(b"(7,), }       ", b"(7000000000,), }")
    assert b"7000000000" in huge
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", huge)
    with pytest.raises(InputError, match=r"counts 7000000000 tokens; truncated\?"):
        Corpus.open(tmp_path / "a.npz")


def test_marks_of_megatron_that_end_early_or_are_missing(tmp_path: Path) -> None:
    put(tmp_path, {"a.bin": raw(IDS), "a.idx": megatron_index([3, 2, 2], [0, 1, 2])})
    corpus = Corpus.open(tmp_path / "a.bin")
    assert ends(corpus) == [3, 5, 7]
    assert "no end of the last document" in corpus.notes[0]
    (tmp_path / "a.idx").write_bytes(megatron_index([3, 2, 2], [0]))
    corpus = Corpus.open(tmp_path / "a.bin")
    assert corpus.document_ends is None
    assert "3 sequences are one stream" in corpus.notes[0]


def test_wider_tokens_read_as_narrow_ones_are_noticed(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 128_000, 500)
    for dtype, stated, problem in (
        ("<u4", "uint16", "at most 7: are these uint32"),
        ("<i8", "uint32", "is 0: are these uint64"),
        ("<u4", "uint32", None),
    ):
        ids.astype(dtype).tofile(tmp_path / "a.bin")
        problems = inspect(tmp_path / "a.bin", dtype=stated).problems
        assert len(problems) == (problem is not None)
        assert all(str(problem) in text for text in problems)
    small = np.random.default_rng(0).integers(0, 7, 500)
    small.astype("<u2").tofile(tmp_path / "a.bin")
    assert inspect(tmp_path / "a.bin", dtype="uint16").problems == ()


def test_a_separator_beside_recorded_documents_is_looked_for(tmp_path: Path) -> None:
    put(tmp_path, {"a.bin": raw(IDS), "a.idx": megatron_index([3, 4], [0, 1, 2])})
    assert inspect(tmp_path / "a.bin", separator=9).separator_position == "before"
    found = inspect(tmp_path / "a.bin", separator=4)
    assert found.separator_position is None
    assert "at an end of only 0% of the documents" in found.problems[0]


def test_a_type_that_two_records_contradict_is_refused(tmp_path: Path) -> None:
    index = np.array([3, 7], "<u8").tobytes()
    put(tmp_path, {"a.ds": raw(IDS, 4), "a.ds.index": index, "a.ds.metadata": b"gpt2|2\n7"})
    with pytest.raises(InputError, match=r"a\.ds\.metadata says 2 bytes.*a\.ds\.index counts 7"):
        Corpus.open(tmp_path / "a.ds")


def test_column_names_of_dolma_are_no_document(tmp_path: Path) -> None:
    rows = gzip.compress(b"start,end,id,src,loc\n0,3,a,b,1\n3,7,c,d,2\n")
    put(tmp_path, {"a.npy": raw(IDS), "a.csv.gz": rows})
    assert ends(Corpus.open(tmp_path / "a.npy")) == [3, 7]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"5,12,a,b,1\n"))
    with pytest.raises(InputError, match="begins at token 5, not 0"):
        Corpus.open(tmp_path / "a.npy")


def test_another_version_of_llmc_is_not_taken_for_raw(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(llmc(IDS, version=7, width=4))
    with pytest.raises(InputError, match=r"version 7; version 1 is read"):
        Corpus.open(tmp_path / "a.bin", dtype="uint16")
