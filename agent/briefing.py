"""What the agent is given: everything that it may know, and no more.

A Briefing is plain data of bounded size, whatever the length of the study. The agent keeps no
memory of its own between briefings, so that it can be restarted at any time and the same
briefing leads to the same proposals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.globs import Editable

Constants = Mapping[str, int | float]
"""Numeric constants at the top of a script: name -> value."""


class Purpose(StrEnum):
    """What a request is for."""

    IMPROVE = "improve"  # the usual one: better code than the champion's
    FILL = "fill"  # a slot is idle now and no proposal is there: whatever comes at once
    MEND = "mend"  # an experiment crashed in its first seconds: the same idea, without the fault
    ABLATE = "ablate"  # the champion's code, with each kept edit taken out in turn
    REBASE = "rebase"  # wins that a new champion overtook: their edits, carried over to its code


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
    expected: str = ""  # what its author expected of the metric, in the author's words
    lesson: str = ""  # one line: expected against observed; see agent.lessons
    parent_metric: float | None = None  # of its parent, where that was measured
    instruction: int | None = None  # the instruction that it serves
    mends: int | None = None  # the crashed experiment whose idea it carries on
    estimate: float | None = None  # where it was measured on hardware of another class only: the
    # champion's metric with the difference that was found there, which need not be the same


@dataclass(frozen=True)
class Code:
    """The editable files of one experiment."""

    experiment: int
    files: Mapping[str, str]  # relative path -> text
    metric: float | None = None
    title: str = ""
    diff: str = ""  # unified, against its parent's files; "" for a baseline


@dataclass(frozen=True)
class Instruction:
    """What a person asks for while the study runs."""

    id: int
    text: str
    priority: int = 0  # higher goes first


@dataclass(frozen=True)
class Broken:
    """A crashed experiment that is to be mended."""

    code: Code
    title: str
    hypothesis: str
    reason: str  # the exception, as the outcome says it
    log: str  # the tail of what it printed: data of untrusted code
    expected: str = ""
    instruction: int | None = None
    parent: int = 0  # whose code it had edited
    origin: str = ""  # who wrote it


@dataclass(frozen=True)
class Win:
    """An experiment that was better than what it was written for, and is overtaken meanwhile."""

    code: Code
    base: Mapping[str, str]  # its parent's files, which it edited
    hypothesis: str = ""
    expected: str = ""
    instruction: int | None = None
    origin: str = ""  # who wrote it


@dataclass(frozen=True)
class ArmRecord:
    """What one arm (a model, the tuner) has done for the study so far.

    `gain`, `won`, `spent` and `tried` fade (see agent.portfolio), so that they speak of the recent
    past; all else counts from the study's beginning.
    """

    name: str
    calls: int = 0  # to the model; 0 for the tuner
    failed_calls: int = 0
    proposals: int = 0  # that were handed over, the refused ones included
    refused: int = 0  # by the checks
    experiments: int = 0  # that were added to the study
    decided: int = 0
    kept: int = 0
    failed: int = 0  # crash, timeout, oom, rejected
    best_gain: float = 0.0  # largest improvement on the champion of its day
    tokens: int = 0
    dollars: float | None = 0.0  # None: a price is not known
    gain: float = 0.0  # improvement on the champion of the day, of those kept, faded sum
    won: float = 0.0  # experiments kept, faded sum
    spent: float = 0.0  # dollars, faded sum; an unknown price counts as 0
    tried: float = 0.0  # experiments decided, faded sum; what came to none counts in part


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
    purpose: Purpose = Purpose.IMPROVE
    leaders: tuple[Code, ...] = ()  # other code worth building on, best first; never the champion
    guide: str = ""  # the task's own words on its contract: what train.py is given and must give
    device: str = ""  # what a trial runs on, such as "NVIDIA H200"; "" until one has run
    sigma: float | None = None  # of the metric between seeds, where it was measured
    instructions: tuple[Instruction, ...] = ()  # open ones, the most urgent first
    notebook: str = ""  # what the study has learned so far, condensed
    lessons: tuple[str, ...] = ()  # one line for each experiment since the notebook, oldest first
    condense: bool = False  # the notebook is to be written anew with this answer
    since_champion: int = 0  # decided experiments since the last champion
    free_slots: int = 0  # slots that would be idle without this answer
    arms: Mapping[str, ArmRecord] = field(default_factory=dict)  # by name, the tuner included
    broken: Broken | None = None  # where the purpose is to mend
    wins: tuple[Win, ...] = ()  # to be carried over, the best first; or to be taken out
    editable: Editable = field(default_factory=Editable)  # which files may be added
    self_reported: bool = False  # the edited code says its metric itself: no referee measures it
    conflict: str = ""  # where the text of the one win clashes with the champion's

    def past(self) -> tuple[PastExperiment, ...]:
        """Every finished experiment that the briefing knows, each once, in order of id."""
        return tuple(
            sorted({e.id: e for e in (*self.best, *self.recent)}.values(), key=lambda e: e.id)
        )

    def codes(self) -> Mapping[int, Code]:
        """The code that a proposal may edit, by experiment: the champion's, the leaders', ..."""
        broken = () if self.broken is None else (self.broken.code,)
        return {code.experiment: code for code in (*broken, *self.leaders, self.champion)}
