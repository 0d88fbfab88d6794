"""The law of model size and training tokens, as a result, from losses that a user brings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.model_size import model_size_law
from ngramstat.results import ModelSizeFit, ModelSizeTerm

__all__ = ["model_size_fit"]

Floats = NDArray[np.float64]

# With a larger scatter about the law (relative) the losses follow another one.
_MAX_SCATTER = 0.03


def model_size_fit(
    parameters: Floats, tokens: Floats, losses: Floats, *, level: float = 0.95
) -> ModelSizeFit:
    """E, a and b of L(N, D) = E + A / N^a + B / D^b with their profile-likelihood intervals.

    Reportable where both exponents are bounded on both sides and the losses scatter about the law
    by at most 3 %.

    Parameters
    ----------
    parameters, tokens, losses : (n,) float64
    level : float

    Raises
    ------
    InputError
        As `model_size_law`.
    """
    law = model_size_law(parameters, tokens, losses, level=level)
    sizes = (float(parameters.min()), float(parameters.max()))
    span = (float(tokens.min()), float(tokens.max()))
    if isinstance(law, str):
        return ModelSizeFit(
            level=level, points=len(losses), parameters=sizes, tokens=span, reason=law
        )
    reasons = [
        f"{name} is not bounded by these losses"
        for name, ends in (("a", law.a_ends), ("b", law.b_ends))
        if None in ends
    ]
    if law.scatter > _MAX_SCATTER:
        reasons.append(f"the losses scatter about the law by {100 * law.scatter:.1f} %")
    return ModelSizeFit(
        limit=_term(law.limit, law.limit_ends),
        a=_term(law.a, law.a_ends),
        b=_term(law.b, law.b_ends),
        scale_parameters=law.scale_parameters,
        scale_tokens=law.scale_tokens,
        level=level,
        scatter=law.scatter,
        points=len(losses),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        parameters=sizes,
        tokens=span,
    )


def _term(value: float, ends: tuple[float | None, float | None]) -> ModelSizeTerm:
    return ModelSizeTerm(value=value, low=ends[0], high=ends[1])
