"""Tells another service what happens to a study: one JSON POST for each notice.

In: one Live after the other, as the views get them. Out: POSTs to the URL of `notify.webhook`, by a
task of its own. Covered: a service that is down, refuses, stalls or answers without end delays
nothing and ends nothing; a notice is tried again a few times, and of two of a kind that wait the
newer is sent. Not covered: a notice that found nobody in the end is dropped, with one line for the
person at the terminal. The URL is as good as a password where it holds a secret: only its host is
ever shown.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from scheduler.notices import Kind, Notice, ended, notices
from scheduler.study.records import Live

WAITS = (1.0, 5.0, 30.0, 120.0)  # seconds before each further attempt: a restart takes a minute
ATTEMPT_SECONDS = 10.0  # for one attempt, whatever the other side does meanwhile
LAST_SECONDS = 10.0  # at the end of a session, for what still waits
WORTH_ANOTHER = frozenset({408, 425, 429})  # beside all from 500: it may be taken later


class Webhook:
    """The notices of one session. An async context manager: its task ends with the block."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        say: Callable[[str], None],
        waits: Sequence[float] = WAITS,
        attempt_seconds: float = ATTEMPT_SECONDS,
        last_seconds: float = LAST_SECONDS,
    ) -> None:
        """`name` is the study's; `say` tells the person at the terminal what could not be sent."""
        self._url, self._name, self._say = url, name, say
        self._waits, self._attempt_seconds = tuple(waits), attempt_seconds
        self._last_seconds = last_seconds
        self._previous: Live | None = None
        self._waiting: dict[Kind, Notice] = {}  # at most one of a kind: it can't grow
        self._fresh = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to send."""
        # At level INFO httpx logs every request with its URL.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._task = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell the end, wait a little for what is still to be sent, and end."""
        if self._previous is not None:
            self._put(ended(self._previous, self._name))
        self._closing = True
        self._fresh.set()
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=self._last_seconds)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
            self._complain("not all was sent before the end")

    def see(self, live: Live) -> None:
        """Take in the study's newest state. Returns at once."""
        for notice in notices(self._previous, live, self._name):
            self._put(notice)
        self._previous = live

    def _put(self, notice: Notice) -> None:
        self._waiting.pop(notice.kind, None)  # the newer goes behind what waits already
        self._waiting[notice.kind] = notice
        self._fresh.set()

    async def _send_all(self) -> None:
        async with httpx.AsyncClient(timeout=self._attempt_seconds) as client:
            while self._waiting or not self._closing:
                if not self._waiting:
                    self._fresh.clear()
                    await self._fresh.wait()
                    continue
                kind = next(iter(self._waiting))
                await self._send(client, self._waiting.pop(kind))

    async def _send(self, client: httpx.AsyncClient, notice: Notice) -> None:
        """Send one notice, with further attempts, unless a newer one of its kind has come."""
        why = ""
        for wait in (0.0, *self._waits):
            await asyncio.sleep(wait)
            if notice.kind in self._waiting:
                return
            why, may_help = await self._attempt(client, notice)
            if not why:
                return
            if not may_help:
                break
        self._complain(f"{notice.kind} was not taken ({why})")

    async def _attempt(self, client: httpx.AsyncClient, notice: Notice) -> tuple[str, bool]:
        """Why it was not taken ("": it was), and whether another attempt may help."""
        try:
            async with (
                asyncio.timeout(self._attempt_seconds),
                # The answer's body is left unread: it may have no end.
                client.stream("POST", self._url, json=notice.payload()) as answer,
            ):
                status = answer.status_code
        except TimeoutError:
            return "no answer in time", True
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Not its text, which may name the URL.
            return type(error).__name__, not isinstance(error, httpx.InvalidURL)
        if 200 <= status < 300:
            return "", False
        return f"status {status}", status >= 500 or status in WORTH_ANOTHER

    def _complain(self, what: str) -> None:
        self._say(f"webhook {urlsplit(self._url).hostname}: {what}")
