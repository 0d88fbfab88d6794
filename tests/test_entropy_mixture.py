"""The mixture of contexts: a distribution, independent of threads, better than its parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import ngramstat
from designs import design_of, split_of
from ngramstat.boundary import Boundary
from ngramstat.entropy.assembly import with_unscored
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.kernels import Documents
from ngramstat.kernels.mixing import path_lengths
from ngramstat.ngram_models.mixture import (
    MixtureSplit,
    context_patterns,
    expected_depth,
    mixture_cost,
    mixture_losses,
    n_patterns,
    n_patterns_of_tree,
    packed_logits_bytes,
    patterns,
    patterns_of_tree,
    tuning_slice,
    tuning_split,
    tuning_tokens,
)
from ngramstat.ngram_models.mixture.cost import events_at_once
from ngramstat.ngram_models.mixture.token_tree import bisection_tree, embed_tokens
from ngramstat.ngram_models.mixture.trees import N_TREES
from ngramstat.ngram_models.split_streams import ScoredPieces, content_positions, split_streams
from ngramstat.runtime.resources import anonymous_bytes
from ngramstat.runtime.workspace import Workspace


def classed_tokens(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Odd tokens follow even ones, each choosing its successor among three by its class."""
    out = np.zeros(n, np.int64)
    for i in range(1, n):
        kind = (out[i - 1] // 2 + 3 * (out[i - 2] // 4)) % (size // 8)
        out[i] = (kind * 8 + rng.integers(0, 8)) % size
    return out.astype(np.uint16)


def whole(documents: Documents) -> ScoredPieces:
    """Documents that are scored in one piece each."""
    n = len(documents)
    return ScoredPieces(documents, np.arange(n), np.zeros(n, bool))


def every_token(contexts: np.ndarray, size: int) -> tuple[np.ndarray, Documents]:
    """Held-out tokens with every token after every context, and their documents."""
    rows = [[*context, token] for context in contexts for token in range(size)]
    tokens = np.array(rows, np.uint16)
    ends = np.arange(1, len(rows) + 1) * tokens.shape[1]
    return tokens.ravel(), Documents(ends, content_starts=ends - 1, content_ends=ends)


@pytest.mark.parametrize("classed", [False, True])
@pytest.mark.parametrize("stop", [None, 40])
def test_probabilities_sum_to_one(classed, stop, monkeypatch):
    if classed:
        monkeypatch.setattr(context_patterns, "_MIN_VOCAB_WITH_CLASSES", 8)
    rng = np.random.default_rng(1)
    size, order = 40, 4
    training = classed_tokens(rng, 4000, size)
    if stop is not None:
        training[::50] = stop
    tuning = classed_tokens(rng, 600, size)
    contexts = np.concatenate([tuning[:12].reshape(-1, order), rng.integers(0, size, (3, order))])
    held_out, documents = every_token(contexts, size)
    split = MixtureSplit(
        np.concatenate([training, tuning]), 0 if stop is None else 1, 4000, tuning,
        Documents.single(600), held_out, whole(documents), size, stop,
    )  # fmt: skip
    losses = mixture_losses(split, max_context=order).losses
    sums = np.exp(-losses).reshape(len(contexts), size, order).sum(axis=1)
    # Logits are rounded to a grid on which those of a branch and its sibling are opposites.
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)
    again = mixture_losses(split, max_context=order, workspace=Workspace(3)).losses
    assert np.array_equal(losses, again)
    # A small memory budget: tree by tree, and training is read several times.
    small = Workspace(2, memory_limit=anonymous_bytes() * 8 // 7 + 1)
    again = mixture_losses(split, max_context=order, workspace=small).losses
    assert np.array_equal(losses, again)


def test_every_token_is_scored_in_pieces_too(monkeypatch):
    rng = np.random.default_rng(2)
    size = 24
    streams = {n: classed_tokens(rng, n, size) for n in (5000, 900)}
    split = MixtureSplit(
        streams[5000],
        0,
        4600,
        streams[5000][4600:],
        Documents.single(400),
        streams[900],
        whole(Documents(np.arange(100, 901, 100))),
        size,
        None,
    )
    at_once = mixture_losses(split, max_context=2).losses
    monkeypatch.setattr(tuning_slice, "PIECE_TOKENS", 700)
    pieces = mixture_losses(split, max_context=2).losses
    # Discounts are those of the first piece, whose contexts are fewer.
    np.testing.assert_allclose(pieces, at_once, rtol=0.02)
    assert np.all(pieces > 0)


def test_later_pieces_may_contain_tokens_that_the_first_lacks(monkeypatch):
    rng = np.random.default_rng(6)
    size = 24
    training = classed_tokens(rng, 3000, size)
    tuning = np.zeros(200, np.uint16)
    held_out = np.concatenate([np.zeros(300, np.uint16), classed_tokens(rng, 300, size)])
    split = MixtureSplit(
        np.concatenate([training, tuning]), 0, 3000, tuning, Documents.single(200), held_out,
        whole(Documents(np.array([300, 600]))), size, None,
    )  # fmt: skip
    monkeypatch.setattr(tuning_slice, "PIECE_TOKENS", 400)
    losses = mixture_losses(split, max_context=2).losses
    assert np.all(np.isfinite(losses) & (losses > 0))


def test_better_than_kneser_ney_where_classes_matter(monkeypatch):
    monkeypatch.setattr(context_patterns, "_MIN_VOCAB_WITH_CLASSES", 8)
    rng = np.random.default_rng(3)
    size = 256
    tokens = classed_tokens(rng, 60_000, size)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=size, document_ends=np.arange(300, 60_001, 300)
    )
    split = split_of(design_of(corpus), 0.1)
    kneser_ney = held_out_losses(split, max_context=2, boundary=Boundary.STREAM)
    with split_streams(split, boundary=Boundary.STREAM, max_context=2) as texts:
        mixed = mixture_losses(tuning_split(texts, 0), max_context=2)
    losses = mixed.losses
    assert mixed.better.all()
    gain = kneser_ney.losses.sum(axis=0)[1:] - losses.sum(axis=0)
    assert np.all(gain / texts.scored.tokens.sum() > 0.03)  # nats per token; .041 and .053 here
    # A cross-entropy of n tokens stays above the entropy of this source, ln 8.
    assert losses.sum(axis=0)[1] / texts.scored.tokens.sum() > np.log(8)


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("separator", [None, 0])
def test_the_tuning_slice_is_part_of_the_training_tokens(boundary, separator, tmp_path):
    rng = np.random.default_rng(4)
    tokens = rng.integers(1, 50, 20_000).astype(np.uint16)
    ends = np.arange(200, 20_001, 200)
    if separator is not None:
        tokens[ends - 1] = separator
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=50, document_ends=ends, separator=separator
    )
    split = split_of(design_of(corpus, boundary=boundary), 0.1)
    # In memory, and in files where the limit is one byte.
    for workspace in (Workspace(), Workspace(memory_limit=1, directory=tmp_path)):
        with split_streams(
            split, boundary=Boundary(boundary), max_context=2, workspace=workspace
        ) as texts:
            before, ends = texts.training.copy(), texts.training_ends.tolist()
            tuned = tuning_split(texts, 0)
            scored = content_positions(tuned.tuning_documents)
            assert 0.05 * texts.training_tokens < len(scored) < 0.15 * texts.training_tokens
            # All training documents are counted, with the slice at their end.
            documents = [before[a:b].tolist() for a, b in pairwise([texts.first_event, *ends])]
            stays, at = [], texts.first_event
            for document in documents:
                if tuned.training[at : at + len(document)].tolist() == document:
                    stays.append(document)
                    at += len(document)
            assert at == tuned.first_tuning
            slice_ = [document for document in documents if document not in stays]
            assert tuned.training[at:].tolist() == [t for document in slice_ for t in document]
            assert len(stays) + len(slice_) == len(documents) > len(stays)
            tail = tuned.training[tuned.first_tuning :]
            # The slice begins with a stop token of its own.
            begins = 0 if texts.stop_token is None else 1
            assert np.array_equal(tuned.tuning[begins:], tail)
            assert np.array_equal(scored, begins + np.flatnonzero(tail < 50))


def test_a_vocabulary_of_one_token_has_no_loss():
    zeros = np.zeros(50, np.uint16)
    split = MixtureSplit(
        zeros, 0, 0, zeros, Documents.single(50), zeros, whole(Documents.single(50)), 1, None
    )
    losses = mixture_losses(split, max_context=2).losses
    assert np.array_equal(losses, np.zeros((1, 2)))


def test_patterns_come_after_their_parents():
    for n in range(1, 9):
        for classed in (False, True):
            selected = patterns(n, classed=classed)
            names = [p.name for p in selected]
            assert len(set(names)) == len(names)
            assert max(p.length for p in selected) == n
            for i, pattern in enumerate(selected[1:], start=1):
                parent = selected[names.index(pattern.parent)]
                assert names.index(parent.name) < i
                assert parent.length <= pattern.length
            assert [p.length for p in selected] == sorted(p.length for p in selected)
            for tree in range(N_TREES):
                of_tree = [names[i] for i in patterns_of_tree(selected, tree)]
                assert len(of_tree) == n_patterns_of_tree(n, 1 << 12 if classed else 2, tree)
                parents = {p.parent for p in selected if p.name in of_tree} - {None}
                assert parents <= set(of_tree)
            chain = {p.offsets for p in selected if not any(p.letters)}
            assert all(tuple(range(1, m + 1)) in chain for m in range(1, n + 1))


@pytest.mark.parametrize("n_training", [3000, 400_000, 90_000_000])
def test_the_cost_follows_the_sizes_of_the_run(n_training):
    cost = mixture_cost(n_training, 50_000, vocab_size=4096, max_context=5, depth=12)
    tokens = int(tuning_tokens(n_training)) + 50_000
    assert cost.n_patterns == n_patterns(5, 4096)
    assert cost.decisions == 12 * tokens
    largest = max(n_patterns_of_tree(5, 4096, k) for k in range(cost.n_trees))
    assert cost.tree_bytes == packed_logits_bytes(12 * tokens, largest)
    assert cost.bytes_of_trees(1) == cost.tree_bytes
    assert cost.bytes_of_trees(4) == cost.all_trees_bytes <= 4 * cost.tree_bytes
    # In several passes beyond that.
    assert cost.event_bytes == 8 * min(n_training, max(1 << 25, n_training // 8))
    # In the smallest budget one tree fits at a time, so that training is read for each of them.
    assert cost.trees_at_once(None) == cost.trees_at_once(5 * cost.min_budget) == 4
    assert cost.trees_at_once(3 * cost.min_budget) == 2
    assert cost.trees_at_once(cost.min_budget) == 1
    assert cost.training_passes(None) == cost.n_patterns
    assert cost.training_passes(cost.min_budget) == 4 * cost.n_patterns


def test_events_at_once_take_what_trees_leave():
    assert events_at_once(None, 10**6) == events_at_once(None, 10**8) == 1 << 25
    assert events_at_once(None, 10**9) == 10**9 // 8
    assert events_at_once(1.6e9, 10**9, 1.2e9) == 25_000_000
    # Never less than a quarter of the budget, nor than what a pass is worth.
    assert events_at_once(1.6e9, 10**9, 1.5e9) == 25_000_000
    assert events_at_once(1e6, 10**9) == 1 << 20


def test_the_depth_of_a_tree_is_expected_from_the_occurrences():
    rng = np.random.default_rng(5)
    for power in (0.0, 0.5, 1.0, 1.2):
        weight = np.arange(1, 2001) ** -power
        occurrences = np.ceil(1e6 * weight / weight.sum()).astype(np.int64)
        tree = bisection_tree(rng.standard_normal((2000, 4)), occurrences / occurrences.sum())
        depth = path_lengths(tree) @ occurrences / occurrences.sum()
        assert expected_depth(occurrences) == pytest.approx(depth, abs=1)


def test_a_sample_of_the_held_out_documents_is_scored_where_there_are_many(monkeypatch):
    rng = np.random.default_rng(3)
    tokens = classed_tokens(rng, 6000, 16)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=16, document_ends=np.arange(1, 61) * 100, separator=None
    )
    design = design_of(corpus, boundary=Boundary.DOCUMENT)

    def losses():
        split = split_of(design, 0.2)
        with split_streams(split, boundary=Boundary.DOCUMENT, max_context=2) as streams:
            return mixture_losses(tuning_split(streams, 0), max_context=2)

    everything = losses()
    monkeypatch.setattr(tuning_slice, "MAX_SCORED", 550)
    some = losses()
    assert everything.scored.all()
    assert 5 <= some.scored.sum() <= 6 < len(some.scored)
    assert np.array_equal(some.losses[some.scored], everything.losses[some.scored])
    assert not some.losses[~some.scored].any()


def test_losses_of_documents_that_are_not_scored_come_from_kneser_ney():
    rng = np.random.default_rng(4)
    n, sampled = 4000, 400
    tokens = rng.integers(50, 150, n)
    counted = tokens[:, None] * rng.normal(5.0, 0.5, (n, 1))
    mixed = counted - tokens[:, None] * rng.normal(0.3, 0.05, (n, 1))
    scored = np.zeros(n, bool)
    scored[rng.permutation(n)[:sampled]] = True
    assert np.array_equal(with_unscored(mixed, counted, tokens, np.ones(n, bool)), mixed)
    rows = with_unscored(np.where(scored[:, None], mixed, 0.0), counted, tokens, scored)
    # The sum is that of the control variate and the sample's mean difference.
    difference = (mixed - counted)[scored].sum() / tokens[scored].sum()
    assert rows.sum() == pytest.approx(counted.sum() + difference * tokens.sum())
    assert rows.sum() / tokens.sum() == pytest.approx(mixed.sum() / tokens.sum(), abs=0.01)
    # The error by documents is that of both: of Kneser-Ney's losses, and of the differences, of
    # which there are fewer.
    residuals = rows[:, 0] - rows.sum() / tokens.sum() * tokens
    error = np.sqrt((residuals**2).sum()) / tokens.sum()
    size = np.sqrt((tokens**2).mean()) / tokens.mean()
    expected = size * np.hypot(0.5 / np.sqrt(n), 0.05 / np.sqrt(sampled))
    assert error == pytest.approx(expected, rel=0.05)


def test_tokens_in_similar_contexts_share_a_branch():
    rng = np.random.default_rng(5)
    size = 64
    tokens = np.zeros(40_000, np.int64)
    for i in range(1, len(tokens)):
        # Tokens of one remainder modulo 4 follow those of the remainder before.
        group = (tokens[i - 1] % 4 + 1) % 4
        tokens[i] = group + 4 * rng.integers(0, size // 4)
    embeddings = embed_tokens(tokens.astype(np.uint16), size, 8)
    for points in (embeddings.before, embeddings.after):
        tree = bisection_tree(points, embeddings.frequency)
        classes = tree.classes(2)
        assert classes.max() == 3
        for c in range(4):
            assert len(set((np.flatnonzero(classes == c) % 4).tolist())) == 1
    assert np.array_equal(np.sort(tree.leaf_of), np.arange(size))
    assert tree.classes(30).max() == size - 1
    assert not tree.classes(0).any()
