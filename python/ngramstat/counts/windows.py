"""Which pairs of tokens a co-occurrence matrix sums, and with which weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError, InputTypeError, check_choice
from ngramstat.runtime.arguments import as_flag, as_integers, as_number, integer_within

__all__ = ["WEIGHTS", "PairWindow", "Weights"]

#: By name: every lag alike, and 1 / lag as in GloVe (Pennington, Socher and Manning 2014).
WEIGHTS = ("uniform", "harmonic")
Weights: TypeAlias = "str | Sequence[float] | Callable[[int], float]"

# The kernel counts what is left of a document in 32 bits.
_MAX_LAG = (1 << 32) - 2
_MAX_WINDOW = 1 << 20


@dataclass(frozen=True)
class PairWindow:
    """The pairs (x_i, x_{i+lag}) that a matrix sums.

    Attributes
    ----------
    lags : tuple of int
        Ascending, in tokens.
    weights : tuple of float or None
        One per lag; None: counts are summed as they are.
    symmetric : bool
        Count each pair also with its tokens exchanged, which adds the transpose.
    boundary : Boundary
        ``stream`` or ``document``.
    """

    lags: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    symmetric: bool = False
    boundary: Boundary = Boundary.STREAM

    @classmethod
    def of(
        cls,
        *,
        lags: int | Iterable[int] | None = None,
        window: int | None = None,
        weights: Weights = "uniform",
        symmetric: bool = False,
        boundary: str = "stream",
    ) -> PairWindow:
        """The window that arguments of `cooccurrence` describe.

        Raises
        ------
        InputError
            They contradict each other, or one cannot be used.
        """
        if (lags is None) == (window is None):
            raise InputError(
                "give either --lags, such as 1,2,4, or --window, such as 10 for the lags 1 to 10"
            )
        if window is not None:
            chosen = tuple(range(1, integer_within("window", window, 1, _MAX_WINDOW) + 1))
        else:
            chosen = as_integers("lags", lags)
            for lag in chosen:
                integer_within("lags", lag, 1, _MAX_LAG)
        if not chosen:
            raise InputError("lags: at least one is needed")
        if len(set(chosen)) < len(chosen):
            raise InputError(f"lags={list(chosen)}: each may be given once")
        by_lag = sorted(zip(chosen, _weights_of(weights, chosen), strict=True))
        # A lag that weighs nothing has no part in the sum.
        kept = [(lag, weight) for lag, weight in by_lag if weight > 0]
        if not kept:
            raise InputError("weights: at least one has to be positive")
        return cls(
            lags=tuple(lag for lag, _ in kept),
            weights=None if weights == "uniform" else tuple(weight for _, weight in kept),
            symmetric=as_flag("symmetric", symmetric),
            boundary=Boundary.parse(boundary),
        )

    @property
    def pairs_per_token(self) -> int:
        """At most so many pairs have a given position of the stream as their row."""
        return len(self.lags) * (2 if self.symmetric else 1)

    @property
    def within_content(self) -> bool:
        """Whether both tokens have to lie in the content of one document."""
        return not self.boundary.across

    def to_dict(self) -> dict[str, Any]:
        """For the JSON that describes a matrix."""
        return {
            "lags": list(self.lags),
            "weights": None if self.weights is None else list(self.weights),
            "symmetric": self.symmetric,
            "boundary": self.boundary.value,
        }


def _weights_of(weights: Any, lags: Sequence[int]) -> list[float]:
    if isinstance(weights, str):
        check_choice("weights", weights, WEIGHTS)
        return [1.0 if weights == "uniform" else 1.0 / lag for lag in lags]
    if callable(weights):
        given = [as_number(f"weights({lag})", weights(lag)) for lag in lags]
    elif isinstance(weights, Iterable):
        given = [as_number("weights", weight) for weight in weights]
    else:
        raise InputTypeError(
            f"weights={weights!r:.60}: must be 'uniform', 'harmonic', a sequence with a weight for "
            "each lag, or a function of the lag"
        )
    if len(given) != len(lags):
        raise InputError(f"weights: {len(given)} are given for {len(lags)} lags")
    for lag, weight in zip(lags, given, strict=True):
        if not 0 <= weight < math.inf:
            raise InputError(f"weights: {weight} of lag {lag} is negative")
    return given
