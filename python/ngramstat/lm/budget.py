"""Which models, contexts and training sets fit a given time, without torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from ngramstat.lm.pace import guessed_seconds_per_token, run_seconds
from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.search import first_guess_of_paper

__all__ = [
    "ENOUGH_TOKENS",
    "MODEL",
    "MODEL_SIZES",
    "N_SIZES",
    "SHORT_CONTEXT",
    "SMALLEST",
    "TrainingChoice",
    "choose_training",
    "enough_to_train",
    "expected_seconds",
    "held_out_sizes",
    "largest_that_fits",
]

MODEL = "gpt2-rotary"
# Sizes of model, the preferred one first; a smaller one is taken where too few tokens would fit.
MODEL_SIZES = ("3M", "1M", "0.3M", "0.1M")
ENOUGH_TOKENS = 1 << 18
# Training sets: each twice as large as the one before.
N_SIZES = 5
SMALLEST, _LARGEST = 1 << 12, 1 << 21
# Context lengths T, and the number of training tokens from which on the longer one is used.
_CONTEXT, SHORT_CONTEXT, _LONG_FROM = 128, 32, 1 << 16
# Held-out tokens, for measuring and for choosing the best step, and largest fractions of a corpus.
_MEASURING, _TUNING = 100_000, 16_000
_MEASURING_FRACTION, _TUNING_FRACTION = 0.05, 0.01


@dataclass(frozen=True)
class TrainingChoice:
    """What is trained.

    Attributes
    ----------
    size : str
        Number of parameters without embeddings, one of `ngramstat.lm.shape.SIZES`.
    context : int
        T.
    tokens : tuple of int
        P, ascending.
    seconds : float
        Expected time of one training at every P.
    """

    size: str
    context: int
    tokens: tuple[int, ...]
    seconds: float


def choose_training(
    n_tokens: int,
    seconds: float | None,
    seconds_per_token: Callable[[str, int], float],
    *,
    largest: int | None = None,
) -> TrainingChoice | None:
    """The model, its context and the training sets that fit a time; None if nothing does.

    Parameters
    ----------
    n_tokens : int
        Tokens of the corpus.
    seconds : float or None
        Time for one training at every size; None: no limit.
    seconds_per_token : callable
        Of a model's size and its context length.
    largest : int, optional
        Largest number of training tokens.
    """
    measuring, tuning = held_out_sizes(n_tokens)
    usable = n_tokens - measuring - tuning
    if largest is not None:
        usable = min(usable, largest)
    fallback = None
    for size in MODEL_SIZES:
        choice = largest_that_fits(size, usable, seconds, seconds_per_token, measuring, tuning)
        if choice is None:
            continue
        if choice.tokens[-1] >= min(ENOUGH_TOKENS, usable // 2):
            return choice
        if fallback is None or choice.tokens[-1] > fallback.tokens[-1]:
            fallback = choice
    return fallback


def largest_that_fits(
    size: str,
    usable: int,
    seconds: float | None,
    seconds_per_token: Callable[[str, int], float],
    measuring: int,
    tuning: int,
) -> TrainingChoice | None:
    """The training sets with the largest P of one model, or None if the smallest do not fit."""
    found = None
    scored = measuring * protocol_of("paper").overlap
    largest = SMALLEST << (N_SIZES - 1)
    while largest <= usable:
        tokens = tuple(largest >> k for k in range(N_SIZES - 1, -1, -1))
        context = _CONTEXT if largest >= _LONG_FROM * 2 else SHORT_CONTEXT
        pace = seconds_per_token(size, context)
        total = sum(
            run_seconds(
                pace, p, first_guess_of_paper(context, p).epochs, tuning=tuning, scored=scored
            )
            for p in tokens
        )
        if seconds is not None and total > seconds:
            break
        found = TrainingChoice(size, context, tokens, total)
        largest *= 2
    return found


def enough_to_train(n_tokens: int) -> bool:
    """Whether a corpus has the tokens of the smallest training, beside what is held out."""
    measuring, tuning = held_out_sizes(n_tokens)
    return n_tokens - measuring - tuning >= SMALLEST << (N_SIZES - 1)


def held_out_sizes(n_tokens: int) -> tuple[int, int]:
    """Tokens for measuring and for tuning."""
    return (
        min(_MEASURING, int(n_tokens * _MEASURING_FRACTION)),
        min(_TUNING, int(n_tokens * _TUNING_FRACTION)),
    )


def expected_seconds(n_tokens: int, vocab_size: int) -> float | None:
    """About how long a useful training on this corpus takes here, within a factor of two.

    Five sizes up to 2^21 tokens or what the corpus has. Takes a fraction of a second and does not
    import torch. None if torch is not installed or the corpus is too small.

    Parameters
    ----------
    n_tokens, vocab_size : int
        Of the corpus.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    choice = choose_training(
        n_tokens,
        None,
        lambda size, context: guessed_seconds_per_token(size, vocab_size, context),
        largest=_LARGEST,
    )
    return None if choice is None else choice.seconds
