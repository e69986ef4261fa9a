"""A study as pandas data frames, for notebooks.

In: a study's folder or name; it may be running. Out: `Frames`, read once. What there is not is NaN,
NA or NaT, never 0: a failure has no metric. Units stand in the names: `_seconds`, `_bytes`; times
(`_at`) are in UTC. The metric is in the study's own unit, bits per byte for the bundled task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.errors import UsageError
from scheduler.study.folder import StudyFolder
from scheduler.study.names import resolve_study
from scheduler.study.reader import Reader
from scheduler.study.records import TrialRecord
from scheduler.study.table import RESTS_ON, rests_on
from workers.command import SELF_REPORTED

if TYPE_CHECKING:
    import pandas as pd

CONSTANT = "constants."  # before the name of a constant at the top of the code
FIGURE = "figures."  # before the name of one that a repository reports beside its metric

EXPERIMENTS: Mapping[str, str] = {
    "parent": "Int64",
    "title": "str",
    "hypothesis": "str",
    "origin": "category",
    "state": "category",
    "metric": "float64",
    "metric_trials": "Int64",
    "metric_low": "float64",
    "metric_high": "float64",
    "reason": "str",
    "staleness": "Int64",
    "created_at": "time",
    "decided_at": "time",
    "lesson": "str",
    "instruction": "Int64",
    "combines": "Int64",
    "mends": "Int64",
    "ablates": "Int64",
    "rebases": "object",
    "size": "Int64",
    "hardware": "category",
    "fingerprint": "str",
}
TRIALS: Mapping[str, str] = {
    "experiment": "Int64",
    "number": "Int64",
    "kind": "category",
    "state": "category",
    "status": "category",
    "metric": "float64",
    "audit_metric": "float64",
    "train_loss": "float64",
    "seed": "Int64",
    "slot": "Int64",
    "planned_at": "time",
    "started_at": "time",
    "finished_at": "time",
    "startup_seconds": "float64",
    "warm_up_seconds": "float64",
    "train_seconds": "float64",
    "eval_seconds": "float64",
    "teardown_seconds": "float64",
    "steps": "Int64",
    "tokens": "Int64",
    "tokens_per_second": "float64",
    "parameters": "Int64",
    "peak_memory_bytes": "Int64",
    "peak_device_memory_bytes": "Int64",
    "device": "category",
    "precision": "category",
    "node": "category",
    "sandbox": "category",
    "warm": "boolean",
    "judge": "category",
    "reason": "str",
}
CHAMPIONS: Mapping[str, str] = {
    "experiment": "Int64",
    "metric": "float64",
    "crowned_metric": "float64",
    "at": "time",
}
"""Each frame's columns with their types; `time` is datetime64 in UTC."""


@dataclass(frozen=True)
class Frames:
    """One study. Each frame has its records' ids as index.

    Each also says what its metrics are, in `attrs`: `metric` and `self_reported`. Where they are
    self-reported its columns are named by that too, so that a table shows it.
    """

    name: str
    metric: str  # what is in the columns `metric`; it says so where that is self-reported
    minimize: bool  # whether less of it is better
    is_self_reported: bool  # the edited code itself said what it is, and no referee
    experiments: "pd.DataFrame"
    """By id, with `EXPERIMENTS`; `metric` is the mean of `metric_trials` trials, between
    `metric_low` and `metric_high`. Constants of the code are columns of their own:
    `constants.DEPTH`."""
    trials: "pd.DataFrame"
    """By id, with `TRIALS`; those without an outcome yet, and lost ones, too."""
    champions: "pd.DataFrame"
    """By number, 1 the baseline, with `CHAMPIONS`; `metric` is the experiment's, and
    `crowned_metric` what that was on the day."""


def load_frames(path: str | Path) -> Frames:
    """See `scheduler.study.load`."""
    try:
        import pandas as pd  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "pandas is not installed; run: pip install 'autoresearch-ray[pandas]'"
        ) from None
    folder = StudyFolder(resolve_study(str(path)))
    config = folder.load_config()
    with Reader(folder.database) as reader:
        experiments = [
            {
                **_fields(each),
                **dict(zip(RESTS_ON, rests_on(each), strict=True)),
                **{f"{CONSTANT}{k}": v for k, v in each.constants.items()},
            }
            for each in reader.experiments()
        ]
        trials = [_trial(each) for each in reader.trials()]
        champions = [_fields(each) | {"id": each.number} for each in reader.champions()]
    frame = _frame(pd, experiments, EXPERIMENTS)
    for name in sorted({key for each in experiments for key in each if key.startswith(CONSTANT)}):
        # Whole numbers stay whole, though an experiment whose code lacks one has none.
        frame[name] = pd.Series({e["id"]: e.get(name) for e in experiments}).convert_dtypes()
    told = _frame(pd, trials, TRIALS)
    for name in sorted({key for each in trials for key in each if key.startswith(FIGURE)}):
        told[name] = pd.Series({t["id"]: t.get(name) for t in trials}, dtype="float64")
    best = _frame(pd, champions, CHAMPIONS).rename_axis("number")
    judges = told["judge"].astype(str)
    by_code = config.task.self_reported or bool(judges.str.startswith(SELF_REPORTED).any())
    for each in (frame, told, best):
        each.attrs |= {"metric": config.task.label, "self_reported": by_code}
        each.columns.name = config.task.label if config.task.self_reported else None
    return Frames(
        name=folder.name,
        metric=config.task.label,
        minimize=config.task.metric.goal == "minimize",
        is_self_reported=by_code,
        experiments=frame,
        trials=told,
        champions=best,
    )


def _frame(pd: Any, records: Iterable[Mapping[str, Any]], types: Mapping[str, str]) -> Any:
    records = list(records)
    index = pd.Index([each["id"] for each in records], name="id", dtype="int64")
    columns = {}
    for name, kind in types.items():
        values = [each[name] for each in records]
        columns[name] = (
            pd.Series(pd.to_datetime(values, unit="s", utc=True), index=index)
            if kind == "time"
            else pd.Series(values, index=index, dtype=kind)
        )
    return pd.DataFrame(columns, index=index)


def _fields(record: Any) -> dict[str, Any]:
    """A record's fields; states as their words."""
    return {key: getattr(value, "value", value) for key, value in vars(record).items()}


def _trial(trial: TrialRecord) -> dict[str, Any]:
    """A trial with what came of it, flat."""
    record = dict.fromkeys(TRIALS) | _fields(trial)
    outcome = trial.outcome
    if outcome is None:
        return record
    fields = _fields(outcome)
    fields.pop("trial")
    figures = {f"{FIGURE}{name}": value for name, value in fields.pop("metrics").items()}
    fields["reason"] = outcome.reason or trial.reason
    timings = {f"{name}_seconds": value for name, value in asdict(outcome.timings).items()}
    trained = outcome.tokens and outcome.timings.train
    rate = outcome.tokens / outcome.timings.train if trained else None
    return record | fields | timings | figures | {"tokens_per_second": rate}
