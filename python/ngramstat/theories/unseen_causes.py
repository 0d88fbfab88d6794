"""Theories whose exponent depends on what a corpus does not show: rows without a number.

Each says what it would need, and which command shows the theory where that is known. Formulas:
docs/theory.md 6, 8, 9 and 11.
"""

from __future__ import annotations

from ngramstat.results import Exponent, TheoryRow
from ngramstat.theories.percolation import GIANT_CLUSTER, MANY_CLUSTERS, Regime

__all__ = ["rows_of_unseen_causes"]


def rows_of_unseen_causes(time_exponent: Exponent | None = None) -> list[TheoryRow]:
    """Rows of power-law rules, percolation, manifolds and training time.

    Parameters
    ----------
    time_exponent : Exponent, optional
        Of the training loss of a model of this corpus against training time.
    """
    return [
        _power_law_rules(),
        _percolation(MANY_CLUSTERS),
        _percolation(GIANT_CLUSTER),
        _manifold(),
        _one_third_law(time_exponent),
    ]


def _power_law_rules() -> TheoryRow:
    formula = "a / (1 + a)"
    return TheoryRow(
        name="hierarchy, power-law rules", source="Cagnetta et al. 2025",
        formula=f"{formula}, rules ~ k^-(1+a)",
        exponent=Exponent.refused(
            "a corpus does not reveal the distribution of its rules; `ngramstat theories "
            "hierarchies` measures learning curves where it is known, and `ngramstat synthesize "
            "rhm --zipf-a` writes such corpora",
            method=formula,
        ),
        assumption="classification of whole strings, in which rare rules are learned last",
        falsifier="next-token losses that depend on a",
    )  # fmt: skip


def _percolation(regime: Regime) -> TheoryRow:
    return TheoryRow(
        name=f"percolation, {regime.name}", source="Brill 2024", formula=regime.formula,
        exponent=Exponent.refused(
            "the tokens of a corpus do not show which clusters its data belong to, nor whether "
            "these are at the percolation threshold; `ngramstat theories percolation` samples "
            "clusters that are, and their learning curves",
            method=regime.formula,
        ),
        assumption=regime.assumption, falsifier=regime.falsifier,
    )  # fmt: skip


def _manifold() -> TheoryRow:
    formula = "4 / d"
    return TheoryRow(
        name="manifold", source="Sharma and Kaplan 2020", formula=formula,
        exponent=Exponent.refused(
            "it needs d, the number of dimensions in which the data vary as a model represents "
            "them, which counts of tokens do not show and ngramstat does not measure; `ngramstat "
            "theories percolation` samples one manifold of known dimension",
            method=formula,
        ),
        assumption="the data lie on a smooth manifold of d dimensions, on which a model "
        "interpolates a smooth function between the data that it has seen",
        falsifier="models of equal d whose losses fall differently",
    )  # fmt: skip


def _one_third_law(time_exponent: Exponent | None) -> TheoryRow:
    formula = "1/3, of training time"
    return TheoryRow(
        name="one-third law", source="Liu et al. 2026", formula=formula, statistic=time_exponent,
        exponent=Exponent.refused(
            "it is about training time, the summed learning rate, and not about data, and a "
            "corpus shows no training; `ngramstat theories one-third` trains the toy that it is "
            f"derived from; {_training_in_words(time_exponent)}",
            method=formula,
        ),
        assumption="gradient descent at a fixed rate on targets of which one token is nearly "
        "certain; only then, and in a single pass over the data, is time proportional to data",
        falsifier="a loss above the entropy rate that falls otherwise than as tau^-1/3, tau the "
        "summed learning rate, where targets are peaked",
    )  # fmt: skip


def _training_in_words(time_exponent: Exponent | None) -> str:
    """What is known of training on this corpus, or what would measure it."""
    if time_exponent is None:
        return "`ngramstat validate` fits the training loss of a model of this text against time"
    if not time_exponent.reportable or time_exponent.value is None:
        return (
            "of the models trained on this text no exponent of time can be reported: "
            f"{time_exponent.reason or 'not measured'}"
        )
    interval = (
        f" [{time_exponent.low:.3f}, {time_exponent.high:.3f}]"
        if time_exponent.low is not None and time_exponent.high is not None
        else ""
    )
    return (
        f"the training loss of a model of this text falls as tau^-{time_exponent.value:.3f}"
        f"{interval}, tau the summed learning rate, with the entropy rate in it, which makes it "
        "fall more slowly than what the law is about"
    )
