"""The files of each experiment, beside the database: for people, editors and scripts.

Everything here follows from the database but the whole log of a trial, of which the database
keeps the tail only. It is written after the commit, so that a crash in between leaves a study
that is complete where it counts.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from scheduler.study.atomic import replacing
from scheduler.study.folder import StudyFolder
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader
from scheduler.study.trial_logs import ended, header
from workers.files import write_files

PROPOSAL = ("id", "parent", "title", "hypothesis", "origin", "constants", "created_at")
MOST_MISSING = 1000  # that a killed process can have left out; a person may have deleted more


class Artifacts:
    """Writes `experiments/ID/` and `best/` of one study."""

    def __init__(self, folder: StudyFolder, reader: Reader) -> None:
        self._folder = folder
        self._reader = reader

    def write_experiment(self, number: int) -> None:
        """Write an experiment's files, its difference from the parent and its proposal."""
        experiment = self._reader.experiment(number)
        if experiment is None:
            return
        home = self._folder.experiment(number)
        files = self._reader.files(number)
        for name, text in files.items():
            _write(home.file(name), text)
        if experiment.parent is not None:
            before = self._reader.files(experiment.parent)
            _write(home.diff, unified_diff(before, files))
        proposal = {name: getattr(experiment, name) for name in PROPOSAL}
        with replacing(home.proposal) as draft:  # its presence says that the rest is there
            draft.write_text(json.dumps(proposal, indent=2) + "\n", "utf-8")

    def missing(self) -> list[int]:
        """The newest experiments whose files are not all there, in order of their numbers.

        They are written in that order and the proposal comes last, so one that is complete ends
        the search.
        """
        numbers = []
        count = self._reader.count()
        for number in range(count - 1, max(-1, count - 1 - MOST_MISSING), -1):
            if self._folder.experiment(number).proposal.is_file():
                break
            numbers.append(number)
        return numbers[::-1]

    def start_log(self, experiment: int, trial: int) -> None:
        """Begin the log of a trial."""
        _write(self._folder.experiment(experiment).trial_log(trial), header(trial))

    def append_log(self, experiment: int, trial: int, text: str) -> None:
        """Add what a running trial has printed."""
        path = self._folder.experiment(experiment).trial_log(trial)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    def finish_log(self, experiment: int, trial: int, text: str) -> None:
        """Put the whole log of a trial in the place of what was streamed."""
        path = self._folder.experiment(experiment).trial_log(trial)
        _write(path, header(trial) + ended(text))

    def keep_files(self, experiment: int, trial: int, files: Iterable[tuple[str, bytes]]) -> None:
        """Keep what a trial has left. Raises OSError, and BundleError for a name that leads out."""
        place = self._folder.experiment(experiment).artifacts(trial)
        place.mkdir(parents=True, exist_ok=True)
        write_files(place, files)

    def write_best(self, experiment: int) -> None:
        """Put the champion's files into `best/`, and take out what an earlier one had added."""
        files = self._reader.files(experiment)
        for name, text in files.items():
            _write(self._folder.best / name, text)
        for path in self._folder.best.rglob("*"):
            if path.is_file() and path.relative_to(self._folder.best).as_posix() not in files:
                path.unlink()


def _write(path: Path, text: str) -> None:
    # Line ends stay as they are: the hash of a file is taken over its very characters.
    try:
        path.write_text(text, "utf-8", newline="")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")
