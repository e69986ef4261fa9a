"""What a trial costs its slot beside the training, and how many fit into an hour. Pure.

In: the seconds for which trials held their slots, and those of their phases. Out: medians with
their quartiles, for all and apart for what each trial's edit was; and what they add up to at
another budget.

Whether the graph of the model is a new one, and compiles anew, is recorded nowhere. What is:
whether the same code had a trial before, and whether an edit changed values of constants alone.
A constant such as a width changes the graph as well; so figures are told by edit, and called so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median, quantiles

HOUR = 3600.0


class Edit(StrEnum):
    """What the code of a trial is, compared with what was run before."""

    SAME = "same code"  # a further trial of its experiment: the graph is as it was
    CONSTANTS = "constants only"  # the graph is its parent's, but where a constant is a shape
    CODE = "code"  # the graph is likely to be a new one; a baseline's first trial too


@dataclass(frozen=True)
class Trained:
    """A trial that trained to its end: seconds."""

    edit: Edit
    slot: float  # for which it held its slot
    phases: Mapping[str, float]  # of these; training is among them as `train`
    budget: float | None = None  # of training; None: it was told in steps
    warm: bool = False  # in a process that was started before

    @property
    def outside(self) -> float:
        """For which the slot was held and no budget was used, the overrun of a last step too."""
        train = self.phases["train"]
        return self.slot - (train if self.budget is None else min(train, self.budget))


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Startups:
    """The start-ups of trials that began alike."""

    trials: int
    seconds: Spread


@dataclass(frozen=True)
class Costs:
    """Of the trials of one kind of edit, or of all."""

    edit: Edit | None  # None: all
    trials: int
    slot: Spread  # seconds for which one held its slot
    phases: Mapping[str, Spread]
    outside: Spread
    # Of those in a process that was started before, and of the others: where both occur, else None.
    warm: Startups | None = None
    cold: Startups | None = None


@dataclass(frozen=True)
class Pace:
    """What that comes to with a budget, where slots are never idle and no trial fails.

    Of the measured seconds outside of the budget, as if they stayed the same at that budget.
    """

    edit: Edit | None
    trials: int
    budget: float
    per_hour: Spread  # trials in an hour of one slot: of the median, and of the quartiles


def costs(held: Iterable[Trained]) -> list[Costs]:
    """Of all trials, then of those of each edit that occurs."""
    everything = list(held)
    if not everything:
        return []
    by_edit = {edit: [each for each in everything if each.edit is edit] for edit in Edit}
    return [
        _costs(None, everything),
        *(_costs(edit, some) for edit, some in by_edit.items() if some),
    ]


def paces(found: Iterable[Costs], budget: float) -> list[Pace]:
    """How many trials one slot makes in an hour with so many seconds of training each."""
    return [Pace(each.edit, each.trials, budget, _per_hour(each.outside, budget)) for each in found]


def _per_hour(outside: Spread, budget: float) -> Spread:
    """More seconds make fewer trials: the quartiles change places."""
    most = (outside.median, outside.high, outside.low)
    return Spread(*(HOUR / (budget + max(0.0, seconds)) for seconds in most))


def _costs(edit: Edit | None, held: Sequence[Trained]) -> Costs:
    warm, cold = (
        [each.phases["startup"] for each in held if each.warm is wanted] for wanted in (True, False)
    )
    both = bool(warm and cold)
    return Costs(
        edit=edit,
        trials=len(held),
        slot=spread([each.slot for each in held]),
        phases={name: spread([each.phases[name] for each in held]) for name in held[0].phases},
        outside=spread([each.outside for each in held]),
        warm=Startups(len(warm), spread(warm)) if both else None,
        cold=Startups(len(cold), spread(cold)) if both else None,
    )


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more. The quartiles are those of the sample (inclusive)."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)
