"""What a worker is given with a trial: code, budget, resources, and how it is run and measured.

In: a trial's record, the state of the rules, what the study's trials have in common. Out: a
`workers.Trial`. Decides nothing but what follows from those: whose compile cache it begins with,
which slot's kind it claims, and how long a script that is told its budget may take.
"""

from dataclasses import replace

from scheduler.plan import Plan
from scheduler.rules import checks
from scheduler.rules.noise import SCREENING
from scheduler.rules.state import State
from scheduler.rules.states import TrialKind
from scheduler.study.config import Config
from scheduler.study.reader import Reader
from scheduler.study.records import TrialRecord
from workers import Command, OutcomeStatus, Resources, Trial
from workers.compiled import name_of

REPORTS_PER_SECOND = 50  # of all running trials together, however many there are


class Outfit:
    """Of the trials of one study."""

    def __init__(self, reader: Reader, config: Config, plan: Plan) -> None:
        self._reader, self._config, self._plan = reader, config, plan
        self._baseline_seconds: float | None = None  # of its first run, once it is decided
        self._compiled = (-1, "")  # an experiment, and the name of its compile cache

    def trial(self, record: TrialRecord, state: State) -> Trial:
        """Everything that a worker needs to run it."""
        entry = state.trials.get(record.id)  # None: it was cut short meanwhile
        return Trial(
            id=record.id,
            experiment=record.experiment,
            number=record.number,
            seed=record.seed,
            slot=record.slot or 0,
            files=self._reader.files(record.experiment),
            task=self._plan.task,
            data=self._plan.data,
            budget=self._config.trial_budget(record.kind),
            resources=self._resources(record, state),
            settings=self._config.trial_settings(),
            progress_seconds=max(1.0, state.slots / REPORTS_PER_SECOND),
            sandbox=self._config.workers.sandbox,
            prestart=self._config.workers.prestart,
            compile_cache=self._caches,
            compiled_by=self._compiled_by(record, state),
            audit=checks.audit_range(state, entry) if entry and self._plan.audits else None,
            command=self._command(record),
            limits=self._config.task.limits(),
        )

    def _command(self, record: TrialRecord) -> Command | None:
        """How it is run; where it is told its seconds, the baseline's run says what these are."""
        command = self._config.trial_command(record.kind, may_change=self._plan.may_change)
        if command is None or not self._config.task.told_seconds:
            return command
        if self._baseline_seconds is None and (champions := self._reader.champions()):
            self._baseline_seconds = self._ran(champions[0].experiment)
        # Until the baseline is decided, its own repeats are all that runs.
        took = self._baseline_seconds or self._ran(record.experiment)
        most = self._config.most_seconds(took, record.kind)
        return replace(command, most_seconds=most)

    def _ran(self, experiment: int) -> float | None:
        """Seconds of an experiment's first run that ended well."""
        ended = (each.outcome for each in self._reader.trials(experiment) if each.outcome)
        return next((e.timings.train for e in ended if e.status is OutcomeStatus.DONE), None)

    @property
    def _caches(self) -> bool:
        """Whether caches are made and used: only where more than the screening trial decides."""
        return self._config.workers.compile_cache and self._config.keep.most_seeds > 0

    def _compiled_by(self, record: TrialRecord, state: State) -> str:
        """The name of the compile cache that a trial begins with: the champion's, or "".

        Only a screening trial has one, which alone wins nothing: a cache is what the champion's
        start-up left, and no decision may rest on a trial that profits from it.
        """
        champion = state.champion
        screening = record.number == SCREENING and record.kind is TrialKind.USUAL
        if champion is None or not (self._caches and screening):
            return ""
        experiment = self._reader.experiment(record.experiment)
        if experiment is None or experiment.parent is None:  # a baseline's first trial counts
            return ""
        if self._compiled[0] != champion.experiment:
            name = name_of(self._plan.task, self._reader.files(champion.experiment))
            self._compiled = champion.experiment, name
        return self._compiled[1]

    def _resources(self, record: TrialRecord, state: State) -> Resources:
        """What its slot claims: on a mixed cluster, of the kind that the rules gave it."""
        if record.accelerator and len(state.fleet.kinds) > 1:
            return replace(self._plan.resources, accelerator=record.accelerator)
        return self._plan.resources
