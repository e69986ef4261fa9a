"""A study in a folder of this machine, for the verbs: database, live view, logs and mailbox.

In: a folder, which may hold a study that runs. Out: a `Source` (see `source.py`). Nothing is
written but letters in the study's mailbox.
"""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scheduler.cli.source import Asked, Fate, Result, Sent
from scheduler.errors import UsageError
from scheduler.rules.order import OrderCheck, check_order
from scheduler.study.calls import CallRecord
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.live import read_live
from scheduler.study.reader import Reader
from scheduler.study.records import (
    Experiment,
    Live,
    NotebookRecord,
    Reply,
    TrialRecord,
)
from scheduler.study.task_section import editable_of
from scheduler.study.task_words import measurement
from scheduler.study.trial_logs import Following, TrialLogs, kept_tails

if TYPE_CHECKING:
    from scheduler.study.letters import AnyLetter, Instruct
    from scheduler.study.timeline import Timeline

FOLLOW_SECONDS = 0.2  # between two looks at a log that grows
SHOWN = 10  # of the queue and of the latest decisions, as in the live view of a running study


class LocalSource:
    """One study's folder."""

    def __init__(self, folder: StudyFolder, reader: Reader, config: Config) -> None:
        self.folder, self.reader, self.config = folder, reader, config
        self.name, self.where = folder.name, str(folder.path)
        self.address = str(folder.path.absolute())
        self.metric = config.task.label
        self.minimize = config.task.metric.goal == "minimize"
        self.self_reported = config.task.self_reported
        self.measurement = measurement(config.task)
        self.editable = editable_of(config.task)
        self.resume = f"autoresearch run {shlex.quote(str(folder.path))}"

    def live(self) -> tuple[Live, bool]:
        """From its live view, else from its database."""
        if (live := read_live(self.folder.live)) is not None:
            return live, True
        reader, study = self.reader, self.reader.study()
        live = Live(
            at=study.opened_at,
            study=study,
            queue=tuple(reader.queue(SHOWN)),
            recent=tuple(reader.recent(SHOWN)),
            champion=reader.experiment(study.champion.experiment) if study.champion else None,
            metric=self.metric,
            budget=self.config.budget_words(),
        )
        return live, False

    def experiment(self, number: int) -> Experiment | None:
        """From the database."""
        return self.reader.experiment(number)

    def trials(self, experiment: int) -> list[TrialRecord]:
        """From the database."""
        return self.reader.trials(experiment)

    def files(self, experiment: int) -> dict[str, str]:
        """From the database."""
        return self.reader.files(experiment)

    def best_file(self, name: str) -> str:
        """In the folder `best/`."""
        return str(self.folder.best / name)

    def call(self, experiment: Experiment) -> CallRecord | None:
        """From the database."""
        return None if experiment.call is None else self.reader.call(experiment.call)

    def leaders(self, count: int) -> list[Experiment]:
        """From the database."""
        return self.reader.leaders(count, minimize=self.minimize)

    def order(self) -> OrderCheck:
        """From the database."""
        return check_order(self.reader.figures(), minimize=self.minimize)

    def instructions(self, *, open_only: bool = False) -> list[Asked]:
        """From the database."""
        asked = []
        for each in self.reader.instructions(open_only=open_only):
            named = (self.reader.experiment(number) for number in each.experiments)
            asked.append(
                Asked(each, tuple(Result(e.id, e.state, e.metric) for e in named if e is not None))
            )
        return asked

    def unread(self) -> "list[Instruct]":
        """From the mailbox."""
        from scheduler.study.desk import Desk
        from scheduler.study.letters import Instruct

        return [each for each in Desk(self.folder).waiting() if isinstance(each, Instruct)]

    def take_back(self, letter: "Instruct") -> bool:
        """From the mailbox."""
        from scheduler.study.desk import Desk

        return Desk(self.folder).take_back(letter.key)

    def notebook(self) -> NotebookRecord | None:
        """From the database."""
        return self.reader.notebook()

    def lessons(self, *, after: int, limit: int) -> Sequence[str]:
        """From the database."""
        return self.reader.lessons(after=after, limit=limit)

    def program(self) -> str:
        """From its file in the folder."""
        return self.folder.read_program()

    def log(self, experiment: int, trial: int | None = None) -> tuple[str, int]:
        """The trials' files; the tails that the database keeps where there are none."""
        logs = TrialLogs(self.folder.experiment(experiment), trial)
        if not logs.paths():
            return kept_tails(self.trials(experiment), trial), 0
        data = logs.read(0, logs.size())
        return data.decode("utf-8", "replace"), len(data)

    def follow(self, experiment: int, position: int, trial: int | None = None) -> Iterator[str]:
        """The files as they grow, until the experiment is decided or nothing runs the study."""
        following = Following(TrialLogs(self.folder.experiment(experiment), trial), position)
        over = False
        while True:
            for data in following.news():
                yield data.decode("utf-8", "replace")
            if over:
                return
            # Decided before the last lines are written: one more round reads them.
            found = self.experiment(experiment)
            over = found is None or found.state.is_final or read_live(self.folder.live) is None
            time.sleep(FOLLOW_SECONDS)

    def has_models(self) -> bool:
        """From the configuration."""
        return bool(self.config.agent.models)

    def report(self, formats: Sequence[str]) -> dict[str, bytes]:
        """From the database."""
        from scheduler.study.report import report_files

        return report_files(self.reader, self.folder, self.config, formats)

    def timeline(self, hours: float | None) -> "Timeline":
        """From the database."""
        from scheduler.study.timeline import read_timeline

        live = read_live(self.folder.live)
        return read_timeline(
            self.reader,
            now=None if live is None else live.at,
            budget=self.config.budget.seconds,
            gpus=self.config.workers.gpus_per_trial,
            hours=hours,
        )

    def send(self, letter: "AnyLetter") -> Sent:
        """Leave it in the mailbox; wait for its reply where the study runs."""
        from scheduler.study.desk import PATIENCE_SECONDS, POLL_SECONDS, Desk
        from scheduler.study.letters import STEERING

        desk = Desk(self.folder)
        runs = desk.is_running()
        if not runs and isinstance(letter, STEERING):
            return Sent(letter.key, letter.kind, Fate.NOT_RUNNING)
        desk.post(letter)
        limit = time.monotonic() + (PATIENCE_SECONDS if runs else 0.0)
        while (reply := self.reader.reply(letter.key)) is None and time.monotonic() < limit:
            time.sleep(POLL_SECONDS)
        if reply is not None:
            return answered(letter, reply)
        # A killed study's live view looks alive for some seconds more. A steering letter that
        # stays behind then does no harm: the next session refuses it by its date.
        if desk.is_running():
            fate = Fate.BUSY
        else:
            fate = Fate.NOT_RUNNING if isinstance(letter, STEERING) else Fate.WAITING
        return Sent(letter.key, letter.kind, fate)


def answered(letter: "AnyLetter", reply: Reply) -> Sent:
    """What the study's reply says."""
    fate = Fate.REFUSED if reply.refused else Fate.DONE
    return Sent(letter.key, letter.kind, fate, reply.number, reply.refused)


@contextmanager
def open_folder(folder: StudyFolder) -> Iterator[LocalSource]:
    """The study in a folder. Raises UsageError where none is or where it has recorded nothing."""
    config = folder.load_config()
    if not folder.database.exists():
        raise UsageError(f"{folder.path}: nothing has run in this study yet")
    with Reader(folder.database) as reader:
        yield LocalSource(folder, reader, config)
