"""A metric that the edited code says of itself is called so wherever its figures are shown."""

import pytest

from agent.notebook import condense
from scheduler.cli.local import open_folder
from scheduler.mcp import questions, waiting
from scheduler.study import load
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.task_section import MetricSection, TaskSection
from scheduler.study.trackers.collecting import facts_of
from tests.synthetic import make_study

METRIC = MetricSection(name="loss", pattern="loss (.*)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = StudyFolder(make_study(tmp_path_factory.mktemp("own") / "own", 12, seed=3))
    task = TaskSection(source="/repo", command="python train.py", metric=METRIC)
    study.save_config(Config(task=task))
    return study


def test_agents_are_told_with_each_answer(folder: StudyFolder) -> None:
    with open_folder(folder) as source:
        assert questions.leaders_answer(source, 3).self_reported
        assert questions.experiment_answer(source, 1, False, 0).self_reported
        assert waiting._look(1, source)[0].self_reported


def test_tables_and_trackers_name_it(folder: StudyFolder) -> None:
    pytest.importorskip("pandas")
    assert load(folder.path).metric == "loss (self-reported)"
    with Reader(folder.database) as reader:
        assert facts_of(folder, folder.load_config(), reader).metric == "self_reported/loss"
        assert facts_of(folder, Config(), reader).metric == "val_bpb"


def test_the_notebook_says_it_in_its_heading_and_keeps_it() -> None:
    lessons = [
        f"#{n} discarded: LR 0.1 -> 0.{n}; expected lower; got 0.01 higher than #1 "
        "(1.5 -> 1.51: worse, 2.0 sigma)"
        for n in range(2, 10)
    ]
    notebook = condense("", lessons[:4], label="loss (self-reported)")
    assert notebook.startswith("# Notebook: loss (self-reported)\n\n")
    assert condense(notebook, []) == notebook
    later = condense(notebook, lessons[4:], label="loss (self-reported)")
    assert later.startswith("# Notebook: loss (self-reported)\n\nExperiments up to #")
    # One that was begun before is taken over, not put aside as somebody's notes.
    old = condense("", lessons[:4])
    assert condense(old, lessons[4:], label="loss (self-reported)") == later
