"""What is said of the other boundary: nothing where both curves agree, and the lags where not."""

from __future__ import annotations

import numpy as np
import pytest

import ngramstat
from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.covariance.boundary_effect import boundary_effect
from ngramstat.report.notes import curve_notes
from ngramstat.results import Exponent
from ngramstat.synthetic import BroadcastTree, IndependentTokens

LAGS = np.array([1, 2, 4, 8, 16, 32, 64])
NORM = 0.01 * LAGS**-1.0
BETA = Exponent(
    value=1.0,
    low=0.9,
    high=1.1,
    window=(1, 64),
    points=7,
    method="m",
    reportable=True,
    weights=np.ones(7),
)


def test_curves_that_agree_have_no_effect() -> None:
    floors = (np.full(7, 1e-6), np.full(7, 1e-6))
    for other in (NORM, 1.2 * NORM, np.full(7, np.nan)):
        assert boundary_effect(LAGS, NORM, other, floors, Boundary.STREAM, BETA) is None
    # Both lost in the noise: a factor of two says nothing.
    lost = (np.full(7, 0.1), np.full(7, 0.1))
    assert boundary_effect(LAGS, NORM, 2 * NORM, lost, Boundary.STREAM, BETA) is None


def test_the_lags_and_the_exponents_of_a_difference() -> None:
    floors = (np.full(7, 1e-6), np.full(7, 1e-6))
    other = NORM * np.where(LAGS >= 16, LAGS / 8.0, 1.0)
    effect = boundary_effect(LAGS, NORM, other, floors, Boundary.DOCUMENT, BETA)
    assert effect is not None
    assert (effect.other, effect.from_lag, effect.lag) == ("stream", 16, 64)
    assert effect.other_norm == pytest.approx(8 * effect.norm)
    assert effect.exponent == pytest.approx(1.0)
    assert effect.other_exponent is not None
    assert effect.other_exponent < 0.8


def test_measured_norms_are_those_of_a_run_with_the_other_boundary() -> None:
    corpus = BroadcastTree.with_beta(0.9, 8, 2, 5, 0.0).corpus(500_000, seed=3)
    lags = (1, 2, 4, 8, 16)
    stream, document = (
        ngramstat.correlations(corpus, lags=lags, boundary=name, replicates=99, sequential=False)
        for name in ("stream", "document")
    )
    assert stream.norm_other_boundary == pytest.approx(document.norm, rel=2e-3)
    assert document.norm_other_boundary == pytest.approx(stream.norm, rel=2e-3)
    # Documents of 32 tokens: half of the stream's pairs at lag 16 cross their ends.
    assert stream.boundary_effect is not None
    assert stream.boundary_effect.other == "document"
    assert any("--boundary document" in note for note in curve_notes(stream))
    assert document.boundary_effect is not None
    assert any("--boundary stream" in note for note in curve_notes(document))


def test_silent_without_documents_and_without_correlation() -> None:
    tokens = np.asarray(IndependentTokens(20, 1.0).corpus(50_000, seed=1).tokens)
    for ends in (None, np.arange(1000, 50_001, 1000)):
        corpus = Corpus.from_arrays(tokens, vocab_size=20, document_ends=ends)
        result = ngramstat.correlations(corpus, lags=(1, 4, 16), replicates=99, sequential=False)
        assert result.boundary_effect is None
