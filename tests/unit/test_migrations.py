"""Studies that older versions made can be read and resumed."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from scheduler.rules.estimate import estimate
from scheduler.rules.policy import Policy
from scheduler.rules.timeline import Kind
from scheduler.study.database import SCHEMA_VERSION
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from scheduler.study.timeline import read_timeline

STUDIES = Path(__file__).parents[1] / "fixtures" / "studies"
OLD = sorted(STUDIES.glob("schema*.sql"))


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    database = sqlite3.connect(path)
    database.executescript(request.param.read_text("utf-8"))
    database.close()
    return path


def columns(path: Path) -> dict[str, set[str]]:
    database = sqlite3.connect(path)
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        name: {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
        for (name,) in tables
    }


def indices(path: Path) -> dict[str, str]:
    """Indices and triggers, as they were declared."""
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    )
    return {name: " ".join(sql.split()) for name, sql in rows}


def test_every_version_before_this_one_has_a_study_here() -> None:
    assert [path.stem for path in OLD] == [f"schema{n}" for n in range(1, SCHEMA_VERSION)]


def test_a_migrated_study_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    Store(old).close()
    Store(tmp_path / "new.db").close()
    assert columns(old) == columns(tmp_path / "new.db")
    assert indices(old) == indices(tmp_path / "new.db")


def test_a_migrated_study_resumes_where_it_stood(old: Path) -> None:
    store = Store(old)
    state = store.load(Policy())
    with Reader(old) as reader:
        experiments = list(reader.experiments())
    decided = sum(each.state.is_final for each in experiments)
    assert state.next_experiment == len(experiments) > 1
    assert state.tally.decided == decided > 1
    assert state.champion is not None
    store.close()


def test_a_migrated_study_has_the_sums_over_its_rows(old: Path) -> None:
    with Reader(old) as reader:
        study, experiments = reader.study(), list(reader.experiments())
        outcomes = [trial.outcome for trial in reader.trials() if trial.outcome is not None]
    assert study.counts == Counter(each.state for each in experiments)
    assert study.train_seconds == pytest.approx(sum(o.timings.train for o in outcomes)) != 0
    assert study.trial_seconds == pytest.approx(sum(o.timings.total for o in outcomes)) != 0


def test_the_letters_of_an_old_study_have_their_replies(old: Path) -> None:
    Store(old).close()
    database = sqlite3.connect(old)
    told = database.execute("SELECT key, id FROM instruction").fetchall()
    database.close()
    with Reader(old) as reader:
        replies = {key: reader.reply(key) for key, _ in told}
    assert {key: reply and reply.number for key, reply in replies.items()} == dict(told)


def test_the_classes_of_an_old_study_have_the_precision_that_they_had(old: Path) -> None:
    store = Store(old)
    state = store.load(Policy())
    store.close()
    with Reader(old) as reader:
        assert reader.study().hardware == ("NVIDIA H100 80GB HBM3, bfloat16",)
        leaders = reader.leaders(100)
        measured = [each for each in reader.experiments() if each.metric is not None]
    assert len(leaders) == len(measured) > 1
    assert set(state.noise) <= {"NVIDIA H100 80GB HBM3, bfloat16"}
    assert state.champion is not None
    assert {r.hardware for r in state.champion.results} == {"NVIDIA H100 80GB HBM3, bfloat16"}


def test_an_old_study_leaves_out_the_trials_that_its_experiments_were_chosen_by(old: Path) -> None:
    with Reader(old) as reader:
        measured = [each for each in reader.experiments() if each.metric is not None]
        trials = {each.id: reader.trials(each.id) for each in measured}
    for each in measured:
        metrics = {t.number: t.outcome.metric for t in trials[each.id] if t.outcome}
        found = {number: metric for number, metric in metrics.items() if metric is not None}
        expected = estimate(found, baseline=each.parent is None)
        assert each.metric == pytest.approx(expected.mean)
        assert each.trials == expected.trials


def test_the_slots_of_an_old_study_are_guessed_from_its_trials_and_said_to_be(old: Path) -> None:
    with Reader(old) as reader:
        told = read_timeline(reader, now=None, budget=300.0)
        outcomes = [t.outcome for t in reader.trials() if t.outcome is not None]
        kept = reader.study().slot_time.at(None)
    assert told.guessed
    assert {line.slot for line in told.lines} == {each.slot for each in told.trials} != set()
    assert sum(told.totals.values()) == pytest.approx(told.seconds) == sum(kept.values())
    assert kept[Kind.WARM_UP] == pytest.approx(sum(o.timings.warm_up for o in outcomes))


def test_an_old_study_is_read_without_a_change_to_its_file(old: Path) -> None:
    before = old.read_bytes()
    with Reader(old) as reader:
        assert reader.study().champion is not None
        assert reader.notebook() is None
    assert old.read_bytes() == before
