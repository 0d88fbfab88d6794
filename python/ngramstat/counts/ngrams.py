"""N-gram tables of a corpus: in memory, in batches, or written to a file of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast, overload

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.counts.count_sort import sorted_by_count
from ngramstat.counts.ngram_source import (
    MethodName,
    NgramSource,
    document_units,
    resolved_orders,
)
from ngramstat.counts.ngram_table import NgramTable, first_by_count
from ngramstat.counts.table_files import ColumnSpool, check_table_path, table_writer
from ngramstat.errors import InputError, check_choice
from ngramstat.kernels import NgramFacts
from ngramstat.runtime.arguments import as_flag, as_word, integer_within, optional_integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace

__all__ = ["ngram_batches", "ngrams", "write_ngrams"]

SortName = Literal["tokens", "count"]

_LARGEST = 1 << 62
# N-grams of a batch, unless the caller chooses.
_BATCH = 1 << 20
# Fraction of the free memory that a table in memory may take, and that the kernel may take: the
# rest holds the batch before, the most frequent n-grams, or what a writer buffers.
_TABLE_SHARE = 0.4
_STEP_SHARE = 0.5


@overload
def ngrams(
    corpus: CorpusLike,
    n: int,
    *,
    min_count: int = 1,
    top: int | None = None,
    sort: SortName | None = None,
    followers: bool = False,
    predecessors: bool = False,
    documents: bool = False,
    boundary: str = "stream",
    method: MethodName = "auto",
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> NgramTable: ...
@overload
def ngrams(
    corpus: CorpusLike,
    n: Sequence[int],
    *,
    min_count: int = 1,
    top: int | None = None,
    sort: SortName | None = None,
    followers: bool = False,
    predecessors: bool = False,
    documents: bool = False,
    boundary: str = "stream",
    method: MethodName = "auto",
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> dict[int, NgramTable]: ...


def ngrams(
    corpus: CorpusLike,
    n: int | Sequence[int],
    *,
    min_count: int = 1,
    top: int | None = None,
    sort: SortName | None = None,
    followers: bool = False,
    predecessors: bool = False,
    documents: bool = False,
    boundary: str = "stream",
    method: MethodName = "auto",
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> NgramTable | dict[int, NgramTable]:
    """All n-grams of a corpus that occur often enough, with their counts.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text, as for `ngramstat.measure`.
    n : int or sequence of int
        Tokens of an n-gram, 1 .. 255 (254 with `followers`). Several orders are counted in one
        sweep, and the result is a dictionary with a table for each.
    min_count : int
        N-grams that occur less often are left out.
    top : int, optional
        Only this many of the most frequent n-grams (of each order); among equally frequent ones
        the first in lexicographic order. Takes no memory for the others.
    sort : str, optional
        ``tokens``: lexicographic order of the ids, the default; ``count``: the most frequent first,
        equally frequent ones in lexicographic order, the default with `top`.
    followers, predecessors : bool
        Also count the distinct tokens that come directly after each n-gram, and directly before it.
    documents : bool
        Also count the distinct documents in which each n-gram begins.
    boundary : str
        ``stream``: n-grams run across documents; ``document``: they stay inside documents, of which
        separators are a part.
    method : str
        ``suffixes``: all orders in one sweep over sorted suffixes, in any vocabulary; ``hash``: one
        order after the other in tables of n-grams that fit 16 bytes, without what is counted
        besides; ``auto``: the faster one, as docs/ngrams.md measures. Does not change the result.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". Does not change the result.
    progress : bool, optional
        Show progress; by default in notebooks.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or the table does not fit into the memory
        limit (`ngram_batches` and `write_ngrams` need no memory for it).
    """
    source = _source(locals())
    sort = _resolved_sort(sort, top)
    limit = optional_integer_within("top", top, 1, _LARGEST)
    # Sorting by count puts equally frequent n-grams in order, too.
    source.ordered = limit is None and sort == "tokens"
    with _progress(source, progress) as bar:
        tables = _collected(source, bar) if limit is None else _top(source, limit, bar)
    for order, table in tables.items():
        if sort == "count" and limit is None:
            tables[order] = table.sorted_by_count()
        elif sort == "tokens" and limit is not None:
            tables[order] = table.sorted_by_tokens()
    return tables if isinstance(n, Iterable) else tables[source.orders[0]]


def ngram_batches(
    corpus: CorpusLike,
    n: int | Sequence[int],
    *,
    min_count: int = 1,
    followers: bool = False,
    predecessors: bool = False,
    documents: bool = False,
    boundary: str = "stream",
    method: MethodName = "auto",
    batch_size: int = _BATCH,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> Iterator[NgramTable]:
    """The table of `ngrams` in batches, for tables of any size in bounded memory.

    Parameters
    ----------
    batch_size : int
        N-grams of a batch at most.
    corpus, n, min_count, followers, predecessors, documents, boundary, method
        As for `ngrams`.
    threads, memory_limit, progress
        As for `ngrams`.

    Yields
    ------
    NgramTable
        Those of one order, one after the other, are in lexicographic order. With several orders,
        those with a range of first tokens come together, one order after the other.

    Raises
    ------
    InputError
        As for `ngrams`; at once, and for tokens outside the vocabulary on the way.
    """
    source = _source(locals())
    size = integer_within("batch_size", batch_size, 1, _LARGEST)
    return _cut(source, size, progress)


def _cut(source: NgramSource, size: int, progress: bool | None) -> Iterator[NgramTable]:
    with _progress(source, progress) as bar:
        for table in source.batches(bar):
            for start in range(0, len(table), size):
                whole = start == 0 and len(table) <= size
                yield table if whole else table.select(slice(start, start + size))


def write_ngrams(
    corpus: CorpusLike,
    path: str | PathLike[str],
    n: int | Sequence[int],
    *,
    min_count: int = 1,
    top: int | None = None,
    sort: SortName | None = None,
    followers: bool = False,
    predecessors: bool = False,
    documents: bool = False,
    boundary: str = "stream",
    method: MethodName = "auto",
    text: bool = False,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> dict[str, int]:
    """Write the table of `ngrams` to a file, in bounded memory whatever its size.

    Parameters
    ----------
    path
        The file, whose suffix says the format, as for `NgramTable.save`. For several orders it
        holds ``{n}``, which each order replaces.
    text
        Also write what each n-gram spells.
    corpus, n, min_count, top, sort, followers, predecessors, documents, boundary, method
        As for `ngrams`. To sort by count takes disk space for the table twice.
    threads, memory_limit, progress
        As for `ngrams`.

    Returns
    -------
    dict
        The files, and the number of n-grams in each.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or a file cannot be written.
    """
    source = _source(locals())
    with_text = as_flag("text", text)
    paths = _paths(path, source.orders)
    for name in paths.values():
        check_table_path(name, text=with_text)
    if with_text:
        source.corpus.decode([])  # refuses a corpus without a tokenizer before the work
    sort = _resolved_sort(sort, top)
    if top is not None:
        tables = ngrams(
            source.corpus, source.orders, min_count=min_count, top=top, sort=sort,
            followers=followers, predecessors=predecessors, documents=documents, boundary=boundary,
            method=method, threads=threads, memory_limit=memory_limit, progress=progress,
        )  # fmt: skip
        for order, table in tables.items():
            table.save(paths[order], text=with_text)
        return {paths[order]: len(table) for order, table in tables.items()}
    with _progress(source, progress) as bar:
        if sort == "count":
            return _write_by_count(source, paths, with_text, bar)
        return _write_in_order(source, paths, with_text, bar)


def _source(options: dict[str, Any]) -> NgramSource:
    """The n-grams that a public function's arguments ask for."""
    facts = NgramFacts(
        *(as_flag(name, options[name]) for name in ("followers", "predecessors", "documents"))
    )
    orders = resolved_orders(options["n"], facts)
    boundary = Boundary.parse(options["boundary"])
    min_count = integer_within("min_count", options["min_count"], 1, _LARGEST)
    shows_progress(options["progress"])
    workspace = Workspace(
        resolve_threads(options["threads"]), parse_memory_limit(options["memory_limit"])
    )
    corpus = as_corpus(options["corpus"])
    if facts.documents and corpus.document_ends is None:
        raise InputError(
            f"{corpus.name}: has no documents to count; give the separator's id with --separator"
        )
    workspace.require_working_memory(corpus.n_tokens)
    units = document_units(corpus, boundary)
    method = as_word("method", options["method"])
    return NgramSource(
        corpus, orders, min_count, units, facts, workspace, _STEP_SHARE, cast(MethodName, method)
    )


def _resolved_sort(sort: SortName | None, top: int | None) -> SortName:
    if sort is None:
        return "tokens" if top is None else "count"
    check_choice("sort", sort, ("tokens", "count"))
    return sort


def _progress(source: NgramSource, shown: bool | None) -> Progress:
    sweeps = len(source.orders) if source.hashes else 1
    return Progress(
        sweeps * source.corpus.n_tokens, "n-grams", unit="tok", enabled=shows_progress(shown)
    )


def _collected(source: NgramSource, bar: Any) -> dict[int, NgramTable]:
    """Whole tables, which have to fit their share of the memory."""
    budget = source.workspace.memory_budget()
    tables: dict[int, list[NgramTable]] = {order: [] for order in source.orders}
    size = 0
    for table in source.batches(bar):
        size += sum(np.asarray(column).nbytes for column in table.columns().values())
        if budget is not None and size > budget * _TABLE_SHARE:
            raise InputError(
                f"{source.corpus.name}: the table of n-grams does not fit into the memory limit; "
                "raise --memory-limit or --min-count, give --top, or write it to a file (-o, "
                "`write_ngrams`) or read it in batches (`ngram_batches`)"
            )
        tables[table.n].append(table)
    return {order: NgramTable.concatenated(parts) for order, parts in tables.items()}


def _top(source: NgramSource, k: int, bar: Any) -> dict[int, NgramTable]:
    """The k most frequent n-grams of each order, without the others in memory."""
    best: dict[int, NgramTable] = {}
    for table in source.batches(bar):
        order = table.n
        joined = NgramTable.concatenated([best[order], table]) if order in best else table
        best[order] = first_by_count(joined, k)
        # N-grams to come stand after these, so that they have to be more frequent. Hashing has no
        # such order, and does not take another limit on the way.
        full = len(best) == len(source.orders) and all(len(b) == k for b in best.values())
        if full:
            source.min_count = max(
                source.min_count, min(int(b.counts[-1]) for b in best.values()) + 1
            )
    return best


def _paths(path: str | PathLike[str], orders: tuple[int, ...]) -> dict[int, str]:
    text = str(Path(path))
    if len(orders) == 1:
        return {orders[0]: text}
    if "{n}" not in text:
        raise InputError(
            f"{text}: several orders go to a file each; write {{n}} where the order goes in its "
            "name, as in ngrams-{n}.parquet"
        )
    return {order: text.replace("{n}", str(order)) for order in orders}


def _write_in_order(
    source: NgramSource, paths: dict[int, str], text: bool, bar: Any
) -> dict[str, int]:
    rows = dict.fromkeys(paths.values(), 0)
    with ExitStack() as stack:
        writers = {
            order: stack.enter_context(table_writer(path, order, text=text))
            for order, path in paths.items()
        }
        for table in source.batches(bar):
            rows[paths[table.n]] += len(table)
            for start in range(0, max(len(table), 1), _BATCH):
                part = table.select(slice(start, start + _BATCH))
                writers[table.n](part.columns(text=text))
    return rows


def _write_by_count(
    source: NgramSource, paths: dict[int, str], text: bool, bar: Any
) -> dict[str, int]:
    with ExitStack() as stack:
        spools = {
            order: stack.enter_context(ColumnSpool(Path(path).absolute().parent))
            for order, path in paths.items()
        }
        for table in source.batches(bar):
            spools[table.n].write(table.columns())
        for order, path in paths.items():
            with table_writer(path, order, text=text) as write:
                for columns in sorted_by_count(spools[order], source.workspace):
                    tokens = np.stack([columns[f"token_{i}"] for i in range(order)]).T
                    counts = {k: v for k, v in columns.items() if not k.startswith("token_")}
                    part = NgramTable(tokens, corpus=source.corpus, **counts)
                    write(part.columns(text=text))
        return {path: spools[order].rows for order, path in paths.items()}
