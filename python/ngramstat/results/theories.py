"""What other theories of scaling predict of a corpus, as frozen results with JSON both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import DrawableResult, FloatVector, IntVector, JsonObject, Result
from ngramstat.results.exponent import Exponent

__all__ = ["THEORIES_SCHEMA", "KgramTable", "SpectrumTable", "TheoriesResult", "TheoryRow"]

THEORIES_SCHEMA = "ngramstat.theories/1"
KINDS = ("prediction", "correlate", "measured")


@dataclass(frozen=True, kw_only=True, eq=False)
class TheoryRow(Result):
    """One theory's data exponent for this corpus.

    Attributes
    ----------
    name : str
        Such as ``heaps, k=3``.
    source : str
        Whose theory it is.
    kind : str
        ``prediction``; ``correlate``: said to go with the exponent, not to be it; ``measured``: of
        trained models.
    formula : str
        The exponent from the statistic.
    statistic : Exponent or None
        What was measured of the corpus.
    exponent : Exponent
        Of the loss against training tokens.
    assumption, falsifier : str
        Under what it holds, and what would show that it does not.
    agreement : str
        Against what trained models did: ``consistent``, ``inconsistent``, ``indeterminate``; empty
        where nothing was measured.
    """

    name: str
    source: str
    kind: str = "prediction"
    formula: str
    statistic: Exponent | None = None
    exponent: Exponent
    assumption: str
    falsifier: str
    agreement: str = ""

    def _check(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"TheoryRow.kind: needs one of {', '.join(KINDS)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class KgramTable(Result):
    """How many k-grams of one length there are in parts of the corpus of growing size.

    Attributes
    ----------
    k : int
    tokens, types, singletons : (n_sizes,) float64
        Means over the parts of a size.
    """

    _axis: ClassVar[str | None] = "tokens"

    k: int
    tokens: FloatVector
    types: FloatVector
    singletons: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectrumTable(Result):
    """A spectrum, largest first.

    Attributes
    ----------
    of : str
        Whose spectrum it is.
    index : (n,) int64
        From 1.
    value : (n,) float64
    """

    _axis: ClassVar[str | None] = "index"

    of: str
    index: IntVector
    value: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False)
class TheoriesResult(DrawableResult):
    """The panel of theories for one corpus.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.theories/1``.
    corpus, provenance : dict
        Plain JSON objects.
    rows : tuple of TheoryRow
    kgrams : tuple of KgramTable
    spectra : tuple of SpectrumTable
    """

    schema: str = THEORIES_SCHEMA
    corpus: JsonObject
    provenance: JsonObject
    rows: tuple[TheoryRow, ...]
    kgrams: tuple[KgramTable, ...] = ()
    spectra: tuple[SpectrumTable, ...] = ()

    def _check(self) -> None:
        if self.schema != THEORIES_SCHEMA:
            raise InputError(
                f"TheoriesResult.schema: needs {THEORIES_SCHEMA!r}, got {self.schema[:60]!r}"
            )

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["theory", "kind", "value", "low", "high", "reportable", "agreement", "reason"]
        rows = [
            [r.name, r.kind, r.exponent.value, r.exponent.low, r.exponent.high,
             r.exponent.reportable, r.agreement, r.exponent.reason]
            for r in self.rows
        ]  # fmt: skip
        return header, rows

    def _caption(self) -> str:
        return "Data exponents by theory"
