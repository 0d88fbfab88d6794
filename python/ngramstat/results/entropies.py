"""Entropies H(n) over the contexts, their learning curves, and gamma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.results.base import (
    BoolVector,
    CountVector,
    DrawableResult,
    FloatMatrix,
    FloatVector,
    IntVector,
    JsonObject,
    Result,
)
from ngramstat.results.exponent import Exponent, Replicates

__all__ = ["EntropyResult", "LearningCurve"]


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
        The predictor that has these losses.
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
class EntropyResult(DrawableResult):
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
        Entropy of the counts, and two bias-corrected estimates.
    held_out_kneser_ney : (n_contexts,) float64 or None
        Held-out cross-entropy of interpolated modified Kneser-Ney.
    held_out : (n_contexts,) float64
        Held-out cross-entropy of the best counted predictor, an upper bound of H_n in expectation.
    held_out_low, held_out_high : (n_contexts,) float64 or None
        Its document-bootstrap interval.
    delta, delta_low, delta_high : (n_contexts,) float64 or None
        Exponent of the learning curve, L_n(P) - H_n ~ P^-delta.
    low, high : (n_contexts,) float64
        Bracket of H_n, from counts below and from held-out losses above; neither end rises with n.
    estimate : (n_contexts,) float64
        Best estimate of H_n inside the bracket: from counts where their bias is under control,
        else the middle.
    resolved : (n_contexts,) bool
        Whether the bracket is narrow enough to use.
    held_out_copies : float or None
        Fraction of held-out tokens inside passages of `copy_tokens` or more that also stand in the
        training text.
    copy_tokens : int or None
        32, or more where tokens carry so little information that 32 of them recur by chance.
    limit, limit_low, limit_high : (n_contexts,) float64
        Extrapolation: the limit of the learning curve at infinite P, with its interval; NaN if not
        identifiable. The bracket does not use it.
    learning_curve : LearningCurve or None
        Held-out cross-entropy against training tokens.
    mixture_used : (n_contexts,) bool or None
        Whether `held_out` is the loss of the mixture of contexts, or else of Kneser-Ney.
    tuning_tokens : int or None
        Number of training tokens on which the mixture's weights were fitted.
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
        True if equal blocks stood in for documents.
    """

    _axis: ClassVar[str | None] = "context"
    _label: ClassVar[str | None] = "context"

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
    delta: FloatVector | None = None
    delta_low: FloatVector | None = None
    delta_high: FloatVector | None = None
    estimate: FloatVector | None = None
    low: FloatVector | None = None
    high: FloatVector | None = None
    held_out_copies: float | None = None
    copy_tokens: int | None = None
    limit: FloatVector | None = None
    limit_low: FloatVector | None = None
    limit_high: FloatVector | None = None
    resolved: BoolVector
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
        Boundary.parse(self.boundary, "EntropyResult.boundary")
        curve = self.learning_curve
        if curve is not None and len(curve.tokens):
            columns = curve.held_out.shape[1]
            if columns != len(self.context):
                raise InputError(
                    f"EntropyResult.learning_curve.held_out: has {columns} columns, "
                    f"but context has {len(self.context)}"
                )

    @classmethod
    def _current(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Files of older versions call the limits of the curves ``learning_limit``.

        Their brackets of H_n are left out, and no context of theirs is resolved.
        """
        if "learning_limit" not in data and "tokens_needed" not in data:
            return data
        former = {
            "limit": "estimate",
            "limit_low": "low",
            "limit_high": "high",
            "learning_limit": "limit",
            "learning_low": "limit_low",
            "learning_high": "limit_high",
        }
        current = {former.get(k, k): value for k, value in data.items() if k != "tokens_needed"}
        # Those brackets were narrowed by extrapolated limits, and copies were not looked for.
        current |= {"low": None, "high": None, "estimate": None}
        current["resolved"] = [False] * len(data.get("resolved") or ())
        return current

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        return self._columns("context")

    def _labelled(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        variables, coordinates, attributes = super()._labelled()
        if self.learning_curve is not None:
            coordinates["training_tokens"] = self.learning_curve.tokens
            variables["learning_curve"] = (
                ("training_tokens", "context"),
                self.learning_curve.held_out,
            )
        return variables, coordinates, attributes

    def _caption(self) -> str:
        return f"Entropies, nats per token ({self.boundary}); gamma: {self.gamma.marked_summary()}"

    def __repr__(self) -> str:
        return (
            f"EntropyResult: {len(self.context)} contexts, boundary {self.boundary}\n"
            f"gamma: {self.gamma!r}\ngamma_finite: {self.gamma_finite!r}"
        )
