"""The exponents that other theories of scaling predict from a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import DrawableResult, FloatVector, IntVector, JsonObject, Result
from ngramstat.results.exponent import Exponent

__all__ = [
    "THEORIES_FILE",
    "THEORIES_SCHEMA",
    "KgramTable",
    "SpectrumTable",
    "TheoriesResult",
    "TheoryRow",
]

THEORIES_SCHEMA = "ngramstat.theories/1"
THEORIES_FILE = "theories.json"
KINDS = ("prediction", "correlate", "measured")


@dataclass(frozen=True, kw_only=True, eq=False)
class TheoryRow(Result):
    """One theory's data exponent for this corpus.

    Attributes
    ----------
    name : str
        Name of the theory, such as ``heaps, k=3``.
    source : str
        Authors and year.
    kind : str
        ``prediction``; ``correlate``: a statistic reported to correlate with the exponent, but not
        to equal it; ``measured``: the exponent of trained models.
    formula : str
        The exponent as a function of the statistic.
    statistic : Exponent or None
        The statistic measured on the corpus.
    exponent : Exponent
        Exponent of the loss against training tokens.
    assumption, falsifier : str
        The condition under which the theory holds, and an observation that would refute it.
    agreement : str
        Agreement with trained models: ``consistent``, ``inconsistent`` or ``indeterminate``; empty
        without trained models.
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
    """Numbers of k-grams of one length in parts of the corpus of growing size.

    Attributes
    ----------
    k : int
    tokens, types, singletons : (n_sizes,) float64
        Tokens, distinct k-grams, and k-grams that occur once: means over the parts of a size.
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
        What this is the spectrum of.
    index : (n,) int64
        Rank, from 1.
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
    bottom_line : str
        What the rows come to, in plain sentences; empty in files that do not have it.
    kgrams : tuple of KgramTable
    spectra : tuple of SpectrumTable
    """

    _file_name: ClassVar[str | None] = THEORIES_FILE

    schema: str = THEORIES_SCHEMA
    corpus: JsonObject
    provenance: JsonObject
    rows: tuple[TheoryRow, ...]
    bottom_line: str = ""
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
