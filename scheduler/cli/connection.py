"""A connection to a study's server, and the sentence for everything that can be wrong with it.

In: a URL and a token. Out: answers, read into records. Whatever comes back that is no answer of a
study's server of this version is a StudyError or UsageError with one line for a person; problem
documents (RFC 9457) are shown by their detail. The token is in no text.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from scheduler.errors import SchedulerError, StudyError, UsageError
from workers.log import sentence

T = TypeVar("T")
Values = Mapping[str, str | int | float | bool | list[str]]

ANSWER_SECONDS = 20.0  # a server waits five for the study itself
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST_DETAIL = 500  # characters
BAD_INPUT = frozenset({413, 422})
OPEN_IN_THE_CLEAR = "warning: the token goes to {} unencrypted; https or an ssh tunnel hides it"


class Connection:
    """One server. Every call raises StudyError or UsageError where it can't be answered."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = tidy(url)
        parts = urlsplit(self.url)
        is_local = parts.hostname in LOOPBACK
        if token and parts.scheme == "http" and not is_local:
            print(OPEN_IN_THE_CLEAR.format(parts.hostname), file=sys.stderr)  # noqa: T201
        self._has_token = bool(token)
        try:
            self._client = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=ANSWER_SECONDS,
                trust_env=not is_local,  # what is on this machine is behind no proxy
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            # Of ours only the token can be no header.
            raise UsageError("the token holds characters that no token has") from error

    def close(self) -> None:
        """Let go of it."""
        self._client.close()

    def get(self, path: str, kind: type[T], /, **values: str | int | list[str]) -> T:
        """Read something. Raises Missing where the server knows no such thing."""
        return self.read(self.send("GET", path, values=values), kind)

    def send(
        self,
        method: str,
        path: str,
        *,
        values: Values | None = None,
        body: object = None,
        key: str | None = None,
        also: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """Any request; errors are raised, but those whose status is in `also`."""
        headers = {"Idempotency-Key": key} if key else {}
        with self._told():
            answer = self._client.request(
                method, path, params=values or None, json=body, headers=headers
            )
        if not answer.is_success and answer.status_code not in also:
            raise self._error(answer)
        return answer

    @contextmanager
    def stream(self, path: str, values: Values) -> Iterator[Iterator[str]]:
        """The text of an answer as it comes, however long it is silent."""
        endless = httpx.Timeout(ANSWER_SECONDS, read=None)
        with (
            self._told(),
            self._client.stream("GET", path, params=values, timeout=endless) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise self._error(answer)
            yield answer.iter_text()

    def read(self, answer: httpx.Response, kind: type[T]) -> T:
        """An answer as a record. Raises StudyError where it is none of this version."""
        try:
            return TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            if not _is_json(answer):
                raise StudyError(self._stranger()) from error
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise StudyError(
                f"{self.url}: the server is of another version than this command "
                f"({answer.request.url.path}: {where or 'the answer'} is not what is expected)"
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong on the way, in words."""
        try:
            yield
        except httpx.ConnectError as error:
            raise StudyError(self._unreachable(error)) from error
        except httpx.TimeoutException as error:
            raise StudyError(
                f"{self.url}: no answer within {ANSWER_SECONDS:.0f} s; the machine or the way "
                "to it is down, or busy"
            ) from error
        except httpx.UnsupportedProtocol as error:
            raise UsageError(f"{self.url}: must begin with http:// or https://") from error
        except httpx.RemoteProtocolError as error:
            raise StudyError(
                f"{self.url}: the line was cut, or no study is served there"
            ) from error
        except httpx.HTTPError as error:
            raise StudyError(
                f"{self.url}: {sentence(str(error) or type(error).__name__)}"
            ) from error

    def _unreachable(self, error: httpx.ConnectError) -> str:
        words = sentence(str(error))
        if "certificate" in words.lower() or "ssl" in words.lower():
            return f"{self.url}: no safe connection ({words})"
        return (
            f"{self.url}: nothing answers there ({words}). The study's run has ended, or the "
            "tunnel (ssh -L); a study that does not run is served by: autoresearch serve"
        )

    def _stranger(self) -> str:
        return f"{self.url}: something answers there, but it is no study's server"

    def _error(self, answer: httpx.Response) -> SchedulerError:
        """What an answer that is no success means."""
        detail = problem_detail(answer)
        status = answer.status_code
        if detail is None:
            return StudyError(f"{self._stranger()} (status {status})")
        if status == 401 and not self._has_token:
            return UsageError(
                f"{self.url}: needs the study's token: in AUTORESEARCH_TOKEN, or --token-file FILE"
            )
        if status == 401:
            return UsageError(
                f"{self.url}: this is not the study's token (a run may have a new one)"
            )
        if status == 404:
            return Missing(detail)
        if status == 429:
            wait = answer.headers.get("Retry-After", "")
            return StudyError(f"{self.url}: {detail}{f' {wait} s' if wait.isdigit() else ''}")
        return UsageError(detail) if status in BAD_INPUT else StudyError(detail)


class Missing(UsageError):  # noqa: N818 - an answer, not a fault
    """The server knows no such thing."""


def problem_detail(answer: httpx.Response) -> str | None:
    """What a problem document says, as a safe line; None where the answer is none."""
    if "application/problem+json" not in answer.headers.get("content-type", ""):
        return None
    try:
        document: Any = json.loads(answer.content)
    except ValueError:
        return None
    detail = document.get("detail") if isinstance(document, dict) else None
    return sentence(detail, LONGEST_DETAIL) if isinstance(detail, str) else None


def _is_json(answer: httpx.Response) -> bool:
    return "json" in answer.headers.get("content-type", "")


def tidy(url: str) -> str:
    """What a person gave as the server's URL, as it is asked. Raises UsageError.

    `run` prints a link to the login; that will do too.
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise UsageError(
            f"--url: not a URL ({error}); it looks like http://127.0.0.1:8700"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url {sentence(url)}: must look like http://127.0.0.1:8700")
    if parts.username or parts.password:
        raise UsageError("--url: holds a name or password, which others can see; use a token")
    path = parts.path.removesuffix("/").removesuffix("/login")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
