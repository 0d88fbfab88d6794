"""Where the corpus of a finished run is found again."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngramstat.runtime.text import shell_word

__all__ = ["as_arguments", "how_to_open"]

# Files of a corpus that suggested commands name one by one.
_FEW_PLACES = 3


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
