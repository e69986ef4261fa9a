"""Opening a study's database: its schema, its version, and who may write.

One process writes, the results actor; any number read, on the same node. WAL lets them do so
at the same time; on a network's file system, where its shared memory is not to be trusted, a
rollback journal stands in, and readers and writer wait for each other for a moment.
`synchronous=FULL` makes a commit survive a power cut too.

`schema.sql` makes a new database, `migrations/N.sql` brings one of schema N - 1 up to N. A writer
does so once, in one transaction; a reader of an older study does so in memory and changes nothing.
"""

import sqlite3
from importlib import resources
from pathlib import Path

from scheduler.errors import NothingYet, StudyError, UsageError
from scheduler.study.room import full

SCHEMA_VERSION = 5
OF_A_NETWORK = (
    *("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "gluster", "fuse.gluster", "9p"),
    *("afs", "wekafs", "pvfs2", "fuse.sshfs", "fuse.ceph", "fuse.juicefs", "fuse.s3fs"),
)
BUSY_SECONDS = 10.0  # for another process to end its transaction
NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the database; make it where it is missing, bring it up to date where it is older.

    Raises UsageError for a schema of a newer version, StudyError for a damaged file, StudyFull
    where the disk has no room for the tables or for what SQLite keeps beside them.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
        check_version(connection, path)
        _choose_journal(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _bring_up_to_date(connection)
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.OperationalError) and has_no_room(error):
            raise full(path.parent, error) from error
        raise StudyError(f"{path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open an existing database read-only, also in a folder that can't be written to.

    Raises UsageError where there is none or it is of a newer version, NothingYet without tables.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such study database")
    uri = path.resolve().as_uri()
    try:
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            version = check_version(connection, path)
        except sqlite3.OperationalError:
            # WAL needs a shared-memory file beside the database. Where the folder is read-only
            # and nobody writes, the database alone is complete and can't change.
            connection.close()
            connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
            version = check_version(connection, path)
        if version == 0:  # its first process is about to make the tables, or died before it did
            connection.close()
            raise NothingYet(f"{path}: nothing is recorded in this study yet")
        if version < SCHEMA_VERSION:
            connection = _newer_copy(connection)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


def _choose_journal(connection: sqlite3.Connection, path: Path) -> None:
    """Set the journal's mode. It can't change under a reader: then it stays for this time."""
    connection.execute("PRAGMA busy_timeout = 1000")
    try:
        connection.execute(f"PRAGMA journal_mode = {journal_mode(path)}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def journal_mode(path: Path) -> str:
    """How SQLite keeps its promises on the file system that `path` lies on: WAL where it can."""
    import psutil  # noqa: PLC0415 - who only reads needs none

    place = path.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if place.is_relative_to(m.mountpoint)]
    kind = max(mounts, key=lambda m: len(m.mountpoint)).fstype if mounts else ""
    return "TRUNCATE" if kind.lower().startswith(OF_A_NETWORK) else "WAL"


def has_no_room(error: sqlite3.OperationalError) -> bool:
    """Whether a write failed for want of room on the disk, so that it may succeed later."""
    return error.sqlite_errorcode & 0xFF in NO_ROOM


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the schema, 0 for an empty file; a newer one than ours is a UsageError."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{path}: made by a newer autoresearch (schema {version}, this one knows up to "
            f"{SCHEMA_VERSION}); nothing was changed. Upgrade with: pip install -U autoresearch-ray"
        )
    return version


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing, or run the migrations that are, each whole or not."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = (
        {SCHEMA_VERSION: "schema.sql"}
        if version == 0
        else {n: f"migrations/{n}.sql" for n in range(version + 1, SCHEMA_VERSION + 1)}
    )
    for number, name in steps.items():
        script = resources.files("scheduler.study").joinpath(name).read_text("utf-8")
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _newer_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy in memory, brought up to date: the file stays as it is until a run writes to it."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(copy)
    connection.close()
    _bring_up_to_date(copy)
    return copy
