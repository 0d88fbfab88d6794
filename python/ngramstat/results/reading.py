"""Losses of a pretrained model by tokens of context."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.errors import InputError
from ngramstat.results.base import IntVector, JsonObject, Result
from ngramstat.results.curves import CurveTable

__all__ = ["READING_SCHEMA", "ReadingResult"]

READING_SCHEMA = "ngramstat.reading/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadingResult(Result):
    """What one trained model has lost on one corpus after n tokens of context.

    Attributes
    ----------
    schema : str
    model : str
        The model's directory.
    corpus : dict
        As in a run.
    table : CurveTable
        One row for every n: mean loss, its standard error by blocks of documents, the learner's
        name and the tokens that it was trained on, where known.
    windows : (n,) int64
        Number of windows averaged at every row of `table`.
    notes : tuple of str
        Sentences: what the curve leaves out, and what may be wrong with it.
    settings, provenance : dict
    """

    schema: str = READING_SCHEMA
    model: str
    corpus: JsonObject
    table: CurveTable
    windows: IntVector
    notes: tuple[str, ...] = ()
    settings: JsonObject
    provenance: JsonObject

    def _check(self) -> None:
        if self.schema != READING_SCHEMA:
            raise InputError(f"schema {self.schema!r}: this version reads {READING_SCHEMA!r}")
        if self.windows.shape != self.table.context.shape:
            raise InputError("ReadingResult.windows: needs one number for each context")
