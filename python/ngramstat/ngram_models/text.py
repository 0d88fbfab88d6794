"""Between text and the ids of a model: a tokenizer, or the words of an ARPA file."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus import Corpus
from ngramstat.corpus.tokenizing.stored_tokenizer import StoredTokenizer
from ngramstat.errors import InputError
from ngramstat.ngram_models.escapes import escaped
from ngramstat.runtime.files import reason

__all__ = ["ModelText", "TokenizerText", "WordText", "restored_text"]

# As KenLM splits text.
_BLANKS = re.compile(r"[ \t\n\r\v\f]+")
_TOKENIZER, _WORDS = "tokenizer.json", "words.json"


class ModelText(ABC):
    """How a model reads and writes text."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text; InputError where it holds what the model does not know."""

    @abstractmethod
    def decode(self, ids: ArrayLike) -> str:
        """The text of ids."""

    @abstractmethod
    def spellings(self, vocab_size: int) -> list[str]:
        """How each id is written, (vocab_size,), each another way."""

    @abstractmethod
    def attachment(self) -> dict[str, bytes]:
        """What a model file holds of it."""


class TokenizerText(ModelText):
    """A ``tokenizer.json``, which is read when text is first needed.

    Parameters
    ----------
    contents : bytes
    separator : int or None
        The document separator, which no text becomes.
    """

    def __init__(self, contents: bytes, separator: int | None) -> None:
        self.contents = contents
        self._tokenizer = StoredTokenizer(contents, "the model's tokenizer", separator)

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> TokenizerText | None:
        """That of a corpus, if one is recorded with it."""
        path = corpus.tokenizer_path
        try:
            return None if path is None else cls(path.read_bytes(), corpus.separator)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error

    def encode(self, text: str) -> NDArray[np.uint32]:
        return self._tokenizer.encode(text)

    def decode(self, ids: ArrayLike) -> str:
        return self._tokenizer.decode(ids)

    def spellings(self, vocab_size: int) -> list[str]:
        spelled = [self._tokenizer.spelling(i) for i in range(vocab_size)]
        # Ids that the tokenizer leaves out, as where a vocabulary is padded.
        return [f"<id {i}>" if word is None else word for i, word in enumerate(spelled)]

    def attachment(self) -> dict[str, bytes]:
        return {_TOKENIZER: self.contents}


class WordText(ModelText):
    """Words between blanks, each an id.

    Parameters
    ----------
    words : sequence of str
        By id. What holds blanks is written as `ngramstat.ngram_models.escapes` does.
    unknown : int or None
        The id of words that are none of them.
    """

    def __init__(self, words: Sequence[str], unknown: int | None) -> None:
        self.words, self.unknown = tuple(words), unknown

    def encode(self, text: str) -> NDArray[np.uint32]:
        words = [word for word in _BLANKS.split(text) if word]
        found = [self._ids.get(word, self.unknown) for word in words]
        if None in found:
            word = words[found.index(None)]
            raise InputError(f"the word {word[:60]!r} is not in the model's vocabulary")
        return np.array(found, np.uint32)

    def decode(self, ids: ArrayLike) -> str:
        return " ".join(self.words[i] for i in np.asarray(ids).tolist())

    def spellings(self, vocab_size: int) -> list[str]:
        return list(self.words[:vocab_size])

    def attachment(self) -> dict[str, bytes]:
        # Bytes that are not UTF-8 came as such from an ARPA file; JSON escapes their stand-ins.
        described = {"unknown": self.unknown, "words": self.words}
        return {_WORDS: json.dumps(described).encode()}

    @cached_property
    def _ids(self) -> dict[str, int]:
        plain = {word: i for i, word in enumerate(self.words)}
        return {escaped(word): i for word, i in plain.items()} | plain


def restored_text(
    attachments: dict[str, bytes], vocab_size: int, separator: int | None
) -> ModelText | None:
    """The text that `ModelText.attachment` describes; ValueError for one of another vocabulary."""
    if _TOKENIZER in attachments:
        return TokenizerText(attachments[_TOKENIZER], separator)
    if _WORDS not in attachments:
        return None
    try:
        described = json.loads(attachments[_WORDS])
        words, unknown = described["words"], described["unknown"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("its words cannot be read") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("its words are no strings")
    if len(words) != vocab_size or not (
        unknown is None or (type(unknown) is int and 0 <= unknown < vocab_size)
    ):
        raise ValueError("its words are not those of its vocabulary")
    return WordText(words, unknown)
