"""Files of co-occurrence matrices: each format reads back as the matrix that was counted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

import ngramstat
from ngramstat.cli import main
from ngramstat.counts import mapped_matrix, matrix_files
from ngramstat.counts.token_names import escaped, token_names, unescaped
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.workspace import Workspace

X = (np.random.default_rng(7).zipf(1.4, 4000) % 90).astype(np.uint16)
HARMONIC = {"window": 4, "weights": "harmonic", "symmetric": True}
COUNTS = {"lags": [1, 5]}


@pytest.fixture(params=["whole", "pieces"])
def memory(request, monkeypatch):
    """Also with so little memory that rows are written one by one."""
    if request.param == "pieces":
        monkeypatch.setattr(Workspace, "memory_budget", lambda self, **_: 5000)
        monkeypatch.setattr(matrix_files, "_BLOCK", 7)


@pytest.mark.parametrize("options", [COUNTS, HARMONIC], ids=["counts", "weighted"])
def test_npz(tmp_path, memory, options):
    written = ngramstat.save_cooccurrence(X, tmp_path / "m.npz", **options)
    matrix = sp.load_npz(tmp_path / "m.npz")
    dense = _dense(options)
    assert isinstance(matrix, sp.csr_array)
    assert matrix.dtype == dense.dtype
    assert matrix.indices.dtype == np.int32
    assert (matrix.toarray() == dense).all()
    assert written["entries"] == matrix.nnz == np.count_nonzero(dense)
    assert written["total"] == pytest.approx(dense.sum(), rel=1e-12)
    # What scipy writes holds the same arrays.
    sp.save_npz(tmp_path / "scipy.npz", matrix, compressed=False)
    ours, theirs = np.load(tmp_path / "m.npz"), np.load(tmp_path / "scipy.npz")
    assert set(ours.files) == set(theirs.files)
    for name in theirs.files:
        assert ours[name].dtype == theirs[name].dtype
        assert (ours[name] == theirs[name]).all()


def _dense(options):
    x = X.astype(int)
    by_lag = {}
    for lag in options.get("lags") or range(1, options["window"] + 1):
        table = np.zeros((90, 90), np.uint64)
        np.add.at(table, (x[:-lag], x[lag:]), 1)
        by_lag[lag] = table
    if options.get("weights") != "harmonic":
        return np.sum(list(by_lag.values()), axis=0, dtype=np.uint64)
    total = np.zeros((90, 90))
    for lag, table in by_lag.items():
        total += (1 / lag) * (table + table.T).astype(np.float64)
    return total


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables(tmp_path, memory, kind):
    for options in (COUNTS, HARMONIC):
        path = tmp_path / f"m.{kind}"
        ngramstat.save_cooccurrence(X, path, **options, rows=(3, 80))
        table = pq.read_table(path) if kind == "parquet" else pa.ipc.open_file(path).read_all()
        rows, columns, counts = (table[name].to_numpy() for name in ("row", "column", "count"))
        dense = np.zeros((90, 90), counts.dtype)
        dense[rows, columns] = counts
        expected = _dense(options)
        assert counts.dtype == expected.dtype
        assert (dense[3:80] == expected[3:80]).all()
        assert not dense[:3].any()
        assert not dense[80:].any()
        assert (np.diff(rows.astype(np.int64) * 90 + columns) > 0).all()
        about = json.loads(table.schema.metadata[b"ngramstat"])
        assert about["window"]["lags"] == list(options.get("lags", range(1, 5)))


def test_glove(tmp_path, memory):
    corpus = ngramstat.Corpus.from_texts(["a <unk> b\n\nb a\\b", "b b a"], vocab_size=270)
    ngramstat.save_cooccurrence(corpus, tmp_path / "c.bin", **HARMONIC)
    records = np.fromfile(tmp_path / "c.bin", [("i", "<i4"), ("j", "<i4"), ("x", "<f8")])
    assert (tmp_path / "c.bin").stat().st_size == 16 * len(records)
    matrix = ngramstat.cooccurrence(corpus, **HARMONIC).toarray()
    dense = np.zeros_like(matrix)
    dense[records["i"] - 1, records["j"] - 1] = records["x"]
    assert (dense == matrix).all()
    lines = (tmp_path / "c.bin.vocab.txt").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    names, occurrences = zip(*(line.split() for line in lines), strict=True)
    assert len(set(names)) == corpus.vocab_size
    assert [int(n) for n in occurrences] == np.bincount(
        corpus.tokens, minlength=corpus.vocab_size
    ).tolist()
    known = [token for token, name in enumerate(names) if not name.startswith("\\#")]
    assert [unescaped(names[token]) for token in known] == corpus.decode(known)


def test_mapped(tmp_path, memory):
    for options in (COUNTS, HARMONIC):
        place = tmp_path / f"m{len(options)}"
        ngramstat.save_cooccurrence(X, place, **options, rows=(5, 90))
        matrix = ngramstat.open_cooccurrence(place)
        expected = _dense(options)[5:]
        assert matrix.shape == (85, 90)
        assert matrix.first_row == 5
        assert matrix.dtype == expected.dtype
        assert matrix.nnz == np.count_nonzero(expected)
        assert matrix.window["symmetric"] is ("weights" in options)
        assert (matrix.rows().toarray() == expected).all()
        assert isinstance(matrix.values, np.memmap)
        assert np.shares_memory(matrix.rows().data, matrix.values)
        assert np.shares_memory(matrix.rows().indices, matrix.columns)
        assert (matrix.rows(4, 9).toarray() == expected[4:9]).all()
        assert matrix.rows(4, 4).shape == (0, 90)
        for name in ("indptr", "indices", "data"):
            assert np.load(place / f"{name}.npy").ndim == 1
        assert (np.load(place / "data.npy") == expected[expected > 0]).all()


def test_a_mapped_matrix_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_matrix, "_PIECE_ENTRIES", 50)
    ngramstat.save_cooccurrence(X, tmp_path / "m", **COUNTS)
    pieces = list(ngramstat.open_cooccurrence(tmp_path / "m"))
    assert len(pieces) > 5
    assert sum(part.shape[0] for _, part in pieces) == 90
    for first, part in pieces:
        assert part.shape[0] == 1 or part.nnz <= 50
        assert (part.toarray() == _dense(COUNTS)[first : first + part.shape[0]]).all()


def test_a_mapped_matrix_is_replaced_only_on_request(tmp_path):
    place = tmp_path / "m"
    ngramstat.save_cooccurrence(X, place, to="mapped", **COUNTS)
    with pytest.raises(InputError, match="overwrite"):
        ngramstat.save_cooccurrence(X, place, to="mapped", **HARMONIC)
    ngramstat.save_cooccurrence(X, place, to="mapped", **HARMONIC, overwrite=True)
    assert ngramstat.open_cooccurrence(place).dtype == np.float64
    (place / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        ngramstat.save_cooccurrence(X, place, to="mapped", **COUNTS, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    place = tmp_path / "m"
    ngramstat.save_cooccurrence(X, place, to="mapped", **COUNTS)
    (tmp_path / "m.npz").write_bytes(b"old")
    monkeypatch.setattr(mapped_matrix, "_write_files", fail)
    monkeypatch.setattr(matrix_files, "_read", fail)
    with pytest.raises(NgramstatError, match="No space left"):
        ngramstat.save_cooccurrence(X, place, to="mapped", **HARMONIC, overwrite=True)
    with pytest.raises(NgramstatError, match="No space left"):
        ngramstat.save_cooccurrence(X, tmp_path / "m.npz", **COUNTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.npz"]
    assert (tmp_path / "m.npz").read_bytes() == b"old"
    assert ngramstat.open_cooccurrence(place).dtype == np.uint64


def test_damaged_matrices_are_refused(tmp_path):
    place = tmp_path / "m"
    ngramstat.save_cooccurrence(X, place, to="mapped", **COUNTS)
    whole = {path: path.read_bytes() for path in place.iterdir()}
    expected = ngramstat.open_cooccurrence(place).rows().toarray()
    for path, data in whole.items():
        path.unlink()
        with pytest.raises(InputError, match=path.name):
            ngramstat.open_cooccurrence(place)
        path.write_bytes(data[:-1])
        if path.suffix == ".npy":
            with pytest.raises(InputError, match=path.name):
                ngramstat.open_cooccurrence(place)
        for at in (*range(0, 128, 3), len(data) // 2):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
            # Refused, or a value that may be right: never a crash.
            with contextlib.suppress(InputError):
                matrix = ngramstat.open_cooccurrence(place).rows()
                assert path.name == "matrix.json" or matrix.toarray().shape == expected.shape
        path.write_bytes(data)
    # A column beyond the matrix, which scipy would use as an address.
    data = whole[place / "indices.npy"]
    (place / "indices.npy").write_bytes(data[:-4] + b"\xff\xff\xff\x7f")
    with pytest.raises(InputError, match=r"indices\.npy"):
        ngramstat.open_cooccurrence(place).rows()


def test_paths_that_cannot_be_used(tmp_path):
    for name, options, message in (
        ("m.txt", {}, "does not tell"),
        ("m.npz", {"to": "csv"}, "npz, parquet"),
        ("no/m.npz", {}, "cannot be written"),
        ("no/m", {}, "cannot be written"),
    ):
        with pytest.raises(InputError, match=message):
            ngramstat.save_cooccurrence(X, tmp_path / name, **COUNTS, **options)
    with pytest.raises(InputError, match="load_npz"):
        ngramstat.open_cooccurrence(tmp_path)


def test_names_of_tokens_have_no_blanks_and_read_back():
    texts = [" the", "a\nb", "\\x20", "\u2028", "\U000e0001", "é", "<unk>", "</s>", "\\#1", "\x00"]
    names = [escaped(text) for text in texts]
    assert all(len(name.split()) == 1 and name.isprintable() for name in names)
    assert [unescaped(name) for name in names] == texts
    assert len({*names, "<unk>", "</s>"}) == len(texts) + 2
    assert token_names(["a", "b", "a", "", "\ufffd", "x" * 600], 6) == [
        "\\#0", "b", "\\#2", "\\#3", "\\#4", "\\#5",
    ]  # fmt: skip
    assert token_names(None, 3) == ["0", "1", "2"]


def test_command(tmp_path, capsys):
    X.tofile(tmp_path / "x.bin")
    store = [str(tmp_path / "x.bin"), "--dtype", "uint16", "--vocab-size", "90"]
    output = tmp_path / "m.npz"
    code = main(
        ["counts", "pairs", *store, "--window", "4", "--weights", "harmonic", "--symmetric",
         "-o", str(output), "--json", "--quiet"],
        standalone_mode=False,
    )  # fmt: skip
    assert not code
    about = json.loads(capsys.readouterr().out)
    assert (sp.load_npz(output).toarray() == _dense(HARMONIC)).all()
    assert about["lags"] == [1, 2, 3, 4]
    assert about["total"] == pytest.approx(_dense(HARMONIC).sum())
    main(
        ["counts", "pairs", *store, "--lags", "1,5", "--row-range", "2:4", "--to", "mapped",
         "-o", str(tmp_path / "m"), "--quiet"],
        standalone_mode=False,
    )  # fmt: skip
    assert (
        ngramstat.open_cooccurrence(tmp_path / "m").rows().toarray() == _dense(COUNTS)[2:4]
    ).all()
    done = subprocess.run(
        [sys.executable, "-m", "ngramstat", "counts", "pairs", *store, "-o", str(output)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "Error: give either --lags, such as 1,2,4, or --window, such as 10 for the lags 1 to 10\n"
    )
