"""The gate: whoever wants anything of this process passes it, mounted pages and websockets too.

In: a request, or a websocket that is about to open. Out: the same with what its sender may do
(`access.py`), or a refusal. Asked for, in this order:

    a name of ours in the Host header     else 400: a rebound name
    a token, or the cookie of a session   else 401; a browser that wants a page goes to the login
    patience after wrong tokens           else 429, with Retry-After
    the full token, to change anything    else 403
    for a cookie, that it is our own page that asks: its Origin, and for everything that changes
    the study the session's token in the header X-CSRF-Token         else 403

Only the health check and the login are open. A bearer token needs no proof of origin: no page of
another site has it to send. What passes is answered by others; nothing here reads the study.
"""

import hmac
import math
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.api.access import Access, grant
from scheduler.api.hosts import Hosts
from scheduler.api.problems import problem
from scheduler.api.throttle import Throttle
from scheduler.api.tokens import Session, Sessions, Tokens

OPEN = frozenset({"/healthz", "/login"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TRANSPORT = "/_nicegui_ws/"
"""How the dashboard's pages talk to their own process where websockets are blocked: a POST there
is no write, and what may be written is looked at again by the page."""

CSRF_HEADER = "X-CSRF-Token"
WITHOUT_CSRF_TOKEN = ("/logout", TRANSPORT)  # for these the Origin is proof enough


@dataclass(frozen=True)
class Secrets:
    """What the gate and the login look into."""

    tokens: Tokens
    sessions: Sessions
    throttle: Throttle
    hosts: Hosts


class Gate:
    """Lets in or refuses."""

    def __init__(self, app: ASGIApp, secrets: Secrets) -> None:
        self._app = app
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._pass(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # becomes a 403

    def _pass(self, asked: HTTPConnection) -> Response | None:
        """Grant what the sender may do, or return the refusal."""
        secrets, path = self._secrets, asked.scope["path"]
        if not secrets.hosts.allow(asked.headers.get("host", "")):
            return problem(HTTPStatus.BAD_REQUEST, "this process has no such name (Host)")
        speaks = _changes(asked) or asked.scope["type"] == "websocket"
        # The library answers its transport's GET to every origin, by its own CORS headers.
        if (speaks or path.startswith(TRANSPORT)) and is_foreign(asked):
            return problem(HTTPStatus.FORBIDDEN, "asked for by a page of another origin")
        session = secrets.sessions.find(asked.cookies.get(cookie_name(asked), ""))
        access = session.access if session else None
        if (shown := asked.headers.get("authorization")) is not None and path not in OPEN:
            found, session = self._check(shown, address_of(asked)), None
            if isinstance(found, Response):
                return found
            access = found
        grant(asked.scope, access)
        return None if path in OPEN else _admit(asked, access, session)

    def _check(self, shown: str, address: str) -> Access | Response:
        """What an Authorization header is worth."""
        throttle = self._secrets.throttle
        if wait := throttle.wait(address):
            return too_many(wait)
        scheme, _, token = shown.partition(" ")
        access = self._secrets.tokens.access(token.strip()) if scheme.lower() == "bearer" else None
        if access is None:
            throttle.fail(address)
            return unauthorized("not a token of this study")
        return access


def _admit(
    asked: HTTPConnection, access: Access | None, session: Session | None
) -> Response | None:
    """Whether what may be done is enough; `session`: it came with a cookie."""
    changes, path = _changes(asked), asked.scope["path"]
    if access is None:
        return _unknown(asked)
    if changes and access is not Access.FULL and not path.startswith(WITHOUT_CSRF_TOKEN):
        return problem(HTTPStatus.FORBIDDEN, "this token only reads; writing needs the other")
    if session is None or not (changes or asked.scope["type"] == "websocket"):
        return None
    if not (asked.headers.get("origin") or asked.headers.get("sec-fetch-site")):
        return problem(HTTPStatus.FORBIDDEN, "a cookie alone does not say which page asks")
    if changes and not path.startswith(WITHOUT_CSRF_TOKEN):
        shown = asked.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(shown.encode(), session.csrf.encode()):
            detail = f"with a cookie, writing needs the header {CSRF_HEADER}: see GET /session"
            return problem(HTTPStatus.FORBIDDEN, detail)
    return None


def _changes(asked: HTTPConnection) -> bool:
    return asked.scope.get("method", "GET") not in SAFE


def is_foreign(asked: HTTPConnection) -> bool:
    """Whether a browser says that a page of another origin asks. Silence says nothing.

    Another port is another origin: on a shared machine it may be another person's.
    """
    site = asked.headers.get("sec-fetch-site", "same-origin")
    origin = asked.headers.get("origin")
    host = asked.headers.get("host", "")
    own = {f"http://{host}", f"https://{host}"}
    return site not in ("same-origin", "none") or (origin is not None and origin not in own)


def cookie_name(asked: HTTPConnection) -> str:
    """The session's cookie. With the port as the browser knows it: cookies don't tell ports apart,
    and on one machine several studies are watched."""
    port = asked.headers.get("host", "").rpartition(":")[2]
    return f"autoresearch-{port}" if port.isdigit() else "autoresearch"


def address_of(asked: HTTPConnection) -> str:
    """Who asks, for counting. Headers of proxies are not believed: anyone may send them."""
    return asked.client.host if asked.client else ""


def unauthorized(detail: str) -> Response:
    """The answer to a token that is none, or is missing."""
    return problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def too_many(wait: float) -> Response:
    """The answer to a token that comes too soon after wrong ones."""
    headers = {"Retry-After": str(math.ceil(wait))}
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens: wait", headers)


def _unknown(asked: HTTPConnection) -> Response:
    scope = asked.scope
    wants_page = "text/html" in asked.headers.get("accept", "")
    if scope["type"] == "http" and scope["method"] == "GET" and wants_page:
        wanted = scope["path"] + (
            f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        )
        return RedirectResponse(f"/login?next={quote(wanted, safe='/')}", HTTPStatus.SEE_OTHER)
    return unauthorized("needs the study's token: Authorization: Bearer TOKEN, or log in at /login")
