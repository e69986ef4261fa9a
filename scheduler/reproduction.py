"""One experiment of a study, run again on this machine from what the study holds.

In: a study's reader and configuration, an experiment's id. Out: what is not here as it was in the
study, outcomes of trials, and the comparison with the study's figures. The same worker code runs
the trials as in a study, without Ray; nothing is written into the study and its lock is not
needed, so that it may be running, or lie in a folder that can only be read.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from statistics import fmean

from scheduler.errors import UsageError
from scheduler.gpus import choose_gpus
from scheduler.here import run_here
from scheduler.rules.reproducing import Comparison, Figure, compare
from scheduler.rules.states import ExperimentState, TrialKind
from scheduler.session import Materials, gather_materials
from scheduler.study.config import Config
from scheduler.study.judged import noise_of
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord
from scheduler.study.sessions import SessionRecord, sessions_of
from scheduler.study.task_section import BUNDLED
from workers import Outcome, Progress

PACE = 0.2  # of the study's steps: what so many more or fewer give is another figure
TOLD = ("torch", "autoresearch-ray")  # versions that figures depend on


@dataclass(frozen=True)
class Recorded:
    """What the study holds of an experiment."""

    experiment: Experiment
    files: Mapping[str, str]
    trials: Sequence[TrialRecord]
    session: SessionRecord  # the newest: all have the same task and data

    @property
    def figures(self) -> list[Figure]:
        """Of the trials that have one."""
        return [
            Figure(t.number, t.seed, t.outcome.metric, t.outcome.hardware)
            for t in self.trials
            if t.outcome is not None and t.outcome.metric is not None
        ]

    @property
    def failure(self) -> Outcome | None:
        """Its last failure, where it has no figure."""
        failed = [t.outcome for t in self.trials if t.outcome and t.outcome.status.is_failure]
        return failed[-1] if failed and not self.figures else None


def recorded(reader: Reader, number: int) -> Recorded:
    """What the study holds. Raises UsageError where that is not enough to run it again."""
    experiment = reader.experiment(number)
    if experiment is None:
        raise UsageError(f"no experiment {number} (there are: 0 to {reader.count() - 1})")
    sessions = sessions_of(reader)
    assert sessions, "an experiment without a session"
    trials = [t for t in reader.trials(number) if t.kind is TrialKind.USUAL]
    if not any(t.outcome is not None for t in trials):
        raise UsageError(f"experiment {number} is {experiment.state}: there is nothing to compare")
    return Recorded(experiment, reader.files(number), trials, sessions[-1])


def seeds_for(
    held: Recorded, config: Config, *, trial: int | None, seed: int | None, repeats: int
) -> list[tuple[int, int]]:
    """Numbers and seeds of the trials to run: from a trial of the study's on, or from a seed."""
    if seed is not None:
        return [(index + 1, seed + index) for index in range(repeats)]
    known = {t.number: t.seed for t in held.trials}
    first = min(known) if trial is None else trial  # a rebase begins with its second seed
    if first not in known:
        there = ", ".join(map(str, sorted(known)))
        raise UsageError(f"--trial {first}: experiment {held.experiment.id} has: {there}")
    # Equal numbers share a seed over all experiments: those that were not run have theirs too.
    numbers = range(first, first + repeats)
    return [(number, known.get(number, config.seed + number - 1)) for number in numbers]


class Bench:
    """This machine, made ready for the trials of one study."""

    def __init__(self, config: Config, say: Callable[[str], None] = lambda _: None) -> None:
        """Read the task, pack the data where that has not been done. Raises UsageError.

        `say` is told how far downloads and packing are.
        """
        self._config = config
        self.materials: Materials = gather_materials(config, say)
        self.gpus = choose_gpus(config.workers.gpus_per_trial, os.environ)

    def differences(self, held: Recorded) -> list[str]:
        """What makes figures from here another matter than the study's."""
        bundles, session = self.materials.bundles, held.session
        found = []
        for what, ours, theirs in (
            ("task's fixed files", bundles.task.hash, session.task),
            ("data", bundles.data.hash if bundles.data else "", session.data),
        ):
            if ours == theirs:
                continue
            if not theirs:
                found.append(f"the study did not record which {what} it had")
            else:
                short = f"here {ours[:12]}, in the study {theirs[:12]}"
                found.append(f"the {what} are not the study's ({short})")
        wanted = self._config.workers.gpus_per_trial
        if wanted > len(self.gpus):
            found.append(f"a trial claims {wanted:g} GPU, and {len(self.gpus) or 'none'} is here")
        return found

    def notes(self, held: Recorded) -> list[str]:
        """What may move figures, and is no reason not to run."""
        found = []
        for name in TOLD:
            theirs, ours = held.session.versions.get(name), metadata.version(name)
            if theirs is not None and theirs != ours:
                found.append(f"{name} is {ours} here and was {theirs}")
        if self._config.budget.steps is None:
            found.append(
                f"the budget is {self._config.budget_words()}: a machine that is slower, or busy, "
                "makes fewer steps in it and gives another figure"
            )
        return found

    def run(
        self, held: Recorded, number: int, seed: int, report: Callable[[Progress], None]
    ) -> Outcome:
        """Run one trial, in this process's main thread. Raises StudyError where it can't run."""
        return run_here(
            self._config,
            self.materials,
            held.files,
            experiment=held.experiment.id,
            number=number,
            seed=seed,
            gpus=self.gpus,
            report=report,
        )


def compare_with(
    reader: Reader,
    config: Config,
    held: Recorded,
    outcomes: Mapping[tuple[int, int], Outcome],
    differences: Sequence[str],
) -> Comparison | None:
    """The verdict; None where a trial here, or all of the study's, have no figure."""
    now = [
        Figure(number, seed, each.metric, each.hardware)
        for (number, seed), each in outcomes.items()
        if each.metric is not None
    ]
    if len(now) < len(outcomes) or not held.figures:
        return None
    return compare(
        held.figures,
        now,
        noise_of(reader),
        baseline=held.experiment.parent is None,
        chosen=held.experiment.state is ExperimentState.KEEP,
        exact=config.budget.steps is not None,
        differs="; ".join(differences),
        least=0.0 if config.task.source == BUNDLED else None,  # bits per byte
    )


def pace(config: Config, held: Recorded, outcomes: Iterable[Outcome]) -> str:
    """That this machine made another number of steps in the budget; "" where about as many."""
    if config.budget.steps is not None:
        return ""
    here = [each for each in outcomes if each.metric is not None and each.steps]
    classes = {each.hardware for each in here}
    known = [t.outcome for t in held.trials if t.outcome and t.outcome.metric is not None]
    there = [each for each in known if each.steps and each.hardware in classes]
    if not there:
        return ""
    ours, theirs = fmean(each.steps for each in here), fmean(each.steps for each in there)
    if abs(ours - theirs) <= PACE * theirs:
        return ""
    return (
        f"in the same budget this machine trained {ours:,.0f} steps, and the study's "
        f"{theirs:,.0f}: that alone gives another figure"
    )
