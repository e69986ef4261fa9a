"""Do several arms that share the requests find more than one alone, and than best-of-N?

    .venv/bin/python -m benchmarks.portfolio [--seeds N] [--trials N] [--count N]

Each seed is one terrain: the bowl over eight constants of `benchmarks/tuner.py`, and structure:
edits that constants can't reach, with heavy-tailed effects, most of them useless or harmful. What
all structure together can bring is limited, so that gains grow smaller, and each edit moves the
optimum of one constant. Every measurement has noise of 0.002, and the best measured experiment is
the champion by a plain `<`. The tuner and the sharing are the real ones (`agent`); the models are
scripted: draws from odds, with a price for each call. A request asks one arm for `--count`
proposals, and all of them are measured before the next.

Printed is how far the champion is truly below the baseline, without the noise, in thousandths,
as the mean over the terrains with its standard error; then the dollars spent on calls, and the
shares at the end. All contestants meet the same terrains, but not the same luck.

What it shows: what sharing costs and saves when arms differ by so much, under this noise. What it
doesn't show: whether a real model beats the tuner. Its odds are assumptions, its ideas don't
learn from what was measured, and there are no confirmations. No model is trained or called.
Under two minutes with the defaults, on one core.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import optuna

from agent import portfolio
from agent.briefing import ArmRecord, Briefing, Code, PastExperiment
from agent.ranges import range_of
from agent.source import edit_constants, identify
from agent.tuner import Tuner
from benchmarks.tuner import NOISE, Landscape, Values

MARKS = (12, 30, 100, 300)
STRUCTURE = 0.05  # what all structure together can bring at most, about as much as the constants
TYPICAL, SPREAD, LARGEST = 0.0014, 1.2, 0.03  # an edit that helps: median, of its logarithm, most
HARM, NOTHING = 0.01, 0.0005  # of edits that don't: mean of one half, spread of the other
MOVES = 0.7  # how far an edit moves the optimum of one constant, in the bowl's units
LATEST, ALIKE = 30, 200  # experiments in a briefing: the latest, and those that differ in constants


@dataclass(frozen=True)
class Model:
    """The odds and the prices of a scripted model."""

    helps: float  # share of its edits of structure
    crashes: float  # share of its edits of structure
    tunes: float = 0.2  # share of its proposals that change a constant instead
    call: float = 0.04  # dollars: 12,000 tokens of prompt at 3 $ a million
    each: float = 0.02  # dollars for one proposal: 1,300 tokens of answer at 15 $ a million


GOOD = Model(helps=0.12, crashes=0.10)
BAD = Model(helps=0.01, crashes=0.40, tunes=0.1)
USELESS = Model(helps=0.0, crashes=0.90, tunes=0.0)
Arms = Mapping[str, Model | None]  # None: the tuner
Sharing = Callable[[Mapping[str, ArmRecord], list[str], int], str]


@dataclass(frozen=True)
class Edit:
    """One edit of structure."""

    number: int
    effect: float  # on the metric; below 0 is better
    crashes: bool
    moves: Values


@dataclass(frozen=True)
class Candidate:
    """Code, as this terrain sees it."""

    constants: Values
    edits: tuple[Edit, ...] = ()


class Terrain(Landscape):
    """The bowl over the constants, with structure."""

    def truth(self, candidate: Candidate) -> float:
        """The metric without noise."""
        won = -math.fsum(edit.effect for edit in candidate.edits if edit.effect < 0)
        lost = math.fsum(edit.effect for edit in candidate.edits if edit.effect > 0)
        moved: dict[str, float] = {}
        for edit in candidate.edits:
            for name, by in edit.moves.items():
                moved[name] = moved.get(name, 0.0) + by
        structure = STRUCTURE * (1 - math.exp(-won / STRUCTURE))  # what is won can't be won again
        return self.metric(candidate.constants, moved) + lost - structure


class Study:
    """One study on one terrain."""

    def __init__(self, seed: int, arms: Arms, sharing: Sharing, count: int, *, once: bool) -> None:
        """`once`: models edit the baseline always, never the champion."""
        self._terrain = Terrain(seed, 1)
        self._chance, self._noise = random.Random(seed + 1000), random.Random(seed + 2000)
        self._arms, self._sharing, self._count, self._once = arms, sharing, count, once
        self._past: list[PastExperiment] = []
        self._candidates: list[Candidate] = []
        self._edits = 0
        self.records: Mapping[str, ArmRecord] = {}
        self.curve: list[float] = []  # the champion's true metric after each trial
        self._measure(Candidate(self._terrain.start), "baseline")
        self._champion = self._past[0]
        self.curve.append(self._terrain.truth(self._candidates[0]))

    def run(self, trials: int) -> None:
        """Request after request, until so many trials have ended."""
        while len(self.curve) <= trials:
            arm = self._sharing(self.records, list(self._arms), self._chance.getrandbits(32))
            model = self._arms[arm]
            if model is None:
                found = self._tune()
            else:
                found = [self._propose(model) for _ in range(self._count)]
                dollars = model.call + model.each * self._count
                self.records = portfolio.called(self.records, arm, tokens=0, dollars=dollars)
            self.records = portfolio.added(self.records, arm, len(found))
            for candidate in found:
                self._decide(arm, self._measure(candidate, arm))

    def dollars(self) -> float:
        """What all calls cost."""
        return math.fsum(record.dollars or 0.0 for record in self.records.values())

    def _measure(self, candidate: Candidate, arm: str) -> PastExperiment:
        identity = identify(self._files(candidate))
        crashed = any(edit.crashes for edit in candidate.edits)
        metric = self._terrain.truth(candidate) + self._noise.gauss(0, NOISE)
        experiment = PastExperiment(
            len(self._past) + 1, None, "", "", arm, "crash" if crashed else "discard",
            None if crashed else metric,
            fingerprint=identity.fingerprint, skeleton=identity.skeleton,
            constants=identity.constants,
        )  # fmt: skip
        self._past.append(experiment)
        self._candidates.append(candidate)
        return experiment

    def _decide(self, arm: str, experiment: PastExperiment) -> None:
        metric, best = experiment.metric, self._champion.metric or 0.0
        gain = 0.0 if metric is None else best - metric
        kept = gain > 0
        if kept:
            self._champion = experiment
        self.records = portfolio.decided(
            self.records, arm, gain=gain, kept=kept, failed=metric is None
        )
        self.curve.append(self._terrain.truth(self._candidates[self._champion.id - 1]))

    def _tune(self) -> list[Candidate]:
        champion = self._champion
        base = self._candidates[champion.id - 1]
        alike = [e for e in self._past if e.skeleton == champion.skeleton][-ALIKE:]
        recent = tuple({e.id: e for e in (*self._past[-LATEST:], *alike)}.values())
        briefing = Briefing(
            len(self._past), self._count, self._chance.getrandbits(32), "", "bpb", True, "",
            Code(champion.id, self._files(base), champion.metric), recent=recent,
        )  # fmt: skip
        return [replace(base, constants=p.constants) for p in Tuner().propose(briefing)]

    def _propose(self, model: Model) -> Candidate:
        base = self._candidates[0 if self._once else self._champion.id - 1]
        if self._chance.random() >= model.tunes:
            return replace(base, edits=(*base.edits, self._edit(model)))
        name = self._chance.choice(list(base.constants))
        found = range_of(name, base.constants[name])
        assert found is not None, "every constant of the bowl has a range"
        value = found.value(self._chance.uniform(found.low, found.high))
        return replace(base, constants={**base.constants, name: value})

    def _edit(self, model: Model) -> Edit:
        chance = self._chance
        self._edits += 1
        luck = chance.random()
        if luck < model.crashes:
            return Edit(self._edits, 0.0, True, {})
        if luck < model.crashes + model.helps:
            effect = -min(LARGEST, TYPICAL * math.exp(chance.gauss(0, SPREAD)))
        elif chance.random() < 0.5:
            effect = chance.expovariate(1 / HARM)
        else:
            effect = abs(chance.gauss(0, NOTHING))
        moves = {chance.choice(list(self._terrain.start)): chance.gauss(0, MOVES)}
        return Edit(self._edits, effect, False, moves)

    def _files(self, candidate: Candidate) -> dict[str, str]:
        start = self._terrain.start
        lines = [f"{name} = {value!r}" for name, value in start.items()]
        lines += ["", "", "def train(session):"]
        lines += [f"    session.use({edit.number})" for edit in candidate.edits]
        text = {"train.py": "\n".join([*lines, "    return session", ""])}
        return text | edit_constants(text, candidate.constants)


def even(_: Mapping[str, ArmRecord], arms: list[str], seed: int) -> str:
    """Equal shares whatever came of them: what following the records has to beat."""
    return random.Random(seed).choice(arms)


TUNER: Arms = {"tuner": None}
CONTESTANTS: Mapping[str, tuple[Arms, Sharing, bool]] = {
    "tuner": (TUNER, even, False),
    "good model": ({"good": GOOD}, even, False),
    "good model, best of N": ({"good": GOOD}, even, True),
    "tuner, good: even": ({**TUNER, "good": GOOD}, even, False),
    "tuner, good: portfolio": ({**TUNER, "good": GOOD}, portfolio.choose, False),
    "tuner, good, bad: even": ({**TUNER, "good": GOOD, "bad": BAD}, even, False),
    "tuner, good, bad: portfolio": (
        {**TUNER, "good": GOOD, "bad": BAD}, portfolio.choose, False,
    ),
    "tuner, good, useless: even": ({**TUNER, "good": GOOD, "useless": USELESS}, even, False),
    "tuner, good, useless: portfolio": (
        {**TUNER, "good": GOOD, "useless": USELESS}, portfolio.choose, False,
    ),
}  # fmt: skip


def main(*, full: bool = False) -> None:
    """Print the table, of fewer terrains without `full`."""
    table(4 if full else 2, 300, 4)


def table(seeds: int, trials: int, count: int) -> None:
    """Print what came of so many terrains."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    marks = [mark for mark in MARKS if mark <= trials]
    print(f"{'thousandths below the baseline at trial':40s}", *(f"{m:>12d}" for m in marks),
          "      $  shares of the trials; of requests at the end")  # fmt: skip
    for label, (arms, sharing, once) in CONTESTANTS.items():
        studies = []
        for seed in range(seeds):
            study = Study(seed, arms, sharing, count, once=once)
            study.run(trials)
            studies.append(study)
        cells = [_cell([1000 * (s.curve[0] - s.curve[mark]) for s in studies]) for mark in marks]
        dollars = statistics.mean(study.dollars() for study in studies)
        print(f"{label:40s}", *cells, f"{dollars:6.1f} ", _shares(studies, arms, sharing),
              flush=True)  # fmt: skip


def _cell(values: list[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):6.1f} ±{error:4.1f}"


def _shares(studies: list[Study], arms: Arms, sharing: Sharing) -> str:
    if len(arms) == 1:
        return ""
    words = []
    for arm in arms:
        tried = statistics.mean(
            s.records[arm].decided / (len(s.curve) - 1) if arm in s.records else 0.0
            for s in studies
        )
        word = f"{arm} {tried:.2f}"
        if sharing is not even:
            end = statistics.mean(portfolio.shares(s.records, list(arms))[arm] for s in studies)
            word += f"; {end:.2f}"
        words.append(word)
    return ", ".join(words)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="terrains (default: 4)")
    parser.add_argument("--trials", type=int, default=300, help="trials each (default: 300)")
    parser.add_argument("--count", type=int, default=4, help="proposals a request (default: 4)")
    found = parser.parse_args()
    table(found.seeds, found.trials, found.count)
