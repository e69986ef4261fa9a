"""Files that hold many documents: a row of a Parquet or JSONL file is one.

In: a file and the name of its text column. Out: the text of each row as bytes, in order, without
rows that have none. In memory at a time are some 16 MB of text and what the file's own format asks
for at once: a page of a Parquet column, a line of JSON. Which row belongs to which split is the
source's to say.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from train_template.errors import DataError

if TYPE_CHECKING:
    from pyarrow import Array, DataType
    from pyarrow.parquet import RowGroupMetaData

PARQUET, JSON_LINES = (".parquet",), (".jsonl", ".jsonl.gz")
ENDINGS = PARQUET + JSON_LINES
BATCH_BYTES = 1 << 24  # of a Parquet column that are decoded at a time
BATCH_ROWS = 128  # at most: where equal rows are stored once, nothing says how long they are
BUFFER_BYTES = 1 << 20  # that are read at a time, in place of all of a column in a row group


def holds_records(name: str) -> bool:
    """Whether a file of this name is read row by row; any other is one document."""
    return name.endswith(ENDINGS)


def rows(file: Path, column: str) -> Iterator[bytes]:
    """The text of each row; raises DataError for what is no such file or has no such column."""
    read = _parquet if file.name.endswith(PARQUET) else _json_lines
    return read(file, column)


def count_rows(file: Path, column: str) -> int:
    """How many texts `rows` gives."""
    return sum(1 for _ in rows(file, column))


def _parquet(file: Path, column: str) -> Iterator[bytes]:
    try:
        # pyarrow is what wrote nearly every Parquet file. Imported here: a trial's processes, which
        # import this package too, read packed data and need none of it.
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f"{file.name}: Parquet files are read with pyarrow, which is not installed: "
            "pip install -c constraints.txt pyarrow"
        ) from error
    try:
        with pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False) as opened:
            schema = opened.schema_arrow
            if column not in schema.names:
                raise DataError(
                    f"data.text_column: {file.name} has no column {column!r}; it has "
                    f"{', '.join(schema.names)}"
                )
            kind = schema.field(column).type
            if not _is_text(kind):
                raise DataError(f"data.text_column: {column!r} of {file.name} is {kind}, no text")
            for group in range(opened.num_row_groups):
                size = _batch_rows(opened.metadata.row_group(group), column)
                for batch in opened.iter_batches(size, row_groups=[group], columns=[column]):
                    yield from _texts(batch.column(0))
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged page is an OSError
        raise DataError(f"{file} is no Parquet file that can be read: {_line(error)}") from error


def _is_text(kind: "DataType") -> bool:
    """Whether a column is of strings; pandas writes its categories as dictionaries of them."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def _texts(values: "Array") -> Iterator[bytes]:
    """Those that are not empty, one at a time: to_pylist is a second copy of all of them."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        words = values.dictionary.cast(pa.large_binary())
        for place in values.indices.to_pylist():
            if place is not None and (text := words[place].as_py()):
                yield text
        return
    for value in values.cast(pa.large_binary()):
        if text := value.as_py():
            yield text


def _batch_rows(group: "RowGroupMetaData", column: str) -> int:
    """How many rows of a row group are decoded at a time."""
    chunks = map(group.column, range(group.num_columns))
    size: int = sum(
        each.total_uncompressed_size for each in chunks if each.path_in_schema == column
    )
    rows: int = group.num_rows
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, size)))


def _json_lines(file: Path, column: str) -> Iterator[bytes]:
    opener = gzip.open if file.name.endswith(".gz") else open
    number = 0
    try:
        with opener(file, "rb") as opened:
            for number, line in enumerate(opened, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"line {number} of {file.name} is no object with a text")
                text = row.get(column)
                if column not in row:
                    raise DataError(
                        f"data.text_column: line {number} of {file.name} has no key {column!r}; "
                        f"it has {', '.join(row)}"
                    )
                if text is not None and not isinstance(text, str):
                    raise DataError(f"data.text_column: line {number} of {file.name} has no text")
                if text:
                    yield text.encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError) as error:
        raise _unread(file, number, error) from error
    except (EOFError, OSError, zlib.error) as error:  # the line did not come at all
        raise _unread(file, number + 1, error) from error


def _unread(file: Path, number: int, error: Exception) -> DataError:
    return DataError(f"{file}, line {number}: no JSON Lines that can be read: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
