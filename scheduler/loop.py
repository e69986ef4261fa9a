"""The loop of a study: the driver. Asynchronous, without waves.

It decides nothing. It numbers what happens, hands each event to the results actor and carries
out the actions that come back: start this trial, cut that one short, ask the agent. Trials and
answers run as tasks of one asyncio loop; each ends by putting an event into the inbox. Whether
a trial runs on this machine, on a cluster or in a simulation is behind the seams below.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent import Answer
from scheduler.correspondence import Posted
from scheduler.errors import StudyFull
from scheduler.results import Answered, Ended, Item
from scheduler.rules import events as ev
from scheduler.rules.states import StudyState
from scheduler.study.records import Live
from scheduler.study.room import FULL_SECONDS, rest
from workers import Outcome, Trial

MAIL_SECONDS = 0.25  # between two looks into the mailbox: a person waits for the reply
TICK_SECONDS = 1.0  # limits of time are looked at, slots counted and views drawn this often
EXPORT_SECONDS = 60.0  # results.tsv and progress.png are written at most this often
CUT_SHORT_SECONDS = 10.0  # for trials that were cut short to end their processes


T = TypeVar("T")


class TrialLost(Exception):  # noqa: N818 - an end of a trial, not a fault of the caller
    """A trial ended without an outcome: its worker, its node or Ray is gone."""

    def __init__(self, reason: str, *, out_of_memory: bool = False, blamed: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.out_of_memory = out_of_memory
        self.blamed = blamed


class AnswerLost(Exception):  # noqa: N818 - an end of a request, not a fault of the caller
    """The agent could not answer. The text says why."""


class Bookkeeper(Protocol):
    """The results actor, as the loop sees it. All but `export` may raise StudyFull."""

    async def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        """Take in one event and return what is to be done now."""

    async def trial(self, number: int) -> Trial:
        """Everything that a worker needs to run a trial."""

    async def mail(self) -> tuple[Posted, ...]:
        """What people have sent since the last time."""

    async def live(self) -> Live:
        """The study at this moment."""

    async def export(self) -> None:
        """Write the files that people read."""


@dataclass(frozen=True)
class Room:
    """What there is to run trials on."""

    slots: int  # trials at a time
    kinds: tuple[tuple[str, int], ...] = ()  # slots that fit of each kind; (): of one, nameless


class Executor(Protocol):
    """Where trials run."""

    async def slots(self, *, resting: bool) -> Room:
        """How many trials can run at a time, now; a study that rests leaves its share to others."""

    async def run(self, trial: Trial) -> Outcome:
        """Run one trial to its end. Raises TrialLost."""

    def cancel(self, trial: int) -> None:
        """Cut a trial short, if it still runs."""


class Agent(Protocol):
    """Who makes proposals."""

    async def propose(self, request: ev.RequestProposals) -> Answer:
        """Brief the agent and return its answer. Raises AnswerLost."""


class Loop:
    """One session of a study."""

    def __init__(
        self,
        results: Bookkeeper,
        executor: Executor,
        agent: Agent,
        *,
        show: Callable[[Live], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._results = results
        self._executor = executor
        self._agent = agent
        self._show = show
        self._clock = clock
        self._inbox: asyncio.Queue[Item | BaseException] = asyncio.Queue()
        self._background: set[asyncio.Task[None]] = set()
        self._trials: set[asyncio.Task[None]] = set()
        self._next_export = math.inf  # under way, or not begun
        self._last: Live | None = None  # what was shown
        self._finished = False
        self._cancelled = False

    async def run(self) -> None:
        """Run the study until the rules say that it is finished."""
        self._put(ev.Opened(self._clock()))
        self._spawn(self._tick(), self._background)
        number = 0
        try:
            while not self._finished:
                item = await self._inbox.get()
                if isinstance(item, BaseException):
                    raise item
                number += 1
                for action in await self._handle(number, item):
                    self._carry_out(action)
        finally:
            await self._end_tasks()
        await self._draw()
        await self._results.export()

    async def _handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        """Have an event recorded, and wait for room on the disk where there is none.

        What happens meanwhile waits in the inbox, and nothing new starts. Whoever does not want to
        wait cancels: the study then ends as it was recorded last.
        """
        return await self._when_there_is_room(lambda: self._results.handle(number, item))

    async def _when_there_is_room(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except StudyFull:
                if self._cancelled:
                    raise
                await asyncio.sleep(FULL_SECONDS)

    def drain(self) -> None:
        """Start nothing more; end when the running trials have ended."""
        self._put(ev.DrainAsked(self._clock()))

    def cancel(self) -> None:
        """End now; the running trials are cut short and run again on resume."""
        self._cancelled = True
        self._put(ev.CancelAsked(self._clock()))

    # ---- actions ----------------------------------------------------------------------------

    def _carry_out(self, action: ev.Action) -> None:
        match action:
            case ev.StartTrial(trial):
                self._spawn(self._run_trial(trial), self._trials)
            case ev.CancelTrial(trial):
                self._executor.cancel(trial)
            case ev.RequestProposals():
                self._spawn(self._ask(action), self._background)
            case ev.Finish():
                self._finished = True

    async def _run_trial(self, number: int) -> None:
        trial = await self._when_there_is_room(lambda: self._results.trial(number))
        try:
            outcome = await self._executor.run(trial)
        except TrialLost as lost:
            self._put(
                ev.Lost(
                    self._clock(),
                    number,
                    lost.reason,
                    blamed=lost.blamed,
                    out_of_memory=lost.out_of_memory,
                )
            )
        else:
            self._put(Ended(self._clock(), outcome))

    async def _ask(self, request: ev.RequestProposals) -> None:
        asked_at = self._clock()
        try:
            answer = await self._agent.propose(request)
        except AnswerLost as lost:
            self._put(ev.AnswerFailed(self._clock(), request.request, str(lost)))
        else:
            now = self._clock()
            self._put(Answered(now, answer, now - asked_at))

    async def _tick(self) -> None:
        """Count the slots, let the rules look at the clock, and draw."""
        # The mail first: the first count of slots makes the rules ask the agent.
        await self._fetch_mail()
        self._spawn(self._watch_mail(), self._background)
        room, resting = Room(-1), False
        self._next_export = self._clock() + EXPORT_SECONDS
        while True:
            counted = await self._executor.slots(resting=resting)
            if counted != room:
                room = counted
                self._put(ev.SlotsCounted(self._clock(), room.slots, room.kinds))
            self._put(ev.Ticked(self._clock()))
            live = await self._draw()
            resting = live is not None and live.study.state is StudyState.PAUSED
            if self._clock() >= self._next_export:
                self._next_export = math.inf
                self._spawn(self._export(), self._background)
            await asyncio.sleep(TICK_SECONDS)

    async def _draw(self) -> Live | None:
        """Show the study; one that can't be opened for want of room, as it was last.

        None: it was never shown.
        """
        try:
            self._last = await self._results.live()
        except StudyFull as error:
            if self._last is not None:
                self._last = rest(self._last, str(error), self._clock())
        if self._last is not None:
            self._show(self._last)
        return self._last

    async def _watch_mail(self) -> None:
        while True:
            await asyncio.sleep(MAIL_SECONDS)
            await self._fetch_mail()

    async def _fetch_mail(self) -> None:
        for posted in await self._when_there_is_room(self._results.mail):
            self._put(posted)

    async def _export(self) -> None:
        """Write what people read. A long study takes longer: never over two per cent of the time.

        Slots are counted and views drawn meanwhile.
        """
        began = self._clock()
        await self._results.export()
        now = self._clock()
        self._next_export = now + max(EXPORT_SECONDS, 50 * (now - began))

    # ---- tasks ------------------------------------------------------------------------------

    def _put(self, item: Item) -> None:
        self._inbox.put_nowait(item)

    def _spawn(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(lambda done: self._gather(done, tasks))

    def _gather(self, task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
        """Forget a task that has ended; its failure, if any, ends the loop."""
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._inbox.put_nowait(error)

    async def _end_tasks(self) -> None:
        """Trials that were cut short get a moment to end their processes; the rest is dropped."""
        for task in list(self._background):
            task.cancel()
        if self._trials:
            await asyncio.wait(set(self._trials), timeout=CUT_SHORT_SECONDS)
        for task in list(self._trials):
            task.cancel()
