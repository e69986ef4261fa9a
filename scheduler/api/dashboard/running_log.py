"""An experiment's log, as it grows: only what is new is sent.

In: the logs of its trials, or without any the tails that the database keeps. Out: a box of text
that follows its own end, as long as whoever reads it is there. Of a long log the end is shown; the
whole is at `/experiments/NUMBER/log`.
"""

from nicegui import ui
from starlette.concurrency import run_in_threadpool

from scheduler.study.trial_logs import Following, TrialLogs

LOG_BYTES = 64 * 1024  # of a log's end
PIECES = 100  # after so many it is put together anew
FOLLOW = """
const box = getHtmlElement({0});
if (box && ({1} || box.scrollHeight - box.scrollTop - box.clientHeight < 400))
  box.scrollTop = box.scrollHeight;
"""


class RunningLog:
    """The log of one experiment on one page."""

    def __init__(self, logs: TrialLogs) -> None:
        self._logs = logs
        self._following: Following | None = None
        self._pieces = 0
        self._note = ui.label("").classes("quiet text")
        self._box = ui.element("div").classes("code")
        self._box.props('tabindex="0" role="log" aria-live="off" aria-label="What it prints"')
        self._box.set_visibility(False)

    async def update(self, *, undecided: bool, kept_tail: str) -> None:
        """Show what is new; `kept_tail`: what the database has."""
        text = await run_in_threadpool(self._news)
        anew = self._following is not None and self._following.begun_anew
        if anew or (text and self._pieces >= PIECES):
            self._box.clear()
            self._pieces, self._following = 0, None
            text = await run_in_threadpool(self._news)
        if not text and not self._pieces:
            text = kept_tail
        if text:
            first = not self._pieces
            with self._box:
                piece = ui.label(text)
                piece.tag = "span"
            self._pieces += 1
            self._box.set_visibility(True)
            if undecided:
                ui.run_javascript(FOLLOW.format(self._box.id, str(first).lower()))
        waiting = "Nothing yet." if undecided else "Nothing was kept."
        self._note.set_text(waiting)
        self._note.set_visibility(not self._pieces)

    def _news(self) -> str:
        """What was added; at first the end of what there is."""
        skipped = 0
        if self._following is None:
            skipped = max(0, self._logs.size() - LOG_BYTES)
            self._following = Following(self._logs, skipped)
        data = b"".join(self._following.news())
        skipped += max(0, len(data) - LOG_BYTES)
        text = data[-LOG_BYTES:].decode("utf-8", "replace")
        return f"… {skipped:,} bytes are left out …\n{text}" if skipped else text
