"""Files that hold many documents: a row of a Parquet or JSONL file is one.

In: a file and the name of its text column. Out: the text of each row as bytes, in order, without
rows that have none; a few megabytes are in memory at a time. Which row belongs to which split is
the source's to say.
"""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from train_template.errors import DataError

PARQUET, JSON_LINES = (".parquet",), (".jsonl", ".jsonl.gz")
ENDINGS = PARQUET + JSON_LINES
BATCH_ROWS = 1024  # of a Parquet file that are decoded at a time: some megabytes of web text


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
        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            if column not in schema.names:
                raise DataError(
                    f"data.text_column: {file.name} has no column {column!r}; it has "
                    f"{', '.join(schema.names)}"
                )
            kind = schema.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise DataError(f"data.text_column: {column!r} of {file.name} is {kind}, no text")
            for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=[column]):
                for text in batch.column(0).cast(pa.large_binary()).to_pylist():
                    if text:
                        yield text
    except pa.ArrowException as error:
        raise DataError(f"{file} is no Parquet file that can be read: {error}") from error


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
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(
            f"{file}, line {number}: no JSON Lines that can be read: {error}"
        ) from error
