"""The write side of a study's database. The results actor owns the only one.

`commit` writes one event with everything that follows from it (facts, contents, the rules'
state, the outbox of actions) in one transaction: after a crash at any moment, the database
holds all of an event or nothing of it. Reading the rules' state back is `resume.py`'s part.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.ledger import Limits
from scheduler.errors import UsageError
from scheduler.rules import events as ev
from scheduler.rules.machine import Transition
from scheduler.rules.policy import Policy
from scheduler.rules.state import State
from scheduler.study import resume
from scheduler.study.call_ledger import Calls
from scheduler.study.database import has_no_room, open_for_writing
from scheduler.study.facts import (
    Contents,
    end_slots,
    put_scalars,
    set_scalars,
    write_contents,
    write_fact,
)

CHANGED = {
    "task": "task's fixed files (its harness or its scoring) have",
    "repository": "repository's fixed files (those that task.editable does not name) have",
    "data": "text to train and measure on (the files, or this Python's standard library) has",
}

FILES = "task_files"  # the scalar that holds the fixed files' hashes as they were at first
SHOWN = 5  # of the files that differ


@dataclass(frozen=True)
class Session:
    """Who takes a study up, and with what."""

    pid: int
    host: str
    task: str  # content hash of the task's fixed files
    data: str  # content hash of the packed data
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    files: Mapping[str, str] = field(default_factory=dict)  # fixed file -> content hash
    repository: bool = False  # the task is a repository with a command of its own


class Store:
    """A connection that may write. Used by one thread of one process."""

    def __init__(self, path: Path) -> None:
        self._db = open_for_writing(path)
        self._entries: defaultdict[str, _Entries] = defaultdict(_Entries)
        self._written: dict[str, object] = {}  # scalars of the newest commit, as they are stored

    def close(self) -> None:
        """Merge the write-ahead log into the database and close it."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if not has_no_room(error):  # else it stays beside the database, which is whole with it
                raise
        finally:
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
                what = CHANGED["repository" if name == "task" and session.repository else name]
                named = self._differing(session.files) if name == "task" else ""
                raise UsageError(
                    f"the {what} changed since this study began{named}: new figures would not "
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
            set_scalars(self._db, {"event": 0, "troubles": {}})
            if first is None and session.files:
                set_scalars(self._db, {FILES: dict(session.files)})

    def _differing(self, now: Mapping[str, str]) -> str:
        """Which fixed files are others than at first; "" where no one knows: an older study."""
        row = self._db.execute("SELECT value FROM scalar WHERE name = ?", (FILES,)).fetchone()
        if row is None or not now:
            return ""
        then: dict[str, str] = json.loads(row["value"])
        words = [
            *(f"{name} is new" for name in sorted(now.keys() - then.keys())),
            *(f"{name} is gone" for name in sorted(then.keys() - now.keys())),
            *(
                f"{name} differs"
                for name in sorted(now.keys() & then.keys())
                if now[name] != then[name]
            ),
        ]
        more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
        return f" ({', '.join(words[:SHOWN])}{more})"

    def commit(
        self, number: int, event: ev.Event, transition: Transition, contents: Contents
    ) -> None:
        """Write an event of this session and all that follows from it, or nothing."""
        with self._transaction():
            if isinstance(event, ev.Opened):  # before its facts: what ran is lost with its slots
                end_slots(self._db)
            for fact in transition.facts:
                write_fact(fact, self._db, event, contents)
            self._note(event.at, transition.facts)
            write_contents(self._db, event, contents)
            if any(isinstance(action, ev.Finish) for action in transition.actions):
                end_slots(self._db, event.at)
            self._write_outbox(event.at, transition.actions)
            scalars = _scalars(transition.state)
            changed = {
                name: value
                for name, value in scalars.items()
                if name not in self._written or self._written[name] is not value
            }
            encoded = {name: self._encode(name, value) for name, value in changed.items()}
            put_scalars(self._db, {"event": str(number), **encoded})
        self._written = scalars

    def calls(self, limits: Limits) -> Calls:
        """The ledger of the calls to models, under these limits."""
        return Calls(self._db, limits, self._transaction)

    def _encode(self, name: str, part: object) -> str:
        if isinstance(part, Mapping):
            return self._entries[name].encode(part)
        return _as_json(part)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)

    def _note(self, at: float, facts: Iterable[ev.Fact]) -> None:
        self._db.executemany(
            "INSERT INTO journal (at, fact, data) VALUES (?, ?, ?)",
            [(at, type(fact).__name__, _as_json(fact)) for fact in facts],
        )

    def _write_outbox(self, at: float, actions: Iterable[ev.Action]) -> None:
        self._db.execute("DELETE FROM outbox")
        for action in actions:
            self._db.execute(
                "INSERT INTO outbox (action, data) VALUES (?, ?)",
                (type(action).__name__, _as_json(action)),
            )
            if isinstance(action, ev.RequestProposals):
                self._db.execute(
                    "INSERT INTO request (id, count, asked_at, purpose) VALUES (?, ?, ?, ?)",
                    (action.request, action.count, at, action.purpose),
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
    """What the tables do not hold of the rules' state: parts that are replaced when they change.

    What an event leaves as it was is the same object, and is not written again.
    """
    return {
        "study": state.study,
        "reason": state.reason,
        "slots": state.slots,
        "waiting": state.waiting,
        "asked": state.asked,
        "pace": state.pace,
        "tally": state.tally,
        "noise": state.noise,
        "checks": state.checks,
        "fleet": state.fleet,
    }


class _Entries:
    """A mapping as JSON. It may be long, and most of it is as it was: that is not made again."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[object, str]] = {}

    def encode(self, mapping: Mapping[Any, object]) -> str:
        """The whole of it."""
        known, none = self._known, (None, "")
        self._known = {
            key: found
            if (found := known.get(key, none))[0] is value
            else (value, f"{json.dumps(str(key))}: {_as_json(value)}")
            for key, value in mapping.items()
        }
        return f"{{{', '.join([text for _, text in self._known.values()])}}}"


def _as_json(part: object) -> str:
    """Plain data as JSON. Dataclasses as objects: `asdict` would copy every value first."""
    return json.dumps(part, default=vars)
