"""Writes the agent's briefing from what the study knows. Bounded, whatever the study's length."""

from agent import Briefing, Code, PastExperiment
from scheduler.study.config import Config
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment

CONTRACT = {"train.py": ("train",)}  # what the bundled task's harness calls
LEADERS = 20
LATEST = 30
ALIKE = 200  # experiments that differ from the champion in constants only: the tuner's history


def write_briefing(
    reader: Reader, config: Config, program: str, *, request: int, count: int
) -> Briefing:
    """Everything that the agent is told with this request."""
    champions = reader.champions()
    # Until there is a champion, the newest baseline stands in for it: it is being measured.
    champion = reader.experiment(champions[-1].experiment) if champions else reader.baseline()
    assert champion is not None, "a study without a baseline asks nobody"
    metric, files = config.task.metric, reader.files(champion.id)
    recent = {e.id: e for e in reader.recent(LATEST)}
    recent |= {e.id: e for e in reader.alike(champion.skeleton, ALIKE)}
    return Briefing(
        request=request,
        count=count,
        seed=config.seed * 1_000_003 + request,
        program=program,
        metric=metric.name,
        minimize=metric.goal == "minimize",
        budget=config.budget_words(),
        champion=Code(champion.id, files, champion.metric),
        contract={path: names for path, names in CONTRACT.items() if path in files},
        best=tuple(map(_past, reader.leaders(LEADERS, minimize=metric.goal == "minimize"))),
        recent=tuple(_past(recent[number]) for number in sorted(recent, reverse=True)),
        pending=tuple(_past(e) for e in reader.undecided()),
    )


def _past(experiment: Experiment) -> PastExperiment:
    return PastExperiment(
        id=experiment.id,
        parent=experiment.parent,
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        origin=experiment.origin,
        state=experiment.state,
        metric=experiment.metric,
        reason=experiment.reason,
        fingerprint=experiment.fingerprint,
        skeleton=experiment.skeleton,
        constants=experiment.constants,
    )
