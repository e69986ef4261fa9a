"""Reads the numbers that a program of one's own reports: in its output, or in files it leaves.

In: bytes of output as they come, a work folder after the run, `Reading`s that say where a number
stands. Out: the numbers, or a ReadingError that says what was looked for and what was there
instead. All that is read was written by untrusted code: lines and files have a limit, links out of
the folder are not followed. Whether a number is any good is decided elsewhere.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import regex

from workers.command import Reading
from workers.errors import ReadingError
from workers.log import clean, sentence
from workers.number import DIGITS, FINITE, LOOSE, number_of

LINE_BYTES = 4 * 1024  # of one line; what comes after them is not looked at
FILE_BYTES = 16 * 1024 * 1024  # of a file that holds a metric
LINE_SECONDS = 0.1  # for a pattern on one line; a fair one takes microseconds
SLOW_SECONDS = 0.001  # a line that takes longer counts to the next
ALL_SLOW_SECONDS = 10.0  # for a pattern on all slow lines of a stream; then it is given up
FILE_SECONDS = 10.0  # for a pattern on all of a file
CHUNK = 64 * 1024
_ENDS = re.compile(rb"[\r\n]")  # a progress bar's carriage return ends a line too
_NUMBER = re.compile(FINITE)
_DECIMAL = re.compile(rf"[-+]?{DIGITS}")
_BEFORE = re.compile(r"(?:[0-9.]|(?<![\w.+-])[-+])$")  # what belongs to a number that follows it
_THREE = re.compile(r"[0-9]{3}(?![0-9])")
_THOUSANDS = re.compile(r"(?<![\w.,])[-+]?[0-9]{1,3}(?:,[0-9]{3})*,$")  # what belongs before these
_RAGGED = re.compile(r"[-+.,\w]*$")


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The pattern as it is looked for. Raises ValueError with what is wrong with it."""
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class _Found:
    """The last that a pattern has found, or why it is not to be believed."""

    text: str
    doubt: str = ""


class Scanner:
    """Keeps the last match of each pattern in a stream of output, whatever its length."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._patterns = {
            reading.name: compiled(reading.pattern)
            for reading in readings
            if reading.pattern and not reading.file
        }
        self._slow = dict.fromkeys(self._patterns, 0.0)  # seconds
        self._pending = bytearray()
        self._found: dict[str, _Found] = {}
        self.last_line = ""  # the newest that says anything

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream. At most `LINE_SECONDS` a line and pattern."""
        *lines, rest = _ENDS.split(data)
        for line in lines:
            self._extend(line)
            self.close()
        self._extend(rest)

    def close(self) -> None:
        """Take the line without an end as well: nothing more comes."""
        self._look_at(bytes(self._pending))
        self._pending.clear()

    def _extend(self, part: bytes) -> None:
        self._pending += part[: LINE_BYTES + 1 - len(self._pending)]

    def _look_at(self, raw: bytes) -> None:
        line = clean(raw[:LINE_BYTES].decode("utf-8", "replace"))
        if len(raw) > LINE_BYTES:
            line = _RAGGED.sub("", line)  # half a number is another number
        if not line.strip():
            return
        self.last_line = line
        for name, pattern in tuple(self._patterns.items()):
            begun = time.thread_time()
            if (found := _last(pattern, line)) is not None:
                self._found[name] = found
            if (took := time.thread_time() - begun) > SLOW_SECONDS:
                self._slow[name] += took
            if self._slow[name] > ALL_SLOW_SECONDS:
                why = f"its pattern took longer than {ALL_SLOW_SECONDS:g} s on slow lines"
                self._found[name] = _Found("", why)
                del self._patterns[name]

    def value(self, reading: Reading, where: str = "the output") -> float:
        """The last match of a reading's pattern as a number. Raises ReadingError."""
        if (found := self._found.get(reading.name)) is not None:
            if found.doubt:
                raise ReadingError(f"{reading.name} can't be read from {where}: {found.doubt}")
            return _number(found.text, reading, where)
        if where != "the output":
            raise ReadingError(
                f"no line of {where} matches the pattern of {reading.name}, {reading.pattern!r}"
            )
        last = f"its last line was {sentence(self.last_line, 200)!r}" if self.last_line else ""
        raise ReadingError(
            f"no line that it printed matches the pattern of {reading.name}, "
            f"{reading.pattern!r}; {last or 'it printed nothing'}"
        )


def read_file(reading: Reading, folder: Path) -> float:
    """The number that stands in a file of the work folder. Raises ReadingError."""
    if reading.pattern:
        scanner, limit = Scanner([replace(reading, file="")]), time.monotonic() + FILE_SECONDS
        for chunk in _chunks(reading, folder):
            for line in chunk.splitlines(keepends=True):
                scanner.write(line)
                if time.monotonic() > limit:
                    raise ReadingError(
                        f"the pattern of {reading.name}, {reading.pattern!r}, took longer than "
                        f"{FILE_SECONDS:g} s on {reading.file}"
                    )
        scanner.close()
        return scanner.value(reading, reading.file)
    text = b"".join(_chunks(reading, folder)).decode("utf-8", "replace")
    if reading.key:
        try:
            return _at_key(reading, text)
        except (OverflowError, RecursionError) as error:
            raise ReadingError(f"{reading.key} in {reading.file} is no score: {error}") from error
    return _number(text.strip(), reading, reading.file)


def inside(folder: Path, name: str) -> Path | None:
    """The regular file of this name below the folder, or None; links out of it lead nowhere."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return real if real.is_relative_to(folder.resolve()) and real.is_file() else None


def _chunks(reading: Reading, folder: Path) -> Iterator[bytes]:
    path = inside(folder, reading.file)
    if path is None:
        raise ReadingError(f"it left no file {reading.file}, where {reading.name} is looked for")
    total = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                total += len(chunk)
                if total > FILE_BYTES:
                    most = f"{FILE_BYTES / 1e6:.0f} MB"
                    raise ReadingError(f"{reading.file} is larger than {most}")
                yield chunk
    except OSError as error:
        raise ReadingError(f"{reading.file} can't be read: {error.strerror}") from error


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


def _last(pattern: "regex.Pattern[str]", line: str) -> _Found | None:
    """What the last match in a line says: its group `value`, else its first, else all of it."""
    group: str | int = "value" if "value" in pattern.groupindex else min(1, pattern.groups)
    found = None
    try:
        for match in pattern.finditer(line, timeout=LINE_SECONDS):
            if (text := match[group]) is not None:
                found = _Found(text, _cut(line, match.span(group), match.span()))
    except TimeoutError:
        shown = sentence(line, 60)
        return _Found("", f"its pattern took longer than {LINE_SECONDS:g} s on the line {shown!r}")
    return found


def _cut(line: str, group: tuple[int, int], match: tuple[int, int]) -> str:
    """Why a group is only a part of a number: 9.8 of 9.8e-05 is another number; or "".

    A comma that the pattern itself takes, outside of the group, stands between two numbers.
    """
    start, end = group
    text = line[start:end]
    if not _NUMBER.fullmatch(text):
        return ""
    whole = (_NUMBER if match[1] == end else _DECIMAL).match(line, start)
    stop = end if whole is None else whole.end()
    if line[end:stop] == ".":  # of the sentence
        stop = end
    before = _BEFORE.search(line, 0, start)
    if match[0] == start and before is None and _THREE.match(line, start):
        before = _THOUSANDS.search(line, 0, start)
    if stop <= end and (before is None or text[0] in "-+"):
        return ""
    shown = line[before.start() if before else start : max(end, stop)]
    way = (
        "([-+.,\\w]+) for the number, or a comma behind it"
        if "," in shown
        else f"{LOOSE} for the number"
    )
    return (
        f"its pattern takes only {text!r} of a number that is longer ({sentence(shown, 60)!r}); "
        f"write {way}"
    )


def _number(text: str, reading: Reading, where: str) -> float:
    try:
        return number_of(text)
    except ValueError:
        said = sentence(text or "", 60)
        raise ReadingError(f"{reading.name} is {said!r} in {where}, which is no number") from None
