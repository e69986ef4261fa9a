"""Does the tuner find better constants than random search, and than TPE over all of them?

    .venv/bin/python -m benchmarks.tuner [--seeds N] [--trials N] [--copies N]

Each seed is one landscape: a quadratic bowl in the natural scale of eight constants (factors
of two for rates, steps for depths; `--copies 2` makes them sixteen), two of them coupled, some
without influence, flat far from the optimum, with noise of 0.002 on every measurement, which
is what a change of seed costs in bpb. The best experiment so far is the champion by a plain
`<`, as in a study. Printed is how far the champion truly is from the optimum, without the
noise, in thousandths, as the mean over the landscapes with its standard error; the contestants
meet the same landscapes. No model is trained. Under a minute with the defaults.
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import optuna

from agent.briefing import Briefing, Code, PastExperiment
from agent.ranges import Range, range_of
from agent.source import edit_constants, identify
from agent.tuner import Tuner

NOISE = 0.002
CONSTANTS: dict[str, int | float] = {
    "DEPTH": 4,
    "WIDTH": 128,
    "MATRIX_LR": 0.02,
    "EMBED_LR": 0.3,
    "INIT_STD": 0.02,
    "BETA": 0.95,
    "COOL_DOWN": 0.4,
    "WEIGHT_DECAY": 0.0,
}
MARKS = (12, 30, 100)
Values = Mapping[str, int | float]
Choose = Callable[[list[PastExperiment], random.Random], list[Values]]


class Landscape:
    """A metric with a known optimum of 0; lower is better. `start` is the baseline's point."""

    def __init__(self, seed: int, copies: int) -> None:
        rng = random.Random(seed)
        self.start = {
            f"{name}_{copy}": value for copy in range(copies) for name, value in CONSTANTS.items()
        }
        self._best = {name: rng.gauss(0, 1) for name in self.start}
        for name in self.start:
            if name.startswith("WEIGHT_DECAY"):
                self._best[name] = abs(self._best[name])
        self._weight = {
            name: 10 ** rng.uniform(-2.7, -1.7) if rng.random() < 0.75 else 1e-4
            for name in self.start
        }
        self._coupling = rng.uniform(-0.6, 0.6)

    def metric(self, values: Values, moved: Values = MappingProxyType({})) -> float:
        """The metric without noise. `moved`: by how much the optimum lies elsewhere now."""
        away = {
            name: min(max(_natural(name, value) - best, -3.0), 3.0)
            for name, value in values.items()
            for best in [self._best[name] + moved.get(name, 0.0)]
        }
        bowl = sum(self._weight[name] * distance**2 for name, distance in away.items())
        joint = math.sqrt(self._weight["MATRIX_LR_0"] * self._weight["WIDTH_0"])
        return bowl + 2 * self._coupling * joint * away["MATRIX_LR_0"] * away["WIDTH_0"]


def _natural(name: str, value: float) -> float:
    """Where a value lies, in units that matter about alike; the start is 0."""
    kind = name.rsplit("_", 1)[0]
    start = CONSTANTS[kind]
    match kind:
        case "DEPTH":
            return value - start
        case "WIDTH":
            return 1.5 * math.log2(value / start)
        case "BETA":
            return math.log2((1 - value) / (1 - start))
        case "COOL_DOWN":
            return (value - start) / 0.15
        case "WEIGHT_DECAY":
            return value / 0.04
        case _:
            return math.log2(value / start)


def study(seed: int, copies: int, trials: int, choose: Choose) -> list[float]:
    """The champion's true metric after each of the trials, the baseline's first."""
    landscape, rng = Landscape(seed, copies), random.Random(seed + 1000)
    past: list[PastExperiment] = []
    curve: list[float] = []
    waiting: list[Values] = [landscape.start]
    while len(past) <= trials:
        values = waiting.pop(0)
        past.append(_measured(len(past) + 1, values, landscape, rng))
        champion = min(past, key=lambda e: e.metric or 0.0)
        curve.append(landscape.metric(champion.constants))
        waiting = waiting or choose(past, rng)
    return curve


def _measured(
    number: int, values: Values, landscape: Landscape, rng: random.Random
) -> PastExperiment:
    identity = identify(_files(landscape.start, values))
    metric = landscape.metric(values) + rng.gauss(0, NOISE)
    return PastExperiment(
        number, None, "", "", "tuner", "discard", metric,
        fingerprint=identity.fingerprint, skeleton=identity.skeleton, constants=dict(values),
    )  # fmt: skip


def _files(start: Values, values: Values) -> dict[str, str]:
    text = "".join(f"{name} = {value!r}\n" for name, value in start.items())
    return {"train.py": text} | edit_constants({"train.py": text}, values)


def tuner(count: int) -> Choose:
    """The tuner of `agent`, asked for `count` proposals at a time."""

    def choose(past: list[PastExperiment], rng: random.Random) -> list[Values]:
        champion = min(past, key=lambda e: e.metric or 0.0)
        code = Code(champion.id, _files(past[0].constants, champion.constants), champion.metric)
        briefing = Briefing(
            len(past), count, rng.getrandbits(32), "", "bpb", True, "", code, recent=tuple(past)
        )
        return [proposal.constants for proposal in Tuner().propose(briefing)]

    return choose


def _ranges(start: Values) -> list[Range]:
    return [found for name, value in start.items() if (found := range_of(name, value))]


def random_search(past: list[PastExperiment], rng: random.Random) -> list[Values]:
    """Any point of the ranges around the baseline."""
    ranges = _ranges(past[0].constants)
    return [{r.name: r.value(rng.uniform(r.low, r.high)) for r in ranges}]


def whole_tpe(past: list[PastExperiment], rng: random.Random) -> list[Values]:
    """Optuna's TPE as it comes, over all constants at once, in ranges around the baseline."""
    ranges = _ranges(past[0].constants)
    spans: dict[str, optuna.distributions.BaseDistribution] = {
        r.name: optuna.distributions.FloatDistribution(r.low, r.high) for r in ranges
    }
    searcher = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=rng.getrandbits(32)))
    for experiment in past:
        places = {r.name: r.coordinate(experiment.constants[r.name]) for r in ranges}
        searcher.add_trial(
            optuna.trial.create_trial(params=places, distributions=spans, value=experiment.metric)
        )
    trial = searcher.ask(spans)
    return [{r.name: r.value(trial.params[r.name]) for r in ranges}]


def main(*, full: bool = False) -> None:
    """Print the table, of fewer landscapes without `full`."""
    table(8 if full else 2, 100, 1)


def table(seeds: int, trials: int, copies: int) -> None:
    """Print what came of so many landscapes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    marks = [mark for mark in MARKS if mark <= trials]
    contestants: dict[str, Choose] = {
        "random search": random_search,
        "TPE over all constants": whole_tpe,
        "tuner": tuner(1),
        "tuner, 4 at a time": tuner(4),
    }
    print(f"{'thousandths above the optimum at trial':40s}", *(f"{m:>14d}" for m in [0, *marks]),
          "  ms/proposal")  # fmt: skip
    for label, choose in contestants.items():
        begun = time.perf_counter()
        curves = [study(seed, copies, trials, choose) for seed in range(seeds)]
        each = 1000 * (time.perf_counter() - begun) / (seeds * trials)
        cells = []
        for mark in [0, *marks]:
            values = [1000 * curve[mark] for curve in curves]
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):8.1f} ±{error:4.1f}")
        print(f"{label:40s}", *cells, f"{each:12.0f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="landscapes (default: 8)")
    parser.add_argument("--trials", type=int, default=100, help="trials each (default: 100)")
    parser.add_argument("--copies", type=int, default=1, help="of the 8 constants (default: 1)")
    found = parser.parse_args()
    table(found.seeds, found.trials, found.copies)
