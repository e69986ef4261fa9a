"""What the sections of a report rest on: read once, at one moment of the study.

In: a study's reader, folder and configuration. Out: `Material`, which holds what several sections
need, and the reader for what only one does. Its size is that of what was kept, not of the study.

What a kept experiment measures is its metric, as everywhere (`rules/estimate.py`); here comes the
interval around it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from scheduler.rules.estimate import estimate
from scheduler.rules.evidence import Evidence
from scheduler.rules.intervals import half_width
from scheduler.rules.noise import Noise
from scheduler.rules.states import ExperimentState
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.judged import evidence_for, noise_of
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, Study
from scheduler.study.sessions import SessionRecord, sessions_of
from scheduler.study.values import class_of, read_scalars


@dataclass(frozen=True)
class Estimate:
    """What one version of the code measures on one class of hardware."""

    mean: float
    trials: int
    chosen: bool  # by this very figure, so that it is lucky: there is no other
    hardware: str
    half: float | None  # of its 95 % interval; None: the noise is unknown


@dataclass(frozen=True)
class Kept:
    """A kept experiment: a baseline, or a win against the champion of its day."""

    experiment: Experiment
    evidence: Evidence | None  # None: an older version kept it and recorded none
    estimate: Estimate

    @property
    def is_tested(self) -> bool:
        """Whether it was kept by a test against the noise, not by a plain comparison."""
        return self.evidence is not None and self.evidence.p is not None

    @property
    def is_exact(self) -> bool:
        """Whether no repeat differed, so that there was nothing to test against."""
        return self.evidence is not None and self.evidence.is_exact


@dataclass(frozen=True)
class Material:
    """A study at one moment."""

    reader: Reader
    name: str
    at: float  # Unix seconds
    runs: bool
    seen_at: float  # the newest time that the study has noted
    config: Config
    program: str
    study: Study
    sessions: Sequence[SessionRecord]
    noise: Mapping[str, Noise]  # by class of hardware
    kept: Sequence[Kept]  # in the order of their ids

    @property
    def metric(self) -> str:
        """Its name."""
        return self.config.task.label

    @property
    def minimize(self) -> bool:
        """Whether a lower metric is better."""
        return self.config.task.metric.goal == "minimize"

    @cached_property
    def baseline(self) -> Kept | None:
        """The first champion."""
        return next((each for each in self.kept if each.experiment.parent is None), None)

    @cached_property
    def champion(self) -> Kept | None:
        """The newest champion."""
        best = self.study.champion
        return next((k for k in self.kept if best and k.experiment.id == best.experiment), None)

    @property
    def wins(self) -> Sequence[Kept]:
        """What was kept beside the baselines."""
        return [each for each in self.kept if each.experiment.parent is not None]

    @property
    def open_seconds(self) -> float:
        """For how long the study has been open; of a killed session, as long as it was heard of."""
        return self.study.elapsed(self.at if self.runs else self.seen_at)


@contextmanager
def gathered(
    reader: Reader, folder: StudyFolder, config: Config, *, at: float, runs: bool
) -> Iterator[Material]:
    """The study as it is now, and stays for the reader within the block."""
    reader.db.execute("BEGIN")  # a study that goes on does not change what a later section reads
    try:
        noise = noise_of(reader)
        yield Material(
            reader=reader,
            name=folder.name,
            at=at,
            runs=runs,
            seen_at=read_scalars(reader.db).get("tally", {}).get("seen_at", 0.0),
            config=config,
            program=_program(folder),
            study=reader.study(),
            sessions=sessions_of(reader),
            noise=noise,
            kept=_kept(reader, noise),
        )
    finally:
        reader.db.execute("ROLLBACK")


def _program(folder: StudyFolder) -> str:
    try:
        return folder.program.read_text("utf-8", "replace")
    except OSError:
        return ""


def _kept(reader: Reader, noise: Mapping[str, Noise]) -> list[Kept]:
    experiments = list(reader.kept())
    evidence = evidence_for(reader, [each.id for each in experiments])
    measured = _measured(reader)
    return [
        Kept(each, evidence.get(each.id), _estimate(each, measured.get(each.id, []), noise))
        for each in experiments
    ]


def _measured(reader: Reader) -> dict[int, list[tuple[int, float, str]]]:
    """Of each kept experiment, in the order in which its trials ended: number, metric, hardware."""
    rows = reader.db.execute(
        "SELECT experiment, number, outcome.metric, device, gpu_ids, precision FROM experiment"
        " JOIN trial ON trial.experiment = experiment.id JOIN outcome ON outcome.trial = trial.id"
        " WHERE experiment.state = ? AND outcome.metric IS NOT NULL AND kind = 'usual'"
        " ORDER BY trial.ended_at, trial.id",
        (ExperimentState.KEEP,),
    )
    found: dict[int, list[tuple[int, float, str]]] = {}
    for row in rows:
        measured = (row["number"], row["metric"], class_of(row))
        found.setdefault(row["experiment"], []).append(measured)
    return found


def _estimate(
    experiment: Experiment, measured: Sequence[tuple[int, float, str]], noise: Mapping[str, Noise]
) -> Estimate:
    if not measured:  # an older study may have lost it
        return Estimate(experiment.metric or 0.0, 0, True, "", None)
    on = experiment.hardware or measured[0][2]
    all_of_them = {number: metric for number, metric, where in measured if where == on}
    found = estimate(all_of_them, baseline=experiment.parent is None)
    return Estimate(
        mean=found.mean if experiment.metric is None else experiment.metric,
        trials=found.trials,
        chosen=found.chosen,
        hardware=on,
        half=half_width(noise.get(on, Noise()), found.trials) or None,  # 0: no repeat differed
    )
