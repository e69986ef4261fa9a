"""Where to look next: Optuna's TPE sampler over the ranges of a few constants.

In: ranges centred on the champion, and what is known of other points: measured, failed, or
still running. Out: new points, as the values of the one to three constants that move. Optuna
is used by ask and tell, in memory and for one request; it is imported on first use only,
because it takes a third of a second and the package is imported by programs that never tune.
"""

import random
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.briefing import Constants
from agent.ranges import Range

if TYPE_CHECKING:
    import optuna

SUBSET = (1, 2, 3)  # how many constants a point moves, each number as likely as the others
EXPLORE = 10  # finished points before the sampler is believed


class Search:
    """A sampler over `ranges`, with the points that it is told of."""

    def __init__(self, ranges: Mapping[str, Range], *, minimize: bool, seed: int) -> None:
        import optuna  # noqa: PLC0415 - see the module

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it greets every new study
        self._optuna = optuna
        self._ranges = ranges
        self._random = random.Random(seed)
        self._sampler = optuna.samplers.TPESampler(
            n_startup_trials=EXPLORE,  # until then it draws from all of a range alike
            multivariate=True,
            constant_liar=True,  # points that are running now push others away
            seed=self._random.getrandbits(32),
        )
        self._study = optuna.create_study(
            sampler=self._sampler, direction="minimize" if minimize else "maximize"
        )
        self._known = 0

    @property
    def explores(self) -> bool:
        """Whether the sampler still draws blindly: too little has finished."""
        return self._known < EXPLORE

    def add_measured(self, constants: Constants, metric: float) -> None:
        """A point that has a metric."""
        self._known += self._add(constants, self._optuna.trial.TrialState.COMPLETE, metric)

    def add_failed(self, constants: Constants) -> None:
        """A point that crashed or was refused. It ranks behind every measured one."""
        # The sampler leaves FAIL out of account and would go there again; PRUNED it avoids.
        self._known += self._add(constants, self._optuna.trial.TrialState.PRUNED)

    def add_running(self, constants: Constants) -> None:
        """A point whose metric is on its way."""
        self._add(constants, self._optuna.trial.TrialState.RUNNING)

    def ask(self) -> dict[str, int | float]:
        """A new point: the values of the constants that move, in the order of the ranges.

        A value may come out as it was, where a range has few. Points that were asked for count
        as running.
        """
        count = min(self._random.choice(SUBSET), len(self._ranges))
        chosen = set(self._random.sample(list(self._ranges), count))
        moved = [name for name in self._ranges if name in chosen]
        point = self._sample(moved)
        self.add_running({name: found.centre for name, found in self._ranges.items()} | point)
        return point

    def _sample(self, moved: list[str]) -> dict[str, int | float]:
        """Values that the sampler expects to be good, while the others stay the champion's."""
        kept = {name: _centre(found) for name, found in self._ranges.items() if name not in moved}
        with warnings.catch_warnings():  # it has been called experimental since version 2.4
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self._optuna.samplers.PartialFixedSampler(kept, self._sampler)
        trial = self._study.ask({name: self._distribution(name) for name in self._ranges})
        # Forgotten here: what counts as running is the point as rounded, which `ask` adds.
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return {name: self._ranges[name].value(trial.params[name]) for name in moved}

    def _add(
        self, constants: Constants, state: "optuna.trial.TrialState", metric: float | None = None
    ) -> bool:
        """Tell the sampler of a point; False if a constant is missing or has no place."""
        places = {
            name: place
            for name, found in self._ranges.items()
            if name in constants and (place := found.coordinate(constants[name])) is not None
        }
        if len(places) < len(self._ranges):
            return False
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=state,
                value=metric,
                params=places,
                distributions={name: self._distribution(name) for name in self._ranges},
            )
        )
        return True

    def _distribution(self, name: str) -> "optuna.distributions.BaseDistribution":
        found = self._ranges[name]
        step = 1.0 if found.whole else None
        return self._optuna.distributions.FloatDistribution(found.low, found.high, step=step)


def _centre(found: Range) -> float:
    """The champion's own coordinate."""
    place = found.coordinate(found.centre)
    assert place is not None, "a range is built around a value that has a place in it"
    return place
