"""An experiment's log, as it grows: only what is new is sent.

In: the log's file, or without one the tail that the database keeps. Out: a box of text that follows
its own end, as long as whoever reads it is there. Of a long log the end is shown; the whole is at
`/experiments/NUMBER/log`.
"""

from pathlib import Path

from nicegui import ui
from starlette.concurrency import run_in_threadpool

LOG_BYTES = 64 * 1024  # of a log's end
PIECES = 100  # after so many it is put together anew
FOLLOW = """
const box = getHtmlElement({0});
if (box && ({1} || box.scrollHeight - box.scrollTop - box.clientHeight < 400))
  box.scrollTop = box.scrollHeight;
"""


class RunningLog:
    """The log of one experiment on one page."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0  # bytes of the file that are shown
        self._pieces = 0
        self._note = ui.label("").classes("quiet text")
        self._box = ui.element("div").classes("code")
        self._box.props('tabindex="0" role="log" aria-live="off" aria-label="What it prints"')
        self._box.set_visibility(False)

    async def update(self, *, undecided: bool, kept_tail: str) -> None:
        """Show what is new; `kept_tail`: what the database has."""
        try:
            size, text = await run_in_threadpool(_read, self._path, self._seen)
        except OSError:
            size, text = self._seen, "" if self._pieces else kept_tail
        # Begun anew: another trial, or the final log in place of the one that was followed.
        if size < self._seen:
            self._seen = 0
            self._box.clear()
            self._pieces = 0
            size, text = await run_in_threadpool(_read, self._path, 0)
        if text:
            if self._pieces >= PIECES:
                self._box.clear()
                self._pieces = 0
                size, text = await run_in_threadpool(_read, self._path, 0)
            first = not self._pieces
            with self._box:
                piece = ui.label(text)
                piece.tag = "span"
            self._pieces += 1
            self._seen = size
            self._box.set_visibility(True)
            if undecided:
                ui.run_javascript(FOLLOW.format(self._box.id, str(first).lower()))
        waiting = "Nothing yet." if undecided else "Nothing was kept."
        self._note.set_text(waiting)
        self._note.set_visibility(not self._pieces)


def _read(path: Path, seen: int) -> tuple[int, str]:
    """Size of the file, and what it holds after `seen` bytes; at most its end. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(seen, size - LOG_BYTES)
        file.seek(start)
        text = file.read(LOG_BYTES).decode("utf-8", "replace")
    skipped = start - seen
    return size, f"… {skipped:,} bytes are left out …\n{text}" if skipped else text
