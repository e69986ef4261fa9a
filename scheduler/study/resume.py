"""Reading the rules' state back from a study's database. Decides nothing, changes nothing."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from immutables import Map

from agent import Purpose
from agent.proposal import NOT_MODELS
from scheduler.rules import events as ev
from scheduler.rules.fleet import Fleet
from scheduler.rules.noise import Noise
from scheduler.rules.policy import Policy
from scheduler.rules.state import (
    OVERTAKEN,
    Ask,
    Champion,
    Checks,
    ExperimentEntry,
    InstructionEntry,
    Pace,
    Result,
    State,
    Tally,
    TrialEntry,
    UnderWay,
    free_slots,
)
from scheduler.rules.states import (
    ExperimentState,
    InstructionState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from scheduler.study.values import class_of, read_scalars

ACTIONS: dict[str, type[ev.Action]] = {
    kind.__name__: kind for kind in (ev.StartTrial, ev.CancelTrial, ev.RequestProposals, ev.Finish)
}


def last_event(db: sqlite3.Connection) -> int:
    """The number of the newest event of this session; 0 before the first."""
    row = db.execute("SELECT value FROM scalar WHERE name = 'event'").fetchone()
    return 0 if row is None else int(json.loads(row["value"]))


def load_outbox(db: sqlite3.Connection) -> tuple[ev.Action, ...]:
    """The actions of the newest event."""
    rows = db.execute("SELECT action, data FROM outbox ORDER BY seq").fetchall()
    return tuple(_action(row["action"], json.loads(row["data"])) for row in rows)


def _action(name: str, fields: dict[str, Any]) -> ev.Action:
    if "purpose" in fields:
        fields["purpose"] = Purpose(fields["purpose"])
        fields["wins"] = tuple(fields.get("wins", ()))
    return ACTIONS[name](**fields)


def load_state(db: sqlite3.Connection, policy: Policy) -> State:
    """The state after the newest event; a new study's state where there was none."""
    scalars = read_scalars(db)
    if "study" not in scalars:
        return State(policy)
    trials = _open_trials(db)
    champions = _champions(db, trials)
    state = State(
        policy,
        study=StudyState(scalars["study"]),
        reason=StopReason(scalars["reason"]) if scalars["reason"] else None,
        slots=scalars["slots"],
        next_experiment=_next(db, "experiment", 0),
        next_trial=_next(db, "trial", 1),
        next_request=_next(db, "request", 1),
        champion=next(iter(champions), None),
        overtaken=tuple(champions[1:]),
        experiments=Map(_open_experiments(db, trials)),
        trials=Map(trials),
        ready=tuple(t.id for t in trials.values() if t.state is TrialState.PLANNED),
        waiting=tuple(scalars["waiting"]),
        next_instruction=_next(db, "instruction", 1),
        asked=Map({int(request): _ask(ask) for request, ask in scalars["asked"].items()}),
        instructions=Map(_open_instructions(db)),
        pace=Pace(**scalars["pace"]),
        fleet=_fleet(scalars.get("fleet", {})),
        noise=Map({name: Noise(**found) for name, found in scalars.get("noise", {}).items()}),
        checks=_checks(db, policy, scalars.get("checks", {})),
        tally=Tally(**{**scalars["tally"], "decided": _next(db, "experiment", 1, "decision") - 1}),
    )
    under_way = reduce(UnderWay.adding, state.asked.values(), UnderWay())
    return replace(state, free=free_slots(state.slots, state.trials), under_way=under_way)


def _next(db: sqlite3.Connection, table: str, first: int, column: str = "id") -> int:
    # With the condition SQLite takes the index of the decided ones, which has no empty decision.
    query = f"SELECT max({column}) FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608
    highest = db.execute(query).fetchone()[0]
    return first if highest is None else int(highest) + 1


def _ask(written: Mapping[str, Any]) -> Ask:
    wins = tuple(written.get("wins", ()))
    return Ask(**{**written, "purpose": Purpose(written["purpose"]), "wins": wins})


def _fleet(written: Mapping[str, Any]) -> Fleet:
    kinds = tuple((name, count) for name, count in written.get("kinds", ()))
    return Fleet(**{**written, "kinds": kinds, "sought": tuple(written.get("sought", ()))})


def _open_instructions(db: sqlite3.Connection) -> dict[int, InstructionEntry]:
    rows = db.execute("SELECT * FROM instruction WHERE state IN ('queued', 'in use') ORDER BY id")
    return {
        row["id"]: InstructionEntry(row["id"], InstructionState(row["state"]), row["expires"])
        for row in rows
    }


def _champions(db: sqlite3.Connection, trials: Mapping[int, TrialEntry]) -> list[Champion]:
    """The champion and those before it that are remembered, the newest first."""
    rows = db.execute(
        "SELECT experiment, number, experiment.metric, size FROM champion JOIN experiment"
        " ON experiment.id = experiment ORDER BY number DESC LIMIT ?",
        (1 + OVERTAKEN,),
    ).fetchall()
    return [
        Champion(
            experiment=row["experiment"],
            metric=row["metric"],
            count=row["number"],
            results=_results(db, row["experiment"]),
            open=_under_way(trials, row["experiment"]),  # of one that was overtaken, none
            size=row["size"],
            faults=_faults(db, row["experiment"]),
        )
        for row in rows
    ]


def _faults(db: sqlite3.Connection, experiment: int) -> tuple[int, ...]:
    """The seeds of a champion's repeats that failed: twice where there was an outcome."""
    rows = db.execute(
        "SELECT trial.number, 1 + (trial.state = 'done') AS times FROM trial"
        " JOIN champion USING (experiment) LEFT JOIN outcome ON outcome.trial = trial.id"
        " WHERE experiment = ? AND kind = 'usual' AND planned_at >= champion.at AND"
        " (blamed OR (trial.state = 'done' AND outcome.metric IS NULL))",
        (experiment,),
    )
    return tuple(sorted(n for row in rows for n in (row["number"],) * row["times"]))


def _under_way(trials: Mapping[int, TrialEntry], experiment: int) -> tuple[int, ...]:
    """An experiment's trials that may still decide something."""
    mine = (t for t in trials.values() if t.experiment == experiment)
    return tuple(sorted(t.id for t in mine if t.kind is TrialKind.USUAL))


def _checks(db: sqlite3.Connection, policy: Policy, written: Mapping[str, Any]) -> Checks:
    """The leaders as the policy wants them now; what became of their long trials as it was."""
    rows = db.execute(
        "SELECT experiment FROM champion WHERE number > 1 ORDER BY number DESC LIMIT ?",
        (policy.long_leaders,),
    )
    newest = [row["experiment"] for row in rows]
    rows = db.execute("SELECT experiment FROM champion WHERE number = 1")
    baseline = [row["experiment"] for row in rows] if policy.long_leaders else []
    over, lost = (tuple(written.get(name, ())) for name in ("over", "lost"))
    return Checks((*newest, *baseline), over, lost, written.get("ablated"))


def _failed(db: sqlite3.Connection, experiment: int) -> int:
    """Trials of an undecided experiment that failed, and were run again."""
    row = db.execute(
        "SELECT count(*) FROM trial JOIN outcome ON outcome.trial = trial.id WHERE experiment = ?"
        " AND kind = 'usual' AND outcome.metric IS NULL AND wants = 'reference'",
        (experiment,),
    ).fetchone()
    return int(row[0])


def _results(db: sqlite3.Connection, experiment: int) -> tuple[Result, ...]:
    """What the usual trials of an experiment measured, in the order in which they ended."""
    rows = db.execute(
        "SELECT number, outcome.metric, device, gpu_ids, precision, accelerator"
        " FROM trial JOIN outcome"
        " ON outcome.trial = trial.id WHERE experiment = ? AND outcome.metric IS NOT NULL"
        " AND kind = 'usual'"
        " ORDER BY trial.ended_at, trial.id",
        (experiment,),
    )
    return tuple(
        Result(
            row["number"],
            row["metric"],
            class_of(row),
            row["accelerator"],
        )
        for row in rows
    )


def _open_trials(db: sqlite3.Connection) -> dict[int, TrialEntry]:
    """Planned and running trials, in the order of the queue."""
    rows = db.execute("SELECT * FROM trial WHERE state IN ('planned', 'running') ORDER BY rank")
    return {
        row["id"]: TrialEntry(
            *(row["id"], row["experiment"], row["number"], TrialState(row["state"]), row["slot"]),
            kind=TrialKind(row["kind"]),
            wants=row["wants"],
            accelerator=row["accelerator"],
        )
        for row in rows
    }


def _open_experiments(
    db: sqlite3.Connection, trials: Mapping[int, TrialEntry]
) -> dict[int, ExperimentEntry]:
    entries = {}
    for row in db.execute("SELECT * FROM experiment WHERE decided_at IS NULL").fetchall():
        results = _results(db, row["id"])
        under_way = _under_way(trials, row["id"])
        entries[row["id"]] = ExperimentEntry(
            row["id"],
            row["parent"],
            row["champions"],
            ExperimentState(row["state"]),
            max(row["wanted"], len(results) + len(under_way)),  # more where it is confirmed
            results,
            row["losses"],
            under_way,
            row["origin"] not in NOT_MODELS,
            row["instruction"],
            row["mended"],
            tuple(json.loads(row["rebases"])),
            row["ablates"],
            row["size"],
            _failed(db, row["id"]),
        )
    return entries
