"""Lags and texts of the tokens with the largest entries in the singular vectors of C(t)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ngramstat.results import CorrelationResult

__all__ = ["rows_near", "token_text"]


def rows_near(result: CorrelationResult, targets: Sequence[int]) -> list[int]:
    """Rows of the measured lags nearest to the target lags; targets beyond the last are ignored."""
    lags = result.lags.astype(np.float64)
    return sorted({int(np.abs(np.log(lags / lag)).argmin()) for lag in targets if lag <= lags[-1]})


def token_text(result: CorrelationResult, token: int) -> str | None:
    """The decoded text of a token id; None if no tokenizer is recorded."""
    text = None if result.type_texts is None else result.type_texts.get(str(token))
    return None if text is None else str(text)
