"""Worlds at their limits: long documents, large vocabularies, periodic sources, bad parameters."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import zeta

from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.synthetic import (
    BroadcastTree,
    CopyProcess,
    GraphWalk,
    IndependentTokens,
    MarkovChain,
    RandomHierarchy,
    RareTables,
    RunProcess,
    SantaFe,
    broadcast,
    copying,
    markov,
    runs,
    synthesize,
    truth,
    write,
)
from ngramstat.synthetic.sampling import check_probabilities, random_key
from ngramstat.synthetic.world import mean_powers, pair_fractions, zipf_law

# --- every kind on the command line --------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["rhm", "potts", "runs", "santa-fe", "copy", "markov", "graph", "tables", "independent"],
)
def test_default_options_make_a_corpus(kind, tmp_path):
    mu = ["--mu", "1"] if kind == "runs" else []
    run = CliRunner().invoke(
        main, ["synthesize", kind, *mu, "--tokens", "1000", "-o", str(tmp_path / "w"), "--quiet"]
    )
    assert run.exit_code == 0, run.output


def test_norms_of_a_walk_at_long_lags_are_powers_of_its_eigenvalue():
    """Up to lags where C(t) is below the smallest float (default lags reach 4096)."""
    world = GraphWalk(100, 400)
    near, far = world.norms([1000, 1010], "document")
    second = np.sort(np.abs(world._spectrum[0]))[-2]
    assert far / near == pytest.approx(second**10, rel=1e-9)
    assert world.norms([1 << 13], "document")[0] == 0.0
    for lag in (1, 8, 200):
        exact = world.norms([lag], "document")[0]
        assert world._stepped_norm(lag) == pytest.approx(exact, rel=1e-8)
    # Large graphs: only what is neither slow nor mostly rounding.
    stepped = GraphWalk(100, 400)._large_norms([1, 30, 1 << 13, 1 << 30])
    assert np.array_equal(np.isnan(stepped), [False, False, True, True])


# --- long documents ------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 3, 4, 7, 100, 1001])
def test_mean_powers_equal_the_sum(length):
    values = np.array([-1.0, -0.999, -0.3, 0.0, 0.5, 0.99, 1 - 1e-9, 1.0])
    powers = values[:, None] ** np.arange(1, length)
    expected = powers @ pair_fractions(length, 1, length)
    np.testing.assert_allclose(mean_powers(values, length), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "world",
    [
        IndependentTokens(50, 1.0, topics=3, document_length=1 << 40),
        SantaFe(0.43, 3.18, kinds=50, document_length=1 << 26),
        CopyProcess(0.9, 1.6, 64, document_length=1 << 26),
        MarkovChain.random(4, document_length=1 << 40),
        GraphWalk(60, 200, document_length=1 << 40),
    ],
    ids=lambda world: world.kind,
)
def test_the_cost_of_curves_does_not_grow_with_the_documents(world):
    """In far less than a second, and close to the curves of shorter documents."""
    known = world.sequential_norms([1, 2, 8])
    shorter = dataclasses.replace(world, document_length=1 << 16)
    scale = world.norms([1], "document")[0]
    np.testing.assert_allclose(known, shorter.sequential_norms([1, 2, 8]), atol=3e-3 * scale)


def test_values_that_cannot_be_computed_are_nan_or_refused():
    world = RunProcess(0.5, 4, 1 << 27)
    assert np.isnan(world.sequential_norms([1])).all()
    assert np.isfinite(world.norms([1, 1000], "stream")).all()
    with pytest.raises(InputError, match=r"lag=\d+: rho .* use lags up to"):
        world.covariance(1 << 26, "document")
    # A chain that never forgets, in a document with more lags than can be computed.
    flips = MarkovChain([[0.0, 1.0], [1.0, 0.0]], 1 << 40)
    assert np.isnan(flips.sequential_norms([1])).all()
    np.testing.assert_allclose(flips.norms([1, 4001], "document"), 0.5, rtol=1e-12)
    assert np.isnan(flips.norms([1 << 30], "document")).all()
    with pytest.raises(InputError, match=r"lag=.* use lags up to"):
        flips.covariance(1 << 30, "document")
    slow = CopyProcess(0.99999, 0.1, 64, document_length=1 << 26)
    assert np.isnan(slow.sequential_norms([1])).all()
    with pytest.raises(InputError, match=r"lag=.* use lags up to"):
        slow.covariance(1 << 25, "document")


@pytest.mark.parametrize(("mu", "v"), [(0.05, 3), (0.5, 4), (2.0, 2)])
def test_run_process_by_fourier_transforms_equals_the_recursion(mu, v, monkeypatch):
    stepped = RunProcess(mu, v).rho(3000)
    monkeypatch.setattr(runs, "_STEPPED", 64)
    np.testing.assert_allclose(RunProcess(mu, v).rho(3000), stepped, rtol=0, atol=2e-15)
    far = RunProcess(mu, v, 1 << 20).norms([50, 100, 2500], "document")
    known = np.abs(stepped[[50, 100, 2500]]) / v
    # Values that may be mostly rounding are NaN.
    np.testing.assert_allclose(far[np.isfinite(far)], known[np.isfinite(far)], rtol=1e-6)
    assert np.array_equal(np.isnan(far), (known * v < 1e-9) & (np.array([50, 100, 2500]) > 64))


def test_a_changed_world_does_not_reuse_cached_curves():
    for world, changed in (
        (RunProcess(1.0, 3), {"mu": 0.5}),
        (CopyProcess(0.9, reach=8), {"rho": 0.5}),
        (GraphWalk(30, 60), {"rules_seed": 1}),
    ):
        old = world.norms([2], "document")
        new = dataclasses.replace(world, **changed).norms([2], "document")
        assert abs(new - old) > 1e-6


def test_long_documents_of_the_run_process_are_fast():
    """The recursion needed 18 s for 10^5 tokens; now 10^6 tokens take about a second."""
    world = RunProcess(0.5, 4, 1 << 18)
    short = RunProcess(0.5, 4, 1 << 12)
    known = world.sequential_norms([1, 4])
    assert np.all(known < world.norms([1, 4], "document"))
    assert np.all(known > short.sequential_norms([1, 4]))


# --- periodic chains, and chains with many contexts ----------------------------------------------


def parity_chain(v: int) -> np.ndarray:
    """Order 2, (v, v, v): even and odd tokens alternate; all other contexts are transient."""
    odd = np.arange(v) % 2
    table = np.random.default_rng(3).dirichlet(np.ones(v), (v, v))
    table *= odd[None, :, None] != odd[None, None, :]
    return table / table.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("periodic", [False, True])
def test_stationary_distributions_of_many_contexts(periodic):
    v = 66
    table = parity_chain(v) if periodic else np.random.default_rng(3).dirichlet(np.ones(v), (v, v))
    world = MarkovChain(table)
    pi = world.stationary
    assert pi.size > markov._MAX_SOLVED
    # Joint of three tokens: the last two are distributed as the first two.
    np.testing.assert_allclose(np.einsum("ab,abc->bc", pi, table), pi, rtol=0, atol=1e-15)
    if periodic:
        odd = np.arange(v) % 2
        assert pi.sum(axis=1)[odd == 1].sum() == pytest.approx(0.5, abs=1e-12)
        assert pi[odd == 1][:, odd == 1].sum() == 0.0
    assert np.array_equal(MarkovChain(table).stationary, pi)


def test_stationary_distribution_of_a_long_ring():
    ring = MarkovChain(np.roll(np.eye(2100), 1, axis=1))
    np.testing.assert_allclose(ring.stationary, 1 / 2100, rtol=1e-9)
    assert "period 2100" in ring.exponents()["beta"].meaning


def test_the_exponents_of_periodic_sources_mention_the_period():
    for world in (
        GraphWalk(2, 1),
        MarkovChain([[0, 1], [1, 0]]),
        GraphWalk(4, 4, links=[(0, 1), (1, 2), (2, 3), (3, 0)]),
    ):
        meaning = world.exponents()["beta"].meaning
        assert "periodic with period 2" in meaning
        assert "exponentially" not in meaning
        assert world.norms([4001], "document")[0] > 0.1
    for world in (GraphWalk(3, 3), MarkovChain([[0.5, 0.5], [1, 0]])):
        assert "falls exponentially" in world.exponents()["beta"].meaning
    # Only the transient state can follow itself.
    left = MarkovChain([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])
    assert "period 2" in left.exponents()["beta"].meaning


def test_norms_that_are_mostly_rounding_are_nan():
    world = MarkovChain.random(8)
    near, far = world.norms([1, 8], "document"), world.norms([100, 4096], "document")
    assert np.isfinite(near).all()
    assert np.isnan(far).all()
    stream = world.norms([8, 100, 20_000], "stream")
    assert stream[0] == pytest.approx(near[1] * (1 - 8 / 10_000))
    assert np.isnan(stream[1])
    assert stream[2] == 0.0  # different documents
    # At such lags only the composition remains.
    sequential = world.sequential_norms([100, 4096])
    assert sequential[0] == pytest.approx(sequential[1], rel=1e-9)
    # C(1) = 0 does not mean that the chain has forgotten: it repeats the token before the last one.
    skips = np.zeros((2, 2, 2))
    skips[0, :, 0] = skips[1, :, 1] = 0.75
    skips[0, :, 1] = skips[1, :, 0] = 0.25
    norms = MarkovChain(skips).norms([1, 2, 3, 4, 6], "document")
    assert np.isnan(norms[[0, 2]]).all()
    np.testing.assert_allclose(norms[[1, 3, 4]], 0.5 ** np.array([2, 3, 4]), rtol=1e-12)


# --- large hierarchies ---------------------------------------------------------------------------


def check_large_hierarchy(world) -> None:
    known = truth(world, lags=[1, 2], max_context=2)
    assert known["correlations"]["norm_stream"] == [None, None]
    assert known["entropies"]["stream"]["entropy"][0] == pytest.approx(math.log(world.v), abs=0.1)
    staircase = known["extras"]["last_token_entropy"]["entropy"]
    assert len(staircase) >= 2
    # The annealed value is a close upper bound of the mean.
    annealed = known["extras"]["last_token_entropy"]["annealed"]
    assert 0.7 * annealed[1] < staircase[1] < annealed[1]
    assert "last_token_covariance" not in known["extras"]
    with pytest.raises(InputError, match="v="):
        world.covariance(1, "stream")
    with pytest.raises(InputError, match="smaller v"):
        _ = world.tree.transitions


def test_large_vocabularies_have_no_dense_matrices():
    check_large_hierarchy(RandomHierarchy(2100, 4, 2, 2))


@pytest.mark.nightly
def test_very_large_vocabularies_have_no_dense_matrices():
    check_large_hierarchy(RandomHierarchy(8192, 16, 2, 10))


def test_staircase_ends_where_it_needs_too_much_work():
    tree = RandomHierarchy(16, 8, 2, 6).tree
    short, long = tree.staircase(6, 1 << 12), tree.staircase(6, 1 << 18)
    known = np.isfinite(short)
    assert 2 <= known.sum() < np.isfinite(long).sum()
    assert np.array_equal(short[known], long[known])
    # This took 24 s with dense matrices.
    assert np.isfinite(RandomHierarchy(256, 8, 2, 8).tree.staircase(8, 1 << 20)).all()


def test_staircase_distinguishes_more_than_2_64_siblings():
    """16^19 tuples of siblings; in x -> (x, 0, ..., 0, x) the first token determines the last."""
    rules = [[[x, *[0] * 18, x]] for x in range(16)]
    world = RandomHierarchy(16, 1, 20, 1, rules=(rules,))
    np.testing.assert_allclose(world.tree.staircase(1), [math.log(16), 0], atol=1e-15)


def test_long_contexts_are_refused_immediately():
    world = RandomHierarchy(64, 4, 2, 20)
    for boundary in ("stream", "document"):
        assert write._entropies(world, 20_000, boundary)["context"] == [0, 1, 2]


# --- exponents of hierarchies --------------------------------------------------------------------


def test_full_rules_correlate_tokens_if_rules_or_classes_are_unequal():
    uniform = RandomHierarchy(4, 4, 2, 4)
    assert "no correlation" in uniform.exponents()["beta"].meaning
    assert uniform.norms([1, 2], "document").max() < 1e-15
    for world in (RandomHierarchy(4, 4, 2, 4, zipf_a=0.5), RandomHierarchy(4, 4, 2, 4, classes=2)):
        known = world.exponents()
        assert world.norms([1], "document")[0] > 1e-3
        for name in ("beta", "gamma", "alpha"):
            assert known[name].value is None
            assert "no correlation" not in known[name].meaning
    assert RandomHierarchy(4, 4, 2, 4, zipf_a=0.5).exponents()["classification"].value == (
        pytest.approx(1 / 3)
    )


def test_power_laws_on_all_levels_give_both_predictions():
    """docs/theory.md 6: exponents of m_2 and of uniform rules, and bounds of alpha and gamma."""
    for v, m, beta, uniform in ((16, 8, 1.72, 3.09), (32, 16, 1.95, 4.04)):
        known = RandomHierarchy(v, m, 2, 6, zipf_a=0.5).exponents()
        assert known["beta"].value == pytest.approx(beta, abs=5e-3)
        assert known["beta_uniform"].value == pytest.approx(uniform, abs=5e-3)
        assert known["beta_uniform"].value == (
            pytest.approx(RandomHierarchy(v, m, 2, 6).exponents()["beta"].value)
        )
        assert known["alpha_uniform"].value == (
            pytest.approx(RandomHierarchy(v, m, 2, 6).exponents()["alpha"].value)
        )
        gamma, alpha, large = known["gamma"], known["alpha"], known["beta_large_v"].value
        assert alpha.value is None
        assert alpha.low == pytest.approx(gamma.low / (2 * large))
        assert alpha.high == pytest.approx(gamma.high / (2 * large))
        assert alpha.low < alpha.high
    bottom = RandomHierarchy(32, 16, 2, 6, zipf_a=0.5, zipf_levels="1").exponents()
    assert bottom["beta"].value == pytest.approx(4.04, abs=5e-3)
    assert "beta_uniform" not in bottom


def test_position_averages_are_exact_where_feasible():
    world = RandomHierarchy(3, 2, 2, 3, rules_seed=1)
    known = world.extras()["position_averaged_entropy"]
    assert known["context"] == [0, 1, 2, 3, 5, 7]
    exact = world.tree.position_averaged_entropies(7)
    assert known["entropy"] == exact[known["context"]].tolist()
    assert known["standard_error"] == [0.0] * 6
    longer = RandomHierarchy(8, 4, 2, 8).extras()["position_averaged_entropy"]
    errors = dict(zip(longer["context"], longer["standard_error"], strict=True))
    assert errors[3] == 0.0
    assert errors[31] > 0.0


# --- samples -------------------------------------------------------------------------------------


def test_first_runs_have_the_right_tail_at_small_mu():
    """P(rest > 1000) within four standard errors; NumPy's zeta distribution ends at 2^63."""
    world = RunProcess(0.05, 2, 1001)
    documents = world.corpus(10_000 * 1001, seed=2).tokens.reshape(-1, 1001)
    observed = np.mean((documents == documents[:, :1]).all(axis=1))
    expected = zeta(1.05, 1001) / zeta(1.05)
    assert expected == pytest.approx(0.6879, abs=5e-5)
    assert abs(observed - expected) < 4 * math.sqrt(expected * (1 - expected) / len(documents))


def test_dense_graphs_are_drawn_without_rejection():
    complete = GraphWalk(300, 300 * 299 // 2)
    assert np.array_equal(complete.adjacency.toarray(), 1 - np.eye(300))
    for edges in (34, 40, 44):
        graph = GraphWalk(10, edges, rules_seed=edges).adjacency.toarray()
        assert graph.sum() == 2 * edges
        assert np.array_equal(graph, graph.T)
        assert not graph.diagonal().any()
    # All pairs of nodes are equally likely.
    total = sum(GraphWalk(6, 11, rules_seed=seed).adjacency.toarray() for seed in range(400))
    frequency = total[np.triu_indices(6, 1)] / 400
    expected = 11 / 15
    assert np.abs(frequency - expected).max() < 5 * math.sqrt(expected * (1 - expected) / 400)


def test_noise_documents_do_not_depend_on_pieces_and_may_be_very_long(monkeypatch):
    monkeypatch.setattr(broadcast, "_NOISE_BLOCK", 100)
    world = BroadcastTree(5, 2, 9, 0.5, noise_share=0.6)
    whole = np.concatenate(list(world.pieces(3000, seed=1)))
    for size in (77, 512, 1000):
        monkeypatch.setattr(broadcast, "PIECE", size)
        assert np.array_equal(np.concatenate(list(world.pieces(3000, seed=1))), whole)
    monkeypatch.undo()
    first = next(iter(BroadcastTree(5, 2, 50, 0.5, noise_share=0.99).pieces(1000, seed=1)))
    assert len(set(first.tolist())) == 5


def test_labels_are_drawn_and_written_in_blocks(monkeypatch, tmp_path):
    world = RandomHierarchy(6, 3, 2, 3, classes=4)
    whole = world.labels(1000, seed=3)
    monkeypatch.setattr(write, "_LABELS_BLOCK", 300)
    assert np.array_equal(world.labels(1000, seed=3), whole)
    assert np.array_equal(world.labels(400, seed=3, first=300), whole[300:700])
    synthesize(world, tmp_path / "w", tokens=8000, seed=3, lags=[1])
    written = np.load(tmp_path / "w" / "labels.npy")
    assert written.dtype == np.uint32
    assert np.array_equal(written, whole)


def test_drawn_chains_record_what_they_were_drawn_from(monkeypatch):
    world = MarkovChain.random(3, 2, concentration=0.5, rules_seed=7)
    parameters = world.parameters()
    assert (parameters["concentration"], parameters["rules_seed"]) == (0.5, 7)
    assert np.array_equal(parameters["transitions"], world.transitions)
    monkeypatch.setattr(markov, "_MAX_LISTED", 26)
    assert "transitions" not in world.parameters()
    explicit = MarkovChain(world.transitions).parameters()
    assert "rules_seed" not in explicit
    assert np.array_equal(explicit["transitions"], world.transitions)


# --- invalid parameters --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BroadcastTree.with_beta(0.9, s=0), "s=0: must be an integer of at least 2"),
        (lambda: BroadcastTree.with_beta(0.9, s=-3), "s=-3"),
        (lambda: BroadcastTree.with_beta(1e-20), "beta=1e-20: .* use a larger beta"),
        (lambda: BroadcastTree.with_beta(1e5), "beta=100000.0: .* use a smaller beta"),
        (lambda: SantaFe(0.5, 100.0), "eta=100.0: .* use eta below 83.2 or fewer kinds"),
        (lambda: RunProcess(500.0), r"mu=500.0: must lie in 0.01 \.\. 20"),
        (lambda: RunProcess(1e-3), "mu=0.001: must lie"),
        (lambda: MarkovChain.random(8, concentration=1e-3), "concentration=0.001: .* use a larger"),
        (lambda: MarkovChain.random(8, document_length=1), "document_length=1: must lie"),
        (
            lambda: IndependentTokens(8, topics=2, concentration=1e-300).distributions,
            "concentration=1e-300: .* use a value nearer to 100",
        ),
        (lambda: IndependentTokens(8, 2.0, 1e300).zipf, "exponent=2, shift=1e.300: .* use"),
        (lambda: RareTables(1), r"vocab_size=1: must lie in 2 \.\. 1024"),
        (lambda: RareTables(8, columns=9), r"columns=9: must lie in 2 \.\. vocab_size"),
        (lambda: RareTables(table_share=-0.1), "table_share=-0.1: must be at least 0"),
        (lambda: RareTables(regularity=1.0), "regularity=1.0: must be at least 0 and below 1"),
        (lambda: RareTables(repetition=float("nan")), "repetition=nan: must be at least 0"),
        (lambda: RareTables(document_length=1), "document_length=1: must lie"),
        (lambda: IndependentTokens(8, 300.0, -0.999).zipf, "exponent=300, shift=-0.999"),
        (lambda: CopyProcess(exponent=-1000.0), "exponent=-1000: .* use an exponent nearer to 0"),
        (lambda: zipf_law(4, 3000.0, 3.0), "exponent=3000, shift=3"),
        (lambda: CopyProcess(pi=("a", "b")), "pi: not a rectangular array of numbers"),
        (lambda: check_probabilities([[0.5, 0.5], [1.0]], "p"), "p: not a rectangular"),
        (lambda: check_probabilities([0.5, 0.6], "p"), r"p: probabilities sum to 1\.1, not 1"),
        (lambda: check_probabilities([[1.0, 0.0], [0.4, 0.5]], "p"), r"sum to 0\.9, not 1"),
        (lambda: GraphWalk(4, 2, links=[(0, 1), (1,)]), "links: the rows differ in length"),
        (
            lambda: RandomHierarchy(2, 1, 2, 1, rules=([[[0, 1]], [[0]]],)).tree,
            "rules: the rows of a level differ in length",
        ),
        (
            lambda: RandomHierarchy(2, 1, 2, 1, rules=([[[0, 0.5]], [[1, 1]]],)).tree,
            "rules: level 0 must hold whole numbers",
        ),
        (
            lambda: CopyProcess(0.9999, reach=4096).corpus(10),
            "rho=0.9999, reach=4096: .* use a smaller rho or reach",
        ),
        (lambda: random_key(-1), "seed=-1: seeds cannot be negative; use 0 or more"),
        (lambda: RandomHierarchy(4, 2, 2, 3).corpus(10, seed=-1), "seed=-1"),
        (lambda: RunProcess(1.0).corpus(10, seed=-1), "seed=-1"),
        (lambda: next(SantaFe(0.5, 3.0).pieces(10, seed=-1)), "seed=-1"),
        (lambda: next(CopyProcess().pieces(10, seed=-1)), "seed=-1"),
        (lambda: RandomHierarchy(4, 2, 2, 3, rules_seed=-1).tree, "rules_seed=-1"),
        (lambda: MarkovChain.random(4, rules_seed=-1), "rules_seed=-1"),
        (lambda: GraphWalk(4, 2, rules_seed=-1), "rules_seed=-1"),
        (lambda: IndependentTokens(4, topics=2, rules_seed=-1).distributions, "rules_seed=-1"),
    ],
)
def test_bad_parameters_name_cause_and_remedy(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_nearly_divided_chains_are_refused():
    """Transitions below rounding join no parts; larger ones give an accurate distribution."""
    tiny = 1e-30
    with pytest.raises(InputError, match=r"transitions: .* give larger ones between the parts"):
        MarkovChain([[1.0, tiny], [tiny, 1.0]])
    slow = MarkovChain([[1.0, 1e-13], [3e-13, 1.0]])
    np.testing.assert_allclose(slow.stationary, [0.75, 0.25], rtol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        ["potts", "--s", "0"],
        ["santa-fe", "--eta", "100"],
        ["runs", "--mu", "500"],
        ["markov", "--concentration", "0.001"],
        ["independent", "--topics", "2", "--concentration", "1e-300"],
        ["independent", "--shift", "1e300", "--exponent", "2"],
        ["copy", "--exponent", "-1000"],
    ],
    ids=lambda a: "-".join(a[:2]),
)
def test_bad_options_end_in_one_line(arguments, tmp_path):
    run = CliRunner().invoke(
        main, ["synthesize", *arguments, "--tokens", "1000", "--quiet", "-o", str(tmp_path / "w")]
    )
    assert run.exit_code == 2, run.output
    assert run.output.startswith("Error: ")
    assert len(run.output.splitlines()) == 1


def test_a_count_of_lags_may_span_millions(tmp_path):
    command = ["synthesize", "independent", "--tokens", "1000", "--vocab-size", "9", "--json",
               "--quiet", "-o", str(tmp_path / "w"), "--lags"]  # fmt: skip
    run = CliRunner().invoke(main, [*command, "1:2000000:20"])
    assert run.exit_code == 0, run.output
    lags = json.loads(run.stdout)["correlations"]["lags"]
    assert (lags[0], lags[-1], len(lags)) == (1, 2_000_000, 20)
    for many in ("1:2000000", "1:3000000:2000000"):
        run = CliRunner().invoke(main, [*command, many])
        assert run.exit_code == 2
        assert "more than a million lags" in run.output


def test_histories_of_the_copy_process_keep_their_length(monkeypatch):
    """Their length determines what a seed draws; compared with a plain recursion."""
    world = CopyProcess(0.8, 1.6, 16)
    beyond = 1.0 - np.cumsum(world.distances)
    escape = [world.rho]
    while escape[-1] > copying._CUT:
        n = len(escape)
        chained = sum(world.distances[d - 1] * escape[n - d] for d in range(1, min(n, 16) + 1))
        escape.append(world.rho * ((max(beyond[n - 1], 0.0) if n <= 16 else 0.0) + chained))
    assert world._history == len(escape)
    monkeypatch.setattr(copying, "_MAX_HISTORY", len(escape) - 1)
    with pytest.raises(InputError, match="copies of copies"):
        _ = CopyProcess(0.8, 1.6, 16)._history


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["potts", "--tokens", "1e15"], "2,000,000.0 GB of tokens, but"),
        (["rhm", "--zipf-levels", "1"], "--zipf-levels: has no effect without --zipf-a"),
        (["independent", "--concentration", "3"], "--concentration: has no effect without"),
        (["markov", "--transitions", "t.json", "--order", "2"], "--order: has no effect with"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(arguments, message, tmp_path):
    run = CliRunner().invoke(main, ["synthesize", *arguments, "-o", str(tmp_path / "w")])
    assert run.exit_code == 2
    assert message in run.output
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_the_existing_corpus_unchanged(tmp_path, monkeypatch):
    output = tmp_path / "w"
    arguments = ["synthesize", "potts", "--levels", "6", "--tokens", "1000", "-o", str(output)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    before = {file.name: file.read_bytes() for file in output.iterdir()}

    def interrupted(self, n_tokens, *, seed, threads=1):
        yield np.zeros(64, np.uint16)
        raise KeyboardInterrupt

    monkeypatch.setattr(BroadcastTree, "pieces", interrupted)
    run = CliRunner().invoke(main, [*arguments, "--seed", "1", "--overwrite"])
    assert run.exit_code == 130
    assert f"Interrupted. {output} is unchanged" in run.output
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before


def test_invalid_worlds_and_numbers_of_tokens_are_refused(tmp_path):
    with pytest.raises(InputError, match="world='potts': expected a world of"):
        synthesize("potts", tmp_path / "w", tokens=10)
    world = BroadcastTree.with_beta(0.9, 4, 2, 5)
    for tokens in ("1e5", 10.5, math.inf, math.nan):
        with pytest.raises(InputError, match="must be a whole number"):
            synthesize(world, tmp_path / "w", tokens=tokens)
    assert synthesize(world, tmp_path / "w", tokens=1e3).n_tokens == 1024
