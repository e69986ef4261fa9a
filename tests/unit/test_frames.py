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
from scheduler.study.reader import Reader
from tests.fixtures.candidates import ROOT
from tests.synthetic import make_study

NOTEBOOK = ROOT / "docs" / "analysis.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("frames") / "night1", experiments=30, seed=3)


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


def test_it_says_where_metrics_are_self_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not load(folder).is_self_reported
    frames = load(folder)
    frames.trials["judge"] = "self-reported, regular expression"
    assert frames.is_self_reported


def test_without_pandas_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'autoresearch-ray\[pandas\]'"):
        load(folder)


def test_the_notebook_runs_and_shows_the_champions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    read: Any = nbformat.read  # it has no types
    notebook = read(NOTEBOOK, as_version=4)
    assert all(not c.get("outputs") for c in notebook.cells), "git holds it without outputs"
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [out for c in notebook.cells if c.cell_type == "code" for out in c.outputs]
    shown = "".join(str(out.get("text", out.get("data", {}))) for out in outputs)
    champions = load(folder).champions
    assert f"night1: {len(load(folder).experiments)} experiments" in shown
    assert f"{champions['metric'].iloc[-1]:.6f}" in shown
    assert any("image/png" in out.get("data", {}) for out in outputs)
