"""Stores read through entry points (litdata, MDS, Levanter), and plugins that misbehave."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tomllib
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ngramstat.corpus import Corpus, inspect
from ngramstat.corpus.entry_points import READERS, WRITERS, load_plugins
from ngramstat.corpus.formats import Format, OpenOptions, TokenStore, find_format
from ngramstat.errors import InputError
from stores_of_others import (
    DOCUMENTS,
    crc32c,
    ends,
    open_damaged,
    pack,
    stream,
    write_levanter,
    write_litdata,
    write_mds,
    write_zarr,
)

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def declared(group: str) -> list[EntryPoint]:
    """The entry points of pyproject.toml, whether or not that version is installed."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    values = project["entry-points"].get(group, {})
    return [EntryPoint(name, value, group) for name, value in values.items()]


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Replace the installed entry points by those of pyproject.toml and more."""

    def use(*more: EntryPoint) -> None:
        real = importlib.metadata.entry_points

        def entry_points(**options: Any) -> EntryPoints:
            group = options.get("group")
            if group not in (READERS, WRITERS):
                return real(**options)
            return EntryPoints([*declared(group), *(e for e in more if e.group == group)])

        monkeypatch.setattr("ngramstat.corpus.entry_points.importlib.metadata.entry_points",
                            entry_points)  # fmt: skip
        load_plugins.cache_clear()

    use()
    yield use
    load_plugins.cache_clear()


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").compress(data)


def array(ids: Any, dtype: str, code: int | None) -> bytes:
    """MDS's ndarray: type code unless the column states it, rank and width of the shape, shape."""
    head = b"" if code is None else bytes([code])
    return head + bytes([1 << 2 | 0, len(ids)]) + pack(ids, dtype)


STORES = {
    "litdata": lambda d: write_litdata(d),
    "litdata int64 of torch": lambda d: write_litdata(
        d, data_format="no_header_tensor:18", dtype="<i8"),
    "litdata uint16 of NumPy": lambda d: write_litdata(
        d, data_format="no_header_numpy:5", dtype="<u2"),
    "litdata zstd": lambda d: write_litdata(d, compress=zstd),
    "litdata with sizes": lambda d: write_litdata(d, sized=True, compress=zstd),
    "mds": lambda d: write_mds(d),
    "mds ndarray:uint16": lambda d: write_mds(
        d, encoding="ndarray:uint16", encode=lambda ids: array(ids, "<u2", None)),
    "mds ndarray": lambda d: write_mds(
        d, encoding="ndarray", encode=lambda ids: array(ids, "<i4", 33)),
    "mds zstd": lambda d: write_mds(d, compress=zstd),
    "levanter": lambda d: write_levanter(d),
}  # fmt: skip


def make(directory: Path, kind: str) -> Path:
    if kind == "levanter":
        pytest.importorskip("numcodecs")
    return STORES[kind](directory)


@pytest.mark.parametrize("kind", STORES)
def test_rows_are_documents(tmp_path: Path, plugins: Any, kind: str) -> None:
    path = make(tmp_path / "store", kind)
    corpus = Corpus.open(path)
    assert corpus.format == kind.split()[0]
    assert corpus.tokens.tolist() == stream(DOCUMENTS)
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == ends(DOCUMENTS)
    assert Corpus.open(path, format=corpus.format).sha256 == corpus.sha256
    assert inspect(path).description == find_format(corpus.format).description
    packed = Corpus.open(path, rows="packed", separator=9)
    assert packed.document_ends is not None
    assert packed.document_ends.tolist() == [6, 10]  # the stream begins with the separator


@pytest.mark.parametrize("kind", ["litdata", "mds zstd", "levanter"])
def test_directories_of_a_plugin_are_joined(tmp_path: Path, plugins: Any, kind: str) -> None:
    paths = [make(tmp_path / name, kind) for name in ("a", "b")]
    corpus = Corpus.open(paths)
    assert corpus.tokens.tolist() == stream(DOCUMENTS) * 2
    assert corpus.n_documents == 8
    # The files that hold the tokens, with their checksums, are recorded.
    assert len(corpus.info()["shards"]) == 4
    assert len(Corpus.open(paths[0]).info()["shards"]) == 2


def test_mds_bytes_of_another_type(tmp_path: Path, plugins: Any) -> None:
    path = write_mds(tmp_path / "a", [[1, 2, 3, 4], [5, 6, 7, 8]], encode=lambda x: pack(x, "<u2"))
    with pytest.raises(InputError, match=r"no int64 ids.*give dtype"):
        Corpus.open(path)
    assert Corpus.open(path, dtype="uint16").tokens.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(InputError, match="with column"):
        Corpus.open(path, column="ids")
    with pytest.raises(InputError, match="'text' is 'str'; bytes and ndarray"):
        Corpus.open(path, column="text", format="mds")


def test_levanter_rows_across_chunks_and_chunks_not_stored(tmp_path: Path, plugins: Any) -> None:
    pytest.importorskip("numcodecs")
    rng = np.random.default_rng(5)
    documents = [rng.integers(1, 900, n).tolist() for n in rng.integers(0, 30, 40)]
    documents[3] = [0] * 25  # whole inner chunks of the fill value
    corpus = Corpus.open(write_levanter(tmp_path / "a", documents))
    assert corpus.tokens.tolist() == stream(documents)
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == ends(documents)


def test_the_checksum_of_the_fixtures() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the published check value


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def overwrite(path: Path, at: int, data: bytes) -> None:
    blob = bytearray(path.read_bytes())
    blob[at : at + len(data)] = data
    path.write_bytes(blob)


BAD = {
    "litdata encrypted": ("litdata", "is encrypted", lambda d: edit(
        d / "index.json", lambda v: v["config"].update(encryption={"algorithm": "fernet"}))),
    "litdata pickled": ("litdata", "not one-dimensional arrays", lambda d: edit(
        d / "index.json", lambda v: v["config"].update(data_format=["pickle"]))),
    "litdata of several leaves": ("litdata", "2 leaves", lambda d: edit(
        d / "index.json", lambda v: v["config"].update(data_format=["int", "no_header_numpy:5"]))),
    "litdata in frames": ("litdata", "item by item", lambda d: edit(
        d / "index.json", lambda v: v["config"].update(compression_level="batch"))),
    "litdata path": ("litdata", "leads out", lambda d: edit(
        d / "index.json", lambda v: v["chunks"][0].update(filename="../chunk.bin"))),
    "litdata missing chunk": ("litdata", "No such file", lambda d: (d / "chunk-0-1.bin").unlink()),
    "litdata cut": ("litdata", "but the index counts", lambda d: overwrite(
        d / "chunk-0-0.bin", 0, b"") or (d / "chunk-0-0.bin").write_bytes(
        (d / "chunk-0-0.bin").read_bytes()[:-4])),
    "litdata huge count": ("litdata", "table of 1000000 samples", lambda d: edit(
        d / "index.json", lambda v: v["chunks"][0].update(chunk_size=1_000_000))),
    "litdata offsets": ("litdata", "sample offsets do not rise", lambda d: overwrite(
        d / "chunk-0-0.bin", 8, pack([1 << 31], "<u4"))),
    "litdata tokens": ("litdata", "holds 4 tokens, but the index counts 5", lambda d: edit(
        d / "index.json", lambda v: v["chunks"][0].update(dim=5))),
    "litdata huge contents": ("litdata zstd", "not the 4000000000 bytes", lambda d: edit(
        d / "index.json", lambda v: v["chunks"][0].update(chunk_bytes=4_000_000_000))),
    "litdata unknown compression": ("litdata", "compressed with 'lz5'", lambda d: edit(
        d / "index.json", lambda v: v["config"].update(compression="lz5"))),
    "mds version": ("mds", "version 2", lambda d: edit(
        d / "index.json", lambda v: v.update(version=3))),
    "mds pickled": ("mds", "'pkl'; bytes and ndarray", lambda d: edit(
        d / "index.json", lambda v: v["shards"][0].update(column_encodings=["int", "str", "pkl"]))),
    "mds floats": ("mds", "not integers", lambda d: edit(
        d / "index.json", lambda v: v["shards"][0].update(
            column_encodings=["int", "str", "ndarray:float32"]))),
    "mds path": ("mds", "leads out", lambda d: edit(
        d / "index.json", lambda v: v["shards"][0]["raw_data"].update(basename="/etc/passwd"))),
    "mds sizes": ("mds", "do not add up", lambda d: edit(
        d / "index.json", lambda v: v["shards"][0].update(column_sizes=[4, None, None]))),
    "mds samples": ("mds", "table of 3 samples", lambda d: edit(
        d / "index.json", lambda v: v["shards"][0].update(samples=3))),
    "mds shape": ("mds ndarray", "of shape \\[9\\] has 3 values", lambda d: overwrite(
        d / "shard.00000.mds", (d / "shard.00000.mds").read_bytes().index(b"\x21\x04\x03") + 2,
        b"\x09")),
    "levanter unfinished": ("levanter", "unfinished", lambda d: edit(
        d / "shard_ledger.json", lambda v: v.update(is_finished=False))),
    "levanter rows": ("levanter", "holds 4 rows, but shard_ledger.json counts 5", lambda d: edit(
        d / "shard_ledger.json", lambda v: v.update(total_num_rows=5))),
    "levanter tokens": ("levanter", "counts other tokens", lambda d: edit(
        d / "shard_ledger.json", lambda v: v.update(field_counts={"input_ids": 9}))),
    "levanter index": ("levanter", "checksum of its index", lambda d: overwrite(
        d / "input_ids/data/c/0", -10 % (d / "input_ids/data/c/0").stat().st_size, b"\7")),
    "levanter missing shard": ("levanter", "No such file", lambda d: (
        d / "input_ids/data/c/1").unlink()),
    "levanter codec": ("levanter", "cannot be read", lambda d: edit(
        d / "input_ids/data/zarr.json", lambda v: v.update(
            codecs=[{"name": "bytes"}, {"name": "pickle"}]))),
    "levanter huge chunks": ("levanter", "too large to read", lambda d: edit(
        d / "input_ids/data/zarr.json", lambda v: v["codecs"][0]["configuration"].update(
            chunk_shape=[1 << 40]) or v["chunk_grid"]["configuration"].update(
            chunk_shape=[1 << 40]))),
    "levanter blosc": ("levanter", "damaged chunk", lambda d: overwrite(
        d / "input_ids/data/c/0", 4, pack([1 << 30], "<u4"))),
    "levanter without the field": ("levanter", "has no field 'input_ids' or 'tokens'", lambda d: (
        d / "input_ids").rename(d / "labels")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_stores_are_refused(tmp_path: Path, plugins: Any, case: str) -> None:
    kind, message, spoil = BAD[case]
    path = make(tmp_path / "store", kind)
    spoil(path)
    with pytest.raises(InputError, match=message) as caught:
        Corpus.open(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_levanter_ends_that_fall(tmp_path: Path, plugins: Any) -> None:
    pytest.importorskip("numcodecs")
    path = write_levanter(tmp_path / "a")
    offsets = path / "input_ids" / "offsets"
    (offsets / "c" / "0").unlink()
    (offsets / "zarr.json").unlink()
    (offsets / "c").rmdir()
    write_zarr(offsets, [4, 3, 2, 8, 10], "<i8")
    with pytest.raises(InputError, match="do not rise"):
        Corpus.open(path)


DAMAGED = ["litdata", "litdata with sizes", "mds", "mds ndarray", "mds zstd", "levanter"]


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_stores_open_or_are_refused(tmp_path: Path, plugins: Any, kind: str) -> None:
    assert open_damaged(make(tmp_path / "store", kind), 60, seed=1) > 5


@pytest.mark.nightly
@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_stores_many(tmp_path: Path, plugins: Any, kind: str) -> None:
    assert open_damaged(make(tmp_path / "store", kind), 2000, seed=2) > 200


# --- plugins ------------------------------------------------------------------------------------


def test_the_entry_points_of_this_package_load() -> None:
    readers = declared(READERS)
    assert sorted(entry.name for entry in readers) == ["levanter", "litdata", "mds"]
    for entry in readers:
        assert isinstance(entry.load(), Format)
        assert entry.load().name == entry.name


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of another package."""
    module = types.ModuleType("foreign_formats")
    monkeypatch.setitem(sys.modules, "foreign_formats", module)
    return module


def entry(name: str, value: str, group: str = READERS) -> EntryPoint:
    return EntryPoint(name, value, group)


def test_broken_plugins_are_named_and_break_nothing(
    tmp_path: Path, plugins: Any, foreign: types.ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> Any:
        raise RuntimeError("out of\norder")

    foreign.NUMBER = 7  # type: ignore[attr-defined]
    foreign.FAILS = Format("fails", "x", fails, fails)  # type: ignore[attr-defined]
    plugins(
        entry("absent", "no_such_module_anywhere:FORMAT"),
        entry("nothing", "foreign_formats:MISSING"),
        entry("number", "foreign_formats:NUMBER"),
        entry("misnamed", "foreign_formats:FAILS"),
        entry("litdata", "foreign_formats:FAILS"),
        entry("fails", "foreign_formats:FAILS"),
    )
    path = write_mds(tmp_path / "a")
    with caplog.at_level(logging.WARNING):
        assert Corpus.open(path).tokens.tolist() == stream(DOCUMENTS)
        assert Corpus.open(write_litdata(tmp_path / "b")).n_documents == 4
    for name in ("absent", "nothing", "number", "misnamed", "litdata"):
        lines = [r.getMessage() for r in caplog.records if f"the plugin {name!r}" in r.getMessage()]
        assert len(lines) == 1, name
        assert "cannot be used" in lines[0]
    with pytest.raises(InputError, match="'fails' failed with RuntimeError: out of order"):
        Corpus.open(path / "index.json", format="fails")
    with pytest.raises(InputError, match=r"must be auto or one of .*levanter, litdata, mds, fails"):
        Corpus.open(path, format="unknown")


@pytest.mark.parametrize(
    "tokens",
    [
        np.arange(4.0),
        np.arange(4, dtype=np.uint16).reshape(2, 2),
        np.arange(8, dtype=np.uint16)[::2],
        np.array([], dtype=np.uint32),
    ],
    ids=["float64", "2-D", "strided", "empty"],
)
def test_what_a_plugin_returns_is_checked(
    tmp_path: Path, plugins: Any, foreign: types.ModuleType, tokens: Any
) -> None:
    def read(path: Path, options: OpenOptions) -> TokenStore:
        return TokenStore(format="odd", path=path, tokens=tokens)

    foreign.FORMAT = Format(  # type: ignore[attr-defined]
        "odd", "x", lambda path, head: path.suffix == ".odd", read
    )
    plugins(entry("odd", "foreign_formats:FORMAT"))
    (tmp_path / "a.odd").write_bytes(b"x")
    with pytest.raises(InputError, match="the plugin 'odd' returned"):
        Corpus.open(tmp_path / "a.odd")
