"""How each fact of the rules, and what came with its event, is written into the tables.

In: a connection inside of a transaction, an event, its facts and its contents. It decides nothing
and commits nothing: `store.py` does.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import singledispatch
from sqlite3 import Connection

from agent import Answer, ArmRecord, Proposal
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, InstructionState, TrialState
from scheduler.study.slot_time import heard_of
from workers import Outcome

LOG_TAIL = 4096  # characters of a log that the database keeps; the rest lies beside it


@dataclass(frozen=True)
class NewInstruction:
    """What a person asked for; its number comes from the rules."""

    key: str  # of the letter that it came in
    text: str
    priority: int = 0


@dataclass(frozen=True)
class NewReply:
    """What is to be recorded of a letter that was taken up."""

    key: str
    kind: str
    digest: str
    number: int | None = None  # of the instruction or experiment that it made or moved
    refused: str = ""  # why it could not be done


@dataclass(frozen=True)
class Notebook:
    """What the study has learned up to a decision, condensed."""

    text: str
    upto: int  # the newest decision that it covers
    author: str  # a model's name, or "rules"


@dataclass(frozen=True)
class Contents:
    """What an event carries beyond what the rules look at."""

    proposals: tuple[Proposal, ...] = ()  # one for each of the event's drafts, in their order
    baseline: Proposal | None = None  # in case a baseline is added
    answer: Answer | None = None
    seconds: float = 0.0  # from the request to the answer
    outcome: Outcome | None = None
    instruction: NewInstruction | None = None
    lessons: Mapping[int, str] = field(default_factory=dict)  # experiment -> its line
    notebook: Notebook | None = None
    arms: tuple[ArmRecord, ...] = ()  # those that have changed
    reply: NewReply | None = None  # to the letter that this event was


@singledispatch
def write_fact(fact: object, db: Connection, event: ev.Event, contents: Contents) -> None:
    """Write one fact of an event into its table."""
    raise TypeError(f"no way to store {fact!r}")


@write_fact.register
def _(fact: ev.ExperimentAdded, db: Connection, event: ev.Event, contents: Contents) -> None:
    if fact.draft is None:
        assert contents.baseline is not None, "a baseline without its code"
        proposal, champions, request = contents.baseline, 0, None
    else:
        proposal = contents.proposals[fact.draft]
        assert isinstance(event, ev.Answered | ev.Submitted)
        if isinstance(event, ev.Answered):
            champions, request = event.drafts[fact.draft].champions, event.request
        else:
            champions, request = event.draft.champions, None
    db.execute(
        "INSERT INTO experiment (id, parent, title, hypothesis, origin, request, state, wanted,"
        " champions, fingerprint, skeleton, constants, created_at, expected, instruction,"
        " combines, mends, mended, call, rebases, size, ablates)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            proposal.expected,
            proposal.instruction,
            proposal.combines,
            fact.mends,
            fact.mended,
            proposal.call,
            json.dumps(proposal.rebases),
            proposal.size,
            proposal.ablates,
        ),
    )
    if fact.parent is not None:
        db.execute(
            "INSERT INTO file SELECT ?, path, blob FROM file WHERE experiment = ?",
            (fact.id, fact.parent),
        )
    for path, text in proposal.files.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?)", (digest, text))
        db.execute(
            "INSERT INTO file VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET blob = excluded.blob",
            (fact.id, path, digest),
        )


@write_fact.register
def _(fact: ev.ExperimentMoved, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "UPDATE experiment SET state = ?, metric = ?, reason = ?, decided_at = ?, decision = ?,"
        " lesson = ?, hardware = ? WHERE id = ?",
        (
            fact.state,
            fact.metric,
            fact.reason,
            event.at if fact.state.is_final else None,
            fact.decision,
            contents.lessons.get(fact.id, ""),
            fact.hardware,
            fact.id,
        ),
    )


@write_fact.register
def _(fact: ev.ExperimentStarted, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute("UPDATE experiment SET staleness = ? WHERE id = ?", (fact.staleness, fact.id))


@write_fact.register
def _(fact: ev.TrialPlanned, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "INSERT INTO trial (id, experiment, number, seed, rank, state, planned_at, kind, wants)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fact.id,
            fact.experiment,
            fact.number,
            fact.seed,
            -fact.id if fact.first else fact.id,
            TrialState.PLANNED,
            event.at,
            fact.kind,
            fact.wants,
        ),
    )


@write_fact.register
def _(fact: ev.TrialMoved, db: Connection, event: ev.Event, contents: Contents) -> None:
    if fact.state is TrialState.RUNNING:
        db.execute(
            "UPDATE trial SET state = ?, slot = ?, assigned_at = ?, accelerator = ? WHERE id = ?",
            (fact.state, fact.slot, event.at, fact.accelerator, fact.id),
        )
        return
    db.execute(
        "UPDATE trial SET state = ?, reason = ?, ended_at = ?, blamed = ? WHERE id = ?",
        (fact.state, fact.reason, event.at, fact.blamed, fact.id),
    )
    if fact.state is TrialState.LOST and fact.blamed:
        db.execute(
            "UPDATE experiment SET losses = losses + 1 WHERE id ="
            " (SELECT experiment FROM trial WHERE id = ?)",
            (fact.id,),
        )
    if fact.state is TrialState.DONE and contents.outcome is not None:
        _write_outcome(db, contents.outcome)


@write_fact.register
def _(fact: ev.Crowned, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "INSERT INTO champion (experiment, metric, at) VALUES (?, ?, ?)",
        (fact.experiment, fact.metric, event.at),
    )


@write_fact.register
def _(fact: ev.Judged, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "INSERT INTO judgement VALUES (?, ?, ?)",
        (fact.id, event.at, json.dumps(asdict(fact.evidence))),
    )


@write_fact.register
def _(fact: ev.Measured, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "UPDATE experiment SET metric = ?, hardware = ? WHERE id = ?",
        (fact.metric, fact.hardware, fact.id),
    )


@write_fact.register
def _(fact: ev.StudyMoved, db: Connection, event: ev.Event, contents: Contents) -> None:
    set_scalars(db, {"text": fact.text})


@write_fact.register
def _(fact: ev.InstructionAdded, db: Connection, event: ev.Event, contents: Contents) -> None:
    assert contents.instruction is not None, "an instruction without its text"
    new = contents.instruction
    db.execute(
        "INSERT INTO instruction VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fact.id,
            new.key,
            new.text,
            new.priority,
            InstructionState.QUEUED,
            fact.expires,
            event.at,
            event.at,
        ),
    )


@write_fact.register
def _(fact: ev.InstructionMoved, db: Connection, event: ev.Event, contents: Contents) -> None:
    db.execute(
        "UPDATE instruction SET state = ?, moved_at = ? WHERE id = ?",
        (fact.state, event.at, fact.id),
    )


def _write_outcome(db: Connection, outcome: Outcome) -> None:
    timings = outcome.timings
    db.execute(
        "INSERT INTO outcome VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
            outcome.audit_metric,
            outcome.precision,
            json.dumps(dict(outcome.metrics)),
            outcome.warm,
        ),
    )


def write_contents(db: Connection, event: ev.Event, contents: Contents) -> None:
    """Write what came with an event and belongs to no single fact."""
    if contents.notebook is not None:
        notebook = contents.notebook
        db.execute(
            "INSERT INTO notebook (at, upto, author, text) VALUES (?, ?, ?, ?)",
            (event.at, notebook.upto, notebook.author, notebook.text),
        )
    write_arms(db, contents.arms)
    if isinstance(event, ev.SlotsCounted):
        count_slots(db, event.at, event.slots, "counted")
    if (reply := contents.reply) is not None:
        db.execute(
            "INSERT INTO letter VALUES (?, ?, ?, ?, ?, ?)",
            (reply.key, reply.kind, reply.digest, event.at, reply.number, reply.refused),
        )
    if isinstance(event, ev.AnswerFailed):
        db.execute(
            "UPDATE request SET answered_at = ?, accepted = 0, error = ? WHERE id = ?",
            (event.at, event.reason, event.request),
        )
    if isinstance(event, ev.Answered) and contents.answer is not None:
        cost = contents.answer.cost
        db.execute(
            "UPDATE request SET answered_at = ?, accepted = ?, refused = ?, seconds = ?,"
            " input_tokens = ?, output_tokens = ?, dollars = ?, arm = ? WHERE id = ?",
            (
                event.at,
                len(event.drafts),
                json.dumps(contents.answer.refused),
                contents.seconds,
                cost.input_tokens,
                cost.output_tokens,
                cost.dollars,
                contents.answer.arm,
                event.request,
            ),
        )
        _write_troubles(db, contents.answer)


def _write_troubles(db: Connection, answer: Answer) -> None:
    """What keeps each arm from work. An arm that was not asked this time is as it was."""
    row = db.execute("SELECT value FROM scalar WHERE name = 'troubles'").fetchone()
    before = {} if row is None else json.loads(row["value"])
    left = {name: why for name, why in before.items() if name not in answer.refused_by}
    if left | dict(answer.troubles) != before:
        set_scalars(db, {"troubles": left | dict(answer.troubles)})


def write_arms(db: Connection, arms: Iterable[ArmRecord]) -> None:
    """Put the records of arms in the place of the older ones."""
    db.executemany(
        "INSERT INTO arm VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        [(record.name, json.dumps(vars(record))) for record in arms],
    )


def set_scalars(db: Connection, values: Mapping[str, object]) -> None:
    """Put values of the rules' state that stand in no table of their own."""
    put_scalars(db, {name: json.dumps(value) for name, value in values.items()})


def put_scalars(db: Connection, values: Mapping[str, str]) -> None:
    """The same with values that are JSON already."""
    db.executemany(
        "INSERT INTO scalar VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        list(values.items()),
    )


def count_slots(db: Connection, at: float, slots: int, why: str) -> None:
    """From now on there are so many slots. Numbered without a gap: sums rest on that."""
    db.execute("INSERT INTO slot_count (at, slots, why) VALUES (?, ?, ?)", (at, slots, why))


def end_slots(db: Connection, at: float | None = None) -> None:
    """A session is over. None: it was killed, and had its slots until it was heard of last."""
    newest = db.execute("SELECT at, why FROM slot_count ORDER BY id DESC LIMIT 1").fetchone()
    if newest is not None and newest["why"] != "over":
        count_slots(db, heard_of(db) if at is None else at, 0, "over")
