"""A study whose metric is self-reported, over HTTP and from the shell: every view says so."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scheduler.study.folder import StudyFolder
from scheduler.study.task_section import MetricSection, TaskSection
from tests.fixtures.served import served
from tests.fixtures.verbs import Output, call
from tests.synthetic import make_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = StudyFolder(make_study(tmp_path_factory.mktemp("study") / "own", experiments=12))
    metric = MetricSection(name="loss", pattern="loss (.*)")
    task = TaskSection(source="/repo", command="python train.py", metric=metric)
    folder.save_config(folder.load_config().model_copy(update={"task": task}))
    return folder


@pytest.fixture(scope="module")
def client(folder: StudyFolder) -> Iterator[httpx.Client]:
    with served(folder.path) as client:
        yield client


def test_every_answer_and_every_page_says_so(client: httpx.Client) -> None:
    study = client.get("/study").json()
    assert study["self_reported"] is True
    assert study["metric"] == "loss (self-reported)"
    assert study["editable"]["patterns"] == ["train.py"]
    for path in ("/leaderboard", "/champion", "/experiments", "/experiments/1", "/metrics"):
        assert client.get(path).headers["metric-source"] == "self-reported", path
    assert "loss (self-reported)" in client.get("/report").text


@pytest.mark.parametrize("verb", [["status"], ["best"], ["show", "1"], ["export"]])
def test_every_table_and_every_export_says_so(
    folder: StudyFolder, tmp_path: Path, verb: list[str], capsys: Output
) -> None:
    more = ["--format", "tsv", "-o", str(tmp_path)] if verb == ["export"] else []
    assert call(*verb, *more, "-s", folder.path) == 0
    said = capsys.readouterr().out
    if verb == ["export"]:
        said = next(tmp_path.rglob("*.tsv")).read_text()
    assert "loss (self-reported)" in said
