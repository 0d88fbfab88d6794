"""Measured intervals beside known values, as terminal text."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.report.text import table, wrap

__all__ = ["known_values_table"]


def known_values_table(rows: Sequence[tuple[str, float, float, float]], level: float) -> list[str]:
    """A table of (name, truth, low, high), with the number of intervals that hold the truth."""
    held = sum(low <= truth <= high for _, truth, low, high in rows)
    lines = [
        "KNOWN ANSWER  a text drawn from a source whose statistics can be computed exactly",
        *table(
            [
                ("quantity", [name for name, *_ in rows]),
                ("exact", [f"{truth:.5g}" for _, truth, _, _ in rows]),
                ("measured", [f"{low:.5g} to {high:.5g}" for _, _, low, high in rows]),
                ("  ", ["" if low <= x <= high else "missed" for _, x, low, high in rows]),
            ]
        ),
    ]
    sentence = (
        f"{held} of {len(rows)} intervals hold the exact value; at {100 * level:g}% about one in "
        f"{1 / (1 - level):.0f} misses it."
    )
    return [*lines, *wrap(sentence, indent=2)]
