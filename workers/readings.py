"""Reads the numbers that a program of one's own reports: in its output, or in files it leaves.

In: bytes of output as they come, a work folder after the run, `Reading`s that say where a number
stands. Out: the numbers, or a ReadingError that says what was looked for and what was there
instead. All that is read was written by untrusted code: lines and files have a limit, links out of
the folder are not followed. Whether a number is any good is decided elsewhere.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from workers.command import Reading
from workers.errors import ReadingError
from workers.log import clean, sentence

LINE_BYTES = 16 * 1024  # of one line; what is longer is looked at in pieces of this size
FILE_BYTES = 16 * 1024 * 1024  # of a file that holds a metric
_ENDS = re.compile(rb"[\r\n]")  # a progress bar's carriage return ends a line too


class Scanner:
    """Keeps the last match of each pattern in a stream of output, whatever its length."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._patterns = {
            reading.name: re.compile(reading.pattern)
            for reading in readings
            if reading.pattern and not reading.file
        }
        self._pending = b""
        self._found: dict[str, str] = {}
        self.last_line = ""  # the newest that says anything

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._pending = _ENDS.split(self._pending + data)
        for line in lines:
            self._look_at(line)
        while len(self._pending) > LINE_BYTES:
            self._look_at(self._pending[:LINE_BYTES])
            self._pending = self._pending[LINE_BYTES:]

    def close(self) -> None:
        """Take the line without an end as well: nothing more comes."""
        self._look_at(self._pending)
        self._pending = b""

    def _look_at(self, raw: bytes) -> None:
        line = clean(raw[:LINE_BYTES].decode("utf-8", "replace"))
        if not line.strip():
            return
        self.last_line = line
        for name, pattern in self._patterns.items():
            if (found := _last(pattern, line)) is not None:
                self._found[name] = found

    def value(self, reading: Reading) -> float:
        """The last match of a reading's pattern as a number. Raises ReadingError."""
        if reading.name in self._found:
            return _number(self._found[reading.name], reading, "the output")
        last = f"its last line was {sentence(self.last_line, 200)!r}" if self.last_line else ""
        raise ReadingError(
            f"no line that it printed matches the pattern of {reading.name}, "
            f"{reading.pattern!r}; {last or 'it printed nothing'}"
        )


def read_file(reading: Reading, folder: Path) -> float:
    """The number that stands in a file of the work folder. Raises ReadingError."""
    text = _text(reading, folder)
    if reading.key:
        return _at_key(reading, text)
    if reading.pattern:
        pattern = re.compile(reading.pattern)
        matches = [found for line in text.splitlines() if (found := _last(pattern, line))]
        if not matches:
            raise ReadingError(
                f"no line of {reading.file} matches the pattern of {reading.name}, "
                f"{reading.pattern!r}"
            )
        return _number(matches[-1], reading, reading.file)
    return _number(text.strip(), reading, reading.file)


def inside(folder: Path, name: str) -> Path | None:
    """The regular file of this name below the folder, or None; links out of it lead nowhere."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return real if real.is_relative_to(folder.resolve()) and real.is_file() else None


def _text(reading: Reading, folder: Path) -> str:
    path = inside(folder, reading.file)
    if path is None:
        raise ReadingError(f"it left no file {reading.file}, where {reading.name} is looked for")
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ReadingError(f"{reading.file} can't be read: {error.strerror}") from error
    if len(data) > FILE_BYTES:
        raise ReadingError(f"{reading.file} is larger than {FILE_BYTES / 1e6:.0f} MB")
    return data.decode("utf-8", "replace")


def _at_key(reading: Reading, text: str) -> float:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReadingError(f"{reading.file} is no JSON: {error}") from error
    for part in reading.key.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and re.fullmatch(r"-?\d+", part) and _has(value, int(part)):
            value = value[int(part)]
        else:
            there = ", ".join(map(str, list(value)[:12])) if isinstance(value, dict) else ""
            there = f"it has {there}" if there else f"there is {sentence(repr(value), 60)}"
            raise ReadingError(f"{reading.file} has no key {reading.key}: at {part!r} {there}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        said = sentence(repr(value), 60)
        raise ReadingError(f"{reading.key} in {reading.file} is {said}, which is no number")
    return float(value)


def _has(values: list[object], place: int) -> bool:
    return -len(values) <= place < len(values)


def _last(pattern: re.Pattern[str], line: str) -> str | None:
    """What the last match in a line says: its group `value`, else its first, else all of it."""
    found = None
    for match in pattern.finditer(line):
        if "value" in pattern.groupindex:
            found = match["value"]
        else:
            found = match[1] if pattern.groups else match[0]
    return found


def _number(text: str, reading: Reading, where: str) -> float:
    try:
        return float(text)
    except (ValueError, TypeError):
        said = sentence(text or "", 60)
        raise ReadingError(f"{reading.name} is {said!r} in {where}, which is no number") from None
