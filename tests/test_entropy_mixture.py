"""The mixture of contexts: a distribution, independent of threads, better than its parts."""

from __future__ import annotations

import numpy as np
import pytest

import ngramstat
from designs import design_of, split_of
from ngramstat.boundary import Boundary
from ngramstat.entropy import mixture
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.entropy.mixture import MixtureText, mixture_losses, patterns, tuning_split
from ngramstat.entropy.split_streams import split_streams
from ngramstat.entropy.token_tree import bisection_tree, places
from ngramstat.runtime.resources import anonymous_bytes
from ngramstat.runtime.workspace import Workspace


def classed_text(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Odd tokens follow even ones, each choosing its successor among three by its class."""
    out = np.zeros(n, np.int64)
    for i in range(1, n):
        kind = (out[i - 1] // 2 + 3 * (out[i - 2] // 4)) % (size // 8)
        out[i] = (kind * 8 + rng.integers(0, 8)) % size
    return out.astype(np.uint16)


def every_token(contexts: np.ndarray, size: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """A held-out text that asks for every token after every context, and its documents."""
    rows, documents = [], []
    for context in contexts:
        for token in range(size):
            rows.append([*context, token])
            documents.append([-1] * len(context) + [len(documents)])
    return np.array(rows).astype(dtype).ravel(), np.array(documents, np.int32).ravel()


@pytest.mark.parametrize("classed", [False, True])
@pytest.mark.parametrize("stop", [None, 40])
def test_probabilities_sum_to_one(classed, stop, monkeypatch):
    if classed:
        monkeypatch.setattr(mixture, "_MIN_CLASSED", 8)
    rng = np.random.default_rng(1)
    size, order = 40, 4
    counted = classed_text(rng, 4000, size)
    if stop is not None:
        counted[::50] = stop
    tuning = classed_text(rng, 600, size)
    contexts = np.concatenate([tuning[:12].reshape(-1, order), rng.integers(0, size, (3, order))])
    held_out, document = every_token(contexts, size, np.uint16)
    text = MixtureText(
        np.concatenate([counted, tuning]), 0 if stop is None else 1, 4000, tuning,
        np.zeros(600, np.int32), held_out, document, size, stop,
    )  # fmt: skip
    losses, _ = mixture_losses(text, max_context=order, n_documents=len(contexts) * size)
    sums = np.exp(-losses).reshape(len(contexts), size, order).sum(axis=1)
    # Log odds are rounded to one grid, on which a decision's and its sibling's are opposites.
    np.testing.assert_allclose(sums, 1.0, atol=1e-5)
    again, _ = mixture_losses(
        text, max_context=order, n_documents=len(losses), workspace=Workspace(3)
    )
    assert np.array_equal(losses, again)
    # Little room: tree by tree, and the training text read several times.
    few = Workspace(2, memory_limit=anonymous_bytes() * 8 // 7 + 1)
    again, _ = mixture_losses(text, max_context=order, n_documents=len(losses), workspace=few)
    assert np.array_equal(losses, again)


def test_pieces_do_not_change_the_tokens_scored(monkeypatch):
    rng = np.random.default_rng(2)
    size = 24
    texts = {n: classed_text(rng, n, size) for n in (5000, 900)}
    document = np.repeat(np.arange(9, dtype=np.int32), 100)
    text = MixtureText(
        texts[5000],
        0,
        4600,
        texts[5000][4600:],
        np.zeros(400, np.int32),
        texts[900],
        document,
        size,
        None,
    )
    whole, _ = mixture_losses(text, max_context=2, n_documents=9)
    monkeypatch.setattr(mixture, "_PIECE_TOKENS", 700)
    pieces, _ = mixture_losses(text, max_context=2, n_documents=9)
    # Discounts are those of the first piece, whose contexts are fewer.
    np.testing.assert_allclose(pieces, whole, rtol=0.02)
    assert np.all(pieces > 0)


def test_later_pieces_may_hold_tokens_that_the_first_has_not(monkeypatch):
    rng = np.random.default_rng(6)
    size = 24
    counted = classed_text(rng, 3000, size)
    tuning = np.zeros(200, np.uint16)
    held_out = np.concatenate([np.zeros(300, np.uint16), classed_text(rng, 300, size)])
    text = MixtureText(
        np.concatenate([counted, tuning]), 0, 3000, tuning, np.zeros(200, np.int32), held_out,
        np.repeat(np.arange(2, dtype=np.int32), 300), size, None,
    )  # fmt: skip
    monkeypatch.setattr(mixture, "_PIECE_TOKENS", 400)
    losses, _ = mixture_losses(text, max_context=2, n_documents=2)
    assert np.all(np.isfinite(losses) & (losses > 0))


def test_better_than_kneser_ney_where_classes_rule(monkeypatch):
    monkeypatch.setattr(mixture, "_MIN_CLASSED", 8)
    rng = np.random.default_rng(3)
    size = 256
    tokens = classed_text(rng, 60_000, size)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=size, document_ends=np.arange(300, 60_001, 300)
    )
    split = split_of(design_of(corpus), 0.1)
    kneser_ney = held_out_losses(split, max_context=2, boundary=Boundary.STREAM)
    with split_streams(split, boundary=Boundary.STREAM) as texts, tuning_split(texts, 0) as text:
        losses, better = mixture_losses(text, max_context=2, n_documents=len(texts.scored))
    assert better.all()
    gain = kneser_ney.losses.sum(axis=0)[1:] - losses.sum(axis=0)
    assert np.all(gain / texts.scored.sum() > 0.03)  # nats per token; .041 and .053 here
    # A cross-entropy of n tokens stays above the entropy of this source, ln 8.
    assert losses.sum(axis=0)[1] / texts.scored.sum() > np.log(8)


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("separator", [None, 0])
def test_the_tuning_slice_is_taken_from_the_training_text(boundary, separator, tmp_path):
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
    for space in (Workspace(), Workspace(memory_limit=1, directory=tmp_path)):
        with (
            split_streams(split, boundary=Boundary(boundary), workspace=space) as texts,
            tuning_split(texts, 0, space) as text,
        ):
            scored = int((text.tuning_document >= 0).sum())
            assert 0.05 * texts.training_tokens < scored < 0.15 * texts.training_tokens
            # All of the training text is counted, the slice at its end.
            assert np.array_equal(np.sort(text.counted), np.sort(texts.training))
            tail = text.counted[text.first_tuning :]
            # The slice begins with a stop token of its own.
            begins = 0 if texts.stop_token is None else 1
            assert np.array_equal(text.tuning[begins:], tail)
            assert np.array_equal(text.tuning_document[begins:] >= 0, tail < 50)


def test_one_type_is_no_choice():
    zeros = np.zeros(50, np.uint16)
    text = MixtureText(
        zeros, 0, 0, zeros, np.zeros(50, np.int32), zeros, np.zeros(50, np.int32), 1, None
    )
    losses, _ = mixture_losses(text, max_context=2, n_documents=1)
    assert np.array_equal(losses, np.zeros((1, 2)))


def test_patterns_come_after_what_they_fall_back_on():
    for n in range(1, 9):
        for classed in (False, True):
            found = patterns(n, classed=classed)
            names = [p.name for p in found]
            assert len(set(names)) == len(names)
            assert max(p.reach for p in found) == n
            for i, pattern in enumerate(found[1:], start=1):
                parent = found[names.index(pattern.parent)]
                assert names.index(parent.name) < i
                assert parent.reach <= pattern.reach
            chain = {p.offsets for p in found if not any(p.letters)}
            assert all(tuple(range(1, m + 1)) in chain for m in range(1, n + 1))


def test_tokens_that_follow_alike_share_a_branch():
    rng = np.random.default_rng(5)
    size = 64
    tokens = np.zeros(40_000, np.int64)
    for i in range(1, len(tokens)):
        group = (
            tokens[i - 1] % 4 + 1
        ) % 4  # tokens of one remainder follow those of the one before
        tokens[i] = group + 4 * rng.integers(0, size // 4)
    placed = places(tokens, size, 8)
    for where in (placed.before, placed.after):
        tree = bisection_tree(where, placed.frequency)
        classes = tree.classes(2)
        assert classes.max() == 3
        for c in range(4):
            assert len(set((np.flatnonzero(classes == c) % 4).tolist())) == 1
    assert np.array_equal(np.sort(tree.leaf_of), np.arange(size))
    assert tree.classes(30).max() == size - 1
    assert not tree.classes(0).any()
