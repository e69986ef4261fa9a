"""What a study remembers beside its facts: lessons, the notebook, what each arm achieved.

In: an event with what the rules made of it. Out: the same contents with the lesson of each
experiment that was decided, the records of the arms that this changes, and a notebook where one is
due. Held by the results actor, whose store writes it all in the event's own transaction; read back
from there after a restart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent import Answer, ArmRecord, PastExperiment, portfolio
from agent.ledger import Settlement
from agent.lessons import Ground, write_lesson
from agent.notebook import condense, headed
from agent.proposal import NOT_MODELS, TUNER
from scheduler.rules import events as ev
from scheduler.rules.machine import Transition
from scheduler.rules.state import Champion, State
from scheduler.rules.states import ExperimentState
from scheduler.study.config import Config
from scheduler.study.facts import Contents, Notebook
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment

RULES = "rules"  # the author of a notebook that no model wrote
NO_ARM = NOT_MODELS - {TUNER}  # origins that nobody could be asked for more of
MOST_LESSONS = 400  # condensed at a time


class Memory:
    """The memory of one study."""

    def __init__(self, reader: Reader, config: Config) -> None:
        self._reader = reader
        # Said of what the code says of itself alone: a model reads the heading with each call.
        self._label = config.task.caution
        self._minimize = config.task.metric.goal == "minimize"
        self._every = config.agent.notebook_every
        self._by_models = bool(config.agent.models)
        self.arms: dict[str, ArmRecord] = {each.name: each for each in reader.arms()}
        notebook = reader.notebook()
        self._upto = notebook.upto if notebook else 0
        self._decided = 0
        self._next: tuple[dict[str, ArmRecord], int, int] | None = None
        self._called: dict[str, ArmRecord] | None = None
        self._writing: int | None = None  # the request whose answer is to bring a notebook

    # ---- before a transaction ---------------------------------------------------------------

    def remember(self, before: State, transition: Transition, contents: Contents) -> Contents:
        """The contents with what is to be remembered of the event; `keep` once that is written."""
        arms, decided = self.arms, transition.state.tally.decided
        lessons: dict[int, str] = {}
        champion = before.champion
        judged: dict[int, ev.Judged] = {}
        # What this very event says of an experiment's metric is not in the database yet.
        newer: dict[int, ev.Measured | ev.ExperimentMoved] = {}
        for fact in transition.facts:
            match fact:
                case ev.Judged(id=number):
                    judged[number] = fact
                case ev.Measured(id=number, metric=metric):
                    newer[number] = fact
                    if champion is not None and champion.experiment == number:
                        champion = replace(champion, metric=metric)
                case ev.ExperimentMoved(id=number, state=to) if to.is_final:
                    experiment = self._reader.experiment(number)
                    assert experiment is not None, "decided in the event that adds it"
                    parent = self._parent(experiment, newer)
                    noise = transition.state.noise.get(fact.hardware)
                    sigma = noise.sigma if noise else None
                    why = judged.get(number)
                    lessons[number] = self._lesson(experiment, parent, fact, why, sigma)
                    arms = _decide(arms, experiment, fact, champion)
                    newer[number] = fact
                case ev.Crowned(experiment=number, metric=metric):
                    count = champion.count + 1 if champion else 1
                    champion = Champion(number, metric, count)
        if contents.answer is not None:
            arms = _answer(arms, contents.answer, transition, contents)
        notebook = contents.notebook or self._due(decided, lessons)
        self._next = (arms, notebook.upto if notebook else self._upto, decided)
        changed = tuple(arms[name] for name in sorted(arms) if arms[name] != self.arms.get(name))
        return replace(contents, lessons=lessons, notebook=notebook, arms=changed)

    def keep(self) -> None:
        """What `remember` gave last is in the database."""
        if self._next is not None:
            self.arms, self._upto, self._decided = self._next
            self._next = None

    def _parent(
        self, experiment: Experiment, newer: Mapping[int, ev.Measured | ev.ExperimentMoved]
    ) -> Experiment | None:
        """Its parent, with the metric that stands for it after what was just measured of it."""
        found = None if experiment.parent is None else self._reader.experiment(experiment.parent)
        if found is None or (fact := newer.get(found.id)) is None:
            return found
        return replace(found, metric=fact.metric, hardware=fact.hardware)

    def _lesson(
        self,
        experiment: Experiment,
        parent: Experiment | None,
        fact: ev.ExperimentMoved,
        judged: ev.Judged | None,
        sigma: float | None,
    ) -> str:
        # Across classes of hardware nothing is compared: then the reason says what was found.
        compares = parent is None or parent.hardware == fact.hardware
        metric = fact.metric if compares else None
        decided = replace(experiment, state=fact.state, metric=metric, reason=fact.reason)
        before = None if parent is None else _past(parent, None)
        return write_lesson(
            _past(decided, parent),
            before,
            minimize=self._minimize,
            sigma=sigma,
            ground=None if judged is None else _ground(judged, minimize=self._minimize),
        )

    # ---- calls ------------------------------------------------------------------------------

    def settle(self, model: str, settlement: Settlement) -> Iterable[ArmRecord]:
        """The records that a settled call changes; `keep_call` once they are written."""
        self._called = portfolio.called(
            self.arms,
            model,
            tokens=settlement.input_tokens + settlement.output_tokens,
            dollars=settlement.dollars,
            failed=bool(settlement.error),
        )
        return (self._called[model],)

    def keep_call(self) -> None:
        """What `settle` gave last, if anything, is in the database."""
        if self._called is not None:
            self.arms, self._called = self._called, None

    # ---- the notebook -----------------------------------------------------------------------

    def ask_for_notebook(self, request: int) -> bool:
        """Whether this request's answer is to bring the notebook anew; one is asked at a time."""
        due = self._by_models and self._decided - self._upto >= self._every
        if due and self._writing is None:
            self._writing = request
            return True
        return False

    def forget(self, request: int) -> None:
        """The request failed: another one is to bring the notebook."""
        if request == self._writing:
            self._writing = None

    def accept_notebook(self, answer: Answer, decided: int) -> Notebook | None:
        """The notebook that an answer brings: of a model that was told `decided` decisions."""
        self.forget(answer.request)
        if not answer.notebook or decided <= self._upto:
            return None
        return Notebook(headed(answer.notebook, self._label), decided, answer.arm)

    def _due(self, decided: int, lessons: dict[int, str]) -> Notebook | None:
        """The notebook by rule: where no model writes it, or none did for twice as long."""
        waited = decided - self._upto
        if not lessons or waited < self._every * (2 if self._by_models else 1):
            return None
        before = self._reader.notebook()
        stored = self._reader.lessons(after=self._upto, limit=MOST_LESSONS)
        text = condense(
            before.text if before else "", [*stored, *lessons.values()], label=self._label
        )
        return Notebook(text, decided, RULES)


def _decide(
    arms: dict[str, ArmRecord],
    experiment: Experiment,
    fact: ev.ExperimentMoved,
    champion: Champion | None,
) -> dict[str, ArmRecord]:
    """Count a decision for its arm; all records fade with it."""
    cancelled = fact.state is ExperimentState.CANCELLED
    if experiment.origin in NO_ARM or cancelled:
        return arms
    kept = fact.state is ExperimentState.KEEP
    gain = 0.0
    if kept and fact.metric is not None and champion is not None:
        gain = abs(champion.metric - fact.metric)
    return portfolio.decided(
        arms, experiment.origin, gain=gain, kept=kept, failed=fact.state.is_failure
    )


def _answer(
    arms: dict[str, ArmRecord], answer: Answer, transition: Transition, contents: Contents
) -> dict[str, ArmRecord]:
    """Count what an answer's arms proposed, and how much of that the study took."""
    added = Counter(
        contents.proposals[fact.draft].origin
        for fact in transition.facts
        if isinstance(fact, ev.ExperimentAdded)
        and fact.draft is not None
        and contents.proposals[fact.draft].origin not in NO_ARM
    )
    for name, count in answer.refused_by.items():
        if count:
            arms = portfolio.refused(arms, name, count)
    for name, count in added.items():
        arms = portfolio.added(arms, name, count)
    return arms


def _ground(judged: ev.Judged, *, minimize: bool) -> Ground:
    evidence = judged.evidence
    effect = evidence.effect or 0.0
    ahead = effect < 0 if minimize else effect > 0
    return Ground(max(1, evidence.seeds), judged.champion, ahead)


def _past(experiment: Experiment, parent: Experiment | None) -> PastExperiment:
    return PastExperiment(
        id=experiment.id,
        parent=experiment.parent,
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        origin=experiment.origin,
        state=experiment.state,
        metric=experiment.metric,
        reason=experiment.reason,
        constants=experiment.constants,
        skeleton=experiment.skeleton,
        expected=experiment.expected,
        parent_metric=parent.metric if parent else None,
    )
