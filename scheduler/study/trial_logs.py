"""What an experiment's trials printed, as one text: each trial's file, in the order of the trials.

In: an experiment's folder. Each trial has a file there, `trial-N.log`, whose first line says which
one it is; `run.log` of an older study has the trial that wrote last. Out: the bytes of all of them
one after the other, or those of one trial; and what is added while trials run, several at a time.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from scheduler.study.folder import ExperimentFolder
from scheduler.study.records import TrialRecord

PIECE = 64 * 1024  # bytes that are read at a time
ANEW_SECONDS = 0.2  # for a log that is put in place whole to be there


def header(trial: int) -> str:
    """The first line of a trial's log."""
    return f"--- trial {trial}\n"


class TrialLogs:
    """The logs of an experiment's trials, or that of one of them."""

    def __init__(self, folder: ExperimentFolder, trial: int | None = None) -> None:
        self._folder = folder
        self._trial = trial

    def paths(self) -> list[Path]:
        """The files that there are, in the order of the trials."""
        older = self._folder.log
        if self._trial is not None:
            path = self._folder.trial_log(self._trial)
            if path.is_file():
                return [path]
            first = header(self._trial).encode()
            return [older] if _read(older, 0, len(first)) == first else []
        return [older] * older.is_file() + self._folder.trial_logs()

    def size(self) -> int:
        """Bytes in all."""
        return sum(map(size_of, self.paths()))

    def read(self, position: int, count: int) -> bytes:
        """Up to so many bytes from there on; none at the end."""
        found = b""
        for path in self.paths():
            size = size_of(path)
            if position < size:
                found += _read(path, position, min(size - position, count - len(found)))
                if len(found) >= count:
                    break
            position = max(0, position - size)
        return found


class Following:
    """Reads what is added to logs; of trials that run side by side each piece says whose it is."""

    def __init__(self, logs: TrialLogs, position: int = 0) -> None:
        """From this byte on; from the beginning where there are fewer: it was begun anew."""
        self._logs = logs
        self._seen: dict[Path, int] = {}
        self._newest: Path | None = None  # what was read last
        self.begun_anew = False  # whether a log was: what was read of it holds no more
        if logs.size() < position:
            time.sleep(ANEW_SECONDS)
        if logs.size() < position:
            position = 0
        for path in logs.paths():
            self._seen[path] = min(size_of(path), position)
            position -= self._seen[path]
            if self._seen[path]:
                self._newest = path

    def news(self) -> Iterator[bytes]:
        """What was written since the last call."""
        for path in self._logs.paths():
            seen, size = self._seen.get(path, 0), size_of(path)
            if size < seen:
                # Begun anew, or the whole log is about to take the place of what was streamed.
                time.sleep(ANEW_SECONDS)
                size = size_of(path)
                if size < seen:
                    seen, self.begun_anew = 0, True
            if seen and seen < size and path != self._newest:
                yield _read(path, 0, PIECE).partition(b"\n")[0] + b"\n"
            while seen < size and (piece := _read(path, seen, min(PIECE, size - seen))):
                seen += len(piece)
                self._newest = path
                yield piece
            self._seen[path] = seen


def kept_tails(trials: Sequence[TrialRecord], trial: int | None = None) -> str:
    """What the database keeps of the ends of these trials' logs: for a folder that has no files."""
    kept = [
        (each.id, each.outcome.log)
        for each in trials
        if each.outcome is not None and each.outcome.log and trial in (None, each.id)
    ]
    if len(kept) == 1:
        return kept[0][1]
    return "".join(header(number) + ended(text) for number, text in kept)


def ended(text: str) -> str:
    """The text with a line's end, so that the next log begins a line."""
    return text if not text or text.endswith("\n") else text + "\n"


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, position: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(count)
    except FileNotFoundError:
        return b""
