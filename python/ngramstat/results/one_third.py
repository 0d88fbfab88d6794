"""The toy of the one-third law: losses of a student during training, and their exponent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import FloatVector, JsonObject, Result
from ngramstat.results.exponent import Exponent

__all__ = ["ONE_THIRD_SCHEMA", "OneThirdResult"]

ONE_THIRD_SCHEMA = "ngramstat.one-third/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class OneThirdResult(Result):
    """What `ngramstat theories one-third` computes.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.one-third/1``.
    settings : dict
        Plain JSON: sizes, temperature, optimizer, rate, batch, steps and seed.
    rate_sum : (k,) float64
        Summed learning rate, tau.
    losses : (k,) float64
        Kullback-Leibler divergence of the student from the teacher, nats.
    scale : (k,) float64
        Scale of the student's map along the teacher's before the temperature.
    exponent : Exponent
        Minus the log-log slope of the losses against tau over the last two decades of tau.
    law_holds : bool
        Whether over these decades the scale is above that of chance and below that of the teacher,
        as the law assumes.
    """

    _axis: ClassVar[str | None] = "rate_sum"

    schema: str = ONE_THIRD_SCHEMA
    settings: JsonObject
    rate_sum: FloatVector
    losses: FloatVector
    scale: FloatVector
    exponent: Exponent
    law_holds: bool

    def _check(self) -> None:
        if self.schema != ONE_THIRD_SCHEMA:
            raise InputError(
                f"OneThirdResult.schema: needs {ONE_THIRD_SCHEMA!r}, got {self.schema[:60]!r}"
            )
