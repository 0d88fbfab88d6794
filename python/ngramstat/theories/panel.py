"""The exponent of the loss against training tokens, as each theory predicts it from a corpus.

Formulas, conditions and examples: docs/theory.md 11. If a theory's statistic is not reportable, or
cannot be measured on a corpus, its exponent is refused with the reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.prediction.verdict import compare
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    Exponent,
    KgramTable,
    RunResult,
    SpectrumTable,
    TheoriesResult,
    TheoryRow,
)
from ngramstat.runtime.numbers import count_text
from ngramstat.theories.bottom_line import UNIFORM_RULES, bottom_line
from ngramstat.theories.growth import Growth
from ngramstat.theories.solvable import implicit_scale, local_exponents
from ngramstat.theories.spectra import Spectra
from ngramstat.theories.unseen_causes import rows_of_unseen_causes

__all__ = ["NO_CORPUS", "MeasuredAlpha", "assemble", "judge", "transformed"]

Floats = NDArray[np.float64]

NO_CORPUS = "the corpus was not found; give its path with --corpus"
_FINITE = "horizon, finite P"
# Ranks of a spectrum that are saved, and sample sizes of the random-feature model over it.
_SAVED_RANKS = 4096
_SAMPLES = (4, 16, 64, 256, 1024)


@dataclass(frozen=True)
class MeasuredAlpha:
    """alpha of trained models.

    Attributes
    ----------
    name : str
    protocol : str
        ``limit``: of the loss above its fitted limit; ``raw``: of the loss itself; predictions are
        not compared with any other protocol.
    alpha : Exponent
    sound : bool
        False if a condition of the measurement is known to have failed.
    """

    name: str
    protocol: str
    alpha: Exponent
    sound: bool = True


def transformed(statistic: Exponent, function: Callable[[float], float], formula: str) -> Exponent:
    """A monotone function of a measured exponent, with its interval, reportability and reason."""
    if statistic.value is None:
        return Exponent.refused(
            statistic.reason or "not measured", method=formula, level=statistic.level
        )
    ends = [function(x) for x in (statistic.low, statistic.high) if x is not None]
    low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
    value = function(statistic.value)
    finite = all(math.isfinite(x) for x in (value, low or 0.0, high or 0.0))
    reason = statistic.reason
    if statistic.reportable and not finite:
        reason = "the formula has no finite value at this statistic"
    return Exponent(
        value=value if math.isfinite(value) else None,
        low=low if finite else None,
        high=high if finite else None,
        level=statistic.level,
        window=statistic.window,
        points=statistic.points,
        method=f"{formula}; {statistic.method}",
        reportable=statistic.reportable and finite,
        reason=reason,
    )


def assemble(
    run: RunResult,
    corpus: Corpus | None,
    growth: Growth | str,
    spectra: Spectra | None,
    measured: Sequence[MeasuredAlpha] = (),
    time_exponent: Exponent | None = None,
) -> TheoriesResult:
    """The panel: the theories' predictions, then the exponents of trained models.

    Parameters
    ----------
    run : RunResult
    corpus, spectra
        None if the corpus was not found.
    growth : Growth or str
        A str says why k-grams were not counted.
    measured : sequence of MeasuredAlpha
        Exponents of trained models.
    time_exponent : Exponent, optional
        Of the training loss of one of them against training time.
    """
    rows = [
        *_horizon(run),
        *_hilberg(run),
        *_kgrams(growth),
        *_spectrum(spectra),
        *_hierarchy(run),
        *rows_of_unseen_causes(time_exponent),
        *_predictive(spectra),
        _walks(run),
    ]
    rows += [
        TheoryRow(
            name=one.name, source="trained models", kind="measured", formula="slope of the loss",
            exponent=one.alpha, assumption="the loss is limited by data up to the largest P",
            falsifier="a larger model or a longer context lowers the loss at the largest P",
        )
        for one in measured
    ]  # fmt: skip
    rows = [judge(row, measured) for row in rows]
    kgrams: tuple[KgramTable, ...] = ()
    tables: tuple[SpectrumTable, ...] = ()
    if isinstance(growth, Growth):
        kgrams = tuple(
            KgramTable(k=g.k, tokens=g.tokens, types=g.types, singletons=g.singletons)
            for g in growth.kgrams
        )
    if spectra is not None:
        tables = tuple(
            SpectrumTable(
                of=of,
                index=np.arange(1, len(values[:_SAVED_RANKS]) + 1),
                value=values[:_SAVED_RANKS],
            )
            for of, values in (
                ("covariance of one-hot tokens", spectra.eigenvalues),
                ("predictive contributions of contexts of one token", spectra.contributions),
            )
        )
    return TheoriesResult(
        corpus=run.corpus,
        provenance={
            **{name: run.provenance.get(name) for name in ("version", "commit")},
            "corpus": None if corpus is None else str(corpus.path),
        },
        rows=tuple(rows),
        bottom_line=bottom_line(rows, run),
        kgrams=kgrams,
        spectra=tables,
    )


def judge(row: TheoryRow, measured: Sequence[MeasuredAlpha]) -> TheoryRow:
    """The row with its agreement with trained models.

    Theories predict the loss above its limit; only the horizon's slope at finite P is compared with
    raw losses. If a condition of the measurement failed, the agreement is indeterminate.
    """
    if row.kind != "prediction":
        return row
    protocol = "raw" if row.name == _FINITE else "limit"
    for one in measured:
        if one.protocol == protocol and one.alpha.value is not None:
            outcome = compare(row.name, row.exponent, one.alpha).outcome
            return dataclasses.replace(row, agreement=outcome if one.sound else "indeterminate")
    return row


def _missing(name: str, reason: str) -> Exponent:
    return Exponent.refused(reason, method=name)


def _horizon(run: RunResult) -> list[TheoryRow]:
    prediction = run.prediction
    absent = "the run lacks correlations or entropies; `ngramstat measure` computes both"
    return [
        TheoryRow(
            name=name, source="Cagnetta, Raventos, Ganguli, Wyart 2026", formula="gamma / (2 beta)",
            exponent=_missing("gamma / (2 beta)", absent) if prediction is None
            else getattr(prediction, attribute),
            assumption="P tokens resolve correlations up to lag n*(P) ~ P^(1/2beta), and the model "
            "learns all of them",
            falsifier="learning curves by context that do not collapse when P is divided by "
            "n^(2beta)",
        )
        for name, attribute in (("horizon", "alpha"), (_FINITE, "alpha_finite"))
    ]  # fmt: skip


def _hilberg(run: RunResult) -> list[TheoryRow]:
    entropies = run.entropies
    gamma = _missing("gamma", "the run has no entropies") if entropies is None else entropies.gamma
    return [
        TheoryRow(
            name="hilberg", source="Hilberg 1990; Debowski 2025", formula="gamma",
            statistic=gamma, exponent=transformed(gamma, lambda g: g, "gamma"),
            assumption="training data act as context: P of them are worth a context of P tokens",
            falsifier="a loss that falls faster or slower with P than H(n) falls with n",
        )
    ]  # fmt: skip


def _kgrams(growth: Growth | str) -> list[TheoryRow]:
    if isinstance(growth, str):
        refused = _missing("k-grams", growth)
        return [
            TheoryRow(name=name, source=source, formula=formula, exponent=refused,
                      assumption=assumption, falsifier=falsifier)
            for name, source, formula, assumption, falsifier in _KGRAM_THEORIES
        ]  # fmt: skip
    rows = []
    for name, source, formula, assumption, falsifier in _KGRAM_THEORIES:
        for kgram in growth.kgrams:
            statistic, function = {
                "heaps": (kgram.heaps, lambda h: 1.0 - h),
                "quanta": (kgram.zipf, lambda z: (z - 1.0) / z if z > 0 else math.nan),
                "missing mass": (kgram.missing, lambda x: x),
            }[name]
            rows.append(
                TheoryRow(
                    name=f"{name}, k={kgram.k}", source=source, formula=formula,
                    statistic=statistic, exponent=transformed(statistic, function, formula),
                    assumption=assumption, falsifier=falsifier,
                )
            )  # fmt: skip
    return rows


_KGRAM_THEORIES = (
    (
        "heaps",
        "Heaps 1978; Debowski 2025",
        "1 - h",
        "the excess loss is proportional to the rate of new k-grams",
        "a value of 1 - h that depends on k, or on the size of the corpus",
    ),
    (
        "quanta",
        "Michaud, Liu, Girit, Tegmark 2023; Hutter 2021",
        "(z - 1) / z",
        "the loss is a sum over skills that are learned one by one, most frequent first, and "
        "frequencies of skills are distributed like those of k-grams",
        "a value of z that depends on k, or losses of single skills that do not fall in steps",
    ),
    (
        "missing mass",
        "Good 1953",
        "-d ln(N_1 / P) / d ln P",
        "a model errs on k-grams that it has never seen",
        "an exponent that depends on k",
    ),
)


def _spectrum(spectra: Spectra | None) -> list[TheoryRow]:
    statistic = None if spectra is None else spectra.decay
    exponent = _missing("s - 1", NO_CORPUS)
    if spectra is not None:
        exponent = transformed(spectra.decay, lambda s: s - 1.0, "s - 1")
        exponent = dataclasses.replace(
            exponent, alternatives=tuple(_random_features(spectra.eigenvalues))
        )
    return [
        TheoryRow(
            name="spectrum of tokens", source="Maloney, Roberts, Sully 2022",
            formula="s - 1, with eigenvalues ~ i^-s", statistic=statistic, exponent=exponent,
            assumption="features behave as random ones over latents with the spectrum of one-hot "
            "tokens, and parameters do not bind",
            falsifier="a loss that still falls with more tokens than latents, or different "
            "exponents in data and in parameters",
        )
    ]  # fmt: skip


def _random_features(eigenvalues: Floats) -> list[Alternative]:
    """Exponents of the planar loss g(n) n over the measured spectrum, power law or not."""
    sizes = [float(n) for n in _SAMPLES if 8 * n <= np.count_nonzero(eigenvalues)]
    losses = [implicit_scale(eigenvalues, n) * n for n in sizes]
    return [
        Alternative(
            kind=AlternativeKind.RANDOM_FEATURES,
            method=f"random features over the measured spectrum, {a:g} to {b:g} samples",
            value=float(slope), window=(a, b), points=2,
        )
        for a, b, slope in zip(
            sizes, sizes[1:], local_exponents(sizes, losses), strict=False
        )
    ]  # fmt: skip


def _hierarchy(run: RunResult) -> list[TheoryRow]:
    beta = None if run.correlations is None else run.correlations.beta
    gamma = None if run.entropies is None else run.entropies.gamma
    alpha = None if run.prediction is None else run.prediction.alpha
    absent = "the run lacks correlations or entropies"
    uniform = alpha if alpha is not None else _missing("ln(1/f) / (2 ln m)", absent)
    note = ""
    if beta is not None and gamma is not None and beta.value and gamma.value is not None:
        note = (
            f" (here, with s = 2: m = {2**beta.value:.2f} synonyms, "
            f"fraction f = {2**-gamma.value:.2f} of strings allowed)"
        )
    return [
        TheoryRow(
            name=UNIFORM_RULES, source="Cagnetta and Wyart 2024",
            formula="ln(1/f) / (2 ln m)" + note, exponent=uniform,
            assumption="the corpus comes from a random hierarchy with m = s^beta equally likely "
            "rules per symbol; with m and f from C(t) and H(n), this is the horizon's exponent",
            falsifier="drops of H(n) between n = s, s^2, ... that shrink by different factors",
        ),
    ]  # fmt: skip


def _predictive(spectra: Spectra | None) -> list[TheoryRow]:
    statistic = None if spectra is None else spectra.tail
    value = None if statistic is None else statistic.value
    reason = NO_CORPUS
    if statistic is not None:
        reason = statistic.reason or (
            f"the tail slope {value:.3f} is reported to correlate with the exponent over corpora, "
            "not to equal it: the theory does not derive how many states P tokens resolve"
        )
    return [
        TheoryRow(
            name="predictive spectrum", source="arXiv 2605.20196", kind="correlate",
            formula="tail slope b - 1 of mass times divergence of contexts of one token",
            statistic=statistic, exponent=_missing("(b - 1) d ln K / d ln P", reason),
            assumption="contexts are learned in the order of their contribution to the prediction",
            falsifier="corpora with equal tail slopes whose losses fall differently",
        )
    ]  # fmt: skip


def _walks(run: RunResult) -> TheoryRow:
    """What walks on graphs and n-gram languages show: the horizon theory does not explain them."""
    return TheoryRow(
        name="walks on graphs", source="Barkeshli et al. 2026", formula="none",
        exponent=_missing("none", f"it gives no number: {_likeness(run)}"),
        assumption="losses fall with the tokens although nothing in the data is a power law: in "
        "walks on graphs and n-gram languages C(t) falls exponentially and H(n) is constant from "
        "the first tokens on, so no horizon n*(P) ~ P^(1/2beta) explains their exponents",
        falsifier="losses on such sources that do not fall as a power law once the entropy rate, "
        "which is known there, is subtracted",
    )  # fmt: skip


def _likeness(run: RunResult) -> str:
    """Whether a run looks like such a source, and what to go by if it does, in plain words."""
    beta = None if run.correlations is None else run.correlations.beta
    gamma = None if run.entropies is None else run.entropies.gamma
    if beta is None or gamma is None:
        return "whether this text is like such sources needs both C(t) and H(n)"
    refused = [name for name, e in (("beta", beta), ("gamma", gamma)) if not e.reportable]
    if not refused:
        return "beta and gamma of this text can be reported, as those of such sources cannot"
    line = (
        f"{' and '.join(refused)} of this text cannot be reported, as of such sources, so gamma / "
        "(2 beta) does not say how losses fall here, though they will"
    )
    slopes = [] if run.answer is None else [
        rung for rung in run.answer.rungs if rung.rung == "counted" and rung.shown is not None
    ]  # fmt: skip
    if slopes and slopes[0].shown_tokens is not None:
        first, last = (count_text(p) for p in slopes[0].shown_tokens)
        line += (
            f"; losses of the counted learner fall as P^-{slopes[0].shown:.3f} from {first} to "
            f"{last} tokens"
        )
    return line
