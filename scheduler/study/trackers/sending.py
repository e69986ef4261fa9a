"""Sends a study's trials to one tracker: all that can be told and that it does not have yet.

In: a study's folder, a tracker's name and a place for its files. Out: how many runs were sent.
The same call again sends what is new. Used after the fact by `export`, and beside a running study
by `beside.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.trackers.collecting import Collector, Waiting
from scheduler.study.trackers.ledger import Ledger
from scheduler.study.trackers.opening import open_tracker
from scheduler.study.trackers.run import Tracker, TrackerSettings


@dataclass
class Sender:
    """One tracker of one study, open."""

    _reader: Reader
    _collector: Collector
    _tracker: Tracker
    _ledger: Ledger
    _waiting: Waiting

    @property
    def in_all(self) -> int:
        """How many trials the tracker has."""
        return len(self._ledger.told)

    def send(self) -> Iterator[int]:
        """Send what can be told now, one run at each step; yields the trials' ids."""
        for trial, experiment in self._waiting.ready(self._reader):
            self._tracker.add(self._collector.run(trial, experiment))
            self._ledger.add(trial.id)
            yield trial.id


@contextmanager
def opened(
    name: str,
    folder: StudyFolder,
    config: Config,
    place: Path,
    settings: TrackerSettings,
    *,
    patience: float = 0.0,
) -> Iterator[Sender]:
    """Open a tracker for a study. Its files and the ledger lie in `place`.

    Raises UsageError: another process sends these, or the tracker is not installed.
    """
    with Reader(folder.database) as reader:
        collector = Collector(folder, config, reader)
        facts = collector.facts
        with Ledger(place / name / f"sent-{facts.id}.txt", patience=patience) as ledger:
            tracker = open_tracker(name, facts, place / name, settings)
            try:
                yield Sender(reader, collector, tracker, ledger, Waiting(ledger.told))
            finally:
                tracker.close()
