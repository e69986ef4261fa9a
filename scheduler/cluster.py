"""The study's parts on Ray: connecting, counting slots, running trials, calling the actors.

Everything that knows Ray stands here and in `workers/remote.py`. The loop sees only its own
seams: `RayExecutor`, `RayResults` and `RayAgent` are the real ones.
"""

import asyncio
import logging
import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions as errors

from agent import Answer
from agent.llm.keys import Keys
from agent.settings import AgentSettings
from scheduler.errors import SchedulerError, StudyError, StudyInUse, UsageError
from scheduler.loop import AnswerLost, TrialLost
from scheduler.researcher import AgentActor
from scheduler.results import Item, Plan, Posted, Results
from scheduler.rules import events as ev
from scheduler.study.config import Config
from scheduler.study.records import Live
from workers import Outcome, Resources, Trial
from workers.bundle import Bundle
from workers.remote import ship, submit

CONNECT_SECONDS = 5.0
AUTH_NOTICE = "ray._private.authentication.authentication_token_setup"
OBJECT_STORE_BYTES = 256 * 1024 * 1024  # bundles only; Ray's default is 30 % of the memory
SETTLE_SECONDS = 5.0  # for calls that are broken off to be settled; what is left counts in full
HEAD = {"num_cpus": 0, "num_gpus": 0}  # the actors of a study take no slot's resources


@dataclass(frozen=True)
class Connection:
    """What Ray offers this study."""

    local: bool  # a Ray of our own, that ends with this process
    address: str


def connect(environ: dict[str, str] | None = None) -> Connection:
    """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine.

    Raises UsageError where the named cluster can't be reached.
    """
    address = (environ or dict(os.environ)).get("RAY_ADDRESS")
    if ray.is_initialized():
        return Connection(local=False, address=address or "")
    if address:
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, errors.AuthenticationError, ValueError) as error:
            raise UsageError(f"RAY_ADDRESS={address}: no Ray cluster answers: {error}") from error
        return Connection(local=False, address=address)
    # Without a niceness of its own a worker's child would train at nice 15, behind everything
    # else on the machine. Variables rather than arguments: Ray's daemons read them at their start.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray tells each time that its token authentication is on, which is what one wants.
    logging.getLogger(AUTH_NOTICE).setLevel(logging.ERROR)
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        object_store_memory=OBJECT_STORE_BYTES,
    )
    return Connection(local=True, address="local")


def _check_reachable(address: str) -> None:
    """Ray itself takes minutes to find out that nobody is there."""
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS={address}: Ray Client is not supported; give HOST:PORT of the cluster's "
            "head, from one of its nodes, or use: ray job submit"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error.strerror or error}); "
            "start one with: ray start --head, or unset RAY_ADDRESS to run on this machine"
        ) from error


def nodes() -> list[dict[str, Any]]:
    """The cluster's nodes, as Ray describes them."""
    described: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return described


def count_slots(found: list[dict[str, Any]], resources: Resources, limit: int | None) -> int:
    """How many trials fit on the nodes that are alive; a trial never spans two of them."""
    total = sum(slots_of(node, resources) for node in found)
    return total if limit is None else min(total, limit)


def slots_of(node: dict[str, Any], resources: Resources) -> int:
    """How many trials fit on one node; none on one that is gone."""
    offered = node.get("Resources", {})
    if not node.get("Alive"):
        return 0
    if resources.accelerator and f"accelerator_type:{resources.accelerator}" not in offered:
        return 0
    fits = [
        int(offered.get(name, 0.0) / claimed + 1e-9)
        for name, claimed in (("GPU", resources.gpus), ("CPU", resources.cpus))
        if claimed > 0
    ]
    return min(fits, default=0)


@dataclass(frozen=True)
class Bundles:
    """What travels to the nodes. The exam never lies on a worker's disk."""

    task: Bundle
    data: Bundle  # what is trained on
    exam: Bundle  # what is measured on


class RayExecutor:
    """Runs trials as Ray tasks."""

    def __init__(
        self, resources: Resources, limit: int | None, bundles: Bundles, sink: Any
    ) -> None:
        self._resources = resources
        self._limit = limit
        self._task, self._data = ship(bundles.task), ship(bundles.data)
        self._exam = ship(bundles.exam)
        self._sink = sink
        self._running: dict[int, Any] = {}
        self._cancelled: set[int] = set()

    async def slots(self) -> int:
        """How many trials fit on the nodes that are alive."""
        return count_slots(await asyncio.to_thread(nodes), self._resources, self._limit)

    async def run(self, trial: Trial) -> Outcome:
        """Run one trial on whatever node Ray finds for it. Raises TrialLost."""
        if trial.id in self._cancelled:  # while the loop was fetching what it consists of
            raise TrialLost("it was cancelled", blamed=False)
        ref = submit(trial, self._task, self._data, self._exam, self._sink)
        self._running[trial.id] = ref
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
        # A name, because an actor that is given a handle when it is made can't be made again.
        self.name = f"results-{uuid.uuid4().hex}"
        remote: Any = ray.remote(Results)
        options = remote.options(name=self.name, max_restarts=-1, max_task_retries=-1, **HEAD)
        self.actor: Any = options.remote(path, config, plan)

    async def begin_session(self, pid: int, host: str) -> None:
        """A driver takes the study up."""
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
        """Write the files that people read."""
        await _answer_of(self.actor.export.remote())

    async def close(self) -> None:
        """Close the study and end the actor."""
        await _answer_of(self.actor.close.remote())
        ray.kill(self.actor)


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
        options = remote.options(max_restarts=-1, max_task_retries=0, **HEAD)
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
            raise AnswerLost(_first_line(error)) from error
        self._under_way.discard(ref)  # not where this is cancelled: `close` ends those
        return answer

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
