"""Opening a study's database: its schema, its version, and who may write.

One process writes, the results actor; any number read, on the same node. WAL lets them do so
at the same time. `synchronous=FULL` makes a commit survive a power cut too.
"""

import sqlite3
from importlib import resources
from pathlib import Path

from scheduler.errors import StudyError, UsageError

SCHEMA_VERSION = 1


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the database, and make it where it is missing.

    Raises UsageError for a schema of a newer version, StudyError for a damaged file.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        check_version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            schema = resources.files("scheduler.study").joinpath("schema.sql").read_text("utf-8")
            connection.executescript(
                f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open an existing database read-only, also in a folder that can't be written to.

    Raises UsageError where there is none or its schema is of a newer version.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such study database")
    uri = path.resolve().as_uri()
    try:
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=10.0)
        try:
            check_version(connection, path)
        except sqlite3.OperationalError:
            # WAL needs a shared-memory file beside the database. Where the folder is read-only
            # and nobody writes, the database alone is complete and can't change.
            connection.close()
            connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
            check_version(connection, path)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that a newer version of this program has made."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{path}: made by a newer autoresearch (schema {version}, this one knows up to "
            f"{SCHEMA_VERSION}); nothing was changed. Upgrade with: pip install -U autoresearch-ray"
        )
