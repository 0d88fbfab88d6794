"""Files of the tiktoken library: a line for each token, its bytes in base64 and its rank."""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any

from ngramstat.corpus.tokenizing.unknown import byte_alphabet
from ngramstat.errors import InputError

__all__ = ["TIKTOKEN_PATTERNS", "is_tiktoken", "tiktoken_json"]

_LETTERS = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_SMALL = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = (
    _SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: Regular expressions that split the text before tokens are formed, by name.
TIKTOKEN_PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # Blanks at the end of a text are one word.
    "cl100k": _LLAMA3.replace(r"|\s*[\r\n]+", r"|\s+\z|\s*[\r\n]+"),
    "o200k": (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_LETTERS}]*[{_SMALL}]+{_SHORT}?"
        rf"|[^\r\n\p{{L}}\p{{N}}]?[{_LETTERS}]+[{_SMALL}]*{_SHORT}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "llama3": _LLAMA3,
    "qwen": _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),
}
# File names in use: the name of the pattern, and the special tokens with their ids; None: the
# end-of-text token follows the last rank.
_KNOWN: dict[str, tuple[str, dict[str, int] | None]] = {
    "r50k_base": ("gpt2", {"<|endoftext|>": 50256}),
    "p50k_base": ("gpt2", {"<|endoftext|>": 50256}),
    "cl100k_base": (
        "cl100k",
        {
            "<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": ("o200k", {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
    "qwen": ("qwen", None),
}  # fmt: skip
_END_OF_TEXT = "<|endoftext|>"
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d{1,9}")


def is_tiktoken(path: Path, contents: bytes) -> bool:
    """Whether a file is named or looks like one of tiktoken."""
    first = contents[:1000].split(b"\n", 1)[0].strip()
    return path.suffix == ".tiktoken" or _LINE.fullmatch(first) is not None


def tiktoken_json(path: Path, contents: bytes, pattern: str | None) -> bytes:
    """The tokenizer.json that gives the same ids as a tiktoken file.

    Parameters
    ----------
    path
        The file; a well-known name gives the pattern and the special tokens. Otherwise the
        end-of-text token follows the last rank, as it does in most such vocabularies.
    contents
        What is in it.
    pattern
        A name of `TIKTOKEN_PATTERNS`, or a regular expression.

    Raises
    ------
    InputError
        The file is damaged, or its pattern is not known and not given.
    """
    ranks = _ranks(path, contents)
    known, special = _KNOWN.get(path.stem, (None, None))
    name = pattern or known
    if name is None:
        raise InputError(
            f"{path}: does not record how text is split before tokens are formed; give "
            f"--tiktoken-pattern one of {', '.join(TIKTOKEN_PATTERNS)}, or a regular expression"
        )
    taken = set(ranks.values())
    if special is None or taken & set(special.values()):
        special = {_END_OF_TEXT: max(taken) + 1}
    characters = byte_alphabet()
    spell = {token: "".join(characters[byte] for byte in token) for token in ranks}
    split = {
        "type": "Split",
        "pattern": {"Regex": TIKTOKEN_PATTERNS.get(name, name)},
        "behavior": "Isolated",
        "invert": False,
    }
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
    }  # fmt: skip
    added = [
        {
            "id": number, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True,
        }
        for content, number in sorted(special.items(), key=lambda item: item[1])
    ]  # fmt: skip
    vocabulary = {spell[token]: rank for token, rank in ranks.items()}
    # Added tokens get their ids from the vocabulary; ids may have gaps.
    vocabulary |= special
    description: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": True, "vocab": vocabulary, "merges": _merges(ranks, spell),
        },
    }  # fmt: skip
    return json.dumps(description, ensure_ascii=False).encode("utf-8")


def _ranks(path: Path, contents: bytes) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(contents.splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            decoded, value = base64.b64decode(token, validate=True), int(rank)
        except (ValueError, binascii.Error) as error:
            raise InputError(
                f"{path}:{number}: not a line of a tiktoken file (base64 of a token, its rank)"
            ) from error
        if not decoded or decoded in ranks or not 0 <= value < 1 << 24:
            raise InputError(f"{path}:{number}: an empty or repeated token, or a bad rank {value}")
        ranks[decoded] = value
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise InputError(f"{path}: has no token for the byte {missing[0]}; is it truncated?")
    if len(set(ranks.values())) != len(ranks):
        raise InputError(f"{path}: two tokens have the same rank")
    return ranks


def _merges(ranks: dict[bytes, int], spell: dict[bytes, str]) -> list[list[str]]:
    """All pairs of tokens that make a token, in the order of the ranks of what they make.

    tiktoken merges any two neighbours that make a token; a tokenizer.json lists the pairs.
    """
    merges = []
    for token in sorted((token for token in ranks if len(token) > 1), key=ranks.__getitem__):
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        pairs = [pair for pair in pairs if pair[0] in ranks and pair[1] in ranks]
        pairs.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [[spell[left], spell[right]] for left, right in pairs]
    return merges
