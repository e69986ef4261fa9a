"""Every decision of a study, taken again from what its trials measured.

In: a study's database, read only. Out: for each experiment that was kept or discarded, whether the
recorded evidence is what the rules make of the recorded outcomes today. The order of things is the
journal's; figures come from the outcomes alone, and noise and champions are built up anew, so that
nothing that was decided is taken on trust. It decides nothing and writes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scheduler.rules.decisions import FAULTS_ALLOWED, learn, learn_pairs
from scheduler.rules.estimate import estimate
from scheduler.rules.evidence import Criteria, Decision, Evidence
from scheduler.rules.fleet import Ground
from scheduler.rules.policy import Policy
from scheduler.rules.ranking import by_number, judge
from scheduler.rules.state import Champion, Result, State
from scheduler.rules.states import ExperimentState, TrialKind
from scheduler.rules.turn import Turn
from scheduler.study.judged import evidence_of
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord

CLOSE = 1e-9  # relative: sums are taken in the same order, so that even this is generous
PAGE = 1000
MEASURED = (ExperimentState.KEEP, ExperimentState.DISCARD)
FACTS = ("TrialMoved", "Judged", "ExperimentMoved", "Crowned")


@dataclass(frozen=True)
class Rechecked:
    """A decision, as it was recorded and as it comes out again."""

    experiment: int
    recorded: Evidence
    again: Evidence | None  # None: it rests on no test, and `why` says on what
    why: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it comes out as it was recorded."""
        if self.again is None:
            return bool(self.why)
        ours, theirs = self.recorded, self.again
        # An older version gave a p where no repeat differed.
        names = ("effect", "standard_error", *(() if theirs.is_exact else ("p",)))
        return (ours.verdict, ours.seeds) == (theirs.verdict, theirs.seeds) and all(
            _alike(getattr(ours, name), getattr(theirs, name)) for name in names
        )


def recheck(reader: Reader, *, minimize: bool) -> Iterator[Rechecked]:
    """All decisions in their order."""
    course = _Course(reader, Policy(minimize=minimize))
    at = 0
    while page := reader.events(after=at, limit=PAGE):
        at = page[-1].seq
        for each in page:
            if each.fact in FACTS and (found := course.take(each.fact, each.data)):
                yield found


class _Course:
    """A study once more, fact by fact."""

    def __init__(self, reader: Reader, policy: Policy) -> None:
        self._reader = reader
        self._turn = Turn(State(policy), 0.0)
        self._experiments = {each.id: each for each in reader.experiments()}
        self._trials = {each.id: each for each in reader.trials()}
        self._results: dict[int, tuple[Result, ...]] = {}  # of what is not decided
        self._hardware: dict[int, str] = {}  # on which class it was decided
        self._decided: set[int] = set()

    def take(self, fact: str, data: Mapping[str, Any]) -> Rechecked | None:
        """One fact; a decision gives what was found."""
        number = data.get("id", data.get("experiment"))
        assert isinstance(number, int)
        if fact == "TrialMoved" and data["state"] == "done":
            self._end_trial(self._trials[number])
        elif fact == "TrialMoved" and data["state"] == "lost" and data["blamed"]:
            self._lose(self._trials[number])
        elif fact == "Judged":
            return self._judge(self._experiments[number], data)
        elif fact == "ExperimentMoved" and ExperimentState(data["state"]).is_final:
            self._forget(number)
        elif fact == "Crowned":
            self._crown(self._experiments[number])
        return None

    def _end_trial(self, trial: TrialRecord) -> None:
        champion, number = self._turn.state.champion, trial.experiment
        owns = champion is not None and champion.experiment == number
        outcome = trial.outcome
        if trial.kind is TrialKind.LONG:
            return  # it decides nothing
        if outcome is None or outcome.metric is None:
            if champion is not None and owns:
                self._turn.change(champion=champion.failing(trial.number, 2))
            return
        result = Result(trial.number, outcome.metric, outcome.hardware, trial.accelerator)
        if champion is not None and owns:
            learn(self._turn, champion.results, result, baseline=champion.count == 1)
            results = (*champion.results, result)
            self._turn.change(champion=replace(champion, results=results))
        elif number not in self._decided:
            before = self._results.get(number, ())
            baseline = self._experiments[number].parent is None
            learn(self._turn, before, result, baseline=baseline)
            self._results[number] = (*before, result)

    def _lose(self, trial: TrialRecord) -> None:
        """A repeat of the champion was lost, and may be to blame: the second time it counts."""
        champion = self._turn.state.champion
        if champion is not None and champion.experiment == trial.experiment:
            self._turn.change(champion=champion.failing(trial.number, 1))

    def _judge(self, experiment: Experiment, data: Mapping[str, Any]) -> Rechecked:
        recorded = evidence_of(data["evidence"])
        criteria = data.get("criteria")
        state = self._turn.state
        policy = replace(state.policy, criteria=Criteria(**criteria) if criteria else None)
        results = self._results.get(experiment.id, ())
        champion = state.champion
        again = judge(results, champion, state.noise, policy, _ground(data), size=experiment.size)
        self._hardware[experiment.id] = again.hardware
        given_up = champion is not None and len(champion.barred) >= FAULTS_ALLOWED
        if given_up and (again.verdict, recorded.verdict) == (Decision.MORE, Decision.DISCARD):
            return Rechecked(
                experiment.id, recorded, None, "the champion failed with too many seeds"
            )
        return Rechecked(experiment.id, recorded, again)

    def _forget(self, experiment: int) -> None:
        """It is decided: what it and the champion measured in common goes into the noise."""
        self._decided.add(experiment)
        champion, results = self._turn.state.champion, self._results.get(experiment, ())
        final = self._experiments[experiment].state
        if champion is not None and results and final in MEASURED:
            hardware = self._hardware.get(experiment, "")
            learn_pairs(self._turn, results, champion.results, hardware)

    def _crown(self, experiment: Experiment) -> None:
        results = self._results[experiment.id]
        # An older version recorded no evidence.
        on = self._hardware.get(experiment.id, results[0].hardware)
        count = self._turn.state.champions + 1
        metric = estimate(by_number(results, on), baseline=count == 1).mean
        champion = Champion(experiment.id, metric, count, results, size=experiment.size)
        self._turn.change(champion=champion)


def _ground(data: Mapping[str, Any]) -> Ground:
    """Where things could be compared; a study of an older version has one kind of slot."""
    ground = data.get("ground") or {}
    lists = {name: tuple(ground.get(name, ())) for name in ("sought", "awaited")}
    return Ground(ground.get("reference", ""), **lists)


def _alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= CLOSE * max(1.0, abs(one), abs(other))
