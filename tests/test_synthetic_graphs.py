"""Graphs and walks: ensembles, biased transitions, the sizes of the paper, truth.json."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest

from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.synthetic import GraphWalk
from ngramstat.synthetic.random_graphs import draw_edges
from ngramstat.synthetic.sampling import AliasTable, alias_columns


def probabilities(table: AliasTable, first) -> np.ndarray:
    """What every column of some alias tables is drawn with."""
    sizes = np.diff(first)
    row = np.repeat(np.arange(len(sizes)), sizes)
    kept = table.threshold.astype(np.float64) / 2.0**64
    p = kept.copy()
    np.add.at(p, np.asarray(first)[row] + table.alias, 1.0 - kept)
    return p / sizes[row]


@pytest.mark.parametrize("power", [0.0, 1.0, 6.0])
def test_alias_tables_of_many_rows_have_the_probabilities(power):
    rng = np.random.default_rng(0)
    sizes = np.concatenate([[1, 2, 3], rng.integers(1, 40, 500), [3000]])
    first = np.concatenate([[0], np.cumsum(sizes)])
    p = rng.random(first[-1]) ** power + 1e-12
    p /= np.repeat(np.add.reduceat(p, first[:-1]), sizes)
    np.testing.assert_allclose(probabilities(alias_columns(p, first), first), p, rtol=0, atol=3e-15)


def test_one_row_is_drawn_like_the_table_of_one_distribution():
    p = np.array([0.5, 0.2, 0.2, 0.05, 0.05])
    table = alias_columns(p, np.array([0, 5]))
    np.testing.assert_allclose(
        probabilities(table, [0, 5]), probabilities(AliasTable.of(p), [0, 5]), atol=1e-15
    )


@pytest.mark.parametrize(("nodes", "edges"), [(50, 30), (50, 49), (50, 400), (50, 1225), (2, 1)])
def test_preferential_attachment_draws_distinct_pairs(nodes, edges):
    pairs = draw_edges("barabasi-albert", nodes, edges, 3)
    assert pairs.shape == (edges, 2)
    assert np.all(pairs[:, 0] < pairs[:, 1])
    assert len(np.unique(pairs[:, 0] * nodes + pairs[:, 1])) == edges
    assert pairs.max() < nodes
    # Nodes bring their edges evenly.
    if edges == 400:
        brought = np.bincount(pairs[:, 1], minlength=nodes)
        assert set(brought[20:]) <= {8, 9}


def test_nodes_are_chosen_by_their_degrees():
    """Node 3 of a tree: nodes 0, 1 and 2 form a path, whose middle has half of the ends."""
    draws = 3000
    hits = 0
    for seed in range(draws):
        pairs = draw_edges("barabasi-albert", 4, 3, seed)
        degree = np.bincount(pairs[:2].reshape(-1), minlength=3)
        hits += degree[pairs[2, 0]] == 2
    assert abs(hits / draws - 0.5) < 4 * 0.5 / math.sqrt(draws)


def test_degrees_of_the_ensembles_differ_as_they_should():
    hubs = GraphWalk(2000, 10_000, ensemble="barabasi-albert")
    even = GraphWalk(2000, 10_000)
    assert hubs.extras()["degrees"]["largest"] > 4 * even.extras()["degrees"]["largest"]
    # Of preferential attachment, P(degree >= k) falls as k^-2: 1/4 from 20 to 40, within a factor.
    share = [np.mean(hubs.degrees >= k) for k in (20, 40)]
    assert 0.15 < share[1] / share[0] < 0.4
    # Binomial degrees: the variance is the mean.
    assert even.degrees.var() == pytest.approx(10, rel=0.15)


def test_neighbours_are_weighted_by_degree_and_rank():
    world = GraphWalk(300, 1500, bias=2.0)
    assert world.reversible
    row = world.transitions[[7]]
    expected = world.degrees[row.indices] ** 2.0
    np.testing.assert_allclose(row.data, expected / expected.sum(), rtol=1e-13)
    world = GraphWalk(300, 1500, rank_exponent=1.5)
    assert not world.reversible
    for node in (0, 7, 100):
        weights = np.sort(world.transitions[[node]].data)[::-1]
        zipf = np.arange(1.0, len(weights) + 1) ** -1.5
        np.testing.assert_allclose(weights, zipf / zipf.sum(), rtol=1e-13)
    # The order is drawn for every node, and stays that of the seed.
    first = [world.transitions[[node]].indices[world.transitions[[node]].data.argmax()]
             for node in range(50)]  # fmt: skip
    assert len(set(first)) > 30
    again = GraphWalk(300, 1500, rank_exponent=1.5)
    assert np.array_equal(world.transitions.data, again.transitions.data)


@pytest.mark.parametrize("rank_exponent", [0.0, 1.0])
def test_curves_of_large_graphs_are_those_of_small_ones(rank_exponent, monkeypatch):
    settings = {"bias": 0.7, "rank_exponent": rank_exponent, "ensemble": "barabasi-albert"}
    exact = GraphWalk(150, 600, **settings)
    monkeypatch.setattr("ngramstat.synthetic.graph.MAX_DENSE", 100)
    large = GraphWalk(150, 600, **settings)
    lags = [1, 2, 3, 8]
    np.testing.assert_allclose(
        large.norms(lags, "document"), exact.norms(lags, "document"), rtol=1e-8
    )
    assert np.isnan(large.sequential_norms([1])).all()


@pytest.mark.parametrize("rank_exponent", [0.0, 1.0])
def test_large_graphs_need_no_dense_matrix(rank_exponent):
    """At 50,000 nodes one matrix of V^2 numbers has 20 GB."""
    world = GraphWalk(4000, 12_000, rank_exponent=rank_exponent)
    tracemalloc.start()
    try:
        assert np.all(np.isfinite(world.norms([1, 2], "document")))
        next(world.pieces(1000, seed=0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < world.vocab_size**2  # bytes: an eighth of such a matrix


def test_walks_that_nearly_fall_into_parts_are_refused(monkeypatch):
    monkeypatch.setattr("ngramstat.synthetic.graph._MAX_ITERATIONS", 5)
    with pytest.raises(InputError, match="smaller rank_exponent"):
        _ = GraphWalk(60, 100, rank_exponent=3.0).stationary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": "small-world"}, "ensemble"),
        ({"bias": 5.0}, "bias=5"),
        ({"bias": math.nan}, "bias=nan"),
        ({"rank_exponent": -1.0}, "rank_exponent=-1"),
    ],
)
def test_what_makes_no_walk_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        GraphWalk(10, 20, **options)


@pytest.mark.parametrize("extra", [[], ["--bias", "1"], ["--rank-exponent", "1"]])
def test_the_command_writes_the_walk_and_that_it_has_no_exponents(tmp_path, extra):
    output = tmp_path / "graph"
    options = ["--kind", "barabasi-albert", "--nodes", "200", "--edges", "1k", "--tokens", "2e4"]
    main(["synthesize", "graph", *options, *extra, "-o", str(output)], standalone_mode=False)
    known = json.loads((output / "truth.json").read_text())
    assert known["parameters"]["ensemble"] == "barabasi-albert"
    assert known["extras"]["edges"] == 1000
    for name in ("beta", "gamma", "alpha"):
        assert known["exponents"][name]["value"] is None
        assert "not a power law" in known["exponents"][name]["meaning"]
    entropies = known["entropies"]["document"]["entropy"]
    assert entropies[0] > entropies[1] == entropies[2]
    norms = known["correlations"]["norm_document"]
    assert norms[0] > norms[3] > 0


@pytest.mark.nightly
@pytest.mark.parametrize("ensemble", ["erdos-renyi", "barabasi-albert"])
@pytest.mark.parametrize("extra", [[], ["--bias", "1"], ["--rank-exponent", "1"]])
def test_graphs_of_the_papers_sizes_are_written_by_the_command(tmp_path, ensemble, extra):
    for nodes, edges in (("1k", "5k"), ("8k", "50k"), ("50k", "2M")):
        output = tmp_path / nodes
        options = ["--kind", ensemble, "--nodes", nodes, "--edges", edges, "--tokens", "1e6"]
        options += ["--lags", "1,2,3,4", *extra, "-o", str(output)]
        main(["synthesize", "graph", *options], standalone_mode=False)
        known = json.loads((output / "truth.json").read_text())
        assert known["extras"]["edges"] == int(edges.replace("k", "000").replace("M", "000000"))
        norms = known["correlations"]["norm_document"]
        # Even lags have the walk's returns, odd ones do not: the two decay beside each other.
        assert norms[0] > norms[2] > 0
        assert norms[1] > norms[3] > 0
