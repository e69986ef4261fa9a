"""Exports: what stands in them, and that they are whole."""

import csv
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from agent import Proposal
from scheduler.rules import events as ev
from scheduler.rules.policy import Policy
from scheduler.study import exports
from scheduler.study.exports import write_csv, write_parquet, write_tsv
from scheduler.study.facts import Contents
from scheduler.study.reader import Reader
from scheduler.study.store import Store
from scheduler.study.table import COLUMNS, commit
from tests.fixtures.verbs import call
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


def test_parquet_holds_what_the_csv_does_with_its_types(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "ROW_GROUP", 7)
    with Reader(database) as reader:
        write_csv(reader, tmp_path / "results.csv")
        write_parquet(reader, tmp_path / "results.parquet", metric="loss (self-reported)")
        experiments = list(reader.experiments())
    table = rows(tmp_path / "results.csv", ",")
    frame = pd.read_parquet(tmp_path / "results.parquet", dtype_backend="pyarrow")
    assert [*frame.columns] == [*table[0]] == [*COLUMNS]
    for name, kind in COLUMNS.items():
        ours = [None if pd.isna(value) else value for value in frame[name]]
        assert {type(value) for value in ours} <= {kind, type(None)}, name
        theirs = [row[name] for row in table]
        assert ["" if value is None else str(value) for value in ours] == theirs, name
    assert frame["metric"].isna().sum() == sum(e.metric is None for e in experiments) > 0
    assert frame["metric"].min() == min(e.metric for e in experiments if e.metric is not None)
    metadata = pq.read_schema(tmp_path / "results.parquet").metadata
    assert metadata[b"metric"] == b"loss (self-reported)"


def test_a_study_without_experiments_is_a_table_without_rows(tmp_path: Path) -> None:
    Store(tmp_path / "study.db").close()
    with Reader(tmp_path / "study.db") as reader:
        write_parquet(reader, tmp_path / "results.parquet")
    frame = pd.read_parquet(tmp_path / "results.parquet")
    assert (len(frame), [*frame.columns]) == (0, [*COLUMNS])


def test_the_verb_writes_parquet_beside_the_others(database: Path, tmp_path: Path) -> None:
    arguments = ("-s", database.parent, "--format", "csv,parquet", "-o", tmp_path)
    assert call("export", *arguments) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "results.parquet"}
    whole = pd.read_parquet(tmp_path / "results.parquet")
    assert len(whole) == len(rows(tmp_path / "results.csv", ","))


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
