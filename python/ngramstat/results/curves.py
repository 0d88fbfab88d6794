"""Learning curves of the user's own models, and the exponents they imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.results.base import BoolVector, FloatMatrix, FloatVector, IntVector, Result
from ngramstat.results.exponent import Exponent

__all__ = ["Collapse", "CurveTable", "CurvesResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveTable(Result):
    """Measured losses L_n(P), one per row; sorted by context, then by tokens.

    Attributes
    ----------
    context : (n,) int64
        Tokens of context.
    tokens : (n,) float64
        Training tokens P; NaN in all rows of a pretrained model whose P is unknown.
    loss : (n,) float64
        Nats per token; the mean over replicates.
    error : (n,) float64 or None
        Standard error of each loss, NaN where unknown.
    replicates : (n,) int64
        Number of measurements averaged.
    learner : str or None
        Name of the model whose losses these are; given where all are those of one trained model.
    of_one_run : bool
        Whether the losses are points along one training run, rather than of models trained to the
        end on P tokens.
    notes : tuple of str
        What was read from which file, which points were averaged and what was left out.
    """

    _axis: ClassVar[str | None] = "context"

    context: IntVector
    tokens: FloatVector
    loss: FloatVector
    error: FloatVector | None = None
    replicates: IntVector
    learner: str | None = None
    of_one_run: bool = False
    notes: tuple[str, ...] = ()

    def _check(self) -> None:
        if np.any(self.context < 0):
            raise InputError("CurveTable.context: cannot be negative")
        for name in ("tokens", "loss"):
            values = getattr(self, name)
            if name == "tokens" and self.learner is not None and np.all(np.isnan(values)):
                continue  # one pretrained model, whose number of training tokens is unknown
            if not np.all(np.isfinite(values) & (values > 0)):
                raise InputError(f"CurveTable.{name}: must be positive and finite")
        steps = np.diff(self.context)
        # Written so that rows without tokens may not repeat a context either.
        if np.any((steps < 0) | ((steps == 0) & ~(np.diff(self.tokens) > 0))):
            raise InputError("CurveTable: must be sorted by context and tokens, without repeats")


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvesResult(Result):
    """Limits, exponents and alpha of the user's learning curves; one row per context.

    Attributes
    ----------
    context : (n_contexts,) int64
    limit, limit_low, limit_high : (n_contexts,) float64
        L_n at infinite P with its interval; NaN where the fit was refused.
    identifiable : (n_contexts,) bool
    delta, delta_low, delta_high : (n_contexts,) float64
        L_n - limit ~ P^-delta.
    points : (n_contexts,) int64
        Number of sizes fitted. If the threshold P*_n is known, sizes below 10 P*_n are left out.
    reasons : tuple of str
        One per context; empty if the limit is identifiable.
    largest_tokens : float or None
        P at which `gamma_finite` is taken.
    gamma : Exponent
        Exponent of the limits.
    gamma_finite : Exponent
        Exponent of the losses at `largest_tokens`, raw (H_inf = 0).
    alpha, alpha_finite : Exponent
        gamma / (2 beta), with the beta of the corpus.
    table : CurveTable
        The curves as read.
    """

    _axis: ClassVar[str | None] = "context"

    context: IntVector
    limit: FloatVector
    limit_low: FloatVector
    limit_high: FloatVector
    identifiable: BoolVector
    delta: FloatVector
    delta_low: FloatVector
    delta_high: FloatVector
    points: IntVector
    reasons: tuple[str, ...] = ()
    largest_tokens: float | None = None
    gamma: Exponent
    gamma_finite: Exponent
    alpha: Exponent
    alpha_finite: Exponent
    table: CurveTable


@dataclass(frozen=True, kw_only=True, eq=False)
class Collapse(Result):
    """How well ``(L_n(P) - H_inf) n^gamma`` against ``P / n^(2 beta)`` collapses onto one curve.

    Attributes
    ----------
    source : str
        ``counted`` or ``imported``.
    protocol : str
        ``raw`` (H_inf = 0) or ``shifted``.
    gamma, beta, entropy_rate : float
        The exponents of the rescaling, and H_inf.
    reportable : bool
        Whether both exponents are reportable.
    reason : str or None
        Why not.
    quality : float or None
        Root-mean-square distance between the rescaled curves where they overlap, relative to the
        distance before rescaling; 1 is no improvement. None if too little overlaps.
    overlap : float
        Fraction of the points that lie in the range of another rescaled curve.
    best_gamma, best_beta, best_quality : float or None
        Exponents and quality of the best collapse on the grid.
    gamma_low, gamma_high, beta_low, beta_high : float or None
        Range on the grid in which the distance is at most twice the best one.
    grid_gamma, grid_beta : (n,), (m,) float64
        Values of the grid.
    grid_quality : (n, m) float64
        Quality at each pair of values.
    points, contexts : int
        Number of losses and of contexts used.
    """

    source: str
    protocol: str
    gamma: float
    beta: float
    entropy_rate: float
    quality: float | None = None
    overlap: float
    best_gamma: float | None = None
    best_beta: float | None = None
    best_quality: float | None = None
    gamma_low: float | None = None
    gamma_high: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    grid_gamma: FloatVector
    grid_beta: FloatVector
    grid_quality: FloatMatrix
    points: int
    contexts: int
    reportable: bool = False
    reason: str | None = None
