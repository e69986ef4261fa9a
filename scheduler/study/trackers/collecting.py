"""Makes runs for trackers out of a study's database.

In: the study's folder and a reader. Out: the trials that can be told now, in order of their ids,
and each as a `Run`. A trial that was lost or cancelled has no outcome and is never told.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from scheduler.rules.states import TrialState
from scheduler.study import listing
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord
from scheduler.study.trackers.run import Run, StudyFacts
from scheduler.study.trial_logs import TrialLogs, header
from workers import Outcome
from workers.log import sentence

GIB = 2**30
PAGE = 200  # trials read at a time: each has the tail of its log
GENERATIONS = 30  # of a lineage in words
TITLE, TEXT = 120, 500  # characters


def facts_of(folder: StudyFolder, config: Config, reader: Reader) -> StudyFacts:
    """What holds for all runs of this study."""
    task = config.task
    # No brackets: MLflow's names have none.
    name = f"self_reported/{task.metric.name}" if task.self_reported else task.metric.name
    return StudyFacts(
        id=reader.identity(),
        name=folder.name,
        metric=name,
        minimize=config.task.metric.goal == "minimize",
        notes=config.study.notes,
    )


@dataclass
class Waiting:
    """The trials that are not told yet. Asked again and again, it looks only at what may be new."""

    told: Collection[int]
    _before: int = field(default=0, init=False)  # all up to this one are told or never will be

    def ready(self, reader: Reader) -> Iterator[tuple[TrialRecord, Experiment]]:
        """Those that can be told now. What was yielded must be in `told` when this is asked again.

        Constant in the length of the study but for what waits.
        """
        after, unbroken = self._before, True
        while trials := reader.trials_after(after, PAGE):
            for trial in trials:
                after = trial.id
                done = trial.id in self.told or trial.state in (
                    TrialState.LOST,
                    TrialState.CANCELLED,
                )
                unbroken = unbroken and done
                if unbroken:
                    self._before = trial.id
                if done or trial.outcome is None:
                    continue
                experiment = reader.experiment(trial.experiment)
                if experiment is not None and experiment.decided_at is not None:
                    yield trial, experiment


class Collector:
    """Makes the runs of one study."""

    def __init__(self, folder: StudyFolder, config: Config, reader: Reader) -> None:
        self._folder, self._config, self._reader = folder, config, reader
        self._facts = facts_of(folder, config, reader)

    @property
    def facts(self) -> StudyFacts:
        """What holds for all of them."""
        return self._facts

    def run(self, trial: TrialRecord, experiment: Experiment) -> Run:
        """One trial that has an outcome, of an experiment that is decided."""
        assert trial.outcome is not None
        outcome = trial.outcome
        champion = self._reader.champion_number(experiment.id)
        return Run(
            trial=trial.id,
            experiment=experiment.id,
            title=sentence(experiment.title, TITLE),
            hypothesis=sentence(experiment.hypothesis, TEXT),
            constants=dict(experiment.constants),
            settings={
                "seed": str(trial.seed),
                "budget": _budget(self._config, trial),
                "hardware": outcome.hardware,
                "node": outcome.node,
                "sandbox": outcome.sandbox,
                "warm": str(outcome.warm).lower(),  # in a process that was there before it came
            },
            metrics=_metrics(outcome, self._facts.metric),
            tags=self._tags(trial, experiment, outcome, champion),
            files=self._files(trial, experiment, outcome),
            failed=outcome.metric is None,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            champion=champion,
        )

    def _tags(
        self, trial: TrialRecord, experiment: Experiment, outcome: Outcome, champion: int | None
    ) -> dict[str, str]:
        instruction = experiment.instruction
        asked = None if instruction is None else listing.instruction(self._reader, instruction)
        tags: dict[str, object] = {
            "study": self._facts.name,
            "study_id": self._facts.id,
            "experiment": experiment.id,
            "trial": trial.id,
            "repeat": trial.number,  # 1 is the experiment's first trial
            "kind": trial.kind.value,
            "parent": experiment.parent,
            "lineage": self._lineage(experiment),
            "champion": champion,
            "state": experiment.state.value,
            "reason": experiment.reason,
            "status": outcome.status.value,
            "said": outcome.reason,
            "origin": experiment.origin,
            "instruction": instruction,
            "instruction_text": asked.text if asked else None,
            "combines": experiment.combines,
            "mends": experiment.mends,
            "rebases": ", ".join(map(str, experiment.rebases)),
            "ablates": experiment.ablates,
            "judge": outcome.judge or "none",
            "metric": self._facts.metric,
            "goal": "minimize" if self._facts.minimize else "maximize",
        }
        return {
            name: sentence(str(value), TEXT)
            for name, value in tags.items()
            if value is not None and value != ""
        }

    def _lineage(self, experiment: Experiment) -> str:
        """It and those that it stands on, the baseline first: `0 > 3 > 7`."""
        line, at = [experiment.id], experiment
        while at.parent is not None:
            if len(line) == GENERATIONS or (above := self._reader.experiment(at.parent)) is None:
                return "... > " + " > ".join(map(str, reversed(line)))
            at = above
            line.append(at.id)
        return " > ".join(map(str, reversed(line)))

    def _files(
        self, trial: TrialRecord, experiment: Experiment, outcome: Outcome
    ) -> dict[str, str]:
        code = self._reader.files(experiment.id)
        files = {f"code/{name}": text for name, text in code.items()}
        if experiment.parent is not None:
            before = self._reader.files(experiment.parent)
            files["diff.patch"] = unified_diff(before, code)
        files["run.log"] = self._log(trial, outcome)
        return {name: text for name, text in files.items() if text}

    def _log(self, trial: TrialRecord, outcome: Outcome) -> str:
        """All that it printed, where the folder still has it; else what the database keeps."""
        try:
            for path in TrialLogs(self._folder.experiment(trial.experiment), trial.id).paths():
                return path.read_text("utf-8").removeprefix(header(trial.id))
        except (OSError, UnicodeDecodeError):
            pass
        return outcome.log


def _budget(config: Config, trial: TrialRecord) -> str:
    budget = config.trial_budget(trial.kind)
    return f"{budget.steps} steps" if budget.seconds is None else f"{budget.seconds:g} s"


def _metrics(outcome: Outcome, name: str) -> dict[str, float]:
    timings = outcome.timings
    trained = outcome.tokens and timings.train
    found: dict[str, float | None] = {
        name: outcome.metric,
        f"audit_{name}": outcome.audit_metric,
        "train_loss": outcome.train_loss,
        "tokens_per_second": outcome.tokens / timings.train if trained else None,
        "steps": outcome.steps or None,
        "tokens": outcome.tokens or None,
        "parameters": outcome.parameters or None,
        "memory_gib": outcome.peak_memory_bytes / GIB or None,
        "device_memory_gib": outcome.peak_device_memory_bytes / GIB or None,
        "seconds/startup": timings.startup,
        "seconds/warm_up": timings.warm_up,
        "seconds/train": timings.train,
        "seconds/eval": timings.eval,
        "seconds/teardown": timings.teardown,
        "seconds/total": timings.total,
        **{f"figures/{key}": value for key, value in outcome.metrics.items()},
    }
    return {
        key: float(value)
        for key, value in found.items()
        if value is not None and math.isfinite(value)
    }
