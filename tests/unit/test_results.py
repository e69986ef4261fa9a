"""The results actor's class, called as the driver calls it: repeats, late news, a full disk."""

import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Answer, Proposal
from agent.proposal import BASELINE
from scheduler.errors import StudyFull, UsageError
from scheduler.results import Answered, Ended, Plan, Results
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, StudyState, TrialState
from scheduler.study.config_file import load_config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.books import check_books
from tests.fixtures.lab import proposal
from workers import Outcome, OutcomeStatus, Resources, Timings
from workers.compiled import name_of

NOW = 1_750_000_000.0


class Desk:
    """A study whose driver is the test."""

    def __init__(self, path: Path, *settings: str) -> None:
        self.folder = StudyFolder(path)
        settings = ("stop.max_experiments=100000", "keep.most_seeds=0", *settings)
        self.config = load_config("local", settings, {})
        if not self.folder.exists:
            self.folder.create(self.config, "# Find what scores lowest")
        self.number = 0
        self.open()
        self.results.begin_session(4711, "somewhere")

    def open(self) -> None:
        plan = Plan(
            replace(proposal("honest(2.0)", "baseline"), origin=BASELINE),
            "task",
            "data",
            Resources(),
        )
        self.results = Results(self.folder.path, self.config, plan)
        self.db = self.results._store._db
        self.db.execute("PRAGMA synchronous = OFF")  # a power cut is not what is tested here

    def send(self, item: Any) -> tuple[ev.Action, ...]:
        self.number += 1
        return self.results.handle(self.number, item)

    def begin(self, slots: int = 2) -> tuple[ev.Action, ...]:
        self.send(ev.Opened(NOW))
        return self.send(ev.SlotsCounted(NOW, slots))

    def fill_the_disk(self) -> None:
        """No page more than there is; what is in the log already counts too."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,) = self.db.execute("PRAGMA page_count").fetchone()
        self.db.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        self.db.execute("PRAGMA max_page_count = 1000000")

    def reader(self) -> Reader:
        return Reader(self.folder.database)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "study")
    yield desk
    desk.results.close()


def done(trial: int, metric: float) -> Ended:
    return Ended(NOW, Outcome(trial, OutcomeStatus.DONE, metric=metric))


def answer(request: int, *scripts: str) -> Answered:
    return Answered(NOW, Answer(request, tuple(proposal(s, s) for s in scripts)), 1.0)


def large(number: int) -> Proposal:
    """Of a code that fills several pages."""
    text = f"honest(1.{number}) # " + "".join(random.Random(number).choices("abcdef", k=20_000))
    return proposal(text, f"script {number}")


# ---- repeats and late news ------------------------------------------------------------------


def test_an_outcome_that_comes_twice_is_recorded_once(desk: Desk) -> None:
    desk.begin()
    desk.send(done(1, 2.0))
    assert desk.send(done(1, 1.0)) == ()
    with desk.reader() as reader:
        assert [e.metric for e in reader.experiments()] == [2.0]
    check_books(desk.folder, settled=False)


def test_an_outcome_of_a_trial_that_was_given_up_is_not_counted(desk: Desk) -> None:
    desk.begin()
    assert ev.StartTrial(2) in desk.send(ev.Lost(NOW, 1, "node gone"))
    desk.send(done(1, 1.0))
    with desk.reader() as reader:
        assert [t.state for t in reader.trials()] == [TrialState.LOST, TrialState.RUNNING]
    desk.send(done(2, 2.0))
    with desk.reader() as reader:
        assert [e.metric for e in reader.experiments()] == [2.0]
    check_books(desk.folder, settled=False)


def test_an_event_that_is_repeated_is_answered_from_the_outbox(desk: Desk) -> None:
    actions = desk.begin()
    assert desk.results.handle(desk.number, ev.SlotsCounted(NOW, 2)) == actions
    desk.results.close()
    desk.open()  # as after a kill: the same session, another process
    assert desk.results.handle(desk.number, ev.SlotsCounted(NOW, 2)) == actions


def test_screening_trials_alone_begin_with_what_the_champion_compiled(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "study", "keep.most_seeds=2", "keep.baseline_repeats=2")
    named: dict[str, set[str]] = {}
    running = [each for each in desk.begin(1) if isinstance(each, ev.StartTrial)]
    answered = False
    for _ in range(20):
        actions: list[ev.Action] = []
        for each in running:
            trial = desk.results.trial(each.trial)
            kind = f"{trial.files['train.py']}, {'first' if trial.number == 1 else 'repeat'}"
            named.setdefault(kind, set()).add(trial.compiled_by)
            score = float(trial.files["train.py"].removeprefix("honest(").removesuffix(")"))
            actions += desk.send(done(each.trial, score + trial.number / 1000))
        if not answered and desk.results._state.champion and desk.results._state.asked:
            answered = True
            request = min(desk.results._state.asked)
            actions += desk.send(answer(request, "honest(2.5)", "honest(1.0)", "honest(1.5)"))
        running = [each for each in actions if isinstance(each, ev.StartTrial)]
    desk.results.close()
    baseline, better = (name_of("task", {"train.py": f"honest({n})"}) for n in ("2.0", "1.0"))
    assert named == {
        "honest(2.0), first": {""},
        "honest(2.0), repeat": {""},
        "honest(2.5), first": {baseline},
        "honest(1.0), first": {baseline},
        "honest(1.0), repeat": {""},
        "honest(1.5), first": {better},
    }


def test_where_a_first_trial_decides_nobody_begins_with_anything(desk: Desk) -> None:
    desk.begin(1)
    desk.send(done(1, 2.0))
    desk.send(answer(1, "honest(1.0)"))
    assert desk.results._state.champion is not None
    trial = desk.results.trial(2)
    assert (trial.compile_cache, trial.compiled_by) == (False, "")


# ---- the lock -------------------------------------------------------------------------------


def test_the_lock_names_the_driver_also_after_a_restart_of_the_actor(desk: Desk) -> None:
    for _ in range(2):
        holder = json.loads(desk.folder.lock.read_text())
        assert holder == {"pid": 4711, "host": "somewhere"}
        desk.results.close()
        desk.open()


# ---- files after a kill ---------------------------------------------------------------------


def test_files_that_a_killed_process_did_not_get_to_are_written_by_the_next(desk: Desk) -> None:
    desk.begin()
    desk.send(done(1, 2.0))
    first, second = desk.folder.experiment(1), desk.folder.experiment(2)
    request = min(desk.results._state.asked)
    desk.send(answer(request, "honest(1.1)", "honest(1.2)"))
    second.proposal.unlink()
    second.file("train.py").unlink()
    (desk.folder.best / "train.py").write_text("of an earlier champion")
    kept = first.proposal.stat().st_mtime_ns
    desk.results.close()
    desk.open()
    assert second.file("train.py").read_text() == "honest(1.2)"
    assert second.proposal.is_file()
    assert (desk.folder.best / "train.py").read_text() == "honest(2.0)"
    assert first.proposal.stat().st_mtime_ns == kept


def test_files_that_wait_for_room_are_written_in_their_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the files of an earlier champion would take the place of a later one's."""
    written: list[int] = []
    full = True

    def write_best(experiment: int) -> None:
        if full:
            raise OSError(28, os.strerror(28))
        written.append(experiment)

    monkeypatch.setattr(desk.results._artifacts, "write_best", write_best)
    desk.begin()
    desk.send(done(1, 2.0))
    desk.send(answer(min(desk.results._state.asked), "honest(1.1)"))
    full = False
    desk.send(done(2, 1.1))
    desk.results.live()
    assert written == [0, 1]


# ---- a full disk ----------------------------------------------------------------------------


def test_a_full_disk_pauses_the_study_which_goes_on_when_there_is_room(desk: Desk) -> None:
    desk.begin()
    desk.send(done(1, 2.0))
    desk.fill_the_disk()
    request = min(desk.results._state.asked)
    item = Answered(NOW, Answer(request, (large(1), large(2))), 1.0)
    number = desk.number + 1
    for _ in range(3):
        with pytest.raises(StudyFull, match="no room on the disk"):
            desk.results.handle(number, item)
    live = desk.results.live()
    assert live.study.state is StudyState.PAUSED
    assert "no room on the disk" in live.study.text
    with desk.reader() as reader:
        assert len(list(reader.experiments())) == 1
    desk.make_room()
    actions = desk.send(item)
    assert sum(isinstance(action, ev.StartTrial) for action in actions) == 2
    assert desk.results.live().study.state is StudyState.RUNNING
    desk.send(done(2, 1.5))
    desk.send(done(3, 1.6))
    with desk.reader() as reader:
        states = [e.state for e in reader.experiments()]
    assert states == [ExperimentState.KEEP, ExperimentState.KEEP, ExperimentState.DISCARD]
    check_books(desk.folder, settled=False)


def test_a_study_that_died_on_a_full_disk_resumes_with_what_was_recorded(desk: Desk) -> None:
    desk.begin()
    desk.send(done(1, 2.0))
    desk.fill_the_disk()
    item = Answered(NOW, Answer(min(desk.results._state.asked), (large(1),)), 1.0)
    with pytest.raises(StudyFull):
        desk.send(item)
    desk.results.close()
    desk.number = 0
    desk.open()
    desk.results.begin_session(4712, "somewhere")
    desk.begin()
    check_books(desk.folder, settled=False)


# ---- a kill in the middle of a write --------------------------------------------------------


def work(path: Path, seed: int) -> None:
    """A driver that never stops: whatever runs ends at once, with a metric of its own code."""
    desk = Desk(path)
    desk.db.execute("PRAGMA synchronous = FULL")
    luck = random.Random(seed)
    actions: tuple[ev.Action, ...] = desk.begin()
    while True:
        todo, actions = actions or desk.send(ev.Ticked(NOW)), ()
        for action in todo:
            match action:
                case ev.StartTrial(trial):
                    if luck.random() < 0.1:
                        actions += desk.send(ev.Lost(NOW, trial, "node gone"))
                        continue
                    script = desk.results.trial(trial).files["train.py"]
                    actions += desk.send(done(trial, float(script.partition("(")[2][:-1])))
                case ev.RequestProposals(request, count):
                    scripts = [f"honest({luck.uniform(1, 2)})" for _ in range(count)]
                    actions += desk.send(answer(request, *scripts))


def test_a_kill_at_any_moment_of_a_write_leaves_whole_books(tmp_path: Path) -> None:
    path, luck = tmp_path / "study", random.Random(3)
    context = multiprocessing.get_context("fork")  # an import of Ray for each would take seconds
    before = 0
    for kill in range(12):
        process = context.Process(target=work, args=(path, kill), daemon=True)
        process.start()
        limit = time.monotonic() + 60
        while count(path) <= before:
            assert process.is_alive()
            assert time.monotonic() < limit
            time.sleep(0.002)
        time.sleep(luck.uniform(0, 0.15))
        process.kill()
        process.join()
        results = Desk(path).results  # mends the files of what was cut off
        check_books(
            StudyFolder(path), lambda code: float(code.partition("(")[2][:-1]), settled=False
        )
        results.close()
        before = count(path)
    assert before > 12


def count(path: Path) -> int:
    with suppress(UsageError), Reader(path / "study.db") as reader:
        return reader.count()
    return 0  # it is being made


def test_a_run_that_is_told_its_budget_is_held_to_what_the_baseline_took(tmp_path: Path) -> None:
    desk = Desk(
        tmp_path / "study",
        *("task.source=/repo", "task.command=python train.py {seconds}", "budget.seconds=20"),
        *("task.metric.name=loss", r"task.metric.pattern=loss ([-+.\w]+)"),
    )
    desk.begin(1)
    command = desk.results.trial(1).command
    assert command is not None
    assert command.most_seconds is None
    outcome = Outcome(1, OutcomeStatus.DONE, metric=2.0, timings=Timings(startup=90.0, train=23.0))
    desk.send(Ended(NOW, outcome))
    actions = desk.send(answer(1, "honest(1.5)"))
    later = [each for each in actions if isinstance(each, ev.StartTrial)]
    assert later
    command = desk.results.trial(later[0].trial).command
    desk.results.close()
    assert command is not None
    assert command.most_seconds == 23.0 + 5.0
