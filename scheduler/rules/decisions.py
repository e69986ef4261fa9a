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


def consider(turn: Turn, entry: ExperimentEntry) -> None:
    """Decide an experiment, or ask for the repeats that its decision needs."""
    state = turn.state
    evidence = judge(entry.results, state.champion, state.noise, state.policy)
    if evidence.verdict is Verdict.MORE:
        turn.put(replace(entry, state=ExperimentState.CONFIRMING))
        _ask_for_repeats(turn, entry.id, evidence)
        return
    _forget(turn, entry)
    keep = evidence.verdict is Verdict.KEEP
    to = ExperimentState.KEEP if keep else ExperimentState.DISCARD
    metric = fmean(r.metric for r in entry.results)
    turn.facts.append(ev.Judged(entry.id, evidence))
    end_experiment(turn, entry, to, metric, evidence.words)
    turn.tally(failures_in_row=0, plain_failures_in_row=0)
    learn(turn, (), entry.results)
    if keep:
        _crown(turn, entry, metric)
    _count_decision(turn, entry, new_champion=keep)
    if entry.parent is None:
        decide_waiting(turn)
    elif keep:
        _consider_again(turn)


def decide_waiting(turn: Turn) -> None:
    """Decide what ended before the baseline did, in the order in which it ended."""
    waiting = turn.state.waiting
    turn.change(waiting=())
    for experiment in waiting:
        consider(turn, turn.state.experiments[experiment])


def take_repeat(turn: Turn, trial: TrialEntry, result: Result | None) -> None:
    """The champion was measured once more, or could not be: what waits for it is considered."""
    champion = turn.state.champion
    if champion is None or champion.experiment != trial.experiment:
        return  # a repeat of an experiment that another one has overtaken or decided
    if result is None:
        turn.change(champion=replace(champion, missing=(*champion.missing, trial.number)))
    else:
        results = (*champion.results, result)
        metric = fmean(r.metric for r in results)
        turn.change(champion=replace(champion, results=results, metric=metric))
        learn(turn, champion.results, results)
        turn.facts.append(ev.Measured(champion.experiment, metric))
    _consider_again(turn)


def lose_repeat(turn: Turn, trial: TrialEntry, *, blamed: bool) -> None:
    """A repeat of the champion was lost: it runs again, unless its worker was lost for it."""
    champion = turn.state.champion
    if blamed and champion is not None and champion.experiment == trial.experiment:
        take_repeat(turn, trial, None)
    else:
        plan_again(turn, trial)


def _crown(turn: Turn, entry: ExperimentEntry, metric: float) -> None:
    overtaken, count = turn.state.champion, turn.state.champions + 1
    turn.change(champion=Champion(entry.id, metric, count, entry.results))
    turn.facts.append(ev.Crowned(entry.id, metric))
    if overtaken is not None:
        drop(turn, overtaken.open, "its experiment was overtaken")


def _consider_again(turn: Turn) -> None:
    """Whatever is being confirmed and waits for no trial of its own, against today's champion."""
    for number in sorted(turn.state.experiments):
        entry = turn.state.experiments.get(number)  # deciding one may decide others
        confirming = entry is not None and entry.state is ExperimentState.CONFIRMING
        if entry and confirming and not entry.open and number not in turn.state.waiting:
            consider(turn, entry)


def _ask_for_repeats(turn: Turn, experiment: int, evidence: Evidence) -> None:
    """Plan the trials that are wanted and not under way; they go before what is new."""
    champion = turn.state.champion
    assert champion is not None, "the baseline is decided by what it has"
    for owner, numbers in (
        (champion.experiment, evidence.of_champion),
        (experiment, evidence.of_candidate),
    ):
        under_way = {t.number for t in turn.state.trials.values() if t.experiment == owner}
        for number in numbers:
            if number not in under_way:
                plan(turn, owner, number, first=True)
                if owner == experiment:
                    entry = turn.state.experiments[experiment]
                    turn.put(replace(entry, wanted=entry.wanted + 1))


def learn(turn: Turn, before: tuple[Result, ...], after: tuple[Result, ...]) -> None:
    """Take the repeats of an experiment into the noise of each class of hardware."""
    noise = turn.state.noise
    for hardware in {result.hardware for result in after}:
        old, new = (
            [r.metric for r in results if r.hardware == hardware] for results in (before, after)
        )
        noise = noise.set(hardware, noise.get(hardware, Noise()).replaced(old, new))
    turn.change(noise=noise)


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
    drop(turn, entry.open, "its experiment is decided")


def lose(turn: Turn, trial: TrialEntry, reason: str, *, blamed: bool, memory: bool = False) -> None:
    """Run a lost trial again, first in line; an experiment that is lost twice is set aside."""
    end_trial(turn, trial, TrialState.LOST, reason, blamed=blamed)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        lose_repeat(turn, trial, blamed=blamed)
        return
    if blamed:
        entry = replace(entry, losses=entry.losses + 1)
        turn.put(entry)
        turn.tally(losses_in_row=turn.state.tally.losses_in_row + 1)
    if entry.losses > LOSSES_ALLOWED:
        state = ExperimentState.OOM if memory else ExperimentState.CRASH
        fail(turn, entry, state, f"its worker was lost {entry.losses} times: {reason}")
    else:
        plan_again(turn, trial)
