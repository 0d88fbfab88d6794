"""Indexes of infini-gram and token files of tokengrams."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from stores_of_others import DOCUMENTS, damage, open_damaged, pack, write_infini_gram

STORED = {1: 255, 2: 65535, 4: 10}  # the largest uint32 becomes the id after the largest one


def expected(separator: int, shards: int = 1) -> tuple[list[int], list[int]]:
    """Tokens and document ends: shard after shard, the separator before each document."""
    order = [document for shard in range(shards) for document in DOCUMENTS[shard::shards]]
    tokens = [token for document in order for token in (separator, *document)]
    return tokens, np.cumsum([len(document) + 1 for document in order]).tolist()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_indexes(
    tmp_path: Path, width: int, shards: int, backward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_infini_gram(tmp_path / "i", width=width, shards=shards, backward=backward)
    with caplog.at_level(logging.WARNING):
        corpus = Corpus.open(path, format="infini-gram-v5" if backward else "auto")
    assert corpus.format == ("infini-gram-v5" if backward else "infini-gram")
    assert corpus.separator == STORED[width]
    assert corpus.separator_position == "before"
    tokens, document_ends = expected(STORED[width], shards)
    assert corpus.tokens.tolist() == tokens
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == document_ends
    assert ("backward" if backward else "--format infini-gram-v5") in caplog.text
    # The tokenizer's separator, as infini-gram's own engine shows it.
    named = Corpus.open(path, format=corpus.format, separator=11, vocab_size=12)
    assert named.tokens.tolist() == expected(11, shards)[0]


def test_one_shard_is_mapped_and_can_be_named(tmp_path: Path) -> None:
    path = write_infini_gram(tmp_path / "i", shards=2)
    corpus = Corpus.open(path / "tokenized.1")
    assert isinstance(corpus.tokens.base, np.memmap) or isinstance(corpus.tokens, np.memmap)
    assert corpus.n_documents == 2
    # Version 6 writes one pair of files without numbers.
    single = write_infini_gram(tmp_path / "j")
    (single / "tokenized.0").rename(single / "tokenized")
    (single / "offset.0").rename(single / "offset")
    assert Corpus.open(single).tokens.tolist() == expected(65535)[0]


def test_empty_documents_do_not_hide_the_width(tmp_path: Path) -> None:
    path = write_infini_gram(tmp_path / "i", [[], [], [1, 2], []], width=1)
    corpus = Corpus.open(path)
    assert corpus.tokens.tolist() == [255, 255, 255, 1, 2, 255]
    assert corpus.n_documents == 4


def test_long_documents_are_turned_around_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ngramstat.corpus.formats.infini_gram._GROUP_TOKENS", 16)
    rng = np.random.default_rng(1)
    documents = [rng.integers(0, 500, n).tolist() for n in (3, 0, 100, 5, 16, 15, 17, 1, 64)]
    path = write_infini_gram(tmp_path / "i", documents, backward=True)
    corpus = Corpus.open(path, format="infini-gram-v5")
    assert corpus.tokens.tolist() == [t for d in documents for t in (65535, *d)]


BAD = {
    "missing shard": ("no tokenized.1", lambda d: (d / "tokenized.1").unlink()),
    "missing offsets": ("No such file", lambda d: (d / "offset.1").unlink()),
    "odd offsets": ("9 bytes", lambda d: (d / "offset.0").write_bytes(bytes(9))),
    "offsets beyond the file": ("do not rise", lambda d: (d / "offset.0").write_bytes(
        pack([0, 1 << 60], "<u8"))),
    "falling offsets": ("do not rise", lambda d: (d / "offset.0").write_bytes(
        pack([0, 8, 4], "<u8"))),
    "offsets elsewhere": ("do not begin with bytes 0xFF", lambda d: (d / "offset.0").write_bytes(
        pack([0, 6], "<u8"))),
    "offsets of fewer documents": ("separators", lambda d: (d / "offset.2").write_bytes(
        pack([0], "<u8")) and (d / "tokenized.2").write_bytes(pack([65535, 1, 65535, 2], "<u2"))),
    "cut": ("13 bytes of tokens are not a multiple of 2", lambda d: (d / "tokenized.0").write_bytes(
        (d / "tokenized.0").read_bytes()[:-1])),
    "empty": ("empty or truncated", lambda d: (d / "tokenized.0").write_bytes(b"")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_indexes_are_refused(tmp_path: Path, case: str) -> None:
    path = write_infini_gram(tmp_path / "i", shards=3)
    message, spoil = BAD[case]
    spoil(path)
    with pytest.raises(InputError, match=message) as caught:
        Corpus.open(path)
    assert str(tmp_path) in str(caught.value)


def test_damaged_indexes_open_or_are_refused(tmp_path: Path) -> None:
    assert open_damaged(write_infini_gram(tmp_path / "i", shards=2), 60, seed=1) > 5
    path = write_infini_gram(tmp_path / "j", width=4, backward=True)
    assert open_damaged(path, 60, seed=1, format="infini-gram-v5") > 5


@pytest.mark.nightly
def test_damaged_indexes_many(tmp_path: Path) -> None:
    assert open_damaged(write_infini_gram(tmp_path / "i", shards=2), 2000, seed=2) > 200


@pytest.mark.parametrize("width", [2, 4])
def test_tokengrams(tmp_path: Path, width: int) -> None:
    ids = [5, 9, 1, 9, 2, 9]
    (tmp_path / "a.bin").write_bytes(pack(ids, f"<u{width}"))
    (tmp_path / "a.idx").write_bytes(pack([2, 4, 0, 5, 3, 1], "<u8"))
    for name in ("a.bin", "a.idx"):
        corpus = Corpus.open(tmp_path / name, separator=9)
        assert corpus.format == "tokengrams"
        assert corpus.tokens.tolist() == ids
        assert corpus.document_ends is not None
        assert corpus.document_ends.tolist() == [2, 4, 6]
    (tmp_path / "a.idx").write_bytes(bytes(48 + 8))
    with pytest.raises(InputError, match="give dtype"):
        Corpus.open(tmp_path / "a.bin")
    with pytest.raises(InputError, match="8 bytes for each token"):
        Corpus.open(tmp_path / "a.bin", format="tokengrams")


def write_dedup(path: Path, documents: list[bytes]) -> Path:
    """Six bytes before each document, and all offsets in .size."""
    parts = [b"\xff\xff" + pack([n], "<u4") + text for n, text in enumerate(documents, 1)]
    path.write_bytes(b"".join(parts))
    offsets = np.cumsum([0, *map(len, parts)])
    path.with_name(path.name + ".size").write_bytes(pack(offsets.tolist(), "<u8"))
    return path


def test_dedup_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ngramstat.corpus.formats.dedup._GROUP_BYTES", 40)
    documents = [list(range(n)) for n in (3, 0, 50, 1, 2) * 8]
    path = write_dedup(tmp_path / "wiki.train", [pack(ids, "<u2") for ids in documents])
    corpus = Corpus.open(path)
    assert (corpus.format, corpus.dtype) == ("dedup", np.uint16)
    assert corpus.tokens.tolist() == [token for ids in documents for token in ids]
    assert corpus.n_documents == 32  # the empty ones have no place in the stream
    text = Corpus.open(write_dedup(tmp_path / "text.train", [b"abc", b"de"]))
    assert text.tokens.tolist() == list(b"abcde")
    few = write_dedup(tmp_path / "few.train", [b"abcd", b"ef"])
    with pytest.raises(InputError, match="give dtype='uint16'"):
        Corpus.open(few)
    assert Corpus.open(few, dtype="uint16").n_tokens == 3
    with pytest.raises(InputError, match="uint8, not uint16"):
        Corpus.open(tmp_path / "text.train", dtype="uint16")


DEDUP_BAD = {
    "offsets": ("do not run from 0", lambda size: size[:-8] + pack([99], "<u8")),
    "falling": ("do not rise", lambda size: size[:8] + pack([17, 4], "<u8") + size[16:]),
    "elsewhere": ("does not begin with 0xFF", lambda size: size[:8] + pack([7], "<u8") + size[16:]),
    "odd": ("25 bytes", lambda size: size + b"x"),
}


@pytest.mark.parametrize("case", DEDUP_BAD)
def test_bad_dedup_files_are_refused(tmp_path: Path, case: str) -> None:
    path = write_dedup(tmp_path / "a.train", [b"abc", b"defghi"])
    message, spoil = DEDUP_BAD[case]
    size = tmp_path / "a.train.size"
    size.write_bytes(spoil(size.read_bytes()))
    with pytest.raises(InputError, match=message):
        Corpus.open(path)


def test_damaged_dedup_files_open_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    path = write_dedup(tmp_path / "d" / "a.train", [b"abc", b"", b"defghi"])
    size = tmp_path / "d" / "a.train.size"
    original = size.read_bytes()
    rng = np.random.default_rng(1)
    refused = open_damaged(path, 60, seed=1)
    for _ in range(60):
        size.write_bytes(damage(rng, original))
        try:
            Corpus.open(path).check()
        except InputError:
            refused += 1
    assert refused > 20
