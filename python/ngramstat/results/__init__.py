"""The results that computations return: immutable, and convertible to JSON and back.

Units: lags, contexts and horizons are tokens; entropies are in nats per token; the
entries of C(t) and its norms are dimensionless probabilities.
"""

from __future__ import annotations

from ngramstat.results.answer import FORECAST_ROUTES, RUNGS, Answer, ForecastPoint, Rung
from ngramstat.results.base import DrawableResult, Result
from ngramstat.results.correlations import (
    BoundaryEffect,
    CorrelationResult,
    Periodicity,
    PeriodicKind,
    PeriodicStructures,
    VocabCut,
)
from ngramstat.results.curves import Collapse, CurvesResult, CurveTable
from ngramstat.results.entropies import EntropyResult, LearningCurve
from ngramstat.results.exponent import (
    Alternative,
    AlternativeKind,
    Exponent,
    ExponentDifference,
    Gate,
    IntervalParts,
    Replicates,
)
from ngramstat.results.forecast import ForecastBacktest, ModelSizeFit, ModelSizeTerm
from ngramstat.results.paper import AlphaOfFirst, GammaAtSize, PaperProtocol, PaperValue
from ngramstat.results.perplexity import PerplexityResult, TextScore
from ngramstat.results.prediction import (
    ContextPoint,
    HorizonPoint,
    LossFit,
    LossPoint,
    Prediction,
    StagePoint,
    ThresholdPoint,
)
from ngramstat.results.reading import READING_SCHEMA, ReadingResult
from ngramstat.results.run import PARTS, RUN_FILE, SCHEMA, RunResult
from ngramstat.results.theories import (
    THEORIES_FILE,
    THEORIES_SCHEMA,
    KgramTable,
    SpectrumTable,
    TheoriesResult,
    TheoryRow,
)
from ngramstat.results.validation import (
    OUTCOMES,
    VALIDATION_SCHEMA,
    Comparison,
    LearnerSlopes,
    SlopeAtSize,
    TrainedLoss,
    ValidationResult,
)

__all__ = [
    "FORECAST_ROUTES",
    "OUTCOMES",
    "PARTS",
    "READING_SCHEMA",
    "RUNGS",
    "RUN_FILE",
    "SCHEMA",
    "THEORIES_FILE",
    "THEORIES_SCHEMA",
    "VALIDATION_SCHEMA",
    "AlphaOfFirst",
    "Alternative",
    "AlternativeKind",
    "Answer",
    "BoundaryEffect",
    "Collapse",
    "Comparison",
    "ContextPoint",
    "CorrelationResult",
    "CurveTable",
    "CurvesResult",
    "DrawableResult",
    "EntropyResult",
    "Exponent",
    "ExponentDifference",
    "ForecastBacktest",
    "ForecastPoint",
    "GammaAtSize",
    "Gate",
    "HorizonPoint",
    "IntervalParts",
    "KgramTable",
    "LearnerSlopes",
    "LearningCurve",
    "LossFit",
    "LossPoint",
    "ModelSizeFit",
    "ModelSizeTerm",
    "PaperProtocol",
    "PaperValue",
    "PeriodicKind",
    "PeriodicStructures",
    "Periodicity",
    "PerplexityResult",
    "Prediction",
    "ReadingResult",
    "Replicates",
    "Result",
    "RunResult",
    "Rung",
    "SlopeAtSize",
    "SpectrumTable",
    "StagePoint",
    "TextScore",
    "TheoriesResult",
    "TheoryRow",
    "ThresholdPoint",
    "TrainedLoss",
    "ValidationResult",
    "VocabCut",
]
