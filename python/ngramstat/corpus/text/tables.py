"""Parquet and Arrow files: one document per row of a column of text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.reading import Reading
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason

__all__ = ["read_arrow", "read_parquet"]

_ROWS = 256
# Rows are read in batches of about this many bytes.
_BATCH_BYTES = 8 << 20
# A batch may hold the same text again and again, but not more than this in all.
_MAX_REPEATED_BYTES = 384 << 20


def read_parquet(reading: Reading, report: Callable[[float], None] | None) -> Iterator[Piece]:
    """The documents of a Parquet file; `report` is called with the fraction that was read."""
    pa = _pyarrow(reading, "Parquet")
    import pyarrow.parquet as pq

    field = reading.options.text_field
    try:
        # Pages are read one by one, not whole columns.
        with pq.ParquetFile(
            _Bounded(reading.stream), buffer_size=1 << 20, pre_buffer=False
        ) as file:
            path = _path_of(file.schema_arrow, field, reading)
            leaves = _leaves(file, field)
            row, rows = 0, max(1, file.metadata.num_rows)
            for group in range(file.metadata.num_row_groups):
                size = _rows_per_batch(file.metadata.row_group(group), leaves, reading.stream)
                for batch in file.iter_batches(
                    size, row_groups=[group], columns=[field], use_threads=False
                ):
                    for text in _texts(batch.column(path[0]), path[1:], row, reading, pa):
                        if text is not None:
                            yield Piece(text, True, row)
                        row += 1
                    if report is not None:
                        report(row / rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(f"{reading.where}: damaged Parquet: {reason(error)}") from error


def read_arrow(reading: Reading) -> Iterator[Piece]:
    """The documents of an Arrow IPC file (also Feather version 2) or stream."""
    pa = _pyarrow(reading, "Arrow")
    try:
        is_file = reading.stream.peek(6).startswith(b"ARROW1")
        stream = _Bounded(reading.stream)
        opened = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
        path = _path_of(opened.schema, reading.options.text_field, reading)
        row = 0
        batches = (
            (opened.get_batch(i) for i in range(opened.num_record_batches)) if is_file else opened
        )
        for batch in batches:
            column = batch.column(path[0])
            column.validate(full=True)  # offsets of a damaged file may point anywhere
            for start in range(0, len(column), _ROWS):
                part = column.slice(start, _ROWS)
                for text in _texts(part, path[1:], row, reading, pa):
                    if text is not None:
                        yield Piece(text, True, row)
                    row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{reading.where}: damaged Arrow file: {reason(error)}") from error


class _Bounded(io.RawIOBase):
    """A file of which no more can be asked for than there is, as damaged files do."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        stream.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        return self._stream.read(left if size < 0 else min(size, left))


def _pyarrow(reading: Reading, what: str) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise NgramstatError(
            f"{reading.where}: reading {what} needs pyarrow: pip install 'ngramstat[parquet]'"
        ) from error
    return pyarrow


def _path_of(schema: Any, field: str, reading: Reading) -> list[str]:
    """The column of the text and the fields within it, one after the other."""
    names = list(schema.names)
    if names.count(field) > 1:
        raise InputError(
            f"{reading.where}: {names.count(field)} columns are named {field!r}; rename all but one"
        )
    found = [field] if field in names else _nested(schema, field)
    if found is None:
        present = ", ".join(repr(name)[:60] for name in _text_names(schema)[:20]) or "none"
        raise InputError(
            f"{reading.where}: no column {field!r}; its columns are {present}: name one with "
            "--text-field"
        )
    kind = schema.field(found[0]).type
    for name in found[1:]:
        kind = kind.field(name).type
    _check_type(kind, reading)
    return found


def _nested(parent: Any, field: str) -> list[str] | None:
    """The names that `field` joins by dots, from the outer to the inner; None if there are none.

    `parent` is a schema or a struct type.
    """
    import pyarrow as pa

    children: dict[str, Any] = {}
    for i in range(len(parent.names) if isinstance(parent, pa.Schema) else parent.num_fields):
        child = parent.field(i)
        if child.name in children:
            children[child.name] = None  # ambiguous
        else:
            children[child.name] = child.type
    if field in children and children[field] is not None:
        return [field]
    at = field.find(".")
    while at >= 0:
        kind = children.get(field[:at])
        if kind is not None and pa.types.is_struct(kind):
            inner = _nested(kind, field[at + 1 :])
            if inner is not None:
                return [field[:at], *inner]
        at = field.find(".", at + 1)
    return None


def _text_names(schema: Any) -> list[str]:
    """Names of the columns, and of the fields of structs."""
    import pyarrow as pa

    names = []
    for column in schema:
        names.append(column.name)
        if pa.types.is_struct(column.type):
            names += [
                f"{column.name}.{column.type.field(i).name}" for i in range(column.type.num_fields)
            ]
    return names


def _check_type(kind: Any, reading: Reading) -> None:
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    texts = [types.is_string, types.is_large_string, types.is_binary, types.is_large_binary]
    texts += [getattr(types, name) for name in ("is_string_view", "is_binary_view") if hasattr(
        types, name)]  # fmt: skip
    if any(is_text(kind) for is_text in texts):
        return
    where, field = reading.where, reading.options.text_field
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        if types.is_integer(kind.value_type):
            raise InputError(
                f"{where}: the column {field!r} holds lists of integers, which are tokens and not "
                "text: measure the file as it is, as in `ngramstat inspect`"
            )
        raise InputError(
            f"{where}: the column {field!r} holds lists ({kind}), and how their elements make one "
            "text is not known: join them, or give each a row of its own"
        )
    raise InputError(f"{where}: the column {field!r} is {kind}, not a string")


def _leaves(file: Any, field: str) -> list[int]:
    """Indices of the physical columns that `field` selects."""
    return [
        i for i in range(file.metadata.num_columns) if file.metadata.schema.column(i).path == field
    ]


def _rows_per_batch(group: Any, leaves: list[int], stream: Any) -> int:
    """So many rows that a batch is small, also where all rows repeat one long text."""
    average, longest = 1, 1
    for i in leaves:
        column = group.column(i)
        average += column.total_uncompressed_size // max(1, group.num_rows)
        if column.has_dictionary_page:
            longest += _dictionary_bytes(column, stream)
    return int(min(_ROWS, max(1, min(_BATCH_BYTES // average, _MAX_REPEATED_BYTES // longest))))


def _dictionary_bytes(column: Any, stream: Any) -> int:
    """Size of the dictionary of a column, which is not in the metadata but in the page's header.

    Thrift's compact protocol: a type (1) and the uncompressed size, both 32-bit integers.
    """
    largest = int(column.total_uncompressed_size)
    if column.dictionary_page_offset is None:
        return largest
    place = stream.tell()
    stream.seek(column.dictionary_page_offset)
    header = stream.read(16)
    stream.seek(place)
    if header[:3] != b"\x15\x04\x15":
        return largest
    size = shift = 0
    for byte in header[3:9]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return int(max(1, min(size >> 1, largest)))
    return largest


def _texts(
    column: Any, inner: list[str], first_row: int, reading: Reading, pa: Any
) -> Iterator[str | None]:
    """The text of each row; None for one that is refused and may be skipped."""
    if inner:
        import pyarrow.compute as pc

        for name in inner:
            column = pc.struct_field(column, name)
    limit, field = reading.options.max_record, reading.options.text_field
    dictionary: Any = None
    if pa.types.is_dictionary(column.type):
        dictionary, column = column.dictionary, column.indices
    for i in range(len(column)):
        value = column[i].as_py()
        if dictionary is not None and value is not None:
            value = dictionary[value].as_py()
        record = f"row {first_row + i}"
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError as error:
                reading.refuse(record, f"not UTF-8 at byte {error.start} of the text")
                yield None
                continue
        if value is None:
            reading.refuse(record, f"the field {field!r} is null, not a string")
            yield None
        elif len(value) > limit:
            reading.refuse(
                record, f"more than {limit} characters; --max-record allows longer texts"
            )
            yield None
        else:
            yield value if reading.checked(value, record) else None
