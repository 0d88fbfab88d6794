"""One array of tokens from pieces, in bounded memory."""

import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from ngramstat.corpus import token_file
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError


@pytest.fixture(params=["memory", "disk"])
def place(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(token_file, "_IN_MEMORY_BYTES", 8)
    return request.param


def test_pieces_become_one_read_only_array(place):
    rng = np.random.default_rng(0)
    with TokenFileBuilder("x") as builder:
        builder.append([1, 2, 3])
        builder.end_document()
        builder.end_document()
        builder.append_documents(np.array([4, 5, 6], ">i8"), [1, 0, 2])
        big = rng.integers(0, 1 << 16, 1000, dtype=np.int64)
        builder.append(big)
        built = builder.finish()
    assert built.tokens.dtype == np.uint16
    assert built.tokens.tolist() == [1, 2, 3, 4, 5, 6, *big.tolist()]
    assert built.document_ends.tolist() == [3, 4, 6, 1006]
    assert not built.tokens.flags.writeable
    assert not built.document_ends.flags.writeable
    assert isinstance(built.tokens, np.memmap) == (place == "disk")


def test_an_id_that_needs_uint32_converts_what_is_there(place):
    with TokenFileBuilder("x") as builder:
        for piece in ([1, 65535], [65536], [7]):
            builder.append(piece)
        built = builder.finish()
    assert built.tokens.dtype == np.uint32
    assert built.tokens.tolist() == [1, 65535, 65536, 7]
    assert built.document_ends is None


def test_pieces_may_continue_a_document(place):
    with TokenFileBuilder("x", dtype="uint32") as builder:
        builder.append([1, 2])
        builder.append_documents([3, 4, 5], [1, 2])
        built = builder.finish()
    assert built.document_ends.tolist() == [3, 5]
    assert built.tokens.dtype == np.uint32


@pytest.mark.parametrize(
    ("piece", "dtype", "message"),
    [
        ([5, -1], None, r"x: token 3 \(-1\) is negative"),
        ([5, 1 << 32], None, r"x: token 3 \(4294967296\) is above 4294967295"),
        (np.array([1 << 63], np.uint64), None, "is above"),
        ([65536], "uint16", "is above 65535"),
        ([0.5], None, "1 dimension.* of float64"),
        ([[1]], None, "2 dimension"),
        ([True], None, "bool"),
    ],
)
def test_what_is_no_id_is_refused_with_its_place(piece, dtype, message):
    with TokenFileBuilder("x", dtype=dtype) as builder:
        builder.append([1, 2])
        with pytest.raises(InputError, match=message):
            builder.append(piece)


def test_lengths_must_add_up_and_nothing_is_refused():
    with TokenFileBuilder("x") as builder:
        with pytest.raises(InputError, match="do not add up to 3"):
            builder.append_documents([1, 2, 3], [1, 1])
        with pytest.raises(InputError, match="x: holds no tokens"):
            builder.finish()


def test_disk_space_is_checked_first_and_named(monkeypatch, caplog):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"200,000,000 bytes in .*1,000 bytes are free.*TMPDIR"):
        TokenFileBuilder("x", expected_tokens=100_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 40))
    with caplog.at_level(logging.WARNING), TokenFileBuilder("x", expected_tokens=100_000_000) as b:
        b.append([1])
        assert b.finish().tokens.tolist() == [1]
    assert "x: copying the tokens to a temporary file" in caplog.text
    assert "200,000,000 bytes" in caplog.text
