"""What all tables of n-grams offer: their texts, other packages' tables, and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import PathLike
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.counts.table_files import Columns, table_writer
from ngramstat.errors import InputError
from ngramstat.results.tables import optional_package

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

__all__ = ["TokenTable"]


class TokenTable(ABC):
    """A table with an n-gram in each row.

    Attributes
    ----------
    tokens : (k, n) uint16 or uint32
    corpus : Corpus or None
        Where they were counted, for their text.
    """

    tokens: NDArray[Any]
    corpus: Corpus | None

    @property
    def n(self) -> int:
        """Tokens of an n-gram."""
        return int(self.tokens.shape[1])

    @abstractmethod
    def _counted(self) -> Columns:
        """The columns after those of the tokens."""

    def columns(self, *, text: bool = False) -> Columns:
        """The table as one array per column: ``token_0`` .. ``token_{n-1}``, ``counts``, ...

        Parameters
        ----------
        text
            Also ``text``, what each n-gram spells.

        Raises
        ------
        InputError
            No tokenizer is recorded with the corpus.
        """
        columns: Columns = {f"token_{i}": self.tokens[:, i] for i in range(self.n)}
        columns |= self._counted()
        if text:
            columns["text"] = self.texts()
        return columns

    def texts(self) -> list[str]:
        """What each n-gram spells, by the tokenizer recorded with the corpus.

        Raises
        ------
        InputError
            None is recorded.
        """
        if self.corpus is None:
            raise InputError("the table does not know its corpus, so that ids cannot be decoded")
        return self.corpus.decode_sequences(self.tokens)

    def to_arrow(self, *, text: bool = False) -> pyarrow.Table:
        """The columns as a pyarrow Table.

        Raises
        ------
        NgramstatError
            If pyarrow is not installed.
        """
        arrow = optional_package("pyarrow", "arrow", "to_arrow")
        table: pyarrow.Table = arrow.table(self.columns(text=text))
        return table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The columns as a stream of Arrow, as polars, DuckDB, pandas and others read it."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_pandas(self, *, text: bool = False) -> pandas.DataFrame:
        """The columns as a pandas DataFrame.

        Raises
        ------
        NgramstatError
            If pandas is not installed.
        """
        frame: pandas.DataFrame = optional_package("pandas", "pandas", "to_pandas").DataFrame(
            self.columns(text=text)
        )
        return frame

    def to_polars(self, *, text: bool = False) -> polars.DataFrame:
        """The columns as a polars DataFrame.

        Raises
        ------
        NgramstatError
            If polars is not installed.
        """
        frame: polars.DataFrame = optional_package("polars", "polars", "to_polars").DataFrame(
            self.columns(text=text)
        )
        return frame

    def save(self, path: str | PathLike[str], *, text: bool = False) -> None:
        """Write the table, atomically, in the format that the name's suffix says.

        Parameters
        ----------
        path
            ``.npz``; a name without a suffix, for a directory of ``.npy`` files that can be
            mapped; ``.parquet``; ``.arrow`` or ``.feather``; ``.csv`` or ``.tsv``. ``.npz`` and
            ``.npy`` hold ``tokens`` (k, n) and an array per kind of count, the others a column per
            position.
        text
            Also a column ``text``, what each n-gram spells; not in ``.npz`` and ``.npy``.

        Raises
        ------
        InputError
            Another suffix, or the file cannot be written.
        NgramstatError
            The format needs a package that is not installed.
        """
        with table_writer(path, self.n, text=text) as write:
            write(self.columns(text=text))
