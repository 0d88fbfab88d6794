r"""Names of tokens in files whose words may hold no blanks: escaped texts, or ids.

A text is written as it is, but for blanks, control characters and backslashes, which become
``\x20``, ``\u2028`` or ``\\``. A token whose text does not tell it apart from all others (it is
empty, part of a character, or spelled like another token) becomes ``\#`` and its id.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from ngramstat.corpus import Corpus

__all__ = ["escaped", "token_names", "token_texts", "unescaped"]

_ESCAPE = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
# Other programs cut words at 1,000 bytes.
_LONGEST = 500
# Words that other programs keep for themselves.
_RESERVED = ("<unk>", "</s>")


def escaped(text: str) -> str:
    """A text without blanks and control characters, from which `unescaped` makes it again."""
    written = "".join(map(_escape, text))
    if written in _RESERVED:
        return f"\\x{ord(written[0]):02x}{written[1:]}"
    return written


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable() and not character.isspace():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def unescaped(name: str) -> str:
    """The text of a name; that of an id (``\\#7``) is the name itself."""
    if name.startswith("\\#"):
        return name
    return _ESCAPE.sub(
        lambda match: (
            chr(int(next(filter(None, match.groups())), 16)) if any(match.groups()) else "\\"
        ),
        name,
    )


def token_texts(corpus: Corpus) -> list[str] | None:
    """The text of each token of the vocabulary; None if no tokenizer is recorded."""
    if corpus.tokenizer_path is None:
        return None
    return corpus.decode(np.arange(corpus.vocab_size))


def token_names(texts: list[str] | None, n_tokens: int) -> list[str]:
    """A name for each token, all different: its id where there are no texts."""
    if texts is None:
        return [str(token) for token in range(n_tokens)]
    times = Counter(texts)
    names = []
    for token, text in enumerate(texts):
        name = escaped(text)
        known = text and times[text] == 1 and "\ufffd" not in text
        names.append(name if known and len(name.encode()) <= _LONGEST else f"\\#{token}")
    return names
