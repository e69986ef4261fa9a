"""GET /events: what happens, as server-sent events, for as long as one listens.

Each event of the journal is sent with its place in it as `id:`, so that a browser that reconnects,
or a script that does, continues where it was: none is left out and none comes twice. Events were
encoded once for all listeners (`follower.py`); a listener costs a cursor, and one that is slow is
waited for.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from scheduler.api.context import Context
from scheduler.api.follower import Follower
from scheduler.api.headers import HEAD
from scheduler.api.routes.answers import LARGEST_ID

BATCH = 100  # events sent at a time: about 20 kB, which is all that a slow listener holds up
SILENCE_SECONDS = 15.0  # after which a comment is sent: proxies close what is silent for a minute
BEGINNING = b"retry: 2000\n\n"  # ms until a browser that was cut off comes back
HEARTBEAT = b": still here\n\n"
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`id:` place in the journal, `event:` kind of fact, `data:` JSON of it",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def routes(context: Context) -> APIRouter:
    """The path of events."""
    router = APIRouter(tags=["events"])

    @router.get("/events", response_class=EventStream, responses=STREAM)
    async def events(
        request: Request,
        after: Annotated[
            int | None,
            Query(
                ge=0,
                le=LARGEST_ID,
                description="Place in the journal after which to begin: 0 for all of it; `event` "
                "of GET /study for what that answer does not hold yet. Default: what comes.",
            ),
        ] = None,
        last: Annotated[
            int | None,
            Header(alias="Last-Event-ID", ge=0, le=LARGEST_ID, description="Goes before `after`."),
        ] = None,
    ) -> EventStream:
        """Everything that happens, as it happens, without an end."""
        follower = context.follower
        cursor = next((each for each in (last, after) if each is not None), follower.newest)
        # What is asked for with HEAD has no body, and this one would never end.
        body = _nothing() if request.scope.get(HEAD) else frames(follower, cursor)
        return EventStream(body, headers={"X-Accel-Buffering": "no"})

    return router


async def frames(follower: Follower, cursor: int) -> AsyncIterator[bytes]:
    """The events after a place in the journal, and a sign of life where there are none."""
    yield BEGINNING
    while not follower.closing:
        page = await follower.page(cursor, BATCH)
        if page:
            yield b"".join(each.frame for each in page)
            cursor = page[-1].event.seq
            continue
        try:
            async with asyncio.timeout(SILENCE_SECONDS):  # without a task for each wait
                await follower.event_after(cursor)
        except TimeoutError:
            yield HEARTBEAT


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield
