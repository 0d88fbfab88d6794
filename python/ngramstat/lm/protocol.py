"""How a training goes: its learning rate step by step, its order of windows, what it predicts.

Two protocols: the default one, which trains well on little text, and ``paper``, the one of
Cagnetta et al. (2602.07488). Needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ngramstat.errors import check_choice

__all__ = ["PROTOCOLS", "Protocol", "protocol_of"]


@dataclass(frozen=True)
class Protocol:
    """What distinguishes the protocols.

    Attributes
    ----------
    name : str
    in_order : bool
        Windows follow one another as in the text and every epoch starts at its top; otherwise they
        are shuffled, from a random first token in every epoch.
    start_symbol : bool
        A start symbol stands before every window, so that its first token is predicted from
        nothing (L_0) and T windows of one token are T targets. Without it the token before the
        window is given, so that losses begin with L_1.
    stops_early : bool
        A run ends when its tuning loss keeps rising.
    betas : (float, float)
        Of AdamW.
    warm_up_steps : int
        Steps in which the rate rises to its peak.
    warm_up_fraction : float or None
        Further limits them, to this fraction of all steps.
    final_rate : float
        Fraction of the peak that the rate falls to, as a half cosine.
    overlap : int
        Windows that each held-out token is scored in, at the end of a run.
    """

    name: str
    in_order: bool
    start_symbol: bool
    stops_early: bool
    betas: tuple[float, float]
    warm_up_steps: int
    warm_up_fraction: float | None
    final_rate: float
    overlap: int

    @property
    def first_context(self) -> int:
        """Number of tokens before the first target of a window."""
        return 0 if self.start_symbol else 1

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0, as a fraction of the peak."""
        warm = self.warm_up_steps
        if self.warm_up_fraction is not None:
            warm = min(warm, max(1, round(self.warm_up_fraction * steps)))
        if step < warm:
            return (step + 1) / warm
        done = min((step - warm) / max(steps - warm, 1), 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return self.final_rate + (1 - self.final_rate) * cosine

    def steps_per_epoch(self, length: int, context: int, batch: int) -> int | None:
        """Steps of an epoch over `length` tokens; None if batches run on into the next epoch.

        Windows that fill no batch at the end of the text are dropped.
        """
        if not self.in_order:
            return None
        return max(1, (length - self.first_context) // (context * batch))

    def steps(self, length: int, context: int, batch: int, epochs: int) -> int:
        """Optimiser steps of a training on `length` tokens."""
        per_epoch = self.steps_per_epoch(length, context, batch)
        if per_epoch is not None:
            return per_epoch * epochs
        return -(-(-(-length // context) * epochs) // batch)


PROTOCOLS = {
    "default": Protocol(
        "default", in_order=False, start_symbol=True, stops_early=True, betas=(0.9, 0.95),
        warm_up_steps=200, warm_up_fraction=0.05, final_rate=0.0, overlap=1,
    ),
    # AdamW's betas are not stated there; these are torch's.
    "paper": Protocol(
        "paper", in_order=True, start_symbol=False, stops_early=False, betas=(0.9, 0.999),
        warm_up_steps=8, warm_up_fraction=None, final_rate=0.1, overlap=4,
    ),
}  # fmt: skip


def protocol_of(name: str) -> Protocol:
    """The protocol of a name.

    Raises
    ------
    InputError
        There is no such protocol.
    """
    check_choice("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
