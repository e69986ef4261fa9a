"""Errors as problem documents (RFC 9457).

In: the application. Out: the same, which answers every error that reaches it as
`application/problem+json`. What is refused before it gets there is answered with `problem` too.
"""

import sqlite3
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from scheduler.api.headers import add_headers
from scheduler.errors import NothingYet, SchedulerError

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong: `detail` is for a person."""

    title: str
    status: int
    detail: str


def described(description: str) -> dict[str, Any]:
    """What OpenAPI says of one kind of error."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: described("No token, or a wrong one"),
    403: described("A token that only reads, or another site's page"),
    422: described("Not what this path takes"),
    429: described("Too many wrong tokens: see Retry-After"),
    503: described("The database can't be read at this moment, or the study is about to start"),
    "default": described("A problem document (RFC 9457)"),
}
"""What OpenAPI says of errors; with it FastAPI leaves out its own, which are never sent."""


def describe_errors(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(StarletteHTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return problem(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> Response:
        parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(parts))

    @app.exception_handler(NothingYet)
    async def nothing(_: Request, error: NothingYet) -> Response:
        return problem(HTTPStatus.NOT_FOUND, str(error))

    @app.exception_handler(SchedulerError)
    async def unreadable(_: Request, error: SchedulerError) -> Response:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    @app.exception_handler(sqlite3.OperationalError)
    async def busy(_: Request, error: sqlite3.OperationalError) -> Response:
        # Locked, or met between the making of the file and the making of its tables.
        detail = f"the database can't be read at this moment ({error})"
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> Response:
        # Starlette raises it again once this is sent, so that the traceback is printed; the server
        # then closes the connection, of which the client is told, or its next request fails.
        detail = f"unexpected {type(error).__name__}; the output of `run` has the traceback"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, {"Connection": "close"})


def _methods(app: FastAPI, request: Request) -> set[str]:
    """The methods of a path: each of its routes knows only its own."""
    routes = [each for each in app.routes if each.matches(request.scope)[0] is not Match.NONE]
    found = {method for each in routes for method in getattr(each, "methods", None) or ()}
    return found | {"HEAD"} if "GET" in found else found


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """One problem document as an answer."""
    # A part of the input may stand in it, and what is no text there can't be sent.
    shown = detail.encode("utf-8", "replace").decode()
    document = {"title": HTTPStatus(status).phrase, "status": status, "detail": shown}
    answer = JSONResponse(document, status, headers, MEDIA_TYPE)
    add_headers(answer.headers)  # an unexpected error is answered outside of every layer of ours
    return answer
