"""What a candidate prints, kept in bounded memory and made safe to show.

In: the bytes of its standard output and error, as they come, at any rate. Out: the first and the
last 64 KiB as clean text, and the newest lines for progress reports. It reads no pipe itself and
writes no file.
"""

import re

HEAD_BYTES = 64 * 1024  # imports, configuration, the first warnings
TAIL_BYTES = 64 * 1024  # the traceback, if there is one
NEWS_BYTES = 4 * 1024  # per progress report: 100 slots at one report a second are 0.4 MB/s

# ECMA-48: control sequences (colours, cursor), operating system commands (titles, links), others.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
)
# C0 except tab and line feed, DEL, C1, and the marks that reorder text on the screen.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TRACEBACK = "Traceback (most recent call last):"
_DUMPED_LINE = re.compile(r'^  File "(?:[^"]*/)?train\.py", line (\d+) in ', re.MULTILINE)
_DUMP = "(most recent call first):"
_TRAIN_LINE = re.compile(r'  File "(?:[^"]*/)?train\.py", line (\d+)')


def clean(text: str) -> str:
    """The text as a terminal would show it in the end, without escapes and control characters.

    What a lone carriage return would overwrite (a progress bar) is left out.
    """
    text = _ESCAPE.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text)


def sentence(text: str, limit: int = 500) -> str:
    """Untrusted text as one clean line of at most `limit` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def last_error(log: str) -> str:
    """The exception of the last Python traceback in a cleaned log, and where in train.py; or "".

    Such as "ValueError: no (train.py, line 12: f(x))": what an agent needs first to mend it.
    """
    start = log.rfind(_TRACEBACK)
    if start < 0:
        return ""
    place = said = ""
    lines = log[start:].splitlines()[1:]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if found := _TRAIN_LINE.match(line):
            text = following.strip() if following.startswith("    ") else ""
            place = f" (train.py, line {found[1]}{': ' if text else ''}{sentence(text, 120)})"
        elif line and not line.startswith(" "):
            said = line
            break
    return sentence(said) + place if said else ""


def last_seen(log: str) -> int | None:
    """The line of train.py at which faulthandler last saw it, in a cleaned log; or None.

    A dump names every thread, those that run no line of train.py too.
    """
    dump = log.rfind("Fatal Python error: ")
    found = _DUMPED_LINE.search(log, max(0, dump)) if _DUMP in log else None
    return int(found[1]) if found else None


class BoundedLog:
    """The first `HEAD_BYTES` and the last `TAIL_BYTES` of a stream."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._news = bytearray()
        self._total = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream; costs one copy of them."""
        self._total += len(data)
        room = HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Trimmed at twice the size only, so that small writes do not move 64 KiB each.
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        self._news += data[-NEWS_BYTES:]
        if len(self._news) > 2 * NEWS_BYTES:
            del self._news[:-NEWS_BYTES]

    @property
    def total(self) -> int:
        """Bytes that came so far."""
        return self._total

    def text(self) -> str:
        """The whole log, with a line that says how many bytes were left out, if any were."""
        tail = bytes(self._tail[-TAIL_BYTES:])
        left_out = self._total - len(self._head) - len(tail)
        if not left_out:
            return clean((bytes(self._head) + tail).decode("utf-8", "replace"))
        return (
            clean(self._head.decode("utf-8", "replace"))
            + f"\n[... {left_out} bytes left out ...]\n"
            + clean(tail.decode("utf-8", "replace"))
        )

    def tail(self, lines: int) -> str:
        """The last `lines` lines of the log."""
        return "\n".join(self.text().splitlines()[-lines:]) if lines > 0 else ""

    def news(self) -> str:
        """What was printed since the last call: whole lines, the newest `NEWS_BYTES` of them.

        A line without an end waits for it, so that no character or escape is cut in two, unless
        it alone fills the bound.
        """
        end = self._news.rfind(b"\n") + 1
        if not end and len(self._news) >= NEWS_BYTES:
            end = len(self._news)
        fresh = bytes(self._news[:end])[-NEWS_BYTES:]
        del self._news[:end]
        return clean(fresh.decode("utf-8", "replace"))
