"""Lists of a study, page by page: with filters, in an order, and with marks that stay where they
are while the study goes on.

In: a Reader, what is wanted, and the mark where the last page ended. Out: the next page's records.
A mark is the value of the last record in the list's order, with its id, and not a count of
records: what is added meanwhile neither moves a record into two pages nor out of all of them.
Sorted by metric, or by when they were decided, only those are listed that have one: a failure has
no metric and no rank.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scheduler.rules.states import ExperimentState, InstructionState
from scheduler.study.calls import CallRecord, read_call
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, InstructionRecord


class Order(StrEnum):
    """What experiments are sorted by; ties go by id."""

    ID = "id"
    METRIC = "metric"
    DECIDED_AT = "decided_at"


@dataclass(frozen=True)
class Mark:
    """Where a page ended: the last record's value, and its id."""

    value: float
    id: int

    @property
    def is_sound(self) -> bool:
        """Whether it can stand in a query: it came from outside."""
        return math.isfinite(self.value) and -(2**63) <= self.id < 2**63


@dataclass(frozen=True)
class Filter:
    """Which experiments are wanted. What is not given does not matter."""

    states: Collection[ExperimentState] = ()
    origin: str | None = None  # baseline, tuner, person, or a model's name
    instruction: int | None = None  # the one that they serve
    since: float | None = None  # decided at this time or later
    text: str = ""  # in the title or the hypothesis, whatever the case of ASCII letters

    def clauses(self) -> tuple[list[str], list[object]]:
        """As conditions of SQL, with their values."""
        clauses: list[str] = []
        values: list[object] = []
        if self.states:
            clauses.append(f"state IN ({', '.join('?' * len(self.states))})")
            values += sorted(self.states)
        for name, value in (("origin", self.origin), ("instruction", self.instruction)):
            if value is not None:
                clauses.append(f"{name} = ?")
                values.append(value)
        if self.since is not None:
            clauses.append("decided_at >= ?")
            values.append(self.since)
        if self.text:
            clauses.append("(title LIKE ? ESCAPE '!' OR hypothesis LIKE ? ESCAPE '!')")
            escaped = "".join(f"!{each}" if each in "!%_" else each for each in self.text)
            values += [f"%{escaped}%"] * 2
        return clauses, values


def experiments(
    reader: Reader,
    wanted: Filter,
    order: Order = Order.ID,
    *,
    descending: bool = False,
    after: Mark | None = None,
    limit: int,
) -> list[Experiment]:
    """The next experiments in this order."""
    clauses, values = wanted.clauses()
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")
    if order is Order.ID:
        by = f"id {way}"
        if after is not None:
            clauses.append(f"id {beyond} ?")
            values.append(after.id)
    else:
        by = f"{order} {way}, id {way}"
        clauses.append(f"{order} IS NOT NULL")
        if after is not None:
            clauses.append(f"({order}, id) {beyond} (?, ?)")
            values += [after.value, after.id]
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    # The rest of a query is all that differs from the questions that the Reader asks itself.
    return list(reader._experiments(f"{where} ORDER BY {by} LIMIT ?", (*values, limit)))


def mark_of(experiment: Experiment, order: Order) -> Mark:
    """Where a page ends whose last experiment this is."""
    value = {Order.METRIC: experiment.metric, Order.DECIDED_AT: experiment.decided_at}.get(order)
    return Mark(0.0 if value is None else value, experiment.id)


def by_numbers(reader: Reader, numbers: Sequence[int]) -> dict[int, Experiment]:
    """These experiments, as far as there are such."""
    marks = ", ".join("?" * len(numbers))
    return {each.id: each for each in reader._experiments(f"WHERE id IN ({marks})", tuple(numbers))}


def instructions(
    reader: Reader, states: Collection[InstructionState] = (), *, after: int, limit: int
) -> list[InstructionRecord]:
    """The next instructions after a number."""
    chosen = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
    rows = reader.db.execute(
        f"SELECT * FROM instruction WHERE id > ? {chosen} ORDER BY id LIMIT ?",  # noqa: S608
        (after, *sorted(states), limit),
    ).fetchall()
    return [reader._instruction(row) for row in rows]


def instruction(reader: Reader, number: int) -> InstructionRecord | None:
    """One instruction, or None where there is no such number."""
    row = reader.db.execute("SELECT * FROM instruction WHERE id = ?", (number,)).fetchone()
    return None if row is None else reader._instruction(row)


def calls_of(reader: Reader, experiment: Experiment) -> list[CallRecord]:
    """The calls to models that an experiment came from, its repairs too, in their order."""
    if experiment.call is None or (first := reader.call(experiment.call)) is None:
        return []
    rows = reader.db.execute(
        "SELECT * FROM call WHERE request = ? AND model = ? ORDER BY id",
        (first.request, first.model),
    )
    return [read_call(row) for row in rows]
