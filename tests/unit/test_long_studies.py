"""What views and briefings ask for costs a long study no more than a short one.

Cost is counted in steps of SQLite's virtual machine: the same on every machine and every day.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from scheduler.briefings import PENDING, Circumstances, write_briefing
from scheduler.rules import events as ev
from scheduler.rules.policy import Policy
from scheduler.rules.states import ExperimentState
from scheduler.study.config import Config
from scheduler.study.reader import Reader
from scheduler.study.store import Session, Store
from scheduler.study.timeline import read_timeline
from tests.long_study import lengthen
from tests.synthetic import Course, World, make_study

EXPERIMENTS, TIMES = 600, 8
REQUEST = ev.RequestProposals(10**6, 2)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study that is longer than every limit of a query, and one eight times as long."""
    short = make_study(tmp_path_factory.mktemp("short") / "s", EXPERIMENTS, seed=2) / "study.db"
    long = tmp_path_factory.mktemp("long") / "study.db"
    shutil.copy(short, long)
    lengthen(short, 1)  # its calls
    lengthen(long, TIMES)
    for path in (short, long):  # resumed just now: the session has no outcome yet
        store = Store(path)
        store.begin_session(4e9, Session(1, "here", task="task", data="data"))
        store.close()
    return short, long


QUESTIONS: dict[str, Callable[[Reader], object]] = {
    "status": Reader.study,
    "order of the champions": Reader.figures,
    "leaderboard": lambda reader: reader.leaders(20),
    "leaderboard, more is better": lambda reader: reader.leaders(20, minimize=False),
    "recent": lambda reader: reader.recent(10),
    "queue": lambda reader: reader.queue(10),
    "running": Reader.running_trials,
    "a page": lambda reader: reader.page(after=100, limit=20),
    "a page of one state": lambda reader: reader.page(
        after=0, limit=3, state=ExperimentState.REJECTED
    ),
    "a page of a state that none is in": lambda reader: reader.page(
        after=0, limit=20, state=ExperimentState.RUNNING
    ),
    "the newest trials' slots": lambda reader: read_timeline(
        reader, now=5e9, budget=300.0, most=100
    ),
    "experiments like the champion": lambda reader: reader.alike("gpt", 100),
    "briefing": lambda reader: write_briefing(reader, Config(), REQUEST, Circumstances("# Go\n")),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_costs_a_long_study_no_more(studies: tuple[Path, Path], question: str) -> None:
    few, many = (_steps_of(path, QUESTIONS[question]) for path in studies)
    assert many < 1.6 * few + 500


def test_resuming_costs_a_long_study_no_more(studies: tuple[Path, Path]) -> None:
    costs = []
    for path in studies:
        store = Store(path)
        state = _steps(store._db, partial(store.load, Policy(long_leaders=4)))
        calls = _steps(store._db, partial(store.calls, Config().call_limits()))
        costs.append((state, calls))
        store.close()
    (state_few, calls_few), (state_many, calls_many) = costs
    assert state_many < 1.2 * state_few + 100
    assert calls_many < 1.2 * calls_few + 100


def test_the_totals_are_the_sums_over_all_rows(studies: tuple[Path, Path]) -> None:
    for path in studies:
        with Reader(path) as reader:
            study = reader.study()
            experiments = list(reader.experiments())
            outcomes = [t.outcome for t in reader.trials() if t.outcome is not None]
        assert study.counts == {
            state: count
            for state in ExperimentState
            if (count := sum(e.state is state for e in experiments))
        }
        assert study.train_seconds == pytest.approx(sum(o.timings.train for o in outcomes))
        assert study.trial_seconds == pytest.approx(sum(o.timings.total for o in outcomes))
        assert study.calls == sum(e.origin == "a-model" for e in experiments) > 0
        assert study.tokens == 12_900 * study.calls
        assert study.dollars == pytest.approx(0.01 * study.calls)


def _steps_of(path: Path, question: Callable[[Reader], object]) -> int:
    with Reader(path) as reader:
        return _steps(reader.db, lambda: question(reader))


def _steps(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 10)
    work()
    db.set_progress_handler(None, 0)
    return 10 * steps


def test_a_briefing_tells_of_the_newest_that_run_however_many_slots_there_are(
    tmp_path: Path,
) -> None:
    path = make_study(tmp_path / "s", 2, slots=1) / "study.db"
    store = Store(path)
    policy = Policy(max_experiments=PENDING + 50, proposals_per_call=PENDING + 50)
    world = World(Course(policy, store), random.Random(0))
    world.open(slots=PENDING + 50)
    while len(world.course.state.experiments) <= PENDING:
        world.happen()
    with Reader(path) as reader:
        told = write_briefing(reader, Config(), REQUEST, Circumstances("# Go\n")).pending
    store.close()
    newest = sorted(world.course.state.experiments)[-PENDING:]
    assert [each.id for each in told] == newest
