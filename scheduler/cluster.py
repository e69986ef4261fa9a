"""The study's parts on Ray: running trials, calling the actors.

Everything that knows Ray stands here, in `nodes.py`, in `shares.py` and in `workers/remote.py`. The
loop sees only its own seams: `RayExecutor`, `RayResults` and `RayAgent` are the real ones.
"""

import asyncio
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions as errors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agent import Answer
from agent.llm.keys import Keys
from agent.settings import AgentSettings
from scheduler.actor import ResultsActor
from scheduler.correspondence import Posted
from scheduler.demand import Demand
from scheduler.errors import SchedulerError, StudyError, StudyInUse
from scheduler.exporting import export_politely
from scheduler.loop import AnswerLost, Room, TrialLost
from scheduler.nodes import count_kinds, count_slots, nodes
from scheduler.plan import Plan
from scheduler.researcher import AgentActor
from scheduler.results import Item
from scheduler.rules import events as ev
from scheduler.shares import SharedCluster
from scheduler.study.config import Config
from scheduler.study.records import Live
from workers import Outcome, Resources, Trial
from workers.bundle import Bundle
from workers.parents import POLL_SECONDS, HeadWatch
from workers.remote import ship, submit

SETTLE_SECONDS = 5.0  # for calls that are broken off to be settled; what is left counts in full
BACK_SECONDS = 120.0  # for the agent's actor to be started again: its imports alone may take ten
HEAD_SECONDS = 5.0  # nobody listens there: longer than a busy head misses a connection


def beside_the_driver() -> dict[str, Any]:
    """Options of an actor that needs the study's folder: on the driver's node, and no slot's."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return {"num_cpus": 0, "num_gpus": 0, "scheduling_strategy": here}


@dataclass(frozen=True)
class Bundles:
    """What travels to the nodes. The exam never lies on a worker's disk."""

    task: Bundle
    data: Bundle | None = None  # what is trained on; None for a repository of one's own
    exam: Bundle | None = None  # what is measured on

    @property
    def size(self) -> int:
        """Bytes of all of them: what a node's object store has to hold."""
        return sum(each.size for each in (self.task, self.data, self.exam) if each is not None)


class RayExecutor:
    """Runs trials as Ray tasks."""

    def __init__(
        self,
        resources: Resources,
        limit: int | None,
        bundles: Bundles,
        sink: Any,
        *,
        shared: SharedCluster | None = None,
    ) -> None:
        self._resources = resources
        self._limit = limit
        self._demand = Demand(resources)
        self._shared = shared  # None: this study is alone
        self._task = ship(bundles.task)
        self._data = None if bundles.data is None else ship(bundles.data)
        self._exam = None if bundles.exam is None else ship(bundles.exam)
        self._sink = sink
        self._running: dict[int, Any] = {}
        self._cancelled: set[int] = set()

    async def slots(self, *, resting: bool) -> Room:
        """How many trials this study may run on the nodes that take work now, and of which kind.

        Its share may be less than what fits: then it chooses among the kinds.
        """
        found = await asyncio.to_thread(nodes)
        kinds = count_kinds(found, self._resources)
        fits = count_slots(found, self._resources, None)
        if self._shared is None:
            return Room(fits if self._limit is None else min(fits, self._limit), kinds)
        ours = await self._shared.slots(fits, resting=resting)
        if self._limit is None:
            return Room(ours, kinds)
        ours = min(ours, self._limit)
        missing = 0 if resting else max(0, self._limit - fits)
        full = len(self._running) >= ours
        await asyncio.to_thread(self._demand.ask, missing, full=full)
        return Room(ours, kinds)

    async def run(self, trial: Trial) -> Outcome:
        """Run one trial on whatever node Ray finds for it. Raises TrialLost."""
        if trial.id in self._cancelled:  # while the loop was fetching what it consists of
            raise TrialLost("it was cancelled", blamed=False)
        ref = self._running[trial.id] = self._submit(trial)
        try:
            outcome: Outcome = await ref
        except errors.OutOfMemoryError as error:
            raise TrialLost(_first_line(error), out_of_memory=True) from error
        except errors.TaskCancelledError as error:
            raise TrialLost("it was cancelled", blamed=False) from error
        except errors.RayError as error:
            raise TrialLost(_first_line(error)) from error
        finally:
            self._running.pop(trial.id, None)
        return outcome

    def _submit(self, trial: Trial) -> Any:
        return submit(trial, self._task, self._data, self._exam, self._sink)

    def cancel(self, trial: int) -> None:
        """Ask the worker to end the trial; it kills the processes on its way out."""
        self._cancelled.add(trial)
        if (ref := self._running.get(trial)) is not None:
            ray.cancel(ref, force=False)


class RayResults:
    """The results actor, called over Ray. Its calls raise SchedulerError and nothing else.

    Ray repeats a call when the actor had to be started again; `Results.handle` answers a
    repeated event from its outbox.
    """

    def __init__(self, path: Path, config: Config, plan: Plan) -> None:
        path = path.absolute()  # an actor's current folder is the one in which Ray was started
        # A name, because an actor that is given a handle when it is made can't be made again.
        self.name = f"results-{uuid.uuid4().hex}"
        remote: Any = ray.remote(ResultsActor)
        here = beside_the_driver()
        options = remote.options(name=self.name, max_restarts=-1, max_task_retries=-1, **here)
        self.actor: Any = options.remote(path, config, plan)
        # A process of its own for each, because it lowers its priority: no trial is to get it.
        task: Any = ray.remote(max_calls=1)(export_politely)
        self._export = task.options(name="export", **here)
        self._exported = path, config.task

    async def begin_session(self, pid: int, host: str) -> None:
        """A driver takes the study up. Raises StudyFull, as all that follow but `export` may."""
        await _answer_of(self.actor.begin_session.remote(pid, host))

    async def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        """Take in one event and return what is to be done now."""
        actions: tuple[ev.Action, ...] = await _answer_of(self.actor.handle.remote(number, item))
        return actions

    async def trial(self, number: int) -> Trial:
        """Everything that a worker needs to run a trial."""
        trial: Trial = await _answer_of(self.actor.trial.remote(number))
        return trial

    async def mail(self) -> tuple[Posted, ...]:
        """What people have sent since the last time."""
        letters: tuple[Posted, ...] = await _answer_of(self.actor.mail.remote())
        return letters

    async def live(self) -> Live:
        """The study at this moment."""
        live: Live = await _answer_of(self.actor.live.remote())
        return live

    async def export(self) -> None:
        """Write the files that people read, beside everything else that happens.

        Where Ray lost the task, more than once, they stay as they were until the next time.
        """
        with suppress(errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError):
            await self._export.remote(*self._exported)

    async def close(self) -> None:
        """Close the study and end the actor."""
        await _answer_of(self.actor.close.remote())
        ray.kill(self.actor)


@contextmanager
def head_watched(abandon: Callable[[str], None]) -> Iterator[None]:
    """Call `abandon`, in a thread of its own, once the cluster's head is gone.

    Ray itself finds out after a minute, in which every call of it hangs, this process's loop with
    it. A network that is cut is no end: see `workers/parents.py`.
    """
    watch, over = HeadWatch(ray.get_runtime_context().gcs_address), threading.Event()

    def wait() -> None:
        while not over.wait(POLL_SECONDS):
            if watch.failures * POLL_SECONDS >= HEAD_SECONDS:
                abandon("the head of the Ray cluster is gone; the same command resumes the study")
                return

    threading.Thread(target=wait, name="head-gone", daemon=True).start()
    try:
        yield
    finally:
        over.set()


async def _answer_of(ref: Any) -> Any:
    try:
        return await ref
    except errors.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, SchedulerError):
            raise cause from None
        raise StudyError(f"the results actor failed: {_first_line(error)}") from error
    except errors.RayError as error:
        # What the actor raised when it opened the study comes as text only.
        if held := re.search(r"StudyInUse: (.+)", str(error)):
            raise StudyInUse(held.group(1)) from None
        raise StudyError(f"the results actor is gone: {_first_line(error)}") from error


class RayAgent:
    """The agent's actor, called over Ray."""

    def __init__(self, results: RayResults, settings: AgentSettings, keys: Keys) -> None:
        self._results = results.actor
        remote: Any = ray.remote(AgentActor)
        # A call that broke with its actor may have been paid for: the loop asks anew instead.
        options = remote.options(max_restarts=-1, max_task_retries=0, **beside_the_driver())
        self._actor: Any = options.remote(results.name, settings, keys)
        self._under_way: set[Any] = set()

    async def propose(self, request: ev.RequestProposals) -> Answer:
        """Brief the agent and return its answer; the briefing does not pass through here."""
        ref = self._actor.propose.remote(self._results.briefing.remote(request))
        self._under_way.add(ref)
        try:
            answer: Answer = await ref
        except errors.RayError as error:
            self._under_way.discard(ref)
            if isinstance(error, errors.ActorUnavailableError):
                await self._back()  # whoever asks before fails at once, and seems to fail again
            raise AnswerLost(_first_line(error)) from error
        self._under_way.discard(ref)  # not where this is cancelled: `close` ends those
        return answer

    async def _back(self) -> None:
        """Wait until the actor, which is being started again, can be asked; not for ever."""
        running = asyncio.get_running_loop()
        limit = running.time() + BACK_SECONDS
        while running.time() < limit:
            with suppress(errors.ActorUnavailableError):
                await self._actor.__ray_ready__.remote()
                return
            await asyncio.sleep(0.5)

    async def close(self) -> None:
        """Break off what is under way, so that each call is settled with what it did cost."""
        left = list(self._under_way)
        for ref in left:
            ray.cancel(ref)
        if left:
            await asyncio.to_thread(
                ray.wait, left, num_returns=len(left), timeout=SETTLE_SECONDS, fetch_local=False
            )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, errors.RayTaskError) else lines[0])[:500]
