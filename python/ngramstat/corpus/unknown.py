"""Characters that a tokenizer cannot represent: counted, whether it marks them or drops them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ngramstat.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["UnknownCounter", "unknown_finding"]


class UnknownCounter:
    """Encodes texts and counts what the tokenizer does not know.

    A tokenizer with an unknown token gives that; a BPE without one leaves unknown characters out
    without a word, which only the offsets of its tokens show.

    Attributes
    ----------
    id : int or None
        The unknown token.
    count : int
        Unknown tokens, or characters left out, so far.
    leaves_out : bool
        Whether unknown characters are left out.
    """

    def __init__(self, model: Tokenizer) -> None:
        self._model = model
        description = json.loads(model.to_str())
        core = description["model"]
        self.id = _unknown_id(model, core)
        complete = bool(core.get("byte_fallback")) or _holds_all_bytes(model, description)
        self.leaves_out = core["type"] == "BPE" and self.id is None and not complete
        self.count = 0

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The encodings of some texts, without special tokens."""
        if self.leaves_out:
            encodings = self._model.encode_batch(list(texts), add_special_tokens=False)
            for text, encoding in zip(texts, encodings, strict=True):
                self.count += _uncovered(text, encoding)
        else:
            encodings = self._model.encode_batch_fast(list(texts), add_special_tokens=False)
            if self.id is not None:
                self.count += sum(encoding.ids.count(self.id) for encoding in encodings)
        found: list[Encoding] = encodings
        return found


def unknown_finding(tokenization: Mapping[str, Any] | None) -> str | None:
    """What a corpus's tokenizer did not know, in one sentence; None if nothing or not recorded."""
    count = 0 if tokenization is None else int(tokenization.get("unknown", 0))
    if tokenization is None or count == 0:
        return None
    if tokenization.get("left_out"):
        return f"{count:,} characters are not in the tokenizer's vocabulary and were left out"
    return (
        f"{count:,} tokens are the unknown token {tokenization.get('unknown_id')}: text that is "
        "not in the tokenizer's vocabulary"
    )


def _unknown_id(model: Tokenizer, core: dict[str, Any]) -> int | None:
    if core["type"] == "Unigram":
        found = core.get("unk_id")
        return None if found is None else int(found)
    token = core.get("unk_token")
    if token is None:
        return None
    number = model.token_to_id(token)
    if number is None:
        raise InputError(f"the tokenizer's unknown token {token!r} is not in its vocabulary")
    return int(number)


def _holds_all_bytes(model: Tokenizer, description: dict[str, Any]) -> bool:
    """Whether the text is turned into bytes, all of which are in the vocabulary."""
    from tokenizers import pre_tokenizers

    step = description["pre_tokenizer"] or {"type": None}
    steps = step.get("pretokenizers", [step])
    if not any(each["type"] == "ByteLevel" for each in steps):
        return False
    return all(model.token_to_id(c) is not None for c in pre_tokenizers.ByteLevel.alphabet())


def _uncovered(text: str, encoding: Encoding) -> int:
    """Characters other than white space that no token stands for."""
    covered = bytearray(len(text))
    for start, end in encoding.offsets:
        covered[start:end] = b"\x01" * (end - start)
    return sum(not seen and not c.isspace() for c, seen in zip(text, covered, strict=True))
