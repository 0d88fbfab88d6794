"""Samples of the worlds: the native samplers, reproducibility, agreement with the exact curves."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
import reference_worlds as brute
from ngramstat import kernels
from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.synthetic import (
    BroadcastTree,
    CopyProcess,
    GraphWalk,
    IndependentTokens,
    MarkovChain,
    Quanta,
    RandomHierarchy,
    RareTables,
    RunProcess,
    SantaFe,
    synthesize,
    truth,
)
from ngramstat.synthetic.sampling import (
    AliasTable,
    TreeLevel,
    TreeSource,
    check_probabilities,
    random_key,
    state_source,
)

# Every world, small enough for counting; names are test ids.
WORLDS = {
    "rhm": RandomHierarchy(8, 4, 2, 6),
    "rhm power law": RandomHierarchy(8, 8, 2, 7, zipf_a=0.5),
    "potts": BroadcastTree.with_beta(0.9, 8, 2, 10),
    "potts clustered": BroadcastTree.with_beta(0.9, 5, 3, 5, noise_share=0.3),
    "runs": RunProcess(1.0, 3, 1000),
    "runs, two symbols": RunProcess(2.0, 2, 1000),
    "santa fe": SantaFe(0.43, 3.18, kinds=50, document_length=1000),
    "copy": CopyProcess(0.9, 1.6, 64, document_length=1000),
    "markov": MarkovChain.random(4, 2, rules_seed=1, document_length=500),
    "graph": GraphWalk(60, 200, document_length=500),
    "graph of hubs": GraphWalk(60, 200, document_length=500, ensemble="barabasi-albert", bias=0.5),
    "graph with ranks": GraphWalk(60, 200, document_length=500, rank_exponent=1.0),
    "tables": RareTables(20, 0.1, 4, 0.9, 0.3, 100),
    "independent": IndependentTokens(50, 1.0),
    "quanta": Quanta(0.5, 40),
    "topics": IndependentTokens(20, 1.0, topics=10, concentration=20.0, document_length=200),
}


@pytest.fixture(params=WORLDS, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def world(request):
    return WORLDS[request.param]


# --- samplers ------------------------------------------------------------------------------------


def random_tree(sizes, s: int, by_child: bool) -> list[TreeLevel]:
    rng = np.random.default_rng(1)
    levels = []
    for above, below in itertools.pairwise(sizes):
        p = rng.dirichlet(np.ones(4))
        shape = (above, 4) if by_child else (above, 4, s)
        levels.append(TreeLevel(AliasTable.of(p), rng.integers(0, below, shape).astype(np.uint32)))
    return levels


def plain(levels: list[TreeLevel]) -> list[tuple[list[int], list[int], np.ndarray]]:
    return [(x.rules.threshold.tolist(), x.rules.alias.tolist(), x.children) for x in levels]


@pytest.mark.parametrize("by_child", [False, True], ids=["by rule", "by child"])
def test_trees_equal_the_reference(token_dtype, threads, by_child):
    s, sizes = 3, [2, 4, 5, 7]
    levels = random_tree(sizes, s, by_child)
    source, key = TreeSource(levels, s, 7), random_key(12)
    out = np.empty(100, token_dtype)
    source.sample(key, 20, out, threads)
    known = plain(levels)
    expected = [brute.tree_leaf(key, 20 + i, 2, known, s, by_child) for i in range(len(out))]
    assert out.tolist() == expected


@pytest.mark.parametrize("by_child", [False, True], ids=["by rule", "by child"])
def test_strings_longer_than_a_subtree_equal_the_reference(threads, by_child):
    """The sampler descends from the root to subtrees of 4096 leaves."""
    s, depth = 2, 15
    sizes = [3, *([5, 4] * 7), 7]
    levels = random_tree(sizes, s, by_child)
    source, key, d = TreeSource(levels, s, 7), random_key(5), s**depth
    known = plain(levels)
    for first in (0, 4090, d - 7, 3 * d + 12_345):
        out = np.empty(20, np.uint16)
        source.sample(key, first, out, threads)
        expected = [brute.tree_leaf(key, first + i, 3, known, s, by_child) for i in range(len(out))]
        assert out.tolist() == expected, first


def test_paths_equal_the_reference(token_dtype, threads):
    rng = np.random.default_rng(2)
    states = []
    for size in (1, 5, 3):
        p = rng.dirichlet(np.ones(size))
        states.append((p, rng.integers(0, 60_000, size), rng.integers(0, 3, size)))
    source, key = state_source(states), random_key(3)
    starts = [0, 2, 1, 1]
    walkers = np.array(starts, np.uint32)
    out = np.empty(4 * 37, token_dtype)
    source.sample(key, 5, walkers, out, threads)
    for p, state in enumerate(starts):
        for t in range(37):
            first = int(source.offsets[state])
            last = int(source.offsets[state + 1])
            outcome = first + brute.pick(
                source.threshold[first:last].tolist(),
                source.alias[first:last].tolist(),
                brute.random_word(key, 5 + p * 37 + t),
            )
            assert out[p * 37 + t] == source.token[outcome]
            state = int(source.next[outcome])
        assert walkers[p] == state


def test_samplers_refuse_arrays_that_do_not_fit_together():
    source = state_source([(np.ones(1), np.zeros(1), np.zeros(1))])
    for out in (np.empty(4, np.int32), np.empty((2, 2), np.uint16), np.empty(8, np.uint16)[::2]):
        with pytest.raises(ValueError, match="out: needs a contiguous"):
            source.sample(1, 0, np.zeros(2, np.uint32), out)
    with pytest.raises(ValueError, match="out"):
        source.sample(1, 0, np.zeros(2, np.uint32), np.empty(5, np.uint16))
    with pytest.raises(ValueError, match="state"):
        source.sample(1, 0, np.array([1], np.uint32), np.empty(4, np.uint16))
    out = np.empty(4, np.uint16)
    by_rule, by_child = random_tree([2, 4], 3, False), random_tree([4, 5], 3, True)
    with pytest.raises(ValueError, match="levels: needs at least one"):
        TreeSource([], 3, 5).sample(1, 0, out)
    with pytest.raises(ValueError, match="children: needs two dimensions on all levels"):
        TreeSource([*by_rule, *by_child], 3, 5).sample(1, 0, out)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_alias_tables_hold_their_probabilities(size):
    p = np.random.default_rng(size).dirichlet(np.full(size, 0.5))
    table = AliasTable.of(p)
    probabilities = np.zeros(size)
    kept = table.threshold.astype(np.float64) / 2.0**64
    np.add.at(probabilities, np.arange(size), kept / size)
    np.add.at(probabilities, table.alias, (1 - kept) / size)
    np.testing.assert_allclose(probabilities, p, rtol=0, atol=1e-12)


def test_keys_differ_by_seed_and_stream():
    keys = {random_key(seed, stream) for seed in (0, 1, 2**70, 2**70 + 1) for stream in range(4)}
    assert len(keys) == 16
    assert random_key(5, 1) == random_key(5, 1)


def test_samples_do_not_depend_on_pieces_or_threads(world):
    n = 2 * world.document_length + 1234
    whole = np.concatenate(list(world.pieces(n, seed=7, threads=1)))
    assert whole.dtype == world.dtype
    assert len(whole) == n
    longer = np.concatenate(list(world.pieces(n + 5000, seed=7, threads=3)))
    assert np.array_equal(longer[:n], whole)
    assert not np.array_equal(np.concatenate(list(world.pieces(n, seed=8))), whole)


def test_pieces_continue_across_their_cuts(monkeypatch):
    """Pieces shorter than a document are cut inside it."""
    for name, module in (
        ("rhm", "hierarchy"),
        ("potts", "broadcast"),
        ("potts clustered", "broadcast"),
        ("markov", "sampling"),
    ):
        world = WORLDS[name]
        n = 3 * world.document_length + 77
        whole = np.concatenate(list(world.pieces(n, seed=3)))
        for size in (world.document_length - 5, 101):
            monkeypatch.setattr(f"ngramstat.synthetic.{module}.PIECE", size)
            pieces = list(world.pieces(n, seed=3))
            assert len(pieces) > 2
            assert np.array_equal(np.concatenate(pieces), whole), name
        monkeypatch.undo()


def test_labels_are_the_roots_of_the_strings():
    world = RandomHierarchy(6, 3, 2, 3, classes=4, rules_seed=2)
    corpus = world.corpus(4000, seed=5)
    labels = world.labels(corpus.n_documents, seed=5)
    assert labels is not None
    assert set(labels.tolist()) == {0, 1, 2, 3}
    tree = world.tree
    # Parse every string bottom-up; the rules are unambiguous, so the root is determined.
    level_symbols = corpus.tokens.reshape(-1, world.document_length).astype(np.int64)
    for children in reversed(tree.children):
        parent = {tuple(t): x for x, rules in enumerate(children.tolist()) for t in rules}
        pairs = level_symbols.reshape(len(level_symbols), -1, 2)
        level_symbols = np.array([[parent[tuple(pair)] for pair in row] for row in pairs.tolist()])
    assert np.array_equal(level_symbols[:, 0], labels)
    assert RandomHierarchy(6, 3, 2, 3, concatenated=True).labels(5, seed=5) is None


def test_rules_are_distinct_and_complete():
    for world in (RandomHierarchy(8, 8, 2, 3), RandomHierarchy(5, 3, 30, 2, rules_seed=4)):
        for children in world.tree.children:
            assert children.shape == (world.v, world.m, world.s)
            assert children.min() >= 0
            assert children.max() < world.v
            tuples = children.reshape(-1, world.s)
            assert len(np.unique(tuples, axis=0)) == len(tuples)


# --- samples against the exact curves ------------------------------------------------------------


def check_covariance(world, corpus, lag: int, boundary: str) -> None:
    """u^T (C_hat - C) v is within four standard errors over documents, for fixed u and v."""
    exact = world.covariance(lag, boundary)
    left, _, right = np.linalg.svd(exact)
    rng = np.random.default_rng(lag)
    random = rng.standard_normal((2, world.vocab_size))
    directions = [random]
    if np.abs(exact).max() > 0:
        directions.append(np.stack([left[:, 0], right[0]]))
    documents = kernels.Documents(corpus.document_ends)
    for u, v in directions:
        pairs, product, one, two = kernels.sum_pairs_by_document(
            kernels.PairsAtLag(corpus.tokens, world.vocab_size, lag),
            u,
            v,
            documents,
            across=boundary == "stream",
            threads=2,
        )
        total = pairs.sum()
        mean_one, mean_two = one.sum() / total, two.sum() / total
        value = product.sum() / total - mean_one * mean_two
        # Influence of each document on the covariance.
        influence = (
            product - mean_two * one - mean_one * two + (mean_one * mean_two - value) * pairs
        )
        error = np.sqrt(np.sum(influence**2)) / total
        assert abs(value - u @ exact @ v) < 4 * error, (lag, boundary)


def check_entropies(world, corpus, max_context: int) -> None:
    """Plug-in H_n minus its first-order bias is within four standard errors."""
    exact = world.entropies(max_context, "document")
    v = world.vocab_size
    tokens = corpus.tokens.reshape(-1, world.document_length).astype(np.int64)
    targets = world.document_length - max_context
    for n in range(max_context + 1):
        if np.isnan(exact[n]):
            continue
        codes = np.zeros((len(tokens), targets), np.int64)
        for back in range(n, 0, -1):
            codes = codes * v + tokens[:, max_context - back : world.document_length - back]
        ngrams = codes * v + tokens[:, max_context:]
        counts = np.bincount(ngrams.reshape(-1), minlength=v ** (n + 1))
        contexts = counts.reshape(-1, v).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = -np.log(counts / np.repeat(contexts, v))
        sums = surprise[ngrams].sum(axis=1)
        total = ngrams.size
        value = sums.sum() / total
        error = np.sqrt(np.sum((sums - value * targets) ** 2)) / total
        # Clustered counts have a larger bias than independent ones, but less than three times.
        bias = (np.count_nonzero(counts) - np.count_nonzero(contexts)) / (2 * total)
        assert abs(value + bias - exact[n]) < 4 * error + 2 * bias, n


def exact_marginal(world) -> np.ndarray:
    """Distribution of a token at a random position, (V,)."""
    v = world.vocab_size
    if isinstance(world, RandomHierarchy):
        return world.tree.mean_marginals[-1]
    if isinstance(world, SantaFe):
        return np.repeat(world.frequencies, 2) / 2
    if isinstance(world, CopyProcess):
        return np.array(world.pi)
    if isinstance(world, GraphWalk):
        return world.stationary
    if isinstance(world, MarkovChain | IndependentTokens | Quanta | RareTables):
        return world.marginal
    return np.full(v, 1 / v)


def check_marginal(world, corpus) -> None:
    """The frequency of every token is within four standard errors over documents."""
    documents = corpus.tokens.reshape(-1, world.document_length)
    counts = np.array([np.bincount(x, minlength=world.vocab_size) for x in documents])
    exact = exact_marginal(world) * world.document_length
    error = counts.std(axis=0, ddof=1) / np.sqrt(len(counts))
    # The errors of rare tokens are not normal.
    often = counts.sum(axis=0) > 30
    assert exact[often].sum() > 0.99 * world.document_length
    assert np.all(np.abs(counts.mean(axis=0) - exact)[often] < 4 * error[often])


def check_sample(world, n_tokens: int) -> None:
    corpus = world.corpus(n_tokens, seed=11, threads=2)
    check_marginal(world, corpus)
    for lag in (1, 2, 5, 16):
        for boundary in ("document", "stream"):
            check_covariance(world, corpus, lag, boundary)
    # 10^6 tokens are too few for the pairs of a hundred tokens.
    facts = 1 if n_tokens >= 10**7 else 0
    contexts = {"santa fe": facts, "graph": 1, "independent": 1, "quanta": 1}
    name = next(key for key, value in WORLDS.items() if value is world)
    check_entropies(world, corpus, contexts.get(name, 2))


@pytest.mark.parametrize("world", [WORLDS["rhm"]], ids=["rhm"])
def test_a_wrong_marginal_is_found(world):
    corpus = world.corpus(1_000_000, seed=11)
    tokens = np.where(corpus.tokens == 0, 1, corpus.tokens).astype(np.uint16)
    ends = corpus.document_ends
    changed = ngramstat.Corpus.from_arrays(tokens, vocab_size=8, document_ends=ends)
    with pytest.raises(AssertionError):
        check_marginal(world, changed)


def test_samples_agree_with_the_exact_curves(world):
    check_sample(world, 1_000_000)


@pytest.mark.nightly
def test_large_samples_agree_with_the_exact_curves(world):
    check_sample(world, 10_000_000)


def test_norms_measured_by_the_package_agree_with_the_world():
    """`correlations` itself, on both boundaries, at 2 * 10^6 tokens."""
    world = WORLDS["potts"]
    corpus = world.corpus(2_000_000, seed=1)
    for boundary in ("stream", "document"):
        measured = ngramstat.correlations(corpus, lags=[1, 2, 4], boundary=boundary, replicates=99)
        exact = world.norms([1, 2, 4], boundary)
        np.testing.assert_allclose(measured.norm, exact, rtol=0.06)
        np.testing.assert_allclose(measured.norm_sequential, world.sequential_norms([1, 2, 4]),
                                   rtol=0.06)  # fmt: skip


# --- invalid parameters --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHierarchy(4, 5, 2, 3), r"m=5: rules are unambiguous only .* m <= 4"),
        (lambda: RandomHierarchy(4, 4, 2, 3, classes=5), "m classes"),
        (lambda: RandomHierarchy(4, 2, 2, 63), "more than 2\\^62"),
        (lambda: RandomHierarchy(4, 2, 100, 3), "more than 2\\^62"),
        (lambda: RandomHierarchy(1, 1, 2, 3), "v=1"),
        (lambda: RandomHierarchy(4, 2, 2, 3, zipf_a=0.0), "zipf_a=0"),
        (lambda: RandomHierarchy(4, 2, 2, 3, zipf_levels="2"), "zipf_levels='2'"),
        (lambda: RandomHierarchy(3, 2, 2, 3, rules=((((0, 1),),),)).tree, "rules: need shapes"),
        (
            lambda: RandomHierarchy(2, 1, 2, 1, rules=((((0, 1),), ((0, 1),)),)).tree,
            "one tuple to two",
        ),
        (lambda: RandomHierarchy(2, 1, 2, 1, rules=((((0, 2),), ((0, 1),)),)).tree, "outside"),
        (lambda: BroadcastTree(8, 2, 70, 0.5), "more than 2\\^62"),
        (lambda: BroadcastTree(8, 2, 3, 1.0), "theta=1"),
        (lambda: BroadcastTree(8, 2, 3, 0.5, 1.0), "noise_share=1"),
        (lambda: BroadcastTree.with_beta(-1.0), "beta=-1"),
        (lambda: RunProcess(0.0), "mu=0"),
        (lambda: RunProcess(float("nan")), "mu=nan"),
        (lambda: RunProcess(1.0, 1), "vocab_size=1"),
        (lambda: SantaFe(0.5, 3.0, c=0.6), "c=0.6"),
        (lambda: SantaFe(0.5, -3.0), "eta=-3"),
        (lambda: CopyProcess(1.0), "rho=1"),
        (lambda: CopyProcess(pi=(0.5, 0.4)), "pi: probabilities sum to"),
        (lambda: CopyProcess(pi=(0.5, -0.5, 1.0)), "not negative"),
        (lambda: MarkovChain([[0.5, 0.5], [0.4, 0.5]]), "transitions: probabilities sum to"),
        (lambda: MarkovChain([[1.0, 0.0], [0.0, 1.0]]), "never leaves"),
        (lambda: MarkovChain([[0.5, 0.5]]), "needs shape"),
        (lambda: MarkovChain([[0.5, 0.5], [1.0]]), "rectangular"),
        (lambda: MarkovChain.random(300, 3), "order=3"),
        (lambda: GraphWalk(10, 46), "edges=46"),
        (lambda: GraphWalk(10, 1, links=[(0, 10)]), "links"),
        (lambda: IndependentTokens(8, -1.0), "exponent=-1"),
        (lambda: IndependentTokens(8, topics=-1), "topics=-1"),
        (lambda: check_probabilities([0.2, np.inf], "p"), "finite"),
        (lambda: WORLDS["potts"].norms([1], "page"), "boundary='page'"),
        (lambda: WORLDS["rhm"].covariance(64, "document"), "lag 64"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# --- the corpus directory ------------------------------------------------------------------------


def test_synthesize_writes_a_corpus_with_its_truth(world, tmp_path):
    corpus = synthesize(world, tmp_path / "w", tokens=5000, seed=3, lags=[1, 2, 3], max_context=2)
    assert corpus.n_tokens == corpus.n_documents * world.document_length >= 5000
    assert np.array_equal(corpus.tokens, world.corpus(5000, seed=3).tokens)
    assert (np.diff(corpus.document_ends, prepend=0) == world.document_length).all()
    known = json.loads((tmp_path / "w" / "truth.json").read_text(encoding="utf-8"))
    assert known["schema"] == "ngramstat.truth/1"
    assert (known["seed"], known["tokens"], known["sha256"]) == (3, corpus.n_tokens, corpus.sha256)
    for boundary in ("stream", "document"):
        exact = [None if np.isnan(x) else float(x) for x in world.norms([1, 2, 3], boundary)]
        assert known["correlations"][f"norm_{boundary}"] == exact
        curve = known["entropies"][boundary]
        assert len(curve["context"]) == len(curve["entropy"]) >= 1
    assert known["parameters"] == json.loads(json.dumps(world.parameters()))
    # The corpus is not overwritten without the option.
    with pytest.raises(InputError, match="overwrite"):
        synthesize(world, tmp_path / "w", tokens=5000)
    other = synthesize(world, tmp_path / "w", tokens=9000, seed=4, overwrite=True)
    again = json.loads((tmp_path / "w" / "truth.json").read_text(encoding="utf-8"))
    assert again["sha256"] == other.sha256 != corpus.sha256


def test_one_stream_has_no_documents(tmp_path):
    world = RandomHierarchy(4, 2, 2, 40, concatenated=True)
    corpus = synthesize(world, tmp_path / "w", tokens=10_007, lags=[1, 2, 1 << 20])
    assert (corpus.n_tokens, corpus.n_documents) == (10_007, 0)
    assert not (tmp_path / "w" / "labels.npy").exists()
    assert world.corpus(10_007).document_ends is None
    with pytest.raises(InputError, match="one document of this world has"):
        synthesize(RandomHierarchy(4, 2, 2, 40), tmp_path / "x", tokens=1000)
    assert not (tmp_path / "x").exists()


def test_truth_of_every_default(world):
    known = truth(world)
    lags = known["correlations"]["lags"]
    assert lags == sorted(set(lags))
    assert lags[-1] < world.document_length
    json.dumps(known, allow_nan=False)
    with pytest.raises(InputError, match="increasing"):
        truth(world, lags=[2, 1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["rhm", "--v", "8", "--levels", "6"],
        ["rhm", "--zipf-a", "0.5", "--zipf-levels", "1", "--levels", "6"],
        ["rhm", "--levels", "30", "--concatenated"],
        ["potts", "--beta", "1.4"],
        ["potts", "--theta", "0.5", "--noise-share", "0.2"],
        ["runs", "--mu", "0.7", "--vocab-size", "2"],
        ["santa-fe", "--kinds", "20"],
        ["copy", "--pi", "0.5,0.5", "--reach", "10"],
        ["markov", "--order", "2", "--vocab-size", "3"],
        ["graph", "--nodes", "50", "--edges", "100"],
        ["independent", "--topics", "3", "--vocab-size", "9"],
    ],
    ids=lambda a: "-".join(a[:1]),
)
def test_every_kind_on_the_command_line(arguments, tmp_path):
    run = CliRunner().invoke(
        main,
        ["synthesize", *arguments, "--tokens", "2k", "--seed", "5", "-o", str(tmp_path / "w"),
         "--max-context", "2", "--lags", "1,2", "--quiet", "--json"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    known = json.loads(run.stdout)
    corpus = ngramstat.Corpus.open(tmp_path / "w")
    assert known["tokens"] == corpus.n_tokens >= 2000
    assert known["seed"] == 5
    corpus.check(checksum=True)


def test_a_chain_from_a_file(tmp_path):
    path = tmp_path / "chain.json"
    path.write_text("[[0.9, 0.1], [0.2, 0.8]]", encoding="utf-8")
    command = ["synthesize", "markov", "--transitions", str(path), "--tokens", "1e4", "-o"]
    run = CliRunner().invoke(main, [*command, str(tmp_path / "w")])
    assert run.exit_code == 0, run.output
    assert "not a power law" in run.stdout
    path.write_text("[[0.9, 0.2], [0.2, 0.8]]", encoding="utf-8")
    run = CliRunner().invoke(main, [*command, str(tmp_path / "x")])
    assert run.exit_code == 2
    assert run.output.startswith(f"Error: {path}: transitions: probabilities sum to")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rhm", "--m", "17"], "unambiguous"),
        (["rhm", "--levels", "70"], "2^62"),
        (["runs"], "Missing option '--mu'"),
        (["potts", "--tokens", "1.5"], "whole number"),
        (["potts", "--tokens", "lots"], "not a count"),
        (["potts", "--beta", "1", "--theta", "0.5"], "one of the two"),
        (["copy", "--pi", "a,b"], "list of numbers"),
        (["copy", "--pi", "0.5,0.6"], "sum to"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_options_are_one_line(arguments, message, tmp_path):
    run = CliRunner().invoke(main, ["synthesize", *arguments, "-o", str(tmp_path / "w")])
    assert run.exit_code == 2
    assert message in run.output
    assert run.output.startswith("Error: ")
    assert len(run.output.splitlines()) == 1
    assert not (tmp_path / "w").exists()
