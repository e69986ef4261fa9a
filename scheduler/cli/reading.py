"""What the reading verbs share: choosing a study, and printing as text or as JSON.

In: the name or path that a person gave. Out: the study opened for reading, which may be running.
On a pipe, text is as wide as 80 columns and has no colours.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from scheduler.study.folder import StudyFolder
    from scheduler.study.reader import Reader
    from scheduler.study.records import Experiment

StudyOption = Annotated[
    str | None,
    typer.Option("--study", "-s", help="Name (below studies/) or folder. Default: the latest."),
]
StudyArgument = Annotated[
    str | None, typer.Argument(help="Name (below studies/) or folder. Default: the latest.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True)
class Chosen:
    """A study that is read."""

    folder: "StudyFolder"
    reader: "Reader"
    metric: str
    minimize: bool
    budget: str

    def experiment(self, number: int) -> "Experiment":
        """An experiment by its id; raises UsageError where there is none."""
        from scheduler.errors import UsageError

        experiment = self.reader.experiment(number)
        if experiment is None:
            count = self.reader.study().experiments
            there = f"0 to {count - 1}" if count else "none yet"
            raise UsageError(f"no experiment {number} in {self.folder.path} (there are: {there})")
        return experiment


@contextmanager
def choose(wanted: str | None) -> Iterator[Chosen]:
    """Open a study by its name or path, or the latest one. Raises UsageError, StudyError."""
    from scheduler.errors import UsageError
    from scheduler.study.folder import StudyFolder
    from scheduler.study.names import latest_study, resolve_study
    from scheduler.study.reader import Reader

    folder = latest_study() if wanted is None else StudyFolder(resolve_study(wanted))
    if wanted is not None and not folder.exists and StudyFolder(Path(wanted)).exists:
        folder = StudyFolder(Path(wanted))  # a folder's bare name, from the folder above it
    config = folder.load_config()
    if not folder.database.exists():
        raise UsageError(f"{folder.path}: nothing has run in this study yet")
    goal = config.task.metric
    with Reader(folder.database) as reader:
        yield Chosen(folder, reader, goal.name, goal.goal == "minimize", config.budget_words())


def screen() -> "Console":
    """Where text goes."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print one JSON document: numbers as numbers, what there is not as null."""
    json.dump(plain(value), sys.stdout, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


def plain(value: Any) -> Any:
    """Records as what JSON knows. NaN and infinity are no JSON: null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
