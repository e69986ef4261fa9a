"""The write side of a study's database. The results actor owns the only one.

`commit` writes one event with everything that follows from it (facts, contents, the rules'
state, the outbox of actions) in one transaction: after a crash at any moment, the database
holds all of an event or nothing of it. Reading the rules' state back is `resume.py`'s part.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import singledispatchmethod
from pathlib import Path

from agent import Answer, Proposal
from scheduler.errors import UsageError
from scheduler.rules import events as ev
from scheduler.rules.machine import Transition
from scheduler.rules.state import Policy, State
from scheduler.rules.states import ExperimentState, TrialState
from scheduler.study import resume
from scheduler.study.database import open_for_writing
from workers import Outcome

CHANGED = {
    "task": "task's fixed files (its harness or its scoring) have",
    "data": "text to train and measure on (the files, or this Python's standard library) has",
}
LOG_TAIL = 4096  # characters of a log that the database keeps; the rest lies beside it


@dataclass(frozen=True)
class Contents:
    """What an event carries beyond what the rules look at."""

    proposals: tuple[Proposal, ...] = ()  # one for each of the event's drafts, in their order
    baseline: Proposal | None = None  # in case a baseline is added
    answer: Answer | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Session:
    """Who takes a study up, and with what."""

    pid: int
    host: str
    task: str  # content hash of the task's fixed files
    data: str  # content hash of the packed data
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version


class Store:
    """A connection that may write. Used by one thread of one process."""

    def __init__(self, path: Path) -> None:
        self._db = open_for_writing(path)

    def close(self) -> None:
        """Merge the write-ahead log into the database and close it."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def load(self, policy: Policy) -> State:
        """The rules' state as the newest event left it, under a policy that may have changed."""
        return resume.load_state(self._db, policy)

    def last_event(self) -> int:
        """The number of the newest event of this session; 0 before the first."""
        return resume.last_event(self._db)

    def outbox(self) -> tuple[ev.Action, ...]:
        """The actions of the newest event, for a driver that did not get them."""
        return resume.load_outbox(self._db)

    def begin_session(self, at: float, session: Session) -> None:
        """Record that a driver takes the study up; its events are numbered from 1 again.

        Raises UsageError, with nothing changed, where the task's fixed files or the data are not
        those that the study began with.
        """
        first = self._db.execute("SELECT task, data FROM session ORDER BY id LIMIT 1").fetchone()
        for name, now in (("task", session.task), ("data", session.data)):
            if first is not None and first[name] != now:
                raise UsageError(
                    f"the {CHANGED[name]} changed since this study began: new figures would not "
                    "compare with its old ones. Start another study: autoresearch run NAME"
                )
        with self._transaction():
            self._db.execute(
                "INSERT INTO session (opened_at, pid, host, versions, task, data)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    at,
                    session.pid,
                    session.host,
                    json.dumps(dict(session.versions)),
                    session.task,
                    session.data,
                ),
            )
            self._set_scalars({"event": 0})

    def commit(
        self, number: int, event: ev.Event, transition: Transition, contents: Contents
    ) -> None:
        """Write an event of this session and all that follows from it, or nothing."""
        with self._transaction():
            for fact in transition.facts:
                self._write(fact, event, contents)
                self._note(event.at, fact)
            self._write_event(event, contents)
            self._write_outbox(event.at, transition.actions)
            self._set_scalars({"event": number, **_scalars(transition.state)})

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    def _note(self, at: float, fact: ev.Fact) -> None:
        self._db.execute(
            "INSERT INTO journal (at, fact, data) VALUES (?, ?, ?)",
            (at, type(fact).__name__, json.dumps(asdict(fact))),
        )

    def _write_outbox(self, at: float, actions: Iterable[ev.Action]) -> None:
        self._db.execute("DELETE FROM outbox")
        for action in actions:
            data = asdict(action)
            self._db.execute(
                "INSERT INTO outbox (action, data) VALUES (?, ?)",
                (type(action).__name__, json.dumps(data)),
            )
            if isinstance(action, ev.RequestProposals):
                self._db.execute(
                    "INSERT INTO request (id, count, asked_at) VALUES (?, ?, ?)",
                    (action.request, action.count, at),
                )

    def _set_scalars(self, values: Mapping[str, object]) -> None:
        self._db.executemany(
            "INSERT INTO scalar VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [(name, json.dumps(value)) for name, value in values.items()],
        )

    @singledispatchmethod
    def _write(self, fact: object, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        raise TypeError(f"no way to store {fact!r}")

    @_write.register
    def _(self, fact: ev.ExperimentAdded, event: ev.Event, contents: Contents) -> None:
        if fact.draft is None:
            assert contents.baseline is not None, "a baseline without its code"
            proposal, champions, request = contents.baseline, 0, None
        else:
            assert isinstance(event, ev.Answered)
            proposal = contents.proposals[fact.draft]
            champions, request = event.drafts[fact.draft].champions, event.request
        self._db.execute(
            "INSERT INTO experiment (id, parent, title, hypothesis, origin, request, state, wanted,"
            " champions, fingerprint, skeleton, constants, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                fact.id,
                fact.parent,
                proposal.title,
                proposal.hypothesis,
                proposal.origin,
                request,
                ExperimentState.QUEUED,
                fact.wanted,
                champions,
                proposal.fingerprint,
                proposal.skeleton,
                json.dumps(dict(proposal.constants)),
                event.at,
            ),
        )
        if fact.parent is not None:
            self._db.execute(
                "INSERT INTO file SELECT ?, path, blob FROM file WHERE experiment = ?",
                (fact.id, fact.parent),
            )
        for path, text in proposal.files.items():
            digest = hashlib.sha256(text.encode()).hexdigest()
            self._db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?)", (digest, text))
            self._db.execute(
                "INSERT INTO file VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET blob = excluded.blob",
                (fact.id, path, digest),
            )

    @_write.register
    def _(self, fact: ev.ExperimentMoved, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        self._db.execute(
            "UPDATE experiment SET state = ?, metric = ?, reason = ?, decided_at = ? WHERE id = ?",
            (
                fact.state,
                fact.metric,
                fact.reason,
                event.at if fact.state.is_final else None,
                fact.id,
            ),
        )

    @_write.register
    def _(self, fact: ev.ExperimentStarted, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        self._db.execute(
            "UPDATE experiment SET staleness = ? WHERE id = ?", (fact.staleness, fact.id)
        )

    @_write.register
    def _(self, fact: ev.TrialPlanned, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        self._db.execute(
            "INSERT INTO trial (id, experiment, number, seed, rank, state, planned_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                fact.id,
                fact.experiment,
                fact.number,
                fact.seed,
                -fact.id if fact.first else fact.id,
                TrialState.PLANNED,
                event.at,
            ),
        )

    @_write.register
    def _(self, fact: ev.TrialMoved, event: ev.Event, contents: Contents) -> None:
        if fact.state is TrialState.RUNNING:
            self._db.execute(
                "UPDATE trial SET state = ?, slot = ?, assigned_at = ? WHERE id = ?",
                (fact.state, fact.slot, event.at, fact.id),
            )
            return
        self._db.execute(
            "UPDATE trial SET state = ?, reason = ?, ended_at = ? WHERE id = ?",
            (fact.state, fact.reason, event.at, fact.id),
        )
        if fact.state is TrialState.LOST and fact.blamed:
            self._db.execute(
                "UPDATE experiment SET losses = losses + 1 WHERE id ="
                " (SELECT experiment FROM trial WHERE id = ?)",
                (fact.id,),
            )
        if fact.state is TrialState.DONE and contents.outcome is not None:
            self._write_outcome(contents.outcome)

    @_write.register
    def _(self, fact: ev.Crowned, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        self._db.execute(
            "INSERT INTO champion (experiment, metric, at) VALUES (?, ?, ?)",
            (fact.experiment, fact.metric, event.at),
        )

    @_write.register
    def _(self, fact: ev.StudyMoved, event: ev.Event, contents: Contents) -> None:  # noqa: ARG002
        self._set_scalars({"text": fact.text})

    def _write_outcome(self, outcome: Outcome) -> None:
        timings = outcome.timings
        self._db.execute(
            "INSERT INTO outcome VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                outcome.trial,
                outcome.status,
                outcome.reason,
                outcome.metric,
                timings.startup,
                timings.warm_up,
                timings.train,
                timings.eval,
                timings.teardown,
                outcome.started_at,
                outcome.finished_at,
                outcome.steps,
                outcome.tokens,
                outcome.parameters,
                outcome.train_loss,
                outcome.peak_memory_bytes,
                outcome.peak_device_memory_bytes,
                outcome.device,
                ",".join(outcome.gpu_ids),
                outcome.node,
                outcome.sandbox,
                outcome.judge,
                outcome.log[-LOG_TAIL:],
            ),
        )

    def _write_event(self, event: ev.Event, contents: Contents) -> None:
        if isinstance(event, ev.AnswerFailed):
            self._db.execute(
                "UPDATE request SET answered_at = ?, accepted = 0, error = ? WHERE id = ?",
                (event.at, event.reason, event.request),
            )
        if isinstance(event, ev.Answered) and contents.answer is not None:
            cost = contents.answer.cost
            self._db.execute(
                "UPDATE request SET answered_at = ?, accepted = ?, refused = ?, seconds = ?,"
                " input_tokens = ?, output_tokens = ?, dollars = ? WHERE id = ?",
                (
                    event.at,
                    len(event.drafts),
                    json.dumps(contents.answer.refused),
                    event.seconds,
                    cost.input_tokens,
                    cost.output_tokens,
                    cost.dollars,
                    event.request,
                ),
            )


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK when anything is raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:  # a full disk rolls back by itself
            self._db.execute("ROLLBACK")


def _scalars(state: State) -> dict[str, object]:
    """What the tables do not hold of the rules' state."""
    return {
        "study": state.study,
        "reason": state.reason,
        "slots": state.slots,
        "waiting": state.waiting,
        "asked": {str(request): count for request, count in state.asked.items()},
        "pace": asdict(state.pace),
        "tally": asdict(state.tally),
    }
