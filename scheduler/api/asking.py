"""From a request that writes to a letter, and from its reply to an answer.

In: a letter, and the request's `Idempotency-Key` if it has one. Out: the study's reply; an answer
202 where it has not replied yet; or an HTTPException with the reason: 409 where it refused, or does
not run; 503 where it is about to; 422 where the key was used for something else. A letter's key
follows from the request's, so that a request that is repeated, at whatever time and after whatever
crash, finds the first one's reply: that is a matter of the study's database, not of memory here.
"""

import hashlib
import shlex
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from scheduler.api.context import Context
from scheduler.api.problems import described
from scheduler.api.routes.answers import Waiting
from scheduler.study.desk import PATIENCE_SECONDS
from scheduler.study.letters import (
    AnyLetter,
    Cancel,
    Instruct,
    Withdraw,
    digest,
    read_letter,
    write_letter,
)
from scheduler.study.records import Reply

MAY_WAIT = (Instruct, Withdraw)
"""What keeps its meaning until the study runs again. The rest speaks of what is there now."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="A request that is repeated with the same key is done once.",
    ),
]
RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": Waiting, "description": "Left in the study's mailbox; it has not replied yet"},
    409: described("The study refuses, or does not run"),
    413: described("The body is too large"),
}
ELSE = "the Idempotency-Key was used for another request"


async def ask(
    context: Context, request: Request, letter: AnyLetter, key: str | None
) -> Reply | JSONResponse:
    """The reply to a letter, or the answer that it has to be waited for. Raises HTTPException."""
    if key is not None:
        letter = replace(letter, key=_letter_key(request, key))
    try:
        letter = read_letter(write_letter(letter))  # as the study will
    except ValidationError as error:
        detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from error
    async with context.posting:
        reply, lies = await _look_up(context, letter) if key is not None else (None, False)
        runs = await run_in_threadpool(context.desk.is_running)
        if reply is None and not lies:
            if not runs and not isinstance(letter, MAY_WAIT):
                raise _not_running(context, letter)
            await run_in_threadpool(context.desk.post, letter)
    if reply is None:
        reply = await context.wait_for_reply(letter.key, PATIENCE_SECONDS if runs else 0.0)
    if reply is None:
        return waiting(letter, runs=await run_in_threadpool(context.desk.is_running))
    if reply.digest != digest(letter):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, ELSE)
    if reply.refused:
        raise HTTPException(HTTPStatus.CONFLICT, reply.refused)
    return reply


async def _look_up(context: Context, letter: AnyLetter) -> tuple[Reply | None, bool]:
    """The reply to an earlier letter with this key, and whether one lies in the mailbox."""
    # The mailbox first: a letter leaves it once its reply is in the database, not before.
    for each in await run_in_threadpool(context.desk.waiting):
        if each.key == letter.key:
            if digest(each) != digest(letter):
                raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, ELSE)
            return None, True
    return await context.reply(letter.key), False


def _letter_key(request: Request, key: str) -> str:
    asked = "\0".join((request.method, request.url.path, key))
    return f"http-{hashlib.sha256(asked.encode()).hexdigest()[:40]}"


def _not_running(context: Context, letter: AnyLetter) -> HTTPException:
    if context.beside_run:
        detail = "the study is starting, or has just ended; ask again in a moment"
        return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "2"})
    what = "there is nothing to cancel" if isinstance(letter, Cancel) else "it can't be told this"
    resume = f"autoresearch run {shlex.quote(context.folder.name)}"
    detail = f"the study does not run: {what}; go on with: {resume}"
    return HTTPException(HTTPStatus.CONFLICT, detail)


def waiting(letter: AnyLetter, *, runs: bool) -> JSONResponse:
    """The answer for a letter that has no reply yet."""
    later = "it is busy and takes it up soon" if runs else "it takes it up when it runs again"
    answer = Waiting(letter.key, letter.kind, f"left in the study's mailbox: {later}")
    headers = {"Location": f"/letters/{letter.key}"}
    return JSONResponse(asdict(answer), HTTPStatus.ACCEPTED, headers)


def number_of(reply: Reply) -> int:
    """The number of what the letter made, which the reply to one that makes something has."""
    if reply.number is None:
        raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "the study's reply has no number")
    return reply.number
