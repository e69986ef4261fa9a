"""An experiment's log: all of it, its end, or as it grows.

Everything here is what edited code has printed: sent as plain text, in pieces, never held whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from scheduler.api.context import Context
from scheduler.api.headers import HEAD
from scheduler.api.routes.answers import LARGEST_ID, NOT_FOUND, Id, found_experiment
from scheduler.study.reader import Reader

PIECE = 64 * 1024  # bytes
LONGEST_TAIL = 8 * 2**20  # bytes in which the last lines are looked for
ANEW_SECONDS = 0.2  # for a log that is put in place whole to be there
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
        tail: Annotated[
            int | None, Query(ge=1, le=1_000_000, description="Only the last lines.")
        ] = None,
        offset: Annotated[
            int, Query(ge=0, le=LARGEST_ID, description="Bytes to leave out: one has them already.")
        ] = 0,
        follow: Annotated[
            bool, Query(description="Go on until the experiment is decided.")
        ] = False,
    ) -> StreamingResponse:
        """What its newest trial printed."""
        kept = await context.read(lambda reader: _kept(reader, number))
        path = context.folder.experiment(number).log
        if tail is not None:
            offset = max(offset, await run_in_threadpool(tail_begins, path, tail))
        body: AsyncIterator[bytes]
        if follow and not request.scope.get(HEAD):
            body = _follow(context, number, path, offset)
        elif await run_in_threadpool(path.exists):
            body = _pieces(path, offset, await run_in_threadpool(_size, path))
        else:
            lines = kept.splitlines(keepends=True)
            text = "".join(lines if tail is None else lines[-tail:])
            body = _once(text.encode("utf-8", "replace")[offset:])
        return StreamingResponse(body, media_type="text/plain")

    return router


async def _follow(context: Context, number: int, path: Path, position: int) -> AsyncIterator[bytes]:
    """The log as it grows, until the experiment is decided or the study runs no more."""
    while not context.follower.closing:
        version = context.follower.version
        # Asked before the log is read: what was written until then is sent.
        one = await context.read(lambda reader: found_experiment(reader, number))
        ends = one.state.is_final or not context.is_running
        size = await run_in_threadpool(_size, path)
        if size < position:
            # Begun anew: by another trial, or to put the whole log in its place a moment later.
            await asyncio.sleep(ANEW_SECONDS)
            size = await run_in_threadpool(_size, path)
            position = 0 if size < position else position
        async for piece in _pieces(path, position, size):
            yield piece
        position = size
        if ends:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(context.follower.changed(version), LOOK_SECONDS)


async def _pieces(path: Path, position: int, end: int) -> AsyncIterator[bytes]:
    """The bytes between two places of a file."""
    while position < end:
        piece = await run_in_threadpool(_read, path, position, min(PIECE, end - position))
        if not piece:  # it was made anew, and shorter
            return
        yield piece
        position += len(piece)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _kept(reader: Reader, number: int) -> str:
    """The tail that the database keeps of the newest outcome; "" without one, 404 without it."""
    found_experiment(reader, number)
    outcomes = [each.outcome for each in reader.trials(number) if each.outcome is not None]
    return outcomes[-1].log if outcomes else ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, position: int, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(count)
    except FileNotFoundError:
        return b""


def tail_begins(path: Path, lines: int) -> int:
    """Where the last lines begin; at most so far before the end as a person would read."""
    end = _size(path)
    found, position = 0, end
    while position > max(0, end - LONGEST_TAIL):
        start = max(0, position - PIECE)
        piece = _read(path, start, position - start)
        # The line break at the very end belongs to the last line.
        at = len(piece) - 1 if position == end and piece.endswith(b"\n") else len(piece)
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == lines:
                return start + at + 1
        position = start
    return position
