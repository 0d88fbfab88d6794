"""The documents that carry much of ||C(t)||, at lags where few documents do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngramstat.report.top_tokens import rows_near
from ngramstat.results import CorrelationResult

__all__ = ["CarryingDocument", "CarryingLag", "carrying_lags"]

# Documents are named where one of them carries more than this part of the norm, or where this
# fraction of them or less carries half of it.
_MUCH = 0.1
_FEW = 0.01
_LAGS = (1, 10, 100)
# They carry the norm of text, not of noise, where it exceeds the noise floor by this factor.
_ABOVE_NOISE = 2.0
# A named document carries at least this part.
_LEAST = 0.01


@dataclass(frozen=True)
class CarryingDocument:
    """A document, what it carries, and the positions of its tokens (`end` not included)."""

    number: int
    share: float
    start: int
    end: int


@dataclass(frozen=True)
class CarryingLag:
    """A lag, the documents that carry most of its norm, and the fraction that carries half."""

    lag: int
    documents: tuple[CarryingDocument, ...]
    for_half: float


def carrying_lags(result: CorrelationResult) -> list[CarryingLag]:
    """A few lags at which few documents carry much of the norm; empty where there are none."""
    documents, shares = result.top_documents, result.top_document_shares
    starts, ends, half = (
        result.top_document_starts, result.top_document_ends, result.documents_for_half
    )  # fmt: skip
    if documents is None or shares is None or starts is None or ends is None or half is None:
        return []
    if documents.size == 0:
        return []
    largest = np.nan_to_num(shares[:, 0])
    # Not the valid lags: documents that carry the norm raise its noise, so lags lose validity.
    measured = result.norm > _ABOVE_NOISE * result.noise_floor
    matters = measured & ((largest > _MUCH) | (half <= _FEW))
    rows = [row for row in rows_near(result, _LAGS) if matters[row]]
    if matters.any():
        rows = sorted({*rows, int(np.where(matters, largest, 0.0).argmax())})
    return [
        CarryingLag(
            int(result.lags[row]),
            tuple(
                CarryingDocument(int(d), float(s), int(a), int(b))
                for d, s, a, b in zip(
                    documents[row], shares[row], starts[row], ends[row], strict=True
                )
                if s >= _LEAST
            ),
            float(half[row]),
        )
        for row in rows
    ]
