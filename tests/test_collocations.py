"""Collocations against their definitions, over all pairs of random documents."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

import ngramstat
from ngramstat import Corpus, InputError
from ngramstat.counts.collocations import MEASURES


def expected_scores(pairs, measure):
    """Scores of a list of pairs by the textbook formulas."""
    n, counts = len(pairs), Counter(pairs)
    scores = {}
    for (x, y), c in counts.items():
        a, b = sum(p[0] == x for p in pairs), sum(p[1] == y for p in pairs)
        table = {
            (i, j): sum((p[0] == x) == i and (p[1] == y) == j for p in pairs)
            for i in (True, False)
            for j in (True, False)
        }
        cells = {
            cell: (observed, (a if cell[0] else n - a) * (b if cell[1] else n - b) / n)
            for cell, observed in table.items()
        }
        e = a * b / n
        if measure == "log-likelihood":
            ratio = 2 * sum(o * math.log(o / m) for o, m in cells.values() if o)
            score = ratio if c >= e else -ratio
        elif measure == "pmi":
            score = math.log(c / e)
        elif measure == "npmi":
            score = math.log(c / e) / -math.log(c / n) if c < n else 1.0
        elif measure == "t-score":
            score = (c - e) / math.sqrt(c)
        elif measure == "chi-square":
            score = sum((o - m) ** 2 / m for o, m in cells.values() if m)
        else:
            score = 2 * c / (a + b)
        scores[x, y] = (c, a, b, score)
    return scores


@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize("seed", range(3))
def test_scores(measure, seed):
    rng = np.random.default_rng(seed)
    documents = [rng.integers(1, 5, rng.integers(1, 30)).tolist() for _ in range(8)]
    pairs = [p for d in documents for p in itertools.pairwise(d)]
    expected = {k: v for k, v in expected_scores(pairs, measure).items() if v[0] >= 2}
    for corpus in (documents, Corpus.from_documents(documents, separator=0)):
        table = ngramstat.collocations(corpus, measure=measure, min_count=2)
        assert table.total == len(pairs)
        found = {
            tuple(pair): (c, a, b, pytest.approx(score, abs=1e-9))
            for pair, c, a, b, score in zip(
                table.tokens.tolist(), table.counts, table.first_counts, table.second_counts,
                table.scores, strict=True,
            )
        }  # fmt: skip
        assert found == expected
        assert np.all(np.diff(table.scores) <= 0)
        top = ngramstat.collocations(corpus, measure=measure, min_count=2, top=3)
        assert top.tokens.tolist() == table.tokens[:3].tolist()


def test_a_stream_and_its_edges():
    table = ngramstat.collocations([7, 7, 7], min_count=1)
    assert (table.tokens.tolist(), table.counts.tolist(), table.total) == ([[7, 7]], [2], 2)
    assert table.scores.tolist() == [0.0]
    for measure in MEASURES:
        assert np.isfinite(
            ngramstat.collocations([7, 7], measure=measure, min_count=1).scores
        ).all()
    assert len(ngramstat.collocations([7], min_count=1)) == 0
    assert len(ngramstat.collocations([1, 2, 3], min_count=2, top=5)) == 0


def test_the_table_leaves(tmp_path):
    table = ngramstat.collocations([1, 2, 1, 2, 3], min_count=1)
    names = ["token_0", "token_1", "counts", "first_counts", "second_counts", "scores"]
    assert table.to_arrow().column_names == names
    assert table.to_pandas().columns.tolist() == names
    assert "1 2  2 times" in repr(table)
    table.save(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        assert file["tokens"].tolist() == table.tokens.tolist()
        assert file["scores"].tolist() == table.scores.tolist()
    with pytest.raises(InputError, match="measure 'mi3'"):
        ngramstat.collocations([1, 2], measure="mi3")
