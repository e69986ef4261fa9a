"""A study as one table: every experiment a row, with its first trial that has an outcome.

In: a study's reader. Out: the columns with the type of what stands in them, and the rows in order
of the ids. Times are Unix seconds, durations seconds, memory bytes; `constants`, `rebases` and
`metrics` are JSON. What there is not is None, never 0: a failure has no metric.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from scheduler.rules.states import TrialKind
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord
from workers.log import sentence

COMMIT_DIGITS = 7
TEXT_LIMIT = 500  # characters of one field

RESTS_ON: Mapping[str, type] = {"metric_trials": int, "metric_low": float, "metric_high": float}
EXPERIMENT_COLUMNS: Mapping[str, type] = {
    "id": int,
    "parent": int,
    "commit": str,
    "title": str,
    "hypothesis": str,
    "origin": str,
    "state": str,
    "metric": float,
    **RESTS_ON,
    "reason": str,
    "staleness": int,
    "constants": str,
    "fingerprint": str,
    "skeleton": str,
    "created_at": float,
    "decided_at": float,
    "expected": str,
    "lesson": str,
    "instruction": int,
    "combines": int,
    "mends": int,
    "call": int,
    "rebases": str,
    "size": int,
    "ablates": int,
    "hardware": str,
}
TRIAL_COLUMNS: Mapping[str, type] = {
    "trial": int,
    "seed": int,
    "slot": int,
    "status": str,
    "startup_seconds": float,
    "warm_up_seconds": float,
    "train_seconds": float,
    "eval_seconds": float,
    "teardown_seconds": float,
    "started_at": float,
    "finished_at": float,
    "steps": int,
    "tokens": int,
    "parameters": int,
    "train_loss": float,
    "peak_memory_bytes": int,
    "peak_device_memory_bytes": int,
    "device": str,
    "gpu_ids": str,
    "node": str,
    "sandbox": str,
    "judge": str,
    "audit_metric": float,
    "precision": str,
    "metrics": str,
    "warm": int,
}
COLUMNS: Mapping[str, type] = {**EXPERIMENT_COLUMNS, **TRIAL_COLUMNS}


def rows(reader: Reader) -> Iterator[tuple[object, ...]]:
    """Every experiment's values, in the order of `COLUMNS`."""
    for experiment in reader.experiments():
        yield (*_experiment(reader, experiment), *_trial(reader, experiment.id))


def first_done(reader: Reader, experiment: int) -> TrialRecord | None:
    """An experiment's first trial that has an outcome."""
    usual = (t for t in reader.trials(experiment) if t.kind is TrialKind.USUAL)
    return next((t for t in usual if t.outcome is not None), None)


def commit(files: Mapping[str, str]) -> str:
    """The first seven hex digits of a hash of names and texts: equal code, equal digits."""
    digest = hashlib.sha256()
    for name in sorted(files):
        text = files[name].encode()
        digest.update(f"{name}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()[:COMMIT_DIGITS]


def _experiment(reader: Reader, experiment: Experiment) -> tuple[object, ...]:
    return (
        experiment.id,
        experiment.parent,
        commit(reader.files(experiment.id)),
        sentence(experiment.title, TEXT_LIMIT),
        sentence(experiment.hypothesis, TEXT_LIMIT),
        sentence(experiment.origin, TEXT_LIMIT),
        experiment.state.value,
        experiment.metric,
        *rests_on(experiment),
        sentence(experiment.reason, TEXT_LIMIT),
        experiment.staleness,
        json.dumps(dict(experiment.constants)),
        experiment.fingerprint,
        experiment.skeleton,
        experiment.created_at,
        experiment.decided_at,
        sentence(experiment.expected, TEXT_LIMIT),
        sentence(experiment.lesson, TEXT_LIMIT),
        experiment.instruction,
        experiment.combines,
        experiment.mends,
        experiment.call,
        json.dumps(experiment.rebases),
        experiment.size,
        experiment.ablates,
        sentence(experiment.hardware, TEXT_LIMIT),
    )


def rests_on(experiment: Experiment) -> tuple[object, ...]:
    """Of how many trials its metric is the mean, with the lowest and the highest of them."""
    if (repeats := experiment.repeats) is None:
        return (experiment.trials or None, experiment.metric, experiment.metric)
    return (repeats.trials, repeats.low, repeats.high)


def _trial(reader: Reader, experiment: int) -> tuple[object, ...]:
    trial = first_done(reader, experiment)
    if trial is None or trial.outcome is None:
        return (None,) * len(TRIAL_COLUMNS)
    outcome, timings = trial.outcome, trial.outcome.timings
    return (
        trial.id,
        trial.seed,
        trial.slot,
        outcome.status.value,
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
        sentence(outcome.device, TEXT_LIMIT),
        ",".join(outcome.gpu_ids),
        sentence(outcome.node, TEXT_LIMIT),
        outcome.sandbox,
        outcome.judge,
        outcome.audit_metric,
        outcome.precision,
        json.dumps(dict(outcome.metrics)),
        int(outcome.warm),
    )
