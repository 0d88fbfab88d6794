"""Options of the next-token entropies."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.errors import InputError
from ngramstat.kernels import MAX_ORDER
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.split import check_held_out_fraction

__all__ = ["EntropyOptions"]

_PREDICTORS = ("mixture", "kneser-ney")
_MAX_LEARNING_SIZES = 20


@dataclass(frozen=True, kw_only=True)
class EntropyOptions(SamplingOptions):
    """Resolved options of the entropies; all of them shape the result.

    Attributes
    ----------
    max_context : int
        Contexts of 0 .. max_context tokens.
    held_out : float, str or None
        Fraction of the tokens to hold out, or the path of a held-out corpus; None: a hundredth,
        but at least 200,000 tokens and at most a tenth.
    predictor : str
        Best predictor to look for: ``mixture``, or ``kneser-ney`` alone.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    """

    max_context: int = 5
    held_out: float | str | None = None
    predictor: str = "mixture"
    learning_sizes: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.predictor not in _PREDICTORS:
            raise InputError(f"predictor={self.predictor!r}: expected {' or '.join(_PREDICTORS)}")
        if not isinstance(self.held_out, str):
            check_held_out_fraction(self.held_out)
        if not 1 <= self.learning_sizes <= _MAX_LEARNING_SIZES:
            raise InputError(
                f"learning_sizes={self.learning_sizes}: must lie in 1 .. {_MAX_LEARNING_SIZES}"
            )
        if not 0 <= self.max_context < MAX_ORDER:
            raise InputError(f"max_context={self.max_context}: must lie in 0 .. {MAX_ORDER - 1}")

    @property
    def uses_mixture(self) -> bool:
        """Whether the mixture of contexts is trained; it has no contexts of no tokens."""
        return self.predictor == "mixture" and self.max_context > 0
