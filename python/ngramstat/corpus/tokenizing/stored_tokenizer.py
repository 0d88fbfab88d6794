"""Between text and ids with the tokenizer that is stored with a corpus, an index or a model."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.tokenizing.engines import EngineError, ReferenceEngine, load_tokenizer
from ngramstat.corpus.tokenizing.special_tokens import hide_special_tokens, special_tokens
from ngramstat.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["StoredTokenizer"]


class StoredTokenizer:
    """A ``tokenizer.json``, which is read when text is first needed.

    Parameters
    ----------
    contents : bytes
    name : str
        Its name for messages.
    separator : int or None
        The document separator, which no text becomes; it need not be one of the tokenizer's ids.
    """

    def __init__(self, contents: bytes, name: str, separator: int | None) -> None:
        self._contents, self._name, self._separator = contents, name, separator

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Token ids of a text; the special tokens that it spells are text, and none are added."""
        try:
            return self._encoder.encode([text])[0]
        except EngineError as error:
            raise InputError(f"{self._name}: cannot encode the text: {error}") from error

    def decode(self, ids: ArrayLike) -> str:
        """The text of token ids; an incomplete character becomes the replacement character."""
        return str(self._decoder.decode(np.asarray(ids).tolist(), skip_special_tokens=False))

    def spelling(self, token: int) -> str | None:
        """The token as the tokenizer writes it; None where it has none of this id."""
        spelled: str | None = self._decoder.id_to_token(token)
        return spelled

    @cached_property
    def _decoder(self) -> Tokenizer:
        try:
            return load_tokenizer(self._contents.decode("utf-8"))
        except (EngineError, UnicodeDecodeError) as error:
            raise InputError(f"{self._name}: not a valid tokenizer: {error}") from error

    @cached_property
    def _encoder(self) -> ReferenceEngine:
        description = json.loads(self._decoder.to_str())
        hidden = special_tokens(description, self._separator)
        description = hide_special_tokens(description, hidden)
        try:
            return ReferenceEngine(load_tokenizer(json.dumps(description, ensure_ascii=False)))
        except EngineError as error:
            raise InputError(
                f"{self._name}: its special tokens cannot be kept out of the text ({error})"
            ) from error
