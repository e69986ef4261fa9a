"""Remembers which trials a tracker has, so that nothing is sent twice.

In: a file of one trial's id a line, which only grows. Out: the ids. The file is locked as long as
it is open: two processes that send the same would send it twice. A line that a crash cut short
counts as not written: its run is sent again, and every tracker takes a run again as the same one.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from scheduler.errors import UsageError


class Ledger:
    """The trials that one tracker has. A context manager."""

    def __init__(self, path: Path, *, patience: float = 0.0) -> None:
        """`patience`: seconds to wait for another process that holds it.

        Raises UsageError where another one keeps it, OSError where it can't be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f"{path.name}.lock"), thread_local=False)
        try:
            self._lock.acquire(timeout=patience)
        except Timeout:
            raise UsageError(
                f"{path}: another process sends these now; a study that runs does so by itself"
            ) from None
        try:
            self._file = path.open("a+b")
            self._file.seek(0)
            whole, _, torn = self._file.read().rpartition(b"\n")
            if torn:
                self._file.truncate(len(whole) + bool(whole))
            self._told = {int(line) for line in whole.split()}
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        """Use as a context manager: it closes itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file and give the lock back."""
        self._file.close()
        self._lock.release()

    @property
    def told(self) -> set[int]:
        """The ids."""
        return self._told

    def add(self, trial: int) -> None:
        """The tracker has this one, too."""
        self._file.write(f"{trial}\n".encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._told.add(trial)
