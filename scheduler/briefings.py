"""Writes the agent's briefing from what the study knows. Bounded, whatever the study's length."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from agent import (
    ArmRecord,
    Briefing,
    Broken,
    Code,
    Instruction,
    PastExperiment,
    Purpose,
    Win,
)
from scheduler.rules import events as ev
from scheduler.study.config import Config
from scheduler.study.directions import said
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment
from scheduler.study.task_section import editable_of

CONTRACT = {"train.py": ("train",)}  # what the bundled task's harness calls
LEADERS = 20
LATEST = 30
ALIKE = 200  # experiments that differ from the champion in constants only: the tuner's history
PENDING = 200  # queued and running ones: more than a prompt has room for, and few of 10,000 slots
OTHER_CODES = 4  # leaders whose code can be built on, beside the champion's
KNOWN = 1024  # experiments of which no other words are made while they are as they were
LESSONS = 60  # the newest ones since the notebook
LOG_CHARACTERS = 6000  # of a crashed experiment's log


@dataclass(frozen=True)
class Circumstances:
    """What a briefing tells of the moment, beside what the database holds."""

    program: str  # the person's research directions
    guide: str = ""  # the task's own words on its contract
    condense: bool = False
    since_champion: int = 0
    free_slots: int = 0
    arms: Mapping[str, ArmRecord] = field(default_factory=dict)


def write_briefing(
    reader: Reader, config: Config, request: ev.RequestProposals, now: Circumstances
) -> Briefing:
    """Everything that the agent is told with this request."""
    crowned = reader.champion()
    # Until there is a champion, the newest baseline stands in for it: it is being measured.
    champion = reader.experiment(crowned.experiment) if crowned else reader.baseline()
    assert champion is not None, "a study without a baseline asks nobody"
    metric = config.task.metric
    minimize = metric.goal == "minimize"
    files = reader.files(champion.id)
    best = reader.leaders(LEADERS, minimize=minimize)
    recent = {e.id: e for e in reader.recent(LATEST)}
    recent |= {e.id: e for e in reader.alike(champion.skeleton, ALIKE)}
    pending = reader.undecided(PENDING)
    metrics = reader.metrics({e.parent for e in (*best, *recent.values()) if e.parent is not None})
    # Measured on another class of hardware only: its metric would be no comparison.
    elsewhere = {
        e.id for e in recent.values() if e.metric is not None and e.hardware != champion.hardware
    }
    estimates = reader.estimates(elsewhere) if elsewhere else {}
    notebook = reader.notebook()
    return Briefing(
        request=request.request,
        count=request.count,
        seed=config.seed * 1_000_003 + request.request,
        program=said(now.program),
        metric=metric.name,
        minimize=minimize,
        budget=config.budget_words(),
        champion=_code(reader, champion, files),
        contract=contract_of(files, self_reported=config.task.self_reported),
        editable=editable_of(config.task),
        self_reported=config.task.self_reported,
        best=_past(best, metrics),
        recent=tuple(
            replace(each, metric=None, estimate=estimates.get(each.id))
            if each.id in elsewhere
            else each
            for each in _past((recent[n] for n in sorted(recent, reverse=True)), metrics)
        ),
        pending=_past(pending, metrics),
        purpose=request.purpose,
        leaders=_other_codes(reader, champion, best),
        guide=now.guide,
        device=reader.device(),
        instructions=tuple(
            Instruction(each.id, each.text, each.priority)
            for each in reader.instructions(open_only=True)
        ),
        notebook=notebook.text if notebook else "",
        lessons=tuple(reader.lessons(after=notebook.upto if notebook else 0, limit=LESSONS)),
        condense=now.condense,
        since_champion=now.since_champion,
        free_slots=now.free_slots,
        arms=now.arms,
        broken=None if request.broken is None else _broken(reader, request.broken),
        wins=_wins(reader, request, champion),
    )


def contract_of(
    files: Mapping[str, str], *, self_reported: bool = False
) -> dict[str, tuple[str, ...]]:
    """The functions that the task calls: file -> their names; none of what runs by a command."""
    if self_reported:
        return {}
    return {path: names for path, names in CONTRACT.items() if path in files}


def _past(
    experiments: Iterable[Experiment], metrics: Mapping[int, float | None]
) -> tuple[PastExperiment, ...]:
    return tuple(
        _past_one(each, None if each.parent is None else metrics.get(each.parent))
        for each in experiments
    )


@lru_cache(KNOWN)
def _past_one(each: Experiment, parent_metric: float | None) -> PastExperiment:
    return PastExperiment(
        id=each.id,
        parent=each.parent,
        title=each.title,
        hypothesis=each.hypothesis,
        origin=each.origin,
        state=each.state,
        metric=each.metric,
        reason=each.reason,
        fingerprint=each.fingerprint,
        skeleton=each.skeleton,
        constants=each.constants,
        expected=each.expected,
        lesson=each.lesson,
        parent_metric=parent_metric,
        instruction=each.instruction,
        mends=each.mends,
    )


def _code(reader: Reader, experiment: Experiment, files: Mapping[str, str]) -> Code:
    before = {} if experiment.parent is None else reader.files(experiment.parent)
    return Code(
        experiment.id,
        files,
        experiment.metric,
        experiment.title,
        unified_diff(before, files) if before else "",
    )


def _other_codes(
    reader: Reader, champion: Experiment, best: Iterable[Experiment]
) -> tuple[Code, ...]:
    """The best that the champion does not descend from: what they found may still be added."""
    lineage = reader.lineage(champion.id)
    others = [each for each in best if each.id not in lineage and each.parent is not None]
    return tuple(_code(reader, each, reader.files(each.id)) for each in others[:OTHER_CODES])


def _wins(reader: Reader, request: ev.RequestProposals, champion: Experiment) -> tuple[Win, ...]:
    """The overtaken wins that are to be carried over, or the champion's own kept edits."""
    numbers = request.wins
    if request.purpose is Purpose.ABLATE:
        kept = {each.experiment for each in reader.champions()}
        line = [n for n in sorted(reader.lineage(champion.id)) if n in kept]
        numbers = tuple(line[1:])  # the first is the baseline, which edits nothing
    return tuple(_win(reader, number) for number in numbers)


def _win(reader: Reader, number: int) -> Win:
    experiment = reader.experiment(number)
    assert experiment is not None, f"no experiment {number}"
    assert experiment.parent is not None, "a baseline is overtaken by nobody before it is decided"
    return Win(
        code=_code(reader, experiment, reader.files(number)),
        base=reader.files(experiment.parent),
        hypothesis=experiment.hypothesis,
        expected=experiment.expected,
        instruction=experiment.instruction,
        origin=experiment.origin,
    )


def _broken(reader: Reader, number: int) -> Broken | None:
    experiment = reader.experiment(number)
    if experiment is None:
        return None
    outcomes = [t.outcome for t in reader.trials(number) if t.outcome is not None]
    return Broken(
        code=_code(reader, experiment, reader.files(number)),
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        reason=experiment.reason,
        log=outcomes[-1].log[-LOG_CHARACTERS:] if outcomes else "",
        expected=experiment.expected,
        instruction=experiment.instruction,
        parent=experiment.parent or 0,
        origin=experiment.origin,
    )
