"""Parquet, Arrow, save_to_disk and JSON lines of token ids: rows as documents or packed blocks."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ngramstat.corpus import Corpus, inspect
from ngramstat.errors import InputError
from stores_of_others import DOCUMENTS, ends, open_damaged, stream
from test_cli import error, run

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")

LIST_TYPES = {
    "list int32": pa.list_(pa.int32()),
    "list int64": pa.list_(pa.int64()),
    "large_list uint16": pa.large_list(pa.uint16()),
    "list int8": pa.list_(pa.int8()),
    "list uint64": pa.list_(pa.uint64()),
}
STATE = {"_data_files": [{"filename": "data-00000-of-00002.arrow"},
                         {"filename": "data-00001-of-00002.arrow"}]}  # fmt: skip


def id_table(documents: Any = DOCUMENTS, kind: Any = LIST_TYPES["list int32"], **columns: Any):
    names = {"text": ["some text"] * len(documents), **columns}
    return pa.table({"input_ids": pa.array(documents, kind), **names})


def write_stream(path: Path, data: Any, rows: int = 2) -> Path:
    """An Arrow stream, as Hugging Face datasets writes its files, in batches of `rows` rows."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write_table(data, max_chunksize=rows)
    return path


def write_file(path: Path, data: Any) -> Path:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, data.schema) as writer:
        writer.write_table(data, max_chunksize=2)
    return path


def write_parquet(path: Path, data: Any, **options: Any) -> Path:
    pq.write_table(data, path, **{"row_group_size": 3, **options})
    return path


def write_json_lines(path: Path, documents: Any = DOCUMENTS, **fields: Any) -> Path:
    lines = [json.dumps({"id": 1, "input_ids": ids, **fields}) + "\n" for ids in documents]
    path.write_text("".join(lines))
    return path


def write_saved(directory: Path, documents: Any = DOCUMENTS) -> Path:
    """What save_to_disk writes, in two files."""
    directory.mkdir(parents=True)
    half = len(documents) // 2
    for number, part in enumerate((documents[:half], documents[half:])):
        write_stream(directory / f"data-0000{number}-of-00002.arrow", id_table(part))
    (directory / "state.json").write_text(json.dumps(STATE))
    (directory / "dataset_info.json").write_text("{}")
    return directory


WRITERS = {
    "parquet": lambda d: write_parquet(d / "a.parquet", id_table()),
    "parquet without its suffix": lambda d: write_parquet(d / "part-0", id_table()),
    "arrow stream": lambda d: write_stream(d / "a.arrow", id_table()),
    "arrow file": lambda d: write_file(d / "a.arrow", id_table()),
    "feather": lambda d: (feather.write_feather(id_table(), d / "a.feather"), d / "a.feather")[1],
    "feather zstd": lambda d: (
        feather.write_feather(id_table(), d / "z.feather", compression="zstd"), d / "z.feather",
    )[1],
    "hf-dataset": lambda d: write_saved(d / "saved"),
    "jsonl": lambda d: write_json_lines(d / "a.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_are_documents(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path)
    corpus = Corpus.open(path)
    assert corpus.format in kind or corpus.format == "arrow"
    assert corpus.tokens.tolist() == stream(DOCUMENTS)
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == ends(DOCUMENTS)
    assert corpus.dtype == np.uint16
    assert not corpus.tokens.flags.writeable
    assert corpus.notes == ("each row is one document; if rows are blocks, give --rows packed",)
    assert inspect(path).notes == corpus.notes
    packed = Corpus.open(path, rows="packed", separator=9)
    assert packed.tokens.tolist() == stream(DOCUMENTS)
    assert packed.document_ends is not None
    assert packed.document_ends.tolist() == [6, 10]  # the stream begins with the separator


@pytest.mark.parametrize("kind", LIST_TYPES)
def test_lists_of_every_integer_type(tmp_path: Path, kind: str) -> None:
    data = id_table(kind=LIST_TYPES[kind])
    for path in (
        write_parquet(tmp_path / "a.parquet", data),
        write_stream(tmp_path / "a.arrow", data),
    ):
        assert Corpus.open(path).tokens.tolist() == stream(DOCUMENTS)


def test_large_ids_make_uint32_and_lists_of_fixed_size(tmp_path: Path) -> None:
    documents = [[1, 70_000], [128_000, 2]]
    data = id_table(documents, pa.list_(pa.int32(), 2))
    corpus = Corpus.open(write_parquet(tmp_path / "a.parquet", data))
    assert corpus.dtype == np.uint32
    assert corpus.tokens.tolist() == stream(documents)
    with pytest.raises(InputError, match="token 1 \\(70000\\) is above 65535"):
        Corpus.open(tmp_path / "a.parquet", dtype="uint16")


def test_a_column_can_be_named(tmp_path: Path) -> None:
    data = pa.table({"tokens": pa.array([[1, 2], [3]]), "labels": pa.array([[5], [6, 7, 8]])})
    path = write_parquet(tmp_path / "a.parquet", data)
    assert Corpus.open(path).tokens.tolist() == [1, 2, 3]
    assert Corpus.open(path, column="labels").tokens.tolist() == [5, 6, 7, 8]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"ids": [1, 2], "n": 3}\n\n{"n": 4, "ids": [3]}\n')
    assert Corpus.open(lines, column="ids").tokens.tolist() == [1, 2, 3]
    with pytest.raises(InputError, match=r"its columns are 'ids', 'n'.*with column; .*tokenize"):
        Corpus.open(lines)
    facts = json.loads(
        run("inspect", path, "--column", "labels", "--rows", "packed", "--json").stdout
    )
    assert (facts["tokens"], facts["documents"]) == (4, 0)
    assert facts["notes"] == ["rows are packed, as stated"]


def test_rows_of_one_length_are_taken_for_blocks_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocks = np.arange(40).reshape(10, 4).tolist()
    blocks[3][1] = blocks[6][3] = 0
    path = write_parquet(tmp_path / "a.parquet", id_table(blocks))
    with caplog.at_level(logging.WARNING):
        corpus = Corpus.open(path)
    assert corpus.document_ends is None
    assert "10 rows hold 4 tokens each" in caplog.text
    assert "--rows documents" in corpus.notes[0]
    by_separator = Corpus.open(path, separator=0)
    assert by_separator.document_ends is not None
    assert by_separator.document_ends.tolist() == [13, 27, 40]
    as_documents = Corpus.open(path, rows="documents")
    assert as_documents.n_documents == 10
    # The last block may be shorter; a few rows are no evidence.
    shorter = [*blocks, [1, 2]]
    assert Corpus.open(write_json_lines(tmp_path / "b.jsonl", shorter)).document_ends is None
    assert Corpus.open(write_json_lines(tmp_path / "c.jsonl", blocks[:5])).n_documents == 5
    longer = [*blocks, [1, 2, 3, 4, 5]]
    assert Corpus.open(write_json_lines(tmp_path / "d.jsonl", longer)).n_documents == 11


def test_rows_that_could_be_either_must_be_stated(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"1 of 4 rows hold the separator 9 .*give rows='packed'"):
        Corpus.open(path, separator=9)
    assert Corpus.open(path, separator=9, rows="documents").n_documents == 4
    # At the ends of rows it only marks them.
    marked = write_json_lines(tmp_path / "b.jsonl", [[9, 1, 9], [2, 3, 9], [9]])
    assert Corpus.open(marked, separator=9).n_documents == 3


def test_padding_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    padded = [[9, 1, 2, 0], [3, 0, 0, 0], [0, 0, 5, 6], [0, 0, 0, 0]]
    masks = [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    expected, expected_ends = [9, 1, 2, 3, 5, 6], [3, 4, 6]
    stores = [
        write_parquet(tmp_path / "a.parquet", id_table(padded, attention_mask=masks)),
        write_stream(
            tmp_path / "a.arrow",
            id_table(padded, attention_mask=pa.array(masks, pa.list_(pa.int8()))),
        ),
    ]
    lines = [
        json.dumps({"input_ids": ids, "attention_mask": mask}) + "\n"
        for ids, mask in zip(padded, masks, strict=True)
    ]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    for path in [*stores, tmp_path / "a.jsonl"]:
        caplog.clear()
        corpus = Corpus.open(path)
        assert corpus.tokens.tolist() == expected
        assert corpus.document_ends is not None
        assert corpus.document_ends.tolist() == expected_ends
        assert "10 tokens of padding (attention_mask 0) were left out, 6 tokens remain" in (
            caplog.text
        )
        assert "1 of 4 rows are empty" in caplog.text
    masks[0] = [1, 0, 1, 0]
    with pytest.raises(InputError, match="row 0: attention_mask hides tokens between others"):
        Corpus.open(write_parquet(tmp_path / "b.parquet", id_table(padded, attention_mask=masks)))
    masks[0] = [1, 1, 1]
    with pytest.raises(InputError, match="row 0 has 4 tokens, but another number of values"):
        Corpus.open(write_parquet(tmp_path / "c.parquet", id_table(padded, attention_mask=masks)))


def test_compressed_json_lines(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    data = write_json_lines(tmp_path / "a.jsonl").read_bytes()
    for name, blob in {
        "a.jsonl.gz": gzip.compress(data),
        "a.jsonl.xz": lzma.compress(data),
        "a.jsonl.bz2": bz2.compress(data),
        "a.jsonl.zst": zstandard.compress(data),
    }.items():
        (tmp_path / name).write_bytes(blob)
        assert Corpus.open(tmp_path / name).tokens.tolist() == stream(DOCUMENTS)
        (tmp_path / name).write_bytes(blob[:-6])
        with pytest.raises(InputError, match="damaged or truncated"):
            Corpus.open(tmp_path / name)


def test_a_dataset_in_the_order_of_its_state(tmp_path: Path) -> None:
    directory = write_saved(tmp_path / "saved")
    turned = {"_data_files": STATE["_data_files"][::-1]}
    (directory / "state.json").write_text(json.dumps(turned))
    assert Corpus.open(directory).tokens.tolist() == stream([*DOCUMENTS[2:], *DOCUMENTS[:2]])


def test_splits_and_shards_are_joined(tmp_path: Path) -> None:
    splits = [write_saved(tmp_path / name) for name in ("train", "test")]
    corpus = Corpus.open(splits)
    assert corpus.tokens.tolist() == stream(DOCUMENTS) * 2
    assert corpus.n_documents == 8
    assert len(corpus.info()["shards"]) == 4
    (tmp_path / "parts").mkdir()
    for number in range(2):
        write_parquet(tmp_path / "parts" / f"train-0000{number}.parquet", id_table())
    # The ids of one shard need more bits than those of the other.
    write_parquet(tmp_path / "parts" / "train-00002.parquet", id_table([[70_000]]))
    corpus = Corpus.open(tmp_path / "parts")
    assert corpus.tokens.tolist() == [*stream(DOCUMENTS) * 2, 70_000]
    assert corpus.dtype == np.uint32
    assert corpus.n_documents == 9


def test_a_dataset_dict_asks_for_a_split(tmp_path: Path) -> None:
    write_saved(tmp_path / "all" / "train")
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    message = error("inspect", tmp_path / "all")
    assert "holds the splits train, test; name one" in message
    assert run("inspect", tmp_path / "all" / "train").exit_code == 0


def test_many_batches_and_long_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are cut into pieces of bounded size without losing any."""
    monkeypatch.setattr("ngramstat.corpus.formats.arrow_rows.BATCH_TOKENS", 50)
    monkeypatch.setattr("ngramstat.corpus.formats.json_rows.BATCH_TOKENS", 50)
    rng = np.random.default_rng(3)
    documents = [rng.integers(0, 1000, n).tolist() for n in rng.integers(0, 120, 200)]
    documents[7] = rng.integers(0, 1000, 700).tolist()
    for path in (
        write_parquet(tmp_path / "a.parquet", id_table(documents), row_group_size=64),
        write_stream(tmp_path / "a.arrow", id_table(documents), rows=150),
        write_json_lines(tmp_path / "a.jsonl", documents),
    ):
        corpus = Corpus.open(path)
        assert corpus.tokens.tolist() == stream(documents)
        assert corpus.document_ends is not None
        assert corpus.document_ends.tolist() == ends(documents)
        assert "rows are empty and were left out" in corpus.notes[-1]


BAD = {
    "a null row": ("is null, not a list", lambda d: write_parquet(
        d / "a.parquet", id_table([[1], None]))),
    "a null token": ("a token is null", lambda d: write_stream(
        d / "a.arrow", id_table([[1, None], [2]]))),
    "a negative id": ("token 2 \\(-3\\) is negative", lambda d: write_parquet(
        d / "a.parquet", id_table([[1, 2], [-3]]))),
    "text": ("no column of token ids.*'text'.*tokenize", lambda d: write_parquet(
        d / "a.parquet", pa.table({"text": ["a", "b"]}))),
    "floats": ("not lists of integers", lambda d: write_parquet(
        d / "a.parquet", pa.table({"input_ids": [[1.0]]}))),
    "no lists": ("not lists of integers", lambda d: write_stream(
        d / "a.arrow", pa.table({"input_ids": [1, 2]}))),
    "no rows": ("holds no tokens", lambda d: write_parquet(d / "a.parquet", id_table([]))),
    "two columns of one name": ("2 columns named", lambda d: write_file(
        d / "a.arrow", pa.table([pa.array([[1]]), pa.array([[2]])], ["input_ids"] * 2))),
    "json: text": ("no column of token ids.*tokenize", lambda d: _text(d, '{"text": "a"}')),
    "json: a string": ("is str, not a list", lambda d: _text(d, '{"input_ids": "a"}')),
    "json: null": ("is null, not a list", lambda d: _text(d, '{"input_ids": null}')),
    "json: floats": ("something else than integer", lambda d: _text(d, '{"input_ids": [1, 2.0]}')),
    "json: true": ("something else than integer", lambda d: _text(d, '{"input_ids": [1, true]}')),
    "json: nested": ("something else than integer", lambda d: _text(d, '{"input_ids": [[1]]}')),
    "json: ragged": ("something else than integer", lambda d: _text(d, '{"input_ids": [1, [1]]}')),
    "json: huge": ("something else than integer", lambda d: _text(d, f'{{"tokens": [{10**30}]}}')),
    "json: long": (":1: not a JSON object", lambda d: _text(d, f'{{"tokens": [{"9" * 5000}]}}')),
    "json: twice": (":1:.*occurs twice", lambda d: _text(d, '{"tokens": [1], "tokens": [2]}')),
    "json: an array": (":1: not a JSON object", lambda d: _text(d, "[[1], [2]]")),
    "json: cut": (":2: not a JSON object", lambda d: _text(d, '{"tokens": [1]}\n{"tokens": [1')),
    "json: a missing field": (":2: has no field", lambda d: _text(d, '{"tokens": []}\n{"n": 1}')),
    "json: some masks": (":2: only some", lambda d: _text(
        d, '{"tokens": [1]}\n{"tokens": [1], "attention_mask": [1]}')),
    "json: masks of other length": (":1: 1 tokens, but 2", lambda d: _text(
        d, '{"tokens": [1], "attention_mask": [1, 1]}')),
    "stream without its end": ("without its end mark", lambda d: _cut(
        write_stream(d / "a.arrow", id_table()), 8)),
    "file without its end": ("damaged or truncated Arrow", lambda d: _cut(
        write_file(d / "a.arrow", id_table()), 8)),
    "parquet without its end": ("not a complete Parquet", lambda d: _cut(
        write_parquet(d / "a.parquet", id_table()), 1)),
    "old feather": ("version 1", lambda d: _bytes(d / "a.feather", b"FEA1" + bytes(20))),
    "state without files": ("lists no data files", lambda d: _state(d, {"_data_files": []})),
    "state with a path": ("is not the name", lambda d: _state(
        d, {"_data_files": [{"filename": "../a.arrow"}]})),
    "state with a file twice": ("twice", lambda d: _state(
        d, {"_data_files": STATE["_data_files"][:1] * 2})),
    "state with an index": ("flatten_indices", lambda d: _state(
        d, {**STATE, "_indices_data_files": [{"filename": "i.arrow"}]})),
    "state with a missing file": ("No such file", lambda d: _state(
        d, {"_data_files": [{"filename": "b.arrow"}]})),
    "a cache": ("name its .arrow files", lambda d: _cache(d)),
}  # fmt: skip


def _text(directory: Path, text: str) -> Path:
    return _bytes(directory / "a.jsonl", text.encode())


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _cut(path: Path, count: int) -> Path:
    return _bytes(path, path.read_bytes()[:-count])


def _state(directory: Path, state: Any) -> Path:
    saved = write_saved(directory / "saved")
    (saved / "state.json").write_text(json.dumps(state))
    return saved


def _cache(directory: Path) -> Path:
    (directory / "dataset_info.json").write_text("{}")
    return directory


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused(tmp_path: Path, case: str) -> None:
    message, write = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        Corpus.open(write(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_column_and_rows_belong_to_tables(tmp_path: Path) -> None:
    (tmp_path / "a.u16").write_bytes(bytes(8))
    assert "has no rows" in error("inspect", tmp_path / "a.u16", "--rows", "packed")
    assert "has no rows" in error("inspect", tmp_path / "a.u16", "--column", "x")
    with pytest.raises(InputError, match="rows 'blocks': must be auto, documents or packed"):
        Corpus.open(tmp_path / "a.u16", rows="blocks")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_rows_open_or_are_refused(tmp_path: Path, kind: str) -> None:
    assert open_damaged(WRITERS[kind](tmp_path), 60, seed=1) > 5


@pytest.mark.nightly
@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_rows_many(tmp_path: Path, kind: str) -> None:
    assert open_damaged(WRITERS[kind](tmp_path), 2000, seed=2) > 200
