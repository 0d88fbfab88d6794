"""A tokenizer ready to encode text: its contents, its separator, and what text must not become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ngramstat.corpus.tokenizing.engines import EngineError, ReferenceEngine, load_tokenizer
from ngramstat.corpus.tokenizing.special_tokens import (
    SpecialTokens,
    hide_special_tokens,
    special_tokens,
)
from ngramstat.corpus.tokenizing.training import SEPARATOR_TOKEN
from ngramstat.corpus.tokenizing.unknown import unknown_id
from ngramstat.errors import InputError

__all__ = ["TextTokenizer", "prepare_tokenizer"]

# End-of-document tokens of other tokenizers; the first one present is used.
_SEPARATOR_TOKENS = (
    SEPARATOR_TOKEN, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]",
)  # fmt: skip


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer as the encoding of a job needs it.

    Attributes
    ----------
    contents
        The tokenizer.json to store with the corpus.
    description
        The tokenizer.json that encodes: the same ids, but special tokens hidden from the text
        unless they are kept.
    reference
        The tokenizers library with `description`.
    vocab_size
        One more than the largest id, or the number of tokens if that is larger.
    separator
        Id of the document separator.
    special
        Spelling and id of the special tokens and of the separator.
    unknown
        Id of the unknown token, or None.
    choice
        What happens to a text that spells a special token.
    """

    contents: bytes
    description: dict[str, Any]
    reference: ReferenceEngine
    vocab_size: int
    separator: int
    special: dict[str, int]
    unknown: int | None
    choice: SpecialTokens


def prepare_tokenizer(
    contents: bytes,
    name: str,
    *,
    separator: int | None = None,
    separator_token: str | None = None,
    choice: SpecialTokens = "text",
) -> TextTokenizer:
    """Make a tokenizer.json ready to encode text.

    Parameters
    ----------
    contents
        The tokenizer.json.
    name
        Its name for messages.
    separator, separator_token
        Id of the document separator; by default that of `separator_token`, or of the first
        well-known end-of-text token that the tokenizer has.
    choice
        What to do with a text that spells a special token.

    Raises
    ------
    InputError
        The tokenizer is unusable, or has no such separator.
    NgramstatError
        The tokenizers library is not installed.
    """
    try:
        original = load_tokenizer(contents.decode("utf-8"))
        # Files of any age in one form.
        description: dict[str, Any] = json.loads(original.to_str())
    except (EngineError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not a usable tokenizer.json: {error}") from error
    description["truncation"] = description["padding"] = None
    if description["model"].get("dropout"):
        raise InputError(f"{name}: has BPE dropout, which makes encoding random; set it to null")
    vocabulary = original.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise InputError(f"{name}: not a usable tokenizer.json: its vocabulary is empty")
    separator = _separator_id(description, vocabulary, separator, separator_token, name)
    special = special_tokens(description, separator)
    if choice != "keep":
        description = hide_special_tokens(description, special)
    try:
        reference = load_tokenizer(
            json.dumps(description, ensure_ascii=False), as_text=choice != "keep"
        )
    except EngineError as error:
        raise InputError(
            f"{name}: its special tokens cannot be kept out of the text ({error}); "
            "--special-tokens keep encodes them as the tokenizer does"
        ) from error
    return TextTokenizer(
        contents=contents,
        description=description,
        reference=ReferenceEngine(reference),
        # Ids may have gaps, and then the largest id exceeds the number of tokens.
        vocab_size=max(len(vocabulary), max(vocabulary.values()) + 1),
        separator=separator,
        special=special,
        unknown=unknown_id(description),
        choice=choice,
    )


def _separator_id(
    description: dict[str, Any],
    vocabulary: dict[str, int],
    separator: int | None,
    separator_token: str | None,
    name: str,
) -> int:
    if separator is not None:
        if separator not in vocabulary.values():
            raise InputError(f"separator={separator}: {name} has no token with this id")
        return separator
    if separator_token is not None and separator_token in vocabulary:
        return vocabulary[separator_token]
    added = {token["content"] for token in description["added_tokens"]}
    for spelling in _SEPARATOR_TOKENS:
        if spelling in added:
            return vocabulary[spelling]
    raise InputError(
        f"{name}: has no end-of-text token ({', '.join(_SEPARATOR_TOKENS)}); give the id of its "
        "document separator with --separator"
    )
