"""The sums of all slots' time until now, for views of each second: nothing is added up for them.

In: a connection to a study's database. Out: a `SlotTime`. What it says in full, slot by slot, is
`timeline.py`'s part.
"""

import sqlite3
from collections.abc import Mapping

from scheduler.rules.states import TrialState
from scheduler.rules.timeline import PHASES, Kind, SlotTime

COLUMNS = ("startup", "warm_up", "train", "eval", "teardown")  # of the table `outcome`, as PHASES


def read_slot_time(db: sqlite3.Connection, totals: Mapping[str, float]) -> SlotTime:
    """The sums until now, from those that the schema's triggers keep; for views of each second."""
    newest = db.execute("SELECT at, slots FROM slot_count ORDER BY id DESC LIMIT 1").fetchone()
    running, given = db.execute(
        "SELECT count(*), coalesce(sum(assigned_at), 0.0) FROM trial"
        " WHERE state IN ('planned', 'running') AND state = 'running'"
    ).fetchone()
    phases = {
        kind: totals.get(f"{name}_seconds", 0.0) for kind, name in zip(PHASES, COLUMNS, strict=True)
    }
    # Ray's part before and after is not kept apart, which only the two clocks together could say.
    rays = totals.get(f"held:{TrialState.DONE}", 0.0) - sum(phases.values())
    lost, cancelled = (
        totals.get(f"held:{s}", 0.0) for s in (TrialState.LOST, TrialState.CANCELLED)
    )
    return SlotTime(
        ended={**phases, Kind.DISPATCH: rays, Kind.LOST: lost, Kind.CANCELLED: cancelled},
        exists=totals.get("slot_seconds", 0.0),
        counted_at=newest["at"] if newest is not None else 0.0,
        slots=newest["slots"] if newest is not None else 0,
        running=running,
        given=given,
        heard_at=heard_of(db),
    )


def heard_of(db: sqlite3.Connection) -> float:
    """The newest time that the study has noted anything: its state at most 30 s ago, or a fact."""
    (noted,) = db.execute(
        "SELECT max(coalesce((SELECT json_extract(value, '$.seen_at') FROM scalar"
        " WHERE name = 'tally'), 0.0),"
        " coalesce((SELECT at FROM journal ORDER BY seq DESC LIMIT 1), 0.0),"
        " coalesce((SELECT at FROM slot_count ORDER BY id DESC LIMIT 1), 0.0))"
    ).fetchone()
    return float(noted)
