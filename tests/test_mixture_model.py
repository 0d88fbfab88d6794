"""The mixture as a language model: the numbers of `measure`, whatever else is scored."""

from __future__ import annotations

import numpy as np
import pytest

import ngramstat
from designs import design_of, split_of
from ngramstat import InputError, MixtureModel, load_model
from ngramstat.boundary import Boundary
from ngramstat.ngram_models.mixture import mixture_losses, tuning_slice, tuning_split
from ngramstat.ngram_models.split_streams import split_streams
from ngramstat.sampling.split import HeldOutSplit
from test_entropy_mixture import classed_tokens

SIZE = 24


def corpus_of(kind: str, n: int = 5000, seed: int = 0) -> ngramstat.Corpus:
    tokens = classed_tokens(np.random.default_rng(seed), n, SIZE).astype(np.int64) + 1
    parts = [part for part in np.split(tokens, np.arange(60, n, 60)) if len(part)]
    if kind == "stream":
        return ngramstat.Corpus.from_documents(parts, vocab_size=SIZE + 1)
    return ngramstat.Corpus.from_documents(
        parts, vocab_size=SIZE + 1, separator=0 if kind == "after" else None
    )


def boundary_of(kind: str) -> str:
    return "stream" if kind == "stream" else "document"


@pytest.mark.parametrize("kind", ["stream", "none", "after"])
def test_losses_are_those_of_measure(kind, monkeypatch):
    boundary = boundary_of(kind)
    training, held_out = corpus_of(kind), corpus_of(kind, 1500, seed=1)
    designs = [design_of(corpus, boundary=boundary) for corpus in (training, held_out)]
    split = HeldOutSplit(
        *(
            type(split_of(design, 0.1).training).of_documents(
                design.corpus, design.documents, np.arange(len(design.documents))
            )
            for design in designs
        )
    )
    with split_streams(split, boundary=Boundary(boundary), max_context=3) as streams:
        expected = mixture_losses(tuning_split(streams, 0), max_context=3).losses
    model = MixtureModel.train(training, 4, boundary=boundary)
    result = model.perplexity(held_out)
    np.testing.assert_allclose(result.losses, expected[:, -1], rtol=1e-12)
    assert (model.order, model.vocab_size) == (4, SIZE + 1)
    # Neither pieces nor what else is scored changes a probability.
    log_probs = model.log_probs(held_out)
    monkeypatch.setattr(tuning_slice, "PIECE_TOKENS", 150)
    assert np.array_equal(model.log_probs(held_out), log_probs)
    end = int(held_out.document_ends[1])
    first = ngramstat.Corpus.from_arrays(
        held_out.tokens[:end], vocab_size=SIZE + 1, separator=held_out.separator,
        document_ends=held_out.document_ends[:2],
    )  # fmt: skip
    assert np.array_equal(model.log_probs(first), log_probs[:end])
    assert np.array_equal(
        MixtureModel.train(training, 4, boundary=boundary, threads=2).log_probs(first),
        log_probs[:end],
    )


@pytest.mark.parametrize("kind", ["stream", "none", "after"])
def test_next_tokens_are_a_distribution(kind):
    corpus = corpus_of(kind, 3000)
    model = MixtureModel.train(corpus, 3, boundary=boundary_of(kind))
    tokens = corpus.tokens[:50].astype(np.int64)
    stop = [] if model.stop_token is None else [model.stop_token]
    log_probs = model.log_probs(corpus)
    contexts = [[*stop, *tokens[:i].tolist()][-2:] for i in (2, 5, 20)]
    if stop:
        contexts.append([*stop, int(tokens[0])])
    rows = model.next_log_probs(contexts)
    assert rows.shape == (len(contexts), SIZE + 1)
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1, atol=1e-5)
    for i, row in zip((2, 5, 20), rows, strict=False):
        assert row[tokens[i]] == pytest.approx(log_probs[i], abs=1e-12)
    drawn = model.sample(4, seed=1, prompt=tokens[:3], num_samples=2)
    assert all(len(row) == 4 or row[-1] == model.stop_token for row in drawn)
    with pytest.raises(InputError, match="a mixture needs 2, or the stop token"):
        model.next_log_probs([[1]])
    with pytest.raises(InputError, match="is not in the vocabulary"):
        model.next_log_probs([[1, SIZE + 5]])


def test_a_file_gives_the_same_numbers_or_one_error(tmp_path):
    corpus, held_out = corpus_of("after", 3000), corpus_of("after", 300, seed=1)
    model = MixtureModel.train(corpus, 3)
    expected = model.log_probs(held_out)
    path = tmp_path / "lm.mixture"
    model.save(path)
    again = MixtureModel.load(path, corpus=corpus)
    assert np.array_equal(again.log_probs(held_out), expected)
    assert again.better == model.better
    with pytest.raises(InputError, match="its corpus was in memory; give it"):
        load_model(path)
    with pytest.raises(InputError, match="was trained on another corpus"):
        MixtureModel.load(path, corpus=held_out)
    # From files, which may change.
    place = tmp_path / "corpus.bin"
    corpus.tokens.astype("<u2").tofile(place)
    stored = ngramstat.Corpus.open(place, dtype="uint16", vocab_size=SIZE + 1, separator=0)
    MixtureModel.train(stored, 3).save(path)
    assert np.array_equal(load_model(path).log_probs(held_out), expected)
    changed = corpus.tokens.astype("<u2")
    changed[0] = 1 + changed[0] % SIZE
    changed.tofile(place)
    with pytest.raises(InputError, match="or that has changed"):
        load_model(path)
    place.unlink()
    with pytest.raises(InputError, match="its corpus cannot be opened"):
        load_model(path)


def test_damaged_files_are_refused(tmp_path):
    corpus = corpus_of("after", 1500)
    path = tmp_path / "lm.mixture"
    MixtureModel.train(corpus, 2).save(path)
    good = path.read_bytes()
    arrays = dict(np.load(path))
    for name in ("leaf_of", "split", "class_maps", "discounts", "weights-0-0-0-0", "about"):
        for change in (lambda a: a[..., :-1], lambda a: a.astype(np.float32) * -np.inf, None):
            changed = {k: v for k, v in arrays.items() if k != name}
            if change is not None:
                with np.errstate(invalid="ignore"):
                    changed[name] = change(arrays[name])
                if name.startswith("weights") and changed[name].shape == arrays[name].shape:
                    continue  # weights may be any numbers
                if changed[name].size == 0 and name == "class_maps":
                    continue
            np.savez(tmp_path / "bad.npz", **changed)
            with pytest.raises(InputError, match="damaged"):
                MixtureModel.load(tmp_path / "bad.npz", corpus=corpus)
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(good)
        if rng.random() < 0.3:
            del data[int(rng.integers(1, len(data))) :]
        else:
            data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(data)
        try:
            MixtureModel.load(path, corpus=corpus)
        except InputError:
            continue
