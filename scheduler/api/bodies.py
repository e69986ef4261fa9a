"""The most that a request may send: counted while it arrives, whatever it announces.

In: the application. Out: the same, which answers 413 to a body that is too large, and never holds
more of one than the limit.
"""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.api.problems import problem

LARGEST_BODY = 2**20  # bytes: an edit of a training script is a tenth of it
TOO_LARGE = f"a request may have {LARGEST_BODY} bytes at most"


class _TooLargeError(HTTPException):
    """The body has passed the limit.

    FastAPI takes every other error while it reads a body for an error in the body.
    """

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)


class BodyLimit:
    """Refuses bodies above the limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > LARGEST_BODY:
            await _refuse(scope, receive, send)
            return
        received, started = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise _TooLargeError
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noted)
        except _TooLargeError:
            if not started:
                await _refuse(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    # The rest of the body is not read: the connection can't be used again.
    answer = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, {"Connection": "close"})
    await answer(scope, receive, send)
