"""Whatever holds tokens or text as a corpus: arrays, documents, texts, tensors, tables."""

from __future__ import annotations

import collections
import gc
import itertools
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngramstat import Corpus, InputError, read_losses, tokenize, validate
from ngramstat.corpus.conversion import as_corpus
from ngramstat.errors import InputTypeError

DOCUMENTS = [[1, 2, 3], [4, 5], [6]]
ENDS = [3, 5, 6]


def content(corpus: Corpus) -> tuple[list[int], list[int] | None]:
    ends = None if corpus.document_ends is None else corpus.document_ends.tolist()
    return corpus.tokens.tolist(), ends


class Tensor:
    """What a tensor of torch can do, as far as it matters here."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("this tensor is on a GPU")


class Dataset:
    """What a Hugging Face dataset can do, as far as it matters here."""

    def __init__(self, table: Any, names: Any = True) -> None:
        self.table = table
        self.column_names = table.column_names if names is True else names

    def with_format(self, kind: str) -> Dataset:
        assert kind == "arrow"
        return self

    def iter(self, batch_size: int) -> Any:
        for start in range(0, len(self.table), 2):  # smaller than asked for: several batches
            yield self.table.slice(start, 2)

    def __iter__(self) -> Any:
        return iter(self.table.to_pylist())


STREAMS: dict[str, Any] = {
    "list": [1, 2, 3],
    "range": range(1, 4),
    "iterator": iter([1, 2, 3]),
    "int64": np.array([1, 2, 3]),
    "int8": np.array([1, 2, 3], np.int8),
    "uint16": np.array([1, 2, 3], np.uint16),
    "uint64": np.array([1, 2, 3], np.uint64),
    "big endian": np.array([1, 2, 3], ">i4"),
    "NumPy integers": [np.int32(1), np.int32(2), np.int32(3)],
    "tensor": Tensor([1, 2, 3]),
}
LISTS: dict[str, Any] = {
    "lists": DOCUMENTS,
    "iterator": iter(DOCUMENTS),
    "arrays": [np.array(d, np.uint16) for d in DOCUMENTS],
    "mixed types": [np.array([1, 2, 3], np.uint64), (4, 5), Tensor([6])],
    "object array": np.array([*map(np.array, DOCUMENTS)], dtype=object),
    "rows": [{"input_ids": d, "text": "t"} for d in DOCUMENTS],
    "dictionary": {"input_ids": DOCUMENTS, "labels": DOCUMENTS},
    "masked rows": [
        {"input_ids": [*d, 0], "attention_mask": [1] * len(d) + [0]} for d in DOCUMENTS
    ],
    "padded batch": collections.UserDict(
        input_ids=Tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]]),
        attention_mask=Tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]),
    ),
}


@pytest.mark.parametrize("case", STREAMS)
def test_integers_are_a_stream(case: str) -> None:
    corpus = as_corpus(STREAMS[case])
    assert content(corpus) == ([1, 2, 3], None)
    assert corpus.vocab_size == 4
    assert corpus.vocab_size_inferred
    assert "vocabulary 4 inferred" in repr(corpus)


@pytest.mark.parametrize("case", LISTS)
def test_sequences_of_integers_are_documents(case: str) -> None:
    assert content(as_corpus(LISTS[case])) == ([1, 2, 3, 4, 5, 6], ENDS)


def test_rows_of_two_dimensions_are_documents() -> None:
    rows = [[1, 2], [3, 4]]
    for array in (np.array(rows), Tensor(rows), np.asfortranarray(rows)):
        assert content(as_corpus(array)) == ([1, 2, 3, 4], [2, 4])
    assert content(Corpus.from_documents(np.array(rows))) == ([1, 2, 3, 4], [2, 4])


def test_a_single_text_that_a_tokenizer_returned() -> None:
    encoded = {"input_ids": [1, 2, 0], "attention_mask": [1, 1, 0]}
    assert content(as_corpus(encoded)) == ([1, 2], [2])


def test_a_corpus_and_a_path_are_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.array([1, 2, 3], np.uint16))
    corpus = Corpus.open(tmp_path / "tokens.npy")
    assert as_corpus(corpus) is corpus
    for path in (tmp_path / "tokens.npy", str(tmp_path / "tokens.npy")):
        assert content(as_corpus(path)) == ([1, 2, 3], None)
        assert content(as_corpus([path])) == ([1, 2, 3], None)


def test_columns_and_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    assert content(as_corpus(pandas.Series(DOCUMENTS)))[1] == ENDS
    assert content(as_corpus(pandas.Series([1, 2, 3]))) == ([1, 2, 3], None)
    assert content(as_corpus(pandas.DataFrame({"input_ids": DOCUMENTS})))[1] == ENDS
    with pytest.raises(InputTypeError, match="not float64"):
        as_corpus(pandas.Series([1.0, 2.0]))


def test_columns_and_frames_of_polars() -> None:
    polars = pytest.importorskip("polars")
    assert content(as_corpus(polars.Series(DOCUMENTS)))[1] == ENDS
    assert content(as_corpus(polars.Series([1, 2, 3]))) == ([1, 2, 3], None)
    assert content(as_corpus(polars.DataFrame({"input_ids": DOCUMENTS})))[1] == ENDS
    with pytest.raises(InputError, match=r"corpus: a lazy frame; call \.collect\(\)"):
        as_corpus(polars.LazyFrame({"input_ids": DOCUMENTS}))


def test_columns_and_tables_of_arrow() -> None:
    pa = pytest.importorskip("pyarrow")
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.uint16())):
        column = pa.array(DOCUMENTS, kind)
        assert content(as_corpus(column))[1] == ENDS
        assert content(as_corpus(column[1:])) == ([4, 5, 6], [2, 3])
        both = pa.chunked_array([column, column])
        assert content(as_corpus(both))[1] == [3, 5, 6, 9, 11, 12]
        assert content(as_corpus(pa.table({"input_ids": both})))[0] == [1, 2, 3, 4, 5, 6] * 2
    fixed = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2))
    assert content(as_corpus(fixed[1:])) == ([3, 4, 5, 6], [2, 4])
    assert content(as_corpus(pa.chunked_array([[1, 2], [3]]))) == ([1, 2, 3], None)
    for bad, message in (
        ([[1], None], "document 1 is null"),
        ([[1], [None]], "a token of documents 0 to 1 is null"),
        ([1, None], "1 of its tokens are null"),
        ([[1.5]], "not integers"),
        ([True], "a column of bool"),
    ):
        with pytest.raises(InputError, match=f"corpus: .*{message}"):
            as_corpus(pa.array(bad))


def test_hugging_face_datasets(caplog: pytest.LogCaptureFixture) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"text": ["a", "b", "c"], "input_ids": DOCUMENTS})
    assert content(as_corpus(Dataset(table)))[1] == ENDS
    assert content(as_corpus(Dataset(table, names=None)))[1] == ENDS
    masked = table.append_column("attention_mask", pa.array([[1, 1, 1], [1, 0], [1]]))
    with caplog.at_level(logging.INFO, logger="ngramstat"):
        assert content(as_corpus(Dataset(masked))) == ([1, 2, 3, 4, 6], [3, 4, 5])
    assert "1 tokens that attention_mask leaves out are left out" in caplog.text
    with pytest.raises(InputError, match="several splits"):
        as_corpus(Dataset(table, names={"train": [], "test": []}))
    with pytest.raises(InputError, match=r"no column input_ids or text \(its columns: 'body'\)"):
        as_corpus(Dataset(pa.table({"body": ["a"]})))


def test_the_datasets_library_itself() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"input_ids": DOCUMENTS})
    for x in (data, data["input_ids"], data.with_format("torch"), data.to_iterable_dataset()):
        assert content(as_corpus(x))[1] == ENDS
    assert content(as_corpus(data.select([2, 0]))) == ([6, 1, 2, 3], [1, 4])
    with pytest.raises(InputError, match="several splits"):
        as_corpus(datasets.DatasetDict(train=data))


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert content(as_corpus(torch.tensor([1, 2, 3]))) == ([1, 2, 3], None)
    assert content(as_corpus(torch.tensor([[1, 2], [3, 4]])))[1] == [2, 4]
    assert content(as_corpus([torch.tensor(d) for d in DOCUMENTS]))[1] == ENDS
    with pytest.raises(InputTypeError, match="corpus: "):
        as_corpus(torch.tensor([1.0], dtype=torch.bfloat16))


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, TypeError, "needs a Corpus, .*, not None"),
    "a number": (3, TypeError, "not int"),
    "bytes": (b"ab", TypeError, "not bytes"),
    "a set": ({1, 2}, TypeError, "not set"),
    "an object": (object(), TypeError, "not object"),
    "nothing": ([], ValueError, "it is empty"),
    "an empty array": (np.zeros(0, int), ValueError, "holds no tokens"),
    "empty documents": ([[], []], ValueError, "holds no tokens"),
    "floats": (np.array([1.5]), TypeError, "ids are integers, not float64"),
    "whole floats": ([[1.0]], TypeError, "document 0: holds float64, not integers"),
    "truth values": ([True, False], TypeError, "ids are integers"),
    "None inside": ([1, None], TypeError, "ids are integers"),
    "None for a document": ([[1], None], TypeError, "document 1: is None"),
    "a number for a document": ([[1], 2], TypeError, "document 1: is a single number"),
    "a text for a document": ([[1], "a"], TypeError, "document 1: is str"),
    "a number for a text": (["a b", 1], TypeError, "text 1 is int, not a string"),
    "words": ([["the", "cat"]], TypeError, "document 0: holds str"),
    "nested documents": ([[[1]]], TypeError, "document 0: is an array of 2 dimensions"),
    "bytes for documents": ([b"a"], TypeError, "document 0: is bytes"),
    "three dimensions": (np.zeros((2, 2, 2), int), ValueError, "3 dimension"),
    "no dimension": (np.array(3), ValueError, "0 dimension"),
    "a negative id": ([5, -100], ValueError, "token 1 .-100. is negative"),
    "a negative id in a document": ([[5], [-100]], ValueError, "token 1 .-100. is negative"),
    "no vocabulary": ([5_000_000], ValueError, "no tokenizer has a vocabulary that large"),
    "beyond 64 bits": ([[1 << 70]], TypeError, "document 0"),
    "a masked array": (np.ma.masked_array([1, 2], [0, 1]), TypeError, "masked"),
    "another dictionary": ({"a": [1]}, ValueError, "its columns: 'a'"),
    "rows without the column": ([{"input_ids": [1]}, {"x": 1}], ValueError, "item 1 has no"),
    "a mask of another length": (
        {"input_ids": [[1, 2]], "attention_mask": [[1]]}, ValueError, "differ in length",
    ),
    "a text": ("Once upon a time.", ValueError, "a text has to stand in a list"),
    "paths that are not there": (["a.bin", "b.bin"], ValueError, "no file of this name"),
    "paths and texts": ([__file__, "a b"], ValueError, "but not item 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_corpus_is_refused_in_one_sentence(case: str) -> None:
    value, kind, message = REFUSED[case]
    with pytest.raises(kind, match=f"^data: .*{message}") as caught:
        as_corpus(value, "data")
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


@given(
    st.lists(st.lists(st.integers(0, 70_000), max_size=5), min_size=1, max_size=8).filter(any),
    st.sampled_from([None, 70_001]),
)
def test_documents_are_kept_whole(documents: list[list[int]], vocab_size: int | None) -> None:
    corpus = Corpus.from_documents(documents, vocab_size=vocab_size)
    kept = [document for document in documents if document]
    assert corpus.tokens.tolist() == list(itertools.chain(*kept))
    assert corpus.document_ends is not None
    assert corpus.document_ends.tolist() == np.cumsum([len(d) for d in kept]).tolist()
    assert corpus.vocab_size == (vocab_size or max(map(max, kept)) + 1)
    assert corpus.vocab_size_inferred is (vocab_size is None)
    corpus.check()


def test_empty_documents_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ngramstat"):
        Corpus.from_documents([[], [1], []])
    assert "2 documents without tokens were left out" in caplog.text
    assert "vocabulary of 2 inferred" in caplog.text


def test_a_separator_is_appended_or_found() -> None:
    appended = Corpus.from_documents([[1, 2], [], [3]], separator=0)
    assert content(appended) == ([1, 2, 0, 0, 3, 0], [3, 4, 6])
    assert (appended.separator, appended.separator_position) == (0, "after")
    there = Corpus.from_documents([[1, 2, 0], [3, 0]], separator=0)
    assert content(there) == ([1, 2, 0, 3, 0], [3, 5])
    before = Corpus.from_documents([[0, 1, 2], [0, 3]], separator=0)
    assert content(before) == ([0, 1, 2, 0, 3], [3, 5])
    assert before.separator_position == "before"


@pytest.mark.parametrize(
    "documents", [[[1, 0], [2]], [[1], [2, 0]], [[1], [0, 2]], [[0, 1], [2, 0]], [[1, 0, 2, 0]]]
)
def test_a_separator_in_some_documents_only_is_refused(documents: list[list[int]]) -> None:
    with pytest.raises(InputError, match=r"document \d .*leave out separator"):
        Corpus.from_documents(documents, separator=0)


def test_separators_of_an_array_split() -> None:
    after = Corpus.from_arrays([1, 2, 0, 3, 0], separator=0)
    assert content(after)[1] == [3, 5]
    assert after.separator_position == "after"
    before = Corpus.from_arrays([0, 1, 2, 0, 3], separator=0)
    assert content(before)[1] == [3, 5]
    assert before.separator_position == "before"
    told = Corpus.from_arrays([0, 1, 2, 0, 3], separator=0, separator_position="after")
    assert content(told)[1] == [1, 4, 5]
    kept = Corpus.from_arrays([0, 1, 2, 0, 3], separator=0, document_ends=[5])
    assert content(kept)[1] == [5]
    for options, message in (
        ({"separator": 9}, "separator 9: not an id of tokens .0 to 3."),
        ({"separator": 2, "vocab_size": 9, "tokens": [1, 3]}, "never occurs"),
        ({"separator_position": "before"}, "needs the id of the separator; give separator"),
        ({"separator": 0, "separator_position": "around"}, "expected one of before, after"),
    ):
        with pytest.raises(InputError, match=message):
            Corpus.from_arrays(**{"tokens": [0, 1, 2, 0, 3], **options})


def test_texts_are_tokenized_as_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ngramstat import tokenize

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    texts = ["A cat\nsat on a mat. ", "Ü – 猫\u2028", '"quoted" \\ text', "A cat sat."] * 5
    corpus = Corpus.from_texts(iter(texts), vocab_size=300, threads=1)
    for number, text in enumerate(texts):
        (tmp_path / f"{number:02}.txt").write_bytes(text.encode())
    files = tokenize(
        sorted(tmp_path.glob("*.txt")), tmp_path / "corpus", vocab_size=300, document="file",
        threads=1,
    )  # fmt: skip
    assert content(corpus) == content(files)
    assert corpus.path is None
    assert corpus.format == "memory"
    assert corpus.separator == files.separator
    start, end = 0, files.document_ends[0]
    assert "".join(corpus.decode(corpus.tokens[start : end - 1])) == texts[0]
    assert content(as_corpus(texts))[1] is not None
    del corpus
    gc.collect()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_texts_that_cannot_be_tokenized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for texts, message in (
        ("a text", "texts: needs a list of strings"),
        ([], "texts: holds no texts"),
        (["a", None], "texts: text 1 is NoneType"),
        (["a", "b\ud800"], "texts: text 1 has half of a surrogate pair at character 1"),
    ):
        with pytest.raises(InputError, match=message):
            Corpus.from_texts(texts)
    assert list(tmp_path.iterdir()) == []


def test_validate_and_read_losses_take_what_measure_takes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(InputTypeError, match=r"^corpus: needs a Corpus"):
        validate(None, output=tmp_path / "v")
    with pytest.raises(InputTypeError, match=r"^corpus: needs a Corpus"):
        read_losses(tmp_path, None)
    with pytest.raises(InputError, match="the corpus in memory: "):
        validate(np.arange(40) % 7, output=tmp_path / "v", sizes=[1000], contexts=[4])
    with pytest.raises(InputError, match="seed=1 and rng=2"):
        validate([1, 2], output=tmp_path / "v", seed=1, rng=2)


def test_masked_entries_are_no_tokens():
    masked = np.ma.masked_equal(np.arange(10) % 4, 2)
    for make in (Corpus.from_arrays, as_corpus):
        with pytest.raises(InputError, match="a masked array"):
            make(masked)


def test_a_stated_vocabulary_widens_copied_tokens(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(500))
    corpus = Corpus.open(tmp_path / "a.npy", vocab_size=128_256)
    assert corpus.dtype == np.uint32
    assert corpus.tokens.tolist() == list(range(500))


def test_an_empty_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="name of a corpus is empty"):
        Corpus.open("")
    with pytest.raises(InputError, match="name of an input is empty"):
        tokenize([""], tmp_path / "c")
