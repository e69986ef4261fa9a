"""Writes what people read beside a running study: `results.tsv`, `notebook.md`, `progress.png`.

In: the study's folder, its task. Out: the files, each whole. It reads all of the study, which
takes seconds once that is long, so it is no part of the results actor: on Ray it is a task of its
own on the driver's node, behind everything else there (`cluster.py`).
"""

import os
from contextlib import suppress
from pathlib import Path

from scheduler.study.exports import write_notebook, write_tsv
from scheduler.study.folder import StudyFolder
from scheduler.study.plot import write_plot
from scheduler.study.reader import Reader
from scheduler.study.task_section import TaskSection

NICENESS = 10


def export(path: Path, task: TaskSection) -> None:
    """Write them, if there is room on the disk."""
    folder = StudyFolder(path)
    with suppress(OSError), Reader(folder.database) as reader:
        write_tsv(reader, folder.results, metric=task.label)
        write_notebook(reader, folder.notebook, label=task.caution)
        minimize = task.metric.goal == "minimize"
        write_plot(reader, folder.progress, metric=task.label, minimize=minimize)


def export_politely(path: Path, task: TaskSection) -> None:
    """The same in a process that was made for it: trials are not to feel it."""
    os.nice(NICENESS)
    export(path, task)
