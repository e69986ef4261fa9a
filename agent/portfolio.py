"""How the requests of a study are shared among its arms: the models and the tuner.

In: what each arm has done so far (`ArmRecord`, by name). Out: the records after one more thing
happened, and the share of the requests that each arm should get next. Pure: no clock, no storage,
and chance only by the seed that is given. It asks no model and knows nothing of keys or outages;
the scheduler keeps the records and writes them with the event that changed them, so that a
restart forgets nothing.

An arm's value is what it won lately over what it cost lately:

- won: its wins and their sizes, as the geometric mean of their number and their sum. By the sum
  alone one lucky early gain would outweigh much that comes after it, as gains shrink while a study
  goes on; by the number alone a win by noise would count as much as a leap.
- cost: its trials, each worth `trial_dollars`, and what its calls cost. Where a model's price is
  not known its trials are all that counts, so that it looks somewhat cheaper than it is.
- lately: every decided experiment fades all of it, by half in HALF_LIFE experiments of the study,
  so that an arm that ran dry makes room and one that had bad luck comes back.

Every arm begins with one win more than it had, at what a win costs the whole study lately. So an
arm that was never tried counts as an average one, and the less was won lately by all, the more
alike are the shares. They are proportional to the values, and none is below the floor. Wins are
few and owe much to noise: bolder rules took a useless arm's trials away sooner, and followed noise
further where no arm was useless (`benchmarks/portfolio.py`, `docs/log.md`).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from agent.briefing import ArmRecord

Records = Mapping[str, ArmRecord]

HALF_LIFE = 100.0  # decided experiments of the whole study; an arm wins once in 5 to 40 trials
FADE = 0.5 ** (1 / HALF_LIFE)
FORGOTTEN = 1e-9  # wins of all arms that have faded so far are none
FLOOR = 0.05  # a trial in twenty finds out that an arm has become better
TRIAL_DOLLARS = 0.17  # five minutes of one GPU at 2 $ an hour
FRUITLESS = 0.1  # of a trial: what a refused proposal or a failed call costs, as it blocks no GPU

EVEN: Mapping[str, float] = MappingProxyType({})


def called(
    records: Records, arm: str, *, tokens: int, dollars: float | None, failed: bool = False
) -> dict[str, ArmRecord]:
    """After a call to a model has been settled, for each attempt that was paid for.

    `dollars` None: the price is not known; the arm's total is unknown from then on.
    """
    old = _record(records, arm)
    known = None if old.dollars is None or dollars is None else old.dollars + dollars
    new = replace(
        old,
        calls=old.calls + 1,
        failed_calls=old.failed_calls + failed,
        tokens=old.tokens + tokens,
        dollars=known,
        spent=old.spent + (dollars or 0.0),
        tried=old.tried + FRUITLESS * failed,
    )
    return {**records, arm: new}


def refused(records: Records, arm: str, count: int = 1) -> dict[str, ArmRecord]:
    """After proposals were refused by the checks: no trial is spent on them."""
    old = _record(records, arm)
    new = replace(
        old,
        proposals=old.proposals + count,
        refused=old.refused + count,
        tried=old.tried + FRUITLESS * count,
    )
    return {**records, arm: new}


def added(records: Records, arm: str, count: int = 1) -> dict[str, ArmRecord]:
    """After proposals passed the checks and became experiments."""
    old = _record(records, arm)
    new = replace(old, proposals=old.proposals + count, experiments=old.experiments + count)
    return {**records, arm: new}


def decided(
    records: Records, arm: str, *, gain: float = 0.0, kept: bool = False, failed: bool = False
) -> dict[str, ArmRecord]:
    """After an experiment reached its final state; fades what every arm did before.

    `gain`: how much better than the champion of its day it measured, in the metric's unit and
    positive for better; it counts where the experiment was kept. `failed`: crash, timeout, oom or
    rejected. Not for the baseline, nor for an experiment that was cancelled.
    """
    faded = {name: _faded(record) for name, record in records.items()}
    old = faded.get(arm, ArmRecord(arm))
    won = max(0.0, gain) if kept and math.isfinite(gain) else 0.0
    faded[arm] = replace(
        old,
        decided=old.decided + 1,
        kept=old.kept + kept,
        failed=old.failed + failed,
        best_gain=max(old.best_gain, won),
        gain=old.gain + won,
        won=old.won + kept,
        tried=old.tried + 1.0,
    )
    return faded


def shares(
    records: Records,
    arms: Sequence[str],
    *,
    floor: float = FLOOR,
    trial_dollars: float = TRIAL_DOLLARS,
    weights: Mapping[str, float] = EVEN,
) -> dict[str, float]:
    """The share of the requests that each of the arms should get; they sum to 1.

    `weights` multiply the values (1 where an arm has none): what a person thinks of the arms
    beforehand. A floor that has no room for all is lowered to an even share. Raises ValueError
    for no arms, an arm named twice, and a weight or a price of a trial that is not positive.
    """
    if not arms or len(set(arms)) < len(arms):
        raise ValueError(f"arms are to be named, each once: {', '.join(arms) or 'none'}")
    if trial_dollars <= 0 or any(weights.get(name, 1.0) <= 0 for name in arms):
        raise ValueError("weights and the price of a trial are to be greater than 0")
    # fsum is exact, so that the order in which the arms are named decides nothing.
    wins = {name: _wins(_record(records, name)) for name in arms}
    costs = {name: _cost(_record(records, name), trial_dollars) for name in arms}
    number = math.fsum(_record(records, name).won for name in arms)
    total = math.fsum(wins.values())
    if total > 0.0 and number > FORGOTTEN:
        size, price = total / number, math.fsum(costs.values()) / number  # of an average win
        values = {name: (wins[name] / size + 1) / (costs[name] + price) for name in arms}
    else:  # nobody has won: the cost alone says nothing about promise
        values = dict.fromkeys(arms, 1.0)
    values = {name: value * weights.get(name, 1.0) for name, value in values.items()}
    whole = math.fsum(values.values())
    least = min(max(floor, 0.0), 1 / len(arms))
    rest = 1 - least * len(arms)
    return {name: least + rest * values[name] / whole for name in arms}


def choose(
    records: Records,
    arms: Sequence[str],
    seed: int,
    *,
    floor: float = FLOOR,
    trial_dollars: float = TRIAL_DOLLARS,
    weights: Mapping[str, float] = EVEN,
) -> str:
    """The arm of one request, drawn by the shares; equal seeds and records choose the same."""
    found = shares(records, arms, floor=floor, trial_dollars=trial_dollars, weights=weights)
    names = sorted(found)
    return random.Random(seed).choices(names, [found[name] for name in names])[0]


def _record(records: Records, arm: str) -> ArmRecord:
    return records.get(arm, ArmRecord(arm))


def _faded(record: ArmRecord) -> ArmRecord:
    return replace(
        record,
        gain=record.gain * FADE,
        won=record.won * FADE,
        spent=record.spent * FADE,
        tried=record.tried * FADE,
    )


def _wins(record: ArmRecord) -> float:
    return math.sqrt(record.won) * math.sqrt(record.gain)


def _cost(record: ArmRecord, trial_dollars: float) -> float:
    return record.spent + record.tried * trial_dollars
