"""Writing corpora for other programs, read back with their documents."""

from __future__ import annotations

import json
import shutil
import struct
import sys
import types
from collections import namedtuple
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ngramstat.corpus import Corpus, CorpusWriter
from ngramstat.corpus.entry_points import WRITERS
from ngramstat.corpus.writers import WriteOptions, Writer, convert
from ngramstat.errors import InputError, NgramstatError
from stores_of_others import DOCUMENTS, open_damaged, pack, stream, write_infini_gram
from test_cli import run
from test_plugin_stores import plugins

__all__ = ["plugins"]

TOKENS = stream(DOCUMENTS)


def with_separators(separator: int, documents: Any = DOCUMENTS) -> list[int]:
    return [token for document in documents for token in (*document, separator)]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A corpus directory with the separator 0 after each document, and a tokenizer."""
    with CorpusWriter(tmp_path / "corpus", 10, separator=0, tokenizer=b"{}") as writer:
        writer.append_batch(DOCUMENTS)
        return writer.finish()


@pytest.fixture
def documents() -> Corpus:
    """Documents without separators."""
    ends = np.cumsum([len(document) for document in DOCUMENTS])
    return Corpus.from_arrays(TOKENS, vocab_size=10, document_ends=ends)


def last_error(*arguments: object) -> str:
    """The error of a command that first says what it took rows for."""
    *notes, message = run(*arguments, code=2).stderr.strip().splitlines()
    assert message.startswith("Error: ")
    assert all(note.startswith("Note: ") for note in notes)
    return message


def same(a: Corpus, b: Corpus) -> None:
    assert a.sha256 == b.sha256
    assert a.document_ends is not None
    assert b.document_ends is not None
    assert a.document_ends.tolist() == b.document_ends.tolist()


def test_nanogpt_byte_for_byte(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "train.bin"
    assert convert(corpus, path, "nanogpt") == [path, tmp_path / "train.bin.json"]
    assert path.read_bytes() == pack(with_separators(0), "<u2")
    note = json.loads((tmp_path / "train.bin.json").read_text())
    assert note == {
        "schema": "ngramstat.tokens/1", "dtype": "uint16", "tokens": 14, "vocab_size": 10,
        "documents": 4, "separator": 0, "separator_position": "after", "sha256": corpus.sha256,
    }  # fmt: skip
    back = Corpus.open(path)  # the note says what the file does not
    assert (back.format, back.separator, back.vocab_size) == ("nanogpt", 0, 10)
    same(back, corpus)
    same(Corpus.open(path, format="raw", dtype="uint16", separator=0), corpus)


def test_npy_byte_for_byte(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.npy"
    convert(corpus, path, "npy", dtype="uint32")
    assert np.load(path).tolist() == with_separators(0)
    np.save(tmp_path / "b.npy", np.array(with_separators(0), dtype="<u4"))
    assert path.read_bytes() == (tmp_path / "b.npy").read_bytes()
    back = Corpus.open(path)  # the note says what the file does not
    assert back.dtype == np.uint32
    assert (back.format, back.separator, back.vocab_size, back.n_documents) == ("npy", 0, 10, 4)
    assert Corpus.open(path, separator=0).n_documents == 4
    assert Corpus.open(path, format="npy", rows="packed").n_documents == 4
    Path(f"{path}.json").unlink()
    assert Corpus.open(path).n_documents == 0


def test_the_note_of_another_npy_file_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.npy"
    convert(corpus, path, "npy")
    for array, message in (
        (np.array([1, 2], dtype="<u2"), "2 tokens, but a.npy.json counts 14; remove a.npy.json"),
        (np.arange(14), r"1 dimension\(s\) of int64, but a.npy.json describes one of uint16"),
        (np.ones((2, 7), dtype="<u2"), r"2 dimension\(s\) of uint16"),
    ):
        np.save(path, array)
        with pytest.raises(InputError, match=message):
            Corpus.open(path)
    Path(f"{path}.json").write_text("{}")  # a file of somebody else
    assert Corpus.open(path).n_tokens == 14


def test_nanogpt_files_end_in_bin(tmp_path: Path, corpus: Corpus) -> None:
    written = convert(corpus, tmp_path / "train", "nanogpt")
    assert written == [tmp_path / "train.bin", tmp_path / "train.bin.json"]
    same(Corpus.open(written[0]), corpus)
    with pytest.raises(InputError, match=r"train\.bin: exists"):
        convert(corpus, tmp_path / "train", "nanogpt")
    with pytest.raises(InputError, match=r"a\.u16: nanogpt files end in \.bin, not \.u16"):
        convert(corpus, tmp_path / "a.u16", "nanogpt")
    with pytest.raises(InputError, match=r"is a directory; name a file that ends in \.bin"):
        convert(corpus, tmp_path, "nanogpt")
    assert not (tmp_path / "a.u16").exists()


def test_megatron_gets_a_stated_separator(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    lines = [json.dumps({"tokens": list(document)}) + "\n" for document in DOCUMENTS]
    source.write_text("".join(lines))
    run("convert", source, "--separator", 50256, "-o", tmp_path / "a", "--to", "megatron")
    back = Corpus.open(tmp_path / "a.idx")
    assert back.tokens.tolist() == with_separators(50256)
    assert back.document_ends is not None
    lengths = [len(document) + 1 for document in DOCUMENTS]
    assert back.document_ends.tolist() == np.cumsum(lengths).tolist()


@pytest.mark.parametrize("to", ["nanogpt", "npy", "megatron", "corpus"])
def test_missing_parent_directories_are_created(tmp_path: Path, corpus: Corpus, to: str) -> None:
    output = tmp_path / "new" / "deep" / "a"
    run("convert", corpus.path, "-o", output, "--to", to)
    written = {"npy": output, "corpus": output}.get(to, output.with_suffix(".bin"))
    assert Corpus.open(written).n_documents == 4
    (tmp_path / "file").write_text("")
    message = last_error("convert", corpus.path, "-o", tmp_path / "file" / "a", "--to", to)
    assert f"its directory {tmp_path / 'file'} cannot be created" in message


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_megatron_byte_for_byte(tmp_path: Path, corpus: Corpus, dtype: str) -> None:
    code, width = (8, 2) if dtype == "uint16" else (4, 4)
    convert(corpus, tmp_path / "a", "megatron", dtype=dtype)
    assert (tmp_path / "a.bin").read_bytes() == pack(with_separators(0), f"<u{width}")
    lengths = [len(document) + 1 for document in DOCUMENTS]
    pointers = (np.cumsum([0, *lengths[:-1]]) * width).tolist()
    assert (tmp_path / "a.idx").read_bytes() == (
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, code, 4, 5)
        + pack(lengths, "<i4")
        + pack(pointers, "<i8")
        + pack([0, 1, 2, 3, 4], "<i8")
    )
    back = Corpus.open(tmp_path / "a.idx")
    assert back.dtype == dtype
    assert back.tokens.tolist() == corpus.tokens.tolist()
    assert back.document_ends is not None
    assert corpus.document_ends is not None
    assert back.document_ends.tolist() == corpus.document_ends.tolist()


def test_megatron_splits_documents_that_are_too_long(
    tmp_path: Path, documents: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ngramstat.corpus.writers.megatron._MAX_SEQUENCE", 2)
    convert(documents, tmp_path / "a.idx", "megatron")
    index = (tmp_path / "a.idx").read_bytes()
    assert np.frombuffer(index, "<i4", 6, 34).tolist() == [2, 1, 1, 2, 2, 2]
    same(Corpus.open(tmp_path / "a.bin"), documents)


def test_a_corpus_directory(tmp_path: Path, corpus: Corpus, documents: Corpus) -> None:
    convert(corpus, tmp_path / "copy", "corpus")
    back = Corpus.open(tmp_path / "copy")
    same(back, corpus)
    assert back.separator == 0
    assert back.tokenizer_path is not None
    assert back.tokenizer_path.read_bytes() == b"{}"
    convert(documents, tmp_path / "plain", "corpus")
    same(Corpus.open(tmp_path / "plain"), documents)
    without = Corpus.from_arrays(TOKENS, vocab_size=10)
    convert(without, tmp_path / "stream", "corpus")
    assert Corpus.open(tmp_path / "stream").document_ends is None
    with pytest.raises(InputError, match="exists; give overwrite=True"):
        convert(without, tmp_path / "stream", "corpus")
    convert(corpus, tmp_path / "stream", "corpus", overwrite=True)
    assert Corpus.open(tmp_path / "stream").n_documents == 4


@pytest.mark.parametrize("to", ["nanogpt", "npy", "corpus"])
def test_separators_move_to_the_ends_of_documents(tmp_path: Path, to: str) -> None:
    index = Corpus.open(write_infini_gram(tmp_path / "i"), separator=10)
    assert index.separator_position == "before"
    path = convert(index, tmp_path / "out", to)[0]
    options = {} if to == "corpus" else {"dtype": "uint16", "separator": 10, "format": "raw"}
    if to == "npy":
        options = {"separator": 10}
    back = Corpus.open(path, **options)
    assert back.tokens.tolist() == with_separators(10)
    assert back.n_documents == 4


def test_documents_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ngramstat.corpus.writers.writer._GROUP_TOKENS", 8)
    rng = np.random.default_rng(2)
    parts = [rng.integers(1, 50, n).tolist() for n in (3, 40, 1, 8, 9, 7, 16, 2, 2, 2)]
    flat = [token for part in parts for token in (0, *part)]
    ends = np.cumsum([len(part) + 1 for part in parts])
    before = Corpus(np.array(flat, dtype=np.uint16), 50, 0, "before", ends)
    plain = Corpus.from_arrays(
        stream(parts), vocab_size=50, document_ends=np.cumsum([len(p) for p in parts])
    )
    for number, source in enumerate((before, plain)):
        for to in ("nanogpt", "corpus", "megatron"):
            if to == "nanogpt" and source is plain:
                continue
            path = convert(source, tmp_path / f"{to}{number}.bin", to)[0]
            options = {"format": "raw", "dtype": "uint16", "separator": 0}
            back = Corpus.open(path, **(options if to == "nanogpt" else {}))
            expected = with_separators(0, parts) if source is before else stream(parts)
            assert back.tokens.tolist() == expected
            assert back.n_documents == len(parts)


def test_documents_without_separators_need_one(tmp_path: Path, corpus: Corpus) -> None:
    lines = [json.dumps({"tokens": list(document)}) + "\n" for document in DOCUMENTS]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(lines))
    out = tmp_path / "a.bin"
    message = last_error("--quiet", "convert", source, "-o", out, "--to", "nanogpt")
    assert "has 4 documents but no separator" in message
    assert "--separator ID" in message
    run("convert", source, "-o", out, "--to", "nanogpt", "--separator", 10)
    assert out.read_bytes() == pack(with_separators(10), "<u2")
    assert Corpus.open(out).vocab_size == 11
    options = ["--to", "npy", "--separator", 5]
    assert "give --rows" in last_error(
        "--quiet", "convert", source, "-o", tmp_path / "b.npy", *options
    )
    inside = last_error(
        "--quiet", "convert", source, "-o", tmp_path / "b.npy", *options, "--rows", "documents"
    )
    assert "document 2 holds the separator 5 inside; give another --separator" in inside


def test_an_inferred_vocabulary_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 7], dtype="<u2"))
    said = run("convert", tmp_path / "a.npy", "-o", tmp_path / "a", "--to", "corpus").stderr
    assert "takes its size for 8, the largest id plus 1, unless --vocab-size states" in said
    options = ["--to", "corpus", "--vocab-size", 50, "--overwrite"]
    said = run("convert", tmp_path / "a.npy", "-o", tmp_path / "a", *options).stderr
    assert "vocabulary" not in said
    assert Corpus.open(tmp_path / "a").vocab_size == 50


def test_a_separator_inside_a_document_is_refused(tmp_path: Path, documents: Corpus) -> None:
    spelled = Corpus(documents.tokens, 10, 5, None, documents.document_ends)
    for to in ("nanogpt", "npy", "corpus"):
        with pytest.raises(InputError, match="document 2 holds the separator 5 inside"):
            convert(spelled, tmp_path / "a", to)
        assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="to 'arrow': must be one of nanogpt, megatron, npy"):
        convert(corpus, tmp_path / "a", "arrow")
    large = Corpus.from_arrays([1, 70_000], vocab_size=70_001)
    with pytest.raises(InputError, match="does not fit"):
        convert(large, tmp_path / "a", "nanogpt", dtype="uint16")
    convert(large, tmp_path / "large", "megatron")
    assert Corpus.open(tmp_path / "large.bin").dtype == np.uint32
    (tmp_path / "b.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"b\.bin: exists; give overwrite=True"):
        convert(corpus, tmp_path / "b", "megatron")
    assert (tmp_path / "b.bin").read_bytes() == b"mine"
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 90, 10))
    for to in ("nanogpt", "megatron", "npy", "corpus"):
        with pytest.raises(InputError, match=r"needs .* bytes, but 10 are free"):
            convert(corpus, tmp_path / "c", to)


def test_notes_are_checked(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.bin"
    convert(corpus, path, "nanogpt")
    note = json.loads((tmp_path / "a.bin.json").read_text())
    for change, message in (
        ({"tokens": 15}, "14 tokens, but a.bin.json counts 15"),
        ({"documents": 3}, "4 documents end with 0"),
        ({"separator": 10}, "separator must be an integer from 0 to 9"),
        ({"dtype": "int64"}, "must be uint16 or uint32"),
        ({"vocab_size": 0}, "vocab_size must be"),
    ):
        (tmp_path / "a.bin.json").write_text(json.dumps({**note, **change}))
        with pytest.raises(InputError, match=message):
            Corpus.open(path)


@pytest.mark.parametrize("to", ["nanogpt", "megatron"])
def test_damaged_outputs_open_or_are_refused(tmp_path: Path, corpus: Corpus, to: str) -> None:
    (tmp_path / "d").mkdir()
    convert(corpus, tmp_path / "d" / "a.bin", to)
    assert open_damaged(tmp_path / "d" / "a.bin", 60, seed=1) > 0


def test_a_writer_of_another_package(
    tmp_path: Path, corpus: Corpus, plugins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(corpus: Corpus, path: Path, options: WriteOptions) -> list[Path]:
        if corpus.vocab_size < 5:
            raise RuntimeError("too small")
        path.write_text(" ".join(map(str, corpus.tokens)))
        return [path]

    module = types.ModuleType("foreign_writers")
    module.WRITER = Writer(  # type: ignore[attr-defined]
        "plain", "numbers", lambda path: [path], lambda corpus, options: 1, write
    )
    monkeypatch.setitem(sys.modules, "foreign_writers", module)
    plugins(EntryPoint("plain", "foreign_writers:WRITER", WRITERS))
    run("convert", corpus.path, "-o", tmp_path / "a.txt", "--to", "plain")
    assert (tmp_path / "a.txt").read_text().split()[:4] == ["9", "1", "2", "0"]
    small = Corpus.from_arrays([1, 2], vocab_size=3)
    with pytest.raises(NgramstatError, match="the plugin 'plain' failed with RuntimeError: too"):
        convert(small, tmp_path / "b.txt", "plain")
