"""Held-out files that record as little as those of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ngramstat
from ngramstat.corpus import Corpus, CorpusWriter, open_held_out
from ngramstat.errors import InputError

RNG = np.random.default_rng(0)
TRAINING = RNG.integers(0, 20, 6000)
HELD_OUT = RNG.integers(0, 20, 1500)


def raw(path: Path, ids: Any, dtype: str = "<u2") -> Path:
    np.asarray(ids, dtype=dtype).tofile(path)
    return path


def with_id(ids: Any, largest: int) -> Any:
    ids = np.array(ids)
    ids[100] = largest
    return ids


def measured(corpus: Corpus, held_out: Any, **options: Any) -> Any:
    return ngramstat.measure(
        corpus, held_out=held_out, lags=(1, 2), max_context=1, replicates=19,
        predictor="kneser-ney", threads=1, **options,
    )  # fmt: skip


def test_an_inferred_vocabulary_becomes_the_larger_one(tmp_path: Path) -> None:
    corpus = Corpus.open(raw(tmp_path / "train.u16", TRAINING))
    path = raw(tmp_path / "val.u16", with_id(HELD_OUT, 25))
    other, together = open_held_out(path, corpus)
    assert (corpus.vocab_size, together.vocab_size, other.vocab_size) == (20, 26, 26)
    assert together.sha256 == corpus.sha256
    assert "26 is used for both" in other.notes[-1]
    result = measured(corpus, path)
    assert result.corpus["vocab_size"] == 26
    assert result.corpus["held_out"]["tokens"] == 1500
    assert result.settings["held_out"] == str(path)
    assert result.entropies.held_out_tokens == 1500
    # What shows fewer ids than the corpus has its vocabulary, without a word.
    small, together = open_held_out(raw(tmp_path / "small.u16", HELD_OUT % 5), corpus)
    assert (small.vocab_size, together, small.notes) == (20, corpus, ())


def test_a_stated_vocabulary_is_kept(tmp_path: Path) -> None:
    corpus = Corpus.open(raw(tmp_path / "train.u16", TRAINING), vocab_size=64)
    other, together = open_held_out(raw(tmp_path / "val.u16", with_id(HELD_OUT, 63)), corpus)
    assert (other.vocab_size, together) == (64, corpus)
    with pytest.raises(InputError, match=r"its largest id is 64, .*train\.u16 \(0 to 63\)"):
        open_held_out(raw(tmp_path / "large.u16", with_id(HELD_OUT, 64)), corpus)


def test_a_recorded_vocabulary_counts_for_both(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "val", 40) as writer:
        writer.append(HELD_OUT)
        writer.finish()
    corpus = Corpus.open(raw(tmp_path / "train.u16", TRAINING))
    other, together = open_held_out(tmp_path / "val", corpus)
    assert (other.vocab_size, together.vocab_size) == (40, 40)
    stated = Corpus.open(tmp_path / "train.u16", vocab_size=50)
    with pytest.raises(InputError, match=r"has 40 items, that of .*50"):
        open_held_out(tmp_path / "val", stated)


@pytest.mark.parametrize("name", ["val.bin", "val"])
def test_dtype_and_separator_are_those_of_the_corpus(tmp_path: Path, name: str) -> None:
    corpus = Corpus.open(
        raw(tmp_path / "train.bin", [0, *TRAINING[1:], 3]), dtype="uint16", separator=0
    )
    assert corpus.separator_position == "before"
    other, _ = open_held_out(raw(tmp_path / name, [5, 0, 6]), corpus)
    assert (other.dtype, other.separator, other.separator_position) == ("uint16", 0, "before")
    assert other.document_ends is not None
    assert other.document_ends.tolist() == [1, 3]
    # A separator that never occurs leaves one document.
    without, _ = open_held_out(raw(tmp_path / name, [5, 6]), corpus)
    assert without.document_ends is not None
    assert without.document_ends.tolist() == [2]
    wide, _ = open_held_out(raw(tmp_path / "val.u32", [5, 6], "<u4"), corpus)
    assert wide.dtype == "uint32"


def test_files_of_other_formats_may_be_held_out(tmp_path: Path) -> None:
    corpus = Corpus.open(raw(tmp_path / "train.u16", TRAINING), separator=7)
    np.save(tmp_path / "val.npy", HELD_OUT)
    other, _ = open_held_out(tmp_path / "val.npy", corpus)
    assert (other.format, other.dtype, other.separator) == ("npy", "uint16", 7)
    for boundary in ("stream", "document"):
        assert measured(corpus, tmp_path / "val.npy", boundary=boundary).entropies is not None
    # The first token is llm.c's separator, but not that of this corpus.
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, 2
    (tmp_path / "val.bin").write_bytes(header.tobytes() + np.array([50256, 1], "<u2").tobytes())
    plain = Corpus.open(raw(tmp_path / "plain.u16", TRAINING))
    assert open_held_out(tmp_path / "val.bin", plain)[0].separator is None


def test_training_text_cannot_be_held_out(tmp_path: Path) -> None:
    first, second = raw(tmp_path / "0.u16", TRAINING), raw(tmp_path / "1.u16", HELD_OUT)
    corpus = Corpus.open([first, second])
    with pytest.raises(InputError, match=r"1\.u16: is held out and part of the corpus"):
        open_held_out(second, corpus)
    copy = raw(tmp_path / "copy.u32", TRAINING, "<u4")
    same = raw(tmp_path / "same.u16", TRAINING)
    with pytest.raises(InputError, match="has the same tokens as the corpus"):
        open_held_out(same, Corpus.open(first))
    with pytest.raises(InputError, match="has the same tokens as the corpus"):
        open_held_out(copy, Corpus.open(first))


def test_an_open_corpus_may_be_held_out(tmp_path: Path) -> None:
    corpus = Corpus.from_arrays(TRAINING, vocab_size=20)
    other = Corpus.from_arrays(HELD_OUT, vocab_size=20)
    result = measured(corpus, other)
    assert result.settings["held_out"] == other.sha256
    assert result.entropies.held_out_tokens == 1500


@pytest.mark.parametrize(("count", "word"), [(1, "token"), (7, "tokens")])
def test_a_corpus_too_short_to_measure_is_named(tmp_path: Path, count: int, word: str) -> None:
    path = raw(tmp_path / "short.u16", TRAINING[:count])
    with pytest.raises(InputError, match=rf"short\.u16: holds {count} {word}; at least 8"):
        ngramstat.measure(Corpus.open(path), lags=(1,))
    with pytest.raises(InputError, match=rf"short\.u16: holds {count} {word}; at least 8"):
        ngramstat.plan(Corpus.open(path))
