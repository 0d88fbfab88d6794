"""A complete run, as ``run.json`` stores it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

from ngramstat.errors import InputError
from ngramstat.results.answer import Answer, ForecastPoint
from ngramstat.results.base import DrawableResult, JsonObject
from ngramstat.results.correlations import CorrelationResult
from ngramstat.results.entropies import EntropyResult
from ngramstat.results.exponent import Exponent
from ngramstat.results.forecast import ForecastBacktest, ModelSizeFit
from ngramstat.results.prediction import Prediction

__all__ = ["PARTS", "RUN_FILE", "SCHEMA", "RunResult"]

SCHEMA = "ngramstat.run/1"
RUN_FILE = "run.json"
# Folder of a run with its finished parts.
PARTS = "parts"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult(DrawableResult):
    """One run: the corpus, all resolved options, the provenance, and the parts that were computed.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.run/1``.
    corpus, settings, provenance : dict
        Plain JSON objects.
    correlations : CorrelationResult or None
    entropies : EntropyResult or None
    prediction : Prediction or None
        None if the part was not computed.
    answer : Answer or None
        What the run says of alpha, and what that stands on; None without a prediction.
    forecast : tuple of ForecastPoint
        Expected losses at the requested numbers of training tokens, by several routes.
    forecast_backtests : tuple of ForecastBacktest
        How these routes did on losses of the same learner that are known.
    model_size : ModelSizeFit or None
        Losses by model size and training tokens, where the user's curves give both.
    """

    _file_name: ClassVar[str | None] = RUN_FILE

    schema: str = SCHEMA
    corpus: JsonObject
    settings: JsonObject
    provenance: JsonObject
    correlations: CorrelationResult | None = None
    entropies: EntropyResult | None = None
    prediction: Prediction | None = None
    answer: Answer | None = None
    forecast: tuple[ForecastPoint, ...] = ()
    forecast_backtests: tuple[ForecastBacktest, ...] = ()
    model_size: ModelSizeFit | None = None

    def _check(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"RunResult.schema: needs {SCHEMA!r}, got {self.schema[:60]!r}")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a run from its directory, or from a file that `save` wrote.

        Raises
        ------
        InputError
            The run is unfinished, or the file is absent or no run.
        """
        place = Path(path)
        if (place / PARTS).is_dir() and not (place / RUN_FILE).exists():
            raise InputError(
                f"{place}: the run is unfinished; call `ngramstat measure` on it again"
            )
        return super().load(path)

    @property
    def exponents(self) -> dict[str, Exponent]:
        """The exponents that were computed, by name, in reading order."""
        exponents: dict[str, Exponent | None] = {}
        if self.correlations is not None:
            exponents["beta"] = self.correlations.beta
            exponents["beta_sequential"] = self.correlations.beta_sequential
        if self.entropies is not None:
            exponents["gamma"] = self.entropies.gamma
            exponents["gamma_finite"] = self.entropies.gamma_finite
        if self.prediction is not None:
            exponents["alpha"] = self.prediction.alpha
            exponents["alpha_finite"] = self.prediction.alpha_finite
        return {name: value for name, value in exponents.items() if value is not None}

    def _labelled(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Both halves, and the exponents as attributes."""
        variables: dict[str, Any] = {}
        coordinates: dict[str, Any] = {}
        for half in (self.correlations, self.entropies):
            if half is not None:
                more, axes, _ = half._labelled()
                variables |= more
                coordinates |= axes
        attributes = {"schema": self.schema}
        for name, exponent in self.exponents.items():
            attributes |= {f"{name}{k}": v for k, v in exponent._summary().items()}
        return variables, coordinates, attributes

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["exponent", "value", "low", "high", "level", "window", "reportable", "reason"]
        rows: list[list[Any]] = []
        for name, e in self.exponents.items():
            window = None if e.window is None else f"{e.window[0]:g}..{e.window[1]:g}"
            rows.append([name, e.value, e.low, e.high, e.level, window, e.reportable, e.reason])
        return header, rows

    def _caption(self) -> str:
        return f"ngramstat run of {self.corpus.get('path') or 'a corpus in memory'}"

    def __repr__(self) -> str:
        lines = [f"RunResult of {self.corpus.get('path') or 'a corpus in memory'}"]
        for name, e in self.exponents.items():
            lines.append(f"  {name}: {e.marked_summary()}")
        return "\n".join(lines)
