"""The results actor as Ray runs it: `Results`, opened as soon as the study's disk has room for it.

An actor whose constructor fails is gone for good, and one whose constructor waits answers nobody.
So where there is no room to open the database, at the start or after a restart in mid-study, this
one lives without it: each call tries again, and raises StudyFull until it can be done.
"""

from contextlib import suppress
from pathlib import Path

from agent import Briefing
from agent.ledger import Intent, Settlement
from scheduler.correspondence import Posted
from scheduler.errors import StudyFull
from scheduler.plan import Plan
from scheduler.results import Item, Results
from scheduler.rules import events as ev
from scheduler.study.config import Config
from scheduler.study.records import Live
from workers import Progress, Trial


class ResultsActor:
    """The methods of `Results`; every one of them raises StudyFull while it can't be opened."""

    def __init__(self, path: Path, config: Config, plan: Plan) -> None:
        """Raises what `Results` raises, but for StudyFull."""
        self._given = path, config, plan
        self._results: Results | None = None
        with suppress(StudyFull):
            self._open()

    def _open(self) -> Results:
        if self._results is None:
            self._results = Results(*self._given)
        return self._results

    def begin_session(self, pid: int, host: str) -> None:
        """See Results."""
        self._open().begin_session(pid, host)

    def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        """See Results."""
        return self._open().handle(number, item)

    def mail(self) -> tuple[Posted, ...]:
        """See Results."""
        return self._open().mail()

    def trial(self, number: int) -> Trial:
        """See Results."""
        return self._open().trial(number)

    def briefing(self, request: ev.RequestProposals) -> Briefing:
        """See Results."""
        return self._open().briefing(request)

    def reserve(self, intent: Intent) -> int:
        """See Results."""
        return self._open().reserve(intent)

    def settle(self, call: int, settlement: Settlement) -> None:
        """See Results."""
        self._open().settle(call, settlement)

    def live(self) -> Live:
        """See Results."""
        return self._open().live()

    def progress(self, progress: Progress) -> None:
        """See Results. Nobody waits for an answer: while it can't be opened, it is dropped."""
        if self._results is not None:
            self._results.progress(progress)

    def close(self) -> None:
        """See Results. What was never opened has nothing to close."""
        if self._results is not None:
            self._results.close()
