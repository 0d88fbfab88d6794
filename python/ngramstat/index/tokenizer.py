"""Between the text and the ids of an indexed corpus."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, sha256_file

__all__ = ["IndexTokenizer"]


class IndexTokenizer:
    """The tokenizer of an indexed corpus: a ``tokenizer.json``, read when it is first used.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str, optional
        What its SHA-256 has to be.
    owner : object, optional
        What has to live as long as the file.
    """

    def __init__(self, path: Path, *, sha256: str | None = None, owner: object = None) -> None:
        self.path = path
        self._sha256 = sha256
        self._owner = owner

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> Self | None:
        """The tokenizer recorded with a corpus, if there is one."""
        # A corpus of texts in memory removes its tokenizer when its tokens go.
        path = corpus.tokenizer_path
        return None if path is None else cls(path, owner=corpus.tokens)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Token ids of a text, without any that the tokenizer would put around it."""
        encoding = self._loaded.encode(text, add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.uint32)

    def decode(self, ids: ArrayLike) -> str:
        """The text of token ids; an incomplete character becomes the replacement character."""
        return str(self._loaded.decode(np.asarray(ids).tolist(), skip_special_tokens=False))

    @cached_property
    def _loaded(self) -> Any:
        if self._sha256 not in (None, sha256_file(self.path)):
            raise InputError(
                f"{self.path}: is not the tokenizer that the index was built with; copy the index "
                "again, or build it again"
            )
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise NgramstatError(
                f"{self.path}: text needs the tokenizers library: pip install 'ngramstat[text]'"
            ) from error
        try:
            # Read here: the library cannot open names that are not UTF-8.
            return Tokenizer.from_buffer(self.path.read_bytes())
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{self.path}: not a valid tokenizer: {reason(error)}") from error
