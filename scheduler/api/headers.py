"""The headers that every answer has, whoever made it, and HEAD as the GET beside it.

In: the application. Out: the same. What an answer has set itself stays: the pages say which of
their own scripts and styles may run. Everything else is data, of which a browser makes nothing.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.command import SELF_REPORTED

HEAD = "autoresearch.head"  # in a scope: the request is a HEAD, and a body would go nowhere
SOURCE = "Metric-Source"
"""Who says what the metrics in an answer are, where that is no referee."""
COMMON = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with it browsers send `Origin: null` along with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For data: JSON, text, patches, events."""

PAGES = (
    # The dashboard's library makes its pages of inline scripts and compiles templates (eval);
    # what keeps other people's text harmless there is that it is only ever shown as text.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""For pages: nothing that they load, and nobody whom they tell, is elsewhere."""


class Headers:
    """Adds what an answer lacks."""

    def __init__(self, app: ASGIApp, *, self_reported: bool = False) -> None:
        self._app = app
        self._more = {SOURCE: SELF_REPORTED} if self_reported else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. The server keeps its own scope: it leaves out the body of a HEAD."""
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET", HEAD: True}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                add_headers(headers)
                headers.update(self._more)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def add_headers(headers: MutableHeaders) -> None:
    """Add what is missing."""
    for name, value in COMMON.items():
        headers.setdefault(name, value)
    is_page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGES if is_page else NOTHING)
