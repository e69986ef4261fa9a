"""An experiment's log: all of it, its end, or as it grows.

Everything here is what edited code has printed: sent as plain text, in pieces, never held whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from scheduler.api.context import Context
from scheduler.api.headers import HEAD
from scheduler.api.routes.answers import LARGEST_ID, NOT_FOUND, Id, found_experiment
from scheduler.study.reader import Reader
from scheduler.study.trial_logs import PIECE, Following, TrialLogs, kept_tails

LONGEST_TAIL = 8 * 2**20  # bytes in which the last lines are looked for
LOOK_SECONDS = 1.0  # at most between two looks at a log that grows
LOG: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The log"},
}


def routes(context: Context) -> APIRouter:
    """The path of an experiment's log."""
    router = APIRouter(tags=["experiments"])

    @router.get("/experiments/{number}/log", response_class=PlainTextResponse, responses=LOG)
    async def log(
        request: Request,
        number: Id,
        *,
        tail: Annotated[
            int | None, Query(ge=1, le=1_000_000, description="Only the last lines.")
        ] = None,
        offset: Annotated[
            int, Query(ge=0, le=LARGEST_ID, description="Bytes to leave out: one has them already.")
        ] = 0,
        follow: Annotated[
            bool, Query(description="Go on until the experiment is decided.")
        ] = False,
        trial: Annotated[
            int | None, Query(ge=0, le=LARGEST_ID, description="Only this trial's.")
        ] = None,
    ) -> StreamingResponse:
        """What its trials printed, one after the other."""
        kept = await context.read(lambda reader: _kept(reader, number, trial))
        logs = TrialLogs(context.folder.experiment(number), trial)
        if tail is not None:
            offset = max(offset, await run_in_threadpool(tail_begins, logs, tail))
        body: AsyncIterator[bytes]
        if follow and not request.scope.get(HEAD):
            body = _follow(context, number, logs, offset)
        elif await run_in_threadpool(logs.paths):
            body = _pieces(logs, offset, await run_in_threadpool(logs.size))
        else:
            lines = kept.splitlines(keepends=True)
            text = "".join(lines if tail is None else lines[-tail:])
            body = _once(text.encode("utf-8", "replace")[offset:])
        return StreamingResponse(body, media_type="text/plain")

    return router


async def _follow(
    context: Context, number: int, logs: TrialLogs, position: int
) -> AsyncIterator[bytes]:
    """The logs as they grow, until the experiment is decided or the study runs no more."""
    following = await run_in_threadpool(Following, logs, position)
    while not context.follower.closing:
        version = context.follower.version
        # Asked before the logs are read: what was written until then is sent.
        one = await context.read(lambda reader: found_experiment(reader, number))
        ends = one.state.is_final or not context.is_running
        async for piece in iterate_in_threadpool(following.news()):
            yield piece
        if ends:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(context.follower.changed(version), LOOK_SECONDS)


async def _pieces(logs: TrialLogs, position: int, end: int) -> AsyncIterator[bytes]:
    """The bytes between two places."""
    while position < end:
        piece = await run_in_threadpool(logs.read, position, min(PIECE, end - position))
        if not piece:  # it was made anew, and shorter
            return
        yield piece
        position += len(piece)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _kept(reader: Reader, number: int, trial: int | None) -> str:
    """The tails that the database keeps; "" without any, 404 without the experiment."""
    found_experiment(reader, number)
    return kept_tails(reader.trials(number), trial)


def tail_begins(logs: TrialLogs, lines: int) -> int:
    """Where the last lines begin; at most so far before the end as a person would read."""
    end = logs.size()
    found, position = 0, end
    while position > max(0, end - LONGEST_TAIL):
        start = max(0, position - PIECE)
        piece = logs.read(start, position - start)
        # The line break at the very end belongs to the last line.
        at = len(piece) - 1 if position == end and piece.endswith(b"\n") else len(piece)
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == lines:
                return start + at + 1
        position = start
    return position
