"""The result of `ngramstat validate`: measured and predicted alpha, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import DrawableResult, JsonObject, Result
from ngramstat.results.exponent import Exponent, Gate
from ngramstat.results.prediction import Prediction

__all__ = [
    "OUTCOMES",
    "VALIDATION_SCHEMA",
    "Comparison",
    "LearnerSlopes",
    "SlopeAtSize",
    "TrainedLoss",
    "ValidationResult",
]

VALIDATION_SCHEMA = "ngramstat.validation/1"
OUTCOMES = ("consistent", "inconsistent", "indeterminate")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedLoss(Result):
    """The loss of one model and context length at one training-set size, with tuned settings.

    Attributes
    ----------
    tokens : float
        P.
    loss : float
        Mean over positions and seeds, nats per token.
    low, high : float or None
        Interval over held-out documents.
    model : str
    context : int
        T.
    seeds : int
        Number of trainings averaged.
    on_envelope : bool
        Whether no other model or context has a smaller loss at this P.
    """

    _axis: ClassVar[str | None] = None

    tokens: float
    loss: float
    low: float | None = None
    high: float | None = None
    model: str
    context: int
    seeds: int
    on_envelope: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class SlopeAtSize(Result):
    """Raw slopes of one learner at one training-set size.

    Attributes
    ----------
    tokens : float
        P.
    loss : float
        Mean over positions and seeds, nats per token.
    local : float or None
        Minus the log-log slope of the losses against P from the next smaller size to this one.
    gamma : Exponent
        Minus the log-log slope of L_n(P) against n, no limit subtracted.
    predicted : Exponent
        gamma / (2 beta).
    """

    tokens: float
    loss: float
    local: float | None = None
    gamma: Exponent
    predicted: Exponent


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnerSlopes(Result):
    """How the losses of one model and context fall with training tokens and with context.

    Attributes
    ----------
    model : str
    context : int
        T.
    alpha : Exponent
        Minus the log-log slope of the losses against P over all sizes; those of the first m sizes
        are among its alternatives.
    beta : Exponent
        Of the corpus, as `predicted` uses it.
    sizes : tuple of SlopeAtSize
        By P, ascending.
    """

    model: str
    context: int
    alpha: Exponent
    beta: Exponent
    sizes: tuple[SlopeAtSize, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison(Result):
    """A predicted and a measured alpha of the same kind.

    Attributes
    ----------
    name : str
        The kind of alpha: ``raw`` (of the losses themselves, as in the paper), ``limit`` (of the
        losses above a fitted limit at infinite P), ``known limit`` (of the last tokens of a
        hierarchy world), ``classification error``.
    predicted, measured : Exponent
    outcome : str
        ``consistent`` if the intervals overlap, ``inconsistent`` if they do not, ``indeterminate``
        if one of the two is not reportable.
    reason : str
    """

    name: str
    predicted: Exponent
    measured: Exponent
    outcome: str
    reason: str

    def _check(self) -> None:
        if self.outcome not in OUTCOMES:
            raise InputError(f"Comparison.outcome: needs one of {', '.join(OUTCOMES)}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationResult(DrawableResult):
    """Transformers trained on growing parts of a corpus, compared with its prediction.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.validation/1``.
    corpus, settings, provenance : dict
        Plain JSON objects.
    runs : dict
        Numbers of runs by status, and the sizes that were left out.
    losses : tuple of TrainedLoss
        By model, context and P.
    curves : str or None
        Model and T with the smallest loss at the largest P; the prediction uses their learning
        curves by context. None if only last tokens or classes were predicted.
    prediction : Prediction
        From the corpus's statistics and these curves.
    comparisons : tuple of Comparison
    outcome : str
    meaning : str
        The verdict in one sentence.
    gates : tuple of Gate
        Conditions under which the comparison tests the theory.
    known : dict
        Exact exponents, if the corpus is a synthetic world.
    time_exponent : Exponent or None
        Exponent of the training loss against training time, in the run at the largest P.
    documents_are_blocks : bool
        Equal blocks stood in for documents, because the store has too few.
    slopes : tuple of LearnerSlopes
        Raw slopes of every model and context, if all tokens were targets.
    """

    _file_name: ClassVar[str | None] = "validation.json"

    schema: str = VALIDATION_SCHEMA
    corpus: JsonObject
    settings: JsonObject
    provenance: JsonObject
    runs: JsonObject
    losses: tuple[TrainedLoss, ...]
    curves: str | None = None
    prediction: Prediction
    comparisons: tuple[Comparison, ...]
    outcome: str
    meaning: str
    gates: tuple[Gate, ...]
    known: JsonObject
    time_exponent: Exponent | None = None
    documents_are_blocks: bool = False
    slopes: tuple[LearnerSlopes, ...] = ()

    def _check(self) -> None:
        if self.schema != VALIDATION_SCHEMA:
            raise InputError(
                f"ValidationResult.schema: needs {VALIDATION_SCHEMA!r}, got {self.schema[:60]!r}"
            )
        if self.outcome not in OUTCOMES:
            raise InputError(f"ValidationResult.outcome: needs one of {', '.join(OUTCOMES)}")

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["model", "context", "tokens", "loss", "low", "high", "seeds", "on_envelope"]
        return header, [[getattr(point, name) for name in header] for point in self.losses]

    def _caption(self) -> str:
        where = self.corpus.get("path") or "a corpus in memory"
        return f"ngramstat validation on {where}: {self.outcome}"

    def __repr__(self) -> str:
        lines = [f"ValidationResult: {self.outcome}. {self.meaning}"]
        lines += [f"  {c.name}: {c.outcome}, {c.reason}" for c in self.comparisons]
        return "\n".join(lines)
