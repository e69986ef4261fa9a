"""Tokens and browser sessions: who may read a study over HTTP, and who may change it.

In: the tokens of this process (given in the environment of the driver, or made for one run), and
what a request shows. Out: an `Access`, or None. Tokens are compared in constant time, over their
hashes. A browser can't send a token with an EventSource or a websocket, so that it gets a session
instead: an id in a cookie that no script can read, which ends with the process. A ticket is a way
to log in once by a link; it may stand in a terminal's history, because it is worth nothing after.
Nothing here is written to disk.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass

from scheduler.api.access import Access
from scheduler.errors import UsageError

FULL_VARIABLE, READ_VARIABLE = "AUTORESEARCH_TOKEN", "AUTORESEARCH_READ_TOKEN"
SHORTEST = 16  # characters of a token that a person chose: at ten guesses a minute, for ever
SESSION_SECONDS = 30 * 86400.0  # a study may run for weeks
MOST_SESSIONS = 1000  # the oldest is forgotten: its browser logs in again


@dataclass(frozen=True)
class Tokens:
    """The secrets of one process. What is empty opens nothing."""

    full: str
    read: str = ""
    ticket: str = ""  # logs a browser in once, with the full token's rights

    def access(self, shown: str) -> Access | None:
        """What this token allows. Takes as long whatever the token is."""
        is_full, is_read = _equal(shown, self.full), _equal(shown, self.read)
        return Access.FULL if is_full else Access.READ if is_read else None

    def dump(self) -> str:
        """As one line, for the pipe to the child process."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, line: str) -> "Tokens":
        """What `dump` wrote."""
        return cls(**json.loads(line))


def take_tokens(environment: MutableMapping[str, str]) -> tuple[Tokens, bool]:
    """The tokens that the environment gives, taken out of it; and whether the full one was made.

    Raises UsageError for one that could be guessed.
    """
    full, read = (environment.pop(name, "").strip() for name in (FULL_VARIABLE, READ_VARIABLE))
    for name, token in ((FULL_VARIABLE, full), (READ_VARIABLE, read)):
        if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
            raise UsageError(
                f"{name}: a token has at least {SHORTEST} ASCII characters, such as the output of: "
                'python -c "import secrets; print(secrets.token_urlsafe())"'
            )
    if full and full == read:
        raise UsageError(f"{READ_VARIABLE}: must differ from {FULL_VARIABLE}")
    return Tokens(full or secrets.token_urlsafe(32), read, secrets.token_urlsafe(24)), not full


@dataclass(frozen=True)
class Session:
    """A browser that has logged in."""

    access: Access
    csrf: str  # to be sent back in a header with everything that writes
    until: float  # Unix seconds


class Sessions:
    """The browsers that have logged in, in memory: with the process they are gone."""

    def __init__(self, ticket: str = "") -> None:
        """Nobody is logged in yet."""
        self._ticket = ticket
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # by the hash of their id

    def begin(self, access: Access) -> tuple[str, Session]:
        """Log a browser in; return the id for its cookie."""
        name = secrets.token_urlsafe(32)
        session = Session(access, secrets.token_urlsafe(32), time.time() + SESSION_SECONDS)
        self._sessions[_hash(name)] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return name, session

    def find(self, name: str) -> Session | None:
        """The session with this id, if it lasts."""
        # Found by its hash: how long that takes tells nothing of the ids that there are.
        session = self._sessions.get(_hash(name))
        return session if session is not None and time.time() < session.until else None

    def end(self, name: str) -> None:
        """Log a browser out."""
        self._sessions.pop(_hash(name), None)

    def use_ticket(self, ticket: str) -> bool:
        """Whether this is the ticket and nobody has used it."""
        if not _equal(ticket, self._ticket):
            return False
        self._ticket = ""
        return True


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _equal(shown: str, secret: str) -> bool:
    return hmac.compare_digest(_hash(shown), _hash(secret)) and bool(secret)
