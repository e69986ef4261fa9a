"""One process at a time runs a study: a lock that dies with its holder.

In: the study's folder. Out: the lock held, or StudyInUse with the pid and host of the process
that holds it. The kernel gives the lock back when that process ends, however it ends, so that a
study that was killed can be resumed at once. Reading a study needs no lock.
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from scheduler.errors import StudyInUse, UsageError
from scheduler.study.folder import StudyFolder
from scheduler.study.room import full, is_full


class StudyLock:
    """The right to run a study, held as long as this object lives and is not released.

    A context manager; it can be acquired again after a release.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._path = folder.lock
        self._lock = FileLock(self._path, thread_local=False)

    def acquire(self, timeout: float = 0.0, *, named: bool = True) -> None:
        """Take the lock, waiting up to `timeout` seconds for it; `named`: in this process's name.

        Raises StudyInUse where another process keeps it, UsageError where the file can't be
        written (the folder is missing or read-only), StudyFull where there is no room for it.
        """
        try:
            # FileLock would make the folder, and a folder with nothing but a lock is a puzzle.
            self._path.parent.stat()
            self._lock.acquire(timeout=timeout)
        except Timeout:
            raise StudyInUse(
                f"{self._path.parent}: this study is being run {_holder(self._path)}; "
                "watch it with: autoresearch top"
            ) from None
        except OSError as error:
            if is_full(error):
                raise full(self._path.parent, error) from error
            raise UsageError(
                f"{self._path}: can't be locked ({error.strerror or error}); "
                "a study needs a folder that can be written to"
            ) from error
        if named:
            self.name(os.getpid(), socket.gethostname())

    def name(self, pid: int, host: str) -> None:
        """Say in whose name the lock is held: whom a person has to end to have the study."""
        with suppress(OSError):  # a full disk: the lock holds without a name
            # In place: another file under this name would be another lock.
            self._path.write_text(json.dumps({"pid": pid, "host": host}) + "\n", "utf-8")

    def release(self) -> None:
        """Give the lock back; without effect if it isn't held."""
        self._lock.release()

    def __enter__(self) -> Self:
        """Take the lock at once or raise StudyInUse."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self.release()


def _holder(path: Path) -> str:
    """Who holds the lock, in words. It may be writing its name at this very moment."""
    try:
        holder = json.loads(path.read_text("utf-8"))
        return f"by process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "by another process"
