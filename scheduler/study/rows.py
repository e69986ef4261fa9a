"""What a row of the study's database is as a record: experiments, trials, outcomes.

In: rows of the queries of `reader.py`, with the columns that are named here. Out: frozen records.
It asks nothing and decides nothing; a new column of `schema.sql` is read here.
"""

import json
import sqlite3
from dataclasses import fields
from functools import lru_cache
from typing import Any

from scheduler.rules.estimate import Repeats, repeated
from scheduler.rules.states import ExperimentState, TrialKind, TrialState
from scheduler.study.records import Experiment, TrialRecord
from workers import Outcome, OutcomeStatus, Timings
from workers.outcome import hardware

NO_COLUMN = "repeats"  # of an experiment: it is in the outcomes of its trials
COLUMNS = tuple(n for each in fields(Experiment) if (n := each.name) != NO_COLUMN)  # named alike
MEASURED = (  # number, metric and class of each trial of an experiment that had further ones
    "(SELECT json_group_array(json_array("
    "number, printf('%!.17g', outcome.metric), device, gpu_ids, precision))"  # in JSON: 15 digits
    " FROM trial JOIN outcome ON outcome.trial = trial.id WHERE trial.experiment = experiment.id"
    " AND kind = 'usual' AND outcome.metric IS NOT NULL AND experiment.metric IS NOT NULL"
    " GROUP BY trial.experiment HAVING max(number) > 1)"
)
EXPERIMENT = f"{', '.join(COLUMNS)}, {MEASURED} AS measured"
KNOWN = 1024  # experiments that are not made anew while their rows are as they were


@lru_cache(KNOWN)
def experiment_of(row: tuple[Any, ...]) -> Experiment:
    """An experiment of its columns. Each briefing reads some hundreds, and most of them again."""
    *columns, measured = row
    values = dict(zip(COLUMNS, columns, strict=True))
    values["state"] = ExperimentState(values["state"])
    values["constants"] = json.loads(values["constants"])
    values["rebases"] = tuple(json.loads(values["rebases"]))
    baseline = values["parent"] is None
    repeats = repeats_of(measured, values["hardware"], baseline=baseline)
    return Experiment(**values, repeats=repeats)


def repeats_of(measured: str | None, on: str, *, baseline: bool) -> Repeats | None:
    """What an experiment's metric rests on, from its column `measured`; None: on one trial."""
    trials = json.loads(measured) if measured else []
    metrics = {
        number: float(metric)
        for number, metric, device, gpu_ids, precision in trials
        if hardware(device, gpu_ids.split(","), precision) == on
    }
    return repeated(metrics, baseline=baseline)


def trial_of(row: sqlite3.Row) -> TrialRecord:
    """A trial with its outcome; their reasons come as `why` and `said`."""
    return TrialRecord(
        id=row["id"],
        experiment=row["experiment"],
        number=row["number"],
        seed=row["seed"],
        state=TrialState(row["state"]),
        slot=row["slot"],
        reason=row["why"],
        planned_at=row["planned_at"],
        assigned_at=row["assigned_at"],
        ended_at=row["ended_at"],
        outcome=_outcome_of(row) if row["trial"] is not None else None,
        kind=TrialKind(row["kind"]),
        wants=row["wants"],
        accelerator=row["accelerator"],
    )


def _outcome_of(row: sqlite3.Row) -> Outcome:
    return Outcome(
        trial=row["trial"],
        status=OutcomeStatus(row["status"]),
        reason=row["said"],
        metric=row["metric"],
        timings=Timings(row["startup"], row["warm_up"], row["train"], row["eval"], row["teardown"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        steps=row["steps"],
        tokens=row["tokens"],
        parameters=row["parameters"],
        train_loss=row["train_loss"],
        peak_memory_bytes=row["peak_memory_bytes"],
        peak_device_memory_bytes=row["peak_device_memory_bytes"],
        device=row["device"],
        precision=row["precision"],
        gpu_ids=tuple(filter(None, row["gpu_ids"].split(","))),
        node=row["node"],
        sandbox=row["sandbox"],
        judge=row["judge"],
        log=row["log_tail"],
        audit_metric=row["audit_metric"],
        metrics=json.loads(row["metrics"]),
        warm=bool(row["warm"]),
    )
