"""Which settings to try next: coordinate search around the best settings so far.

The paper searched a grid of learning rate, weight decay, epochs and batch for every size of model
and training set, but does not give the grid. Here one setting is changed at a time: starting from a
first guess it is doubled, or halved if doubling does not help (weight decay is multiplied or
divided by three), and a better value is kept. Each training set starts from the best settings of
the next smaller one, so that most of the search is done on small sets, where it is cheap. The
optimal weight decay is far above its usual value when there are many epochs, and the optimal
learning rate falls slowly with width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ngramstat.lm.run import Settings
from ngramstat.lm.shape import SIZES

__all__ = ["Search", "first_guess", "first_guess_of_paper"]

# At width 64, for AdamW with warm-up and batches of 1k tokens; scales as 1 / sqrt(width).
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 0.1
# The first guess of the epochs makes a training see about this many tokens, within a range.
_TOKENS_SEEN = 3_200_000
_EPOCHS = (2, 16)
# Tokens in one step: a fraction of the training tokens, within a range. 200 steps were too few for
# small models in our trials; where each window has a single target, a step needs more windows for
# the same gradient noise.
_STEP_FRACTION, _STEP_FRACTION_LAST = 1 / 1000, 1 / 100
_STEP_TOKENS = (1024, 65_536)
# Limits of the search.
_LIMITS = {
    "learning_rate": (1e-4, 3e-2),
    "weight_decay": (1e-3, 10.0),
    "epochs": (1, 256),
    "batch": (1, 1 << 16),
}
# Settings in the order in which they are varied, and the factor of one step.
_STEPS = (("learning_rate", 2.0), ("epochs", 2.0), ("weight_decay", 3.0), ("batch", 2.0))


# The paper's protocol: AdamW without weight decay, few epochs, small batches. Tokens in one step by
# the number of training tokens below which they hold: two to eight windows of 128, as its own
# searches found for 2^16 to 2^24 tokens.
_PAPER_RATES = (3e-4, 1e-3, 3e-3)
_PAPER_EPOCHS = (2, 4, 8)
_PAPER_STEPS = ((1 << 17, 256), (1 << 20, 512))
_PAPER_LARGEST_STEP = 1024
_PAPER_BATCHES = (1, 64)


def first_guess_of_paper(context: int, tokens: int) -> Settings:
    """Settings of the paper's protocol to begin with: rate 10^-3, which decays over 4 epochs."""
    step = next((s for limit, s in _PAPER_STEPS if tokens < limit), _PAPER_LARGEST_STEP)
    return Settings(
        learning_rate=_PAPER_RATES[1],
        weight_decay=0.0,
        epochs=_PAPER_EPOCHS[1],
        batch=max(1, round(step / context)),
    )


def first_guess(size: str, context: int, tokens: int, *, only_last: bool = False) -> Settings:
    """Settings to begin with; with one target per window, the largest allowed number of epochs."""
    width = SIZES[size][2]
    min_tokens, max_tokens = _STEP_TOKENS
    fraction = _STEP_FRACTION_LAST if only_last else _STEP_FRACTION
    step = min(max(tokens * fraction, min_tokens), max_tokens)
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
    """Proposes settings for one training set, given the losses of the settings tried before."""

    def __init__(self, start: Settings, protocol: str = "default") -> None:
        self.protocol = protocol
        self.best = start
        self.best_loss = float("inf")
        self.tried: dict[Settings, float] = {}
        self._moves = self._all_moves()
        self._next: Settings | None = None

    def propose(self) -> Settings | None:
        """The next settings to try, or None when every neighbour of the best was tried."""
        if not self.tried:
            return self.best
        if self._next is None:
            self._next = next((s for s in self._moves if s not in self.tried), None)
        return self._next

    def report(self, settings: Settings, loss: float) -> None:
        """Record the tuning loss of settings that were tried."""
        self.tried[settings] = loss
        self._next = None
        if loss < self.best_loss:
            self.best, self.best_loss = settings, loss

    def _all_moves(self) -> Iterator[Settings]:
        """Neighbours of the best settings: keep moving one setting while it helps, then the next.

        Starts over until no setting changes any more.
        """
        at_start = None
        while self.best != at_start:
            at_start = self.best
            for name, factor in _STEPS if self.protocol == "default" else _PAPER_MOVES:
                for step in (factor, 1 / factor):
                    before = self.best
                    while (settings := self._moved(name, step)) is not None:
                        yield settings
                        if self.best != settings:
                            break
                    if self.best != before:
                        break

    def _moved(self, name: str, factor: float) -> Settings | None:
        if self.protocol == "default":
            return _moved(self.best, name, factor)
        return _moved_on_grid(self.best, name, factor)


# The rate first, then the batch and the time of decay, up and down their grids.
_PAPER_MOVES = (("learning_rate", 0.5), ("batch", 2.0), ("epochs", 2.0))


def _moved_on_grid(settings: Settings, name: str, factor: float) -> Settings | None:
    """The neighbour on the grid of the paper's protocol, or None at its end."""
    if name == "batch":
        value = round(settings.batch * factor)
        low, high = _PAPER_BATCHES
        if not low <= value <= high or value == settings.batch:
            return None
        return dataclasses.replace(settings, batch=value)
    grid: tuple[Any, ...] = _PAPER_RATES if name == "learning_rate" else _PAPER_EPOCHS
    index = grid.index(getattr(settings, name)) + (1 if factor > 1 else -1)
    if not 0 <= index < len(grid):
        return None
    return dataclasses.replace(settings, **{name: grid[index]})


def _moved(settings: Settings, name: str, factor: float) -> Settings | None:
    low, high = _LIMITS[name]
    value = getattr(settings, name) * factor
    if name in ("epochs", "batch"):
        value = round(value)
    if not low <= value <= high or value == getattr(settings, name):
        return None
    return dataclasses.replace(settings, **{name: value})
