"""A study as data frames, and the notebook that shows what to do with them."""

import sys
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from scheduler.errors import UsageError
from scheduler.study import load
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.task_section import MetricSection, TaskSection
from tests.fixtures.candidates import ROOT
from tests.synthetic import make_study

NOTEBOOK = ROOT / "docs" / "analysis.ipynb"
OWN = TaskSection(
    source="/repo",
    command="python train.py",
    metric=MetricSection(name="acc", pattern="acc (.*)", goal="maximize"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("frames") / "night1", experiments=30, seed=3)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a repository of one's own."""
    made = make_study(tmp_path_factory.mktemp("frames") / "own", experiments=30, seed=3)
    StudyFolder(made).save_config(Config(task=OWN))
    return made


def test_a_frame_holds_each_experiment_with_its_figures(folder: Path) -> None:
    frames = load(folder)
    with Reader(folder / "study.db") as reader:
        experiments = list(reader.experiments())
    frame = frames.experiments
    assert list(frame.index) == [each.id for each in experiments]
    for each in experiments:
        row = frame.loc[each.id]
        assert (row["metric"] == each.metric) if each.metric is not None else pd.isna(row["metric"])
        assert row["state"] == each.state.value
        assert (row["parent"] == each.parent) if each.parent is not None else pd.isna(row["parent"])
        assert row["created_at"].timestamp() == pytest.approx(each.created_at)
        assert row["constants.DEPTH"] == each.constants["DEPTH"]
    assert (frames.metric, frames.minimize) == ("val_bpb", True)


def test_a_frame_holds_each_trial_with_its_outcome(folder: Path) -> None:
    frame = load(folder).trials
    with Reader(folder / "study.db") as reader:
        trials = reader.trials()
    assert list(frame.index) == [each.id for each in trials]
    for each in trials:
        row = frame.loc[each.id]
        if each.outcome is None:
            assert pd.isna(row["status"])
            continue
        assert row["status"] == each.outcome.status.value
        assert row["train_seconds"] == each.outcome.timings.train
        assert row["peak_device_memory_bytes"] == each.outcome.peak_device_memory_bytes
    assert frame["metric"].isna().any()
    assert not (frame["metric"] == 0).any()


def test_the_champions_are_in_their_order(folder: Path) -> None:
    champions = load(folder).champions
    assert list(champions.index) == list(range(1, len(champions) + 1))
    assert champions["metric"].is_monotonic_decreasing


def test_columns_have_types_that_keep_what_is_missing_apart(folder: Path) -> None:
    frames = load(folder)
    assert str(frames.experiments["parent"].dtype) == "Int64"
    assert str(frames.experiments["constants.DEPTH"].dtype) == "Int64"
    assert str(frames.experiments["metric"].dtype) == "float64"
    assert isinstance(frames.trials["finished_at"].dtype, pd.DatetimeTZDtype)
    assert str(frames.trials["state"].dtype) == "category"


def test_a_study_that_has_just_begun_gives_the_same_columns(tmp_path: Path, folder: Path) -> None:
    begun = load(make_study(tmp_path / "s", experiments=0))
    assert list(begun.trials.columns) == list(load(folder).trials.columns)
    assert list(begun.trials.dtypes.index) == list(load(folder).trials.dtypes.index)


def test_it_says_where_metrics_are_self_reported(folder: Path, own: Path, tmp_path: Path) -> None:
    assert not load(folder).is_self_reported
    assert load(own).is_self_reported
    begun = make_study(tmp_path / "begun", experiments=0)
    StudyFolder(begun).save_config(Config(task=OWN))
    assert load(begun).is_self_reported, "no trial has ended"


def test_each_frame_says_it_too_and_shows_it(folder: Path, own: Path) -> None:
    frames = load(own)
    for frame in (frames.experiments, frames.trials, frames.champions):
        assert frame.attrs == {"metric": "acc (self-reported)", "self_reported": True}
        assert frame.tail(1)[["metric"]].attrs["self_reported"]
        assert "acc (self-reported)" in frame.head(2).to_string()
        assert "acc (self-reported)" in frame[["metric"]]._repr_html_()
    measured = load(folder).experiments
    assert measured.attrs == {"metric": "val_bpb", "self_reported": False}
    assert measured.columns.name is None


def test_without_pandas_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'autoresearch-ray\[pandas\]'"):
        load(folder)


def run_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the notebook's cells put out, for this study."""
    monkeypatch.setenv("STUDY", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    read: Any = nbformat.read  # it has no types
    notebook = read(NOTEBOOK, as_version=4)
    assert all(not c.get("outputs") for c in notebook.cells), "git holds it without outputs"
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(ROOT)}}).execute()
    return [out for c in notebook.cells if c.cell_type == "code" for out in c.outputs]


def said(output: Any) -> str:
    return str(output.get("text", output.get("data", {})))


def test_the_notebook_runs_and_shows_the_champions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = run_on(folder, monkeypatch)
    shown = "".join(map(said, outputs))
    assert "## night1: val_bpb, lower is better" in shown
    assert "elf-reported" not in shown
    champions = load(folder).champions
    assert f"night1: {len(load(folder).experiments)} experiments" in shown
    assert f"{champions['metric'].iloc[-1]:.6f}" in shown
    assert any("image/png" in out.get("data", {}) for out in outputs)


def test_the_notebook_says_in_every_heading_and_table_that_a_metric_is_self_reported(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = run_on(own, monkeypatch)
    assert "## own: acc (self-reported), higher is better" in said(outputs[0])
    assert "nobody has checked it" in "".join(map(said, outputs))
    tables = [said(out) for out in outputs if "text/html" in out.get("data", {})]
    with_metrics = [each for each in tables if "_seconds" not in each]
    assert len(with_metrics) == len(tables) - 1 == 4
    assert all("acc (self-reported)" in each for each in with_metrics)
