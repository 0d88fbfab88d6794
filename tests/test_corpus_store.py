"""Corpora in memory and corpus directories: writing, opening, and refusing damaged ones."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngramstat.corpus import Corpus, CorpusWriter, formats, inspect
from ngramstat.errors import InputError, NgramstatError


def write(directory: Path, documents: list[list[int]], **options: Any) -> Corpus:
    with CorpusWriter(directory, 10, separator=0, **options) as writer:
        writer.append_batch(documents)
        return writer.finish()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write(tmp_path / "c", [[1, 2, 3], [], [4, 5]], sources=[{"name": "a.txt", "bytes": 9}])


# --- the directory -----------------------------------------------------------------------------


def test_written_corpus(corpus: Corpus, tmp_path: Path) -> None:
    assert corpus.tokens.tolist() == [1, 2, 3, 0, 0, 4, 5, 0]
    assert corpus.document_ends is not None
    assert corpus.document_ends.dtype == np.int64
    assert corpus.document_ends.tolist() == [4, 5, 8]
    assert (corpus.n_tokens, corpus.n_documents, corpus.vocab_size) == (8, 3, 10)
    assert (corpus.separator, corpus.separator_position) == (0, "after")
    assert not corpus.vocab_size_inferred
    assert corpus.info() == {
        "path": str(tmp_path / "c"),
        "format": "corpus",
        "sha256": hashlib.sha256(corpus.tokens.tobytes()).hexdigest(),
        "tokens": 8,
        "documents": 3,
        "vocab_size": 10,
        "dtype": "uint16",
    }
    assert sorted(os.listdir(tmp_path / "c")) == ["corpus.json", "documents.bin", "tokens.bin"]
    corpus.check(checksum=True)
    assert "8 tokens, 3 documents, vocabulary 10, uint16" in repr(corpus)
    assert "inferred" not in repr(corpus)


def test_tokens_are_mapped_and_read_only(corpus: Corpus) -> None:
    assert isinstance(corpus.tokens, np.memmap)
    assert not corpus.tokens.flags.writeable
    assert corpus.document_ends is not None
    assert not corpus.document_ends.flags.writeable


@settings(deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(1, 69_999), max_size=5), min_size=1, max_size=8),
    vocab=st.sampled_from([70_000, 1 << 32]),
    batch=st.integers(1, 4),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], vocab: int, batch: int
) -> None:
    directory = tmp_path_factory.getbasetemp() / "round"
    with CorpusWriter(directory, vocab, separator=0, overwrite=True) as writer:
        for start in range(0, len(documents), batch):
            writer.append_batch(documents[start : start + batch])
        corpus = writer.finish()
    assert corpus.dtype == np.uint32
    assert corpus.tokens.tolist() == [i for document in documents for i in [*document, 0]]
    assert corpus.document_ends is not None
    lengths = np.diff(corpus.document_ends, prepend=0)
    assert lengths.tolist() == [len(document) + 1 for document in documents]


def test_pieces_become_part_of_the_next_document(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "a", 9, separator=0) as writer:
        writer.append([1])
        writer.write([2, 3])
        writer.write([4])
        writer.append_batch([[5], [6]])
        writer.write([7])
        corpus = writer.finish()
    assert corpus.tokens.tolist() == [1, 0, 2, 3, 4, 5, 0, 6, 0, 7]
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == [2, 7, 9, 10]


def test_a_stream_without_documents(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "a", 9) as writer:
        writer.write(np.array([1, 2, 8], dtype=np.uint8))
        corpus = writer.finish()
    assert corpus.document_ends is None
    assert corpus.n_documents == 0
    assert corpus.documents_or_blocks(2)[1]
    assert inspect(tmp_path / "a").document_lengths is None


@pytest.mark.parametrize(
    "ids", [[10], [-1], [0], [1.5], [[1]], np.array([1 << 63], np.uint64), [2**70]]
)
def test_writer_refuses_invalid_ids(tmp_path: Path, ids: Any) -> None:
    with CorpusWriter(tmp_path / "a", 10, separator=0) as writer:
        with pytest.raises(InputError):
            writer.append(ids)
        with pytest.raises(InputError):
            writer.write(ids)
    assert not (tmp_path / "a").exists()


def test_writer_refuses_empty_documents_and_corpora(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "a", 10) as writer:
        with pytest.raises(InputError, match="document 0: is empty"):
            writer.append([])
        with pytest.raises(InputError, match="no tokens"):
            writer.finish()


@pytest.mark.parametrize(
    "options",
    [{"vocab_size": 0}, {"vocab_size": 70_000, "dtype": "uint16"}, {"vocab_size": True},
     {"vocab_size": 5, "dtype": "int64"}, {"vocab_size": 5, "separator": 5},
     {"vocab_size": (1 << 32) + 1}],
)  # fmt: skip
def test_writer_refuses_invalid_options(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        CorpusWriter(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("piece", [1, 7, 10, 23, 100])
def test_documents_of_equal_length_in_pieces(tmp_path: Path, piece: int) -> None:
    tokens = np.arange(100) % 9
    with CorpusWriter(tmp_path / "c", 9) as writer:
        for start in range(0, 100, piece):
            writer.write_equal(tokens[start : start + piece], 10)
        corpus = writer.finish()
    assert np.array_equal(corpus.tokens, tokens)
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == list(range(10, 101, 10))


def test_equal_documents_do_not_mix_with_others(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c", 9) as writer:
        writer.append([1, 2, 3])
        with pytest.raises(InputError, match="other lengths"):
            writer.write_equal([1, 2], 2)
    with (
        CorpusWriter(tmp_path / "d", 9, separator=0) as writer,
        pytest.raises(InputError, match="without separators"),
    ):
        writer.write_equal([1, 2], 2)
    with CorpusWriter(tmp_path / "e", 9) as writer:
        writer.write_equal([1, 2, 3, 4, 5], 2)  # the last document is cut short, not dropped
        corpus = writer.finish()
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == [2, 4, 5]


def test_overwriting_needs_the_option_and_an_interruption_keeps_the_old_corpus(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a", [[1, 1]], tokenizer=b"{}")
    with pytest.raises(InputError, match="overwrite=True"):
        write(tmp_path / "a", [[2]])

    def interrupted() -> None:
        with CorpusWriter(tmp_path / "a", 10, separator=0, overwrite=True) as writer:
            writer.append([3])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert Corpus.open(tmp_path / "a").tokens.tolist() == [1, 1, 0]
    old = Corpus.open(tmp_path / "a")
    assert write(tmp_path / "a", [[4]], overwrite=True).tokens.tolist() == [4, 0]
    assert old.tokens.tolist() == [1, 1, 0]  # its mapping outlives the replacement
    assert sorted(os.listdir(tmp_path / "a")) == ["corpus.json", "documents.bin", "tokens.bin"]


def test_a_killed_run_leaves_an_unfinished_corpus_that_the_next_run_replaces(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys; from ngramstat.corpus import CorpusWriter\n"
        "w = CorpusWriter(sys.argv[1], 10, separator=0); w.append([1]); os._exit(9)"
    )
    path = tmp_path / "a"
    source = str(Path(formats.__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == 9
    with pytest.raises(InputError, match="unfinished"):
        Corpus.open(path)
    assert write(path, [[2]]).tokens.tolist() == [2, 0]
    (path / "corpus.json").unlink()
    with pytest.raises(InputError, match="unfinished"):
        Corpus.open(path)
    assert write(path, [[3]]).tokens.tolist() == [3, 0]


def test_writer_refuses_directories_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        CorpusWriter(tmp_path / "file", 10, overwrite=True)
    with pytest.raises(InputError, match="other files"):
        CorpusWriter(tmp_path / "other", 10, overwrite=True)
    with pytest.raises(InputError, match="cannot be"):
        CorpusWriter(tmp_path / "file" / "below", 10)


def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NgramstatError, match="No space left"):
        write(tmp_path / "a", [[1]])
    assert not (tmp_path / "a").exists()


# --- opening untrusted directories --------------------------------------------------------------


def change(corpus: Corpus, **values: Any) -> None:
    assert corpus.path is not None
    path = corpus.path / "corpus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", "ngramstat.corpus/2"), ("schema", None), ("extra", 1), ("tokens", 7),
        ("tokens", 0), ("tokens", True), ("tokens", 8.0), ("tokens", 1 << 70), ("tokens", -8),
        ("vocab_size", 0), ("vocab_size", 65_537), ("vocab_size", "10"), ("dtype", "uint32"),
        ("dtype", "int16"), ("dtype", ["uint16"]), ("documents", 2), ("documents", 9),
        ("documents", -1), ("separator", 10), ("separator", "0"), ("separator", None),
        ("separator_position", "between"), ("separator_position", None), ("separator_position", []),
        ("tokenizer", "../../etc/passwd"), ("tokenizer", "tokenizer.json"), ("tokenizer", {}),
        ("tokenizer_sha256", "0" * 64), ("sha256", "0"), ("sha256", None), ("sources", {}),
        ("sources", [{"name": "a"}]), ("sources", [1]), ("created_by", None),
        ("sources", [{"name": "a", "bytes": -1}]), ("sources", [{"name": "a", "bytes": 1, "x": 1}]),
        ("sources", [{"name": "a", "bytes": 1, "sha256": 5}]),
    ],
)  # fmt: skip
def test_invalid_metadata_is_refused(corpus: Corpus, field: str, value: Any) -> None:
    change(corpus, **{field: value})
    assert corpus.path is not None
    with pytest.raises(InputError, match=str(corpus.path)):
        Corpus.open(corpus.path)


def test_missing_fields_and_files_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    assert corpus.path is not None
    (corpus.path / "documents.bin").unlink()
    with pytest.raises(InputError, match=r"documents\.bin"):
        Corpus.open(corpus.path)
    (corpus.path / "corpus.json").write_text('{"schema": "ngramstat.corpus/1"}')
    with pytest.raises(InputError, match="'created_by' is missing"):
        Corpus.open(corpus.path)
    (corpus.path / "corpus.json").write_text("[]")
    with pytest.raises(InputError, match="not a JSON object"):
        Corpus.open(corpus.path)
    with pytest.raises(InputError, match="not a corpus directory"):
        Corpus.open(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        Corpus.open(tmp_path / "nothing")


@pytest.mark.parametrize("ends", [[4, 4, 8], [0, 5, 8], [4, 5, 7], [5, 4, 8], [-1, 5, 8]])
def test_invalid_document_ends_are_refused(corpus: Corpus, ends: list[int]) -> None:
    assert corpus.path is not None
    np.array(ends, "<i8").tofile(corpus.path / "documents.bin")
    with pytest.raises(InputError, match=r"documents\.bin"):
        Corpus.open(corpus.path)


def test_options_that_contradict_the_corpus_are_refused(corpus: Corpus) -> None:
    assert corpus.path is not None
    Corpus.open(corpus.path, dtype="uint16", vocab_size=10, separator=0, format="corpus")
    for options in ({"dtype": "uint32"}, {"vocab_size": 11}, {"separator": 1}, {"format": "raw"},
                    {"format": "x"}, {"dtype": "float"}, {"separator": "0"}):  # fmt: skip
        with pytest.raises(InputError):
            Corpus.open(corpus.path, **options)


def test_check_finds_changed_bytes(corpus: Corpus) -> None:
    assert corpus.path is not None
    with open(corpus.path / "tokens.bin", "r+b") as file:
        file.write(b"\x02")
    changed = Corpus.open(corpus.path)
    changed.check()
    with pytest.raises(InputError, match="checksum"):
        changed.check(checksum=True)
    with open(corpus.path / "tokens.bin", "r+b") as file:
        file.seek(6)
        file.write(b"\x0a")
    with pytest.raises(InputError, match="the id 10 at token 3"):
        Corpus.open(corpus.path).check()
    inspection = inspect(corpus.path)
    assert inspection.largest_id == 10
    assert len(inspection.problems) == 1


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_damaged_directories_never_crash(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        damage_and_open(Path(temporary) / "c", data)


def damage_and_open(directory: Path, data: st.DataObject) -> None:
    write(directory, [[1, 2], [3]])
    name = data.draw(st.sampled_from(["corpus.json", "documents.bin", "tokens.bin"]))
    raw = bytearray((directory / name).read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (directory / name).write_bytes(raw)
    with contextlib.suppress(InputError):
        Corpus.open(directory).check(checksum=True)


# --- in memory ---------------------------------------------------------------------------------


def test_from_arrays() -> None:
    tokens = np.array([1, 2, 0, 3, 0], dtype=np.uint32)
    corpus = Corpus.from_arrays(tokens, vocab_size=4, document_ends=[3, 5], separator=0)
    assert np.shares_memory(corpus.tokens, tokens)
    assert tokens.flags.writeable
    assert not corpus.tokens.flags.writeable
    assert corpus.info()["path"] is None
    assert corpus.n_documents == 2
    corpus.check()
    assert Corpus.from_arrays([1, 2], vocab_size=65_536).dtype == np.uint16
    assert Corpus.from_arrays([1, 2], vocab_size=65_537).dtype == np.uint32
    swapped = Corpus.from_arrays(np.array([1, 2], dtype=">u2"), vocab_size=3)
    assert swapped.tokens.tolist() == [1, 2]
    assert swapped.dtype.isnative
    strided = Corpus.from_arrays(np.arange(10, dtype=np.uint16)[::2], vocab_size=10)
    assert strided.tokens.flags.c_contiguous


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": []}, {"tokens": [[1]]}, {"tokens": [1.0]}, {"tokens": [4]}, {"tokens": [-1]},
        {"tokens": [1], "document_ends": []}, {"tokens": [1], "document_ends": [2]},
        {"tokens": [1, 1], "document_ends": [1, 1]}, {"tokens": [1], "document_ends": [1.0]},
        {"tokens": [1], "separator": 4}, {"tokens": [1], "separator": True},
        {"tokens": [1], "vocab_size": 0}, {"tokens": [1], "vocab_size": 2.0},
        {"tokens": np.array([1], np.uint16), "vocab_size": 70_000},
    ],
)  # fmt: skip
def test_from_arrays_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Corpus.from_arrays(**{"vocab_size": 4, **options})


@given(tokens=st.integers(1, 300), blocks=st.integers(1, 400))
def test_blocks_are_equal_and_cover_the_stream(tokens: int, blocks: int) -> None:
    corpus = Corpus.from_arrays(np.zeros(tokens, np.uint16), vocab_size=1)
    ends, is_blocks = corpus.documents_or_blocks(blocks)
    assert is_blocks
    sizes = np.diff(ends, prepend=0)
    assert sizes.size == min(blocks, tokens)
    assert ends[-1] == tokens
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_documents_are_used_if_there_are_two() -> None:
    two = Corpus.from_arrays([1, 2], vocab_size=3, document_ends=[1, 2])
    assert two.documents_or_blocks()[0].tolist() == [1, 2]
    assert not two.documents_or_blocks()[1]
    one = Corpus.from_arrays([1, 2], vocab_size=3, document_ends=[2])
    assert one.documents_or_blocks()[1]


def test_decoding_needs_a_tokenizer() -> None:
    corpus = Corpus.from_arrays([1, 2], vocab_size=3)
    with pytest.raises(InputError, match="no tokenizer"):
        corpus.decode([1])


def test_importing_loads_no_heavy_package() -> None:
    code = (
        "import sys; import ngramstat.corpus\n"
        "heavy = {'scipy', 'torch', 'matplotlib', 'click', 'tokenizers', 'pandas', 'tqdm', "
        "'pyarrow', 'zstandard'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(formats.__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
