"""What percolation clusters make of a learner's loss: exact and sampled curves, and exponents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import FloatVector, JsonObject, Result
from ngramstat.results.exponent import Exponent

__all__ = ["PERCOLATION_SCHEMA", "PercolationRegime", "PercolationResult"]

PERCOLATION_SCHEMA = "ngramstat.percolation/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class PercolationRegime(Result):
    """One regime: what a learner loses after P data.

    Attributes
    ----------
    name : str
        ``many clusters`` or ``one giant cluster``.
    learner, loss_is, formula : str
        What learns, what its loss is, and the exponent as a formula, in words.
    predicted : float
        The exponent of the formula, at endlessly many data.
    exact_slope : float
        Slope of the exact curve over the same data.
    sampled : Exponent
        Slope of the sampled learners' mean loss; its interval is that of the scatter of draws.
    tokens, exact, loss, error : (n_sizes,) float64
        P, the exact loss, and the mean loss of sampled learners with its standard error.
    assumption, falsifier : str
        The condition under which the formula holds, and what would refute it.
    """

    _axis: ClassVar[str | None] = "tokens"

    name: str
    learner: str
    loss_is: str
    formula: str
    predicted: float
    exact_slope: float
    sampled: Exponent
    tokens: FloatVector
    exact: FloatVector
    loss: FloatVector
    error: FloatVector
    assumption: str
    falsifier: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PercolationResult(Result):
    """Both regimes, and what is refused.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.percolation/1``.
    settings : dict
    regimes : tuple of PercolationRegime
    refused : tuple of str
        What has no exponent, or was not read, in sentences.
    """

    schema: str = PERCOLATION_SCHEMA
    settings: JsonObject
    regimes: tuple[PercolationRegime, ...]
    refused: tuple[str, ...]

    def _check(self) -> None:
        if self.schema != PERCOLATION_SCHEMA:
            raise InputError(
                f"PercolationResult.schema: needs {PERCOLATION_SCHEMA!r}, got {self.schema[:60]!r}"
            )

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["regime", "predicted", "exact slope", "sampled", "low", "high"]
        return header, [
            [r.name, r.predicted, r.exact_slope, r.sampled.value, r.sampled.low, r.sampled.high]
            for r in self.regimes
        ]

    def _caption(self) -> str:
        return "Percolation clusters: exponents of the loss"
