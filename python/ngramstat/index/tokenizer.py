"""Between the text and the ids of an indexed corpus."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus import Corpus
from ngramstat.corpus.tokenizing.stored_tokenizer import StoredTokenizer
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["IndexTokenizer"]


class IndexTokenizer:
    """The tokenizer of an indexed corpus: a ``tokenizer.json``, read when it is first used.

    Parameters
    ----------
    path : Path
        The file.
    separator : int or None
        The document separator, which no text becomes.
    sha256 : str, optional
        What its SHA-256 has to be.
    owner : object, optional
        What has to live as long as the file.
    """

    def __init__(
        self,
        path: Path,
        separator: int | None,
        *,
        sha256: str | None = None,
        owner: object = None,
    ) -> None:
        self.path = path
        self._separator = separator
        self._sha256 = sha256
        self._owner = owner

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> Self | None:
        """The tokenizer recorded with a corpus, if there is one."""
        # A corpus of texts in memory removes its tokenizer when its tokens go.
        path = corpus.tokenizer_path
        return None if path is None else cls(path, corpus.separator, owner=corpus.tokens)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Token ids of a text; the special tokens that it spells are text, and none are added."""
        return self._loaded.encode(text)

    def decode(self, ids: ArrayLike) -> str:
        """The text of token ids; an incomplete character becomes the replacement character."""
        return self._loaded.decode(ids)

    @cached_property
    def _loaded(self) -> StoredTokenizer:
        try:
            contents = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {reason(error)}") from error
        if self._sha256 not in (None, hashlib.sha256(contents).hexdigest()):
            raise InputError(
                f"{self.path}: is not the tokenizer that the index was built with; copy the index "
                "again, or build it again"
            )
        return StoredTokenizer(contents, str(self.path), self._separator)
