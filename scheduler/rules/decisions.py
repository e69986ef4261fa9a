"""What becomes of an experiment: kept, discarded, failed, mended, or lost with its worker."""

from collections.abc import Iterable
from dataclasses import replace

from scheduler.rules import checks, instructions, rebasing
from scheduler.rules import events as ev
from scheduler.rules.estimate import estimate
from scheduler.rules.evidence import Decision, Evidence, champion_due
from scheduler.rules.fleet import REFERENCE, Ground
from scheduler.rules.noise import SCREENING, Noise, repeats
from scheduler.rules.ranking import by_number, home, judge
from scheduler.rules.state import OVERTAKEN, Champion, ExperimentEntry, Result, State, TrialEntry
from scheduler.rules.states import ExperimentState, StopReason, StudyState, TrialKind, TrialState
from scheduler.rules.trials import drop, end_trial, plan, plan_again
from scheduler.rules.turn import Turn

LOSSES_ALLOWED = 1  # per experiment; the second one is taken for its own fault
FAILED_REPEATS_ALLOWED = 1  # per experiment that was measured: a busy machine is slow at times
DOUBTFUL_SEEDS = 2  # with which the baseline fails: one may be a busy machine's
FAULTS_ALLOWED = 3  # seeds with which the champion fails, before what waits for it is given up


def consider(turn: Turn, entry: ExperimentEntry, *, rebase: bool = True, note: str = "") -> None:
    """Decide an experiment, or ask for the repeats that its decision needs.

    `rebase`: where it won against a parent that is overtaken, its edit may be tried on today's
    champion instead. `note`: what is said where it is discarded.
    """
    evidence = _evidence(turn, entry)
    rebase = rebase and not turn.state.tally.shelved
    if rebase and rebasing.beats_an_overtaken_parent(turn.state, entry, evidence):
        rebasing.run_again(turn, [entry])
    elif evidence.verdict is Decision.MORE:
        to = ExperimentState.CONFIRMING if entry.results else entry.state  # the latter: a rebase
        turn.put(replace(entry, state=to))
        _ask_for_repeats(turn, entry.id, evidence)
    else:
        if note and evidence.verdict is Decision.DISCARD:
            evidence = replace(evidence, words=f"{evidence.words}; {note}")
        decide(turn, entry, evidence)


def decide(turn: Turn, entry: ExperimentEntry, evidence: Evidence) -> None:
    """Keep or discard an experiment on this evidence, and whatever hangs on it."""
    _record(turn, entry, evidence)
    if entry.parent is None:
        decide_waiting(turn)
    elif evidence.verdict is Decision.DISCARD:
        _try_otherwise(turn, entry)
    elif turn.state.policy.criteria is None:
        _consider_again(turn)
    else:
        _follow_ablations(turn, entry)
        inside = rebasing.carried_by(turn.state, entry)
        others = [e for e in rebasing.contenders(turn.state) if e.id not in inside]
        if not turn.state.tally.shelved:
            rebasing.run_again(turn, others)
        _settle_carried(turn, entry, entry.id)
        if turn.state.tally.shelved:
            _consider_again(turn)


def _record(turn: Turn, entry: ExperimentEntry, evidence: Evidence) -> None:
    _forget(turn, entry)
    keep = evidence.verdict is Decision.KEEP
    to = ExperimentState.KEEP if keep else ExperimentState.DISCARD
    measured = by_number(entry.results, evidence.hardware)
    metric = estimate(measured, baseline=entry.parent is None).mean
    champion, criteria = turn.state.champion, turn.state.policy.criteria
    against = champion.experiment if champion else None
    turn.facts.append(ev.Judged(entry.id, evidence, against, criteria, _ground(turn.state)))
    end_experiment(turn, entry, to, metric, evidence.words, hardware=evidence.hardware)
    turn.tally(failures_in_row=0, plain_failures_in_row=0)
    if turn.state.champion is not None:
        learn_pairs(turn, entry.results, turn.state.champion.results, evidence.hardware)
    if keep:
        _crown(turn, entry, metric, evidence.hardware)
    _count_decision(turn, entry, new_champion=keep)


def face_the_champion(turn: Turn, wins: Iterable[int], note: str = "") -> None:
    """Overtaken wins whose edits can't be carried over are measured against it as they are."""
    for win in wins:
        entry = turn.state.experiments.get(win)
        if entry is None or win in rebasing.held(turn.state):
            continue
        if entry.results:
            consider(turn, entry, rebase=False, note=note)
        else:  # it carried others over, to a champion of the past: they face this one
            give_up(turn, entry, "overtaken before it was measured")


def _try_otherwise(turn: Turn, entry: ExperimentEntry) -> None:
    """What carried overtaken wins over is not kept: one by one, or at last as they were."""
    if len(entry.rebases) > 1 and not turn.state.tally.shelved:
        rebasing.run_apart(turn, entry)
    else:
        note = f"its edit was run again as experiment {entry.id}, which was not kept"
        face_the_champion(turn, entry.rebases, note)


def _follow_ablations(turn: Turn, kept: ExperimentEntry) -> None:
    """What takes edits out of an overtaken champion: tried on what is left of it, else given up."""
    if kept.ablates is not None:
        turn.change(checks=replace(turn.state.checks, ablated=kept.id))
        return
    for entry in [e for e in turn.state.experiments.values() if e.ablates is not None]:
        give_up(turn, entry, "the champion that it takes an edit out of was overtaken")


def _settle_carried(turn: Turn, entry: ExperimentEntry, kept: int) -> None:
    """What became of the overtaken wins whose edits are part of what was kept.

    Mostly they are worse than it. Where edits hinder each other one may be better as it was.
    """
    for win in entry.rebases:
        if (old := turn.state.experiments.get(win)) is None:
            continue  # a person gave it up
        if old.results:
            face_the_champion(turn, [win], f"its edit is part of experiment {kept}, which was kept")
        else:
            _set_aside(turn, old, f"its edit is part of experiment {kept}, which was kept")
            _settle_carried(turn, old, kept)


def _evidence(turn: Turn, entry: ExperimentEntry) -> Evidence:
    state = turn.state
    ground = _ground(state)
    return judge(entry.results, state.champion, state.noise, state.policy, ground, size=entry.size)


def _ground(state: State) -> Ground:
    champion = state.champion
    awaited = () if champion is None else (state.trials[n].wants for n in champion.open)
    return Ground(state.fleet.wish(REFERENCE), state.fleet.sought, tuple(sorted({*awaited})))


def decide_waiting(turn: Turn) -> None:
    """Decide what ended before the baseline did, in the order in which it ended."""
    while turn.state.waiting:
        first, *rest = turn.state.waiting
        turn.change(waiting=tuple(rest))
        consider(turn, turn.state.experiments[first])


def take_repeat(
    turn: Turn, trial: TrialEntry, result: Result | None, *, faults: int = 2, why: str = ""
) -> None:
    """The champion was measured once more, or could not be: what waits for it is considered.

    `faults`: how often that is noted where it could not; see Champion. `why`: what its outcome
    says of it; "" where there is none.
    """
    champion = turn.state.champion
    if champion is None or champion.experiment != trial.experiment:
        return  # a repeat of an experiment that another one has overtaken or decided
    if result is None:
        champion = champion.failing(trial.number, faults)
        turn.change(champion=champion)
        if why:
            _doubt_the_baseline(turn, champion, why)
        given_up = len(champion.barred) >= FAULTS_ALLOWED
        for entry in _waiting_for_the_champion(turn):
            evidence = _evidence(turn, entry)
            lacks_it = evidence.champion_needs and evidence.wants == REFERENCE == trial.wants
            if not (given_up and lacks_it):
                consider(turn, entry)  # with another seed, where that is what it waits for
                continue
            words = "discarded: not confirmed, as the champion could not be measured once more"
            seeds, on = len(entry.results), home(entry.results, turn.state.fleet.wish(REFERENCE))
            lost = Evidence(Decision.DISCARD, None, None, seeds, None, words, hardware=on)
            decide(turn, entry, lost)
        return
    learn(turn, champion.results, result, baseline=champion.count == 1)
    turn.change(champion=replace(champion, results=(*champion.results, result)))
    reconsider(turn)


def _doubt_the_baseline(turn: Turn, champion: Champion, why: str) -> None:
    """Pause where the baseline fails with as many seeds as it has done well with, once.

    Nothing can be confirmed against it, and edits of it may fail in the same way.
    """
    failed, well = len(champion.barred), len(champion.results)
    if champion.count > 1 or not well <= failed == DOUBTFUL_SEEDS:
        return
    if turn.state.study is StudyState.RUNNING:
        seeds = f"{failed} of its {failed + well} seeds"
        text = (
            f"the baseline fails with {seeds} ({why}), so that wins can hardly be confirmed against"
            " it. Mend the task or its limits in another study, or unpause this one"
        )
        turn.move_study(StudyState.PAUSED, StopReason.FAILURES, text)


def reconsider(turn: Turn) -> None:
    """The champion's trials have changed, or the reference has: what does its metric say now?"""
    if (champion := turn.state.champion) is None:
        return
    if champion.results:
        hardware = home(champion.results, turn.state.fleet.wish(REFERENCE))
        measured = by_number(champion.results, hardware)
        metric = estimate(measured, baseline=champion.count == 1).mean
        turn.change(champion=replace(champion, metric=metric))
        turn.facts.append(ev.Measured(champion.experiment, metric, hardware))
    _consider_again(turn)


def try_on_reference(turn: Turn, trial: TrialEntry) -> bool:
    """Run a first trial again that was too large for its slot, where the reference is another.

    There it may fit: what is kept is kept by what it does on the reference.
    """
    fleet, entry = turn.state.fleet, turn.state.experiments.get(trial.experiment)
    elsewhere = trial.accelerator != fleet.wish(REFERENCE) and trial.wants != REFERENCE
    if entry is None or not elsewhere or not fleet.has(fleet.reference or ""):
        return False
    plan(turn, entry.id, trial.number, first=True, wants=REFERENCE)
    return True


def lose_repeat(turn: Turn, trial: TrialEntry, *, blamed: bool) -> None:
    """A repeat of the champion was lost: it runs again, where it can, but not a second time."""
    state, wants, champion = turn.state, trial.wants, turn.state.champion
    if champion is None or champion.experiment != trial.experiment:
        return
    gone = wants != REFERENCE and not state.fleet.has(wants) and state.slots
    again = blamed and trial.number in champion.faults
    if gone or again:
        take_repeat(turn, trial, None, faults=int(blamed))
        return
    if blamed:
        turn.change(champion=champion.failing(trial.number, 1))
    plan_again(turn, trial)


def _crown(turn: Turn, entry: ExperimentEntry, metric: float, hardware: str) -> None:
    overtaken, count = turn.state.champion, turn.state.champions + 1
    turn.change(champion=Champion(entry.id, metric, count, entry.results, size=entry.size))
    turn.facts.append(ev.Crowned(entry.id, metric))
    checks.follow_crown(turn, entry.id)
    if turn.state.fleet.sought:
        turn.change(fleet=replace(turn.state.fleet, sought=()))
    if overtaken is not None:
        drop(turn, overtaken.open, "its experiment was overtaken")
        past = (replace(overtaken, open=()), *turn.state.overtaken)
        turn.change(overtaken=past[:OVERTAKEN])
    if (criteria := turn.state.policy.criteria) is not None:
        known = by_number(entry.results, hardware)
        for number in champion_due(known, criteria):  # every later comparison profits
            plan(turn, entry.id, number, first=True, wants=REFERENCE)


def _consider_again(turn: Turn) -> None:
    """Whatever waits for no trial of its own, against today's champion."""
    for entry in _waiting_for_the_champion(turn):
        if entry.id in turn.state.experiments:  # deciding one may decide others
            consider(turn, turn.state.experiments[entry.id])


def _waiting_for_the_champion(turn: Turn) -> list[ExperimentEntry]:
    """What is being confirmed and has no trial of its own under way, in order of its ids."""
    return [entry for entry in rebasing.contenders(turn.state) if not entry.open]


def _ask_for_repeats(turn: Turn, experiment: int, evidence: Evidence) -> None:
    """Plan the trials that are wanted and not under way; they go before what is new."""
    champion, fleet, wants = turn.state.champion, turn.state.fleet, evidence.wants
    assert champion is not None, "the baseline is decided by what it has"
    on = evidence.hardware
    unknown = evidence.champion_needs and not by_number(champion.results, on)
    if unknown and on not in fleet.sought:
        turn.change(fleet=replace(fleet, sought=(*fleet.sought, on)))
    for owner, numbers in (
        (champion.experiment, evidence.champion_needs),
        (experiment, evidence.candidate_needs),
    ):
        under_way = {
            t.number
            for t in turn.state.trials.values()
            if t.experiment == owner and t.kind is TrialKind.USUAL and t.wants == wants
        }
        for number in numbers:
            if number not in under_way:
                plan(turn, owner, number, first=True, wants=wants)
                if owner == experiment:
                    entry = turn.state.experiments[experiment]
                    turn.put(replace(entry, wanted=entry.wanted + 1))


def learn(turn: Turn, before: tuple[Result, ...], result: Result, *, baseline: bool) -> None:
    """Take one more repeat of an experiment into the noise of its class of hardware."""
    if result.number == SCREENING and not baseline:
        return  # by it the experiment was chosen: it is lucky, and no measure of noise
    earlier = by_number(before, result.hardware)
    known = repeats(earlier, baseline=baseline).values()
    noise = turn.state.noise
    grown = noise.get(result.hardware, Noise()).taking(tuple(known), result.metric)
    turn.change(noise=noise.set(result.hardware, grown))


def learn_pairs(
    turn: Turn, ours: tuple[Result, ...], theirs: tuple[Result, ...], hardware: str
) -> None:
    """Take the differences of a decided experiment and the champion into the noise."""
    noise = turn.state.noise
    known = noise.get(hardware, Noise())
    grown = known.taking_pairs(by_number(ours, hardware), by_number(theirs, hardware))
    if grown != known:
        turn.change(noise=noise.set(hardware, grown))


def try_again(turn: Turn, entry: ExperimentEntry, trial: TrialEntry) -> bool:
    """Run a failed repeat once more: an experiment that has been measured is not given up for one.

    By its own fault it fails again, as the seed is the same.
    """
    if not entry.results or entry.failed >= FAILED_REPEATS_ALLOWED:
        return False
    turn.put(replace(entry, failed=entry.failed + 1))
    plan(turn, entry.id, trial.number, first=True, wants=trial.wants)
    return True


def fail(
    turn: Turn, entry: ExperimentEntry, to: ExperimentState, reason: str, *, counts: bool = True
) -> None:
    """Set an experiment aside that has no metric, by its own fault.

    `counts`: whether so many in a row mean that the task is broken.
    """
    _forget(turn, entry)
    end_experiment(turn, entry, to, None, reason)
    tally = turn.state.tally
    turn.tally(
        failures_in_row=tally.failures_in_row + counts,
        plain_failures_in_row=tally.plain_failures_in_row + (counts and not entry.by_model),
    )
    _count_decision(turn, entry, new_champion=False)
    _try_otherwise(turn, entry)
    if entry.parent is None and turn.state.champion is None:
        text = f"the baseline failed ({to}): {reason}"
        turn.move_study(StudyState.PAUSED, StopReason.BASELINE_FAILED, text)


def give_up(turn: Turn, entry: ExperimentEntry, reason: str) -> None:
    """Set an experiment aside that nobody wants decided any more; it says nothing of its idea."""
    rebasing.give_back(turn, entry.id)
    _set_aside(turn, entry, reason)
    _try_otherwise(turn, entry)


def _set_aside(turn: Turn, entry: ExperimentEntry, reason: str) -> None:
    _forget(turn, entry)
    end_experiment(turn, entry, ExperimentState.CANCELLED, None, reason)


def end_experiment(
    turn: Turn,
    entry: ExperimentEntry,
    to: ExperimentState,
    metric: float | None,
    reason: str,
    *,
    hardware: str = "",
) -> None:
    """Record the decision on an experiment, as the next of the study's."""
    decision = turn.state.tally.decided + 1
    turn.tally(decided=decision)
    turn.facts.append(ev.ExperimentMoved(entry.id, to, metric, reason, decision, hardware))
    answered = to in (ExperimentState.KEEP, ExperimentState.DISCARD)
    instructions.follow_decision(turn, entry.instruction if answered else None)


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
    if trial.kind is TrialKind.LONG:
        checks.lose_long(turn, trial, reason, blamed=blamed)
        return
    end_trial(turn, trial, TrialState.LOST, reason, blamed=blamed)
    entry = turn.state.experiments.get(trial.experiment)
    if entry is None:
        lose_repeat(turn, trial, blamed=blamed)
        return
    if blamed:
        entry = replace(entry, losses=entry.losses + 1)
        turn.put(entry)
        turn.tally(losses_in_row=turn.state.tally.losses_in_row + 1, loss=reason)
    if entry.losses > LOSSES_ALLOWED:
        state = ExperimentState.OOM if memory else ExperimentState.CRASH
        fail(turn, entry, state, f"its worker was lost {entry.losses} times: {reason}")
    else:
        plan_again(turn, trial)
