"""What is said beside the numbers: parts of an interval, and what in the corpus shapes a curve."""

from __future__ import annotations

from ngramstat.report.text import exponent_number
from ngramstat.results import BoundaryEffect, CorrelationResult, Exponent

__all__ = ["curve_notes", "interval_parts"]


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
