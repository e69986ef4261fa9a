"""While the training tokens are copied, which may take seconds, a trial is watched as ever."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.candidates import data_folder, exam, scripted_trial, task_folder
from workers import Outcome, OutcomeStatus, Progress, Trial
from workers.lasting import Lasting
from workers.supervisor import run_trial
from workers.tokens import TrainingTokens

SECONDS = 30.0  # after which a test that hangs fails


class Slow(TrainingTokens):
    """A copy that is not done before it is told to be, or is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on, self.was_stopped = threading.Event(), threading.Event(), False

    def lend(self, path: Path, data: str, stopped: Callable[[], bool] = bool) -> int:
        self.begun.set()
        for _ in range(int(SECONDS * 100)):
            if self.go_on.wait(0.01):
                return super().lend(path, data)
            if stopped():
                self.was_stopped = True
                raise OSError("stopped")
        raise OSError("nobody said anything")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Outcome]:
    task, data = task_folder(tmp_path), data_folder(tmp_path)

    def run_one(
        trial: Trial,
        tokens: TrainingTokens,
        report: Callable[[Progress], None] = lambda _: None,
        orphaned: Callable[[], str] = str,
    ) -> Outcome:
        return run_trial(
            trial,
            task=task,
            data=data,
            exam=exam,
            report=report,
            orphaned=orphaned,
            lasting=Lasting(tokens=tokens),
        )

    return run_one


def test_who_is_gone_is_heard_of_at_once_and_the_copy_stops(run: Callable[..., Outcome]) -> None:
    tokens = Slow()
    outcome = run(
        scripted_trial("honest()"),
        tokens,
        orphaned=lambda: "nobody is there" if tokens.begun.is_set() else "",
    )
    assert (outcome.status, outcome.reason) == (OutcomeStatus.LOST, "nobody is there")
    assert tokens.was_stopped


def test_a_candidate_that_is_ready_sooner_waits_for_its_tokens(
    run: Callable[..., Outcome],
) -> None:
    tokens = Slow()

    def report(progress: Progress) -> None:
        if "is about to" in progress.log:
            threading.Timer(0.3, tokens.go_on.set).start()  # READY has come by then, most likely

    outcome = run(
        scripted_trial("print('is about to', flush=True)\nhonest()"),
        tokens,
        report,
    )
    assert outcome.status is OutcomeStatus.DONE, outcome


def test_a_copy_that_fails_is_nobodys_fault(run: Callable[..., Outcome]) -> None:
    class Broken(TrainingTokens):
        def lend(self, path: Path, data: str, stopped: Callable[[], bool] = bool) -> int:
            raise OSError("no room")

    outcome = run(scripted_trial("honest()"), Broken())
    assert (outcome.status, outcome.reason) == (OutcomeStatus.LOST, "can't run here: no room")


def test_a_copy_that_takes_too_long_is_not_the_candidates_fault(
    run: Callable[..., Outcome],
) -> None:
    outcome = run(scripted_trial("honest()", startup_seconds=3), Slow())
    assert outcome.status is OutcomeStatus.LOST
    assert outcome.reason == "the training data were not in memory within 3 s"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [("raise SystemExit(3)", "exit code 3"), ("say('READY')\nchannel.recv(1)", "READY twice")],
)
def test_what_a_candidate_does_while_it_waits_is_its_own_fault(
    run: Callable[..., Outcome], deed: str, reason: str
) -> None:
    script = f"say('HELLO', text='a\\nb')\nsay('READY')\n{deed}"
    outcome = run(scripted_trial(script), Slow())
    assert outcome.status is OutcomeStatus.CRASH
    assert reason in outcome.reason
