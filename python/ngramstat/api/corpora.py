"""The corpora of a run: the measured one, a held-out one, and where they are found again."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngramstat.api.options import MeasureOptions
from ngramstat.corpus import Corpus, open_held_out
from ngramstat.errors import InputError
from ngramstat.runtime.log import note
from ngramstat.runtime.numbers import count_of
from ngramstat.runtime.text import shell_word

__all__ = ["as_arguments", "described", "how_to_open", "with_held_out"]

# Files of a corpus that suggested commands name one by one.
_FEW_PLACES = 3
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


def as_arguments(corpus: Mapping[str, Any]) -> str:
    """The corpus of a run as arguments of a command."""
    places, options = how_to_open(corpus)
    if not places or len(places) > _FEW_PLACES:
        return "CORPUS"
    words = [shell_word(place) for place in places]
    if corpus.get("format") == "raw":
        names = ("dtype", "vocab_size", "separator")
        words += [
            f"--{name.replace('_', '-')} {options[name]}" for name in names if name in options
        ]
    return " ".join(words)


def how_to_open(corpus: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Paths and options with which the corpus of a run was or could have been opened."""
    place = corpus.get("path")
    places = [] if place is None else [str(place)]
    shards = [str(shard["path"]) for shard in corpus.get("shards") or ()]
    if shards and not (Path(places[0]).exists() or glob.has_magic(places[0])):
        places = shards
    names = ["separator"] if corpus.get("separator") is not None else []
    if corpus.get("format") == "raw":
        names += ["dtype", "vocab_size"]
    return places, {name: corpus[name] for name in names if corpus.get(name) is not None}
