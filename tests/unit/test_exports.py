"""Exports: what stands in them, and that they are whole."""

import csv
from pathlib import Path

import pytest

from agent import Proposal
from scheduler.rules import events as ev
from scheduler.rules.state import Policy
from scheduler.study.exports import commit, write_csv, write_tsv
from scheduler.study.facts import Contents
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from tests.synthetic import Course, make_study


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("exports") / "s", experiments=40, seed=3) / "study.db"


def rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        if delimiter == "\t":
            return list(csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE))
        return list(csv.DictReader(file))


def test_the_tsv_has_the_columns_of_autoresearch(database: Path, tmp_path: Path) -> None:
    with Reader(database) as reader:
        write_tsv(reader, tmp_path / "results.tsv", metric="val_bpb")
    table = rows(tmp_path / "results.tsv", "\t")
    assert list(table[0]) == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert table[0]["status"] == "keep"
    assert table[0]["description"] == "baseline"
    assert table[0]["memory_gb"] == "45.1"
    assert len(table[0]["commit"]) == 7
    assert len(table) == 41


def test_a_failures_metric_is_empty_and_only_a_failures(database: Path, tmp_path: Path) -> None:
    with Reader(database) as reader:
        write_tsv(reader, tmp_path / "results.tsv")
    for row in rows(tmp_path / "results.tsv", "\t"):
        assert (row["val_bpb"] == "") == (row["status"] not in ("keep", "discard"))


def test_the_csv_holds_every_experiment_in_full_precision(database: Path, tmp_path: Path) -> None:
    with Reader(database) as reader:
        write_csv(reader, tmp_path / "results.csv")
        experiments = list(reader.experiments())
        first = reader.trials(0)[0].outcome
    table = rows(tmp_path / "results.csv", ",")
    metrics = [float(row["metric"]) if row["metric"] else None for row in table]
    assert metrics == [e.metric for e in experiments]
    assert first is not None
    assert float(table[0]["train_seconds"]) == first.timings.train
    assert int(table[0]["steps"]) == first.steps
    assert table[0]["device"] == first.device
    assert (table[0]["warm"], table[-1]["warm"]) == ("0", "1")


def test_text_stays_in_its_field(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.db")
    course = Course(Policy(), store)
    title = 'tab\there\nnew line \x1b[31mred\x1b[0m, comma "quote"'
    proposal = Proposal(title, "", 0, {"train.py": "x = 1\n"}, "a-model")
    course.send(ev.Opened(1.0), Contents(baseline=proposal))
    course.send(ev.SlotsCounted(2.0, 1))
    course.send(ev.Lost(3.0, 1, "gone"))
    course.send(ev.Lost(4.0, 2, "gone"))
    with Reader(tmp_path / "study.db") as reader:
        write_tsv(reader, tmp_path / "results.tsv")
        write_csv(reader, tmp_path / "results.csv")
    store.close()
    flat = 'tab here new line red, comma "quote"'
    assert [row["description"] for row in rows(tmp_path / "results.tsv", "\t")] == [flat]
    assert [row["title"] for row in rows(tmp_path / "results.csv", ",")] == [flat]


def test_a_commit_names_the_code_and_nothing_else() -> None:
    files = {"a.py": "1", "b.py": "2"}
    assert commit(files) == commit(dict(reversed(files.items())))
    assert commit(files) != commit({"a.py": "12", "b.py": ""})
    assert commit(files) != commit({"c.py": "1", "b.py": "2"})


def test_an_export_that_fails_leaves_the_old_file(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    path.write_text("the last export")
    reader = Reader(database)
    experiments = reader.experiments

    def broken() -> object:
        yield next(iter(experiments()))
        raise OSError("disk full")

    reader.experiments = broken  # type: ignore[method-assign, assignment]
    with reader, pytest.raises(OSError, match="disk full"):
        write_tsv(reader, path)
    assert path.read_text() == "the last export"
    assert list(tmp_path.iterdir()) == [path]
