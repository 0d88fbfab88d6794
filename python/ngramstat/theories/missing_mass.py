"""Good and Turing's missing mass of k-grams: its exponent, and what it says of quanta.

Formulas and conditions: docs/theory.md 8 and 11.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat.results import KgramTable

__all__ = ["STABLE", "missing_mass_exponents", "quanta_in_words", "why_no_missing_mass"]

Floats = NDArray[np.float64]

# Relative tolerance between estimates of different windows, or slopes of successive doublings.
STABLE = 0.1
# With fewer singletons their fraction is noise (docs/theory.md 11).
_MIN_SINGLETONS = 100


def why_no_missing_mass(k: int, singletons: Floats) -> str | None:
    """Why the exponent is not known, from k-grams seen once in growing parts; None if it is."""
    if singletons[-1] <= _MIN_SINGLETONS:
        return f"{singletons[-1]:.0f} {k}-grams occur once, {_MIN_SINGLETONS} needed"
    if singletons[-1] < singletons[-2]:
        return f"fewer {k}-grams occur once in the corpus than in half of it: they are a closed set"
    return None


def missing_mass_exponents(table: KgramTable) -> Floats:
    """-d ln (N_1/P) / d ln P on every doubling of the corpus, (n_sizes - 1,).

    NaN where too few k-grams occur once, or fewer than on the size before: a closed set.
    """
    once = np.asarray(table.singletons, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = 1.0 - np.diff(np.log(once)) / np.diff(np.log(table.tokens))
    unknown = [why_no_missing_mass(table.k, once[: j + 2]) is not None for j in range(len(slopes))]
    exponents: Floats = np.where(unknown, np.nan, slopes)
    return exponents


def quanta_in_words(tables: Sequence[KgramTable]) -> str:
    """How the exponent of quanta depends on what is taken for a quantum, and on the tokens.

    Empty where no exponent is known.
    """
    known = [(t.k, missing_mass_exponents(t)) for t in tables]
    last = {k: float(e[-1]) for k, e in known if len(e) and np.isfinite(e[-1])}
    if not last:
        return ""
    least, most = min(last, key=lambda k: last[k]), max(last, key=lambda k: last[k])
    lines = [
        f"With k-grams as quanta, the exponent on the last doubling is {last[most]:.3f} for k = "
        f"{most} and {last[least]:.3f} for k = {least}."
        if least != most
        else f"With {most}-grams as quanta, the exponent on the last doubling is {last[most]:.3f}."
    ]
    changes = []
    for k, exponents in known:
        finite = exponents[np.isfinite(exponents)]
        if k in last and len(finite) > 1:
            changes.append((k, float(finite[0]), float(finite[-1])))
    if changes:
        each = ", ".join(f"from {first:.3f} to {end:.3f} for k = {k}" for k, first, end in changes)
        lines.append(f"Over the parts of the corpus it goes {each}.")
    spread = max(last.values()) - min(last.values())
    drift = max((abs(end - first) for _, first, end in changes), default=0.0)
    size = max(last.values())
    if max(spread, drift) > STABLE * size:
        lines.append(
            "So no single exponent of quanta belongs to this text: it has to be given with k and "
            "the number of tokens."
        )
    else:
        lines.append("It is nearly the same for all k and all sizes.")
    return " ".join(lines)
