"""Text that spells a special token of a tokenizer: encoded as text, kept, or refused."""

from __future__ import annotations

import copy
import re
from typing import Any, Literal, get_args

from ngramstat.errors import InputError

__all__ = [
    "SPECIAL_TOKEN_CHOICES",
    "SpecialTokens",
    "check_choice",
    "hide_special_tokens",
    "special_tokens",
]

SpecialTokens = Literal["text", "keep", "error"]
SPECIAL_TOKEN_CHOICES: tuple[SpecialTokens, ...] = get_args(SpecialTokens)

# Replaces the spelling of a hidden token. A text that spells it, which none does by accident, gets
# the token's id and is refused by the check of the ids.
_HIDDEN = "\U0010fffe\U0010ffff{}\U0010ffff\U0010fffe"


def check_choice(choice: str) -> None:
    """Refuse anything but "text", "keep" and "error"."""
    if choice not in SPECIAL_TOKEN_CHOICES:
        raise InputError(
            f"special_tokens={choice!r}: must be one of {', '.join(SPECIAL_TOKEN_CHOICES)}"
        )


def special_tokens(description: dict[str, Any], separator: int | None) -> dict[str, int]:
    """Spelling and id of what text must not become: special added tokens, and the separator.

    Added tokens that are not marked special are ordinary vocabulary, unless one is the separator.

    Parameters
    ----------
    description
        A tokenizer.json, as the tokenizers library writes it.
    separator
        Id of the document separator, if there is one.
    """
    found = {
        token["content"]: int(token["id"])
        for token in description["added_tokens"]
        if token["special"] or token["id"] == separator
    }
    if separator is not None and separator not in found.values():
        vocabulary = description["model"]["vocab"]
        if isinstance(vocabulary, dict):
            found.update((spelling, i) for spelling, i in vocabulary.items() if i == separator)
        elif separator < len(vocabulary):
            found[vocabulary[separator][0]] = separator
    return {spelling: i for spelling, i in found.items() if spelling}


def hide_special_tokens(description: dict[str, Any], hidden: dict[str, int]) -> dict[str, Any]:
    """A copy of a tokenizer in which no text spells the hidden tokens; all ids stay the same.

    The hidden tokens get another spelling wherever they occur: among the added tokens, which are
    looked for in the text, and in the vocabulary, where the model finds them as words (WordLevel,
    WordPiece, Unigram, BPE that ignores merges). Merges of a BPE that make or use a hidden token
    are left out. A single character of a BPE keeps its spelling, since text could not be
    represented without it.
    """
    changed = copy.copy(description)
    model = changed["model"] = dict(description["model"])
    added = description["added_tokens"]
    names = {
        spelling: _HIDDEN.format(number)
        for number, spelling in enumerate(hidden)
        if model["type"] != "BPE" or len(spelling) > 1
    }
    changed["added_tokens"] = [
        {**token, "content": names.get(token["content"], token["content"])} for token in added
    ]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(word, word): i for word, i in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(word, word), score] for word, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if model.get("merges"):
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            [left, right]
            for left, right in model["merges"]
            if not {left, right, left + right.removeprefix(prefix)} & names.keys()
        ]
    # Neither adds ids to a text on its own, and both refer to tokens by their spelling.
    changed["post_processor"] = changed["decoder"] = None
    return changed


def spelled(hidden: dict[str, int]) -> re.Pattern[str] | None:
    """What finds the spellings in a text, the longest first; None if there are none."""
    if not hidden:
        return None
    return re.compile("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))))
