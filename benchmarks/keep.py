"""What is kept that is not real: the plain `<`, a gate of two sigmas, and the study's own rule.

    .venv/bin/python -m benchmarks.keep [--seeds N] [--first N] [--trials N] [--plot FILE]

A landscape is drawn per seed. An edit changes the champion that was known when its trial started
by a true effect: harmful, nil, or now and then good; good ones become rarer as the easy gains are
taken. Every trial adds noise of 0.002, as published for seeds. Slots are asynchronous, so that some
candidates are measured against a champion that was overtaken meanwhile; the study's rule then runs
the edit again on today's champion (a rebase), where a tenth of the edits have lost their effect.
No model is trained and no state machine runs: this is about the rule alone. Printed, over the
landscapes: champions that were not truly better than the one before, in per cent of those
crowned; the part of the true gains proposed that was not taken, by size; trials that were no new
candidate; how far the champion truly is below the baseline, in thousandths, after so many trials.
"""

import argparse
import heapq
import math
import random
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.rules.evidence import Criteria, Decision, screen, weigh
from scheduler.rules.noise import SCREENING, Noise, repeats

SIGMA = 0.002
BASE = 1.0
LOST_BY_REBASE = 0.1  # edits whose effect the newer champion has already
SLOTS = (1, 16, 128)
MARKS = (100, 300, 1000)


class Landscape:
    """Edits and their true effects; lower is better."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.good = math.exp(rng.uniform(math.log(0.05), math.log(0.3)))  # share at the start
        self.gain = math.exp(rng.uniform(math.log(0.001), math.log(0.005)))  # mean of good ones
        self.room = math.exp(rng.uniform(math.log(0.01), math.log(0.06)))  # gains get rare
        self.nil = rng.uniform(0.2, 0.5)  # share without any effect
        self.harm = math.exp(rng.uniform(math.log(0.003), math.log(0.02)))  # mean of bad ones

    def effect(self, value: float) -> float:
        """The true effect of a new edit of a program with this true value."""
        good = self.good * math.exp(-max(0.0, BASE - value) / self.room)
        draw = self.rng.random()
        if draw < good:
            return -self.rng.expovariate(1 / self.gain)
        return 0.0 if draw < good + self.nil else self.rng.expovariate(1 / self.harm)


@dataclass(eq=False)
class Program:
    """An experiment: its true value, which no rule may read, and what was measured of it."""

    value: float
    parent: "Program | None" = None
    effect: float = 0.0
    metrics: dict[int, float] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)  # trials that are queued or running


@dataclass
class Lab:
    """A study of one rule on one landscape."""

    land: Landscape
    champion: Program
    queue: deque[tuple[Program, int]] = field(default_factory=deque)
    crowned: int = 0
    false: int = 0
    proposed: float = 0.0  # true gains
    extra: int = 0  # trials that were no new candidate

    def ask(self, program: Program, number: int, *, first: bool = True) -> None:
        """Queue a trial."""
        if number not in program.metrics and number not in program.asked:
            program.asked.add(number)
            (self.queue.appendleft if first else self.queue.append)((program, number))

    def crown(self, program: Program) -> None:
        """Make it the champion."""
        self.crowned += 1
        self.false += program.value >= self.champion.value
        self.champion = program


Rule = Callable[[Lab, Program, int], None]  # takes in a trial that has ended
NewRule = Callable[[Lab], Rule]


def margin(sigmas: float) -> NewRule:
    """Keep what one trial shows to be better by so many sigmas; 0: the plain comparison."""

    def take(lab: Lab, program: Program, number: int) -> None:
        best = lab.champion.metrics.get(number)
        if program is lab.champion or best is None:
            return
        if best - program.metrics[number] > sigmas * SIGMA:
            lab.crown(program)

    def new(lab: Lab) -> Rule:
        lab.ask(lab.champion, SCREENING)
        return take

    return new


def tested(
    criteria: Criteria, baseline_repeats: int = 3, champion_seeds: int = 0, *, rebase: bool = True
) -> NewRule:
    """The study's rule: screened, confirmed by a sequential test, rebased where overtaken."""

    def new(lab: Lab) -> Rule:
        baseline = lab.champion
        noise = Noise()
        contenders: list[Program] = []
        early: list[Program] = []  # ended before the baseline did
        for number in range(1, baseline_repeats + 1):
            lab.ask(baseline, number, first=False)

        def measure(program: Program, number: int) -> None:
            nonlocal noise
            alike = repeats(program.metrics, baseline=program is baseline)
            if number in alike:
                before = [metric for n, metric in alike.items() if n != number]
                noise = noise.taking(before, alike[number])

        def again(program: Program) -> None:
            """The edit on today's champion."""
            if rebase and program.effect is not None:
                effect = 0.0 if lab.land.rng.random() < LOST_BY_REBASE else program.effect
                new = Program(lab.champion.value + effect, lab.champion, effect)
                contenders.append(new)  # it was screened on its old base
                consider(new)

        def enter(program: Program) -> None:
            metric, parent = program.metrics[SCREENING], program.parent
            assert parent is not None
            if screen(metric, lab.champion.metrics, noise, criteria, minimize=True):
                contenders.append(program)
                consider(program)
            elif parent is not lab.champion and screen(
                metric, parent.metrics, noise, criteria, minimize=True
            ):
                again(program)

        def consider(program: Program) -> None:
            evidence = weigh(
                program.metrics, lab.champion.metrics, noise, criteria, minimize=True
            )
            if evidence.verdict is Decision.MORE:
                for number in evidence.candidate_needs:
                    lab.ask(program, number)
                for number in evidence.champion_needs:
                    lab.ask(lab.champion, number)
                return
            contenders.remove(program)
            if evidence.verdict is Decision.KEEP:
                lab.crown(program)
                for number in range(SCREENING + 1, SCREENING + 1 + champion_seeds):
                    lab.ask(program, number)
                overtaken, contenders[:] = contenders[:], []
                for other in overtaken:
                    again(other)

        def take(lab: Lab, program: Program, number: int) -> None:
            measure(program, number)
            if program is lab.champion:
                for other in [*early]:
                    early.remove(other)
                    enter(other)
                for other in [*contenders]:  # those that waited for this seed
                    if other in contenders and number in other.metrics and not (
                        other.asked - other.metrics.keys()
                    ):
                        consider(other)
            elif program in contenders:
                consider(program)
            elif number == SCREENING and program is not baseline:
                if lab.champion.metrics:
                    enter(program)
                else:
                    early.append(program)

        return take

    return new


def study(
    seed: int, slots: int, trials: int, new_rule: NewRule
) -> tuple[Lab, list[float]]:
    """Run a study; the lab, and the champion's true gain after each trial."""
    land = Landscape(seed)
    lab = Lab(land, Program(BASE))
    luck = random.Random(seed + 10**6)
    running: list[tuple[float, int, Program, int]] = []
    curve: list[float] = []
    rule = new_rule(lab)
    now = 0.0
    while len(curve) < trials:
        while len(running) < slots:
            if lab.queue:
                program, number = lab.queue.popleft()
                lab.extra += 1
            else:
                effect = land.effect(lab.champion.value)
                program = Program(lab.champion.value + effect, lab.champion, effect)
                number = SCREENING
                lab.proposed += max(0.0, -effect)
            program.asked.add(number)
            heapq.heappush(
                running, (now + luck.uniform(0.95, 1.05), luck.getrandbits(32), program, number)
            )
        now, _, program, number = heapq.heappop(running)
        program.metrics[number] = program.value + luck.gauss(0, SIGMA)
        rule(lab, program, number)
        curve.append(BASE - lab.champion.value)
    return lab, curve
