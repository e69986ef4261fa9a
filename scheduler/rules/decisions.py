"""What becomes of an experiment: kept, discarded, failed, mended, or lost with its worker."""

from dataclasses import replace

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules import instructions
from scheduler.rules.ranking import judge
from scheduler.rules.state import Ask, Champion, ExperimentEntry, TrialEntry
from scheduler.rules.states import ExperimentState, StopReason, StudyState, TrialState
from scheduler.rules.trials import end_trial, plan_again
from scheduler.rules.turn import Turn

LOSSES_ALLOWED = 1  # per experiment; the second one is taken for its own fault


def decide(turn: Turn, entry: ExperimentEntry) -> None:
    """Keep or discard an experiment that has all its outcomes."""
    state = turn.state
    verdict = judge(entry.metrics, state.champion, minimize=state.policy.minimize)
    _forget(turn, entry)
    to = ExperimentState.KEEP if verdict.keep else ExperimentState.DISCARD
    end_experiment(turn, entry, to, verdict.metric, verdict.reason)
    turn.tally(failures_in_row=0, plain_failures_in_row=0)
    if verdict.keep:
        turn.change(champion=Champion(entry.id, verdict.metric, state.champions + 1))
        turn.facts.append(ev.Crowned(entry.id, verdict.metric))
    _count_decision(turn, entry, new_champion=verdict.keep)
    if entry.parent is None:
        decide_waiting(turn)


def decide_waiting(turn: Turn) -> None:
    """Decide what ended before the baseline did, in the order in which it ended."""
    waiting = turn.state.waiting
    turn.change(waiting=())
    for experiment in waiting:
        decide(turn, turn.state.experiments[experiment])


def fail(turn: Turn, entry: ExperimentEntry, to: ExperimentState, reason: str) -> None:
    """Set an experiment aside that has no metric, by its own fault."""
    _forget(turn, entry)
    end_experiment(turn, entry, to, None, reason)
    tally = turn.state.tally
    turn.tally(
        failures_in_row=tally.failures_in_row + 1,
        plain_failures_in_row=tally.plain_failures_in_row + (not entry.by_model),
    )
    _count_decision(turn, entry, new_champion=False)
    if entry.parent is None and turn.state.champion is None:
        text = f"the baseline failed ({to}): {reason}"
        turn.move_study(StudyState.PAUSED, StopReason.BASELINE_FAILED, text)


def give_up(turn: Turn, entry: ExperimentEntry, reason: str) -> None:
    """Set an experiment aside that nobody wants decided any more; it says nothing of its idea."""
    _forget(turn, entry)
    end_experiment(turn, entry, ExperimentState.CANCELLED, None, reason)


def end_experiment(
    turn: Turn, entry: ExperimentEntry, to: ExperimentState, metric: float | None, reason: str
) -> None:
    """Record the decision on an experiment, as the next of the study's."""
    decision = turn.state.tally.decided + 1
    turn.tally(decided=decision)
    turn.facts.append(ev.ExperimentMoved(entry.id, to, metric, reason, decision))
    answered = to in (ExperimentState.KEEP, ExperimentState.DISCARD)
    instructions.follow_decision(turn, entry.instruction if answered else None)


def mend(turn: Turn, entry: ExperimentEntry) -> None:
    """Send an early crash back to who wrote it, if it may be sent and there is room for more."""
    policy, tally = turn.state.policy, turn.state.tally
    full = policy.max_experiments is not None and tally.proposed >= policy.max_experiments
    if entry.by_model and entry.mended < policy.mends and not full:
        request(turn, Ask(1, Purpose.MEND, entry.id, entry.mended + 1))


def request(turn: Turn, ask: Ask) -> None:
    """Ask the agent."""
    number = turn.state.next_request
    turn.change(next_request=number + 1, asked=turn.state.asked.set(number, ask))
    turn.actions.append(ev.RequestProposals(number, ask.count, ask.purpose, ask.broken))


def _count_decision(turn: Turn, entry: ExperimentEntry, *, new_champion: bool) -> None:
    if new_champion:
        turn.tally(since_champion=0)
    elif entry.parent is not None:
        turn.tally(since_champion=turn.state.tally.since_champion + 1)


def _forget(turn: Turn, entry: ExperimentEntry) -> None:
    """Drop a decided experiment, and the trials that its decision made superfluous."""
    turn.change(experiments=turn.state.experiments.delete(entry.id))
    for trial in [turn.state.trials[n] for n in entry.open if n in turn.state.trials]:
        if trial.slot is not None:
            turn.actions.append(ev.CancelTrial(trial.id))
        else:
            turn.change(ready=tuple(n for n in turn.state.ready if n != trial.id))
        end_trial(turn, trial, TrialState.CANCELLED, reason="its experiment is decided")


def lose(turn: Turn, trial: TrialEntry, reason: str, *, blamed: bool, memory: bool = False) -> None:
    """Run a lost trial again, first in line; an experiment that is lost twice is set aside."""
    end_trial(turn, trial, TrialState.LOST, reason, blamed=blamed)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        return  # decided by another of its trials
    if blamed:
        entry = replace(entry, losses=entry.losses + 1)
        turn.put(entry)
        turn.tally(losses_in_row=turn.state.tally.losses_in_row + 1)
    if entry.losses > LOSSES_ALLOWED:
        state = ExperimentState.OOM if memory else ExperimentState.CRASH
        fail(turn, entry, state, f"its worker was lost {entry.losses} times: {reason}")
    else:
        plan_again(turn, trial)
