"""A running study at one moment, for those who watch it.

In: what its trials say of themselves as they run, and what the results actor begins and ends. Out:
a `Live`. All of it is in memory and in `live.json`; none of it enters the database.
"""

import time
from dataclasses import replace

from scheduler.rules.state import State, TrialEntry
from scheduler.rules.states import TrialKind
from scheduler.study.config import Config
from scheduler.study.reader import Reader
from scheduler.study.records import Live, SlotView
from workers import Progress

SHOWN_QUEUE, SHOWN_RECENT = 10, 10


class LiveView:
    """Of one study."""

    def __init__(self, reader: Reader, config: Config) -> None:
        self._reader, self._config = reader, config
        self._progress: dict[int, Progress] = {}  # of running trials
        self._assigned: dict[int, float] = {}  # trial -> when it was given its slot
        self._titles: dict[int, str] = {}  # of undecided experiments

    def name(self, experiment: int, title: str) -> None:
        """An experiment was added."""
        self._titles[experiment] = title

    def forget(self, experiment: int) -> None:
        """It is decided."""
        self._titles.pop(experiment, None)

    def begin(self, trial: int) -> None:
        """A trial was given its slot."""
        self._assigned[trial] = time.time()

    def hear(self, progress: Progress) -> None:
        """A sign of life of a running trial."""
        self._progress[progress.trial] = progress

    def end(self, trial: int) -> None:
        """It has ended, or was cut short."""
        self._progress.pop(trial, None)
        self._assigned.pop(trial, None)

    def now(self, state: State) -> Live:
        """The study at this moment."""
        study = self._reader.study()
        return Live(
            at=time.time(),
            study=study,
            slots=self._slots(state),
            queue=tuple(self._reader.queue(SHOWN_QUEUE)),
            recent=tuple(self._reader.recent(SHOWN_RECENT)),
            champion=self._reader.experiment(study.champion.experiment) if study.champion else None,
            metric=self._config.task.label,
            budget=self._config.budget_words(),
        )

    def _title(self, trial: TrialEntry) -> str:
        """The baseline's title, and that of what was added before a restart, are read."""
        experiment = trial.experiment
        if experiment not in self._titles:
            found = self._reader.experiment(experiment)
            self._titles[experiment] = found.title if found else ""
        longer = " (longer budget)" if trial.kind is TrialKind.LONG else ""
        return self._titles[experiment] + longer

    def _slots(self, state: State) -> tuple[SlotView, ...]:
        views = {number: SlotView(number) for number in state.free}
        for trial in state.trials.values():
            if trial.slot is None:
                continue
            progress = self._progress.get(trial.id)
            view = SlotView(
                slot=trial.slot,
                trial=trial.id,
                experiment=trial.experiment,
                title=self._title(trial),
                seconds=time.time() - self._assigned.get(trial.id, time.time()),
            )
            if progress is not None:
                view = replace(
                    view,
                    phase=progress.phase,
                    fraction=progress.fraction,
                    step=progress.step,
                    loss=progress.loss,
                    tokens_per_second=progress.tokens_per_second,
                )
            views[trial.slot] = view
        return tuple(views[number] for number in sorted(views))
