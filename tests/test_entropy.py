"""H(n) on sources of known entropy, and the bracket that it is reported in."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

import ngramstat
import reference
from designs import design_of, split_of
from ngramstat.boundary import Boundary
from ngramstat.entropy.bracket import _non_increasing
from ngramstat.entropy.counts import (
    chao_shen,
    extrapolate,
    group_losses,
    miller_madow,
    plug_in,
    zhang,
)
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.entropy.ngrams import count_design_ngrams
from ngramstat.errors import InputError
from ngramstat.kernels import count_ngrams
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.bootstrap import DocumentBootstrap
from ngramstat.synthetic import IndependentTokens, MarkovChain, RunProcess, SantaFe
from test_covariance_measurement import markov_chain, zipf


def counts_of(tokens: np.ndarray, vocab_size: int, context: int):
    return count_ngrams(tokens, vocab_size, max_context=context).whole


def test_plug_in_equals_the_reference():
    tokens = zipf(12, 3000, seed=1)
    result = plug_in(counts_of(tokens, 12, 3))
    ngrams, contexts = reference.ngram_counts(tokens, 3, [3000])
    expected = [reference.plug_in_entropy(g, c) for g, c in zip(ngrams, contexts, strict=True)]
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    # One population of targets for every context: conditioning cannot raise the entropy.
    assert (np.diff(result) <= 0).all()


def test_miller_madow_and_chao_shen_by_their_formulas():
    tokens = zipf(30, 500, seed=2)
    counts = counts_of(tokens, 30, 1)
    ngrams, contexts = reference.ngram_counts(tokens, 1, [500])
    n = sum(ngrams[1].values())
    expected = plug_in(counts)[1] + (len(ngrams[1]) - len(contexts[1])) / (2 * n)
    assert miller_madow(counts)[1] == pytest.approx(expected, rel=1e-14)

    def block(counter: Counter[tuple[int, ...]]) -> float:
        coverage = 1 - sum(c == 1 for c in counter.values()) / n
        total = 0.0
        for c in counter.values():
            p = coverage * c / n
            total -= p * math.log(p) / (1 - (1 - p) ** n)
        return total

    assert chao_shen(counts)[1] == pytest.approx(block(ngrams[1]) - block(contexts[1]), rel=1e-9)
    # The empty context has no entropy of its own.
    assert chao_shen(counts)[0] == pytest.approx(block(ngrams[0]), rel=1e-9)


def test_corrections_remove_bias_on_a_known_distribution():
    """Independent Zipf tokens: H_0 known exactly; 200 draws of 2000 tokens over 500 types."""
    p = 1.0 / (np.arange(500) + 3.7)
    p /= p.sum()
    truth = -np.sum(p * np.log(p))
    rng = np.random.default_rng(3)
    draws = [counts_of(rng.choice(500, 2000, p=p).astype(np.uint16), 500, 0) for _ in range(200)]
    bias = {f.__name__: np.mean([f(c)[0] for c in draws]) - truth
            for f in (plug_in, miller_madow, chao_shen)}  # fmt: skip
    assert bias["plug_in"] < -0.08
    assert abs(bias["miller_madow"]) < abs(bias["plug_in"]) / 2
    assert abs(bias["chao_shen"]) < abs(bias["plug_in"]) / 2


def test_markov_entropies_are_those_of_theory():
    corpus = ngramstat.Corpus.from_arrays(markov_chain(300_000, seed=4), vocab_size=3)
    result = ngramstat.entropies(corpus, max_context=3)
    expected = [1.04865379, *[0.74778998] * 3]
    # Standard error of an entropy: sd(-ln p) / sqrt(P) ~ 0.6 / 550, times the chain's memory.
    np.testing.assert_allclose(result.miller_madow, expected, atol=6e-3)
    # 3 % of 200 blocks are held out: about 30,000 tokens and their own noise.
    np.testing.assert_allclose(result.held_out, expected, atol=3e-2)
    assert (result.low <= result.estimate).all()
    assert (result.estimate <= result.high).all()
    assert not result.gamma.reportable
    assert result.documents_are_blocks


def test_a_periodic_stream_has_no_entropy_left():
    corpus = ngramstat.Corpus.from_arrays(
        np.tile(np.arange(5, dtype=np.uint16), 4000), vocab_size=5
    )
    result = ngramstat.entropies(corpus, max_context=2)
    assert result.plug_in[0] == pytest.approx(math.log(5), abs=1e-6)
    np.testing.assert_allclose(result.plug_in[1:], 0, atol=1e-9)


def test_group_losses_add_up_to_the_plug_in_entropy():
    tokens = zipf(12, 4000, seed=8)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=12, document_ends=np.arange(100, 4001, 100)
    )
    design = design_of(corpus, boundary="document", seed=1)
    statistics = count_ngrams(
        tokens,
        12,
        max_context=2,
        documents=design.documents.with_clusters(np.arange(40, dtype=np.uint32), 40),
        across=False,
    )
    losses = group_losses(statistics)
    assert losses.shape == (40, 3)
    total = statistics.whole.targets
    np.testing.assert_allclose(losses.sum(axis=0) / total, plug_in(statistics.whole), atol=2e-6)


def test_extrapolation_takes_the_bias_off_by_subsampling():
    """Independent tokens with few and with many types; clustered tokens, whose bias is larger."""
    rng = np.random.default_rng(9)
    topics = IndependentTokens(12, 1.0, topics=6, concentration=15.0, document_length=50)
    plain = IndependentTokens(400, 1.0, document_length=50)
    for world, contexts in ((plain, 1), (topics, 2)):
        exact = world.entropies(contexts, "document")
        errors: dict[str, list[np.ndarray]] = {"plug_in": [], "miller_madow": [], "estimate": []}
        marks = []
        for _ in range(40):
            corpus = world.corpus(40_000, seed=int(rng.integers(1 << 30)))
            design = design_of(corpus, boundary="document", seed=0)
            statistics = count_ngrams(
                corpus.tokens,
                corpus.vocab_size,
                max_context=contexts,
                documents=design.documents,
                across=False,
            )
            result = extrapolate(statistics)
            errors["plug_in"].append(plug_in(statistics.whole) - exact)
            errors["miller_madow"].append(miller_madow(statistics.whole) - exact)
            errors["estimate"].append(result.estimate - exact)
            assert (result.lower <= result.estimate).all()
            marks.append(result.trusted)
        bias = {name: np.abs(np.mean(e, axis=0)) for name, e in errors.items()}
        trusted = np.mean(marks, axis=0) > 0.5
        assert trusted[0]
        assert (bias["estimate"][trusted] < 0.2 * bias["plug_in"][trusted] + 1e-3).all()
    # 400 types and 160,000 pairs in 38,000 tokens: new pairs keep coming, and it is noticed.
    assert not extrapolate_of(plain, 40_000).trusted[1]


def extrapolate_of(world, tokens: int):
    corpus = world.corpus(tokens, seed=1)
    design = design_of(corpus, boundary="document", seed=0)
    return extrapolate(
        count_ngrams(
            corpus.tokens,
            corpus.vocab_size,
            max_context=1,
            documents=design.documents,
            across=False,
        )
    )


def independent_documents(lengths, vocab_size: int, seed: int):
    rng = np.random.default_rng(seed)
    return ngramstat.Corpus.from_arrays(
        rng.integers(0, vocab_size, sum(lengths)).astype(np.uint16),
        vocab_size=vocab_size,
        document_ends=np.cumsum(lengths),
    )


def test_contexts_seen_once_are_not_taken_for_settled():
    """Every count is one, in the whole and in its parts alike: no bias is seen, and all is bias."""
    corpus = independent_documents([200] * 100, 50_000, seed=1)
    result = ngramstat.entropies(corpus, max_context=4, boundary="document", threads=1)
    assert result.plug_in[2:].max() < 1e-9
    assert not result.resolved[1:].any()
    assert (result.low <= np.log(50_000)).all()
    assert (result.high >= np.log(50_000)).all()


@pytest.mark.parametrize(
    ("lengths", "vocab_size", "contexts"),
    [
        ([90_000, *[2_100] * 100], 200, 1),
        (np.random.default_rng(3).lognormal(8, 1.5, 40).astype(int) + 1, 20, 2),
        ([95_000, *[200] * 24], 4, 5),
    ],
    ids=["one of a third", "log-normal", "one of nearly all"],
)
def test_documents_of_unequal_length(lengths, vocab_size, contexts):
    exact = np.log(vocab_size)
    for seed in range(5):
        corpus = independent_documents(lengths, vocab_size, seed)
        result = ngramstat.entropies(
            corpus, max_context=contexts, boundary="document", seed=seed, threads=1, replicates=199
        )
        # Intervals of 95 %, held against four standard errors.
        reach = result.high - result.low
        assert (result.low - reach <= exact).all()
        assert (exact <= result.high + reach).all()
        settled = result.resolved | (reach < 0.02)
        assert np.abs(result.estimate - exact)[settled].max() < 0.02
        assert (result.low < result.held_out_high).all()


@pytest.mark.parametrize("clusters", [2, 3, 7])
def test_few_documents_have_intervals_by_students_t(clusters):
    """A replicate of two documents is often one of them alone, with no error of its own."""
    rng = np.random.default_rng(4)
    bootstrap = DocumentBootstrap.of_documents(clusters, 999, 0)
    ones, covered = np.ones(clusters), []
    for _ in range(400):
        values = rng.standard_normal((clusters, 1))
        below, above = bootstrap.ratio_half_widths(values, ones, 0.95)
        assert below == above
        covered.append(abs(values.mean()) <= above[0])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


def test_equal_documents_have_no_spread():
    for clusters in (2, 20):
        bootstrap = DocumentBootstrap.of_documents(clusters, 199, 0)
        below, above = bootstrap.ratio_half_widths(
            np.full((clusters, 1), 0.1), np.full(clusters, 3.0), 0.95
        )
        assert max(below[0], above[0]) < 1e-12
    alone = DocumentBootstrap.of_documents(1, 199, 0).ratio_half_widths(
        np.ones((1, 1)), np.ones(1), 0.95
    )
    assert np.isnan(alone).all()


def test_intervals_need_no_replicates():
    corpus = independent_documents([1000] * 30, 4, seed=2)
    with_replicates, without = (
        ngramstat.entropies(
            corpus, max_context=1, boundary="document", held_out=0.5, replicates=count, threads=1
        )
        for count in (999, 0)
    )
    for name in ("limit", "held_out"):
        wide, narrow = (
            getattr(result, f"{name}_high") - getattr(result, f"{name}_low")
            for result in (without, with_replicates)
        )
        np.testing.assert_allclose(wide, narrow, rtol=0.35)


def test_a_period_is_settled_and_has_no_drops():
    corpus = ngramstat.Corpus.from_arrays(
        np.tile(np.arange(5, dtype=np.uint16), 4000), vocab_size=5
    )
    result = ngramstat.entropies(corpus, max_context=10, threads=1)
    np.testing.assert_allclose(result.estimate, [np.log(5), *[0.0] * 10], atol=1e-9)
    assert not result.resolved[2:].any()
    assert result.held_out_high.max() < 2
    assert result.gamma.value is None


@pytest.mark.parametrize("lengths", [[2000, 3000], [3000, 2000], [10, 5000]])
def test_two_documents_make_two_halves(lengths):
    corpus = independent_documents(lengths, 5, seed=0)
    design = design_of(corpus, boundary="document", seed=0)
    assert sorted(design.documents.halves.tolist()) == [0, 1]


def test_a_negative_seed_is_refused():
    corpus = independent_documents([100] * 20, 5, seed=0)
    for measure in (ngramstat.correlations, ngramstat.entropies):
        with pytest.raises(InputError, match="seed=-1: cannot be negative"):
            measure(corpus, seed=-1)


@pytest.mark.parametrize(
    "world",
    [
        MarkovChain.random(4, 2, rules_seed=2, document_length=200),
        IndependentTokens(12, 1.0, topics=8, concentration=20.0, document_length=100),
    ],
    ids=["chain", "topics"],
)
def test_intervals_of_resolved_entropies_cover(world):
    exact = world.entropies(2, "document")
    covered = []
    for seed in range(60):
        result = ngramstat.entropies(
            world.corpus(100_000, seed=seed), max_context=2, boundary="document", held_out=0.1,
            replicates=199, seed=seed, threads=1,
        )  # fmt: skip
        assert result.resolved[:2].all()
        covered.append((result.low <= exact) & (exact <= result.high))
    # 180 intervals of nominal 95 %, dependent within a draw.
    assert 0.87 <= np.mean(covered) <= 1.0


def test_gamma_of_the_run_process():
    """Known gamma = 1 + mu, H_inf far above zero: only the drops show it."""
    world = RunProcess(1.0, 2, 5000)
    result = ngramstat.entropies(
        world.corpus(3_000_000, seed=1), max_context=9, boundary="document", replicates=299
    ).gamma
    assert result.reportable
    assert result.value == pytest.approx(2.0, abs=0.25)
    assert result.low < 2.0 < result.high
    assert "H_inf free" in result.method


def separated(documents: list[list[int]], separator: int | None, vocab_size: int):
    parts = [[*d, separator] if separator is not None else d for d in documents]
    ends = np.cumsum([len(p) for p in parts])
    return ngramstat.Corpus.from_arrays(
        np.concatenate([np.array(p, dtype=np.uint16) for p in parts]),
        vocab_size=vocab_size,
        document_ends=ends,
        separator=separator,
    )


@pytest.mark.parametrize("separator", [None, 0], ids=["without separators", "with separators"])
@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_held_out_losses_equal_the_reference(separator, boundary):
    rng = np.random.default_rng(5)
    lower = 0 if separator is None else 1
    documents = [rng.integers(lower, 6, rng.integers(1, 30)).tolist() for _ in range(30)]
    corpus = separated(documents, separator, 6)
    design = design_of(corpus, boundary=boundary, seed=0)
    split = split_of(design, 0.2)
    result = held_out_losses(
        split, max_context=3, boundary=Boundary(boundary), workspace=Workspace(2)
    )

    def text(chosen: np.ndarray) -> tuple[list[int], list[int]]:
        """(tokens, positions to score), with a mark between documents that contexts stop at."""
        mark = 6 if separator is None else separator
        out = [mark] if boundary == "document" else []
        scored: list[int] = []
        for d in chosen:
            events = documents[d] if separator is None else [*documents[d], separator]
            scored += range(len(out), len(out) + len(events))
            out += events
            if boundary == "document" and separator is None:
                out.append(mark)
        return out, scored

    training, _ = text(split.training.document)
    held_out, positions = text(split.held_out.document)
    stop = -1 if boundary == "stream" else (6 if separator is None else separator)
    slow = reference.KneserNey(
        training, 6, 4, stop_token=stop, first_event=1 if boundary == "document" else 0
    )
    expected = reference.mean_losses(slow, held_out, positions)
    np.testing.assert_allclose(result.losses.sum(axis=0) / result.tokens.sum(), expected, rtol=1e-9)
    assert result.tokens.sum() == len(positions)


def test_a_held_out_corpus_can_be_given(tmp_path):
    rng = np.random.default_rng(6)
    training = separated([rng.integers(1, 9, 50).tolist() for _ in range(40)], 0, 9)
    other = [rng.integers(1, 9, 30).tolist() for _ in range(25)]
    with ngramstat.corpus.CorpusWriter(
        tmp_path / "other", vocab_size=9, dtype=np.uint16, separator=0
    ) as writer:
        for document in other:
            writer.append(np.array(document))
        writer.finish()
    result = ngramstat.entropies(training, max_context=2, held_out=str(tmp_path / "other"))
    assert result.held_out_documents == 25
    assert result.held_out_tokens == 25 * 31
    assert result.training_tokens == training.n_tokens
    wide = separated([[1, 2, 3]] * 40, 0, 10)
    with pytest.raises(ngramstat.InputError, match="vocabulary has 9 items"):
        ngramstat.entropies(wide, max_context=2, held_out=str(tmp_path / "other"))


def test_results_are_bit_identical_over_threads_dtypes_and_memory(threads, token_dtype, any_limit):
    tokens = zipf(60, 20_001, seed=7).astype(token_dtype)
    ends = np.append(np.arange(500, 20_001, 500), 20_001)
    options = {"max_context": 4, "replicates": 99, "held_out": 0.2}
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=60, document_ends=ends)
    result = ngramstat.entropies(corpus, **options, threads=threads, memory_limit=100_000)
    plain = ngramstat.Corpus.from_arrays(
        tokens.astype(np.uint16), vocab_size=60, document_ends=ends
    )
    assert result.to_dict() == ngramstat.entropies(plain, **options, threads=1).to_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_context": -1}, "max_context=-1"),
        ({"max_context": 16}, "max_context=16"),
        ({"held_out": 0.0}, "held-out fraction 0.0"),
        ({"held_out": 0.9}, "held-out fraction 0.9"),
        ({"held_out": "no/such/corpus"}, "no/such/corpus"),
    ],
)
def test_bad_options_are_named(options, words):
    corpus = ngramstat.Corpus.from_arrays(np.zeros(500, np.uint16), vocab_size=2)
    with pytest.raises(ngramstat.InputError, match=words):
        ngramstat.entropies(corpus, **options)


@pytest.mark.nightly
def test_kneser_ney_equals_kenlm(corpora, tmp_path):
    """Perplexities and discounts of KenLM on 22 M tokens (reference/kenlm.md), bar 0.5 %."""
    tokenizer = corpora.parent / "reference" / "bpe8192.json"
    wikipedia = corpora / "wikipedia-en"
    training = ngramstat.tokenize(
        [wikipedia / "part-0.jsonl.xz", wikipedia / "part-1.jsonl.xz"],
        tmp_path / "training",
        tokenizer=tokenizer,
    )
    whole = ngramstat.tokenize(
        [wikipedia / "part-7.jsonl.xz"], tmp_path / "part-7", tokenizer=tokenizer
    )
    with ngramstat.corpus.CorpusWriter(
        tmp_path / "held-out", vocab_size=whole.vocab_size, dtype=np.uint16, separator=0
    ) as writer:
        starts = np.concatenate([[0], whole.document_ends[:249]])
        for start, end in zip(starts, whole.document_ends[:250], strict=True):
            writer.append(np.asarray(whole.tokens[start : end - 1]))
        held_out = writer.finish()
    assert (training.n_tokens, held_out.n_tokens) == (22_017_485, 1_133_272)
    result = ngramstat.entropies(
        training, max_context=4, boundary="document", held_out=tmp_path / "held-out"
    )
    kenlm = [172.515474, 97.059576, 89.527501, 88.174239]
    np.testing.assert_allclose(np.exp(result.held_out_kneser_ney[1:]), kenlm, rtol=1e-4)
    table = result.discounts
    np.testing.assert_allclose(table[0]["lower"], [0.300971, 0.996764, 1.34466], rtol=1e-5)
    np.testing.assert_allclose(table[3]["lower"], [0.896807, 1.25717, 1.42294], rtol=1e-5)
    np.testing.assert_allclose(table[4]["raw"], [0.922129, 1.34004, 1.44433], rtol=1e-5)
    assert [row["distinct"] for row in table[1:]] == [2088171, 9280714, 15927394, 19272639]


def test_zhang_sums_the_terms_that_counts_determine():
    """Against the series itself: sum over v < c of (1/v) times the estimate of E[(1 - p)^v]."""
    tokens = zipf(9, 600, seed=3).astype(np.uint16)
    statistics = count_ngrams(tokens, 9, max_context=2)
    result = zhang(statistics.whole)
    for n in range(3):
        by_context: dict[tuple[int, ...], list[int]] = {}
        for i in range(2, 600):
            by_context.setdefault(tuple(tokens[i - n : i]), []).append(int(tokens[i]))
        total = 0.0
        for followers in by_context.values():
            c = len(followers)
            for count in Counter(followers).values():
                # Probability that v draws without replacement of the others miss the token.
                missed = 1.0
                for v in range(1, c):
                    missed *= max(c - count - v + 1, 0) / (c - v)
                    total += count * missed / v
        assert result[n] == pytest.approx(total / statistics.whole.targets, abs=1e-12)
    assert (plug_in(statistics.whole) <= result + 1e-12).all()


def test_lower_ends_stay_below_the_truth_where_counts_are_few():
    """Many tokens after every context: the case of text, in which brackets rest on lower ends."""
    world = SantaFe(0.9, 3.0, kinds=2000, document_length=500)
    exact = world.entropies(3, "document")
    for tokens in (20_000, 200_000):
        design = design_of(world.corpus(tokens, seed=tokens), boundary="document", seed=0)
        statistics = count_design_ngrams(design, max_context=3)
        lower = extrapolate(statistics).lower
        assert (lower < exact + 2e-3).all()
        assert (lower > miller_madow(statistics.whole) - 2e-3)[:2].all()


def test_brackets_are_consistent_over_contexts():
    nothing, everything = np.zeros(4, bool), np.ones(2, bool)
    low, high = np.array([3.0, 1.0, 1.5, 0.5]), np.array([3.2, 2.0, 2.5, 2.4])
    consistent = _non_increasing(low, high, nothing)
    assert consistent[0].tolist() == [3.0, 1.5, 1.5, 0.5]
    assert consistent[1].tolist() == [3.2, 2.0, 2.0, 2.0]
    # Intervals of estimates that contradict the order by chance are widened.
    low, high = np.array([1.0, 1.1]), np.array([1.05, 1.2])
    consistent = _non_increasing(low, high, everything)
    assert consistent[0].tolist() == [1.0, 1.0]
    assert consistent[1].tolist() == [1.2, 1.2]
