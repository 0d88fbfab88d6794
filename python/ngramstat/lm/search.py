"""Which settings to try next: around the best so far, one factor at a time.

The paper searched a grid of learning rate, weight decay, epochs and batch for every size of model
and training set; its values are not known to us. We search by coordinates: from a first guess,
every factor is doubled, or halved where that does not help (weight decay goes by steps of three),
and a better value is kept. A training set starts from the best settings of the next smaller one,
so that small sets, which cost little, pay for most of the search. Optimal weight decay grows much
beyond its usual value where epochs are many, and learning rates fall slowly with width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ngramstat.lm.shape import SIZES
from ngramstat.lm.train import Settings

__all__ = ["Search", "first_guess"]

# At width 64, falling with the root of the width; for AdamW with warm-up and batches of 1k tokens.
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 0.1
# Tokens seen in all that a first guess of the epochs comes to, within a range of epochs.
_TOKENS_SEEN = 3_200_000
_EPOCHS = (2, 16)
# Tokens of a step: a share of the training text, within a range. Two hundred steps are too few for
# small models of text (tried); windows of one target each need more of them for as little noise.
_STEP_SHARE, _STEP_SHARE_OF_LAST = 1 / 1000, 1 / 100
_STEP_TOKENS = (1024, 65_536)
# Ranges that the search stays in.
_LIMITS = {
    "learning_rate": (1e-4, 3e-2),
    "weight_decay": (1e-3, 10.0),
    "epochs": (1, 256),
    "batch": (1, 1 << 16),
}
# In the order in which they are tried: factor, and by how much it goes up.
_FACTORS = (("learning_rate", 2.0), ("epochs", 2.0), ("weight_decay", 3.0), ("batch", 2.0))


def first_guess(size: str, context: int, tokens: int, *, only_last: bool = False) -> Settings:
    """Settings to begin with; one target a window takes as many epochs as any text may."""
    width = SIZES[size][2]
    least, most = _STEP_TOKENS
    share = _STEP_SHARE_OF_LAST if only_last else _STEP_SHARE
    step = min(max(tokens * share, least), most)
    epochs = _EPOCHS[0]
    while epochs < _EPOCHS[1] and (only_last or 2 * epochs * tokens <= _TOKENS_SEEN):
        epochs *= 2
    return Settings(
        learning_rate=_LEARNING_RATE * (64 / width) ** 0.5,
        weight_decay=_WEIGHT_DECAY,
        epochs=epochs,
        batch=max(1, round(step / context)),
    )


class Search:
    """Proposes settings for one training set, given what became of those before."""

    def __init__(self, start: Settings) -> None:
        self.best = start
        self.best_loss = float("inf")
        self.tried: dict[Settings, float] = {}
        self._moves = self._all_moves()
        self._next: Settings | None = None

    def propose(self) -> Settings | None:
        """The next settings to try; None where no neighbour is left."""
        if not self.tried:
            return self.best
        if self._next is None:
            self._next = next((s for s in self._moves if s not in self.tried), None)
        return self._next

    def report(self, settings: Settings, loss: float) -> None:
        """The tuning loss of settings that were tried."""
        self.tried[settings] = loss
        self._next = None
        if loss < self.best_loss:
            self.best, self.best_loss = settings, loss

    def _all_moves(self) -> Iterator[Settings]:
        """Neighbours of the best: on in a direction while it helps, then the next factor.

        Round again until no factor moves.
        """
        at_start = None
        while self.best != at_start:
            at_start = self.best
            for name, factor in _FACTORS:
                for step in (factor, 1 / factor):
                    before = self.best
                    while (settings := _moved(self.best, name, step)) is not None:
                        yield settings
                        if self.best != settings:
                            break
                    if self.best != before:
                        break


def _moved(settings: Settings, name: str, factor: float) -> Settings | None:
    low, high = _LIMITS[name]
    value = getattr(settings, name) * factor
    if name in ("epochs", "batch"):
        value = round(value)
    if not low <= value <= high or value == getattr(settings, name):
        return None
    return dataclasses.replace(settings, **{name: value})
