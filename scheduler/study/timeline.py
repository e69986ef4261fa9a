"""Where a study's slots have spent their time: what the database holds of it, as one record.

In: a study's reader, and from when to when. Out: a `Timeline` of at most so many trials, the newest
ones. The rules for it are `scheduler/rules/timeline.py` (segments) and `throughput.py` (figures).
Decides nothing; draws and prints nothing.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from scheduler.rules import throughput, timeline
from scheduler.rules.states import StudyState, TrialKind, TrialState
from scheduler.rules.throughput import Costs, Edit
from scheduler.rules.timeline import Count, Held, Kind, Line, Move
from scheduler.study.reader import Reader
from scheduler.study.slot_time import COLUMNS, heard_of
from workers import OutcomeStatus

EXACT = 0.1  # seconds within which the kinds of a slot add up to its time
RUNNING = TrialState.RUNNING.value
MOST = 20_000  # trials of one timeline: 0.07 s each thousand on one core


@dataclass(frozen=True)
class TrialTime:
    """A trial as it held a slot. Times are those of the driver's clock, Unix seconds."""

    id: int
    experiment: int
    title: str
    number: int  # of its experiment: 1 is the first
    slot: int
    node: str  # "" as long as it has no outcome
    result: str  # running, lost, cancelled; of one that has an outcome: done, crash, ...
    edit: Edit
    long: bool  # with a longer budget
    metric: float | None
    assigned_at: float
    ended_at: float | None
    phases: Mapping[str, float]  # seconds; empty without an outcome
    warm: bool = False  # in a process that was started before; False without an outcome


@dataclass(frozen=True)
class Timeline:
    """Some hours of a study, or all of it."""

    since: float
    until: float
    complete: bool  # False: what ended before `since` was left out, as there is too much
    guessed: bool  # how many slots there were, of sessions that did not record it
    gpus: float  # that one slot holds
    budget: float | None  # seconds of training; None: it is told in steps
    decided: int  # experiments, within it
    lines: tuple[Line, ...]
    trials: tuple[TrialTime, ...]  # in order of their slots being given to them
    totals: Mapping[Kind, float]  # seconds of all slots
    costs: tuple[Costs, ...]  # of trials that ended within it and trained to their end
    shifts: Mapping[str, float]  # by node: the furthest that its clock was put right by, seconds

    @property
    def seconds(self) -> float:
        """Of all slots together."""
        return sum(line.seconds for line in self.lines)

    @property
    def results(self) -> Mapping[str, int]:
        """How many trials came to what until its end; `running`: some went on beyond it."""
        return Counter(
            each.result if each.ended_at is not None and each.ended_at <= self.until else RUNNING
            for each in self.trials
        )

    def per_slot_hour(self, count: int) -> float:
        """So many in an hour of a slot; of a GPU, where a slot holds any."""
        hours = self.seconds * (self.gpus or 1.0) / 3600
        return count / hours if hours else 0.0

    @property
    def trained(self) -> int:
        """How many trials trained to their end and were scored."""
        return self.results[OutcomeStatus.DONE]


def read_timeline(
    reader: Reader,
    *,
    now: float | None,
    budget: float | None,
    gpus: float = 0.0,
    since: float | None = None,
    until: float | None = None,
    hours: float | None = None,
    most: int = MOST,
) -> Timeline:
    """The timeline from `since` to `until`; None: from the beginning, to the end.

    `hours`: no more than so many before its end.

    `now` is the time at a study that runs; None: nothing runs it, and its last session ended when
    it was heard of last. Where more than `most` trials ended meanwhile, it begins later.
    """
    db = reader.db
    with _unchanged(db):
        end = heard_of(db) if now is None else now
        until = end if until is None else min(until, end)
        (first,) = db.execute("SELECT (SELECT at FROM slot_count ORDER BY id LIMIT 1)").fetchone()
        begin = until if first is None else min(first, until)
        since = max(begin, -math.inf if since is None else since)
        since = min(until, since if hours is None else max(since, until - 3600 * hours))
        rows, since, complete = _trials(db, since, until, most)
        counts, moves, guessed = _counts(db, since, until), _moves(db, since, until), _guessed(db)
        decided = _decided(db, since, until)
    held = [_held(row) for row in rows]
    lines = timeline.lines(counts, moves, held, since, until)
    return Timeline(
        since=since,
        until=until,
        complete=complete,
        guessed=guessed,
        gpus=gpus,
        budget=budget,
        decided=decided,
        lines=tuple(lines),
        trials=tuple(_trial_time(row) for row in rows),
        totals=timeline.totals(lines),
        costs=tuple(throughput.costs(_trained(rows, since, until, budget))),
        shifts=_shifts(rows, held),
    )


@contextmanager
def _unchanged(db: sqlite3.Connection) -> Iterator[None]:
    """One moment of a study that goes on; within a longer one, that one."""
    db.execute("SAVEPOINT timeline")
    try:
        yield
    finally:
        db.execute("RELEASE timeline")


def _trials(
    db: sqlite3.Connection, since: float, until: float, most: int
) -> tuple[list[sqlite3.Row], float, bool]:
    """The trials that held a slot; from when on these are all that did; and whether that is so."""
    query = (
        "SELECT trial.id, trial.experiment, trial.number, trial.slot, trial.state, trial.kind,"
        " assigned_at, ended_at, started_at, startup, warm_up, train, eval, teardown, status, warm,"
        " outcome.metric, coalesce(node, '') AS node, own.title, own.parent,"
        " own.skeleton = parent.skeleton AS alike"
        " FROM trial JOIN experiment AS own ON own.id = trial.experiment"
        " LEFT JOIN experiment AS parent ON parent.id = own.parent"
        " LEFT JOIN outcome ON outcome.trial = trial.id WHERE "
    )
    ended = db.execute(
        f"{query} ended_at IS NOT NULL AND assigned_at IS NOT NULL"
        " AND ended_at > ? AND assigned_at < ? ORDER BY ended_at DESC LIMIT ?",
        (since, until, most + 1),
    ).fetchall()
    complete = len(ended) <= most
    if not complete:
        since = max(since, ended.pop()["ended_at"])
    running = db.execute(
        f"{query} trial.state IN ('planned', 'running') AND trial.state = 'running'"
        " AND assigned_at < ?",
        (until,),
    ).fetchall()
    return sorted([*ended, *running], key=lambda r: (r["assigned_at"], r["id"])), since, complete


def _counts(db: sqlite3.Connection, since: float, until: float) -> list[Count]:
    """From the last before `since`, so that it is known what there was then."""
    rows = db.execute(
        "SELECT at, slots, why FROM slot_count WHERE at < ? AND id >= coalesce("
        "(SELECT max(id) FROM slot_count WHERE at <= ?), 0) ORDER BY id",
        (until, since),
    )
    return [Count(row["at"], row["slots"], row["why"] == "over") for row in rows]


def _guessed(db: sqlite3.Connection) -> bool:
    (found,) = db.execute(
        "SELECT EXISTS (SELECT 1 FROM slot_count WHERE why = 'guessed')"
    ).fetchone()
    return bool(found)


def _moves(db: sqlite3.Connection, since: float, until: float) -> list[Move]:
    rows = db.execute(
        "SELECT at, json_extract(data, '$.state') AS state FROM journal"
        " WHERE fact = 'StudyMoved' AND at < ? AND at >= coalesce((SELECT max(at) FROM journal"
        " WHERE fact = 'StudyMoved' AND at <= ?), 0) ORDER BY at, seq",
        (until, since),
    )
    return [Move(row["at"], StudyState(row["state"])) for row in rows]


def _decided(db: sqlite3.Connection, since: float, until: float) -> int:
    (count,) = db.execute(
        "SELECT count(*) FROM experiment WHERE decided_at IS NOT NULL AND decided_at > ?"
        " AND decided_at <= ? AND state != 'cancelled'",
        (since, until),
    ).fetchone()
    return int(count)


def _held(row: sqlite3.Row) -> Held:
    done = row["started_at"] is not None
    return Held(
        trial=row["id"],
        slot=row["slot"],
        state=TrialState(row["state"]),
        assigned_at=row["assigned_at"],
        ended_at=row["ended_at"],
        began=(row["started_at"] or row["assigned_at"]) if done else None,
        phases=tuple(row[name] for name in COLUMNS) if done else (),
    )


def _trial_time(row: sqlite3.Row) -> TrialTime:
    done = row["status"] is not None
    return TrialTime(
        id=row["id"],
        experiment=row["experiment"],
        title=row["title"],
        number=row["number"],
        slot=row["slot"],
        node=row["node"],
        result=row["status"] if done else row["state"],
        edit=_edit(row),
        long=row["kind"] != TrialKind.USUAL,
        metric=row["metric"],
        assigned_at=row["assigned_at"],
        ended_at=row["ended_at"],
        phases={name: row[name] for name in COLUMNS} if done else {},
        warm=bool(row["warm"]),
    )


def _edit(row: sqlite3.Row) -> Edit:
    if row["number"] > 1 or row["kind"] != TrialKind.USUAL:
        return Edit.SAME
    return Edit.CONSTANTS if row["alike"] else Edit.CODE


def _trained(
    rows: Sequence[sqlite3.Row], since: float, until: float, budget: float | None
) -> list[throughput.Trained]:
    """Those of the usual budget that trained to their end, and ended within the time."""
    return [
        throughput.Trained(
            edit=_edit(row),
            slot=row["ended_at"] - row["assigned_at"],
            phases={name: row[name] for name in COLUMNS},
            budget=budget,
            warm=bool(row["warm"]),
        )
        for row in rows
        if row["status"] == OutcomeStatus.DONE
        and row["kind"] == TrialKind.USUAL
        and since < row["ended_at"] <= until
    ]


def _shifts(rows: Sequence[sqlite3.Row], held: Sequence[Held]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row, each in zip(rows, held, strict=True):
        if abs(each.shift) > abs(found.get(row["node"], 0.0)):
            found[row["node"]] = each.shift
    return found
