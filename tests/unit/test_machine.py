"""The rules of a study, as claims. Pure: no store, no clock, no processes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.machine import Transition, step
from scheduler.rules.policy import Policy
from scheduler.rules.rebasing import held as held_wins
from scheduler.rules.state import State
from scheduler.rules.states import (
    ExperimentState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from scheduler.rules.stopping import EMPTY_ANSWERS, LOSSES_IN_ROW
from tests.fixtures.play import Play, of_kind
from workers import OutcomeStatus

# ---- the first experiment ---------------------------------------------------------------------


def test_the_baseline_runs_first() -> None:
    play = Play()
    assert play.state.experiments[0].parent is None
    assert play.running() == [1]
    assert play.actions[0] == ev.StartTrial(1)


def test_the_baseline_becomes_the_first_champion() -> None:
    play = Play().after_baseline(1.25)
    assert play.fate(0) is ExperimentState.KEEP
    assert play.state.champion is not None
    assert (play.state.champion.experiment, play.state.champion.metric) == (0, 1.25)


def test_the_baseline_is_the_mean_of_its_repeats_each_with_its_own_seed() -> None:
    play = Play(slots=3, baseline_repeats=3, seed=7)
    for trial, metric in ((1, 1.0), (2, 1.2), (3, 1.4)):
        play.done(trial, metric)
    planned = of_kind(play.facts, ev.TrialPlanned)[:3]
    assert [p.seed for p in planned] == [7, 8, 9]  # type: ignore[attr-defined]
    assert play.state.champion is not None
    assert play.state.champion.metric == pytest.approx(1.2)


def test_what_ends_before_the_baseline_waits_and_is_decided_in_the_order_of_its_end() -> None:
    play = Play(slots=3)
    play.answer(2)
    play.done(play.trial_of(2), 0.8)
    play.done(play.trial_of(1), 0.9)
    assert play.fate(1) is play.fate(2) is ExperimentState.CONFIRMING
    play.done(1, 1.0)
    assert [f.experiment for f in play.facts if isinstance(f, ev.Crowned)] == [0, 2]
    assert play.fate(1) is ExperimentState.DISCARD


def test_a_baseline_that_fails_pauses_the_study_and_says_why() -> None:
    play = Play()
    play.failed(1)
    assert (play.state.study, play.state.reason) == (
        StudyState.PAUSED,
        StopReason.BASELINE_FAILED,
    )
    moved = of_kind(play.facts, ev.StudyMoved)[-1]
    assert "it broke" in moved.text  # type: ignore[attr-defined]
    assert play.actions[-1] == ev.Finish()


def test_reopening_after_a_failed_baseline_tries_a_new_one() -> None:
    play = Play()
    play.failed(1)
    play.send(ev.Opened(play.tick()))
    play.send(ev.SlotsCounted(play.tick(), 2))
    assert play.state.experiments[1].parent is None
    assert play.running() == [2]


def test_experiments_that_waited_for_a_failed_baseline_are_decided_by_the_next_one() -> None:
    play = Play(slots=2)
    play.answer(1)
    play.done(play.trial_of(1), 0.5)
    play.failed(1)
    play.send(ev.Opened(play.tick()))
    play.send(ev.SlotsCounted(play.tick(), 2))
    play.done(play.trial_of(2), 1.0)
    assert play.fate(1) is ExperimentState.KEEP


# ---- keep and discard -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minimize", "metric", "state"),
    [
        (True, 0.999, ExperimentState.KEEP),
        (True, 1.0, ExperimentState.DISCARD),
        (True, 1.001, ExperimentState.DISCARD),
        (False, 1.001, ExperimentState.KEEP),
        (False, 1.0, ExperimentState.DISCARD),
        (False, 0.999, ExperimentState.DISCARD),
    ],
)
def test_keep_is_strictly_better(minimize: bool, metric: float, state: ExperimentState) -> None:
    play = Play(minimize=minimize).after_baseline(1.0)
    play.answer(1)
    play.done(play.trial_of(1), metric)
    assert play.fate(1) is state


def test_an_experiment_is_compared_with_the_champion_of_the_day_on_which_it_ends() -> None:
    play = Play().after_baseline(1.0)
    play.answer(2)
    first, second = play.trial_of(1), play.trial_of(2)
    play.done(second, 0.8)
    play.done(first, 0.9)
    assert play.fate(1) is ExperimentState.DISCARD


@pytest.mark.parametrize(
    "status",
    [
        OutcomeStatus.CRASH,
        OutcomeStatus.TIMEOUT,
        OutcomeStatus.OOM,
        OutcomeStatus.REJECTED,
    ],
)
def test_a_failure_is_final_and_has_no_metric(status: OutcomeStatus) -> None:
    play = Play().after_baseline()
    play.answer(1)
    play.failed(play.trial_of(1), status)
    moved = next(f for f in reversed(play.facts) if isinstance(f, ev.ExperimentMoved) and f.id == 1)
    assert (moved.state.value, moved.metric) == (status.value, None)


def test_staleness_counts_the_champions_between_briefing_and_start() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(2)
    play.done(play.trial_of(1), 0.5)
    started = {f.id: f.staleness for f in play.facts if isinstance(f, ev.ExperimentStarted)}
    assert started == {0: 0, 1: 0, 2: 1}


# ---- trials that give no outcome --------------------------------------------------------------


def test_a_lost_trial_goes_first_in_line_under_a_new_id_with_the_same_seed() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(2)
    lost = play.trial_of(1)
    play.lost(lost)
    again = play.trial_of(1)
    assert again not in (lost, play.trial_of(2))
    assert play.running() == [again]
    seeds = {f.id: f.seed for f in play.facts if isinstance(f, ev.TrialPlanned)}
    assert seeds[again] == seeds[lost]


def test_a_lost_trial_is_not_counted_as_an_experiment_of_its_own() -> None:
    play = Play(slots=1, max_experiments=1).after_baseline()
    play.answer(1)
    play.lost(play.trial_of(1))
    assert play.state.tally.proposed == 1
    play.done(play.trial_of(1), 0.9)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.MAX_EXPERIMENTS)


@pytest.mark.parametrize(
    ("memory", "state"), [(False, ExperimentState.CRASH), (True, ExperimentState.OOM)]
)
def test_the_second_blamed_loss_is_the_experiments_own_failure(
    memory: bool, state: ExperimentState
) -> None:
    play = Play().after_baseline()
    play.answer(1)
    play.lost(play.trial_of(1))
    play.lost(play.trial_of(1), memory=memory)
    assert play.fate(1) is state


def test_losses_without_blame_never_fail_an_experiment() -> None:
    play = Play().after_baseline()
    play.answer(1)
    for _ in range(5):
        play.lost(play.trial_of(1), blamed=False)
    play.done(play.trial_of(1), 0.9)
    assert play.fate(1) is ExperimentState.KEEP


def test_an_outcome_that_says_lost_is_a_loss() -> None:
    play = Play().after_baseline()
    play.answer(1)
    lost = play.trial_of(1)
    play.failed(lost, OutcomeStatus.LOST)
    assert play.trial_of(1) != lost


def test_many_losses_in_a_row_pause_the_study() -> None:
    play = Play(slots=1, failures_in_row=100).after_baseline()
    play.answer(4)
    for _ in range(LOSSES_IN_ROW):
        if not play.running():
            play.answer(4)
        play.lost(play.running()[0])
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.INFRASTRUCTURE)


def test_one_dead_slot_of_several_pauses_nothing_while_others_bring_outcomes() -> None:
    play = Play(slots=2, failures_in_row=100).after_baseline()
    play.answer(4)
    for turn in range(4 * LOSSES_IN_ROW):
        if not play.running():
            play.answer(4)
        assert play.state.study is StudyState.RUNNING
        trial, status = play.running()[-1], OutcomeStatus.LOST
        play.send(ev.Reported(play.tick(), trial, status, reason="no GPU", node_fault=True))
        if turn % 15 == 14:
            play.done(play.running()[0], 2.0)
    for _ in range(2 * LOSSES_IN_ROW):  # now the other one dies as well
        trial, status = play.running()[0], OutcomeStatus.LOST
        play.send(ev.Reported(play.tick(), trial, status, reason="no GPU", node_fault=True))
        if play.state.study is StudyState.PAUSED:
            break
    assert play.state.reason is StopReason.INFRASTRUCTURE
    told = [f.text for f in play.facts if isinstance(f, ev.StudyMoved)][-1]
    assert told == "20 trials in a row were lost by the cluster; the last: no GPU"


def test_reopening_runs_what_ran_before_first_and_in_the_same_order() -> None:
    play = Play(slots=2).after_baseline()
    play.answer(3)
    before = [play.state.trials[n].experiment for n in play.running()]
    play.send(ev.Opened(play.tick()))
    play.send(ev.SlotsCounted(play.tick(), 2))
    assert [play.state.trials[n].experiment for n in play.running()] != []
    assert sorted(play.state.trials[n].experiment for n in play.running()) == before
    starts = of_kind(play.actions, ev.StartTrial)[-2:]
    assert [play.state.trials[a.trial].experiment for a in starts] == before  # type: ignore[attr-defined]


def test_late_and_double_outcomes_change_nothing() -> None:
    play = Play().after_baseline()
    play.answer(1)
    trial = play.trial_of(1)
    play.done(trial, 0.9)
    before = play.state
    assert play.done(trial, 0.1).facts == ()
    assert play.done(1, 0.1).facts == ()
    assert play.lost(trial).facts == ()
    assert play.done(99, 0.1).facts == ()
    assert play.state == before


def test_an_outcome_of_a_trial_that_has_not_started_changes_nothing() -> None:
    play = Play(slots=1).after_baseline()
    play.answer(2)
    before = play.state
    assert play.done(before.ready[0], 0.1).facts == ()
    assert play.state == before


def test_a_double_answer_changes_nothing() -> None:
    play = Play().after_baseline()
    request = min(play.state.asked)
    answer = ev.Answered(play.tick(), request, (ev.Draft(0, 1),), seconds=1.0)
    play.send(answer)
    before = play.state
    assert play.send(answer).facts == ()
    assert play.state == before


# ---- stopping ---------------------------------------------------------------------------------


def play_to_the_end(play: Play, metric: float = 2.0) -> None:
    while not of_kind(play.actions, ev.Finish):
        if play.running():
            play.done(play.running()[0], metric)
        else:
            play.answer()


@pytest.mark.parametrize("limit", [0, 1, 5, 17])
def test_max_experiments_is_met_exactly(limit: int) -> None:
    play = Play(slots=3, max_experiments=limit, proposals_per_call=4)
    play_to_the_end(play)
    assert play.state.reason is StopReason.MAX_EXPERIMENTS
    assert play.state.next_experiment == limit + 1


def test_proposals_beyond_max_experiments_are_not_added() -> None:
    play = Play(max_experiments=2).after_baseline()
    play.answer(5)
    assert play.state.next_experiment == 3


def test_requests_never_exceed_what_is_left() -> None:
    play = Play(slots=8, max_experiments=3)
    assert sum(ask.count for ask in play.state.asked.values()) == 3
    play.answer()
    assert not play.state.asked


def test_a_plateau_ends_the_study_once_the_running_trials_have_ended() -> None:
    play = Play(slots=2, plateau=2).after_baseline()
    play.answer(4)
    for _ in range(2):
        play.done(play.running()[0], 1.5)
    assert (play.state.study, play.state.reason) == (StudyState.DRAINING, StopReason.PLATEAU)
    while play.running():
        play.done(play.running()[0], 1.5)
    assert play.state.study is StudyState.STOPPED


def test_a_new_champion_begins_the_plateau_anew() -> None:
    play = Play(slots=1, plateau=2).after_baseline()
    play.answer(4)
    for metric in (1.5, 0.9, 1.5):
        play.done(play.running()[0], metric)
    assert play.state.study is StudyState.RUNNING


def test_hours_count_the_time_of_earlier_sessions() -> None:
    play = Play(max_seconds=100.0).after_baseline()
    play.tick(60)
    play.send(ev.CancelAsked(play.tick()))
    play.tick(10_000)  # closed: does not count
    play.send(ev.Opened(play.tick()))
    play.tick(30)
    play.send(ev.Ticked(play.tick()))
    assert play.state.study is StudyState.RUNNING
    play.tick(20)
    play.send(ev.Ticked(play.tick()))
    assert play.state.reason is StopReason.MAX_HOURS


def test_failures_in_a_row_pause_the_study_and_say_so() -> None:
    play = Play(slots=1, failures_in_row=3).after_baseline()
    play.answer(4)
    for _ in range(3):
        play.failed(play.running()[0])
    assert (play.state.study, play.state.reason) == (StudyState.PAUSED, StopReason.FAILURES)
    assert of_kind(play.facts, ev.StudyMoved)[-1].text == "3 experiments in a row failed"  # type: ignore[attr-defined]


def test_a_success_between_failures_begins_their_count_anew() -> None:
    play = Play(slots=1, failures_in_row=3).after_baseline()
    play.answer(5)
    for _ in range(2):
        play.failed(play.running()[0])
    play.done(play.running()[0], 1.5)
    play.failed(play.running()[0])
    assert play.state.study is StudyState.RUNNING


def test_an_agent_without_ideas_ends_the_study() -> None:
    play = Play(slots=1).after_baseline()
    for _ in range(EMPTY_ANSWERS):
        assert play.state.study is StudyState.RUNNING
        play.answer(0)
        play.send(ev.Ticked(play.tick(120.0)))
    while play.state.asked:
        play.answer(0)
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.NO_PROPOSALS)


def test_an_agent_that_fails_is_left_alone_for_a_while_and_asked_again() -> None:
    play = Play(slots=1).after_baseline()
    while play.state.asked:
        request = min(play.state.asked)
        play.send(ev.AnswerFailed(play.tick(0.01), request, "no connection"))
    play.send(ev.Ticked(play.tick(0.01)))
    assert not play.state.asked
    play.send(ev.Ticked(play.tick(120.0)))
    assert play.state.asked


def test_draining_lets_running_trials_end_and_starts_nothing() -> None:
    play = Play(slots=2).after_baseline()
    play.answer(4)
    running = play.running()
    play.send(ev.DrainAsked(play.tick()))
    play.actions.clear()
    play.done(running[0], 1.5)
    assert play.actions == []
    play.done(running[1], 1.5)
    assert play.actions == [ev.Finish()]
    assert (play.state.study, play.state.reason) == (StudyState.STOPPED, StopReason.SIGNAL)


def test_cancelling_cuts_trials_short_and_queues_their_experiments_first() -> None:
    play = Play(slots=2).after_baseline()
    play.answer(4)
    running = play.running()
    experiments = [play.state.trials[n].experiment for n in running]
    play.actions.clear()
    play.send(ev.CancelAsked(play.tick()))
    assert {a.trial for a in play.actions if isinstance(a, ev.CancelTrial)} == set(running)
    assert play.actions[-1] == ev.Finish()
    first = [play.state.trials[n].experiment for n in play.state.ready[:2]]
    assert first == experiments
    assert all(play.fate(e) is ExperimentState.QUEUED for e in experiments)


# ---- slots ------------------------------------------------------------------------------------


def test_no_slot_is_idle_while_a_trial_is_ready() -> None:
    play = Play(slots=2).after_baseline()
    play.answer(4)
    play.send(ev.SlotsCounted(play.tick(), 4))
    assert len(play.running()) == 4


def test_a_slot_that_went_away_is_not_used_again_once_its_trial_has_ended() -> None:
    play = Play(slots=3).after_baseline()
    play.answer(4)
    play.send(ev.SlotsCounted(play.tick(), 1))
    above = [n for n in play.running() if (play.state.trials[n].slot or 0) > 0]
    for trial in above:
        play.done(trial, 1.5)
    assert {play.state.trials[n].slot for n in play.running()} == {0}


# ---- whatever happens -------------------------------------------------------------------------

Choice = tuple[int, int]
choices = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2**16)), max_size=150)


def command(play: Play, pick: int) -> ev.Event:
    """One of the things that a person can ask for."""
    now = play.tick()
    commands: list[ev.Event] = [
        ev.DrainAsked(now),
        ev.CancelAsked(now, StopReason.INSTRUCTION),
        ev.Paused(now),
        ev.Unpaused(now),
        ev.Unpaused(now),
        ev.Submitted(now, ev.Draft(0, play.state.champions)),
        ev.Cancelled(now, pick % (play.state.next_experiment + 1)),
    ]
    return commands[pick % len(commands)]


def happen(play: Play, kind: int, pick: int) -> Transition | None:  # noqa: PLR0911 - one a kind
    """One of the things that can happen now."""
    running = play.running()
    if kind < 40 and running:
        return play.done(running[pick % len(running)], metric=(pick % 97) / 50)
    if kind < 52 and running:
        return play.failed(running[pick % len(running)])
    if kind < 62 and running:
        return play.lost(running[pick % len(running)], blamed=pick % 3 > 0, memory=pick % 2 > 0)
    if kind < 84 and play.state.asked:
        request, ask = min(play.state.asked.items())
        if ask.purpose is Purpose.REBASE and pick % 7 == 0:
            drafts = play.rebases(ask, 1, stale=True)
            return play.send(ev.Answered(play.tick(), request, drafts, 1.0))
        return play.answer(min(pick % 6, ask.count))
    if kind < 87 and play.state.asked:
        return play.send(ev.AnswerFailed(play.tick(), min(play.state.asked), "no connection"))
    if kind < 91:
        return play.send(ev.SlotsCounted(play.tick(), pick % 6))
    if kind < 94:
        return play.send(command(play, pick))
    if kind < 96:
        return play.done(pick % (play.state.next_trial + 1), 0.001) if not running else None
    if kind < 98 or play.state.study in (StudyState.STOPPED, StudyState.PAUSED):
        return play.send(ev.Opened(play.tick()))
    return play.send(ev.Ticked(play.tick(30.0)))


@settings(max_examples=80, deadline=None)
@given(
    choices,
    st.sampled_from([None, 0, 3, 12]),
    st.integers(1, 3),
    st.tuples(st.booleans(), st.booleans(), st.sampled_from([0, 2])),
)
def test_the_invariants_hold_whatever_happens(
    course: list[Choice], limit: int | None, repeats: int, kind_of_study: tuple[bool, bool, int]
) -> None:
    models, confirmed, long = kind_of_study
    play = Play(
        slots=3,
        max_experiments=limit,
        baseline_repeats=repeats,
        failures_in_row=4,
        fill=models,
        mends=2 * models,
        criteria=Criteria(most_seeds=3) if confirmed else None,
        plateau=4 if long and confirmed else None,
        long_leaders=long,
    )
    for kind, pick in course:
        transition = happen(play, kind, pick)
        check_now(play, transition)
    check_history(play)


def check_now(play: Play, transition: Transition | None) -> None:
    state = play.state
    held = [t.slot for t in state.trials.values() if t.slot is not None]
    assert len(set(held)) == len(held), "two trials on one slot"
    assert not set(held) & set(state.free), "a slot is free and held"
    assert len(set(state.free)) == len(state.free)
    assert all(slot < state.slots for slot in state.free)
    assert set(state.ready) == {t.id for t in state.trials.values() if t.slot is None}
    champion = state.champion
    owners = {*state.experiments, *([champion.experiment] if champion else [])}
    usual = [t for t in state.trials.values() if t.kind is TrialKind.USUAL]
    assert all(t.experiment in owners for t in usual)
    if champion is not None:
        repeats = {t.id for t in usual if t.experiment == champion.experiment}
        assert set(champion.open) == repeats
    for entry in state.experiments.values():
        trials = {t.id for t in usual if t.experiment == entry.id}
        assert set(entry.open) == trials
        waits = entry.id in state.waiting
        assert waits or len(trials) + len(entry.results) == entry.wanted
        if entry.state is ExperimentState.CONFIRMING and not waits:
            carried = entry.id in held_wins(state)
            assert carried or trials or (champion and champion.open), "nothing will ever decide it"
    if state.study is StudyState.RUNNING:
        assert not (state.free and state.ready), "an idle slot beside a ready trial"
    if state.policy.max_experiments is not None:
        new = (Purpose.IMPROVE, Purpose.FILL)
        under_way = sum(a.count for a in state.asked.values() if a.purpose in new)
        running = state.study is StudyState.RUNNING and not state.policy.mends
        rebases = sum(isinstance(f, ev.ExperimentAdded) and f.wanted == 0 for f in play.facts)
        most = state.policy.max_experiments + play.submitted + rebases  # these are not refused
        assert state.tally.proposed + under_way * running <= most
    if transition and state.study is not StudyState.RUNNING:
        started = [a.trial for a in transition.actions if isinstance(a, ev.StartTrial)]
        assert all(state.trials[n].kind is TrialKind.LONG for n in started)
        assert not started or state.reason is StopReason.PLATEAU


def check_history(play: Play) -> None:
    added = [f.id for f in play.facts if isinstance(f, ev.ExperimentAdded)]
    planned = [f.id for f in play.facts if isinstance(f, ev.TrialPlanned)]
    assert added == list(range(len(added))), "experiment ids have gaps"
    assert planned == list(range(1, len(planned) + 1)), "trial ids have gaps"
    decided = [f.id for f in play.facts if isinstance(f, ev.ExperimentMoved) and f.state.is_final]
    assert len(set(decided)) == len(decided), "decided twice"
    assert set(decided) | set(play.state.experiments) == set(added)
    ended = [f.id for f in play.facts if isinstance(f, ev.TrialMoved) and f.state.is_final]
    assert len(set(ended)) == len(ended), "ended twice"
    done = {f.id for f in play.facts if isinstance(f, ev.TrialMoved) and f.state is TrialState.DONE}
    long = [
        f.experiment
        for f in play.facts
        if isinstance(f, ev.TrialPlanned) and f.kind is TrialKind.LONG and f.id in done
    ]
    assert len(set(long)) == len(long), "a longer budget twice"
    assert set(long) <= {f.experiment for f in play.facts if isinstance(f, ev.Crowned)}
    started = [a.trial for a in play.actions if isinstance(a, ev.StartTrial)]
    assert len(set(started)) == len(started), "started twice"
    crowned = [f.metric for f in play.facts if isinstance(f, ev.Crowned)]
    assert crowned == sorted(crowned, reverse=True)
    assert len(set(crowned)) == len(crowned)


def test_a_killed_session_counts_for_the_hours_up_to_half_a_minute() -> None:
    ticks = [ev.Ticked(float(second)) for second in range(1000)]
    course: list[ev.Event] = [ev.Opened(0.0), ev.SlotsCounted(0.0, 1), *ticks]
    state = State(Policy(max_seconds=2000.0))
    for event in [*course, ev.Opened(50_000.0)]:
        state = step(state, event).state
    assert 970 <= state.tally.seconds_before <= 1000
    assert step(state, ev.Ticked(51_000.0)).state.study is StudyState.RUNNING
    assert step(state, ev.Ticked(51_031.0)).state.reason is StopReason.MAX_HOURS


def test_an_agent_that_fails_again_and_again_pauses_the_study_with_its_words() -> None:
    state = State(Policy(calls_in_flight=1))
    now = 0.0
    for event in (ev.Opened(now), ev.SlotsCounted(now, 1)):
        state = step(state, event).state
    baseline = next(iter(state.trials))
    state = step(state, ev.Reported(now, baseline, OutcomeStatus.DONE, 1.0)).state
    while state.asked:
        now += 100.0
        request = next(iter(state.asked))
        state = step(state, ev.AnswerFailed(now, request, "no such model")).state
        now += 100.0
        turn = step(state, ev.Ticked(now))
        state = turn.state
    assert (state.study, state.reason) == (StudyState.PAUSED, StopReason.AGENT_FAILED)
    assert "no such model" in state.tally.agent_failure


def test_what_breaks_a_limit_is_no_sign_of_a_broken_task() -> None:
    play = Play(slots=1, failures_in_row=3).after_baseline()
    play.answer(5)
    for _ in range(4):
        trial = play.running()[0]
        status = OutcomeStatus.REJECTED
        play.send(ev.Reported(play.tick(), trial, status, reason="too much", over_limit=True))
    assert play.state.study is StudyState.RUNNING
    states = [fact.state for fact in play.facts if isinstance(fact, ev.ExperimentMoved)]
    assert states.count(ExperimentState.REJECTED) == 4


def test_nothing_is_asked_for_before_the_baseline_where_that_must_prove_the_task() -> None:
    play = Play(slots=3, baseline_first=True, fill=True)
    play.send(ev.Ticked(play.tick()))
    assert not play.state.asked
    assert len(play.running()) == 1
    play.done(play.running()[0], 2.0)
    assert play.state.asked
    failing = Play(slots=3, baseline_first=True, fill=True)
    failing.failed(failing.running()[0])
    assert failing.state.reason is StopReason.BASELINE_FAILED
    assert not of_kind(failing.actions, ev.RequestProposals)


def test_a_node_that_cant_be_set_up_costs_no_experiment_and_pauses_a_study_that_has_no_other() -> (
    None
):
    play = Play(slots=1).after_baseline()
    play.answer(1)
    for _ in range(LOSSES_IN_ROW):
        assert play.state.study is StudyState.RUNNING
        trial, status = play.running()[0], OutcomeStatus.LOST
        play.send(ev.Reported(play.tick(), trial, status, reason="no wheel", node_fault=True))
    assert play.state.reason is StopReason.INFRASTRUCTURE
    states = [fact.state for fact in play.facts if isinstance(fact, ev.ExperimentMoved)]
    assert ExperimentState.CRASH not in states
