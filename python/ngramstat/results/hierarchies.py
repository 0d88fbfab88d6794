"""Learning curves of random hierarchies, and what the theory says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import FloatMatrix, FloatVector, IntVector, JsonObject, Result
from ngramstat.results.exponent import Exponent

__all__ = [
    "HIERARCHIES_FILE",
    "HIERARCHIES_SCHEMA",
    "DepthLaw",
    "HierarchiesResult",
    "LabelCurve",
    "LastTokenCurve",
    "SampleComplexity",
]

HIERARCHIES_SCHEMA = "ngramstat.hierarchies/1"
HIERARCHIES_FILE = "hierarchies.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelCurve(Result):
    """Errors of a learner of labels against the number of training strings.

    Attributes
    ----------
    symbols, rules, bottom_rules, depth : int
        v, rules per symbol above the lowest level and on it, and levels L of the hierarchy.
    zipf_a : float or None
        a of the rules of the lowest level, of frequencies ~ k^-(1+a); None for uniform rules.
    sizes : (n_sizes,) int64
        P, training strings.
    errors : (n_sizes, n_draws) float64
        Fractions of held-out strings with a wrong label, for every draw of rules and strings.
    tuple_errors : (n_sizes, n_draws) float64
        Shares of unknown tuples behind them.
    exponent : Exponent
        Of the error of one tuple, over the window; its interval is over the draws.
    string_exponent : Exponent
        The same of the errors of whole strings, which saturate where several tuples are unknown.
    theory : float or None
        a / (1 + a).
    theory_in_window : float or None
        Slope over the window of the theory's curve for so many rules.
    scale, scale_low, scale_high : float or None
        P0 of the theory's curve, in strings, with its interval over the draws.
    theory_errors : (n_sizes,) float64 or None
        Errors of one tuple by the theory's curve with this P0.
    """

    _axis: ClassVar[str | None] = "sizes"

    symbols: int
    rules: int
    bottom_rules: int
    depth: int
    zipf_a: float | None = None
    sizes: IntVector
    errors: FloatMatrix
    tuple_errors: FloatMatrix
    exponent: Exponent
    string_exponent: Exponent
    theory: float | None = None
    theory_in_window: float | None = None
    scale: float | None = None
    scale_low: float | None = None
    scale_high: float | None = None
    theory_errors: FloatVector | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthLaw(Result):
    """How the scale P0 of the curves grows with the depth of the hierarchy.

    Attributes
    ----------
    symbols : int
    zipf_a : float
    depths : (n,) int64
    scales : (n,) float64
        P0, in strings.
    factor : float
        Growth of P0 with every level.
    r2 : float
        Fraction of the variance of ln P0 that a line in the depth explains.
    """

    _axis: ClassVar[str | None] = "depths"

    symbols: int
    zipf_a: float
    depths: IntVector
    scales: FloatVector
    factor: float
    r2: float


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleComplexity(Result):
    """How many strings a hierarchy of uniform rules takes, against the theory's n_c m^L.

    Attributes
    ----------
    symbols, rules, depth : (n,) int64
        v (also the number n_c of labels), m and L of every hierarchy.
    theory : (n,) float64
        n_c m^L.
    measured : (n,) float64
        Strings with which half of the chance error is left, geometric mean over the draws.
    exponent : float
        Slope of ln(measured) against ln(n_c m^L); the theory has 1.
    factor : float
        Geometric mean of measured / theory.
    r2 : float
        Fraction of the variance of ln(measured) that the line explains.
    """

    _axis: ClassVar[str | None] = "theory"

    symbols: IntVector
    rules: IntVector
    depth: IntVector
    theory: FloatVector
    measured: FloatVector
    exponent: float
    factor: float
    r2: float


@dataclass(frozen=True, kw_only=True, eq=False)
class LastTokenCurve(Result):
    """Losses of a learner of the last token against the number of training strings.

    Attributes
    ----------
    symbols, rules, depth : int
        v, m and L of the hierarchy.
    skewed : str
        The levels whose rules follow a power law: ``none``, ``bottom`` or ``all``.
    zipf_a : float or None
        a of these rules.
    sizes : (n_sizes,) int64
        P, training strings.
    losses : (n_sizes, n_draws) float64
        Held-out losses of the last token in nats, for every draw of rules and strings.
    entropies : (L + 1, n_draws) float64
        Exact entropies of the last token given 0, 1, ... L levels of context, in nats.
    steps : (L - 1, n_draws) float64
        Strings with which the loss above its limit passes the geometric mean of a level and the
        next, for levels 1 .. L - 1; NaN where the curve does not.
    exponent : Exponent
        Slope of the line through these steps, mean over the draws with its interval; its window
        runs from the first step to the last.
    exponents, exact : (n_draws,) float64
        The slope of every draw, and that of the exact entropies of the same levels against the
        strings that each level takes in theory. Empty if there are less than two steps.
    theory, theory_low, theory_high : float or None
        gamma / (2 beta) of the last token, in the limit of many levels and symbols: one number, or
        bounds where only these are known.
    """

    symbols: int
    rules: int
    depth: int
    skewed: str
    zipf_a: float | None = None
    sizes: IntVector
    losses: FloatMatrix
    entropies: FloatMatrix
    steps: FloatMatrix
    exponent: Exponent
    exponents: FloatVector
    exact: FloatVector
    theory: float | None = None
    theory_low: float | None = None
    theory_high: float | None = None

    def _check(self) -> None:
        if self.skewed not in ("none", "bottom", "all"):
            raise InputError("LastTokenCurve.skewed: needs none, bottom or all")
        if len(self.losses) != len(self.sizes):
            raise InputError("LastTokenCurve.losses: needs one row for every size")


@dataclass(frozen=True, kw_only=True, eq=False)
class HierarchiesResult(Result):
    """Learning curves of random hierarchies: labels, last tokens, and their exponents.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.hierarchies/1``.
    settings, provenance : dict
        Plain JSON objects.
    labels : tuple of LabelCurve
    depth_laws : tuple of DepthLaw
    uniform : SampleComplexity or None
    last_tokens : tuple of LastTokenCurve
    """

    _file_name: ClassVar[str | None] = HIERARCHIES_FILE

    schema: str = HIERARCHIES_SCHEMA
    settings: JsonObject
    provenance: JsonObject
    labels: tuple[LabelCurve, ...] = ()
    depth_laws: tuple[DepthLaw, ...] = ()
    uniform: SampleComplexity | None = None
    last_tokens: tuple[LastTokenCurve, ...] = ()

    def _check(self) -> None:
        if self.schema != HIERARCHIES_SCHEMA:
            raise InputError(
                f"HierarchiesResult.schema: needs {HIERARCHIES_SCHEMA!r}, got {self.schema[:60]!r}"
            )

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["target", "symbols", "depth", "skewed", "zipf_a", "value", "low", "high"]
        header += ["theory", "scale"]
        rows: list[list[Any]] = [
            ["label", c.symbols, c.depth, "bottom", c.zipf_a, c.exponent.value, c.exponent.low,
             c.exponent.high, c.theory, c.scale]
            for c in self.labels
        ]  # fmt: skip
        rows += [
            ["last token", c.symbols, c.depth, c.skewed, c.zipf_a, c.exponent.value,
             c.exponent.low, c.exponent.high, c.theory, None]
            for c in self.last_tokens
        ]  # fmt: skip
        return header, rows
