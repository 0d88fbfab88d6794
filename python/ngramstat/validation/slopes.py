"""Raw slopes of trained models: alpha of their losses, and gamma at every training-set size.

As in Cagnetta et al. 2026 no limit is subtracted. Both slopes belong to the sizes and contexts they
are taken over: gamma grows with P, and alpha falls as the losses come near their limit. So gamma is
given at every P, and beside gamma / (2 beta) stands what the losses of the same models do there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.raw_gamma import raw_gamma
from ngramstat.lm.protocol import protocol_of
from ngramstat.prediction.alpha import alpha_exponent
from ngramstat.prediction.measured import alpha_of_losses
from ngramstat.results import Exponent, LearnerSlopes, SlopeAtSize
from ngramstat.sampling.bootstrap import cluster_weights
from ngramstat.validation.trained import MIN_CLUSTERS, TrainedGroup

__all__ = ["learner_slopes"]

Floats = NDArray[np.float64]

_REPLICATES = 999


def learner_slopes(
    groups: Sequence[TrainedGroup], beta: Exponent, level: float
) -> tuple[LearnerSlopes, ...]:
    """The slopes of every model and context.

    Parameters
    ----------
    groups : sequence of TrainedGroup
        Trained on all tokens.
    beta : Exponent
        Of the corpus.
    level : float
        Confidence level of the intervals.
    """
    by_kind: dict[tuple[str, int], list[TrainedGroup]] = {}
    for group in groups:
        by_kind.setdefault((group.model, group.context), []).append(group)
    return tuple(
        _slopes(model, context, sorted(members, key=lambda g: g.tokens), beta, level)
        for (model, context), members in sorted(by_kind.items())
    )


def _slopes(
    model: str, context: int, groups: Sequence[TrainedGroup], beta: Exponent, level: float
) -> LearnerSlopes:
    tokens = np.array([group.tokens for group in groups], np.float64)
    losses = np.array([group.loss for group in groups])
    replicates = None
    if min(group.clusters for group in groups) >= MIN_CLUSTERS:
        replicates = np.stack([group.replicates() for group in groups], axis=1)
    sizes = []
    for k, group in enumerate(groups):
        gamma = _gamma(group, level)
        local = None
        if k:
            fall = math.log(losses[k - 1] / losses[k])
            local = fall / math.log(tokens[k] / tokens[k - 1])
        predicted = alpha_exponent(
            gamma, beta, method=f"gamma at {group.tokens:,} training tokens / (2 beta)"
        )
        sizes.append(
            SlopeAtSize(
                tokens=float(group.tokens), loss=group.loss, local=local, gamma=gamma,
                predicted=predicted,
            )
        )  # fmt: skip
    return LearnerSlopes(
        model=model,
        context=context,
        alpha=alpha_of_losses(tokens, losses, replicates=replicates, level=level),
        beta=beta,
        sizes=tuple(sizes),
    )


def _gamma(group: TrainedGroup, level: float) -> Exponent:
    """The raw slope of the losses by context, with errors from resampled documents."""
    results = [record.result for record in group.records if record.result is not None]
    first = protocol_of(group.records[0].run.protocol).first_context
    losses = np.mean([result.by_context for result in results], axis=0)
    counts = results[0].counts
    replicates = None
    if group.clusters >= MIN_CLUSTERS:
        used = counts > 0
        sums = np.mean([result.losses for result in results], axis=0)[used]
        draws = cluster_weights(int(used.sum()), _REPLICATES, np.random.default_rng(31))
        replicates = np.concatenate([(w @ sums) / (w @ counts[used])[:, None] for w in draws])
    return raw_gamma(
        np.arange(first, first + len(losses)), losses, replicates=replicates, level=level
    )
