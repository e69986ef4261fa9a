"""A study without training: the real rules and the real store, driven in virtual time.

In: how many experiments, and a seed. Out: a study's folder with `config.yaml`, `program.md` and a
`study.db` that holds what a study of that course would have written; no artifacts beside it.
Equal arguments give equal studies. No Ray, no processes: durations, metrics, crashes and lost
workers are drawn at random, everything that follows from them is not.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from agent import Answer, Proposal, Purpose
from agent.proposal import ABLATION, Cost
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.machine import Transition, step
from scheduler.rules.policy import Policy
from scheduler.rules.state import State
from scheduler.study.config import Config
from scheduler.study.facts import Contents
from scheduler.study.folder import StudyFolder
from scheduler.study.store import Session, Store
from workers import Outcome, OutcomeStatus, Timings

START = 1_750_000_000.0  # Unix seconds at which every synthetic study begins
BUDGET = 300.0  # seconds of training
BASELINE_METRIC, BEST_METRIC = 1.1, 0.9  # where it starts, and what it nears but never reaches
SIGMA = 0.002  # of the metric, between seeds
CONSTANTS = {"DEPTH": 8, "WIDTH": 512, "LEARNING_RATE": 0.02, "WARM_UP": 0.05, "DECAY": 0.1}
IDEAS = (
    "longer warm-up, so that Muon does not overshoot",
    "value embeddings in every second layer",
    "narrower and deeper at equal cost",
    "higher learning rate for the embeddings",
    "cosine decay to zero",
    "QK norm before the rotary embedding",
)


def code(constants: dict[str, float]) -> str:
    """A training script with these constants at its top."""
    top = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    return f'"""A training script."""\n\n{top}\n\ndef train(session):\n    session.warm_up()\n'


def baseline() -> Proposal:
    """What every synthetic study starts from."""
    return Proposal(
        title="baseline",
        hypothesis="The code as it is: everything else is measured against it.",
        parent=0,
        files={"train.py": code(dict(CONSTANTS))},
        origin="baseline",
        fingerprint="baseline",
        skeleton="gpt",
        constants=CONSTANTS,
    )


@dataclass
class Course:
    """A study under way: sends events to the rules, and to a store where there is one."""

    policy: Policy
    store: Store | None = None
    state: State = field(init=False)
    facts: list[ev.Fact] = field(default_factory=list)
    actions: list[ev.Action] = field(default_factory=list)
    event: int = 0

    def __post_init__(self) -> None:
        """Begin where the store left off."""
        self.state = self.store.load(self.policy) if self.store else State(self.policy)

    def begin_session(self, at: float) -> None:
        """A driver takes the study up: its events are numbered from 1."""
        self.event = 0
        if self.store:
            self.store.begin_session(at, Session(1, "synthetic", task="task", data="data"))

    def send(self, event: ev.Event, contents: Contents | None = None) -> Transition:
        """One event: its facts and actions are also collected."""
        transition = step(self.state, event)
        self.event += 1
        if self.store:
            contents = contents or Contents(baseline=baseline())
            self.store.commit(self.event, event, transition, contents)
        self.state = transition.state
        self.facts += transition.facts
        self.actions += transition.actions
        return transition


@dataclass
class World:
    """Everything around the rules: an agent, workers and their luck, in virtual time."""

    course: Course
    luck: random.Random
    losses: float = 0.01  # share of trials that end without an outcome
    now: float = START
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _cancelled: set[int] = field(default_factory=set)
    _metrics: dict[int, float] = field(default_factory=dict)  # by experiment, without noise
    _constants: dict[int, dict[str, float]] = field(default_factory=dict)
    _parents: dict[int, int] = field(default_factory=dict)
    finished: bool = False

    def open(self, slots: int) -> None:
        """A driver starts and counts the slots."""
        self.finished = False
        self._due.clear()
        self.course.begin_session(self.now)
        self.send(ev.Opened(self._later(0.5)))
        self.send(ev.SlotsCounted(self._later(0.5), slots))

    def happen(self) -> bool:
        """Let the next thing happen; False where nothing is due or the loop has ended."""
        if self.finished or not self._due:
            return False
        at, _, what = heapq.heappop(self._due)
        self.now = max(self._later(0.001), at)
        what()
        return True

    def _later(self, seconds: float) -> float:
        self.now += seconds
        return self.now

    def send(self, event: ev.Event, contents: Contents | None = None) -> None:
        """One event; what is to be done now is done, at its time."""
        for action in self.course.send(event, contents).actions:
            match action:
                case ev.StartTrial(trial):
                    self._plan(self.luck.gauss(BUDGET + 25, 3), partial(self._end, trial))
                case ev.CancelTrial(trial):
                    self._cancelled.add(trial)
                case ev.RequestProposals(request=request, purpose=Purpose.REBASE, wins=wins):
                    self._plan(self.luck.uniform(1, 5), partial(self._rebase, request, wins))
                case ev.RequestProposals(request=request, purpose=Purpose.ABLATE):
                    self._plan(self.luck.uniform(1, 5), partial(self._ablate, request))
                case ev.RequestProposals(request=request, count=count):
                    self._plan(self.luck.uniform(5, 60), partial(self._answer, request, count))
                case ev.Finish():
                    self.finished = True

    def _plan(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), what))

    def _answer(self, request: int, count: int) -> None:
        champion = self.course.state.champion
        parent = champion.experiment if champion else 0
        champions = self.course.state.champions
        proposals = tuple(self._proposal(parent) for _ in range(count))
        drafts = tuple(ev.Draft(parent, champions, p.origin != "tuner") for p in proposals)
        answer = Answer(request, proposals, Cost(9.0, 12_000 * count, 900 * count, 0.01 * count))
        # What is added is numbered from here on: the rules may take fewer than there are.
        first = self.course.state.next_experiment
        for number, proposal in enumerate(proposals, first):
            self._constants[number] = dict(proposal.constants)
            before = self._metrics.get(parent, BASELINE_METRIC)
            change = self.luck.gauss(0.004, 0.006) * (before - BEST_METRIC) / 0.2
            self._metrics[number] = before + change + (0.15 if self.luck.random() < 0.05 else 0)
        event = ev.Answered(self.now, request, drafts, 9.0)
        self._parents |= dict.fromkeys(range(first, first + count), parent)
        self.send(event, Contents(proposals=proposals, answer=answer))

    def _rebase(self, request: int, wins: tuple[int, ...]) -> None:
        """The edits of overtaken wins on the champion; now and then they can't be carried over."""
        champion = self.course.state.champion
        assert champion is not None
        groups = [wins] if self.luck.random() < 0.8 else [(win,) for win in wins[1:]]
        proposals = tuple(
            replace(self._proposal(champion.experiment), title=f"{group} again", rebases=group)
            for group in groups
        )
        first = self.course.state.next_experiment
        for number, group in enumerate(groups, first):
            self._constants[number] = dict(self._constants.get(champion.experiment, CONSTANTS))
            self._metrics[number] = self._metric(champion.experiment) + sum(
                self._metric(win) - self._metric(self._parents[win]) for win in group
            )
            self._parents[number] = champion.experiment
        drafts = tuple(
            ev.Draft(p.parent, champion.count, p.origin != "tuner", rebases=p.rebases)
            for p in proposals
        )
        event = ev.Answered(self.now, request, drafts, None)
        self.send(event, Contents(proposals=proposals, answer=Answer(request, proposals)))

    def _ablate(self, request: int) -> None:
        """The champion without each kept edit of its line: what it gained is lost again."""
        champion = self.course.state.champion
        assert champion is not None
        line, at = [], champion.experiment
        while at in self._parents:
            line.append(at)
            at = self._parents[at]
        made = tuple(
            replace(
                self._proposal(champion.experiment),
                title=f"without #{edit}: an edit",
                origin=ABLATION,
                ablates=edit,
            )
            for edit in line
        )
        for number, edit in enumerate(line, self.course.state.next_experiment):
            self._constants[number] = dict(self._constants[champion.experiment])
            gain = self._metric(self._parents[edit]) - self._metric(edit)
            self._metrics[number] = self._metric(champion.experiment) + gain
            self._parents[number] = champion.experiment
        drafts = tuple(ev.Draft(p.parent, champion.count, ablates=p.ablates) for p in made)
        event = ev.Answered(self.now, request, drafts, None)
        self.send(event, Contents(proposals=made, answer=Answer(request, made)))

    def _metric(self, experiment: int) -> float:
        """Its true metric, without noise."""
        return self._metrics.get(experiment, BASELINE_METRIC)

    def _proposal(self, parent: int) -> Proposal:
        constants = dict(self._constants.get(parent, CONSTANTS))
        name = self.luck.choice(sorted(constants))
        before = constants[name]
        constants[name] = self.luck.choice(
            [value for value in _values(CONSTANTS[name]) if value != before]
        )
        by_tuner = self.luck.random() < 0.7
        title = f"{name} {before:g} -> {constants[name]:g}"
        return Proposal(
            title=title if by_tuner else self.luck.choice(IDEAS),
            hypothesis="A small step from the champion; the metric should fall by about 0.002.",
            parent=parent,
            files={"train.py": code(constants)},
            origin="tuner" if by_tuner else "a-model",
            fingerprint=f"{self.luck.getrandbits(64):016x}",
            skeleton="gpt" if by_tuner else f"{self.luck.getrandbits(64):016x}",
            constants=constants,
        )

    def _end(self, trial: int) -> None:
        if trial in self._cancelled or trial not in self.course.state.trials:
            return
        experiment = self.course.state.trials[trial].experiment
        if self.luck.random() < self.losses:
            self.send(ev.Lost(self.now, trial, "its worker was killed (signal 9)"))
            return
        outcome = self._outcome(trial, experiment)
        event = ev.Reported(
            self.now,
            trial,
            outcome.status,
            outcome.metric,
            outcome.reason,
            outcome.timings.total,
            early=outcome.timings.train < 30,
            hardware=outcome.hardware,
        )
        self.send(event, Contents(outcome=outcome))

    def _outcome(self, trial: int, experiment: int) -> Outcome:
        chance = 1.0 if experiment == 0 else self.luck.random()
        status, reason = _ending(chance)
        done = status is OutcomeStatus.DONE
        reached = 1.0 if done else self.luck.random() * 0.5
        warm = trial > 2
        startup = 0.5 if warm else 4.0
        timings = Timings(startup, 11.0, BUDGET * reached, 7.5 if done else 0.0, 0.4)
        metric = self._metrics.get(experiment, BASELINE_METRIC) + self.luck.gauss(0, SIGMA)
        return Outcome(
            trial=trial,
            status=status,
            reason=reason,
            metric=metric if done else None,
            timings=timings,
            started_at=self.now - timings.total,
            finished_at=self.now,
            steps=int(1200 * reached),
            tokens=int(6.3e8 * reached),
            parameters=50_332_176,
            train_loss=2.9,
            peak_memory_bytes=3 * 2**30,
            peak_device_memory_bytes=int(45.1 * 2**30),
            device=f"NVIDIA {self.course.state.trials[trial].accelerator or 'H100 80GB HBM3'}",
            precision="bfloat16",
            gpu_ids=(str(self.course.state.trials[trial].slot),),
            node="node-1",
            warm=warm,
            log="step 0 loss 5.5\n" + (f"Traceback ...\n{reason}\n" if reason else "done\n"),
        )


def _values(middle: float) -> list[float]:
    """What a constant may become: whole numbers stay whole."""
    values = [middle * factor for factor in (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)]
    return [round(v) if isinstance(middle, int) else float(f"{v:.3g}") for v in values]


def _ending(chance: float) -> tuple[OutcomeStatus, str]:
    """How a trial ends, for a number between 0 and 1."""
    for limit, status, reason in (
        (0.07, OutcomeStatus.CRASH, "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (0.10, OutcomeStatus.OOM, "CUDA out of memory: tried to allocate 20.00 GiB"),
        (0.11, OutcomeStatus.TIMEOUT, "warm-up and compilation took more than 120 s"),
        (0.12, OutcomeStatus.REJECTED, "the metric is not a finite number"),
    ):
        if chance < limit:
            return status, reason
    return OutcomeStatus.DONE, ""


def make_study(
    folder: Path,
    experiments: int = 20,
    seed: int = 0,
    slots: int = 2,
    criteria: Criteria | None = None,
) -> Path:
    """Make a study of the baseline and so many experiments, all decided; return its folder."""
    study = StudyFolder(folder)
    study.create(Config(), "# Research directions\n")
    store = Store(study.database)
    # A synthetic study may be lost in a power cut: without fsync it is made 20 times faster.
    store._db.execute("PRAGMA synchronous = OFF")
    course = Course(Policy(max_experiments=experiments, seed=seed, criteria=criteria), store)
    world = World(course, random.Random(seed))
    while course.state.tally.proposed < experiments or course.state.experiments or not course.event:
        world.open(slots)  # again where many failures in a row paused it
        while world.happen():
            pass
    store.close()
    return folder
