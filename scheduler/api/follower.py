"""Follows a study for everyone who watches it: one task a process, however many watch.

In: a study's folder. Out: the newest state of its run, the loss curves of its running trials, the
newest events of its journal, and a version that counts up whenever any of these changes. Whoever
watches holds a cursor and nothing else; one who falls behind the newest thousand events reads the
rest from the database, page by page. So nothing here grows with the number of watchers, nor with
how slow they are. Files and the database are read in a thread, never on the loop.
"""

import asyncio
import json
import sqlite3
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from scheduler.errors import SchedulerError
from scheduler.study.folder import StudyFolder
from scheduler.study.live import FRESH_SECONDS, read_live
from scheduler.study.reader import Reader
from scheduler.study.records import JournalEvent, Live

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EVENTS_SECONDS = 0.25  # between two looks at the journal
LIVE_LOOKS = 4  # looks at the journal for one at live.json, which is written once a second
RING = 1000  # newest events that are kept encoded
CURVE = 200  # points of a loss curve: more than a screen's width tells apart
SETTLED_NS = 1_000_000_000  # an older change of a file has its own time; a newer may share it


@dataclass(frozen=True)
class Followed:
    """An event of the journal, and the same as a server-sent event."""

    event: JournalEvent
    frame: bytes


class Follower:
    """Watches one study. `start` and `stop` belong to the application's start and end."""

    def __init__(self, folder: StudyFolder) -> None:
        """Nothing is read before `start`."""
        self.live: Live | None = None  # None: the study doesn't run, as far as one can see
        self.newest = 0  # place of the newest event in the journal
        self.version = 0  # counts up with every change of any of this
        self.closing = False  # the application ends: whoever waits should leave
        self._folder = folder
        self._ring: deque[Followed] = deque(maxlen=RING)
        self._curves: dict[int, list[tuple[int, float]]] = {}
        self._news = asyncio.Event()
        self._new_events = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "follower")
        self._task: asyncio.Task[None] | None = None
        self._seen: tuple[int, ...] = ()  # sizes and times of the database's files, when read
        self._seen_live: tuple[int, ...] = ()

    @property
    def curves(self) -> Mapping[int, Sequence[tuple[int, float]]]:
        """Trial -> its loss so far, as (step, loss), at most `CURVE` points; running trials only.

        Gathered since this process began to follow: what happened before is not there.
        """
        return self._curves

    async def start(self) -> None:
        """Look once, then go on looking."""
        await self._look(live=True)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Look no more; everyone who waits is woken, and sees `closing`."""
        self.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown()

    def close(self) -> None:
        """Send everyone away who waits: the process is about to end."""
        self.closing = True
        self._tell()
        self._tell_of_events()

    async def changed(self, seen: int) -> int:
        """Wait until something is newer than the version `seen`; return the version of now.

        Returns at once where that is so already, and when the application ends.
        """
        while self.version <= seen and not self.closing:
            await self._news.wait()
        return self.version

    async def event_after(self, cursor: int) -> None:
        """Wait until there is an event after this place in the journal, or the application ends."""
        while self.newest <= cursor and not self.closing:
            await self._new_events.wait()

    async def page(self, after: int, limit: int = RING) -> Sequence[Followed]:
        """The next events after a place in the journal, in their order, without a gap."""
        if after >= self.newest:
            return ()
        if self._ring and after >= self._ring[0].event.seq - 1:
            start = bisect_right(self._ring, after, key=lambda each: each.event.seq)
            return tuple(islice(self._ring, start, start + limit))
        return await self._in_thread(self._read_events, after, limit)

    # ---- inside -----------------------------------------------------------------------------

    async def _follow(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(EVENTS_SECONDS)
            looks += 1
            await self._look(live=looks % LIVE_LOOKS == 0)

    async def _look(self, *, live: bool) -> None:
        """Take in what is new."""
        new: list[Followed] = []
        with suppress(SchedulerError, sqlite3.Error):  # half made, or locked for long: look again
            new = await self._in_thread(self._read_new)
        if new:
            if new[0].event.seq <= self.newest:  # another study lies here now
                self._ring.clear()
            self._ring.extend(new)
            self.newest = new[-1].event.seq
            self._tell_of_events()
        changed = bool(new)
        if live:
            changed = await self._look_at_live() or changed
        if changed:
            self._tell()

    async def _look_at_live(self) -> bool:
        signature = _signature((self._folder.live, self._folder.inbox))
        if signature == self._seen_live:
            if self.live is None or time.time() - self.live.at < FRESH_SECONDS:
                return False
            self.live = None  # it has been silent for too long
            self._curves = {}
            return True
        self._seen_live = signature
        self.live = await self._in_thread(read_live, self._folder.live)
        self._curves = extend_curves(self._curves, self.live)
        return True

    def _tell(self) -> None:
        self.version += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _tell_of_events(self) -> None:
        news, self._new_events = self._new_events, asyncio.Event()
        news.set()

    async def _in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _read_new(self) -> list[Followed]:
        """Events since the newest; after a long absence only as many as are kept."""
        database = self._folder.database
        signature = _signature((database, database.with_name(f"{database.name}-wal")))
        settled = all(time.time_ns() - each > SETTLED_NS for each in signature[::2])
        if not signature or (signature == self._seen and settled):
            return []
        with Reader(database) as reader:
            newest = reader.newest_event()
            after = min(self.newest, newest) if newest >= self.newest else 0
            found = reader.events(after=max(after, newest - RING), limit=RING)
        self._seen = signature
        return [Followed(event, encode(event)) for event in found]

    def _read_events(self, after: int, limit: int) -> list[Followed]:
        with Reader(self._folder.database) as reader:
            return [
                Followed(event, encode(event)) for event in reader.events(after=after, limit=limit)
            ]


def encode(event: JournalEvent) -> bytes:
    """An event of the journal as a server-sent event."""
    data = json.dumps({"seq": event.seq, "at": event.at, "fact": event.fact, "data": event.data})
    return f"id: {event.seq}\nevent: {event.fact}\ndata: {data}\n\n".encode()


def extend_curves(
    curves: Mapping[int, list[tuple[int, float]]], live: Live | None
) -> dict[int, list[tuple[int, float]]]:
    """The curves with the newest points; those of trials that have ended are dropped."""
    extended = {}
    for slot in live.slots if live else ():
        if slot.trial is None:
            continue
        curve = curves.get(slot.trial, [])
        if slot.loss is not None and (not curve or slot.step > curve[-1][0]):
            curve = [*curve, (slot.step, slot.loss)]
            if len(curve) > CURVE:
                curve = [*curve[:-1:2], curve[-1]]
        extended[slot.trial] = curve
    return extended


def _signature(paths: Sequence[Path]) -> tuple[int, ...]:
    """Times and sizes of the files that are there: equal as long as nothing is written."""
    found: list[int] = []
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found += (status.st_mtime_ns, status.st_size)
    return tuple(found)
