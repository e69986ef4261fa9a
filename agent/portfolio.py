"""How the requests of a study are shared among its arms: the models and the tuner.

In: what each arm has done so far (`ArmRecord`). Out: the records after one more thing happened,
and the share of the requests that each arm should get next. Pure: no clock, no storage, and
chance only by the seed that is given. It makes no request and knows no model; the scheduler keeps
the records and writes them with the event that changed them, so that a restart forgets nothing.

An arm's value is what it won lately over what it cost lately:

- **won**: how often it took the champion's place. By how much counts too, as the geometric mean
  of the two: by the sum of gains alone, one lucky early gain outweighs all that comes after it,
  as gains shrink while a study goes on; by the number alone, many tiny wins outweigh a few large.
- **cost**: its trials, each worth `trial_dollars`, and what its calls cost. Where the price of a
  model is not known, its trials are all that counts, and it looks a little cheaper than it is.
- **lately**: every decided experiment of the study fades all of it, by half in HALF_LIFE
  experiments, so that an arm that ran dry makes room, and one that had bad luck comes back.

Every arm begins as if it had run PRIOR trials with the result of an average arm. Shares are
proportional to values, then each is raised to a floor. Figures: `benchmarks/portfolio.py`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from agent.briefing import ArmRecord

HALF_LIFE = 50  # decided experiments of the whole study
FADE = 0.5 ** (1 / HALF_LIFE)
PRIOR = 3.0  # trials of an average arm with which each begins


@dataclass(frozen=True)
class Shares:
    """How requests are to be shared."""

    floor: float = 0.1  # least share of each arm
    trial_dollars: float = 0.17  # what a trial is worth: five minutes of a GPU at 2 $ an hour
    weights: Mapping[str, float] = field(default_factory=dict)  # 1 for an arm that is not here


def called(record: ArmRecord, *, failed: bool, tokens: int, dollars: float | None) -> ArmRecord:
    """After a call to its model, which may have failed."""
    unknown = record.dollars is None or dollars is None
    return replace(
        record,
        calls=record.calls + 1,
        failed_calls=record.failed_calls + failed,
        tokens=record.tokens + tokens,
        dollars=None if unknown else (record.dollars or 0.0) + (dollars or 0.0),
        spent=record.spent + (dollars or 0.0),
    )


def answered(record: ArmRecord, *, refused: int, added: int) -> ArmRecord:
    """After an answer, of which so many proposals were refused and added to the study."""
    return replace(
        record,
        proposals=record.proposals + refused + added,
        refused=record.refused + refused,
        experiments=record.experiments + added,
    )


def decided(
    records: Mapping[str, ArmRecord], arm: str, *, gain: float, kept: bool, failed: bool
) -> dict[str, ArmRecord]:
    """After a decision on an experiment of this arm; `gain` on the champion of the day, or 0."""
    faded = {
        name: replace(
            record,
            gain=record.gain * FADE,
            won=record.won * FADE,
            spent=record.spent * FADE,
            tried=record.tried * FADE,
        )
        for name, record in records.items()
    }
    own = faded.get(arm, ArmRecord(arm))
    faded[arm] = replace(
        own,
        decided=own.decided + 1,
        kept=own.kept + kept,
        failed=own.failed + failed,
        best_gain=max(own.best_gain, gain),
        gain=own.gain + gain,
        won=own.won + kept,
        tried=own.tried + 1,
    )
    return faded


def shares(
    records: Mapping[str, ArmRecord], arms: Sequence[str], rules: Shares
) -> dict[str, float]:
    """The share of the requests that each arm should get; they sum to 1."""
    own = {name: records.get(name, ArmRecord(name)) for name in arms}
    tried = sum(each.tried for each in own.values())
    trial = max(rules.trial_dollars, 1e-6)
    average = _average(own.values(), trial)
    values = {}
    for name, each in own.items():
        won = math.sqrt(each.won * each.gain) if tried else 0.0
        cost = each.tried * trial + each.spent
        value = (won + PRIOR * average * trial) / (cost + PRIOR * trial)
        values[name] = max(value, 1e-12) * rules.weights.get(name, 1.0)
    return _floored(values, min(rules.floor, 1.0 / len(arms)))


def choose(records: Mapping[str, ArmRecord], arms: Sequence[str], seed: int, rules: Shares) -> str:
    """One of the arms, drawn by its share; equal arguments give equal arms."""
    wanted = shares(records, arms, rules)
    names = sorted(wanted)
    return Random(seed).choices(names, [wanted[name] for name in names])[0]


def _average(records: Collection[ArmRecord], trial: float) -> float:
    """What all arms together won for their cost; 1 before anything was won."""
    won = sum(math.sqrt(each.won * each.gain) for each in records)
    cost = sum(each.tried * trial + each.spent for each in records)
    return won / cost if won > 0 else 1.0


def _floored(values: Mapping[str, float], floor: float) -> dict[str, float]:
    """Shares in proportion to the values, none below the floor."""
    total = sum(values.values())
    rest = 1.0 - floor * len(values)
    return {name: floor + rest * value / total for name, value in values.items()}
