"""Errors as problem documents (RFC 9457), and the headers that every answer has.

In: the application. Out: the same, which answers every error that reaches it as
`application/problem+json` and a HEAD as the GET beside it. A foreign Host header is refused by
starlette's own middleware, in plain text: whoever sends one is no client of ours.
"""

import sqlite3
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.errors import SchedulerError

HEADERS = {  # a browser makes nothing more of an answer than text, and keeps none
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
}
MEDIA_TYPE = "application/problem+json"
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem document (RFC 9457)",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["title", "status", "detail"],
                    "properties": {
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            }
        },
    }
}
"""What OpenAPI says of errors; with it FastAPI leaves out its own, which are never sent."""


class Guard:
    """Adds the headers to every answer, and lets HEAD be answered by GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. The server keeps its own scope: it leaves out the body of a HEAD."""
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_guarded)


def describe_errors(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        headers = {"Allow": "GET, HEAD"} if error.status_code == 405 else {}
        return _problem(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> Response:
        parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(parts))

    @app.exception_handler(SchedulerError)
    async def unreadable(_: Request, error: SchedulerError) -> Response:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(sqlite3.OperationalError)
    async def busy(_: Request, error: sqlite3.OperationalError) -> Response:
        # Locked, or met between the making of the file and the making of its tables.
        detail = f"the database can't be read at this moment ({error})"
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        # Starlette raises it again once this is sent, so that the traceback is printed.
        detail = f"unexpected {type(error).__name__}; the output of `run` has the traceback"
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    document = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    # An unexpected error is answered outside of Guard: hence the headers here as well.
    return JSONResponse(document, status, {**HEADERS, **(headers or {})}, MEDIA_TYPE)
