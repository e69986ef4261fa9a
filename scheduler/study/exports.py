"""What people take out of a study: `results.tsv`, CSV, and its notebook as Markdown.

In: a study's reader. Out: one file, written row by row (memory does not grow with the study) and
renamed into place. `results.tsv` has the columns of karpathy/autoresearch; the CSV has all that
the database knows of an experiment and of its first trial with an outcome. A failure's metric is
an empty field, never 0. Code and logs stay in the study: `show`, `diff` and `log` give them.
"""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from scheduler.rules.states import TrialKind
from scheduler.study.atomic import replacing
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, NotebookRecord, TrialRecord
from workers.log import clean, sentence

GIB = 2**30  # karpathy/autoresearch divides megabytes by 1024
COMMIT_DIGITS = 7
TEXT_LIMIT = 500  # characters of one field
LESSONS = 100  # the newest ones, where no notebook covers them

RESTS_ON = ("metric_trials", "metric_low", "metric_high")
EXPERIMENT_COLUMNS = (
    "id",
    "parent",
    "commit",
    "title",
    "hypothesis",
    "origin",
    "state",
    "metric",
    *RESTS_ON,
    "reason",
    "staleness",
    "constants",
    "fingerprint",
    "skeleton",
    "created_at",
    "decided_at",
    "expected",
    "lesson",
    "instruction",
    "combines",
    "mends",
    "call",
    "rebases",
    "size",
    "ablates",
    "hardware",
)
TRIAL_COLUMNS = (
    "trial",
    "seed",
    "slot",
    "status",
    "startup_seconds",
    "warm_up_seconds",
    "train_seconds",
    "eval_seconds",
    "teardown_seconds",
    "started_at",
    "finished_at",
    "steps",
    "tokens",
    "parameters",
    "train_loss",
    "peak_memory_bytes",
    "peak_device_memory_bytes",
    "device",
    "gpu_ids",
    "node",
    "sandbox",
    "judge",
    "audit_metric",
    "precision",
    "metrics",
    "warm",
)


def write_tsv(reader: Reader, path: Path, *, metric: str = "val_bpb") -> None:
    """Write the decided experiments, one a line: commit, metric, memory_gb, status, description.

    `memory_gb` is the first trial's peak in GiB: the accelerator's where it had one, else the
    host's. Raises OSError.
    """
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        file.write(f"commit\t{metric}\tmemory_gb\tstatus\tdescription\n")
        for experiment in reader.experiments():
            if not experiment.state.is_final:
                continue
            fields = (
                commit(reader.files(experiment.id)),
                "" if experiment.metric is None else f"{experiment.metric:.6f}",
                _memory(_first_done(reader, experiment.id)),
                experiment.state.value,
                sentence(experiment.title, TEXT_LIMIT),
            )
            file.write("\t".join(fields) + "\n")


def write_csv(reader: Reader, path: Path) -> None:
    """Write every experiment with all its columns, and those of its first trial with an outcome.

    Times are Unix seconds, durations seconds; `constants` is JSON. Raises OSError.
    """
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow((*EXPERIMENT_COLUMNS, *TRIAL_COLUMNS))
        for experiment in reader.experiments():
            table.writerow((*_experiment(reader, experiment), *_trial(reader, experiment.id)))


def write_notebook(reader: Reader, path: Path) -> None:
    """Write what the study has learned. Raises OSError."""
    with replacing(path) as draft:
        draft.write_text(notebook_text(reader), "utf-8")


class Learned(Protocol):
    """Who knows what a study has learned: a Reader, or whatever stands for one."""

    def notebook(self) -> NotebookRecord | None:
        """The newest notebook."""

    def lessons(self, *, after: int, limit: int) -> Sequence[str]:
        """The newest lessons of decisions after the given one."""


def notebook_text(reader: Learned) -> str:
    """The notebook and the newest lessons that it does not cover, as Markdown."""
    notebook = reader.notebook()
    lessons = reader.lessons(after=notebook.upto if notebook else 0, limit=LESSONS)
    parts = [notebook.text.strip()] if notebook else []
    if lessons:
        heading = "## Since then" if notebook else "## Lessons"
        parts.append("\n".join([heading, "", *(f"- {clean(each)}" for each in lessons)]))
    return "\n\n".join(parts or ["Nothing is decided yet."]) + "\n"


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
    trial = _first_done(reader, experiment)
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


def _first_done(reader: Reader, experiment: int) -> TrialRecord | None:
    """An experiment's first trial that has an outcome."""
    usual = (t for t in reader.trials(experiment) if t.kind is TrialKind.USUAL)
    return next((t for t in usual if t.outcome is not None), None)


def _memory(trial: TrialRecord | None) -> str:
    if trial is None or trial.outcome is None:
        return ""
    peak = trial.outcome.peak_device_memory_bytes or trial.outcome.peak_memory_bytes
    return f"{peak / GIB:.1f}" if peak else ""
