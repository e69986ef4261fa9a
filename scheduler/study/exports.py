"""What people take out of a study: `results.tsv`, CSV, Parquet, and its notebook as Markdown.

In: a study's reader. Out: one file, written row by row or some hundreds at a time (memory does not
grow with the study) and renamed into place. `results.tsv` has the columns of karpathy/autoresearch;
CSV and Parquet have those of `table.py`: all that the database knows of an experiment and of its
first trial with an outcome. A failure's metric is an empty field, never 0. Code and logs stay in
the study: `show`, `diff` and `log` give them.
"""

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from agent.notebook import headed
from scheduler.figures import figure
from scheduler.study.atomic import replacing
from scheduler.study.reader import Reader
from scheduler.study.records import NotebookRecord, TrialRecord
from scheduler.study.table import COLUMNS, TEXT_LIMIT, commit, first_done, rows
from workers.log import clean, sentence

GIB = 2**30  # karpathy/autoresearch divides megabytes by 1024
ROW_GROUP = 1000  # rows of a Parquet file that are written at once
LESSONS = 100  # the newest ones, where no notebook covers them


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
                "" if experiment.metric is None else figure(experiment.metric),
                _memory(first_done(reader, experiment.id)),
                experiment.state.value,
                sentence(experiment.title, TEXT_LIMIT),
            )
            file.write("\t".join(fields) + "\n")


def write_csv(reader: Reader, path: Path) -> None:
    """Write every experiment with all its columns, those of `table.py`. Raises OSError."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows(reader))


def write_parquet(reader: Reader, path: Path, *, metric: str = "val_bpb") -> None:
    """Write the same columns with the types that they have; what there is not is null.

    The name of the metric, which says so where that is self-reported, is the file's metadata
    `metric`. Raises OSError.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a moment, and most exports do without
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    fields = [(name, kinds[kind]) for name, kind in COLUMNS.items()]
    schema = pa.schema(fields, metadata={"metric": metric})
    with replacing(path) as draft, pq.ParquetWriter(draft, schema) as file:
        left = rows(reader)
        while some := list(islice(left, ROW_GROUP)):
            columns = zip(*some, strict=True)
            arrays = [
                pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)
            ]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_notebook(reader: Reader, path: Path, *, label: str = "") -> None:
    """Write what the study has learned; `label` as in `notebook_text`. Raises OSError."""
    with replacing(path) as draft:
        draft.write_text(notebook_text(reader, label), "utf-8")


class Learned(Protocol):
    """Who knows what a study has learned: a Reader, or whatever stands for one."""

    def notebook(self) -> NotebookRecord | None:
        """The newest notebook."""

    def lessons(self, *, after: int, limit: int) -> Sequence[str]:
        """The newest lessons of decisions after the given one."""


def notebook_text(reader: Learned, label: str = "") -> str:
    """The notebook and the newest lessons that it does not cover, as Markdown.

    `label`: of a metric that is self-reported, for the heading, whoever wrote the notebook.
    """
    notebook = reader.notebook()
    lessons = reader.lessons(after=notebook.upto if notebook else 0, limit=LESSONS)
    parts = [notebook.text.strip()] if notebook else []
    if lessons:
        heading = "## Since then" if notebook else "## Lessons"
        parts.append("\n".join([heading, "", *(f"- {clean(each)}" for each in lessons)]))
    return headed("\n\n".join(parts or ["Nothing is decided yet."]), label) + "\n"


def _memory(trial: TrialRecord | None) -> str:
    if trial is None or trial.outcome is None:
        return ""
    peak = trial.outcome.peak_device_memory_bytes or trial.outcome.peak_memory_bytes
    return f"{peak / GIB:.1f}" if peak else ""
