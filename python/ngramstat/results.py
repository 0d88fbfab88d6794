"""Frozen results: what every computation returns, and how it is written to ``run.json``.

Every class is an immutable dataclass with NumPy arrays inside (copied and made read-only on
construction), checks its own shapes, and converts to and from plain JSON objects with the field
names of the public contract. In memory a number that was not computed is NaN inside an array and
``None`` elsewhere; in JSON both are ``null``. Finite floats survive a save and load bit for bit.

Units: lags, contexts and horizons are tokens; entropies are nats per token; entries of C(t) and
its norms are dimensionless probabilities.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from html import escape
from os import PathLike
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, Union

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.files import read_json, write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

__all__ = [
    "SCHEMA",
    "Collapse",
    "ContextPoint",
    "CorrelationResult",
    "CurveTable",
    "CurvesResult",
    "EntropyResult",
    "Exponent",
    "Gate",
    "HorizonPoint",
    "LearningCurve",
    "LossFit",
    "LossPoint",
    "Prediction",
    "Replicates",
    "Result",
    "RunResult",
    "StagePoint",
    "ThresholdPoint",
    "VocabCut",
]

SCHEMA = "ngramstat.run/1"

# Deeper objects than this in a file are refused before they can exhaust the interpreter's stack.
_MAX_JSON_DEPTH = 24


# --- field kinds: how one dataclass field is checked, encoded and decoded --------------------


class _Kind:
    """One way to check a field in memory (`coerce`), and to read and write it as JSON."""

    def coerce(self, value: Any, where: str) -> Any:
        raise NotImplementedError

    def encode(self, value: Any) -> Any:
        raise NotImplementedError

    def decode(self, value: Any, where: str) -> Any:
        raise NotImplementedError


class _Array(_Kind):
    """An array of one dtype and rank; the first axis is the section's axis."""

    def __init__(self, dtype: str, ndim: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.ndim = ndim

    def coerce(self, value: Any, where: str) -> NDArray[Any]:
        try:
            given = np.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{where}: not a rectangular array of numbers") from error
        if given.size == 0 and given.dtype == np.float64:
            given = given.astype(self.dtype)  # an empty list has no dtype of its own
        allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[self.dtype.kind]
        if given.dtype.kind not in allowed:
            raise InputError(f"{where}: needs {self.dtype} numbers, got dtype {given.dtype}")
        if given.ndim != self.ndim:
            raise InputError(f"{where}: needs {self.ndim} dimension(s), got {given.ndim}")
        if self.dtype.kind in "iu" and given.size:
            bounds = np.iinfo(self.dtype)
            if int(given.min()) < bounds.min or int(given.max()) > bounds.max:
                raise InputError(f"{where}: a value does not fit {self.dtype}")
        array = np.array(given, dtype=self.dtype, copy=True)
        array.setflags(write=False)
        return array

    def encode(self, value: NDArray[Any]) -> Any:
        return _encode_nested(value.tolist())

    def decode(self, value: Any, where: str) -> NDArray[Any]:
        return self.coerce(self._nested(value, where, self.ndim), where)

    def _nested(self, value: Any, where: str, ndim: int) -> NDArray[Any]:
        if ndim == 1:
            return self._numbers(value, where)
        if not isinstance(value, list):
            raise InputError(f"{where}: needs a list of lists, got {_kind_name(value)}")
        rows = [self._nested(row, f"{where}[{i}]", ndim - 1) for i, row in enumerate(value)]
        if len({row.shape for row in rows}) > 1:
            raise InputError(f"{where}: its rows have different lengths")
        return np.stack(rows) if rows else np.zeros((0,) * ndim, dtype=self.dtype)

    def _numbers(self, value: Any, where: str) -> NDArray[Any]:
        if not isinstance(value, list):
            raise InputError(f"{where}: needs a list, got {_kind_name(value)}")
        if self.dtype.kind == "f":
            out = [math.nan if x is None else _read_float(x, where) for x in value]
            return np.array(out, dtype=np.float64)
        wanted: type = bool if self.dtype.kind == "b" else int
        for item in value:
            if type(item) is not wanted:
                raise InputError(f"{where}: needs {wanted.__name__} items, got {_kind_name(item)}")
        if wanted is int:
            bounds = np.iinfo(self.dtype)
            if any(not bounds.min <= item <= bounds.max for item in value):
                raise InputError(f"{where}: a value does not fit {self.dtype}")
        return np.array(value, dtype=self.dtype)


class _Json(_Kind):
    """A free JSON object (settings, provenance, ...), checked only to be JSON."""

    def coerce(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: needs an object, got {_kind_name(value)}")
        copied = _plain_json(value, where, _MAX_JSON_DEPTH)
        assert isinstance(copied, dict)
        return copied

    def encode(self, value: Mapping[str, Any]) -> Any:
        return _plain_json(value, "value", _MAX_JSON_DEPTH)

    def decode(self, value: Any, where: str) -> dict[str, Any]:
        return self.coerce(value, where)


class _Window(_Kind):
    """``(low, high)``, both inclusive; integral ends are kept as integers for readable JSON."""

    def coerce(self, value: Any, where: str) -> tuple[float, float]:
        if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
            raise InputError(f"{where}: needs [low, high], got {_kind_name(value)}")
        if len(value) != 2:
            raise InputError(f"{where}: needs two numbers [low, high], got {len(value)}")
        low, high = (_read_float(_scalar(x), where) for x in value)
        if low > high:
            raise InputError(f"{where}: its low end {low:g} is above its high end {high:g}")
        return _integral(low), _integral(high)

    def encode(self, value: tuple[float, float]) -> Any:
        return list(value)

    def decode(self, value: Any, where: str) -> tuple[float, float]:
        return self.coerce(value, where)


class _Alternative(_Json):
    """Another estimate of the same exponent: ``method`` and usually value, low, high, window."""

    def coerce(self, value: Any, where: str) -> dict[str, Any]:
        copied = super().coerce(value, where)
        if not isinstance(copied.get("method"), str):
            raise InputError(f"{where}.method: needs a string")
        for name in ("value", "low", "high"):
            if copied.get(name) is not None:
                copied[name] = _read_float(copied[name], f"{where}.{name}")
        points = copied.get("points")
        if points is not None and type(points) is not int:
            raise InputError(f"{where}.points: needs an integer, got {_kind_name(points)}")
        if copied.get("window") is not None:
            copied["window"] = list(_Window().coerce(copied["window"], f"{where}.window"))
        return copied


FloatVector = Annotated[NDArray[np.float64], _Array("float64")]
IntVector = Annotated[NDArray[np.int64], _Array("int64")]
CountVector = Annotated[NDArray[np.uint64], _Array("uint64")]
BoolVector = Annotated[NDArray[np.bool_], _Array("bool")]
FloatCube = Annotated[NDArray[np.float64], _Array("float64", 3)]
IntCube = Annotated[NDArray[np.int64], _Array("int64", 3)]
FloatMatrix = Annotated[NDArray[np.float64], _Array("float64", 2)]
JsonObject = Annotated[Mapping[str, Any], _Json()]
Alternative = Annotated[Mapping[str, Any], _Alternative()]
Window = Annotated[tuple[float, float], _Window()]


def _kind_name(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _scalar(value: Any) -> Any:
    """A NumPy scalar as the Python number it holds; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _integral(value: float) -> float:
    return int(value) if float(value).is_integer() and abs(value) < 2**63 else value


def _read_float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: needs a number, got {_kind_name(value)}")
    try:
        number = float(value)
    except OverflowError as error:
        raise InputError(f"{where}: a number is too large") from error
    if not math.isfinite(number):
        raise InputError(f"{where}: needs a finite number, got {number}")
    return number


def _encode_nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_encode_nested(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain_json(value: Any, where: str, depth: int) -> Any:
    """`value` as new plain JSON objects; NaN and infinities become None."""
    if depth == 0:
        raise InputError(f"{where}: nested too deeply")
    value = _scalar(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return _encode_nested(value.tolist())
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: object keys must be strings, got {_kind_name(key)}")
        return {k: _plain_json(v, f"{where}.{k}", depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_json(v, f"{where}[{i}]", depth - 1) for i, v in enumerate(value)]
    raise InputError(f"{where}: {type(value).__name__} cannot be written as JSON")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in _fields(cls)}


def _fields(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)  # `Result` itself is not a dataclass, every class below it is


def _split_optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (Union, UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return inner[0], True
    return hint, False


def _annotated_kind(hint: Any) -> _Kind | None:
    kind = hint.__metadata__[0] if typing.get_origin(hint) is Annotated else None
    return kind if isinstance(kind, _Kind) else None


def _convert(hint: Any, value: Any, where: str, *, from_json: bool) -> Any:
    """Check `value` against one field's type; from JSON also build the nested results."""
    hint, optional = _split_optional(hint)
    if value is None:
        if optional:
            return None
        raise InputError(f"{where}: is missing (null)")
    kind = _annotated_kind(hint)
    if kind is not None:
        return kind.decode(value, where) if from_json else kind.coerce(value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list if from_json else list | tuple):
            raise InputError(f"{where}: needs a list, got {_kind_name(value)}")
        item = typing.get_args(hint)[0]
        return tuple(
            _convert(item, v, f"{where}[{i}]", from_json=from_json) for i, v in enumerate(value)
        )
    if issubclass(hint, Result):
        if from_json:
            return hint._read(value, where)
        if not isinstance(value, hint):
            raise InputError(f"{where}: needs {hint.__name__}, got {_kind_name(value)}")
        return value
    value = _scalar(value)
    if hint is float:
        if not from_json and isinstance(value, float) and not math.isfinite(value):
            if optional:
                return None  # NaN means "not computed", and that is null everywhere outside arrays
            raise InputError(f"{where}: needs a finite number, got {value}")
        return _read_float(value, where)
    if type(value) is not hint:
        raise InputError(f"{where}: needs {hint.__name__}, got {_kind_name(value)}")
    return value


def _encode(hint: Any, value: Any) -> Any:
    hint, _ = _split_optional(hint)
    if value is None:
        return None
    kind = _annotated_kind(hint)
    if kind is not None:
        return kind.encode(value)
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_encode(typing.get_args(hint)[0], item) for item in value]
    return value


class Result:
    """Base of every result: checks on construction, JSON both ways, equality by content."""

    # Name of the array field that gives the section's length, or None.
    _axis: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for name, hint in self._hints().items():
            where = f"{type(self).__name__}.{name}"
            value = _convert(hint, getattr(self, name), where, from_json=False)
            object.__setattr__(self, name, value)
        if self._axis is not None:
            length = len(getattr(self, self._axis))
            for name, hint in self._hints().items():
                value = getattr(self, name)
                is_array = isinstance(_annotated_kind(_split_optional(hint)[0]), _Array)
                if is_array and value is not None and len(value) != length:
                    raise InputError(
                        f"{type(self).__name__}.{name}: has length {len(value)}, "
                        f"but {self._axis} has {length}"
                    )
        self._check()

    @classmethod
    def _hints(cls) -> dict[str, Any]:
        """Field name -> resolved annotation, in the order of the class."""
        key: Any = cls  # mypy does not see that a class with unhashable instances is hashable
        return _hints(key)

    def _check(self) -> None:
        """Class-specific checks, after types and lengths are known to be right."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Result)
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # arrays inside: equal by content, not hashable

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready object; numbers that were not computed are None."""
        return {name: _encode(hint, getattr(self, name)) for name, hint in self._hints().items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the result from the object that `to_dict` makes.

        The object is not trusted: unknown or missing fields, wrong types, numbers that do not fit
        and arrays of different lengths are refused.

        Raises
        ------
        InputError
            Naming the field and what is wrong with it.
        """
        return cls._read(data, cls.__name__)

    @classmethod
    def _read(cls, data: Any, where: str) -> Self:
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: needs an object, got {_kind_name(data)}")
        hints = cls._hints()
        unknown = sorted(str(key) for key in data if key not in hints)
        if unknown:
            raise InputError(f"{where}: unknown field {unknown[0][:60]!r}")
        values = {
            name: _convert(hints[name], value, f"{where}.{name}", from_json=True)
            for name, value in data.items()
        }
        required = {f.name for f in _fields(cls) if not _has_default(f)}
        missing = sorted(required - set(values))
        if missing:
            raise InputError(f"{where}: field {missing[0]!r} is missing")
        return cls(**values)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result as JSON, atomically.

        Raises
        ------
        NgramstatError
            If the file cannot be written.
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is not such a result; the message names the file and the field.
        """
        data = read_json(path)
        try:
            return cls.from_dict(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows of the small table shown in notebooks and given to pandas."""
        return ["field", "value"], [[k, v] for k, v in self.to_dict().items()]

    def to_pandas(self) -> DataFrame:
        """The result's main table as a pandas DataFrame.

        Raises
        ------
        NgramstatError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise NgramstatError(
                "to_pandas needs pandas, which is not installed: pip install 'ngramstat[pandas]'"
            ) from error
        header, rows = self._rows()
        return pandas.DataFrame(rows, columns=header)

    def _repr_html_(self) -> str:
        header, rows = self._rows()
        head = "".join(f"<th>{escape(name)}</th>" for name in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
            for row in rows
        )
        caption = escape(self._caption())
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _caption(self) -> str:
        return type(self).__name__


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING


def _cell(value: Any) -> str:
    value = _scalar(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exponent(Result):
    """A fitted exponent with its interval, its window and its doubts.

    Attributes
    ----------
    value, low, high : float or None
        Point estimate and interval at confidence `level`; None if not computable.
    level : float
        Confidence level of the interval, in (0, 1).
    window : (float, float) or None
        First and last lag or context (tokens) used in the fit, inclusive.
    points : int
        Number of points fitted.
    method : str
        How value and interval were made.
    reportable : bool
        Whether every gate was passed. A value that is not reportable is shown only with `reason`.
    reason : str or None
        Why it is not reportable.
    weights : (points,) float64 or None
        Weights of the squared residuals in the fit, mean 1; None: equal, or not a fit.
    alternatives : tuple of dict
        Other estimates of the same exponent, each with `method`, `value`, `low`, `high`,
        `window`, `points` and sometimes further numbers.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    window: Window | None = None
    points: int = 0
    method: str
    reportable: bool
    reason: str | None = None
    weights: FloatVector | None = None
    alternatives: tuple[Alternative, ...] = ()

    def _check(self) -> None:
        if not 0 < self.level < 1:
            raise InputError(f"Exponent.level: needs a number in (0, 1), got {self.level:g}")
        if self.points < 0:
            raise InputError(f"Exponent.points: cannot be negative, got {self.points}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError("Exponent.low: is above Exponent.high")
        if self.reportable and (self.value is None or self.low is None or self.high is None):
            raise InputError("Exponent.reportable: a reportable exponent needs value, low and high")
        if not self.reportable and not self.reason:
            raise InputError("Exponent.reason: an exponent that is not reportable needs a reason")

    @classmethod
    def refused(
        cls,
        reason: str,
        *,
        method: str,
        level: float = 0.95,
        alternatives: Sequence[Mapping[str, Any]] = (),
    ) -> Exponent:
        """An exponent without a value, and why."""
        return cls(
            value=None,
            level=level,
            method=method,
            reportable=False,
            reason=reason,
            alternatives=tuple(alternatives),
        )

    def _summary(self) -> str:
        if self.value is None:
            return "none"
        text = f"{self.value:.3f}"
        if self.low is not None and self.high is not None:
            text += f" [{_number(self.low)}, {_number(self.high)}] at {100 * self.level:g}%"
        if self.window is not None:
            text += f", window {self.window[0]:g}..{self.window[1]:g}"
        # alpha has no points of its own: it combines two fits.
        return text + (f", {self.points} points" if self.points else "")

    def __repr__(self) -> str:
        lines = [f"Exponent: {self._summary()}", f"  method: {self.method}"]
        if self.reportable:
            lines.append("  reportable: yes")
        else:
            lines.append(f"  NOT reportable: {self.reason}")
        for other in self.alternatives:
            window = other.get("window")
            where = f", window {window[0]:g}..{window[1]:g}" if window else ""
            value = other.get("value")
            interval = ""
            if other.get("low") is not None and other.get("high") is not None:
                interval = f" [{_number(other['low'])}, {_number(other['high'])}]"
            lines.append(f"  or {_number(value)}{interval}{where}: {other['method']}")
        return "\n".join(lines)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["method", "value", "low", "high", "window", "points", "reportable", "reason"]

        def text(window: Sequence[float] | None) -> str | None:
            return None if window is None else f"{window[0]:g}..{window[1]:g}"

        rows: list[list[Any]] = [
            [
                self.method,
                self.value,
                self.low,
                self.high,
                text(self.window),
                self.points,
                self.reportable,
                self.reason,
            ]
        ]
        for other in self.alternatives:
            row = [other.get(key) for key in ("method", "value", "low", "high")]
            rows.append([*row, text(other.get("window")), other.get("points"), None, None])
        return header, rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate(Result):
    """One condition of the theory, checked: ``passed`` is None where it cannot be known.

    Attributes
    ----------
    name : str
        Short name of the gate.
    passed : bool or None
        True, False, or None when the data at hand cannot decide it.
    value, threshold : float or None
        The number compared and what it was compared with.
    meaning : str
        What the gate asks, in one sentence.
    """

    name: str
    passed: bool | None
    value: float | None = None
    threshold: float | None = None
    meaning: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates(Result):
    """Exponents of every bootstrap replicate, so that combinations keep their joint error.

    Row r of two of these with the same `seed` and `clusters` is the same resampling of documents.
    All vectors have one length, NaN where a replicate has no such exponent; None where an exponent
    was not computed.

    Attributes
    ----------
    seed : int
        Of the resampling.
    clusters : int
        Groups of documents that were resampled.
    beta, beta_sequential, gamma, gamma_finite : (n_replicates,) float64 or None
    """

    seed: int
    clusters: int
    beta: FloatVector | None = None
    beta_sequential: FloatVector | None = None
    gamma: FloatVector | None = None
    gamma_finite: FloatVector | None = None

    def _check(self) -> None:
        names = ("beta", "beta_sequential", "gamma", "gamma_finite")
        found = {name: getattr(self, name) for name in names}
        lengths = {name: len(value) for name, value in found.items() if value is not None}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Replicates: its vectors have different lengths, {lengths}")


@dataclass(frozen=True, kw_only=True, eq=False)
class VocabCut(Result):
    """What restricting C(t) to the most frequent types leaves out.

    The norm of a part is at most that of the whole: the norm over all types lies in
    [norm, norm + bound].

    Attributes
    ----------
    top : int
        Number of types kept.
    dropped_mass : float
        Share of the tokens whose types were dropped.
    full_norm : (n_lags,) float64
        Plug-in norm over all types.
    bound : (n_lags,) float64
        By how much it exceeds that over the types kept.
    """

    _axis: ClassVar[str | None] = "bound"

    top: int
    dropped_mass: float
    full_norm: FloatVector
    bound: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CorrelationResult(Result):
    """Norms of the token covariance C(t) over lags t, with their floors and exponents.

    Every array has length n_lags. Optional arrays are None as a whole, and NaN at single lags,
    where they were not computed.

    Attributes
    ----------
    lags : (n_lags,) int64
        Separations t >= 1 in tokens, increasing.
    pairs : (n_lags,) uint64
        Number of pairs (i, i + t) counted at each lag.
    norm : (n_lags,) float64
        Largest singular value of the estimated C(t), the paper's raw ||C(t)||_op.
    norm_low, norm_high : (n_lags,) float64 or None
        Interval of the true norm at level `beta.level`, around `norm_debiased`.
    norm_sequential : (n_lags,) float64 or None
        Norm with document composition removed (exact mean over within-document shuffles).
    norm_sequential_debiased : (n_lags,) float64 or None
        Estimate of its true value, the bias of noise removed by cross-fitting.
    composition_norm : (n_lags,) float64 or None
        Norm of the composition part that was removed.
    position_norm, position_floor : (n_lags,) float64 or None
        Norm of the covariance that position in the document alone makes among pairs inside
        documents, and the size of the noise in it.
    norm_crossfit : (n_lags,) float64 or None
        u1' C2 v1 of two document halves: biased down where `norm` is biased up.
    norm_debiased : (n_lags,) float64 or None
        Estimate of the true norm, the bias of noise removed by cross-fitting.
    noise_floor : (n_lags,) float64
        Norm that sampling noise alone would show.
    permutation_floor : (n_lags,) float64 or None
        Norm that `norm_sequential` has once every document is shuffled.
    analytic_floor : (n_lags,) float64 or None
        As `noise_floor`, from the unigram distribution: kappa / sqrt(pairs).
    frobenius : (n_lags,) float64 or None
        Frobenius norm of C(t).
    singular_values : (n_lags, k) float64 or None
        Leading singular values, falling.
    left_types, right_types : (n_lags, c, 12) int64 or None
        Types that weigh most in the first c left and right singular vectors; -1 beyond the
        vocabulary.
    left_loadings, right_loadings : (n_lags, c, 12) float64 or None
        Their entries, falling in size. Types of one sign to the left go with those of the same
        sign to the right; a whole vector has length 1.
    type_texts : dict or None
        Text of each of these types by its id, where a tokenizer is recorded with the corpus.
    residual : (n_lags,) float64 or None
        Residual of the singular triplet, relative to the norm.
    valid : (n_lags,) bool
        Whether the norm stands clear of the noise floor.
    valid_sequential : (n_lags,) bool or None
        The same of the sequential norm, which has to stand clear of `permutation_floor` too.
    crossing_share : (n_lags,) float64 or None
        Share of the pairs whose two tokens lie in different documents.
    separator_share : (n_lags,) float64 or None
        Share of the pairs in which at least one token is the separator.
    beta : Exponent
        ||C(t)|| ~ t^-beta, from `norm_debiased`.
    beta_sequential : Exponent or None
        The same from `norm_sequential_debiased`.
    bootstrap : Replicates or None
        Exponents of the replicates behind the intervals.
    boundary : str
        ``stream`` (pairs run across documents) or ``document`` (they stay inside).
    documents_are_blocks : bool
        True where the store has no document ends and equal blocks stood in for documents.
    vocab_cut : VocabCut or None
        What restricting the vocabulary left out; None: C(t) is over all types.
    """

    _axis: ClassVar[str | None] = "lags"

    lags: IntVector
    pairs: CountVector
    norm: FloatVector
    norm_low: FloatVector | None = None
    norm_high: FloatVector | None = None
    norm_sequential: FloatVector | None = None
    norm_sequential_debiased: FloatVector | None = None
    composition_norm: FloatVector | None = None
    position_norm: FloatVector | None = None
    position_floor: FloatVector | None = None
    norm_crossfit: FloatVector | None = None
    norm_debiased: FloatVector | None = None
    noise_floor: FloatVector
    permutation_floor: FloatVector | None = None
    analytic_floor: FloatVector | None = None
    frobenius: FloatVector | None = None
    singular_values: FloatMatrix | None = None
    left_types: IntCube | None = None
    left_loadings: FloatCube | None = None
    right_types: IntCube | None = None
    right_loadings: FloatCube | None = None
    type_texts: JsonObject | None = None
    residual: FloatVector | None = None
    valid: BoolVector
    valid_sequential: BoolVector | None = None
    crossing_share: FloatVector | None = None
    separator_share: FloatVector | None = None
    beta: Exponent
    beta_sequential: Exponent | None = None
    bootstrap: Replicates | None = None
    boundary: str = "stream"
    documents_are_blocks: bool = False
    vocab_cut: VocabCut | None = None

    def _check(self) -> None:
        if self.vocab_cut is not None and len(self.vocab_cut.bound) != len(self.lags):
            raise InputError("CorrelationResult.vocab_cut: needs one bound per lag")
        if np.any(self.lags < 1) or np.any(np.diff(self.lags) < 1):
            raise InputError("CorrelationResult.lags: must be increasing and at least 1")
        _check_boundary(self.boundary, "CorrelationResult")

    @property
    def best_norm(self) -> NDArray[np.float64]:
        """`norm_debiased`, and `norm` where that was not computed; (n_lags,)."""
        if self.norm_debiased is None:
            return self.norm
        return np.where(np.isfinite(self.norm_debiased), self.norm_debiased, self.norm)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        return _columns(
            self,
            "lag",
            self.lags,
            [
                "pairs",
                "norm",
                "norm_low",
                "norm_high",
                "noise_floor",
                "analytic_floor",
                "norm_crossfit",
                "norm_debiased",
                "norm_sequential",
                "norm_sequential_debiased",
                "composition_norm",
                "position_norm",
                "position_floor",
                "permutation_floor",
                "frobenius",
                "residual",
                "valid",
                "crossing_share",
                "separator_share",
            ],
        )

    def _caption(self) -> str:
        return f"Correlations ({self.boundary}); beta: {self.beta._summary()}"

    def __repr__(self) -> str:
        return f"CorrelationResult: {len(self.lags)} lags, boundary {self.boundary}\nbeta: " + repr(
            self.beta
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the norms; see `ngramstat.report.figures.plot_correlations`."""
        from ngramstat.report.figures import plot_correlations

        return plot_correlations(self, ax)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningCurve(Result):
    """Held-out cross-entropy against training tokens.

    Attributes
    ----------
    tokens : (n_sizes,) int64
        Training tokens P, increasing.
    held_out : (n_sizes, n_contexts) float64
        L_n(P) in nats per token; columns follow `EntropyResult.context`.
    error : (n_sizes, n_contexts) float64 or None
        Standard error between training sets of this size.
    replicates : (n_sizes,) int64 or None
        Training sets averaged.
    predictor : str
        Whose losses these are.
    """

    _axis: ClassVar[str | None] = "tokens"

    tokens: IntVector
    held_out: FloatMatrix
    error: FloatMatrix | None = None
    replicates: IntVector | None = None
    predictor: str = "kneser_ney"

    def _check(self) -> None:
        if np.any(self.tokens < 1) or np.any(np.diff(self.tokens) < 1):
            raise InputError("LearningCurve.tokens: must be increasing and at least 1")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EntropyResult(Result):
    """Next-token conditional entropies H_n over context lengths n, in nats per token.

    Every array has length n_contexts; optional ones are None where they were not computed.

    Attributes
    ----------
    context : (n_contexts,) int64
        Number of tokens conditioned on, increasing from 0 (unigram).
    targets : (n_contexts,) uint64
        Number of (context, next token) events counted.
    distinct : (n_contexts,) uint64
        Number of distinct contexts seen.
    plug_in, miller_madow, chao_shen : (n_contexts,) float64 or None
        Entropy of the counts, and two bias corrections of it.
    held_out_kneser_ney : (n_contexts,) float64 or None
        Held-out cross-entropy of interpolated modified Kneser-Ney.
    held_out : (n_contexts,) float64
        Held-out cross-entropy of the best counted predictor, an upper bound of H_n in expectation.
    held_out_low, held_out_high : (n_contexts,) float64 or None
        Its document-bootstrap interval.
    learning_limit, learning_low, learning_high : (n_contexts,) float64 or None
        Limit of the learning curve at infinite P, with its interval; NaN where it has none.
    delta, delta_low, delta_high : (n_contexts,) float64 or None
        Exponent of the learning curve's approach to it, L_n(P) - H_n ~ P^-delta.
    limit, limit_low, limit_high : (n_contexts,) float64
        Estimate of H_n and the bracket it lies in.
    resolved : (n_contexts,) bool
        Whether the bracket is narrow enough to use.
    tokens_needed : (n_contexts,) float64 or None
        Training tokens at which the held-out loss alone would resolve the context, by the fit of
        the learning curve; NaN where it is resolved or unknown.
    learning_curve : LearningCurve or None
        Held-out cross-entropy against training tokens.
    mixture_used : (n_contexts,) bool or None
        Whether `held_out` is that of the mixture of contexts, not of Kneser-Ney.
    tuning_tokens : int or None
        Training tokens that fitted the mixture's weights.
    gamma : Exponent
        H_n - H_inf ~ n^-gamma, from `limit`.
    gamma_finite : Exponent
        Log-log slope of `held_out` at this number of training tokens.
    bootstrap : Replicates or None
        Exponents of the replicates behind the intervals.
    discounts : tuple of dict
        Kneser-Ney discounts by context.
    boundary : str
        ``stream`` or ``document``, as for the correlations.
    held_out_documents, held_out_tokens, training_tokens : int or None
        Sizes of the split.
    documents_are_blocks : bool
        True where equal blocks stood in for documents.
    """

    _axis: ClassVar[str | None] = "context"

    context: IntVector
    targets: CountVector
    distinct: CountVector
    plug_in: FloatVector
    miller_madow: FloatVector | None = None
    chao_shen: FloatVector | None = None
    held_out_kneser_ney: FloatVector | None = None
    held_out: FloatVector | None = None
    held_out_low: FloatVector | None = None
    held_out_high: FloatVector | None = None
    learning_limit: FloatVector | None = None
    learning_low: FloatVector | None = None
    learning_high: FloatVector | None = None
    delta: FloatVector | None = None
    delta_low: FloatVector | None = None
    delta_high: FloatVector | None = None
    limit: FloatVector | None = None
    limit_low: FloatVector | None = None
    limit_high: FloatVector | None = None
    resolved: BoolVector
    tokens_needed: FloatVector | None = None
    mixture_used: BoolVector | None = None
    tuning_tokens: int | None = None
    learning_curve: LearningCurve | None = None
    gamma: Exponent
    gamma_finite: Exponent
    bootstrap: Replicates | None = None
    discounts: tuple[JsonObject, ...] = ()
    boundary: str = "stream"
    held_out_documents: int | None = None
    held_out_tokens: int | None = None
    training_tokens: int | None = None
    documents_are_blocks: bool = False

    def _check(self) -> None:
        if np.any(self.context < 0) or np.any(np.diff(self.context) < 1):
            raise InputError("EntropyResult.context: must be increasing and at least 0")
        _check_boundary(self.boundary, "EntropyResult")
        curve = self.learning_curve
        if curve is not None and len(curve.tokens):
            columns = curve.held_out.shape[1]
            if columns != len(self.context):
                raise InputError(
                    f"EntropyResult.learning_curve.held_out: has {columns} columns, "
                    f"but context has {len(self.context)}"
                )

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        return _columns(
            self,
            "context",
            self.context,
            [
                "targets",
                "distinct",
                "plug_in",
                "miller_madow",
                "chao_shen",
                "held_out_kneser_ney",
                "held_out",
                "held_out_low",
                "held_out_high",
                "learning_limit",
                "learning_low",
                "learning_high",
                "delta",
                "limit",
                "limit_low",
                "limit_high",
                "resolved",
                "tokens_needed",
            ],
        )

    def _caption(self) -> str:
        return f"Entropies, nats per token ({self.boundary}); gamma: {self.gamma._summary()}"

    def __repr__(self) -> str:
        return (
            f"EntropyResult: {len(self.context)} contexts, boundary {self.boundary}\n"
            f"gamma: {self.gamma!r}\ngamma_finite: {self.gamma_finite!r}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the entropies; see `ngramstat.report.figures.plot_entropies`."""
        from ngramstat.report.figures import plot_entropies

        return plot_entropies(self, ax)


@dataclass(frozen=True, kw_only=True, eq=False)
class HorizonPoint(Result):
    """The largest lag n*(P) that `tokens` training tokens resolve.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    lag : float or None
        Horizon in tokens; None if no lag is resolved.
    low, high : float or None
        Its interval: from the intervals of the norms within the measured lags, with beta at the
        ends of its interval beyond them.
    extrapolated : bool
        True where `lag` lies beyond the measured lags and rests on the fitted beta.
    at_least : bool
        True where `lag` is only a lower bound: nothing measured says how much farther it reaches.
    """

    tokens: float
    lag: float | None = None
    low: float | None = None
    high: float | None = None
    extrapolated: bool = False
    at_least: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ThresholdPoint(Result):
    """Tokens P*_n needed to resolve one lag; None where its norm is not clear of the noise."""

    lag: int
    tokens: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextPoint(Result):
    """Context lengths that `tokens` training tokens can teach a model to use.

    A learner needs 10 to 1000 times the tokens that counting needs to resolve a lag, so its horizon
    lies between n*(P / 1000) and n*(P / 10); context beyond n*(P) itself cannot be learned.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    low, high : float or None
        The learner's band, tokens; None where not even one lag is resolved.
    limit : float or None
        n*(P), the horizon of counting.
    extrapolated, at_least : bool
        Of `high` or `limit`, as for `HorizonPoint`.
    """

    tokens: float
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    extrapolated: bool = False
    at_least: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class StagePoint(Result):
    """Which stage of the decay of ||C(t)|| holds at the horizons of a learner with P tokens.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    stage : str
        ``single`` where the decay has one stage; else ``first``, ``second``, or ``indeterminate``
        where the learner's band of horizons spans both.
    beta, alpha : float or None
        Of that stage, and of the first where it is indeterminate.
    alpha_low, alpha_high : float or None
        Interval of `alpha`.
    other_beta, other_alpha, other_low, other_high : float or None
        The same of the other stage.
    """

    tokens: float
    stage: str
    beta: float | None = None
    alpha: float | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None
    other_beta: float | None = None
    other_alpha: float | None = None
    other_low: float | None = None
    other_high: float | None = None

    def _check(self) -> None:
        if self.stage not in ("single", "first", "second", "indeterminate"):
            raise InputError(f"StagePoint.stage: not a stage: {self.stage[:60]!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LossPoint(Result):
    """Expected loss at one number of training tokens, nats per token, with its band."""

    tokens: float
    loss: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LossFit(Result):
    """``L(P) = limit + B P^-alpha`` through measured losses, with the alpha of the corpus.

    Attributes
    ----------
    tokens, loss : (n_losses,) float64
        What was measured.
    alpha : str
        Which exponent: ``alpha`` or ``alpha_finite``.
    limit, limit_low, limit_high : float or None
        Loss at infinite P; zero where the interval reaches below it.
    scatter : float or None
        Residual standard error of the losses about the curve; None for two losses.
    reportable : bool
        Whether that exponent is.
    reason : str or None
        Why not.
    """

    _axis: ClassVar[str | None] = "tokens"

    tokens: FloatVector
    loss: FloatVector
    alpha: str
    limit: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    scatter: float | None = None
    reportable: bool = False
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Collapse(Result):
    """How well ``(L_n(P) - H_inf) n^gamma`` against ``P / n^(2 beta)`` falls on one curve.

    Attributes
    ----------
    source : str
        ``counted`` or ``imported``.
    protocol : str
        ``raw`` (H_inf = 0) or ``shifted``.
    gamma, beta, entropy_rate : float
        Exponents asked about, and H_inf.
    quality : float or None
        Root-mean-square distance between the rescaled curves where they overlap, relative to that
        of the unscaled ones; small is good, 1 is no gain. None where too little overlaps.
    overlap : float
        Share of the points that another rescaled curve spans.
    best_gamma, best_beta, best_quality : float or None
        Of the best collapse on the grid.
    gamma_low, gamma_high, beta_low, beta_high : float or None
        Range on the grid where the distance is at most twice the best one.
    grid_gamma, grid_beta : (n,), (m,) float64
        Values tried.
    grid_quality : (n, m) float64
        Quality at each pair.
    points, contexts : int
        Number of losses and of contexts used.
    """

    source: str
    protocol: str
    gamma: float
    beta: float
    entropy_rate: float
    quality: float | None = None
    overlap: float
    best_gamma: float | None = None
    best_beta: float | None = None
    best_quality: float | None = None
    gamma_low: float | None = None
    gamma_high: float | None = None
    beta_low: float | None = None
    beta_high: float | None = None
    grid_gamma: FloatVector
    grid_beta: FloatVector
    grid_quality: FloatMatrix
    points: int
    contexts: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveTable(Result):
    """Measured losses L_n(P), one a row; sorted by context, then by tokens.

    Attributes
    ----------
    context : (n,) int64
        Tokens of context.
    tokens : (n,) float64
        Training tokens P.
    loss : (n,) float64
        Nats per token; the mean over replicates.
    error : (n,) float64 or None
        Standard error of each loss, NaN where unknown.
    replicates : (n,) int64
        Rows averaged.
    """

    _axis: ClassVar[str | None] = "context"

    context: IntVector
    tokens: FloatVector
    loss: FloatVector
    error: FloatVector | None = None
    replicates: IntVector

    def _check(self) -> None:
        if np.any(self.context < 0):
            raise InputError("CurveTable.context: cannot be negative")
        for name in ("tokens", "loss"):
            values = getattr(self, name)
            if not np.all(np.isfinite(values) & (values > 0)):
                raise InputError(f"CurveTable.{name}: must be positive and finite")
        steps = np.diff(self.context)
        if np.any((steps < 0) | ((steps == 0) & (np.diff(self.tokens) <= 0))):
            raise InputError("CurveTable: must be sorted by context and tokens, without repeats")


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvesResult(Result):
    """What learning curves from elsewhere say: limits, exponents and alpha; one row a context.

    Attributes
    ----------
    context : (n_contexts,) int64
    limit, limit_low, limit_high : (n_contexts,) float64
        L_n at infinite P with its interval; NaN where the fit was refused.
    identifiable : (n_contexts,) bool
    delta, delta_low, delta_high : (n_contexts,) float64
        L_n - limit ~ P^-delta.
    points : (n_contexts,) int64
        Sizes fitted; those below 10 P*_n are left out where the threshold is known.
    reasons : tuple of str
        One a context, empty where the limit is identifiable.
    largest_tokens : float or None
        P of `gamma_finite`.
    gamma : Exponent
        Of the limits.
    gamma_finite : Exponent
        Of the losses at `largest_tokens`, raw (H_inf = 0).
    alpha, alpha_finite : Exponent
        gamma / (2 beta) with the beta of the corpus.
    table : CurveTable
        What was read.
    """

    _axis: ClassVar[str | None] = "context"

    context: IntVector
    limit: FloatVector
    limit_low: FloatVector
    limit_high: FloatVector
    identifiable: BoolVector
    delta: FloatVector
    delta_low: FloatVector
    delta_high: FloatVector
    points: IntVector
    reasons: tuple[str, ...] = ()
    largest_tokens: float | None = None
    gamma: Exponent
    gamma_finite: Exponent
    alpha: Exponent
    alpha_finite: Exponent
    table: CurveTable


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction(Result):
    """Data-scaling exponent alpha_D = gamma / (2 beta), its conditions, horizons and thresholds.

    Attributes
    ----------
    alpha, alpha_finite : Exponent
        From `EntropyResult.gamma` and from `EntropyResult.gamma_finite`.
    gates : tuple of Gate
        Conditions under which the formula holds.
    horizon : tuple of HorizonPoint
        Largest resolved lag at the asked numbers of training tokens.
    threshold : tuple of ThresholdPoint
        Tokens needed to resolve each measured lag.
    kappa : float or None
        Noise constant used for both: the floor is kappa / sqrt(pairs).
    context_length : tuple of ContextPoint
        Context lengths worth training at the asked numbers of tokens.
    stage : tuple of StagePoint
        Which stage of the decay of ||C(t)|| holds at these numbers.
    loss_curve : tuple of LossPoint
        Expected loss at these numbers, given measured losses.
    loss_fit : LossFit or None
        The curve behind it.
    collapse : tuple of Collapse
        Of the counted learner's curves and of imported ones.
    curves : CurvesResult or None
        What imported curves say.
    """

    alpha: Exponent
    alpha_finite: Exponent
    gates: tuple[Gate, ...] = ()
    horizon: tuple[HorizonPoint, ...] = ()
    threshold: tuple[ThresholdPoint, ...] = ()
    kappa: float | None = None
    context_length: tuple[ContextPoint, ...] = ()
    stage: tuple[StagePoint, ...] = ()
    loss_curve: tuple[LossPoint, ...] = ()
    loss_fit: LossFit | None = None
    collapse: tuple[Collapse, ...] = ()
    curves: CurvesResult | None = None

    def plot(self) -> Figure:
        """Draw the horizons; see `ngramstat.report.horizon.plot_horizon`."""
        from ngramstat.report.horizon import plot_horizon

        return plot_horizon(self)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["quantity", "value", "low", "high", "reportable", "reason"]
        rows: list[list[Any]] = [
            [name, e.value, e.low, e.high, e.reportable, e.reason]
            for name, e in (("alpha", self.alpha), ("alpha_finite", self.alpha_finite))
        ]
        rows += [
            [f"horizon at {p.tokens:.4g} tokens", p.lag, p.low, p.high, None, None]
            for p in self.horizon
        ]
        return header, rows

    def __repr__(self) -> str:
        lines = ["Prediction", f"alpha: {self.alpha!r}", f"alpha_finite: {self.alpha_finite!r}"]
        lines += [f"gate failed: {g.name}: {g.meaning}" for g in self.gates if g.passed is False]
        for point in self.horizon:
            reach = "no lag" if point.lag is None else f"lags up to {point.lag:.4g}"
            doubt = " at least" * point.at_least + ", extrapolated" * point.extrapolated
            lines.append(f"{point.tokens:.4g} tokens resolve {reach}{doubt}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult(Result):
    """One run: the corpus, every resolved option, provenance, and the parts that were computed.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.run/1``.
    corpus, settings, provenance : dict
        Plain JSON objects.
    correlations : CorrelationResult or None
    entropies : EntropyResult or None
    prediction : Prediction or None
        None where the part was not computed.
    """

    schema: str = SCHEMA
    corpus: JsonObject
    settings: JsonObject
    provenance: JsonObject
    correlations: CorrelationResult | None = None
    entropies: EntropyResult | None = None
    prediction: Prediction | None = None

    def _check(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"RunResult.schema: needs {SCHEMA!r}, got {self.schema[:60]!r}")

    @property
    def exponents(self) -> dict[str, Exponent]:
        """The exponents that were computed, by name, in reading order."""
        found: dict[str, Exponent | None] = {}
        if self.correlations is not None:
            found["beta"] = self.correlations.beta
            found["beta_sequential"] = self.correlations.beta_sequential
        if self.entropies is not None:
            found["gamma"] = self.entropies.gamma
            found["gamma_finite"] = self.entropies.gamma_finite
        if self.prediction is not None:
            found["alpha"] = self.prediction.alpha
            found["alpha_finite"] = self.prediction.alpha_finite
        return {name: value for name, value in found.items() if value is not None}

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["exponent", "value", "low", "high", "level", "window", "reportable", "reason"]
        rows: list[list[Any]] = []
        for name, e in self.exponents.items():
            window = None if e.window is None else f"{e.window[0]:g}..{e.window[1]:g}"
            rows.append([name, e.value, e.low, e.high, e.level, window, e.reportable, e.reason])
        return header, rows

    def _caption(self) -> str:
        return f"ngramstat run of {self.corpus.get('path', 'a corpus')}"

    def __repr__(self) -> str:
        lines = [f"RunResult of {self.corpus.get('path', 'a corpus')}"]
        for name, e in self.exponents.items():
            doubt = "" if e.reportable else f" (not reportable: {e.reason})"
            lines.append(f"  {name}: {e._summary()}{doubt}")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw norms and entropies side by side; see `ngramstat.report.figures.plot_run`."""
        from ngramstat.report.figures import plot_run

        return plot_run(self)


def _check_boundary(boundary: str, where: str) -> None:
    if boundary not in ("stream", "document"):
        raise InputError(f"{where}.boundary: needs stream or document, got {boundary[:60]!r}")


def _columns(
    result: Result, label: str, axis: NDArray[np.int64], names: Sequence[str]
) -> tuple[list[str], list[list[Any]]]:
    present = [name for name in names if getattr(result, name) is not None]
    columns = [axis.tolist(), *(getattr(result, name).tolist() for name in present)]
    return [label, *present], [list(row) for row in zip(*columns, strict=True)]
