"""Exact curves of the worlds, compared with docs/theory.md and, to 1e-12, with brute force."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

import reference_worlds as brute
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
)
from ngramstat.synthetic.world import conditional_entropies

# Rules of the tiny hierarchy, the root's level first: docs/theory.md 5.5, also in the fixtures.
TINY_RULES = (
    (((0, 1), (1, 2)), ((2, 0), (0, 0)), ((1, 1), (2, 2))),
    (((0, 2), (1, 0)), ((2, 1), (1, 1)), ((0, 0), (2, 2))),
    (((1, 0), (2, 2)), ((0, 1), (1, 2)), ((2, 0), (0, 0))),
)
TINY = RandomHierarchy(v=3, m=2, s=2, levels=3, rules=TINY_RULES)
LAGS = range(1, 8)


def digits(text: str) -> list[float]:
    return [float(x) for x in text.split()]


def close(values, expected: str, within: float = 6e-10) -> None:
    np.testing.assert_allclose(values, digits(expected), rtol=0, atol=within)


# --- values of docs/theory.md --------------------------------------------------------------------


def test_tiny_hierarchy_has_the_covariances_of_theory():
    close(
        TINY.norms(LAGS, "document"),
        ".109577437 .041643968 .038343410 .030907386 .015562714 .037865017 .031823442",
    )
    close(
        [np.linalg.norm(TINY.covariance(t, "document")) for t in LAGS],
        ".110001886 .045205613 .039828917 .032012307 .015775500 .039360361 .031823442",
    )
    close(
        TINY.norms([*LAGS, 8, 16], "stream"),
        ".096666003 .034025966 .028535641 .022077801 .013014723 .019531250 .014392579 "
        ".013888889 .013888889",
    )
    close(
        [np.linalg.norm(TINY.tree.pair_covariance(7 - t, 7), 2) for t in LAGS],
        ".192450090 .077854879 .072168784 .048611111 .031823442 .048611111 .031823442",
    )


def test_tiny_hierarchy_has_the_entropies_of_theory():
    tree = TINY.tree
    close(tree.staircase(3), "1.011404265 .693147181 .346573590 .173286795")
    joints = [(tree.root @ tree._window_at(0, 7 - n, n + 1)) for n in range(8)]
    last = [conditional_entropies(x.reshape((3,) * (n + 1))) for n, x in enumerate(joints)]
    close(
        [curve[-1] for curve in last],
        "1.011404265 .693147181 .588150631 .346573590 .304976319 .274653072 .233681055 .173286795",
    )
    close(
        tree.position_averaged_entropies(7),
        "1.055008277 .858830483 .837525927 .689792297 .754321599 .617384576 .550057516 .173286795",
    )
    close(
        TINY.entropies(7, "stream"),
        "1.077556327 1.030990197 .980366652 .958321481 .928964836 .905476480 .880491969 .867022213",
    )
    blocks = np.cumsum(TINY.entropies(7, "stream"))
    close(
        blocks,
        "1.077556327 2.108546524 3.088913176 4.047234657 4.976199494 5.881675974 6.762167943 "
        "7.629190156",
    )


def test_tiny_hierarchy_has_the_strings_of_theory():
    tree = TINY.tree
    strings = brute.tree_strings(list(tree.children), list(tree.q), 3)
    assert len(strings) == 384
    assert TINY.entropy_rate == pytest.approx(math.log(384) / 8, abs=1e-15)
    close([TINY.entropy_rate], ".743830319")
    for position in range(8):
        marginal = tree.root @ tree._window_at(0, position, 1)
        expected = [1 / 2, 1 / 6, 1 / 3] if position % 2 else [1 / 3] * 3
        np.testing.assert_allclose(marginal, expected, rtol=0, atol=1e-15)


def test_tiny_hierarchy_equals_the_shared_fixture():
    path = Path(__file__).resolve().parents[2] / "shared" / "design" / "fixtures" / "rhm_tiny.json"
    if not path.is_file():
        pytest.skip(f"the shared fixture is not at {path}")
    fixture = json.loads(path.read_text(encoding="utf-8"))
    np.testing.assert_allclose(
        TINY.norms(LAGS, "document"), fixture["C_doc_op"], rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(TINY.norms(LAGS, "stream"), fixture["C_cat_op"], rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        TINY.norms([8], "stream"), fixture["C_cat_op_t8"], rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(TINY.tree.position_averaged_entropies(7), fixture["H_doc"],
                               rtol=0, atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(TINY.entropies(7, "stream"), fixture["cat_Hn"], rtol=0, atol=1e-11)


def test_hierarchy_thresholds_and_exponents():
    world = RandomHierarchy(v=16, m=4, s=2, levels=8)
    expected = digits("85.33 1365.3 21845.3 349525")
    np.testing.assert_allclose(world.thresholds(4), expected, rtol=1e-4)
    known = world.exponents()
    assert known["beta_large_v"].value == pytest.approx(2.0)
    assert known["gamma"].value == pytest.approx(2.0)
    assert known["alpha"].value == pytest.approx(0.5)
    p2 = 15 / 255
    assert known["beta"].value == pytest.approx((math.log(4) - math.log(1 - p2)) / math.log(2))
    assert any("averaged" in w for w in world.warnings())
    # docs/theory.md 11: (16, 8, 2) -> alpha .1667
    assert RandomHierarchy(16, 8, 2, 4).exponents()["alpha"].value == pytest.approx(1 / 6)


def test_power_law_hierarchy_reports_its_numbers():
    # docs/theory.md 6: m_2, f_1/2 and the predicted beta with the finite-v correction.
    world = RandomHierarchy(16, 8, 2, 6, zipf_a=0.5)
    assert world.effective_rules == pytest.approx(3.106, abs=5e-4)
    assert world.exponents()["beta"].value == pytest.approx(1.72, abs=5e-3)
    larger = RandomHierarchy(32, 16, 2, 6, zipf_a=0.5)
    assert larger.effective_rules == pytest.approx(3.745, abs=5e-4)
    assert RandomHierarchy(8, 4, 2, 6, zipf_a=1.0).typical_fraction == pytest.approx(
        0.381, abs=5e-4
    )
    assert RandomHierarchy(8, 4, 2, 6, zipf_a=2.0).typical_fraction == pytest.approx(
        0.296, abs=5e-4
    )
    assert world.exponents()["classification"].value == pytest.approx(1 / 3)
    bottom = RandomHierarchy(16, 8, 2, 6, zipf_a=0.5, zipf_levels="1")
    assert bottom.exponents()["beta"].value == pytest.approx(3.09, abs=5e-3)


@pytest.mark.parametrize(
    ("v", "m", "expected"),
    [
        (8, 4, "2.0149 1.3915 .9423 .6824 .5457 .4788"),
        (16, 4, "2.6104 1.3791 .5175 .2176 .1395"),
        (16, 8, "2.7391 2.0871 1.4827 1.0264 .7442"),
    ],
)
def test_mean_staircases_are_near_those_of_theory(v, m, expected):
    """docs/theory.md 5.3 has means over a few other seeds, and rule draws scatter."""
    levels = len(expected.split()) - 1
    staircases = [
        RandomHierarchy(v, m, 2, levels, rules_seed=seed).tree.staircase(levels)
        for seed in range(8)
    ]
    spread = np.std(staircases, axis=0)
    assert np.all(np.abs(np.mean(staircases, axis=0) - digits(expected)) < 2.5 * spread)


@pytest.mark.parametrize(("v", "m"), [(16, 4), (32, 8)])
def test_finite_v_law_of_the_covariance(v, m):
    """Root-mean-square entries by level of the common ancestor are close to the theory."""
    levels = 6
    p2 = (v - 1) / (v * v - 1)
    f = m / v
    law = [
        math.sqrt((1 - f) / (v**3 * m) * ((1 - p2) / m) ** (2 * (height - 1)))
        for height in range(1, levels + 1)
    ]
    squares = []
    for seed in range(12):
        tree = RandomHierarchy(v, m, 2, levels, rules_seed=seed).tree
        last = tree.length - 1
        levels_of = [range(2 ** (k - 1), 2**k) for k in range(1, levels + 1)]
        squares.append(
            [
                np.mean([np.mean(tree.pair_covariance(last - t, last) ** 2) for t in lags])
                for lags in levels_of
            ]
        )
    ratio = np.sqrt(np.mean(squares, axis=0)) / law
    assert np.all((ratio > 0.85) & (ratio < 1.15)), ratio


def test_broadcast_tree_has_the_norms_of_theory():
    world = BroadcastTree.with_beta(0.9, vocab_size=8, s=2, levels=20)
    close(
        world.norms([1, 2, 3, 4, 6, 8, 16, 64, 256], "stream"),
        ".0457518164 .0245177913 .0188282752 .0131387590 .0100898228 .0070408866 .0037731177 "
        ".0010835435 .0003111661",
        within=6e-11,
    )
    dyadic = 2 ** np.arange(9)
    slope = np.polyfit(np.log(dyadic), np.log(world.norms(dyadic, "stream")), 1)[0]
    assert slope == pytest.approx(-0.9, abs=1e-7)
    assert world.exponents()["beta"].value == pytest.approx(0.9)


def test_run_process_has_the_values_of_theory():
    world = RunProcess(0.5, vocab_size=4)
    assert world.mean_run == pytest.approx(2.612375, abs=5e-7)
    close(
        world.process_norms([1, 2, 4, 8, 16, 32, 64]),
        ".12240221 .10478463 .08173890 .06179288 .04552125 .03295324 .02360086",
        within=6e-9,
    )
    # docs/theory.md truncates the last two digits, by up to 8e-8. With 30 digits, H_8 = .944505227
    # and H_inf = .937213519 (mpmath, our own check).
    close(
        world.process_entropies(32)[[0, 1, 2, 4, 8, 16, 32]],
        "1.38629436 1.08595659 .99385490 .95770875 .94450522 .93979566 .93812681",
        within=1.2e-8,
    )
    assert world.entropy_rate() == pytest.approx(0.937213518688, abs=1e-11)
    assert world.entropy_rate() == pytest.approx(0.93721345, abs=1e-7)
    known = world.exponents()
    assert (known["beta"].value, known["gamma"].value) == (0.5, 1.5)
    assert known["alpha"].value == pytest.approx(1.5)
    close(RunProcess(2.0, 4).process_norms([2, 4, 8]), ".018915 .004142 .001215", within=6e-7)
    rho = world.rho(4096)
    assert -np.log(rho[4096] / rho[2048]) / np.log(2) == pytest.approx(0.499, abs=1e-3)
    excess = world.process_entropies(4096)[[2048, 4096]] - world.entropy_rate()
    assert -np.log(excess[1] / excess[0]) / np.log(2) == pytest.approx(1.5, abs=5e-4)


def test_santa_fe_has_the_values_of_theory():
    world = SantaFe(1.0, 4.0, c=0.25, kinds=4000)
    close(
        world.process_norms([1, 2, 4, 8, 16, 32, 64, 128]),
        ".09242193 .04621096 .01155274 .00896146 .00695140 .00418273 .00153538 .00103302",
        within=6e-9,
    )
    close(
        world.process_entropies(256)[[0, 1, 4, 16, 64, 256]],
        "2.3279656 2.2604800 2.2165122 2.1605352 2.1184146 2.0922489",
        within=6e-8,
    )
    # The value .48 "at 2048" of docs/theory.md is the ratio of the drops of H from 512 to 1024 and
    # from 1024 to 2048.
    drops = -np.diff(world.process_entropies(2048)[[512, 1024, 2048]])
    assert np.log2(drops[0] / drops[1]) == pytest.approx(0.48, abs=5e-3)
    small = SantaFe(1.0, 2.0, c=0.1, kinds=3)
    close(
        small.process_norms([1, 2, 4, 8, 16]),
        ".215910 .172728 .110546 .045280 .007597",
        within=6e-7,
    )
    close(
        small.process_entropies(4)[[0, 1, 2, 4]], "1.435439 1.213115 1.164039 1.135336", within=6e-7
    )
    language = SantaFe(0.43, 3.18).exponents()
    assert language["beta"].value == pytest.approx(0.9, abs=1e-3)
    assert language["gamma"].value == pytest.approx(0.3, abs=1e-3)


def test_chain_has_the_values_of_theory():
    world = MarkovChain([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    np.testing.assert_allclose(world.stationary, [0.45, 0.35, 0.2], rtol=0, atol=1e-14)
    close(world.norms([1, 2, 4, 8], "document"), ".2485190559 .1566574239 .0617373578 .0090345126",
          within=6e-11)  # fmt: skip
    close(world.process_entropies(3), "1.04865379 .74778998 .74778998 .74778998", within=6e-9)
    assert all(e.value is None and "not a power law" in e.meaning
               for e in world.exponents().values())  # fmt: skip


def test_graph_walk_has_the_formulas_of_theory():
    """pi = deg / 2E and H_n = sum pi ln deg, from the list of edges alone."""
    links = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)]
    degree = np.bincount(np.array(links).reshape(-1))
    pi = degree / (2 * len(links))
    world = GraphWalk(5, 5, links=links)
    np.testing.assert_allclose(world.stationary, pi, rtol=1e-15)
    known = world.process_entropies(3)
    assert known[0] == pytest.approx(-float(pi @ np.log(pi)), abs=1e-15)
    np.testing.assert_allclose(known[1:], float(pi @ np.log(degree)), rtol=1e-14)


def test_copy_process_has_the_values_of_theory():
    world = CopyProcess(0.9, 1.6, 256)
    close(
        world.r(64)[[1, 2, 4, 8, 16, 32, 64]],
        ".61067507 .51763585 .42626964 .33797176 .25450658 .17872681 .11429630",
        within=6e-9,
    )
    shape = world.process_norms([1])[0] / world.r(1)[1]
    assert shape == pytest.approx(0.34908017, abs=6e-9)


def test_independent_tokens_have_the_noise_constants_of_theory():
    for world, p_max, kappa in (
        (IndependentTokens(8192, 1.0), 0.1043, 0.438),
        (IndependentTokens(8192, 1.0, shift=2.7), 0.0345, 0.235),
        (IndependentTokens(8192, 0.0), 1 / 8192, 0.0221),
    ):
        assert world.marginal.max() == pytest.approx(p_max, rel=2e-3)
        assert world.noise_constant() == pytest.approx(kappa, rel=5e-3)
        assert world.process_norms([1, 9]).tolist() == [0.0, 0.0]


# --- brute force ---------------------------------------------------------------------------------

TREES = {
    "tiny": TINY,
    "three children": RandomHierarchy(2, 2, 3, 2, rules_seed=3),
    "power law": RandomHierarchy(3, 2, 2, 3, zipf_a=0.7, rules_seed=1),
    "power law below": RandomHierarchy(3, 3, 2, 2, zipf_a=0.7, zipf_levels="1"),
    "two classes": RandomHierarchy(4, 2, 2, 3, classes=2, rules_seed=5),
}


@pytest.mark.parametrize("name", TREES)
def test_hierarchies_equal_brute_force(name):
    world = TREES[name]
    tree, v, d = world.tree, world.v, world.document_length
    strings = brute.tree_strings(list(tree.children), list(tree.q), v)
    assert math.fsum(strings.values()) == pytest.approx(1, abs=1e-12)
    for lag in range(1, d):
        for covariance, expected in (
            (world.covariance(lag, "document"), brute.document_covariance(strings, lag, v)),
            (world.covariance(lag, "stream"), brute.stream_covariance(strings, lag, v)),
            (tree.sequential_covariance(lag), brute.sequential_covariance(strings, lag, v)),
            (
                tree.pair_covariance(d - 1 - lag, d - 1),
                brute.joint(strings, d - 1 - lag, d - 1, v)
                - np.outer(brute.marginal(strings, d - 1 - lag, v),
                           brute.marginal(strings, d - 1, v)),
            ),
        ):  # fmt: skip
            np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)
        assert world.sequential_norms([lag])[0] == pytest.approx(
            np.linalg.norm(brute.sequential_covariance(strings, lag, v), 2), abs=1e-12
        )
    for lag in (d, d + 1, 2 * d + 3):
        np.testing.assert_allclose(
            world.covariance(lag, "stream"),
            brute.stream_covariance(strings, lag, v),
            rtol=0,
            atol=1e-12,
        )
    # Contexts of n <= 3 tokens, inside strings and over the endless stream of strings.
    np.testing.assert_allclose(
        world.entropies(3, "document"),
        brute.window_entropies(brute.document_windows(strings, 4)),
        rtol=0,
        atol=1e-12,
    )
    if len(strings) <= 400:
        np.testing.assert_allclose(
            world.entropies(3, "stream"),
            brute.window_entropies(brute.stream_windows(strings, 4)),
            rtol=0,
            atol=1e-12,
        )
    np.testing.assert_allclose(
        tree.position_averaged_entropies(d - 1), brute.position_averaged_entropies(strings),
        rtol=0, atol=1e-12,
    )  # fmt: skip
    levels = world.levels
    np.testing.assert_allclose(
        tree.staircase(levels),
        [brute.last_token_entropy(strings, world.s**k - 1) for k in range(levels + 1)],
        rtol=0,
        atol=1e-12,
    )


def test_long_windows_of_the_stream_equal_brute_force():
    """Windows that span more than two strings."""
    world = RandomHierarchy(3, 2, 2, 1, rules_seed=2)
    tree = world.tree
    strings = brute.tree_strings(list(tree.children), list(tree.q), 3)
    np.testing.assert_allclose(
        world.entropies(5, "stream"),
        brute.window_entropies(brute.stream_windows(strings, 6)),
        rtol=0,
        atol=1e-12,
    )


def test_sampled_entropy_agrees_with_the_exact_one():
    exact = TINY.tree.position_averaged_entropies(5)
    for n in (0, 1, 3, 5):
        value, error = TINY.tree.sampled_entropy(n, 2000, np.random.default_rng(n))
        assert abs(value - exact[n]) < 4 * error


@pytest.mark.parametrize("noise_share", [0.0, 0.25])
def test_broadcast_tree_equals_brute_force(noise_share):
    world = BroadcastTree(3, 2, 3, 0.6, noise_share)
    tree = world.tree
    strings = dict(brute.tree_strings(list(tree.children), list(tree.q), 3))
    uniform = 3.0**-world.document_length
    strings = {x: (1 - noise_share) * p + noise_share * uniform for x, p in strings.items()}
    for lag in range(1, 8):
        np.testing.assert_allclose(
            world.covariance(lag, "document"),
            brute.document_covariance(strings, lag, 3),
            rtol=0,
            atol=1e-12,
        )
        np.testing.assert_allclose(
            world.covariance(lag, "stream"),
            brute.stream_covariance(strings, lag, 3),
            rtol=0,
            atol=1e-12,
        )
        expected = np.linalg.norm(brute.sequential_covariance(strings, lag, 3), 2)
        assert world.sequential_norms([lag])[0] == pytest.approx(expected, abs=1e-12)
    assert world.norms([8, 20], "stream").tolist() == [0.0, 0.0]
    expected = brute.window_entropies(brute.document_windows(strings, 4))
    known = world.entropies(3, "document")
    if noise_share:
        assert np.isnan(known[1:]).all()
        known, expected = known[:1], expected[:1]
    np.testing.assert_allclose(known, expected, rtol=0, atol=1e-12)


def check_stationary(world, windows, *, entropies: int, document_length: int = 9) -> None:
    """Covariances, entropies, stream and sequential norms from windows of `document_length`."""
    v = world.vocab_size
    w = len(next(iter(windows)))
    assert world.document_length == document_length == w
    for lag in range(1, w):
        expected = brute.window_covariance(windows, lag, v)
        np.testing.assert_allclose(world.covariance(lag, "document"), expected, rtol=0, atol=1e-12)
        assert world.norms([lag], "document")[0] == pytest.approx(
            np.linalg.norm(expected, 2), abs=1e-12
        )
        # The stream of consecutive documents.
        np.testing.assert_allclose(
            world.covariance(lag, "stream"),
            brute.stream_covariance(windows, lag, v),
            rtol=0,
            atol=1e-12,
        )
        expected = np.linalg.norm(brute.sequential_covariance(windows, lag, v), 2)
        assert world.sequential_norms([lag])[0] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(world.norms([w], "document")[0])
    assert world.norms([w], "stream")[0] == 0
    np.testing.assert_allclose(
        world.process_entropies(entropies), brute.window_entropies(windows)[: entropies + 1],
        rtol=0, atol=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize(("mu", "v"), [(0.5, 2), (0.5, 3), (2.0, 3), (1.0, 2)])
def test_run_process_equals_brute_force(mu, v):
    check_stationary(RunProcess(mu, v, 7), brute.run_windows(mu, v, 7), entropies=6,
                     document_length=7)  # fmt: skip


def test_santa_fe_equals_brute_force():
    world = SantaFe(0.8, 1.5, c=0.3, kinds=2, document_length=6)
    flip = (1 - world.memory) / 2
    windows = brute.santa_fe_windows(world.frequencies, flip, 6)
    check_stationary(world, windows, entropies=5, document_length=6)


@pytest.mark.parametrize(("v", "order"), [(3, 1), (2, 2), (2, 3), (3, 2)])
def test_chains_equal_brute_force(v, order):
    rng = np.random.default_rng(v * order)
    transitions = rng.dirichlet(np.ones(v), (v,) * order)
    world = MarkovChain(transitions, 7)
    check_stationary(world, brute.chain_windows(transitions, 7), entropies=6, document_length=7)


def test_copy_process_equals_the_equivalent_chain():
    """With reach 2 the copy process is a chain of order 2."""
    pi = np.array([0.5, 0.3, 0.2])
    world = CopyProcess(0.7, 0.9, 2, pi, 7)
    phi = world.distances
    transitions = np.zeros((3, 3, 3))
    for one in range(3):
        for two in range(3):
            transitions[one, two] = 0.3 * pi
            transitions[one, two, two] += 0.7 * phi[0]
            transitions[one, two, one] += 0.7 * phi[1]
    check_stationary(world, brute.chain_windows(transitions, 7), entropies=1, document_length=7)
    assert np.isnan(world.process_entropies(3)[2:]).all()


@pytest.mark.parametrize(("bias", "rank_exponent"), [(0.0, 0.0), (1.5, 0.0), (-0.5, 1.0)])
def test_graph_walk_equals_the_equivalent_chain(bias, rank_exponent):
    links = [(0, 1), (1, 2), (2, 0), (2, 3), (5, 6)]
    world = GraphWalk(7, 5, links=links, document_length=6, bias=bias, rank_exponent=rank_exponent)
    assert world.vocab_size == 4  # the pair 5-6 and the lone node 4 are left out
    transitions = world.adjacency.toarray() * world.degrees**bias
    if rank_exponent:  # the order of neighbours is the world's own
        transitions *= np.asarray(world._weights.todense()) / np.maximum(transitions, 1e-9)
    transitions /= transitions.sum(axis=1, keepdims=True)
    # A walk on a graph with triangles is aperiodic, so powers of its matrix converge.
    check_stationary(world, brute.chain_windows(transitions, 6), entropies=5, document_length=6)
    large = [world._stepped_norm(lag) for lag in (1, 2, 5)]
    np.testing.assert_allclose(large, world.norms([1, 2, 5], "document"), rtol=1e-9)


def test_rare_tables_equal_brute_force():
    """A mixture of two chains, each document one of them from its first to its last token."""
    world = RareTables(3, 0.3, 2, 0.8, 0.4, 6)
    zipf = np.array([1, 1 / 2, 1 / 3]) / (11 / 6)

    def ordinary(x):
        p = float(zipf[x[0]])
        for one, two in itertools.pairwise(x):
            p *= 0.4 * (one == two) + 0.6 * float(zipf[two])
        return p

    def table(x):
        p = 0.5 * (max(x) < 2)
        for one, two in itertools.pairwise(x):
            p *= 0.8 * (two == (one + 1) % 2) + 0.1
        return p

    windows = brute.all_windows(3, 6, lambda x: 0.7 * ordinary(x) + 0.3 * table(x))
    check_stationary(world, windows, entropies=5, document_length=6)


def test_topics_equal_brute_force():
    world = IndependentTokens(3, 1.0, topics=4, concentration=3.0, document_length=6)
    windows: dict[tuple[int, ...], float] = {}
    for row in world.distributions:
        topic = brute.all_windows(3, 6, lambda x, row=row: math.prod(float(row[t]) for t in x))
        for x, p in topic.items():
            windows[x] = windows.get(x, 0.0) + p / 4
    check_stationary(world, windows, entropies=5, document_length=6)
    assert world.sequential_norms([1, 4]).tolist() == [0.0, 0.0]
