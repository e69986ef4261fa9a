"""What the agent is given: everything that it may know, and no more.

A Briefing is plain data of bounded size, whatever the length of the study. The agent keeps no
memory of its own between briefings, so that it can be restarted at any time and the same
briefing leads to the same proposals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Constants = Mapping[str, int | float]
"""Numeric constants at the top of a script: name -> value."""


@dataclass(frozen=True)
class PastExperiment:
    """One experiment of the study, as the agent sees it."""

    id: int
    parent: int | None
    title: str
    hypothesis: str
    origin: str  # "baseline", "tuner", "person", or a model's name
    state: str  # an experiment state of the scheduler, such as "keep" or "crash"
    metric: float | None = None  # None: not measured yet, or failed
    reason: str = ""  # why it was kept, discarded or failed
    fingerprint: str = ""  # equal for code that differs in layout and comments only
    skeleton: str = ""  # equal for code that differs in the values of its constants only
    constants: Constants = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """The editable files of one experiment."""

    experiment: int
    files: Mapping[str, str]  # relative path -> text
    metric: float | None = None


@dataclass(frozen=True)
class Briefing:
    """One request for proposals."""

    request: int  # the number of this request within the study
    count: int  # how many proposals are wanted
    seed: int  # decides every random choice of the answer
    program: str  # the person's research directions
    metric: str  # what is measured, such as "val_bpb"
    minimize: bool  # whether lower is better
    budget: str  # in words, such as "300 s"
    champion: Code
    contract: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # file -> its functions
    best: tuple[PastExperiment, ...] = ()  # the leaders, best first
    recent: tuple[PastExperiment, ...] = ()  # the latest to finish, newest first
    pending: tuple[PastExperiment, ...] = ()  # queued or running now

    def past(self) -> tuple[PastExperiment, ...]:
        """Every finished experiment that the briefing knows, each once, in order of id."""
        return tuple(
            sorted({e.id: e for e in (*self.best, *self.recent)}.values(), key=lambda e: e.id)
        )
