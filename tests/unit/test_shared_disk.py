"""A study on a file system of a network: its database does without shared memory."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from scheduler.study.database import journal_mode
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from tests.synthetic import make_study


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the system says that it lies on a server."""
    place = tmp_path / "shared"
    place.mkdir()
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(place), fstype="nfs4"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    return place


def mode(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_the_innermost_mount_decides(shared: Path, tmp_path: Path) -> None:
    assert journal_mode(shared / "study.db") == "TRUNCATE"
    assert journal_mode(tmp_path / "study.db") == "WAL"


def test_a_study_there_is_whole_and_can_be_read_while_it_is_written(shared: Path) -> None:
    folder = StudyFolder(make_study(shared / "study", experiments=10))
    assert mode(folder.database) == "delete"  # nobody holds it now, and it is not WAL
    store = Store(folder.database)
    with Reader(folder.database) as reader:
        assert reader.count() == 11
        store._db.execute("BEGIN IMMEDIATE")
        assert reader.study().champion is not None
        store._db.execute("COMMIT")
    store.close()
    assert not list(folder.path.glob("study.db-*shm"))


def test_a_reader_that_holds_an_older_log_keeps_nobody_from_writing(
    shared: Path, tmp_path: Path
) -> None:
    make_study(tmp_path / "here", experiments=5)
    (tmp_path / "here").rename(shared / "there")
    folder = StudyFolder(shared / "there")
    with Reader(folder.database) as reader:
        assert reader.count() == 6
        Store(folder.database).close()
    assert mode(folder.database) == "wal"  # until a run meets no reader


def test_a_study_that_is_moved_there_leaves_its_write_ahead_log_behind(
    shared: Path, tmp_path: Path
) -> None:
    make_study(tmp_path / "here", experiments=5)
    (tmp_path / "here").rename(shared / "there")
    assert mode(shared / "there" / "study.db") == "wal"
    Store(shared / "there" / "study.db").close()
    assert mode(shared / "there" / "study.db") == "delete"
