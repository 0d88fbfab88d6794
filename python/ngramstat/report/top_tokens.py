"""Which lags and what text stand for the types that weigh most in C(t)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ngramstat.results import CorrelationResult

__all__ = ["rows_near", "type_text"]


def rows_near(result: CorrelationResult, wanted: Sequence[int]) -> list[int]:
    """Rows of the lags nearest to those wanted, as far as lags were measured."""
    lags = result.lags.astype(np.float64)
    return sorted({int(np.abs(np.log(lags / lag)).argmin()) for lag in wanted if lag <= lags[-1]})


def type_text(result: CorrelationResult, token: int) -> str | None:
    """The decoded text of a type; None where no tokenizer is recorded."""
    found = None if result.type_texts is None else result.type_texts.get(str(token))
    return None if found is None else str(found)
