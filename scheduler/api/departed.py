"""A visitor who leaves in the middle of an answer is no error.

The dashboard's library complains, with a traceback on the terminal of `run`, where a browser breaks
off a request because somebody clicked on. Around it: what is raised once the other side has gone is
dropped; everything else is raised as before.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOBODY = "No response returned."  # starlette, where a request was left before it was answered


class Departed:
    """The layer around the pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        gone = False

        async def receive_and_see() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await self._app(scope, receive_and_see, send)
        except RuntimeError as error:
            if not (gone and str(error) == NOBODY):
                raise
