"""Longer budgets and the audit split decide nothing: when they are measured, as claims."""

import math
from dataclasses import replace
from typing import Any

import pytest

from scheduler.rules import events as ev
from scheduler.rules.checks import EVERY, audit_range
from scheduler.rules.evidence import Criteria
from scheduler.rules.state import State, TrialEntry
from scheduler.rules.states import StopReason, StudyState, TrialKind
from scheduler.rules.stopping import EMPTY_ANSWERS
from tests.fixtures.play import Play, of_kind
from workers import OutcomeStatus


def long_trials(play: Play) -> dict[int, int]:
    """The long trials that hold a slot: experiment -> trial."""
    trials = play.state.trials.values()
    return {t.experiment: t.id for t in trials if t.kind is TrialKind.LONG and t.slot is not None}


def planned(play: Play) -> list[int]:
    """The experiments of all long trials that were ever planned, in their order."""
    facts = play.facts
    return [f.experiment for f in facts if isinstance(f, ev.TrialPlanned) and f.kind == "long"]


def play_to_the_end(metrics: list[float], slots: int = 2, **policy: object) -> Play:
    """All experiments of a study but for what follows them; each is proposed when it is asked."""
    wanted: dict[str, Any] = {"max_experiments": len(metrics), "long_leaders": 2, **policy}
    play = Play(slots=slots, **wanted).after_baseline(1.0)
    for number, metric in enumerate(metrics, 1):
        while number not in play.state.experiments:
            play.answer()
        play.done(play.trial_of(number), metric)
    return play


# ---- a longer budget ----------------------------------------------------------------------------


def test_at_the_end_the_newest_champions_and_the_baseline_run_longer_the_best_first() -> None:
    play = play_to_the_end([0.9, 0.8, 0.95, 0.7], slots=1, seed=5)
    for _ in range(3):
        assert play.state.study is StudyState.RUNNING
        (trial,) = long_trials(play).values()
        play.done(trial, 0.6)
    assert planned(play) == [4, 2, 0], "of the champions 0, 1, 2 and 4 the newest two"
    facts = [f for f in play.facts if isinstance(f, ev.TrialPlanned) and f.kind == "long"]
    assert {(f.number, f.seed) for f in facts} == {(1, 5)}, "with the seed of their first"
    moved = [f for f in play.facts if isinstance(f, ev.StudyMoved)][-1]
    assert (moved.state, moved.reason) == (StudyState.STOPPED, StopReason.MAX_EXPERIMENTS)


def test_resuming_repeats_none() -> None:
    play = play_to_the_end([0.9, 0.8], slots=4)
    for trial in long_trials(play).values():
        play.done(trial, 0.6)
    play.send(ev.Opened(play.tick()))
    play.send(ev.SlotsCounted(play.tick(), 8))
    assert sorted(planned(play)) == [0, 1, 2]
    assert play.state.study is StudyState.STOPPED


def test_without_the_key_nothing_runs_longer() -> None:
    play = play_to_the_end([0.9, 0.8], long_leaders=0)
    assert planned(play) == []
    assert play.state.study is StudyState.STOPPED


def test_a_long_trial_decides_and_measures_nothing() -> None:
    play = play_to_the_end([0.9, 0.8], slots=4)
    before = play.state
    facts = len(play.facts)
    trials = long_trials(play)
    play.send(ev.Reported(play.tick(), trials[2], OutcomeStatus.DONE, metric=9.0, seconds=900.0))
    play.send(ev.Reported(play.tick(), trials[1], OutcomeStatus.CRASH, reason="no", early=True))
    after = play.state
    unmoved = ("champion", "experiments", "noise", "pace", "asked", "waiting")
    assert [getattr(after, n) for n in unmoved] == [getattr(before, n) for n in unmoved]
    assert replace(after.tally, seen_at=0) == replace(before.tally, seen_at=0)
    kinds = {type(f) for f in play.facts[facts:]}
    assert kinds == {ev.TrialMoved}
    assert len(before.free) + 2 == len(after.free)


def test_a_slot_that_a_proposal_may_fill_is_left_to_it() -> None:
    play = Play(slots=4, long_leaders=2, max_experiments=3).after_baseline()
    assert play.state.free, "an answer is awaited"
    assert planned(play) == []
    play.answer(2)
    assert len(play.state.free) == 2
    assert planned(play) == [], "one more is to come"
    while len(play.state.experiments) < 3:
        play.answer()
    assert planned(play) == [0], "the last slot of a study whose proposals are all there"
    assert len(play.running()) == 4


def test_an_agent_that_has_gone_silent_leaves_its_slots_to_the_leaders() -> None:
    play = Play(slots=2, long_leaders=2).after_baseline()
    silences = 0
    while not planned(play):
        assert silences < EMPTY_ANSWERS
        play.answer(0)
        silences += not play.state.asked
        play.send(ev.Ticked(play.tick()))
    assert silences > 0
    assert planned(play) == [0]


def test_without_proposals_it_ends_after_the_long_trials() -> None:
    play = Play(slots=1, long_leaders=2).after_baseline()
    for _ in range(20):
        while play.state.asked:
            play.answer(0)
        play.send(ev.Ticked(play.tick(70.0)))
    assert play.state.study is StudyState.RUNNING
    assert play.running() == list(long_trials(play).values())
    play.done(long_trials(play)[0], 0.9)
    while play.state.asked:
        play.answer(0)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.NO_PROPOSALS)


def at_a_plateau(slots: int = 2) -> Play:
    """Closing, while nothing of it runs but long trials."""
    play = Play(slots=slots, long_leaders=2, plateau=2, max_experiments=9).after_baseline(1.0)
    play.answer()
    number = 1
    while play.state.study is StudyState.RUNNING:
        play.done(play.trial_of(number), 0.9 if number == 1 else 0.95)
        number += 1
        while number not in play.state.experiments and play.state.asked:
            play.answer()
    while usual := [n for n in play.running() if n not in long_trials(play).values()]:
        play.done(usual[0], 0.95)
    return play


def test_at_a_plateau_they_run_while_the_queue_stays() -> None:
    play = at_a_plateau()
    assert (play.state.study, play.state.reason) == (StudyState.DRAINING, StopReason.PLATEAU)
    assert play.state.ready, "what is queued waits for the next session"
    queued = play.state.ready
    assert set(long_trials(play)) == {1, 0}
    for trial in list(long_trials(play).values()):
        play.done(trial, 0.5)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.PLATEAU)
    assert play.state.ready == queued


def test_who_stops_the_study_stops_these_too() -> None:
    play = at_a_plateau(slots=1)
    (first,) = long_trials(play)
    play.send(ev.DrainAsked(play.tick(), StopReason.INSTRUCTION))
    play.done(long_trials(play)[first], 0.5)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.INSTRUCTION)
    assert planned(play) == [first]
    ended = play_to_the_end([0.9], slots=1)
    ended.send(ev.CancelAsked(ended.tick()))
    assert ended.state.study is StudyState.STOPPED
    assert not ended.state.trials, "cut short, and due again"
    ended.send(ev.Opened(ended.tick()))
    ended.send(ev.SlotsCounted(ended.tick(), 2))
    assert set(long_trials(ended)) == {1, 0}


def test_none_starts_beyond_the_hours_of_the_study() -> None:
    play = play_to_the_end([0.9], slots=1, max_seconds=1000.0)
    (first,) = long_trials(play).values()
    play.now = 1000.5
    play.done(first, 0.5)
    assert play.state.study is not StudyState.RUNNING
    assert len(planned(play)) == 1


def test_a_lost_one_runs_again_and_after_a_second_loss_of_its_own_never_more() -> None:
    play = play_to_the_end([0.9], slots=4)
    losses, free = play.state.tally.losses_in_row, len(play.state.free)
    for _ in range(3):
        play.lost(long_trials(play)[1], blamed=False)
    play.lost(long_trials(play)[1])
    assert 1 in long_trials(play)
    play.lost(long_trials(play)[1])
    assert 1 not in long_trials(play)
    assert (play.state.tally.losses_in_row, len(play.state.free)) == (losses, free + 1)
    lost = [f for f in play.facts if isinstance(f, ev.TrialMoved) and f.state == "lost"]
    assert not any(f.blamed for f in lost), "the experiment is decided: no loss of its own"
    play.send(ev.Opened(play.tick()))
    play.send(ev.SlotsCounted(play.tick(), 4))
    assert set(long_trials(play)) == {0}, "interrupted, it runs again; the other is given up"
    play.done(long_trials(play)[0], 0.5)
    assert play.state.study is StudyState.STOPPED


def test_a_new_champion_leaves_the_long_trials_of_the_old_one_alone() -> None:
    play = Play(slots=3, long_leaders=2, max_experiments=1, criteria=Criteria(most_seeds=1))
    play.done(1, 1.0)
    play.answer()
    while not long_trials(play):  # the champion's repeats go first
        play.done(play.running()[0], 1.0)
    assert set(long_trials(play)) == {0}
    for _ in range(30):
        busy = [n for n in play.running() if n not in long_trials(play).values()]
        if not busy:
            break
        trial = play.state.trials[busy[0]]
        play.done(busy[0], 1.0 + 0.001 * trial.number if trial.experiment == 0 else 0.5)
    assert [f.experiment for f in play.facts if isinstance(f, ev.Crowned)] == [0, 1]
    assert set(long_trials(play)) == {0, 1}


# ---- the audit split ----------------------------------------------------------------------------


def ranges(play: Play) -> dict[tuple[int, int], tuple[float, float] | None]:
    """By experiment and number: the metrics at which a trial under way is audited."""
    trials = play.state.trials.values()
    return {(t.experiment, t.number): audit_range(play.state, t) for t in trials}


def test_a_baseline_is_always_audited_and_so_is_what_runs_beside_it() -> None:
    play = Play(slots=3, audit=True, baseline_repeats=2)
    play.answer(1)
    assert ranges(play) == {(0, 1): EVERY, (0, 2): EVERY, (1, 1): EVERY}


@pytest.mark.parametrize(
    ("minimize", "between"), [(True, (-math.inf, 1.0)), (False, (1.0, math.inf))]
)
def test_a_first_trial_that_decides_is_audited_where_it_beats_the_champion(
    minimize: bool, between: tuple[float, float]
) -> None:
    play = Play(audit=True, minimize=minimize).after_baseline(1.0)
    play.answer(1)
    assert ranges(play) == {(1, 1): between}
    assert isinstance(play.state, State)


def test_where_further_seeds_decide_they_are_audited_and_the_first_is_not() -> None:
    play = Play(slots=8, audit=True, criteria=Criteria(most_seeds=2, champion_seeds=2))
    play.done(1, 1.0)
    assert set(ranges(play).values()) == {EVERY}, "repeats of the champion"
    assert len(ranges(play)) == 2
    play.answer(1)
    assert ranges(play)[1, 1] is None
    for (experiment, _), trial in zip(ranges(play), list(play.running()), strict=True):
        play.done(trial, 0.5 if experiment else 1.0)
    assert ranges(play)
    assert set(ranges(play).values()) == {EVERY}


def test_long_trials_and_studies_without_it_have_no_audit() -> None:
    play = Play().after_baseline()
    play.answer(1)
    assert set(ranges(play).values()) == {None}
    audited = Play(audit=True).after_baseline()
    long = TrialEntry(9, 0, 1, kind=TrialKind.LONG)
    assert audit_range(audited.state, long) is None
    assert of_kind(audited.facts, ev.Crowned)
