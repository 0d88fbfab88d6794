"""The index of a corpus: the tokens, their suffixes in order, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from ngramstat.boundary import Boundary
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.index.build import IndexBuilder
from ngramstat.index.directory import open_directory
from ngramstat.index.duplicates import Duplicates, find_duplicates
from ngramstat.index.manifest import MAX_SHARD_TOKENS
from ngramstat.index.new_texts import as_new_text
from ngramstat.index.overlap import IndexedCorpus, LongestMatches, NewText, find_matches
from ngramstat.index.overlap_report import OverlapResult, find_overlap
from ngramstat.index.plan import settings_of
from ngramstat.index.provenance import check_corpus, check_recorded_corpus, provenance
from ngramstat.index.query_methods import QueryMethods
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.index.tokenizer import IndexTokenizer
from ngramstat.index.verify import verify_directory, verify_shard
from ngramstat.runtime.arguments import (
    as_flag,
    as_integer,
    as_number,
    as_path,
    optional_integer_within,
)
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace

__all__ = ["NgramIndex"]


class NgramIndex(QueryMethods):
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
    provenance : dict
        What is known of the corpus: path, format, tokens, documents, dtype, checksums.
    tokenizer : IndexTokenizer or None
        Between text and ids; None where the corpus has no tokenizer.
    """

    def __init__(
        self,
        settings: IndexSettings,
        shards: Sequence[Shard],
        *,
        path: Path | None = None,
        provenance: Mapping[str, Any] | None = None,
        tokenizer: IndexTokenizer | None = None,
    ) -> None:
        self.settings = settings
        self.shards = tuple(shards)
        self.path = path
        self.provenance = {} if provenance is None else dict(provenance)
        self.tokenizer = tokenizer

    @classmethod
    def build(
        cls,
        corpus: CorpusLike,
        path: str | PathLike[str] | None = None,
        *,
        depth: int | None = None,
        boundary: Literal["stream", "document"] = "stream",
        shard_tokens: int | None = None,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Sort the suffixes of a corpus, in memory or into a directory.

        Parameters
        ----------
        corpus
            Whatever holds tokens or text: a `Corpus`, a path or paths, an array or list of token
            ids, a list of documents or of texts.
        path : path, optional
            The directory to write; by default the index stays in memory. It takes 4 bytes per
            token beside the tokens, and holds all that is needed to ask it.
        depth : int, optional
            Tokens by which suffixes are sorted, 1 .. 255: longer n-grams cannot be found. By
            default suffixes are sorted to their ends, which takes hardly longer.
        boundary : str
            ``stream``: n-grams run across documents; ``document``: they stay inside one.
        shard_tokens : int, optional
            Largest number of tokens of a shard. By default there is one shard, or several where
            there are more than 2^32 - 1 tokens or the memory limit does not suffice for one. With
            several shards and boundary ``stream``, `max_query_length` is 4,096.
        threads : int, optional
            By default the cores this process may use. Does not change the order of suffixes.
        memory_limit : str or int, optional
            Such as "80%" (the default) or "16G".
        progress : bool, optional
            Show progress; by default in notebooks.
        overwrite : bool
            Replace an index in the directory, which is there until the new one is finished.

        Raises
        ------
        InputError
            An option or the corpus cannot be used as given, the directory holds something else,
            there is not enough memory or room on the disk, or the files of the corpus change
            meanwhile.
        """
        opened = as_corpus(corpus)
        directory = None if path is None else Path(as_path("path", path))
        settings = settings_of(
            opened, optional_integer_within("depth", depth, 1, 255), Boundary.parse(boundary)
        )
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        builder = IndexBuilder(
            opened,
            settings,
            workspace,
            optional_integer_within("shard_tokens", shard_tokens, 1, MAX_SHARD_TOKENS),
            shows_progress(progress),
        )
        with workspace.managing(opened.tokens):
            if directory is not None:
                builder.write(directory, overwrite=as_flag("overwrite", overwrite))
                return cls.open(directory)
            shards = builder.in_memory()
        return cls(
            settings,
            shards,
            provenance=provenance(opened),
            tokenizer=IndexTokenizer.of_corpus(opened),
        )

    @classmethod
    def open(cls, path: str | PathLike[str], *, corpus: CorpusLike | None = None) -> Self:
        """Open an index that `build` has written; takes milliseconds, and maps its files.

        Parameters
        ----------
        path
            Its directory.
        corpus : optional
            The corpus that it should be the index of. Without it, the corpus is compared where it
            is still the file that it was; it need not exist any more.

        Raises
        ------
        InputError
            It is no index, a file is missing, damaged, of another version or build, or the corpus
            is another one or has changed since.
        """
        directory = Path(as_path("path", path))
        manifest, shards, _ = open_directory(directory)
        if corpus is not None:
            check_corpus(as_corpus(corpus), manifest.corpus, directory)
        else:
            check_recorded_corpus(manifest.corpus, directory)
        tokenizer = None
        if manifest.tokenizer is not None:
            tokenizer = IndexTokenizer(
                directory / manifest.tokenizer.file,
                manifest.settings.stop_token,
                sha256=manifest.tokenizer.sha256,
            )
        return cls(
            manifest.settings,
            shards,
            path=directory,
            provenance=manifest.corpus,
            tokenizer=tokenizer,
        )

    def verify(
        self,
        *,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> None:
        """Read the whole index: checksums of its files, and the order of all suffixes.

        Parameters
        ----------
        threads, memory_limit, progress
            As for `build`.

        Raises
        ------
        InputError
            A byte has changed, or an array is not what it should be.
        """
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        if self.path is not None:
            verify_directory(self.path, workspace, progress=shows_progress(progress))
            return
        for number, shard in enumerate(self.shards):
            verify_shard(shard, self.settings, workspace, f"shard {number} in memory")

    def info(self) -> dict[str, Any]:
        """What the index is: sizes, settings, shards, and the corpus it was built from."""
        return {
            "path": None if self.path is None else str(self.path),
            "tokens": self.n_tokens,
            "documents": self.n_documents,
            "vocab_size": self.vocab_size,
            "dtype": self.shards[0].tokens.dtype.name,
            "boundary": self.boundary.value,
            "depth": self.depth,
            "max_query_length": self.max_query_length,
            "bytes": sum(_shard_bytes(shard) for shard in self.shards),
            "tokenizer": self.tokenizer is not None,
            "shards": [
                {
                    "first_token": shard.first_token,
                    "first_document": shard.first_document,
                    "tokens": int(shard.tokens.size),
                    "suffixes": int(shard.suffixes.size),
                    "documents": int(shard.document_ends.size),
                    "bytes": _shard_bytes(shard),
                }
                for shard in self.shards
            ],
            "corpus": dict(self.provenance),
        }

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
        # Matches that begin in a shard may end in the tokens after it, as far as it has them.
        lengths += [
            shard.tokens.size - shard.suffixes.size + 1
            for shard in self.shards
            if self.boundary is Boundary.STREAM
            and shard.first_token + shard.tokens.size < self.n_tokens
        ]
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
            or a list of strings is text, for the tokenizer of the indexed corpus; a string that
            names a file or directory, or ends like a file's name, is refused: give a
            `pathlib.Path`, or [text].
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
            An id is not in the vocabulary, text is given and the corpus has no tokenizer, a path
            is given as a string, or the index is damaged.
        """
        index = self._indexed_corpus
        text = as_new_text(index, self.tokenizer, tokens)
        with self._at_work(text, threads, memory_limit, progress) as (workspace, bar):
            return find_matches(index, text, workspace, bar)

    def overlap(
        self,
        tokens: CorpusLike,
        *,
        min_length: int = 32,
        min_share: float = 0.0,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> OverlapResult:
        """What a new text shares with the corpus: spans of tokens that stand in both.

        Parameters
        ----------
        tokens
            As for `longest_match`: a benchmark, a held-out corpus, what a model wrote. Separators
            of its documents belong to no span.
        min_length : int
            Tokens of the shortest span that counts. Fewer than some twenty words also recur
            by chance.
        min_share : float
            Share of its tokens in spans from which on a document counts as contaminated.
        threads, memory_limit, progress
            As for `longest_match`.

        Returns
        -------
        OverlapResult
            Spans, none inside another, and what they cover of each document.

        Raises
        ------
        InputError
            As for `longest_match`; or the index cannot find matches of `min_length`.
        """
        index = self._indexed_corpus
        text = as_new_text(index, self.tokenizer, tokens, separators=False)
        with self._at_work(text, threads, memory_limit, progress) as (workspace, bar):
            return find_overlap(
                index,
                text,
                min_length=as_integer("min_length", min_length),
                min_share=as_number("min_share", min_share),
                tokenizer=self.tokenizer,
                described={
                    "path": None if self.path is None else str(self.path),
                    "tokens": self.n_tokens,
                    "documents": self.n_documents,
                    "boundary": str(self.boundary),
                    "depth": self.depth,
                },
                workspace=workspace,
                bar=bar,
            )

    def duplicates(
        self,
        min_length: int = 100,
        *,
        keep_first: bool = False,
        threads: int | None = None,
        memory_limit: str | int | None = None,
        progress: bool | None = None,
    ) -> Duplicates:
        """Stretches of tokens that occur several times in the corpus.

        Parameters
        ----------
        min_length : int
            A token is repeated if it lies in a sequence of this many tokens that occurs at least
            twice. Occurrences may overlap, as in a run of one token.
        keep_first : bool
            Leave out the first occurrence of each sequence: what is then repeated can be removed
            without losing a sequence altogether.
        threads, memory_limit, progress
            As for `longest_match`; a bit per token stays in memory.

        Returns
        -------
        Duplicates
            Ranges of repeated tokens, their shares by document and, on request, every stretch with
            its occurrences and another place.

        Raises
        ------
        InputError
            The index cannot find matches of that length, or is damaged.
        """
        return find_duplicates(
            self._indexed_corpus,
            min_length=as_integer("min_length", min_length),
            keep_first=as_flag("keep_first", keep_first),
            tokenizer=self.tokenizer,
            workspace=Workspace(resolve_threads(threads), parse_memory_limit(memory_limit)),
            shows_progress=shows_progress(progress),
        )

    @contextmanager
    def _at_work(
        self,
        text: NewText,
        threads: int | None,
        memory_limit: str | int | None,
        progress: bool | None,
    ) -> Iterator[tuple[Workspace, Progress]]:
        """Threads, memory limit and progress while all positions of a text are looked for."""
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
        size, shown = len(text.tokens), shows_progress(progress)
        with (
            workspace.managing(text.tokens, *self._indexed_corpus.arrays),
            Progress(size, "Match", unit="tok", enabled=shown) as bar,
        ):
            yield workspace, bar

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


def _shard_bytes(shard: Shard) -> int:
    arrays = (shard.tokens, shard.suffixes, shard.token_starts, shard.document_ends)
    return sum(int(array.nbytes) for array in (*arrays, *shard.extra.values()))
