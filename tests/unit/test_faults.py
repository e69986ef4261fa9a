"""A worker whose node can't run trials gives the others time to take them."""

import time

import pytest

from workers import Outcome, OutcomeStatus
from workers.remote import FAULTS, HELD_SECONDS, _Faults


def outcome(*, node_fault: bool) -> Outcome:
    status = OutcomeStatus.LOST if node_fault else OutcomeStatus.CRASH
    return Outcome(trial=1, status=status, node_fault=node_fault)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes by sleeping alone."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_a_worker_that_loses_one_trial_after_the_other_waits_between_them(
    clock: list[float],
) -> None:
    faults = _Faults()
    for _ in range(FAULTS):
        faults.note(outcome(node_fault=True), lambda: "")
    assert clock == [0.0], "so many are told at once: they pause a study of this slot alone"
    faults.note(outcome(node_fault=True), lambda: "")
    assert clock == [HELD_SECONDS]
    faults.note(outcome(node_fault=False), lambda: "")
    faults.note(outcome(node_fault=True), lambda: "")
    assert clock == [HELD_SECONDS], "it has run one since"


def test_it_waits_for_nobody_once_the_driver_is_gone(clock: list[float]) -> None:
    faults = _Faults(in_row=FAULTS)
    faults.note(outcome(node_fault=True), lambda: "its driver is gone" if clock[0] > 2 else "")
    assert clock[0] < 10
