"""The study's rule as the state machine carries it out, on a landscape of `benchmarks/keep.py`.

The same landscapes, noise and slots, but nothing is left out: `step` decides, asks the agent, which
answers at once, and plans every trial. An edit that is carried over is added to the champion's, as
the merge of texts would. What is counted is trials that ended.
"""

import heapq
import random
from dataclasses import dataclass, field

from agent import Purpose
from benchmarks.keep import BASE, SIGMA, Lab, Landscape, Program
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.machine import step
from scheduler.rules.noise import SCREENING
from scheduler.rules.policy import Policy
from scheduler.rules.state import State
from workers import OutcomeStatus


@dataclass
class Course:
    """One study under way."""

    land: Landscape
    lab: Lab
    luck: random.Random
    state: State
    programs: dict[int, Program] = field(default_factory=dict)  # by experiment
    running: list[tuple[float, int]] = field(default_factory=list)  # end, trial
    cancelled: set[int] = field(default_factory=set)
    now: float = 0.0

    def send(self, event: ev.Event) -> None:
        """One event, and whatever it leads to at once."""
        transition = step(self.state, event)
        self.state = transition.state
        for fact in transition.facts:
            if isinstance(fact, ev.Crowned):
                program = self.programs.setdefault(fact.experiment, self.lab.champion)
                if program is not self.lab.champion:
                    self.lab.crown(program)
        for action in transition.actions:
            match action:
                case ev.StartTrial(trial):
                    end = self.now + self.luck.uniform(0.95, 1.05)
                    heapq.heappush(self.running, (end, trial))
                case ev.CancelTrial(trial):
                    self.cancelled.add(trial)
                case ev.RequestProposals():
                    self.answer(action)

    def answer(self, request: ev.RequestProposals) -> None:
        """What the agent brings: new edits of the champion, or overtaken ones carried over."""
        champion = self.state.champion
        parent = champion.experiment if champion else 0
        count = champion.count if champion else 0
        base = self.lab.champion
        first = self.state.next_experiment
        if request.purpose is Purpose.REBASE:
            edits = [edit for win in request.wins for edit in self.programs[win].edits]
            program = Program(base.value, base, tuple(edits))
            for effect, written_for in edits:
                program.value += self.land.left(effect, written_for, program.value)
            self.programs[first] = program
            drafts = [ev.Draft(parent, count, rebases=request.wins)]
        else:
            for number in range(first, first + request.count):
                effect = self.land.effect(base.value)
                self.lab.proposed += max(0.0, -effect)
                self.programs[number] = Program(base.value + effect, base, ((effect, base.value),))
            drafts = [ev.Draft(parent, count)] * request.count
        self.send(ev.Answered(self.now, request.request, tuple(drafts), 0.0))

    def end_trial(self) -> bool:
        """The next trial ends; False where it was cut short meanwhile."""
        self.now, trial = heapq.heappop(self.running)
        if trial in self.cancelled:
            return False
        entry = self.state.trials[trial]
        program = self.programs.setdefault(entry.experiment, self.lab.champion)
        self.lab.extra += entry.number != SCREENING
        metric = program.value + self.luck.gauss(0, SIGMA)
        self.send(ev.Reported(self.now, trial, OutcomeStatus.DONE, metric, seconds=1.0))
        return True


def study_by_rules(seed: int, slots: int, trials: int) -> tuple[Lab, list[float]]:
    """Run a study; the lab, and the champion's true gain after each trial."""
    land = Landscape(seed)
    lab = Lab(land, Program(BASE))
    policy = Policy(criteria=Criteria(), proposals_per_call=slots, calls_in_flight=slots)
    course = Course(land, lab, random.Random(seed + 10**6), State(policy))
    course.send(ev.Opened(0.0))
    course.send(ev.SlotsCounted(0.0, slots))
    curve: list[float] = []
    while len(curve) < trials:
        if course.end_trial():
            curve.append(BASE - lab.champion.value)
    return lab, curve
