"""What an index can be asked: the methods of `NgramIndex` that count, find, score and sample."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ngramstat.index import conjunctions, matches, queries, scoring
from ngramstat.index.conjunctions import CnfMatches
from ngramstat.index.matches import Match, Positions
from ngramstat.index.queries import NextCounts, NextProbabilities, Searcher, TokenProbabilities
from ngramstat.index.scoring import SamplingOptions, Scores
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.index.tokenizer import IndexTokenizer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ngramstat.corpus import Corpus
    from ngramstat.index.ngram_arguments import NgramsLike

__all__ = ["QueryMethods"]


class QueryMethods:
    """Counts, matches, probabilities and samples from an index.

    Queries are token ids: a list or one-dimensional array for one n-gram, of which the answer is a
    number; an array with an n-gram in each row, or a list of lists of any lengths, for many, of
    which the answer is an array. Where the corpus has a tokenizer, a text or a list of texts does
    as well. All refuse, by an `InputError` in one line, ids that are not in the vocabulary, n-grams
    longer than `max_query_length`, and n-grams without a token.

    Answers are exact, and do not depend on the number of threads or shards. Many queries in one
    call are much faster than one at a time.

    With boundary ``document``, an n-gram occurs where it stands in one document as a whole,
    including the separator after it, if there is one; nothing follows the end of a document.
    """

    settings: IndexSettings
    shards: tuple[Shard, ...]
    path: Path | None
    tokenizer: IndexTokenizer | None

    if TYPE_CHECKING:

        @property
        def max_query_length(self) -> int | None: ...

    @cached_property
    def _searcher(self) -> Searcher:
        tokenizer = self.tokenizer
        return Searcher(
            self.settings,
            self.shards,
            max_query_length=self.max_query_length,
            encode=None if tokenizer is None else tokenizer.encode,
            decode=None if tokenizer is None else tokenizer.decode,
            name="index in memory" if self.path is None else str(self.path),
        )

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Token ids of a text by the tokenizer of the corpus, as queries of text are read.

        A word in the middle of a sentence mostly begins with its space: the n-gram ``" time"``
        differs from ``"time"``.

        Raises
        ------
        InputError
            The corpus has no tokenizer.
        """
        return self._searcher.reader.texts("text", text).slices.tokens

    def count(self, ngrams: NgramsLike, *, threads: int | None = None) -> Any:
        """Occurrences of each n-gram.

        Parameters
        ----------
        ngrams
            One n-gram or many, of ids or text.
        threads : int, optional
            By default the cores this process may use.

        Returns
        -------
        int or (k,) int64
        """
        return queries.count(self._searcher, ngrams, threads)

    def contains(self, ngrams: NgramsLike, *, threads: int | None = None) -> Any:
        """Whether each n-gram occurs: bool or (k,) bool."""
        return queries.count(self._searcher, ngrams, threads) > 0

    def count_documents(self, ngrams: NgramsLike, *, threads: int | None = None) -> Any:
        """Documents that hold each n-gram (its document frequency): int or (k,) int64.

        An n-gram is in the document in which it begins. Takes time in proportion to the
        occurrences.
        """
        return queries.count_documents(self._searcher, ngrams, threads)

    def positions(self, ngram: NgramsLike, *, limit: int | None = None) -> Positions:
        """Where an n-gram occurs: positions in the corpus, documents, and offsets in these.

        Parameters
        ----------
        ngram
            One n-gram.
        limit : int, optional
            The first so many in the order of the corpus; by default all.
        """
        return matches.positions(self._searcher, ngram, limit=limit)

    def documents(self, ngram: NgramsLike) -> NDArray[np.int64]:
        """Numbers of the documents in which an n-gram begins, ascending, each once."""
        return matches.documents(self._searcher, ngram)

    def find(self, ngram: NgramsLike, *, context: int = 20, limit: int | None = 10) -> list[Match]:
        """Occurrences of an n-gram with the tokens and the text around them.

        Parameters
        ----------
        ngram
            One n-gram.
        context : int
            Tokens shown before and after it, as far as the document has them.
        limit : int, optional
            The first so many in the order of the corpus; None: all.
        """
        return matches.find(self._searcher, ngram, context=context, limit=limit)

    @overload
    def count_next(
        self,
        contexts: NgramsLike,
        *,
        sparse: Literal[False] = False,
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> NDArray[np.int64]: ...
    @overload
    def count_next(
        self,
        contexts: NgramsLike,
        *,
        sparse: Literal[True],
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> NextCounts: ...
    def count_next(
        self,
        contexts: NgramsLike,
        *,
        sparse: bool = False,
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> NDArray[np.int64] | NextCounts:
        """How often each token follows each context.

        Parameters
        ----------
        contexts
            One context or many. The empty one (``[]``) is followed by every token of the corpus.
        sparse : bool
            Return the tokens that follow alone, which is faster and takes less memory.
        memory_limit : str or int, optional
            Refuse rows that take more memory. Such as "80%" (the default) or "16G".

        Returns
        -------
        (V,) or (k, V) int64, or NextCounts
            `NextCounts.top` has the most frequent ones.
        """
        return queries.count_next(
            self._searcher, contexts, sparse=sparse, threads=threads, memory_limit=memory_limit
        )

    def prob(
        self,
        contexts: NgramsLike,
        tokens: ArrayLike,
        *,
        backoff: bool = False,
        max_context: int | None = None,
        threads: int | None = None,
    ) -> TokenProbabilities:
        """Probability of a token after each context: a ratio of counts, without smoothing.

        Parameters
        ----------
        contexts
            One context or many, which may be empty.
        tokens : (k,) int
            The token after each of them; or one for all.
        backoff : bool
            False: count(context, token) / count(context), NaN where the context does not occur.
            True: the infinity-gram (Liu et al. 2024), which uses the longest suffix of the context
            that occurs. The token may still have probability 0 after it. With boundary
            ``document``, contexts begin after the last end of a document in them.
        max_context : int, optional
            With `backoff`: tokens of that suffix at most. An index that finds n-grams of at most so
            many tokens needs it for longer contexts.
        """
        return queries.probabilities(
            self._searcher,
            contexts,
            tokens,
            backoff=backoff,
            max_context=max_context,
            threads=threads,
        )

    def next_distribution(
        self,
        contexts: NgramsLike,
        *,
        backoff: bool = False,
        max_context: int | None = None,
        sparse: bool = False,
        threads: int | None = None,
        memory_limit: str | int | None = None,
    ) -> NDArray[np.float64] | NextProbabilities:
        """Probabilities of all tokens after each context, as in `prob`.

        Returns
        -------
        (V,) or (k, V) float64, or with `sparse` NextProbabilities
            Rows of NaN where a context does not occur. A row sums to 1, or to less where the
            context also stands at the end of the corpus (or of documents, where n-grams stay
            inside), where no token follows.
        """
        found, single = queries.next_distribution(
            self._searcher, contexts, backoff=backoff, max_context=max_context, threads=threads
        )
        if sparse:
            return found
        return queries.next_distribution_rows(found, single, memory_limit)

    def find_cnf(
        self,
        cnf: Sequence[Sequence[Any]],
        *,
        max_diff_tokens: int = 100,
        max_clause_freq: int | None = None,
        seed: int = 0,
    ) -> CnfMatches:
        """Places where several n-grams stand near each other, each in one of several forms.

        Parameters
        ----------
        cnf : list of clauses, each a list of n-grams
            One of the n-grams of every clause has to occur (a conjunctive normal form: AND of ORs).
            ``[["natural language"], ["deep", "machine"]]`` finds the first near any of the others.
        max_diff_tokens : int
            How far from each other, from the begin of one n-gram to the begin of the next.
        max_clause_freq : int, optional
            Draw so many occurrences at random of a clause that has more, and estimate the count. By
            default all are used, and the count is exact.

        Notes
        -----
        As infini-gram counts: a match is an occurrence of the rarest clause (of any of its n-grams;
        each place counts once). Clause by clause, from rare to frequent, it is extended to the
        nearest occurrence on the left and on the right, if it is at most `max_diff_tokens` away,
        and dropped if there is neither. With boundary ``document``, all of it lies in one document.
        """
        return conjunctions.find_cnf(
            self._searcher,
            cnf,
            max_diff_tokens=max_diff_tokens,
            max_clause_freq=max_clause_freq,
            seed=seed,
        )

    def count_cnf(
        self,
        cnf: Sequence[Sequence[Any]],
        *,
        max_diff_tokens: int = 100,
        max_clause_freq: int | None = None,
        seed: int = 0,
    ) -> int:
        """Matches of a query in conjunctive normal form; see `find_cnf`."""
        return self.find_cnf(
            cnf, max_diff_tokens=max_diff_tokens, max_clause_freq=max_clause_freq, seed=seed
        ).count

    def score(
        self,
        texts: NgramsLike | Corpus,
        *,
        max_context: int | None = None,
        threads: int | None = None,
    ) -> Scores:
        """Infinity-gram probabilities of all tokens of texts.

        Parameters
        ----------
        texts
            One text or many, as ids or text, or a `Corpus`, each of whose documents is a text. The
            first token of each text has an empty context.
        max_context : int, optional
            Tokens of a context at most.

        Notes
        -----
        There is no smoothing: a token that never follows the longest suffix of its context that
        occurs has probability zero. `Scores.zeros` counts these, and `Scores.perplexity` is
        infinite if there are any.
        """
        return scoring.score(self._searcher, texts, max_context=max_context, threads=threads)

    def sample(
        self,
        n_tokens: int,
        *,
        prompt: NgramsLike | None = None,
        num_samples: int = 1,
        order: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> list[NDArray[np.uint32]]:
        """Continuations drawn from the counts of the corpus, without smoothing.

        Each token is drawn in proportion to how often it follows the longest suffix of what stands
        before it that occurs in the corpus and is followed by something.

        Parameters
        ----------
        n_tokens : int
            Tokens of a sample. It ends earlier with the token that ends documents, where n-grams
            stay inside documents.
        prompt : optional
            What stands before the samples, as ids or text; it is not part of them.
        num_samples : int
        order : int, optional
            Look at order - 1 tokens at most. By default at all of them (the infinity-gram), which
            soon copies a document of the corpus word by word.
        temperature : float
            Probabilities are proportional to counts^(1/temperature). 0: the most frequent token.
        top_k : int, optional
            Draw among so many most frequent tokens.
        seed : int
            Sample i is the same for any number of samples and threads.

        Returns
        -------
        list of arrays of uint32
        """
        options = SamplingOptions(num_samples, order, temperature, top_k, seed)
        return scoring.sample(self._searcher, n_tokens, prompt, options, threads)
