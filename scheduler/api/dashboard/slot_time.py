"""Where the slots' time went: shares since the study began, and the newest trials slot by slot.

In: a Snapshot: sums that are kept, and a timeline of the newest trials, read once for each change
of the study for all who look. Out: two pictures, redrawn where they have changed.
"""

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.gantt import MOST_ROWS, bar, gantt
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.study.timeline import Timeline


class SlotTime:
    """The panel's content on one page."""

    def __init__(self) -> None:
        self._bar = ui.html("", sanitize=False).classes("w-full")
        self._summary = ui.label("There was no slot yet.").classes("quiet text")
        self._gantt = ui.html("", sanitize=False).classes("w-full")
        self._drawn: Timeline | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Bring it up to date."""
        study, newest = snapshot.study, snapshot.newest_time
        shares = bar(study.slot_time.at(snapshot.at if snapshot.runs else None))
        if shares != self._bar.content:
            self._bar.set_content(shares)
        if newest is None or newest is self._drawn or not newest.lines:
            return
        self._drawn = newest
        self._summary.set_text(_summary(newest))
        self._gantt.set_content(gantt(newest))


def _summary(newest: Timeline) -> str:
    hour = "GPU-hour" if newest.gpus else "slot-hour"
    since = "since the beginning" if newest.complete else "of the newest trials"
    slots = len(newest.lines)
    rest = f"; {slots - MOST_ROWS:,} more slots are not shown" if slots > MOST_ROWS else ""
    return (
        f"{words.duration(newest.until - newest.since)} {since}: "
        f"{newest.per_slot_hour(newest.trained):.2f} trials trained per {hour}, "
        f"slots 0 to {newest.lines[min(slots, MOST_ROWS) - 1].slot} from top to bottom{rest}"
    )
