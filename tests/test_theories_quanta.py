"""The memoriser of quanta: exact losses, sampled learners, and the world in files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.synthetic import Quanta
from ngramstat.theories.quanta import QuantaLaw

SIZES = [10, 100, 1_000, 10_000]


def test_losses_and_numbers_seen_are_those_of_the_theory():
    law = QuantaLaw(1.0)
    # Sums of 2e6 terms, which leave out 3e-7 (docs/theory.md 8).
    expected = [0.21096864, 0.06884020, 0.02184248, 0.00690932]
    assert law.loss(SIZES) == pytest.approx(expected, abs=1e-6)
    assert law.seen(SIZES) == pytest.approx([3.9206, 13.3370, 43.2071, 137.6964], rel=1e-4)


@pytest.mark.parametrize(
    ("alpha", "amplitude", "exponent"),
    [(0.1, 1.118209, 1 / 11), (0.5, 0.941560, 1 / 3), (1.0, 0.690988, 0.5)],
)
def test_losses_reach_their_power_law(alpha, amplitude, exponent):
    law = QuantaLaw(alpha)
    assert law.amplitude == pytest.approx(amplitude, abs=1e-6)
    assert law.exponent == pytest.approx(exponent)
    tokens = 1e10
    assert law.loss(tokens) == pytest.approx(amplitude * tokens**-exponent, rel=1e-4)


@pytest.mark.parametrize(
    ("alpha", "quanta"), [(0.5, 3_000_000), (0.5, 1000), (1.0, 1), (0.2, 1 << 20)]
)
def test_sums_equal_those_over_every_quantum(alpha, quanta):
    p = np.arange(1, quanta + 1) ** -(1.0 + alpha)
    p /= p.sum()
    sizes = [0, 1, *SIZES, 10**7]
    law = QuantaLaw(alpha, quanta)
    losses = [float((p * (1 - p) ** size).sum()) for size in sizes]
    assert law.loss(sizes) == pytest.approx(losses, rel=1e-9, abs=1e-15)
    seen = [float((1 - (1 - p) ** size).sum()) for size in sizes]
    assert law.seen(sizes) == pytest.approx(seen, rel=1e-9)


@pytest.mark.parametrize("law", [QuantaLaw(1.0), QuantaLaw(0.3), QuantaLaw(0.5, 1 << 21)])
def test_sampled_learners_agree_with_the_exact_loss(law):
    mean, error = law.simulate(SIZES, draws=100, seed=3)
    assert np.all(np.abs(mean - law.loss(SIZES)) < 4 * error)
    # One decade of tokens, by a learner: within errors of the exact slope.
    slope = -np.log10(mean[2] / mean[1])
    exact = -np.log10(law.loss(1_000) / law.loss(100))
    assert slope == pytest.approx(
        float(exact), abs=4 * float(error[1] / mean[1] + error[2] / mean[2])
    )


def test_single_quanta_emerge_while_the_mean_falls_smoothly():
    law = QuantaLaw(0.5)
    sizes = 10.0 ** np.arange(0, 9, 0.25)
    local = -np.diff(np.log(law.loss(sizes))) / np.diff(np.log(sizes))
    assert np.ptp(local[sizes[1:] > 100]) < 0.02  # one exponent
    for k in (10, 1000):
        learned = law.learned(k, sizes)
        fifth, most = (float(np.interp(x, learned, np.log10(sizes))) for x in (0.1, 0.9))
        assert most - fifth < 1.4  # decades: ln 10 / -ln .9 is a factor of 22
        half = np.interp(0.5, learned, np.log(sizes))
        assert np.exp(half) == pytest.approx(np.log(2) / law.probability(k), rel=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantaLaw(0.0), "alpha=0"),
        (lambda: QuantaLaw(1.0, 0), "quanta=0"),
        (lambda: QuantaLaw(1.0).loss(-1), "tokens"),
        (lambda: QuantaLaw(1.0).simulate([10, 10]), "ascend"),
        (lambda: QuantaLaw(1.0).simulate([10], draws=1), "draws=1"),
        (lambda: Quanta(-1.0), "alpha=-1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_the_world_writes_its_curves(tmp_path):
    output = tmp_path / "quanta"
    options = ["--alpha", "0.5", "--vocab-size", "1000", "--tokens", "2e4", "-o", str(output)]
    main(["synthesize", "quanta", *options], standalone_mode=False)
    known = json.loads((output / "truth.json").read_text())
    assert known["exponents"]["memoriser"]["value"] == pytest.approx(1 / 3)
    assert known["exponents"]["beta"]["value"] is None
    memoriser = known["extras"]["memoriser"]
    exact = QuantaLaw(0.5, 1000).loss(memoriser["sampled_tokens"])
    difference = np.abs(np.array(memoriser["sampled_loss"]) - exact)
    assert np.all(difference <= 5 * np.array(memoriser["sampled_loss_error"]) + 1e-12)
