"""What is kept that is not real: the plain `<`, a gate of two sigmas, and the study's own rule.

    .venv/bin/python -m benchmarks.keep [--seeds N] [--first N] [--plot FILE]

A landscape is drawn per seed. An edit changes the champion that was known when its trial started
by a true effect: harmful, nil, or now and then good; good ones become rarer as the gains are taken.
Every trial adds noise of 0.002, as published for seeds. Slots are asynchronous, so that some
candidates are measured against a champion that was overtaken meanwhile; the study's rule runs such
a win again on today's champion (a rebase), where it may have lost its effect. No model is trained.
The lines are about the rule alone, but for one, in which the study's own state machine decides all
(`keep_rules.py`). Printed, over the landscapes: how many
champions a study had, and the part of them that was not truly better than the one before; the part
of the true gains proposed that the last champion lacks; trials that were no new candidate; how far
the champion truly is below the baseline, in thousandths with the standard error, after so many
trials; and the last of these as a difference from the plain rule on the same landscapes. The
defaults of `Criteria` were tuned on landscapes 0 to 159 with 16 slots; those from 1000 on were held
out. A minute with the defaults.
"""

import argparse
import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.goals import Figure
from scheduler.rules.evidence import Criteria, Decision, champion_due, screen, weigh
from scheduler.rules.noise import SCREENING, Noise, repeats

SIGMA = 0.002
BASE = 1.0
LOST_BY_REBASE = 0.1  # edits whose effect the newer champion has already
SLOTS = (1, 16, 128)
MARKS = (100, 300, 1000)

Edit = tuple[float, float]  # the true effect, and the true value of what it was written for


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

    def left(self, effect: float, base: float, value: float) -> float:
        """What an edit of a program with the value `base` does to one with `value`.

        Gains that have become rare are those that others have taken: a good edit keeps its effect
        with the odds at which a good one is still found, less a tenth for other clashes.
        """
        odds = (1 - LOST_BY_REBASE) * math.exp(-max(0.0, base - value) / self.room)
        return effect if effect >= 0 or self.rng.random() < odds else 0.0


@dataclass(eq=False)
class Program:
    """An experiment: its true value, which no rule may read, and what was measured of it."""

    value: float
    parent: "Program | None" = None
    edits: tuple[Edit, ...] = ()  # several where wins were combined
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


Rule = Callable[[Program, int], None]  # takes in a trial that has ended
NewRule = Callable[[Lab], Rule]


def margin(sigmas: float) -> NewRule:
    """Keep what one trial shows to be better by so many sigmas; 0: the plain comparison."""

    def new(lab: Lab) -> Rule:
        lab.ask(lab.champion, SCREENING)

        def take(program: Program, number: int) -> None:
            best = lab.champion.metrics.get(number)
            if program is lab.champion or best is None:
                return
            if best - program.metrics[number] > sigmas * SIGMA:
                lab.crown(program)

        return take

    return new


class Tested:
    """The study's rule: screened, confirmed by a sequential test, rebased where overtaken.

    Overtaken contenders are run again on the new champion, together (`combine`: a trial of
    independent wins), and one by one where that is not kept.
    """

    def __init__(
        self, lab: Lab, criteria: Criteria, *, rebase: bool = True, combine: bool = True
    ) -> None:
        self.lab, self.criteria, self.rebase, self.combine = lab, criteria, rebase, combine
        self.noise = Noise()
        self.baseline = lab.champion
        self.contenders: list[Program] = []
        self.early: list[Program] = []  # ended before the baseline did
        for number in (SCREENING, *champion_due({}, criteria)):
            lab.ask(self.baseline, number, first=False)

    def __call__(self, program: Program, number: int) -> None:
        """Take in a trial that has ended."""
        self._measure(program, number)
        if program is self.lab.champion:
            early, self.early = self.early, []
            for other in early:
                self._enter(other)
            for other in [*self.contenders]:
                if other in self.contenders and not other.asked - other.metrics.keys():
                    self._consider(other)
        elif program in self.contenders:
            self._consider(program)
        elif number == SCREENING and program is not self.baseline:
            if self.lab.champion.metrics:
                self._enter(program)
            else:
                self.early.append(program)

    def _measure(self, program: Program, number: int) -> None:
        alike = repeats(program.metrics, baseline=program is self.baseline)
        if number in alike:
            before = [metric for n, metric in alike.items() if n != number]
            self.noise = self.noise.taking(before, alike[number])

    def _enter(self, program: Program) -> None:
        metric, champion, parent = program.metrics[SCREENING], self.lab.champion, program.parent
        assert parent is not None
        if self._screen(metric, champion):
            self.contenders.append(program)
            self._consider(program)
        elif self.rebase and parent is not champion and self._screen(metric, parent):
            self._run_again([program])

    def _screen(self, metric: float, against: Program) -> bool:
        return screen(metric, against.metrics, self.noise, self.criteria, minimize=True)

    def _run_again(self, programs: list[Program]) -> None:
        """Run edits again on today's champion, where some have lost their effect."""
        edits = [edit for program in programs for edit in program.edits]
        if self.combine:
            self._contend(edits)
        else:
            for edit in edits:
                self._contend([edit])

    def _contend(self, edits: list[Edit]) -> None:
        champion = self.lab.champion
        program = Program(champion.value, champion, tuple(edits))
        for effect, base in edits:
            program.value += self.lab.land.left(effect, base, program.value)
        self.contenders.append(program)  # it was screened on its old base
        self._consider(program)

    def _consider(self, program: Program) -> None:
        lab = self.lab
        evidence = weigh(
            program.metrics, lab.champion.metrics, self.noise, self.criteria, minimize=True
        )
        if evidence.verdict is Decision.MORE:
            for number in evidence.candidate_needs:
                lab.ask(program, number)
            for number in evidence.champion_needs:
                lab.ask(lab.champion, number)
            return
        self.contenders.remove(program)
        if evidence.verdict is Decision.KEEP:
            lab.crown(program)
            for number in champion_due(program.metrics, self.criteria):
                lab.ask(program, number)
            overtaken, self.contenders = self.contenders, []
            if self.rebase and overtaken:
                self._run_again(overtaken)
        elif len(program.edits) > 1:
            for edit in program.edits:
                self._contend([edit])


def by_test(criteria: Criteria, *, rebase: bool = True, combine: bool = True) -> NewRule:
    """The study's rule with these criteria."""
    return lambda lab: Tested(lab, criteria, rebase=rebase, combine=combine)


def study(seed: int, slots: int, trials: int, new_rule: NewRule) -> tuple[Lab, list[float]]:
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
                base = lab.champion.value
                effect = land.effect(base)
                program = Program(base + effect, lab.champion, ((effect, base),))
                number = SCREENING
                lab.proposed += max(0.0, -effect)
            program.asked.add(number)
            heapq.heappush(
                running, (now + luck.uniform(0.95, 1.05), luck.getrandbits(32), program, number)
            )
        now, _, program, number = heapq.heappop(running)
        program.metrics[number] = program.value + luck.gauss(0, SIGMA)
        rule(program, number)
        curve.append(BASE - lab.champion.value)
    return lab, curve


@dataclass
class Result:
    """A rule on many landscapes."""

    crowned: int = 0
    false: int = 0
    proposed: float = 0.0
    extra: int = 0
    curves: list[list[float]] = field(default_factory=list)

    def gains(self, trials: int) -> list[float]:
        """The champions' true gains after so many trials, in thousandths."""
        return [1000 * curve[trials - 1] for curve in self.curves]

    def row(self, plain: "Result") -> list[str]:
        """The cells of the table."""
        studies = len(self.curves)
        last = self.gains(MARKS[-1])
        ahead = [ours - theirs for ours, theirs in zip(last, plain.gains(MARKS[-1]), strict=True)]
        return [
            f"{self.crowned / studies:.1f}",
            f"{self.false / max(1, self.crowned):.1%}",
            f"{1 - sum(last) / 1000 / self.proposed:.0%}",
            f"{self.extra / studies:.0f}",
            *(_mean_and_error(self.gains(mark)) for mark in MARKS),
            "" if self is plain else _mean_and_error(ahead, sign="+"),
        ]


Study = Callable[[int, int, int], tuple[Lab, list[float]]]  # of a seed, so many slots and trials


def by(new_rule: NewRule) -> Study:
    """Studies of this rule alone."""
    return partial(study, new_rule=new_rule)


def run(seeds: range, slots: int, one: Study) -> Result:
    """Run a study on each landscape."""
    result = Result()
    for seed in seeds:
        lab, curve = one(seed, slots, MARKS[-1])
        result.crowned += lab.crowned
        result.false += lab.false
        result.proposed += lab.proposed
        result.extra += lab.extra
        result.curves.append(curve)
    return result


def _mean_and_error(values: list[float], sign: str = "") -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.1f} ± {error:.1f}"


def draw(results: dict[int, dict[str, Result]], file: Path) -> None:
    """Plot the champions' true gains."""
    # A window system is not there on every machine, and matplotlib takes a second to import.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(1, len(results), figsize=(12, 4), sharey=True, dpi=80)
    for panel, (slots, rules) in zip(panels, results.items(), strict=True):
        for name, result in rules.items():
            columns = list(zip(*result.curves, strict=True))[::10]
            means = [1000 * statistics.mean(column) for column in columns]
            errors = [
                1000 * statistics.stdev(column) / math.sqrt(len(column)) for column in columns
            ]
            trials = range(1, MARKS[-1] + 1, 10)
            label = f"{name}: {result.false / max(1, result.crowned):.0%} false keeps"
            (line,) = panel.plot(trials, means, label=label)
            low = [m - e for m, e in zip(means, errors, strict=True)]
            high = [m + e for m, e in zip(means, errors, strict=True)]
            panel.fill_between(trials, low, high, alpha=0.2, color=line.get_color())
        panel.set_title(f"{slots} slot{'s' if slots > 1 else ''}")
        panel.set_xlabel("trials, all of them counted")
        panel.legend(loc="upper left", fontsize=8, frameon=False)
    panels[0].set_ylabel("true gain of the champion, thousandths")
    figure.tight_layout()
    figure.savefig(file)


def main(*, full: bool = False) -> list[Figure]:
    """Print the table."""
    from benchmarks.keep_rules import study_by_rules  # noqa: PLC0415 - it is made of this file

    seeds_asked = 400 if full else 5
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=seeds_asked, help="landscapes")
    parser.add_argument("--first", type=int, default=1000, help="the first one (default: 1000)")
    parser.add_argument("--plot", type=Path, help="write a picture to this file")
    # `python -m benchmarks` runs this with the names of benchmarks as its arguments.
    arguments, _ = parser.parse_known_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    criteria = Criteria()
    rules = {
        "plain <": by(margin(0)),
        "gate of 2 sigmas": by(margin(2)),
        "the study's rule": by(by_test(criteria)),
    }
    parts = {
        "... as the state machine does it": study_by_rules,
        "... wins one by one": by(by_test(criteria, combine=False)),
        "... no rebase": by(by_test(criteria, rebase=False)),
    }
    heads = ["slots", "rule", "champions", "false", "missed", "extra", *map(str, MARKS), "- plain"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    drawn: dict[int, dict[str, Result]] = {}
    figures = []
    for slots in SLOTS:
        drawn[slots] = {}
        for name, rule in (rules | parts).items():
            result = run(seeds, slots, rule)
            if name in rules:
                drawn[slots][name] = result
            cells = [str(slots), name, *result.row(drawn[slots]["plain <"])]
            print("| " + " | ".join(cells) + " |", flush=True)
            if (slots, rule) == (16, study_by_rules):
                false = 100 * result.false / max(1, result.crowned)
                figures.append(Figure("champions at 16 slots that are no better", false, "%", 5))
    if arguments.plot:
        draw(drawn, arguments.plot)
    return figures


if __name__ == "__main__":
    main(full=True)
