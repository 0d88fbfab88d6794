"""What is said beside the numbers: parts of an interval, and what in the corpus shapes a curve."""

from __future__ import annotations

import numpy as np

from ngramstat.report.text import exponent_number
from ngramstat.results import BoundaryEffect, CorrelationResult, Exponent

__all__ = ["curve_notes", "interval_parts", "sequential_rise"]

# The sequential curve rises where it exceeds an earlier, reliable value by this factor.
_RISE = 1.25


def interval_parts(exponent: Exponent) -> str | None:
    """The parts of an interval in one line; None where there are fewer than two."""
    parts = exponent.parts
    if parts is None or parts.lags is None or parts.documents is None:
        return None

    def interval(ends: tuple[float, float]) -> str:
        return f"[{exponent_number(ends[0])}, {exponent_number(ends[1])}]"

    text = f"of this, documents {interval(parts.documents)}, choice of lags {interval(parts.lags)}"
    if parts.window is not None:
        text += f"; beside it, other windows {interval(parts.window)}"
    return text


def curve_notes(result: CorrelationResult) -> list[str]:
    """Periodic structures with their remedies, and where the other boundary differs."""
    structures = () if result.periodic is None else result.periodic.structures
    notes = [f"{found.finding}; {found.remedy}" for found in structures]
    if result.boundary_effect is not None:
        notes.append(_boundary_note(result.boundary_effect))
    return notes


def _boundary_note(effect: BoundaryEffect) -> str:
    text = (
        f"--boundary {effect.other} would give another curve from lag {effect.from_lag} on: at lag "
        f"{effect.lag} a norm of {1e3 * effect.other_norm:.3g} instead of "
        f"{1e3 * effect.norm:.3g} x 1e-3"
    )
    if effect.exponent is not None and effect.other_exponent is not None:
        text += (
            f"; over the lags of beta the plain norms fall with an exponent of "
            f"{effect.other_exponent:.2f} there, {effect.exponent:.2f} here"
        )
    return text


def sequential_rise(result: CorrelationResult) -> str | None:
    """Why the sequential norm rises with distance, where it does; None where it does not."""
    norms, valid = result.norm_sequential_debiased, result.valid_sequential
    if norms is None:
        norms = result.norm_sequential
    if norms is None:
        return None
    known = np.isfinite(norms) & (norms > 0)
    if valid is not None:
        known &= valid
    lags, values = result.lags[known], norms[known]
    if len(values) < 2:
        return None
    lowest = int(np.argmin(values))
    if float(values[lowest:].max()) < _RISE * float(values[lowest]):
        return None
    text = (
        f"The sequential norm rises beyond lag {lags[lowest]}: it counts only pairs inside "
        "documents, and the larger the distance, the fewer documents are long enough and the more "
        "often a pair is the beginning of a document with its end, which correlates tokens by "
        "their position. Such a rise is about the shape of documents, not a longer memory of the "
        "language"
    )
    fit = result.beta_sequential
    if fit is not None and fit.window is not None and fit.window[1] <= lags[lowest]:
        text += ", and the fit of its exponent ends before"
    return f"{text}."
