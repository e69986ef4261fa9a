"""Whether gains hold: on text that ranks nothing, and with a longer budget. What is measured when.

**The audit split** is asked of a model that is trained anyway: a second exam costs the seconds of
scoring once more, a trial of its own would cost a training. `audit_range` says between which
metrics: of every trial with a further seed and of every baseline; of a first trial where it alone
decides and only if it beats the champion, so that no champion is without.

**The longer budget** is for the leaders: the newest champions, each of which beat the one before
it, and the baseline. Each has one long trial, with the seed of its first. It starts where a slot
would stand idle because no proposal can come, and at the end of a study that stops by itself; never
before what is ready to run, never beyond the hours of the study, nor once a person has stopped it.
One that is lost runs again, unless it may be to blame for the second time.

What these figures say is `order.py`'s matter. No decision of a study depends on them.
"""

import math
from dataclasses import replace

from scheduler.rules import shelving, stopping
from scheduler.rules.fleet import REFERENCE
from scheduler.rules.noise import SCREENING
from scheduler.rules.state import State, TrialEntry
from scheduler.rules.states import StopReason, StudyState, TrialKind, TrialState
from scheduler.rules.trials import end_trial, plan
from scheduler.rules.turn import Turn

EVERY = (-math.inf, math.inf)
SILENCES = 2  # requests in a row that brought nothing: a slot may stand idle for long


def audit_range(state: State, trial: TrialEntry) -> tuple[float, float] | None:
    """The metrics between which a trial's model is asked the audit split too; None: never."""
    policy, champion = state.policy, state.champion
    if not policy.audit or trial.kind is not TrialKind.USUAL:
        return None
    entry = state.experiments.get(trial.experiment)
    if trial.number != SCREENING or (entry is not None and entry.parent is None):
        return EVERY
    if policy.criteria is not None:
        return None  # who is kept has further seeds
    if champion is None:
        return EVERY
    return (-math.inf, champion.metric) if policy.minimize else (champion.metric, math.inf)


def follow_crown(turn: Turn, experiment: int) -> None:
    """There is a new champion: the oldest of the leaders makes room, but for the baseline."""
    checks, most = turn.state.checks, turn.state.policy.long_leaders
    if most:
        *others, baseline = checks.leaders or (experiment,)
        newest = (experiment, *others)[:most] if checks.leaders else ()
        turn.change(checks=replace(checks, leaders=(*newest, baseline)))


def due(state: State, now: float) -> tuple[int, ...]:
    """The leaders that are still to have their long trial, the best first."""
    if stopping.is_out_of_time(state, now):
        return ()
    under_way = {t.experiment for t in state.trials.values() if t.kind is TrialKind.LONG}
    return tuple(
        n for n in state.checks.leaders if n not in state.checks.over and n not in under_way
    )


def plan_long(turn: Turn) -> None:
    """Give slots that would stand idle to the leaders."""
    idle = idle_slots(turn.state)
    if idle:
        for experiment in reversed(due(turn.state, turn.now)[:idle]):
            plan(turn, experiment, SCREENING, first=True, kind=TrialKind.LONG, wants=REFERENCE)


def may_start(state: State, trial: TrialEntry) -> bool:
    """Whether a trial that is next in line may be given a slot."""
    if state.study is StudyState.RUNNING:
        return True
    return trial.kind is TrialKind.LONG and _closes_by_itself(state)


def take_long(turn: Turn, trial: TrialEntry) -> None:
    """A long trial has ended, whatever came of it."""
    end_trial(turn, trial, TrialState.DONE)
    _settle(turn, trial.experiment)


def lose_long(turn: Turn, trial: TrialEntry, reason: str, *, blamed: bool) -> None:
    """A long trial was lost: its experiment is due again, but for a second loss by its fault."""
    end_trial(turn, trial, TrialState.LOST, reason)
    checks = turn.state.checks
    if blamed and trial.experiment in checks.lost:
        _settle(turn, trial.experiment)
    elif blamed:
        turn.change(checks=replace(checks, lost=(*checks.lost, trial.experiment)))


def _settle(turn: Turn, experiment: int) -> None:
    checks = turn.state.checks
    turn.change(checks=replace(checks, over=(*checks.over, experiment)))


def idle_slots(state: State) -> int:
    """How many slots stand idle that no proposal can be found for."""
    if _closes_by_itself(state):
        return len(state.free)
    if (
        state.study is not StudyState.RUNNING
        or shelving.ready(state)
        or not _nothing_can_come(state)
    ):
        return 0
    return max(0, len(state.free) - sum(ask.count for ask in state.asked.values()))


def _closes_by_itself(state: State) -> bool:
    """Whether it only waits for its running trials, at a limit that is none of time."""
    return state.study is StudyState.DRAINING and state.reason is StopReason.PLATEAU


def _nothing_can_come(state: State) -> bool:
    policy, tally = state.policy, state.tally
    if tally.spent or stopping.exhausted(state) is not None:
        return True
    if policy.max_experiments is not None and tally.proposed >= policy.max_experiments:
        return True
    silences = max(tally.empty_in_row, tally.troubled_in_row, tally.agent_failures_in_row)
    return silences >= SILENCES and (not policy.fill or tally.empty_fills >= SILENCES)
