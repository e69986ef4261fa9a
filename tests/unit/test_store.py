"""The database of a study: what was written is what is read, after every event."""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import Proposal
from scheduler.errors import NothingYet, StudyError, UsageError
from scheduler.rules import events as ev
from scheduler.rules.evidence import Criteria
from scheduler.rules.machine import step
from scheduler.rules.policy import Policy
from scheduler.rules.states import ExperimentState, StudyState, TrialKind, TrialState
from scheduler.study.database import SCHEMA_VERSION
from scheduler.study.facts import Contents
from scheduler.study.reader import Reader
from scheduler.study.store import Session, Store
from tests.synthetic import START, Course, World, baseline, make_study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    store._db.execute("PRAGMA synchronous = OFF")  # a power cut is not what is tested here
    yield store
    store.close()


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_after_every_event_the_database_holds_the_rules_state(
    store: Store, path: Path, seed: int, confirmed: bool
) -> None:
    luck = random.Random(seed)
    policy = Policy(
        max_experiments=40,
        baseline_repeats=1 + seed % 3,
        seed=seed,
        fill=seed > 1,
        mends=seed % 2,
        criteria=Criteria(most_seeds=3, champion_seeds=1, gate=0.0) if confirmed else None,
        long_leaders=seed,
    )
    course = Course(policy, store)
    world = World(course, luck, losses=0.15)
    world.open(slots=3)
    for number in range(250):
        if number % 60 == 59:
            world.send((ev.CancelAsked, ev.DrainAsked)[number // 60 % 2](world.now))
        elif luck.random() < 0.02:
            world.send(ev.SlotsCounted(world.now, luck.randint(0, 5)))
        elif not world.happen() or luck.random() < 0.02:
            world.open(slots=luck.randint(1, 5))  # the driver died, or the study had ended
        assert store.load(policy) == course.state
        assert store.last_event() == course.event
    with Reader(path) as reader:
        assert reader.study().counts == Counter(each.state for each in reader.experiments())
    if confirmed and seed == 0:
        assert any(isinstance(f, ev.ExperimentAdded) and f.wanted == 0 for f in course.facts)
    kinds = {f.kind for f in course.facts if isinstance(f, ev.TrialPlanned)}
    assert kinds == ({TrialKind.USUAL, TrialKind.LONG} if seed else {TrialKind.USUAL})
    assert {f.state for f in course.facts if isinstance(f, ev.TrialMoved)} == {
        TrialState.RUNNING,
        TrialState.DONE,
        TrialState.LOST,
        TrialState.CANCELLED,
    }


@pytest.mark.parametrize("seed", range(4))
def test_so_it_does_on_a_cluster_of_several_kinds(store: Store, seed: int) -> None:
    luck = random.Random(seed)
    criteria = Criteria(most_seeds=3) if seed % 2 else None
    policy = Policy(max_experiments=40, baseline_repeats=2, seed=seed, criteria=criteria)
    course = Course(policy, store)
    world = World(course, luck, losses=0.1)
    world.open(slots=0)
    seen = set()
    for number in range(400):
        if number % 9 == 0:
            kinds = tuple((kind, luck.randint(number > 9, 3)) for kind in ("A100", "H200"))
            kinds = tuple(each for each in kinds if each[1])
            slots = sum(count for _, count in kinds)
            world.send(ev.SlotsCounted(world.now, slots, kinds))
        elif number % 130 == 129:
            world.open(slots=0)
        elif not world.happen():
            world.send(ev.Ticked(world.now + 1000.0))
        loaded = store.load(policy)
        assert loaded == course.state
        seen |= {(t.wants, t.accelerator) for t in loaded.trials.values()}
    assert {("reference", "H200"), ("", "A100"), ("A100", "A100")} <= seen or {
        ("reference", "A100"),
        ("", "H200"),
        ("H200", "H200"),
    } <= seen


def test_the_outbox_holds_the_actions_of_the_newest_event(store: Store) -> None:
    course = Course(Policy(), store)
    course.begin_session(START)
    course.send(ev.Opened(START))
    assert store.outbox() == ()
    transition = course.send(ev.SlotsCounted(START + 1, 2))
    assert store.outbox() == transition.actions != ()


def test_a_commit_that_fails_in_the_middle_leaves_everything_as_it_was(
    store: Store, path: Path
) -> None:
    course = Course(Policy(), store)
    course.begin_session(START)
    course.send(ev.Opened(START))
    course.send(ev.SlotsCounted(START + 1, 2))
    before = dump(path)
    request = min(course.state.asked)
    event = ev.Answered(START + 2, request, (ev.Draft(0, 0), ev.Draft(0, 0)), 1.0)
    broken = Proposal("half", "", 0, {"train.py": None}, "tuner")  # type: ignore[dict-item]
    with pytest.raises(AttributeError):
        store.commit(
            course.event + 1,
            event,
            step(course.state, event),
            Contents(proposals=(baseline(), broken)),
        )
    assert dump(path) == before
    assert store.load(course.policy) == course.state
    course.send(event, Contents(proposals=(baseline(), baseline())))
    assert sorted(course.state.experiments) == [0, 1, 2]


def test_a_new_session_numbers_its_events_from_one(store: Store) -> None:
    course = Course(Policy(), store)
    course.begin_session(START)
    course.send(ev.Opened(START))
    course.begin_session(START + 9)
    assert store.last_event() == 0


def test_unchanged_files_come_from_the_parent(store: Store, path: Path) -> None:
    course = Course(Policy(), store)
    course.begin_session(START)
    first = Proposal("baseline", "", 0, {"a.py": "1", "b.py": "2"}, "baseline")
    course.send(ev.Opened(START), Contents(baseline=first))
    course.send(ev.SlotsCounted(START, 1))
    request = min(course.state.asked)
    edit = Proposal("edit", "", 0, {"b.py": "3"}, "tuner")
    event = ev.Answered(START, request, (ev.Draft(0, 0),), 1.0)
    course.send(event, Contents(proposals=(edit,)))
    with Reader(path) as reader:
        assert reader.files(1) == {"a.py": "1", "b.py": "3"}


def test_a_failure_has_no_metric_and_no_rank(tmp_path: Path) -> None:
    with Reader(make_study(tmp_path / "s", experiments=40, seed=3) / "study.db") as reader:
        failures = [e for e in reader.experiments() if e.state.is_failure]
        ranked = {e.id for e in reader.leaders(100)}
    assert failures
    assert {e.metric for e in failures} == {None}
    assert not ranked & {e.id for e in failures}


def test_a_synthetic_study_is_decided_whole(tmp_path: Path) -> None:
    with Reader(make_study(tmp_path / "s", experiments=30, seed=1) / "study.db") as reader:
        study = reader.study()
        champions = reader.champions()
    assert study.state is StudyState.STOPPED
    assert study.experiments >= 31
    assert all(state.is_final for state in study.counts)
    assert study.counts[ExperimentState.KEEP] == len(champions)


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = make_study(tmp_path / "s", experiments=1) / "study.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    for open_it in (Store, Reader):
        with pytest.raises(UsageError, match="newer autoresearch"):
            open_it(path)
    assert path.read_bytes() == before


def test_a_damaged_database_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StudyError, match=r"study\.db"):
        Reader(path)


def test_a_study_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", experiments=3)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        with Reader(folder / "study.db") as reader:
            assert reader.study().experiments == 4
    finally:
        folder.chmod(0o755)
    shutil.rmtree(folder)


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return list(db.iterdump())


def test_a_study_is_not_resumed_on_other_data_or_other_scoring(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.db")
    store.begin_session(1.0, Session(1, "here", task="t", data="d"))
    store.begin_session(2.0, Session(2, "there", task="t", data="d"))
    with pytest.raises(UsageError, match="text to train and measure on"):
        store.begin_session(3.0, Session(3, "here", task="t", data="other"))
    with pytest.raises(UsageError, match="fixed files"):
        store.begin_session(3.0, Session(3, "here", task="other", data="d"))
    store.close()


def test_fixed_files_that_changed_are_named_where_they_are_known(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.db")
    files = {"eval.py": "1", "old.py": "1", "same.py": "1"}
    store.begin_session(1.0, Session(1, "here", "t", "d", files=files, repository=True))
    later = {"eval.py": "2", "new.py": "1", "same.py": "1"}
    with pytest.raises(UsageError) as refused:
        store.begin_session(2.0, Session(1, "here", "u", "d", files=later, repository=True))
    assert "(new.py is new, old.py is gone, eval.py differs)" in str(refused.value)
    assert "repository's fixed files" in str(refused.value)
    assert "harness" not in str(refused.value)
    store.close()


def test_a_database_without_tables_says_that_nothing_is_recorded(path: Path) -> None:
    path.touch()
    with pytest.raises(NothingYet, match="nothing is recorded"):
        Reader(path)
    Store(path).close()
    with Reader(path) as reader:
        assert list(reader.experiments()) == []


def test_what_is_asked_for_each_second_reads_no_prompt_and_sorts_no_history(path: Path) -> None:
    make_study(path.parent / "s", experiments=30)
    with Reader(path.parent / "s" / "study.db") as reader:
        asked: list[str] = []
        reader.db.set_trace_callback(asked.append)
        reader.study()
        reader.alike("gpt", 200)
        reader.db.set_trace_callback(None)
        plans = {
            query: " ".join(
                row["detail"] for row in reader.db.execute(f"EXPLAIN QUERY PLAN {query}")
            )
            for query in asked
        }
    assert not any("FROM call" in query for query in plans), "its totals are kept beside it"
    (alike,) = (plan for query, plan in plans.items() if "WHERE skeleton" in query)
    assert "TEMP B-TREE" not in alike
