"""Percolation clusters: exact losses of both regimes, sampled ones, and the world in files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import comb

from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.results.percolation import PercolationResult
from ngramstat.synthetic import Percolation
from ngramstat.theories.percolation import (
    MANIFOLD_DIMENSION,
    TAU,
    ClusterLaw,
    CriticalTree,
    cluster_exponent,
    neighbour_error,
)
from ngramstat.theories.percolation_study import study_percolation


def test_sizes_have_borels_distribution_and_its_tail():
    law = ClusterLaw()
    # e^-s s^(s-1) / s!
    assert law.probability([1, 2, 3]) == pytest.approx(
        [math.exp(-1), math.exp(-2), math.exp(-3) * 9 / 6], rel=1e-12
    )
    s = 1 << 20
    assert law.probability(s) * s ** (TAU - 1) == pytest.approx(
        1 / math.sqrt(2 * math.pi), rel=1e-6
    )
    rng = np.random.default_rng(0)
    sizes = law.draw_sizes(200_000, rng)
    for size in (1, 2, 10, 1000, 10**8):  # the last is beyond the list
        if size < 10**6:
            expected = 1 - law.probability(np.arange(1, size + 1)).sum()
        else:
            expected = math.sqrt(2 / (math.pi * size))
        error = math.sqrt(expected * (1 - expected) / len(sizes))
        assert abs(np.mean(sizes > size) - expected) < 4.5 * error, size
    assert ClusterLaw(0.5).draw_sizes(10_000, rng).mean() == pytest.approx(2.0, rel=0.05)


def test_the_loss_of_many_clusters_is_that_of_their_shares():
    law = ClusterLaw()
    sizes = np.array([0, 1, 2, 10, 100])
    # Gamma(P + 1/2) / (Gamma(1/2) P!) is the binomial coefficient (2P, P) over 4^P.
    expected = [comb(2 * p, p) / 4.0**p for p in sizes]
    assert law.loss(sizes) == pytest.approx(expected, rel=1e-9)
    assert law.loss(1e8) == pytest.approx(1 / math.sqrt(math.pi * 1e8), rel=1e-6)
    # The quanta's exponent alpha / (1 + alpha) of theory.
    alpha = (3 - TAU) / (TAU - 2)
    assert cluster_exponent(TAU) == pytest.approx(alpha / (1 + alpha)) == pytest.approx(0.5)
    losses = law.simulate(sizes[1:], clusters=1 << 14, draws=200, seed=1)
    error = losses.std(axis=0, ddof=1) / math.sqrt(200)
    assert np.all(np.abs(losses.mean(axis=0) - expected[1:]) < 4 * error)


@pytest.mark.parametrize("occupation", [1.0, 0.8])
def test_random_sites_of_a_random_graph_have_no_power_law(occupation):
    """Erdos-Renyi graphs at and below the threshold: nodes whose component has not been met."""
    n = 100_000
    rng = np.random.default_rng(5)
    ends = rng.integers(0, n, (2, int(occupation * n / 2)))
    graph = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    shares = np.bincount(label) / n
    x = np.array([0.03, 0.3, 1.0, 3.0])
    sampled = [float(shares @ (1 - shares) ** (k * n)) for k in x]
    known = ClusterLaw(occupation).loss_of_sites(x)
    assert known == pytest.approx(sampled, abs=0.01)
    slopes = -np.diff(np.log(known)) / np.diff(np.log(x))
    assert slopes[-1] > 5 * slopes[0]  # no single exponent


def test_trees_are_uniform():
    """Labels aside, 3 of 4 rooted trees of three sites are paths: 9 labelled ones, 3 from an end
    and 3 from the middle; a root with two children has 3 of these 9."""
    rng = np.random.default_rng(0)
    stars = 0
    for _ in range(3000):
        tree = CriticalTree.draw(3, rng)
        assert tree.parents[0] == -1
        stars += int(np.all(tree.parents[1:] == 0))
    assert abs(stars / 3000 - 1 / 3) < 4 * math.sqrt(2 / 9 / 3000)


def test_distances_are_those_along_bonds():
    tree = CriticalTree(np.array([-1, 0, 1, 1, 0, 4]))
    assert tree.distance_to(np.array([2])).tolist() == [2, 1, 0, 2, 3, 4]
    assert tree.distance_to(np.array([2, 4])).tolist() == [1, 1, 0, 2, 0, 1]
    assert tree.neighbour_errors([6], np.random.default_rng(0)).tolist() == [0.0]


def test_the_nearest_known_site_comes_closer_as_the_dimension_says():
    rng = np.random.default_rng(2)
    sites, known = 1 << 14, np.array([16, 64, 256])
    errors = np.array([CriticalTree.draw(sites, rng).neighbour_errors(known, rng)
                       for _ in range(30)])  # fmt: skip
    deviation = errors.mean(axis=0) - neighbour_error(known / sites)
    # The exact curve is that of an endless cluster: with few known sites it is a little off.
    error = errors.std(axis=0, ddof=1) / math.sqrt(30)
    assert np.all(np.abs(deviation) < 4 * error + 0.03 * errors.mean(axis=0))
    x = np.array([1e-6, 1e-4])
    assert neighbour_error(x) == pytest.approx(np.sqrt(2 / x), rel=0.02)
    assert neighbour_error(1.0) == 0.0
    slope = -np.diff(np.log(neighbour_error(x)))[0] / np.log(100)
    assert slope == pytest.approx(2 / MANIFOLD_DIMENSION, abs=0.002)


def test_the_study_agrees_with_the_formulas_and_survives_a_file(tmp_path):
    result = study_percolation(sites=1 << 16, draws=12, seed=1)
    for regime in result.regimes:
        # 95 % intervals, widened to one that both regimes leave once in a thousand tests.
        half = 2 * (regime.sampled.high - regime.sampled.value)
        assert abs(regime.sampled.value - regime.exact_slope) < half
        assert abs(regime.exact_slope - regime.predicted) < 0.04
    result.save(tmp_path / "percolation.json")
    assert PercolationResult.load(tmp_path / "percolation.json").to_dict() == result.to_dict()


def test_the_command_says_both_regimes_and_what_is_refused(tmp_path, capsys, monkeypatch):
    small = study_percolation(sites=1 << 16, draws=2)
    monkeypatch.setattr("ngramstat.theories.percolation_study.study_percolation", lambda **_: small)
    main(["theories", "percolation", "-o", str(tmp_path / "p.json")], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "MANY CLUSTERS" in shown
    assert "ONE GIANT CLUSTER" in shown
    assert "NOT COMPUTED" in shown
    assert json.loads((tmp_path / "p.json").read_text())["schema"] == "ngramstat.percolation/1"


def test_the_world_writes_the_loss_of_its_clusters(tmp_path):
    output = tmp_path / "clusters"
    options = ["--vocab-size", "2000", "--tokens", "2e4", "-o", str(output)]
    main(["synthesize", "percolation", *options], standalone_mode=False)
    known = json.loads((output / "truth.json").read_text())
    assert known["exponents"]["memoriser"]["value"] == pytest.approx(0.5)
    assert known["exponents"]["beta"]["value"] is None
    world = Percolation(2000)
    p = world.marginal
    assert np.all(np.diff(p) <= 0)
    losses = known["extras"]["memoriser"]["loss"]
    tokens = known["extras"]["memoriser"]["tokens"]
    assert losses[4] == pytest.approx(float((p * (1 - p) ** tokens[4]).sum()), rel=1e-9)
    below = Percolation(2000, occupation=0.5)
    assert below.exponents()["memoriser"].value is None
    assert below.extras()["memoriser"]["mean_loss"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClusterLaw(1.5), "occupation=1.5"),
        (lambda: ClusterLaw(0.9999), "occupation=0.9999"),
        (lambda: ClusterLaw(0.5).loss(10), "at 1 alone"),
        (lambda: ClusterLaw().loss(-1), "negative"),
        (lambda: ClusterLaw().simulate([10, 10]), "ascend"),
        (lambda: ClusterLaw().simulate([10], draws=1), "draws=1"),
        (lambda: cluster_exponent(3.5), "tau=3.5"),
        (lambda: neighbour_error(2.0), "tokens_per_site"),
        (lambda: CriticalTree.draw(1, np.random.default_rng(0)), "sites=1"),
        (lambda: study_percolation(sites=100), "sites=100"),
        (lambda: study_percolation(clusters=100), "clusters=100"),
        (lambda: Percolation(1), "vocab_size=1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
