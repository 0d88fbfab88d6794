"""Norms of C(t) over the lags, and beta."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.results.base import (
    BoolVector,
    CountVector,
    DrawableResult,
    FloatCube,
    FloatMatrix,
    FloatVector,
    IntCube,
    IntMatrix,
    IntVector,
    JsonObject,
    Result,
)
from ngramstat.results.exponent import Exponent, ExponentDifference, Replicates

__all__ = [
    "BoundaryEffect",
    "CorrelationResult",
    "PeriodicKind",
    "PeriodicStructures",
    "Periodicity",
    "VocabCut",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class VocabCut(Result):
    """What restricting C(t) to the most frequent vocabulary items leaves out.

    The norm over the whole vocabulary lies in [norm, norm + bound].

    Attributes
    ----------
    top : int
        Number of vocabulary items kept.
    dropped_mass : float
        Fraction of the tokens that were dropped.
    full_norm : (n_lags,) float64
        Plug-in norm over the whole vocabulary.
    bound : (n_lags,) float64
        Upper bound on its excess over the norm of the items kept.
    """

    _axis: ClassVar[str | None] = "bound"

    top: int
    dropped_mass: float
    full_norm: FloatVector
    bound: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryEffect(Result):
    """Where the other `boundary` would give another curve.

    Attributes
    ----------
    other : str
        The boundary that was not used.
    from_lag : int
        First lag at which the norms of the two differ by more than a quarter.
    lag : int
        Lag at which they differ most.
    norm, other_norm : float
        Plug-in norms there, with the boundary used and with the other one.
    exponent, other_exponent : float or None
        Exponents of the two curves of plug-in norms over the window of `beta`, with its weights.
    """

    other: str
    from_lag: int
    lag: int
    norm: float
    other_norm: float
    exponent: float | None = None
    other_exponent: float | None = None


class PeriodicKind(StrEnum):
    """What a periodic structure of a corpus looks like."""

    LINES = "lines"
    RECORDS = "records"
    DOCUMENTS = "documents"
    PADDING = "padding"


@dataclass(frozen=True, kw_only=True, eq=False)
class Periodicity(Result):
    """A token that stands at regular distances: a structure of the file, not of the language.

    Attributes
    ----------
    kind : PeriodicKind
        ``lines``: lines wrapped at a width; ``records``: of one length; ``documents``: separators
        at regular distances; ``padding``: long runs of one token.
    token : int
        The token that repeats.
    text : str or None
        Its text; None without a tokenizer.
    period : float
        Median distance, in tokens; 1 for padding.
    low, high : float
        Between these lie nine tenths of the regular distances; for padding of the runs' lengths.
    share : float
        Fraction of the sampled tokens that lie in regular distances or in runs.
    """

    kind: PeriodicKind
    token: int
    text: str | None = None
    period: float
    low: float
    high: float
    share: float

    def repeats_at(self, lag: float) -> bool:
        """Whether the structure correlates tokens at this lag: one or two periods, to a quarter."""
        if self.kind is PeriodicKind.PADDING:
            return False
        return any(0.8 * k * self.period <= lag <= 1.25 * k * self.period for k in (1, 2))

    @property
    def finding(self) -> str:
        """What was found, in one sentence without an end."""
        name = f"token {self.token}"
        if self.text is not None:
            name = f"{json.dumps(self.text[:20], ensure_ascii=False)} ({name})"
        share = f"{100 * self.share:.0f} % of the text"
        if self.kind is PeriodicKind.PADDING:
            return f"{share} is runs of {name}, {self.low:g} to {self.high:g} in a row"
        what = {
            PeriodicKind.LINES: "as in lines wrapped at a width",
            PeriodicKind.RECORDS: "as in records of one length",
            PeriodicKind.DOCUMENTS: "so the documents have one length",
        }[self.kind]
        if self.kind is PeriodicKind.LINES and self.text is None:
            what = "as in lines of similar lengths, such as wrapped ones"
        distance = f"every {self.period:g} tokens"
        if self.high > self.low:
            distance += f" ({self.low:g} to {self.high:g})"
        return f"{name} stands {distance} in {share}, {what}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.kind is PeriodicKind.LINES and self.text is None:
            return "if these are wrapped lines, unwrap them before tokenizing"
        return {
            PeriodicKind.LINES: "unwrap the lines before tokenizing",
            PeriodicKind.RECORDS: "leave such files out, or make every record a document",
            PeriodicKind.DOCUMENTS: "use the documents as they were before they were cut or packed",
            PeriodicKind.PADDING: "remove the padding before tokenizing",
        }[self.kind]


@dataclass(frozen=True, kw_only=True, eq=False)
class PeriodicStructures(Result):
    """Everything periodic that was found in a corpus.

    Attributes
    ----------
    structures : tuple of Periodicity
        At least one; padding first, then by share.
    """

    structures: tuple[Periodicity, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CorrelationResult(DrawableResult):
    """Norms of the token covariance C(t) over lags t, with noise floors and exponents.

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
        Estimate of its true value; cross-fitting removes the bias due to noise.
    composition_norm : (n_lags,) float64 or None
        Norm of the part that document composition contributes.
    position_norm, position_floor : (n_lags,) float64 or None
        Norm of the covariance due to the position in the document alone, for pairs inside
        documents, and its noise floor.
    norm_crossfit : (n_lags,) float64 or None
        u1' C2 v1 of two document halves; biased down, where `norm` is biased up.
    norm_debiased : (n_lags,) float64 or None
        Estimate of the true norm; cross-fitting removes the bias due to noise. It lies between
        `norm_crossfit` and `norm`, or within the cross-fit's error of them.
    noise_floor : (n_lags,) float64
        Norm that sampling noise alone would have.
    permutation_floor : (n_lags,) float64 or None
        `norm_sequential` after shuffling the tokens inside every document.
    analytic_floor : (n_lags,) float64 or None
        The noise floor from the unigram distribution: kappa / sqrt(pairs).
    frobenius : (n_lags,) float64 or None
        Frobenius norm of C(t).
    singular_values : (n_lags, k) float64 or None
        Leading singular values, largest first.
    left_types, right_types : (n_lags, c, 12) int64 or None
        Tokens with the largest entries in the first c left and right singular vectors; -1 where
        the vocabulary has fewer than 12 items.
    left_loadings, right_loadings : (n_lags, c, 12) float64 or None
        Their entries, largest in magnitude first; the full vectors have length 1. A token on the
        left is followed by tokens of the same sign on the right more often than by chance.
    type_texts : dict or None
        Text of each of these tokens by its id; None without a tokenizer.
    top_documents : (n_lags, k) int64 or None
        Numbers, from 0, of the documents (or blocks) that carry most of `norm`.
    top_document_shares : (n_lags, k) float64 or None
        Their shares of `norm`, largest first: what their pairs contribute to u^T C v with the first
        singular vectors. Shares of all documents add up to one.
    top_document_starts, top_document_ends : (n_lags, k) int64 or None
        Positions in the corpus of their first token and of the one behind their last.
    documents_for_half : (n_lags,) float64 or None
        Smallest fraction of the documents that carries half of `norm`.
    residual : (n_lags,) float64 or None
        Residual of the singular triplet, relative to the norm.
    valid : (n_lags,) bool
        Whether the norm is significantly above the noise floor.
    valid_sequential : (n_lags,) bool or None
        The same for the sequential norm, which must also exceed `permutation_floor`.
    crossing_share : (n_lags,) float64 or None
        Fraction of the pairs whose two tokens are in different documents.
    separator_share : (n_lags,) float64 or None
        Fraction of the pairs in which at least one token is the separator.
    norm_other_boundary : (n_lags,) float64 or None
        Plug-in norm, to a per mille, with the other `boundary`: to be compared with `norm`.
    boundary_effect : BoundaryEffect or None
        Where these two differ; None where they do not.
    periodic : PeriodicStructures or None
        Periodic structures of the corpus, which raise the norms at their lags; None without any.
    document_reach : int or None
        Largest lag at which at least 1% of the tokens have a partner inside their document: beyond
        it, whatever correlates lies in different documents. None without document ends.
    longest_document : int or None
        Tokens of the longest document, without its separator.
    beta : Exponent
        ||C(t)|| ~ t^-beta, from `norm_debiased`.
    beta_sequential : Exponent or None
        The same from `norm_sequential_debiased`.
    composition_effect : ExponentDifference or None
        `beta` less `beta_sequential` on the lags in the window of `beta` that both norms have.
    bootstrap : Replicates or None
        Exponents of the replicates behind the intervals.
    boundary : str
        ``stream`` (pairs run across documents) or ``document`` (they stay inside).
    documents_are_blocks : bool
        True if the store has no document ends, and equal blocks stood in for documents.
    vocab_cut : VocabCut or None
        What restricting the vocabulary left out; None if C(t) is over the whole vocabulary.
    """

    _axis: ClassVar[str | None] = "lags"
    _label: ClassVar[str | None] = "lag"
    _inner: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "singular_values": ("rank",),
        **dict.fromkeys(
            ("left_types", "left_loadings", "right_types", "right_loadings"), ("vector", "entry")
        ),
        **dict.fromkeys(
            ("top_documents", "top_document_shares", "top_document_starts", "top_document_ends"),
            ("place",),
        ),
    }

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
    top_documents: IntMatrix | None = None
    top_document_shares: FloatMatrix | None = None
    top_document_starts: IntMatrix | None = None
    top_document_ends: IntMatrix | None = None
    documents_for_half: FloatVector | None = None
    residual: FloatVector | None = None
    valid: BoolVector
    valid_sequential: BoolVector | None = None
    crossing_share: FloatVector | None = None
    separator_share: FloatVector | None = None
    norm_other_boundary: FloatVector | None = None
    boundary_effect: BoundaryEffect | None = None
    periodic: PeriodicStructures | None = None
    document_reach: int | None = None
    longest_document: int | None = None
    beta: Exponent
    beta_sequential: Exponent | None = None
    composition_effect: ExponentDifference | None = None
    bootstrap: Replicates | None = None
    boundary: str = "stream"
    documents_are_blocks: bool = False
    vocab_cut: VocabCut | None = None

    def _check(self) -> None:
        if self.vocab_cut is not None and len(self.vocab_cut.bound) != len(self.lags):
            raise InputError("CorrelationResult.vocab_cut: needs one bound per lag")
        if np.any(self.lags < 1) or np.any(np.diff(self.lags) < 1):
            raise InputError("CorrelationResult.lags: must be increasing and at least 1")
        Boundary.parse(self.boundary, "CorrelationResult.boundary")

    @property
    def best_norm(self) -> NDArray[np.float64]:
        """`norm_debiased`, or `norm` where that was not computed; (n_lags,)."""
        if self.norm_debiased is None:
            return self.norm
        return np.where(np.isfinite(self.norm_debiased), self.norm_debiased, self.norm)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        return self._columns("lag")

    def _caption(self) -> str:
        return f"Correlations ({self.boundary}); beta: {self.beta.marked_summary()}"

    def __repr__(self) -> str:
        return f"CorrelationResult: {len(self.lags)} lags, boundary {self.boundary}\nbeta: " + repr(
            self.beta
        )
