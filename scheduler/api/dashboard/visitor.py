"""Who looks at a page, what they may do, and what they ask of the study.

In: the request for a page, and the sessions of the HTTP process. Out: a Visitor. A page stays open
for hours, over a connection that the gate saw once only: what its visitor may do is asked anew
each time, so that whoever has logged out elsewhere, or whose session has ended, is out here too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui
from starlette.requests import Request

from scheduler.api.access import Access, access_of
from scheduler.api.context import Context
from scheduler.api.dashboard.snapshot import Snapshots
from scheduler.api.gate import cookie_name
from scheduler.api.tokens import Sessions
from scheduler.errors import SchedulerError
from scheduler.study.desk import PATIENCE_SECONDS
from scheduler.study.letters import STEERING, AnyLetter

LATER = "It waits in the study's mailbox until the study runs again."


@dataclass(frozen=True)
class Visitor:
    """Whoever has opened a page."""

    snapshots: Snapshots
    access: Callable[[], Access | None]  # at this moment

    @property
    def context(self) -> Context:
        """The study."""
        return self.snapshots.context

    @property
    def may_read(self) -> bool:
        """Whether the page may go on."""
        return self.access() is not None

    @property
    def may_write(self) -> bool:
        """Whether letters of theirs are taken."""
        return self.access() is Access.FULL

    @property
    def may_steer(self) -> bool:
        """Whether pause, stop and the like would do anything."""
        return self.may_write and self.context.is_running

    async def tell(self, letter: AnyLetter, done: str) -> bool:
        """Leave a letter and say what became of it; True where it was taken."""
        context = self.context
        if not self.may_write:
            ui.notify("You may only read: log in with the full token.", type="negative")
            return False
        runs = context.is_running
        if not runs and isinstance(letter, STEERING):
            ui.notify("The study does not run now.", type="warning")
            return False
        try:
            reply = await context.ask(letter, PATIENCE_SECONDS if runs else 0.0)
        except SchedulerError as error:
            ui.notify(str(error), type="negative")
            return False
        if reply is None:
            ui.notify("The study has not answered yet. " * runs + LATER * (not runs))
        elif reply.refused:
            ui.notify(f"Not done: {reply.refused}", type="negative", timeout=8000)
        else:
            ui.notify(done, type="positive")
        return reply is None or not reply.refused


@dataclass(frozen=True)
class Visitors:
    """Knows who comes."""

    snapshots: Snapshots
    sessions: Sessions

    def of(self, request: Request) -> Visitor:
        """Whoever sent the request for a page; the gate has let it pass."""
        if "authorization" in request.headers:
            shown = access_of(request)
            return Visitor(self.snapshots, lambda: shown)
        cookie = request.cookies.get(cookie_name(request), "")

        def access() -> Access | None:
            session = self.sessions.find(cookie)
            return session.access if session else None

        return Visitor(self.snapshots, access)
