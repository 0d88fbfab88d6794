"""Whether pairs and contexts may run across the ends of documents."""

from __future__ import annotations

from enum import StrEnum

from ngramstat.errors import InputError

__all__ = ["Boundary"]


class Boundary(StrEnum):
    """Where pairs of tokens and contexts end.

    ``stream``: nowhere but at the ends of the corpus, as in the paper's concatenated documents;
    ``document``: at the ends of each document.
    """

    STREAM = "stream"
    DOCUMENT = "document"

    @property
    def across(self) -> bool:
        """Whether pairs and contexts cross document ends."""
        return self is Boundary.STREAM

    @classmethod
    def parse(cls, value: str, name: str = "boundary") -> Boundary:
        """The boundary called `value`; `name` is what an error calls the argument.

        Raises
        ------
        InputError
            There is no such boundary.
        """
        try:
            return cls(value)
        except ValueError as error:
            expected = " or ".join(cls)
            raise InputError(f"{name}={value!r}: expected {expected}") from error
