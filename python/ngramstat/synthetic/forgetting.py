"""What chains that forget their past have in common: their period, and that they have no exponents.

See docs/theory.md 12.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ngramstat.synthetic.world import Floats, KnownExponent

__all__ = ["FORGOTTEN", "chain_period", "no_exponents"]

# Below this fraction of ||C(0)|| a norm is mostly rounding: the chain has forgotten its past.
FORGOTTEN = 1e-14


def chain_period(transitions: Any, stationary: Floats) -> int:
    """Greatest common divisor of the lengths of all closed walks of a chain's recurrent states.

    Parameters
    ----------
    transitions : sparse (n, n)
        Positive where a state can follow another.
    stationary : (n,) float64
    """
    from scipy.sparse.csgraph import shortest_path

    links = transitions.copy()
    links.eliminate_zeros()
    start = int(np.argmax(stationary.reshape(-1)))
    depth = shortest_path(links, method="D", unweighted=True, indices=start)
    rows, columns = links.nonzero()
    seen = np.isfinite(depth[rows])  # from a recurrent state only recurrent ones are reached
    longer = depth[rows[seen]] + 1 - depth[columns[seen]]
    return int(np.gcd.reduce(np.abs(longer).astype(np.int64)))


def no_exponents(period: int, entropies: str) -> dict[str, KnownExponent]:
    """That a chain has no exponents, and why; `entropies` says how H(n) goes on."""
    falls = "C(t) falls exponentially"
    if period > 1:
        falls = f"the chain is periodic with period {period}, so C(t) need not fall at all"
    why = f"not a power law: {falls}, {entropies}"
    return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}
