"""The results actor: owns the study's state, its rules and its database.

What happens to a study arrives here, one event after the other; the rules decide, the store
writes event, facts and actions in one transaction, and the actions go back to the driver.
Events are numbered by the driver: an event that arrives twice (the reply was lost, or this
process died and was started again) is answered from the outbox and counted once.

A plain class: tests use it as it is, `scheduler/cluster.py` makes a Ray actor of it.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

from agent import Answer, Briefing, Purpose
from agent.ledger import Intent, Settlement
from agent.proposal import NOT_MODELS
from scheduler.briefings import Circumstances, write_briefing
from scheduler.correspondence import Posted, finish_reply, take_up
from scheduler.live_view import LiveView
from scheduler.memory import Memory
from scheduler.outfit import Outfit
from scheduler.plan import Plan
from scheduler.rules import events as ev
from scheduler.rules.machine import Transition, step
from scheduler.rules.state import State, TrialEntry
from scheduler.rules.states import TrialState
from scheduler.study.artifacts import Artifacts
from scheduler.study.config import Config
from scheduler.study.database import has_no_room
from scheduler.study.facts import Contents
from scheduler.study.folder import StudyFolder
from scheduler.study.live import write_live
from scheduler.study.lock import StudyLock
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from scheduler.study.records import Live
from scheduler.study.room import full, rest
from scheduler.study.store import Session, Store
from workers import Outcome, Progress, Trial

__all__ = ["Answered", "Ended", "Item", "Plan", "Results"]

LOCK_SECONDS = 15.0  # for an earlier process of the same study to notice that it is orphaned
EARLY_SECONDS = 10.0  # of training: a crash so soon is cheap to mend
VERSIONED = ("autoresearch-ray", "ray", "torch", "optuna", "litellm")


@dataclass(frozen=True)
class Answered:
    """The agent's answer has arrived."""

    at: float
    answer: Answer
    seconds: float  # from the request to the answer


@dataclass(frozen=True)
class Ended:
    """A trial has ended with an outcome."""

    at: float
    outcome: Outcome


Item = ev.Event | Answered | Ended | Posted


class Results:
    """One study, opened for writing."""

    def __init__(self, path: Path, config: Config, plan: Plan) -> None:
        """Open or make the database; raises StudyInUse where another process has it, StudyFull."""
        self._folder = StudyFolder(path)
        self._config = config
        self._plan = plan
        self._full = ""  # why nothing can be recorded now
        self._lock = StudyLock(self._folder)
        # Without a name of its own: whoever asks is to hear of the driver, also after a restart.
        self._lock.acquire(timeout=LOCK_SECONDS, named=False)
        with ExitStack() as undo:
            undo.callback(self._lock.release)
            self._store = Store(self._folder.database)
            undo.callback(self._store.close)
            self._reader = Reader(self._folder.database)
            undo.callback(self._reader.close)
            self._state = self._store.load(config.policy())
            self._program = self._folder.program.read_text("utf-8")
            with self._room():
                self._calls = self._store.calls(config.call_limits())
            undo.pop_all()
        self._artifacts = Artifacts(self._folder, self._reader)
        self._outfit = Outfit(self._reader, config, plan)
        self._view = LiveView(self._reader, config)
        self._briefed: dict[int, _Briefed] = {}  # by request
        self._mailbox = Mailbox(self._folder.inbox)
        self._held: tuple[int, ev.Event, Contents] | None = None  # translated, not yet recorded
        self._unwritten: deque[Callable[[], None]] = deque()
        self._posted: set[str] = set()  # keys of letters that the driver was given
        self._memory = Memory(self._reader, config)
        self._write_missing()

    # ---- for the driver ---------------------------------------------------------------------

    def begin_session(self, pid: int, host: str) -> None:
        """A driver takes the study up; it numbers its events from 1. Raises StudyFull."""
        self._lock.name(pid, host)
        plan = self._plan
        session = Session(
            *(pid, host, plan.task, plan.data, _versions()),
            files=plan.task_files,
            repository=self._config.task.command is not None,
        )
        with self._room():
            self._store.begin_session(time.time(), session)
        self._full = ""

    def handle(self, number: int, item: Item) -> tuple[ev.Action, ...]:
        """Take in one event and return what is to be done now."""
        if number <= self._store.last_event():
            return self._store.outbox()
        if self._held is None or self._held[0] != number:
            self._held = (number, *self._translate(item))
        _, event, contents = self._held
        transition = step(self._state, event)
        # Where nothing followed, and nobody waits for a reply, nothing is to be written.
        if transition.state is not self._state or contents.reply is not None:
            contents = finish_reply(contents, transition.facts)
            contents = self._memory.remember(self._state, transition, contents)
            self._commit(number, event, transition, contents)
            self._memory.keep()
            before, self._state = self._state, transition.state
            self._follow(before, transition, contents)
        self._held = None
        if isinstance(item, Posted):
            self._mailbox.remove(item.letter.key)
        return transition.actions

    def _commit(
        self, number: int, event: ev.Event, transition: Transition, contents: Contents
    ) -> None:
        """Write all of it. Raises StudyFull, with nothing changed, where there is no room."""
        with self._room():
            self._store.commit(number, event, transition, contents)
        self._full = ""

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Around a transaction: raises StudyFull, with nothing changed, where there is no room."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if not has_no_room(error):
                raise
            no_room = full(self._folder.path, error)
            self._full = str(no_room)
            raise no_room from error

    def mail(self) -> tuple[Posted, ...]:
        """The letters that have come since the last time."""
        waiting = self._mailbox.waiting()
        letters = [each for each in waiting if each.key not in self._posted]
        for each in waiting:
            if each.key in self._posted and self._reader.reply(each.key) is not None:
                self._mailbox.remove(each.key)  # it was posted once more
        self._posted |= {each.key for each in letters}
        return tuple(Posted(time.time(), each) for each in letters)

    def trial(self, number: int) -> Trial:
        """Everything that a worker needs to run a trial."""
        record = self._reader.trial(number)
        assert record is not None, f"no trial {number}"
        return self._outfit.trial(record, self._state)

    def briefing(self, request: ev.RequestProposals) -> Briefing:
        """What the agent is told with this request. The program is read anew each time."""
        with suppress(OSError, UnicodeDecodeError):  # an editor may be replacing it just now
            self._program = self._folder.program.read_text("utf-8")
        state = self._state
        now = Circumstances(
            program=self._program,
            guide=self._plan.guide,
            condense=request.purpose is Purpose.IMPROVE
            and self._memory.ask_for_notebook(request.request),
            since_champion=state.tally.since_champion,
            free_slots=len(state.free),
            arms=self._memory.arms,
        )
        briefing = write_briefing(self._reader, self._config, request, now)
        told = tuple(each.id for each in briefing.instructions)
        self._briefed[request.request] = _Briefed(state.champions, state.tally.decided, told)
        return briefing

    def reserve(self, intent: Intent) -> int:
        """Reserve what a call to a model may cost at most. Raises SpentError, StudyFull."""
        with self._room():
            return self._calls.reserve(time.time(), intent)

    def settle(self, call: int, settlement: Settlement) -> None:
        """Record what became of a call. Raises StudyFull, with nothing changed."""
        with self._room():
            self._calls.settle(
                call, settlement, lambda model: self._memory.settle(model, settlement)
            )
        self._memory.keep_call()

    def progress(self, progress: Progress) -> None:
        """A sign of life of a running trial; it never enters the database."""
        trial = self._state.trials.get(progress.trial)
        if trial is None:
            return
        self._view.hear(progress)
        if progress.log:
            with suppress(OSError):  # the whole log comes with the outcome
                self._artifacts.append_log(trial.experiment, trial.id, progress.log)

    def live(self) -> Live:
        """The study at this moment; also left in the study's folder for other processes."""
        self._write_late()
        live = self._view.now(self._state)
        if self._full:
            live = rest(live, self._full, live.at)
        with suppress(OSError):  # a full disk should not end a study for the sake of a view
            write_live(self._folder.live, live)
        return live

    def close(self) -> None:
        """Close the database and give the study free."""
        self._reader.close()
        self._store.close()
        self._folder.live.unlink(missing_ok=True)
        self._lock.release()

    # ---- inside -----------------------------------------------------------------------------

    def _translate(self, item: Item) -> tuple[ev.Event, Contents]:
        if isinstance(item, Answered):
            return self._take_answer(item)
        if isinstance(item, Ended):
            outcome = item.outcome
            event = ev.Reported(
                item.at,
                outcome.trial,
                outcome.status,
                outcome.metric,
                outcome.reason,
                outcome.timings.total,
                early=outcome.timings.train <= EARLY_SECONDS,
                hardware=outcome.hardware,
                node_fault=outcome.node_fault,
                over_limit=bool(outcome.broke),
            )
            return event, Contents(outcome=outcome)
        if isinstance(item, Posted):
            return take_up(item, self._state, self._reader, self._config)
        if isinstance(item, ev.Opened):
            item = replace(item, size=self._plan.baseline.size)
        if isinstance(item, ev.AnswerFailed):
            self._briefed.pop(item.request, None)
            self._memory.forget(item.request)
        return item, Contents(baseline=self._plan.baseline)

    def _take_answer(self, item: Answered) -> tuple[ev.Event, Contents]:
        """Refuse what the study has tried before, at any time."""
        answer = item.answer
        known = self._reader.known_fingerprints([p.fingerprint for p in answer.proposals])
        fresh = tuple(p for p in answer.proposals if p.fingerprint not in known)
        refused = (
            *answer.refused,
            *(f"{p.title}: tried before" for p in answer.proposals if p.fingerprint in known),
        )
        state = self._state
        briefed = self._briefed.pop(
            answer.request, _Briefed(state.champions, state.tally.decided, ())
        )
        by_model = answer.arm not in NOT_MODELS
        ask = state.asked.get(answer.request)
        says_nothing = ask is not None and ask.purpose in (Purpose.REBASE, Purpose.ABLATE)
        if by_model or not self._config.agent.models:
            seconds = None if says_nothing else item.seconds
        else:  # where models work too, the tuner's tenth of a second says nothing of their pace
            seconds = None
        event = ev.Answered(
            item.at,
            answer.request,
            tuple(
                ev.Draft(
                    p.parent,
                    briefed.champions,
                    p.origin not in NOT_MODELS,
                    p.instruction,
                    p.rebases,
                    p.ablates,
                    p.size,
                )
                for p in fresh
            ),
            seconds,
            troubled=bool(answer.troubles or refused),
            spent=answer.spent,
            told=briefed.told if by_model and answer.arm else (),
        )
        contents = Contents(
            proposals=fresh,
            answer=replace(answer, refused=refused),
            seconds=item.seconds,
            notebook=self._memory.accept_notebook(answer, briefed.decided),
        )
        return event, contents

    def _follow(self, before: State, transition: Transition, contents: Contents) -> None:
        """Do beside the database what the facts ask for."""
        for fact in transition.facts:
            match fact:
                case ev.ExperimentAdded():
                    if fact.draft is not None:
                        self._view.name(fact.id, contents.proposals[fact.draft].title)
                    self._write(partial(self._artifacts.write_experiment, fact.id))
                case ev.TrialMoved(slot=int()):
                    self._begin_trial(self._state.trials[fact.id])
                case ev.TrialMoved():
                    self._view.end(fact.id)
                    if contents.outcome is not None and fact.state is TrialState.DONE:
                        self._keep_log(before.trials[fact.id].experiment, contents.outcome)
                case ev.ExperimentMoved() if fact.state.is_final:
                    self._view.forget(fact.id)
                case ev.Crowned():
                    self._write(partial(self._artifacts.write_best, fact.experiment))

    def _begin_trial(self, trial: TrialEntry) -> None:
        self._view.begin(trial.id)
        self._write(partial(self._artifacts.start_log, trial.experiment, trial.id))

    def _keep_log(self, experiment: int, outcome: Outcome) -> None:
        finish = self._artifacts.finish_log
        self._write(partial(finish, experiment, outcome.trial, outcome.log))
        if outcome.artifacts:
            keep = self._artifacts.keep_files
            self._write(partial(keep, experiment, outcome.trial, outcome.artifacts))

    def _write(self, artifact: Callable[[], None]) -> None:
        """Write a file beside the database, or later where there is no room now."""
        self._unwritten.append(artifact)
        self._write_late()

    def _write_late(self) -> None:
        """Write what waits, in its order: a later champion's files are not to be overwritten."""
        with suppress(OSError):
            while self._unwritten:
                self._unwritten[0]()
                self._unwritten.popleft()

    def _write_missing(self) -> None:
        """Write the files that a process which was killed after its commit did not get to."""
        for number in self._artifacts.missing():
            self._write(partial(self._artifacts.write_experiment, number))
        if champions := self._reader.champions():
            self._write(partial(self._artifacts.write_best, champions[-1].experiment))


@dataclass(frozen=True)
class _Briefed:
    """How things stood when a briefing was written."""

    champions: int
    decided: int  # experiments
    told: tuple[int, ...]  # instructions that it held


def _versions() -> Mapping[str, str]:
    return {name: metadata.version(name) for name in VERSIONED}
