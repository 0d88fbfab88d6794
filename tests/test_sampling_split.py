"""The held-out split: its size, parts of long documents, gaps, and what is scored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
from designs import design_of
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.kernels import count_pairs
from ngramstat.ngram_models.split_streams import split_streams
from ngramstat.sampling.split import HeldOutSplit


def corpus_of(lengths: list[int], *, vocab_size: int = 50, seed: int = 0) -> ngramstat.Corpus:
    """Independent tokens 1 .. vocab_size - 1 in documents that end with the separator 0."""
    ends = np.cumsum(lengths)
    tokens = np.random.default_rng(seed).integers(1, vocab_size, int(ends[-1])).astype(np.uint16)
    tokens[ends - 1] = 0
    return ngramstat.Corpus.from_arrays(
        tokens, vocab_size=vocab_size, document_ends=ends, separator=0
    )


def split_of(lengths: list[int], held_out: float | None = None, seed: int = 0) -> HeldOutSplit:
    return design_of(corpus_of(lengths), seed=seed).held_out_split(held_out)


def check_split(split: HeldOutSplit, n_tokens: int) -> None:
    """Both sides lie inside their documents and overlap nowhere."""
    seen = np.zeros(n_tokens, np.int64)
    for side in (split.training, split.held_out):
        assert (side.lengths > 0).all()
        assert (side.starts >= side.documents.starts[side.document]).all()
        assert (side.ends <= side.documents.ends[side.document]).all()
        assert (np.diff(side.starts) > 0).all()
        for first, last in zip(side.starts, side.ends, strict=True):
            seen[first:last] += 1
    assert seen.max() == 1


@pytest.mark.parametrize(
    ("n_tokens", "expected"),
    [(200_000, 20_000), (1_000_000, 100_000), (4_000_000, 200_000), (30_000_000, 300_000)],
)
def test_default_size(n_tokens, expected):
    split = split_of([500] * (n_tokens // 500))
    held_out = int(split.held_out.lengths.sum())
    assert expected <= held_out + 500
    assert held_out <= min(expected + 500, n_tokens // 10)
    # Short documents stay whole, and no token is lost.
    assert held_out + int(split.training.lengths.sum()) == n_tokens
    assert not split.held_out.starts_inside.any()
    assert not split.training.ends_inside.any()


def test_a_million_tokens_at_most_are_held_out():
    split = split_of([20_000] * 150, 0.5)
    assert int(split.held_out.lengths.sum()) <= (1 << 20) + 20_000


def test_long_documents_lose_parts_only():
    """98 novels of 150,000 tokens: whole ones would take a fifth of the text."""
    lengths = np.random.default_rng(1).integers(100_000, 200_000, 98).tolist()
    total = sum(lengths)
    split = split_of(lengths)
    check_split(split, total)
    held_out, training = split.held_out, split.training
    assert 200_000 <= held_out.lengths.sum() <= 1.05 * 200_000
    assert training.lengths.sum() >= 0.97 * total
    assert len(held_out) >= 50
    assert len(np.unique(held_out.document)) >= 30
    # Text next to a held-out part does not train.
    for first, last in zip(held_out.starts, held_out.ends, strict=True):
        gap = (last - first) // 4
        inside = (training.starts < last + gap) & (training.ends > first - gap)
        own = training.document[inside] == held_out.document[held_out.starts == first][0]
        assert not own.any()


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 3000), min_size=4, max_size=40),
    held_out=st.none() | st.floats(0.01, 0.5),
    seed=st.integers(0, 100),
)
def test_sides_never_overlap(lengths, held_out, seed):
    split = split_of([*lengths, 2], held_out, seed)
    check_split(split, sum(lengths) + 2)
    assert len(split.held_out) >= 2
    assert split.training.lengths.sum() > 0


@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_what_is_scored_has_the_context_of_the_counts(boundary):
    lengths = [*[40] * 30, 4000, 4000]
    corpus = corpus_of(lengths)
    split = design_of(corpus, boundary=boundary).held_out_split(0.3)
    held_out = split.held_out
    cut = held_out.starts_inside
    assert cut.any()
    assert not cut.all()
    with split_streams(split, boundary=Boundary(boundary), max_context=3) as streams:
        pieces = streams.scored
        scored = pieces.totals(pieces.tokens)
        at_starts = pieces.totals_at_starts(pieces.tokens)
        # A token at a cut has not the context it has in its document; the mark behind a cut is
        # not a token of the document.
        assert np.array_equal(scored, held_out.lengths - 3 * cut)
        if boundary == "stream":
            assert not at_starts.any()
        else:
            assert np.array_equal(at_starts, 3 * ~cut)
        documents = pieces.documents
        scored_tokens = np.concatenate(
            [
                streams.held_out[first:last]
                for first, last in zip(
                    documents.content_starts, documents.content_ends, strict=True
                )
            ]
        )
        spans = zip(held_out.starts + 3 * cut, held_out.ends, strict=True)
        expected = np.concatenate([corpus.tokens[first:last] for first, last in spans])
        assert np.array_equal(scored_tokens, expected)
    losses = held_out_losses(split, max_context=3, boundary=Boundary(boundary))
    assert np.array_equal(losses.tokens, scored)
    assert np.array_equal(losses.tokens_at_starts, at_starts)
    # Independent tokens: every scored token costs about ln 49 nats, wherever it stands.
    if boundary == "document":
        mean = losses.losses_at_starts.sum(axis=0) / at_starts.sum()
        assert mean[0] == pytest.approx(np.log(49), rel=0.1)


def test_copied_documents_are_found_and_gate_the_entropies():
    """Every document twice: independent tokens of 300 types, whose H_n is ln 300 for every n."""
    documents = np.random.default_rng(0).integers(0, 300, (800, 100)).astype(np.uint16)
    ends = np.arange(100, 160_001, 100)
    twice = ngramstat.Corpus.from_arrays(
        np.concatenate([documents, documents]).reshape(-1), vocab_size=300, document_ends=ends
    )
    options = {"max_context": 3, "replicates": 39, "held_out": 0.05, "predictor": "kneser-ney"}
    result = ngramstat.entropies(twice, **options)
    assert result.copy_tokens == 32
    assert result.held_out_copies > 0.8
    assert result.held_out[3] < 1.0
    exact = np.log(300)
    assert not result.resolved[1:].any()
    assert (result.high[1:] <= result.high[0]).all()
    assert (result.low <= exact).all()
    assert (exact - 0.02 <= result.high).all()
    for exponent in (result.gamma, result.gamma_finite):
        assert not exponent.reportable
        assert "duplicate documents" in exponent.reason
    once = ngramstat.Corpus.from_arrays(
        documents.reshape(-1), vocab_size=300, document_ends=ends[:800]
    )
    assert ngramstat.entropies(once, **options).held_out_copies == 0.0


def test_passages_that_recur_by_chance_are_no_copies():
    """A few bits per token: 32 of them recur in any large sample."""
    tokens = (np.random.default_rng(0).random(400_000) < 0.1).astype(np.uint16)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=2)
    result = ngramstat.entropies(corpus, max_context=1, replicates=0, learning_sizes=1)
    assert result.copy_tokens > 400
    assert result.held_out_copies == 0.0
    assert result.resolved[0]


def test_copies_are_a_gate_of_the_prediction():
    documents = np.random.default_rng(0).integers(0, 300, (400, 100)).astype(np.uint16)
    corpus = ngramstat.Corpus.from_arrays(
        np.concatenate([documents, documents]).reshape(-1),
        vocab_size=300,
        document_ends=np.arange(100, 80_001, 100),
    )
    run = ngramstat.measure(
        corpus, lags=[1, 2], max_context=1, replicates=39, predictor="kneser-ney"
    )
    (gate,) = (g for g in run.prediction.gates if g.name == "held-out copies")
    assert gate.passed is False
    assert gate.value > gate.threshold


def test_held_out_text_of_another_kind_bounds_nothing(tmp_path):
    rng = np.random.default_rng(0)
    corpus = corpus_of([100] * 400, vocab_size=300)
    narrow = rng.integers(1, 20, 20_000).astype(np.uint16)
    with ngramstat.corpus.CorpusWriter(
        tmp_path / "other", vocab_size=300, dtype=np.uint16, separator=0
    ) as writer:
        for document in narrow.reshape(-1, 100):
            writer.append(document)
        writer.finish()
    result = ngramstat.entropies(
        corpus, max_context=1, held_out=str(tmp_path / "other"), replicates=39,
        predictor="kneser-ney",
    )  # fmt: skip
    assert result.held_out_high[0] < result.low[0]
    assert not result.resolved.any()
    assert result.high[0] > result.low[0]
    assert "of another kind" in result.gamma.reason


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("boundary", list(Boundary))
def test_the_largest_lag_has_pairs_in_both_halves(boundary, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 60))
    ends = np.unique(np.append(rng.integers(1, n, rng.integers(2, 8)), n))
    tokens = rng.integers(1, 4, n).astype(np.uint16)
    tokens[ends - 1] = 0
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=4, document_ends=ends, separator=0 if seed % 2 else None
    )
    design = design_of(corpus, boundary=boundary, seed=seed)
    possible = []
    for lag in range(1, n + 2):
        (counts,) = count_pairs(tokens, 4, design.documents, [lag])
        parts = [counts.within, counts.across] if boundary.across else [counts.within]
        halves = sum(part.row_sums().sum(axis=1) for part in parts)
        possible.append(bool(min(halves) > 0))
    assert possible == [lag <= design.largest_lag for lag in range(1, n + 2)]
