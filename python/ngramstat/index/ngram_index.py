"""The index of a corpus: the tokens, their suffixes in order, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, Self

from ngramstat.boundary import Boundary
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.index.build import build_in_memory
from ngramstat.index.new_texts import as_new_text
from ngramstat.index.overlap import IndexedCorpus, LongestMatches, find_matches
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.index.tokenizer import IndexTokenizer
from ngramstat.runtime.arguments import optional_integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace

__all__ = ["NgramIndex"]


class NgramIndex:
    """All n-grams of a corpus, as its suffixes in order.

    Make one with `NgramIndex.build` or `NgramIndex.open`.

    Attributes
    ----------
    settings : IndexSettings
        What all shards have in common.
    shards : tuple of Shard
        Parts of the corpus, in its order.
    path : Path or None
        The directory of the index; None in memory.
    tokenizer : IndexTokenizer or None
        Between text and ids; None where the corpus has no tokenizer.
    """

    def __init__(
        self,
        settings: IndexSettings,
        shards: Sequence[Shard],
        *,
        path: Path | None = None,
        tokenizer: IndexTokenizer | None = None,
    ) -> None:
        self.settings = settings
        self.shards = tuple(shards)
        self.path = path
        self.tokenizer = tokenizer

    @classmethod
    def build(
        cls,
        corpus: CorpusLike,
        path: str | PathLike[str] | None = None,
        *,
        depth: int | None = None,
        boundary: Literal["stream", "document"] = "stream",
        threads: int | None = None,
    ) -> Self:
        """Sort the suffixes of a corpus.

        Parameters
        ----------
        corpus
            Whatever holds tokens or text: a `Corpus`, a path or paths, an array or list of token
            ids, a list of documents or of texts.
        path : path, optional
            The directory to write; by default the index stays in memory.
        depth : int, optional
            Symbols by which suffixes are sorted, 1 .. 255: longer n-grams cannot be found. By
            default suffixes are sorted to their ends.
        boundary : str
            ``stream``: n-grams run across documents; ``document``: they stay inside.
        threads : int, optional
            By default the cores this process may use. Does not change the index.

        Raises
        ------
        InputError
            An option or the corpus cannot be used as given.
        """
        if path is not None:
            raise NotImplementedError
        opened = as_corpus(corpus)
        settings, shard = build_in_memory(
            opened,
            depth=optional_integer_within("depth", depth, 1, 255),
            boundary=Boundary.parse(boundary),
            threads=resolve_threads(threads),
        )
        return cls(settings, (shard,), tokenizer=IndexTokenizer.of_corpus(opened))

    @classmethod
    def open(cls, path: str | PathLike[str], *, corpus: CorpusLike | None = None) -> Self:
        """Open an index that `build` has written."""
        raise NotImplementedError

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else repr(str(self.path))
        depth = "full depth" if self.depth is None else f"depth {self.depth}"
        return (
            f"NgramIndex({where}: {self.n_tokens:,} tokens, {self.n_documents:,} documents, "
            f"vocabulary {self.vocab_size:,}, boundary {self.boundary}, {depth}, "
            f"{len(self.shards)} shard{'s' * (len(self.shards) != 1)})"
        )

    @property
    def vocab_size(self) -> int:
        """V; token ids are 0 .. V - 1."""
        return self.settings.vocab_size

    @property
    def depth(self) -> int | None:
        """Symbols by which suffixes are sorted; None: to their ends."""
        return self.settings.depth

    @property
    def boundary(self) -> Boundary:
        """Where n-grams end."""
        return self.settings.boundary

    @property
    def max_query_length(self) -> int | None:
        """Tokens of the longest n-gram whose matches are all found; None: any."""
        lengths = [] if self.depth is None else [self.depth]
        if self.boundary is Boundary.STREAM:
            # Matches that begin in a shard may end in the tokens after it, as far as it has them.
            lengths += [shard.tokens.size - shard.suffixes.size + 1 for shard in self.shards[:-1]]
        return min(lengths, default=None)

    @property
    def n_tokens(self) -> int:
        """Tokens of the corpus."""
        if not self.shards:
            return 0
        last = self.shards[-1]
        inserted = last.document_ends.size if self.settings.inserts_stops else 0
        return int(last.first_token + last.suffixes.size - inserted)

    @property
    def n_documents(self) -> int:
        """Documents of the corpus; 1 where they are unknown."""
        if not self.shards:
            return 0
        last = self.shards[-1]
        return int(last.first_document + last.document_ends.size)

    def longest_match(
        self,
        tokens: CorpusLike,
        *,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> LongestMatches:
        """The longest match in the corpus for every position of a new text.

        A match stays inside one document of the new text and, with boundary ``document``, inside
        one of the corpus; separators are tokens like others.

        Parameters
        ----------
        tokens
            Token ids: an array, a list of documents, a `Corpus`, a path (`pathlib.Path`). A string
            or a list of strings is text, for the tokenizer of the indexed corpus.
        threads : int, optional
            By default the cores this process may use. Does not change the result.
        memory_limit : str or int, optional
            Such as "80%" (the default) or "16G"; the result takes 33 bytes per token.
        progress : bool, optional
            Show progress; by default in notebooks.

        Returns
        -------
        LongestMatches
            Arrays with one entry per token. Lengths that the depth of the index has cut are
            marked.

        Raises
        ------
        InputError
            An id is not in the vocabulary, or text is given and the corpus has no tokenizer.
        NgramstatError
            The index is damaged.
        """
        index = self._indexed_corpus
        text = as_new_text(index, self.tokenizer, tokens)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        with (
            workspace.managing(text.tokens, *index.arrays),
            Progress(
                len(text.tokens), "Match", unit="tok", enabled=shows_progress(progress)
            ) as bar,
        ):
            return find_matches(index, text, workspace, bar)

    @property
    def _indexed_corpus(self) -> IndexedCorpus:
        name = "the index" if self.path is None else str(self.path)
        return IndexedCorpus(self.settings, self.shards, self.max_query_length, name)

    def _tokenizer_for(self, what: str) -> IndexTokenizer:
        """The tokenizer; `what` is the argument that needs it."""
        if self.tokenizer is None:
            raise InputError(
                f"{what}: is text, but the corpus of this index has no tokenizer; give token ids"
            )
        return self.tokenizer
