"""Logging in and out: the pages for a browser, and what a script of ours needs to know.

A token becomes a session here: a cookie that no script can read. The page works without scripts,
and nothing that somebody typed is shown on it again.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from scheduler.api.access import Access, access_of
from scheduler.api.gate import Secrets, address_of, cookie_name, too_many
from scheduler.api.headers import HEAD
from scheduler.api.tokens import SESSION_SECONDS

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { width: min(24rem, 100vw - 3rem) }
h1 { font-size: 1.4rem; margin: 0 0 .5rem }
p { margin: 0 0 1rem }
label { display: block; font-weight: 600; margin-bottom: .25rem }
input, button { font: inherit; box-sizing: border-box; width: 100%; padding: .6rem .75rem;
  border: 1px solid GrayText; border-radius: .4rem }
button { margin-top: .75rem; font-weight: 600; cursor: pointer }
[role=alert] { border-left: .25rem solid #d33; padding-left: .75rem }
code { font-size: .9em }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - autoresearch</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Log in</h1>
<p>The output of <code>autoresearch run</code> has a link that logs you in once, and the token
where it was made for this run. Otherwise it is the one in <code>AUTORESEARCH_TOKEN</code>.</p>
{message}<form method="post" action="/login{query}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
</main>
</body>
</html>
"""
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
WRONG = "That is not a token of this study."
WAIT = "There were too many wrong tokens: wait a moment."
USED = "This link has been used, or is of another run. Log in with the token."


@dataclass(frozen=True)
class SessionAnswer:
    """Who asks; `csrf` is for the header X-CSRF-Token, where a cookie says who it is."""

    access: Access
    csrf: str | None


def routes(secrets: Secrets) -> APIRouter:
    """The paths of sessions."""
    router = APIRouter(tags=["session"])
    sessions = secrets.sessions

    @router.get("/session")
    async def session(request: Request) -> SessionAnswer:
        """Whether this token, or this browser, may write."""
        access = access_of(request)
        assert access is not None  # the gate lets nobody else in
        with_token = "authorization" in request.headers
        found = None if with_token else sessions.find(request.cookies.get(cookie_name(request), ""))
        return SessionAnswer(access, found.csrf if found else None)

    @router.get("/login", include_in_schema=False)
    async def login_page(request: Request, ticket: str = "", next: str = "/") -> Response:  # noqa: A002
        """The page; or, with the ticket of the driver's output, straight in."""
        if ticket and not request.scope.get(HEAD):
            if sessions.use_ticket(ticket):
                return _begin(secrets, request, Access.FULL, next)
            return _page(next, USED, HTTPStatus.UNAUTHORIZED)
        return _page(next)

    @router.post("/login", include_in_schema=False)
    async def login(request: Request, next: str = "/") -> Response:  # noqa: A002
        """What the page's form sends: a token."""
        address = address_of(request)
        if wait := secrets.throttle.wait(address):
            page = _page(next, WAIT, HTTPStatus.TOO_MANY_REQUESTS)
            page.headers["Retry-After"] = too_many(wait).headers["Retry-After"]
            return page
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        access = secrets.tokens.access(form.get("token", [""])[0].strip())
        if access is None:
            secrets.throttle.fail(address)
            return _page(next, WRONG, HTTPStatus.UNAUTHORIZED)
        return _begin(secrets, request, access, next)

    @router.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        """End the browser's session."""
        name = cookie_name(request)
        sessions.end(request.cookies.get(name, ""))
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        answer.delete_cookie(name, httponly=True, samesite="strict")
        return answer

    return router


def _begin(secrets: Secrets, request: Request, access: Access, wanted: str) -> Response:
    answer = RedirectResponse(local_path(wanted), HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        cookie_name(request),
        secrets.sessions.begin(access)[0],
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
    )
    return answer


def local_path(wanted: str) -> str:
    """Where to go after the login: a path of ours, whatever the link said."""
    starts_here = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if starts_here and wanted.isprintable() else "/"


def _page(wanted: str, message: str = "", status: int = HTTPStatus.OK) -> HTMLResponse:
    text = PAGE.format(
        style=STYLE,
        message=f'<p role="alert">{message}</p>\n' if message else "",
        query=f"?next={quote(local_path(wanted), safe='')}" if wanted != "/" else "",
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": POLICY})
