"""Whatever holds tokens or text as a corpus: the first argument of the public functions.

Tensors, tables and columns of other packages are recognised by what they can do, and no package is
imported for them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.arrays import host_array
from ngramstat.corpus.arrow_columns import arrow_documents, arrow_stream, is_arrow
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.tokenizing.texts import corpus_of_texts
from ngramstat.errors import InputError, InputTypeError
from ngramstat.runtime.log import note

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CorpusLike", "as_corpus", "names_a_file"]

# For type checkers: tensors, tables and columns are known by what they can do.
CorpusLike: TypeAlias = "Corpus | str | PathLike[str] | ArrayLike | Iterable[Any]"

_ACCEPTED = (
    "a Corpus, a path, paths, an array or tensor of token ids, a list of documents or of texts, or "
    "a table with a column input_ids or text"
)
# Columns of tables, in this order.
_COLUMNS = ("input_ids", "text")
# What nobody writes as a text, but as the name of a file.
_LIKE_A_PATH = re.compile(r"\S*[/\\]\S*|\S+\.[A-Za-z]\w{0,7}")
_ROWS = 1000


def as_corpus(x: Any, name: str = "corpus") -> Corpus:
    """A corpus from whatever holds tokens or text.

    Parameters
    ----------
    x
        - a `Corpus`, which is returned;
        - a path, or paths, as `Corpus.open` takes them;
        - a one-dimensional array or tensor, or a list of integers: a stream without documents;
        - a two-dimensional array or tensor: every row is a document;
        - a list (iterator, column) of sequences of integers: every one is a document;
        - a list (iterator, column) of strings: texts, tokenized as by `Corpus.from_texts`;
        - a table with a column ``input_ids`` or ``text``: a Hugging Face dataset, what a tokenizer
          returned, a data frame of pandas or polars, a table of Arrow. Tokens that its
          ``attention_mask`` leaves out are left out.
    name
        Of the argument, for messages.

    Raises
    ------
    InputError
        It is none of these, or holds something else; the message begins with the argument's name.
    """
    if isinstance(x, Corpus):
        return x
    if isinstance(x, str | PathLike):
        return _open(x, name)
    if x is None or isinstance(x, bytes | bytearray | memoryview | bool | int | float | complex):
        raise InputTypeError(f"{name}: needs {_ACCEPTED}, not {_type_name(x)}")
    try:
        if (columns := _columns_of(x, name)) is not None:
            return _of_table(x, columns, name)
        return _of_items(x, name)
    except InputError as error:
        raise _named(error, name) from error


def _named(error: InputError, name: str) -> InputError:
    """The error of a constructor, whose arguments have other names, with the caller's name."""
    text = str(error)
    for own in ("tokens: ", "documents: ", "texts: "):
        if text.startswith(own):
            return type(error)(f"{name}: {text.removeprefix(own)}")
    return error


def _open(path: str | PathLike[str], name: str) -> Corpus:
    text = fspath(path)
    if not isinstance(text, str):
        raise InputTypeError(f"{name}: needs a path of type str or Path, not of bytes")
    if isinstance(path, str) and ("\n" in text or not (names_a_file(text) or _may_be_path(text))):
        raise InputError(
            f"{name}: no file of this name ({text[:60]!r}); a text has to stand in a list, as in "
            "[text]"
        )
    return Corpus.open(path)


def _of_items(x: Any, name: str) -> Corpus:
    """An array, a column, a list or an iterator."""
    if is_arrow(x):
        stream = arrow_stream(x, name)
        return (
            _of_documents(arrow_documents(x, name), name)
            if stream is None
            else (Corpus.from_arrays(stream))
        )
    if hasattr(x, "__array__"):
        return _of_array(_array(x, name), name)
    if isinstance(x, set | frozenset) or not isinstance(x, Iterable):
        raise InputTypeError(f"{name}: needs {_ACCEPTED}, not {_type_name(x)}")
    items = iter(x)
    first = next(items, None)
    if first is None:
        found = "its first item is None" if _has_items(x) else "it is empty"
        raise InputError(f"{name}: needs {_ACCEPTED}; {found}")
    if isinstance(first, int | np.integer):
        # Of a list NumPy sees whether all items are integers; an iterator is read to its end.
        array = _array(x if isinstance(x, Sequence) else [first, *items], name)
        if array.dtype.kind not in "iu":
            raise InputTypeError(f"{name}: token ids are integers; the list holds other items too")
        return _of_array(array, name)
    items = itertools.chain([first], items)
    if isinstance(first, Mapping):
        return _of_rows(items, list(first), name)
    return _of_documents(items, name)


def _array(x: Any, name: str) -> NDArray[Any]:
    try:
        return host_array(x)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise InputTypeError(f"{name}: is no array of token ids ({error})") from error


def _of_array(array: NDArray[Any], name: str) -> Corpus:
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.dtype.kind == "O" and array.ndim == 1:
        return _of_documents(iter(array), name)
    if array.ndim == 2 and array.shape[1] > 0 and array.dtype.kind in "iu":
        ends = np.arange(1, array.shape[0] + 1, dtype=np.int64) * array.shape[1]
        return Corpus.from_arrays(array.reshape(-1), document_ends=ends if ends.size else None)
    if array.ndim != 1 and array.size:
        raise InputError(
            f"{name}: an array of {array.ndim} dimension(s); one is needed for a stream, two for "
            "documents as rows"
        )
    return Corpus.from_arrays(array.reshape(-1))


def _of_documents(documents: Iterator[Any], name: str) -> Corpus:
    """Documents of ids, texts or paths, told apart by the first."""
    first = next(documents, None)
    if first is None:
        raise InputError(f"{name}: holds no documents, or None for the first")
    documents = itertools.chain([first], documents)
    if isinstance(first, PathLike):
        return Corpus.open(_paths(documents, name))
    if isinstance(first, str):
        return _of_strings(documents, name)
    return Corpus.from_documents(documents)


def _of_strings(strings: Iterator[Any], name: str) -> Corpus:
    """Texts, or paths if files of these names are there."""
    head = list(itertools.islice(strings, _ROWS))
    there = [isinstance(text, str) and (names_a_file(text) or _is_pattern(text)) for text in head]
    if all(there):
        return Corpus.open(_paths(itertools.chain(head, strings), name))
    if any(there):
        missing = there.index(False)
        raise InputError(
            f"{name}: some of these strings name files, but not item {missing} "
            f"({head[missing]!r:.60}); give paths as pathlib.Path, or Corpus.from_texts the texts"
        )
    if all(isinstance(text, str) and _LIKE_A_PATH.fullmatch(text) for text in head):
        raise InputError(f"{name}: no file of this name ({head[0][:60]!r})")
    return corpus_of_texts(itertools.chain(head, strings), name=name)


def _paths(paths: Iterable[Any], name: str) -> Any:
    listed = list(paths)
    for number, path in enumerate(listed):
        if not isinstance(path, str | PathLike):
            raise InputTypeError(f"{name}: item {number} is {_type_name(path)}, not a path")
    return listed[0] if len(listed) == 1 else listed


def names_a_file(text: str) -> bool:
    """Whether there is a file or a directory of this name."""
    try:
        return 0 < len(text) < 4096 and Path(text).exists()
    except (OSError, ValueError):  # too long a name, or a NUL
        return False


def _is_pattern(text: str) -> bool:
    """Whether this names files by a pattern, such as ``part-*.bin``."""
    return bool(_LIKE_A_PATH.fullmatch(text)) and any(c in text for c in "*?[")


def _may_be_path(text: str) -> bool:
    """Whether `Corpus.open` should say what is wrong with it: a name of a file, or a pattern."""
    return len(text) < 4096 and (" " not in text or any(c in text for c in "/\\*?["))


# --- tables ----------------------------------------------------------------------------------


def _columns_of(x: Any, name: str) -> list[Any] | None:
    """Names of the columns of a table; None if it is none."""
    if hasattr(x, "collect") and hasattr(x, "collect_schema"):
        raise InputError(f"{name}: a lazy frame; call .collect() first")
    names = getattr(x, "column_names", None)
    if isinstance(names, Mapping):
        splits = ", ".join(map(repr, names))
        raise InputError(f"{name}: a dataset with several splits ({splits}); choose one")
    if names is None and _is_dataset(x):
        first = next(iter(x), None)  # a streamed dataset that does not know its columns
        return [] if first is None else list(first)
    if isinstance(x, Mapping):
        return list(x)
    if names is None:
        names = getattr(x, "columns", None)
    return list(names) if isinstance(names, Iterable) else None


def _is_dataset(x: Any) -> bool:
    """Whether this is a Hugging Face dataset, in memory or streamed."""
    return hasattr(x, "with_format") and callable(getattr(x, "iter", None))


def _of_table(x: Any, columns: list[Any], name: str) -> Corpus:
    column = _chosen(columns, name)
    masked = column == "input_ids" and "attention_mask" in columns
    if not (_is_dataset(x) or masked):
        return _of_items(x[column], name)
    documents = _column(x, column, name)
    if masked:
        masks = _column(x, "attention_mask", name)
        documents = _without_padding(zip(documents, masks, strict=True), name)
    return _of_documents(documents, name)


def _column(x: Any, column: str, name: str) -> Iterator[Any]:
    """The documents in a column of a table; a column of integers is one."""
    if _is_dataset(x):
        # Batches of Arrow, which take no integers of Python.
        for batch in x.with_format("arrow").iter(batch_size=_ROWS):
            yield from arrow_documents(batch.column(column), name)
        return
    values = x[column]
    if is_arrow(values):
        yield from arrow_documents(values, name)
        return
    if hasattr(values, "detach"):
        values = host_array(values)
    if isinstance(next(iter(values), None), int | np.integer):
        yield values
    else:
        yield from values


def _of_rows(rows: Iterator[Any], columns: list[Any], name: str) -> Corpus:
    """Dictionaries, one a document."""
    column = _chosen(columns, name)
    masked = column == "input_ids" and "attention_mask" in columns
    needed = (column, "attention_mask") if masked else (column,)

    def read() -> Iterator[Any]:
        for number, row in enumerate(rows):
            if not (isinstance(row, Mapping) and all(key in row for key in needed)):
                raise InputError(f"{name}: item {number} has no {' and '.join(needed)}")
            yield tuple(row[key] for key in needed)

    if masked:
        return _of_documents(_without_padding(read(), name), name)
    return _of_documents((values[0] for values in read()), name)


def _without_padding(documents: Iterable[tuple[Any, Any]], name: str) -> Iterator[Any]:
    """Documents without the tokens that their attention masks leave out."""
    left_out = 0
    for number, (ids, mask) in enumerate(documents):
        tokens, keep = host_array(ids), host_array(mask)
        if tokens.shape != keep.shape:
            raise InputError(f"{name}: document {number} and its attention_mask differ in length")
        kept = tokens[keep.astype(bool)]
        left_out += tokens.size - kept.size
        yield kept
    if left_out:
        note(f"{name}: {left_out:,} tokens that attention_mask leaves out are left out")


def _chosen(columns: list[Any], name: str) -> str:
    for column in _COLUMNS:
        if column in columns:
            return column
    listed = ", ".join(repr(column) for column in columns[:20]) or "none"
    raise InputError(
        f"{name}: has no column input_ids or text (its columns: {listed}); give one of them, as in "
        "table['content']"
    )


def _has_items(x: Any) -> bool:
    try:
        return len(x) > 0
    except TypeError:
        return False


def _type_name(x: Any) -> str:
    return "None" if x is None else type(x).__name__
