"""Files of a corpus that change while counts, an index or a language model are made of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import save_npz

import ngramstat
from ngramstat import InputError, KneserNeyModel, MixtureModel, NgramIndex, write_ngrams
from ngramstat.corpus.writers import convert
from ngramstat.counts import ngram_source, pair_counting
from ngramstat.index import build as index_build
from ngramstat.kernels.ngram_models import KneserNeyTrainer
from ngramstat.ngram_models.mixture.losses import Mixture

RECORDED = "its tokens have changed since they were written"
TOKENS = np.random.default_rng(0).integers(0, 30, 4000).astype(np.uint16)


def index_in_directory(corpus: ngramstat.Corpus, output: Path) -> NgramIndex:
    return NgramIndex.build(corpus, output, threads=1)


def index_in_memory(corpus: ngramstat.Corpus, output: Path) -> NgramIndex:
    return NgramIndex.build(corpus, threads=1)


def kneser_ney(corpus: ngramstat.Corpus, output: Path) -> None:
    KneserNeyModel.train(corpus, 3, threads=1).save(output)


def mixture(corpus: ngramstat.Corpus, output: Path) -> None:
    MixtureModel.train(corpus, 2, threads=1).save(output)


def ngrams(corpus: ngramstat.Corpus, output: Path) -> None:
    output.mkdir(exist_ok=True)
    write_ngrams(corpus, output / "ngrams.npz", 2, method="suffixes", threads=1)


def pairs(corpus: ngramstat.Corpus, output: Path) -> None:
    output.mkdir(exist_ok=True)
    save_npz(output / "pairs.npz", ngramstat.cooccurrence(corpus, lags=[1], threads=1))


# What is made, and a step in the middle of it.
WORK = {
    index_in_directory: (index_build, "extra_arrays"),
    index_in_memory: (index_build, "extra_arrays"),
    kneser_ney: (KneserNeyTrainer, "train"),
    mixture: (Mixture, "losses"),
    ngrams: (ngram_source, "NgramTable"),
    pairs: (pair_counting, "CooccurrenceRows"),
}


@pytest.fixture(params=["directory", "raw"])
def store(request, tmp_path) -> tuple[ngramstat.Corpus, Path]:
    """A corpus whose checksum is recorded beside it, or nowhere, and the file of its tokens."""
    if request.param == "raw":
        path = tmp_path / "tokens.bin"
        path.write_bytes(TOKENS.tobytes())
        return ngramstat.Corpus.open(path, dtype="uint16", vocab_size=30), path
    convert(ngramstat.Corpus.from_arrays(TOKENS, vocab_size=30), tmp_path / "corpus", "corpus")
    return ngramstat.Corpus.open(tmp_path / "corpus"), tmp_path / "corpus" / "tokens.bin"


def change(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(2 * 1000)
        before = file.read(1)
        file.seek(2 * 1000)
        file.write(bytes([before[0] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, 4096)  # the second half of the pages is no longer there


def disturb(monkeypatch, work, disturbance, path: Path) -> None:
    """Have something done to the file in the middle of the work."""
    place, name = WORK[work]
    step = getattr(place, name)

    def step_and_disturbance(*arguments, **options):
        result = step(*arguments, **options)
        disturbance(path)
        return result

    monkeypatch.setattr(place, name, step_and_disturbance)


@pytest.mark.parametrize("disturbance", [change, truncate])
@pytest.mark.parametrize("work", WORK)
def test_nothing_is_made_of_two_texts(store, tmp_path, monkeypatch, work, disturbance):
    corpus, path = store
    whole = path.read_bytes()
    disturb(monkeypatch, work, disturbance, path)
    what = {change: "has changed", truncate: "was truncated"}[disturbance]
    with pytest.raises(InputError, match=f"{what} since the work on it began"):
        work(corpus, tmp_path / "output")
    output = tmp_path / "output"
    assert not output.exists() or list(output.iterdir()) == []
    # Once the text is what it was, the same call succeeds.
    monkeypatch.undo()
    with open(path, "r+b") as file:
        file.write(whole)
    work(corpus, output)


@pytest.mark.parametrize("work", WORK)
def test_a_file_that_is_only_touched_or_replaced_does_not_matter(
    store, tmp_path, monkeypatch, work
):
    corpus, path = store

    def replace(path: Path) -> None:  # the file that is mapped lives on without its name
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(whole)

    for disturbance in (os.utime, replace):
        with monkeypatch.context() as patches:
            disturb(patches, work, disturbance, path)
            work(corpus, tmp_path / disturbance.__name__)


@pytest.mark.parametrize("work", WORK)
def test_a_corpus_directory_that_was_changed_before_is_refused(tmp_path, work):
    convert(ngramstat.Corpus.from_arrays(TOKENS, vocab_size=30), tmp_path / "corpus", "corpus")
    change(tmp_path / "corpus" / "tokens.bin")
    with pytest.raises(InputError, match=RECORDED):
        work(ngramstat.Corpus.open(tmp_path / "corpus"), tmp_path / "output")
