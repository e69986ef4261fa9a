"""What whoever sends a request may do, as the gate has found it."""

from enum import StrEnum

from starlette.requests import HTTPConnection
from starlette.types import Scope

KEY = "autoresearch.access"  # in an ASGI scope


class Access(StrEnum):
    """How far a token reaches."""

    READ = "read"
    FULL = "full"  # reads and writes


def access_of(connection: HTTPConnection) -> Access | None:
    """What the sender of a request, or of a websocket, may do; None: nothing but log in."""
    found = connection.scope.get(KEY)
    return found if isinstance(found, Access) else None


def grant(scope: Scope, access: Access | None) -> None:
    """Leave in a request's scope what its sender may do."""
    scope[KEY] = access
