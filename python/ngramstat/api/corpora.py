"""The corpora of a run: the measured one, and a held-out one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ngramstat.api.options import MeasureOptions
from ngramstat.corpus import Corpus, open_held_out
from ngramstat.errors import InputError
from ngramstat.runtime.log import note
from ngramstat.runtime.numbers import count_of

__all__ = ["described", "with_held_out"]

# Costs are estimated from a quarter of the corpus, which has to hold a pair of tokens.
_MIN_TOKENS = 8


def with_held_out(
    corpus: Corpus, options: MeasureOptions
) -> tuple[Corpus, MeasureOptions, dict[str, Corpus]]:
    """The corpus, and the held-out corpus that `options` name, by its name in the settings.

    Both have one vocabulary. A held-out corpus in the options is replaced by its name.

    Raises
    ------
    InputError
        The corpus is too short to be measured, or the held-out one cannot be used with it.
    """
    if corpus.n_tokens < _MIN_TOKENS:
        raise InputError(
            f"{corpus.path or 'the corpus'}: holds "
            f"{count_of(corpus.n_tokens, 'token')}; at least {_MIN_TOKENS} are needed"
        )
    held_out = options.held_out
    if held_out is None or isinstance(held_out, float | int):
        return corpus, options, {}
    other, corpus = open_held_out(held_out, corpus)
    for sentence in other.notes:
        note(sentence)
    name = str(held_out if not isinstance(held_out, Corpus) else held_out.path or other.sha256)
    return corpus, dataclasses.replace(options, held_out=name), {name: other}


def described(held_out: Mapping[str, Corpus]) -> dict[str, Any]:
    """The part of a result that describes the held-out corpus; empty without one."""
    return {"held_out": next(iter(held_out.values())).info()} if held_out else {}
