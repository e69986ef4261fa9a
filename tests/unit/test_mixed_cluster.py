"""Slots of several kinds, screened on all of them, kept on one: claims about the rules."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.reference import MOVE_SECONDS, SAY_SECONDS
from scheduler.rules.state import TrialEntry
from scheduler.rules.states import ExperimentState, StudyState, TrialState
from tests.fixtures.play import Play
from workers import OutcomeStatus

H200, A100 = "NVIDIA H200", "NVIDIA A100"
CONFIRMED = Criteria(most_seeds=3)
BASELINE = {"H200": 1.0, "A100": 1.5}  # what the champion measures on each


def mixed(h200: int = 2, a100: int = 1, **policy: Any) -> Play:
    """A study whose baseline was measured on the H200, with proposals for every slot."""
    play = Play(kinds={"H200": h200, "A100": a100}, **policy)
    while running := running_of(play, 0):  # also the repeats that a new champion is run with
        play.done(running[0].id, 1.0)
    while play.state.asked and play.state.free:
        play.answer()
    return play


def running_of(play: Play, experiment: int) -> list[TrialEntry]:
    """The running trials of an experiment."""
    return [
        t
        for _, t in sorted(play.state.trials.items())
        if t.experiment == experiment and t.slot is not None
    ]


def open_of(play: Play, experiment: int) -> list[tuple[int, str]]:
    """Number and wish of the trials of an experiment that have no outcome."""
    return [
        (t.number, t.wants)
        for _, t in sorted(play.state.trials.items())
        if t.experiment == experiment
    ]


def on(play: Play, kind: str) -> int:
    """An experiment whose first trial runs on this kind of slot."""
    return next(
        t.experiment
        for _, t in sorted(play.state.trials.items())
        if t.accelerator == kind and t.experiment > 0 and t.number == 1 and t.slot is not None
    )


def finish(play: Play, experiment: int, metric: float) -> None:
    """All running trials of an experiment end with this metric."""
    for trial in running_of(play, experiment):
        play.done(trial.id, metric)


def settle(play: Play, candidate: int, **metrics: float) -> None:
    """Let a candidate's repeats end, and whatever keeps a slot from them, until it is decided."""
    for _ in range(60):
        if play.fate(candidate).is_final:
            return
        for trial in [t for t in play.state.trials.values() if t.slot is not None]:
            if trial.id not in play.state.trials:
                continue  # it was cut short
            ours = trial.experiment == candidate
            champion = play.state.champion
            assert champion is not None
            if ours:
                play.done(trial.id, metrics[trial.accelerator])
            elif trial.experiment == champion.experiment:
                play.done(trial.id, BASELINE[trial.accelerator])
            else:
                play.failed(trial.id)
        if play.state.study is StudyState.PAUSED:  # so many that failed
            play.send(ev.Unpaused(play.tick()))
    raise AssertionError(play.fate(candidate))


def text(play: Play) -> str:
    """What a person can read of the study's state."""
    return next(f.text for f in reversed(play.facts) if isinstance(f, ev.StudyMoved))


def moved(play: Play, experiment: int) -> ev.ExperimentMoved:
    return next(
        f
        for f in reversed(play.facts)
        if isinstance(f, ev.ExperimentMoved) and f.id == experiment and f.state.is_final
    )


def take_h200s_away(play: Play) -> None:
    """One A100 is left; what ran on the others is lost."""
    play.count({"A100": 1})
    for trial in [t for t in play.state.trials.values() if t.accelerator == "H200"]:
        play.lost(trial.id, blamed=False)


def planned_for_the_champion(play: Play, wants: str) -> int:
    return sum(
        isinstance(f, ev.TrialPlanned) and f.experiment == 0 and f.wants == wants
        for f in play.facts
    )


# ---- which trial runs where -------------------------------------------------------------------


def test_the_reference_is_the_kind_with_the_most_slots_and_does_not_wander() -> None:
    play = Play(kinds={"A100": 2, "H200": 3})
    assert play.state.fleet.reference == "H200"
    play.count({"A100": 9, "H200": 1})
    assert play.state.fleet.reference == "H200"


def test_a_person_may_name_the_reference() -> None:
    play = Play(kinds={"A100": 1, "H200": 3}, reference="A100")
    assert {t.accelerator for t in running_of(play, 0)} == {"A100"}


def test_the_baseline_runs_on_the_reference_and_first_trials_on_what_is_left() -> None:
    play = Play(kinds={"H200": 2, "A100": 1}, baseline_repeats=2)
    assert [t.accelerator for t in running_of(play, 0)] == ["H200", "H200"]
    play.answer(1)
    assert [t.accelerator for t in running_of(play, 1)] == ["A100"]


def test_what_wants_a_kind_that_is_busy_lets_others_pass() -> None:
    play = Play(kinds={"H200": 1, "A100": 1}, baseline_repeats=2, reference="H200")
    play.answer(2)
    assert [t.number for t in running_of(play, 0)] == [1]
    assert len(running_of(play, 1)) == 1, "the other slot is not kept for the second repeat"
    play.done(running_of(play, 0)[0].id, 1.0)
    assert [t.number for t in running_of(play, 0)] == [2], "it goes first where it can run"


def test_no_kind_is_given_more_trials_than_it_has_slots() -> None:
    play = mixed(h200=3, a100=2)
    kinds = [t.accelerator for t in play.state.trials.values() if t.slot is not None]
    assert sorted(kinds) == ["A100", "A100", "H200", "H200", "H200"]


def test_the_agent_is_asked_although_repeats_wait_for_the_reference() -> None:
    play = Play(kinds={"H200": 1, "A100": 2}, baseline_repeats=4, reference="H200")
    assert len(play.state.ready) == 3
    while play.state.free:
        play.answer()
    assert len([t for t in play.state.trials.values() if t.accelerator == "A100"]) == 2


# ---- what is compared with what ---------------------------------------------------------------


@pytest.mark.parametrize("criteria", [None, CONFIRMED])
def test_a_first_trial_elsewhere_waits_for_one_trial_of_the_champion_there(
    criteria: Criteria | None,
) -> None:
    play = mixed(h200=3, a100=2, criteria=criteria)
    first = on(play, "A100")
    finish(play, first, 0.9)  # below the champion's 1.0, which was measured on an H200
    assert play.fate(first) is ExperimentState.CONFIRMING
    second = on(play, "A100")
    finish(play, second, 0.95)
    assert play.fate(second) is ExperimentState.CONFIRMING
    assert planned_for_the_champion(play, "A100") == 1, "one is enough for both"
    (trial,) = [t for t in running_of(play, 0) if t.accelerator == "A100"]
    play.done(trial.id, 0.7)
    assert play.fate(first) is play.fate(second) is ExperimentState.DISCARD
    assert (moved(play, first).metric, moved(play, first).hardware) == (0.9, A100)
    assert play.state.champion is not None
    assert play.state.champion.metric == 1.0, "what it measures elsewhere is no part of it"


@pytest.mark.parametrize("criteria", [None, CONFIRMED])
@pytest.mark.parametrize("there", [0.8, 1.2])
def test_what_wins_elsewhere_is_kept_only_if_it_wins_on_the_reference(
    criteria: Criteria | None, there: float
) -> None:
    play = mixed(criteria=criteria)
    candidate = on(play, "A100")
    finish(play, candidate, 1.1)
    play.done(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"), 1.5)
    assert play.fate(candidate) is ExperimentState.CONFIRMING
    wanted = open_of(play, candidate)
    assert {wish for _, wish in wanted} == {"reference"}
    assert {number for number, _ in wanted} == {2}, "a seed that it was not chosen by"
    settle(play, candidate, H200=there)
    kept = there < 1.0
    assert play.fate(candidate) is (ExperimentState.KEEP if kept else ExperimentState.DISCARD)
    fact = moved(play, candidate)
    assert fact.hardware == H200
    assert fact.metric == pytest.approx(there), "the mean of the reference's trials alone"
    if kept:
        assert play.state.champion is not None
        assert play.state.champion.metric == pytest.approx(there)


def test_what_loses_elsewhere_costs_the_reference_nothing() -> None:
    play = mixed()
    candidate = on(play, "A100")
    finish(play, candidate, 1.7)
    play.done(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"), 1.5)
    assert play.fate(candidate) is ExperimentState.DISCARD
    assert "0.2" in moved(play, candidate).reason


def test_a_new_champion_is_measured_elsewhere_again_and_repeats_stay_on_the_reference() -> None:
    play = mixed(criteria=CONFIRMED)
    candidate = on(play, "H200")
    finish(play, candidate, 0.5)
    settle(play, candidate, H200=0.5, A100=0.6)
    assert play.fate(candidate) is ExperimentState.KEEP
    assert {wish for _, wish in open_of(play, candidate)} == {"reference"}
    while play.state.asked and play.state.free:
        play.answer()
    other = on(play, "A100")
    finish(play, other, 0.4)
    assert (2, "A100") in open_of(play, candidate)


@pytest.mark.parametrize("end", ["fails", "is lost", "cannot run"])
def test_where_the_champion_has_no_luck_elsewhere_the_reference_alone_decides(end: str) -> None:
    play = mixed()
    candidate = on(play, "A100")
    finish(play, candidate, 1.1)
    trial = next(t.id for t in running_of(play, 0) if t.accelerator == "A100")
    if end == "fails":
        play.failed(trial, OutcomeStatus.OOM)
    elif end == "is lost":
        play.lost(trial)
        play.lost(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"))
    else:
        play.count({"H200": 2})
        play.lost(trial, blamed=False)
    assert open_of(play, candidate) == [(2, "reference")]
    settle(play, candidate, H200=0.9)
    assert play.fate(candidate) is ExperimentState.KEEP


def test_what_is_too_large_for_another_kind_is_tried_on_the_reference() -> None:
    play = mixed()
    candidate = on(play, "A100")
    play.failed(running_of(play, candidate)[0].id, OutcomeStatus.OOM)
    assert open_of(play, candidate) == [(1, "reference")]
    settle(play, candidate, H200=0.9)
    assert play.fate(candidate) is ExperimentState.KEEP


def test_what_is_too_large_for_the_reference_has_failed() -> None:
    play = mixed()
    candidate = on(play, "H200")
    play.failed(running_of(play, candidate)[0].id, OutcomeStatus.OOM)
    assert play.fate(candidate) is ExperimentState.OOM


# ---- classes that slots of one kind hide ------------------------------------------------------


def test_on_another_machine_the_champion_is_measured_once_more_and_the_study_goes_on() -> None:
    play = Play(slots=1)
    play.devices[""] = "a laptop"
    play.done(1, 1.0)
    play.send(ev.Opened(play.tick()))
    play.devices[""] = "a server"
    play.send(ev.SlotsCounted(play.tick(), 1))
    play.answer(2)
    finish(play, 1, 0.6)
    assert play.fate(1) is ExperimentState.CONFIRMING, "a server is faster: that is no win"
    finish(play, 0, 0.5)
    assert play.fate(1) is ExperimentState.DISCARD
    assert play.state.champion is not None
    assert play.state.champion.metric == 0.5
    finish(play, 2, 0.4)
    assert play.fate(2) is ExperimentState.KEEP
    assert planned_for_the_champion(play, "reference") == 2


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), confirm=st.booleans(), kinds=st.booleans())
def test_everything_is_decided_and_nothing_kept_without_a_trial_on_the_reference(
    seed: int, confirm: bool, kinds: bool
) -> None:
    """Slots of a kind are of several classes here, come and go, and trials end as they like."""
    luck = random.Random(seed)
    play = Play(
        kinds={"H200": 2, "A100": 2} if kinds else {"": 3},
        criteria=CONFIRMED if confirm else None,
        max_experiments=12,
        failures_in_row=1000,
    )
    play.devices = {}
    measured: dict[int, set[tuple[str, str]]] = {}
    for _ in range(6000):
        if play.state.study.is_over:
            break
        if play.state.asked:
            play.answer()
        running = [t for t in play.state.trials.values() if t.slot is not None]
        if not running:
            play.tick(MOVE_SECONDS)
            play.count({"H200": 1, "A100": 1} if kinds else {"": 1})
            play.send(ev.Ticked(play.tick()))
            continue
        trial = luck.choice(running)
        draw = luck.random()
        if draw < 0.05 and trial.experiment > 0:
            play.failed(trial.id, luck.choice([OutcomeStatus.CRASH, OutcomeStatus.OOM]))
        elif draw < 0.1:
            play.lost(trial.id, blamed=False)
        elif draw < 0.15 and kinds:
            play.count({"H200": luck.randint(0, 2), "A100": luck.randint(1, 2)})
        else:
            device = trial.accelerator + luck.choice("xyyyy")
            play.devices[trial.accelerator] = device
            measured.setdefault(trial.experiment, set()).add((trial.accelerator, device))
            metric = 1.0 - trial.experiment / 10 + luck.gauss(0, 0.05)
            crowned = [f for f in play.done(trial.id, metric).facts if isinstance(f, ev.Crowned)]
            for crown in crowned:
                there = (play.state.fleet.reference, moved(play, crown.experiment).hardware)
                assert there in measured[crown.experiment]
    assert play.state.study is StudyState.STOPPED
    for fact in play.facts:
        if isinstance(fact, ev.Judged):
            classes = {device for _, device in measured[fact.id]}
            assert fact.evidence.hardware in classes


# ---- the reference goes -----------------------------------------------------------------------


def test_a_reference_that_is_gone_is_told_of_and_told_of_no_more_once_it_is_back() -> None:
    play = mixed()
    play.count({"A100": 1})
    play.send(ev.Ticked(play.tick(SAY_SECONDS - 60)))
    assert text(play) == ""
    play.send(ev.Ticked(play.tick(60)))
    assert "no slot of H200, the reference" in text(play)
    said = len(play.facts)
    play.send(ev.Ticked(play.tick(60)))
    assert len(play.facts) == said, "once"
    play.count({"A100": 1, "H200": 1})
    assert text(play) == ""


def test_meanwhile_others_go_on_screening_and_what_wins_waits() -> None:
    play = mixed()
    candidate = on(play, "A100")
    finish(play, candidate, 1.1)
    play.done(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"), 1.5)
    take_h200s_away(play)
    for _ in range(4):
        if play.state.asked:
            play.answer()
        other = on(play, "A100")
        finish(play, other, 1.7)
        assert play.fate(other) is ExperimentState.DISCARD
    assert play.fate(candidate) is ExperimentState.CONFIRMING
    assert not running_of(play, candidate)
    play.count({"A100": 1, "H200": 1})
    assert [t.accelerator for t in running_of(play, candidate)] == ["H200"]


@pytest.mark.parametrize("criteria", [None, CONFIRMED])
def test_after_half_an_hour_the_largest_kind_that_is_left_takes_its_place(
    criteria: Criteria | None,
) -> None:
    play = mixed(criteria=criteria)
    candidate = on(play, "A100")
    finish(play, candidate, 1.1)
    play.done(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"), 1.5)
    take_h200s_away(play)
    play.send(ev.Ticked(play.tick(MOVE_SECONDS)))
    assert play.state.fleet.reference == "A100"
    assert "the reference is A100 now" in text(play)
    assert play.state.champion is not None
    assert play.state.champion.metric == 1.5, "its metric is that of the new reference"
    settle(play, candidate, A100=1.1)
    assert play.fate(candidate) is ExperimentState.KEEP
    play.count({"A100": 1, "H200": 8})
    assert play.state.fleet.reference == "A100", "it does not move back by itself"


def test_a_reference_that_a_person_has_named_is_waited_for() -> None:
    play = mixed(reference="H200")
    play.count({"A100": 1})
    for _ in range(10):
        play.send(ev.Ticked(play.tick(MOVE_SECONDS)))
    assert play.state.fleet.reference == "H200"
    assert "keep.reference names another" in text(play)


def test_a_reference_that_never_was_is_told_of_at_once() -> None:
    play = Play(kinds={"A100": 2}, reference="H2000")
    play.send(ev.Ticked(play.tick()))
    assert not running_of(play, 0)
    assert "no slot of H2000, the reference: the baseline waits" in text(play)


def test_another_reference_can_be_named_on_resuming() -> None:
    play = mixed(a100=1)
    finish(play, on(play, "A100"), 1.6)
    play.done(next(t.id for t in running_of(play, 0) if t.accelerator == "A100"), 1.5)
    play.state = replace(play.state, policy=replace(play.state.policy, reference="A100"))
    play.send(ev.Opened(play.tick()))
    play.count({"H200": 2, "A100": 1})
    assert play.state.fleet.reference == "A100"
    assert play.state.champion is not None
    assert play.state.champion.metric == 1.5


def test_a_cluster_without_names_is_of_one_kind_and_never_waits() -> None:
    play = Play(slots=2).after_baseline()
    play.answer(2)
    finish(play, 1, 0.9)
    assert play.fate(1) is ExperimentState.KEEP
    assert play.state.fleet.kinds == ()
    assert {t.state for t in play.state.trials.values()} <= {TrialState.RUNNING, TrialState.PLANNED}
