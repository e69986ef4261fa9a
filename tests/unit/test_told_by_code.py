"""A metric that the edited code says of itself is called so wherever its figures are shown."""

import sqlite3
from pathlib import Path

import pytest

from agent import Answer
from agent.notebook import condense, headed
from scheduler.cli.local import open_folder
from scheduler.exporting import export
from scheduler.mcp import questions, waiting
from scheduler.memory import Memory
from scheduler.study import load
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.task_section import MetricSection, TaskSection
from scheduler.study.trackers.collecting import facts_of
from tests.fixtures.verbs import Output, call, document
from tests.synthetic import make_study

METRIC = MetricSection(name="loss", pattern="loss (.*)")
LABEL = "loss (self-reported)"
LESSONS = [
    f"#{n} discarded: LR 0.1 -> 0.{n}; expected lower; got 0.01 higher than #1 "
    "(1.5 -> 1.51: worse, 2.0 sigma)"
    for n in range(2, 10)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return own_study(tmp_path_factory.mktemp("own") / "own")


def own_study(path: Path) -> StudyFolder:
    """Of a repository of one's own."""
    study = StudyFolder(make_study(path, 12, seed=3))
    task = TaskSection(source="/repo", command="python train.py", metric=METRIC)
    study.save_config(Config(task=task))
    return study


def test_agents_are_told_with_each_answer(folder: StudyFolder) -> None:
    with open_folder(folder) as source:
        assert questions.leaders_answer(source, 3).self_reported
        assert questions.experiment_answer(source, 1, False, 0).self_reported
        assert waiting._look(1, source)[0].self_reported


def test_results_of_instructions_say_it(tmp_path: Path, capsys: Output) -> None:
    folder = own_study(tmp_path / "own")
    with sqlite3.connect(folder.database) as db:
        db.execute(
            "INSERT INTO instruction VALUES (1, 'k', 'try a wider one', 0, 'served', 9, 1, 1)"
        )
        db.execute("UPDATE experiment SET instruction = 1 WHERE id = 1")
    with open_folder(folder) as source:
        answer = questions.instructions_answer(source, False)
    assert (answer.metric, answer.self_reported) == (LABEL, True)
    assert answer.instructions[0].results[0].experiment == 1
    assert call("instructions", "-s", folder.path) == 0
    assert LABEL in capsys.readouterr().out


def test_what_a_limit_rejected_says_it_though_it_has_no_metric(
    folder: StudyFolder, capsys: Output
) -> None:
    with Reader(folder.database) as reader:
        failed = next(e for e in reader.experiments() if e.state.is_failure)
    assert call("show", failed.id, "-s", folder.path) == 0
    assert LABEL in capsys.readouterr().out
    assert call("show", failed.id, "-s", folder.path, "--json") == 0
    assert document(capsys)["self_reported"] is True


def test_tables_and_trackers_name_it(folder: StudyFolder) -> None:
    pytest.importorskip("pandas")
    assert load(folder.path).metric == "loss (self-reported)"
    with Reader(folder.database) as reader:
        assert facts_of(folder, folder.load_config(), reader).metric == "self_reported/loss"
        assert facts_of(folder, Config(), reader).metric == "val_bpb"


def test_the_notebook_says_it_in_its_heading_and_keeps_it() -> None:
    notebook = condense("", LESSONS[:4], label=LABEL)
    assert notebook.startswith("# Notebook: loss (self-reported)\n\n")
    assert condense(notebook, []) == notebook
    later = condense(notebook, LESSONS[4:], label=LABEL)
    assert later.startswith("# Notebook: loss (self-reported)\n\nExperiments up to #")
    # One that was begun before is taken over, not put aside as somebody's notes.
    old = condense("", LESSONS[:4])
    assert condense(old, LESSONS[4:], label=LABEL) == later


@pytest.mark.parametrize(
    "begins", ["", "# What works\n\n", "# Notebook\n\n", f"# Notebook: {LABEL}\n\n"]
)
def test_a_notebook_that_a_model_wrote_says_it_too(begins: str) -> None:
    words = "Wider layers help.\n\n- 0.02 is too high"
    text = headed(f"{begins}{words}", LABEL)
    assert text.startswith(f"# Notebook: {LABEL}\n\n")
    assert text.count("# Notebook") == 1
    assert text.endswith(words)
    assert headed(text, LABEL) == text
    later = condense(text, LESSONS, label=LABEL)
    assert later.startswith(f"# Notebook: {LABEL}\n\nExperiments up to #")
    assert later.endswith(f"## Earlier notes\n\n{text.partition(LABEL)[2].strip()}")
    assert later.count("# Notebook") == 1


def test_the_study_s_notebook_says_it_whoever_wrote_it_and_before_anyone_has(
    folder: StudyFolder, capsys: Output
) -> None:
    assert call("notebook", "-s", folder.path) == 0
    assert capsys.readouterr().out.startswith(f"# Notebook: {LABEL}\n\n")
    with open_folder(folder) as source:
        assert questions.notebook(source).startswith(f"# Notebook: {LABEL}")
    export(folder.path, folder.load_config().task)
    assert folder.notebook.read_text("utf-8").startswith(f"# Notebook: {LABEL}")
    with Reader(folder.database) as reader:
        memory = Memory(reader, folder.load_config())
    answer = Answer(1, (), notebook="Wider layers help.", arm="a-model")
    brought = memory.accept_notebook(answer, 99)
    assert brought is not None
    assert brought.text == f"# Notebook: {LABEL}\n\nWider layers help."
