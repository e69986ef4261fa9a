"""What a tracker is given, and what it must do.

Plain data: everything that is to be said of one trial, with units in the names. A trial is told
once its outcome is there and its experiment is decided, so that nothing of it changes any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from workers.command import SELF_REPORTED


@dataclass(frozen=True)
class StudyFacts:
    """What holds for all runs of a study."""

    id: str  # eight hex digits that stay when the folder is moved or renamed
    name: str
    metric: str
    minimize: bool
    notes: str = ""  # a person's words


@dataclass(frozen=True)
class Run:
    """One trial that has ended, of an experiment that is decided."""

    trial: int
    experiment: int
    title: str
    hypothesis: str
    constants: Mapping[str, int | float]  # at the top of its code
    settings: Mapping[str, str]  # what else it ran with: seed, budget, device, sandbox, ...
    metrics: Mapping[str, float]  # finite; a failure has no metric, and no 0 in its place
    tags: Mapping[str, str]  # lineage, decision, who proposed it; only what there is
    files: Mapping[str, str]  # code/NAME, diff.patch, run.log -> text
    failed: bool
    started_at: float  # Unix seconds
    finished_at: float
    champion: int | None = None  # the number that its experiment has among the champions

    @property
    def name(self) -> str:
        """What a person sees in a list."""
        return f"#{self.experiment} {self.title}"

    @property
    def is_self_reported(self) -> bool:
        """Whether the edited code itself said what its metric is."""
        return self.tags.get("judge", "").startswith(SELF_REPORTED)

    def note(self) -> str:
        """The hypothesis; before it, where that is so, that the metric can't be relied on."""
        doubt = f"The metric is {SELF_REPORTED} by the edited code. "
        return (doubt if self.is_self_reported else "") + self.hypothesis

    def words(self) -> tuple[str, ...]:
        """A few short words to filter by."""
        words = [self.tags["state"], self.tags["origin"], self.tags["kind"]]
        words += ["champion"] if self.champion is not None else []
        words += [SELF_REPORTED] if self.is_self_reported else []
        return tuple(dict.fromkeys(words))


@dataclass(frozen=True)
class TrackerSettings:
    """Where a tracker puts what it is given."""

    project: str | None = None  # None: as the tracker's own variable says, else the study's name
    entity: str | None = None  # the team or person, for Weights & Biases
    uri: str | None = None  # of an MLflow server or database
    offline: bool = False  # nothing may leave this machine
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Tracker(Protocol):
    """One tracker, opened for one study. Calls may raise whatever its library raises."""

    def add(self, run: Run) -> None:
        """Hand over one run, whole; returns once the tracker has it, or has it on disk.

        A run that was handed over before, whole or in part, is there once in the end.
        """

    def close(self) -> None:
        """Let go of files and connections."""
