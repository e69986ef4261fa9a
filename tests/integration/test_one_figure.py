"""One experiment has one figure, wherever it is read: terminal, HTTP, tools, files, frames."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.api.dashboard.overview import figures
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.mcp.access import Access
from scheduler.mcp.questions import champion_answer, experiment_answer, leaders_answer
from scheduler.study import load
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.records import ChampionRecord, Experiment
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.reports import files_of
from tests.fixtures.served import served
from tests.fixtures.verbs import Output, call, document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_confirmed(tmp_path_factory.mktemp("figures") / "s", experiments=40, seed=1)


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with served(folder, reading=True) as client:
        yield client


@pytest.fixture(scope="module")
def crowned(folder: Path) -> ChampionRecord:
    with Reader(folder / "study.db") as reader:
        champion = reader.champion()
    assert champion is not None
    return champion


@pytest.fixture(scope="module")
def champion(folder: Path, crowned: ChampionRecord) -> Experiment:
    """One that was measured again after it had become champion, so that its figure has moved."""
    with Reader(folder / "study.db") as reader:
        found = reader.experiment(crowned.experiment)
        trials = reader.trials(crowned.experiment)
    assert found is not None
    metrics = [t.outcome.metric for t in trials if t.outcome is not None and t.number > 1]
    counted = [each for each in metrics if each is not None]
    assert found.metric == pytest.approx(sum(counted) / len(counted)) != crowned.crowned_metric
    assert found.repeats is not None
    assert (found.trials, found.repeats.without_first) == (len(counted), True)
    assert (found.repeats.low, found.repeats.high) == (min(counted), max(counted))
    assert found.trials > 1
    return found


def test_every_verb_says_it_and_of_how_many_trials_it_is(
    folder: Path, champion: Experiment, capsys: Output
) -> None:
    assert champion.repeats is not None
    for words in (("status", folder), ("show", champion.id, "-s", folder), ("best", "-s", folder)):
        assert call(*words) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"{champion.metric:.6f}" in text, words
        said = champion.repeats.words if words[0] != "status" else f"({champion.trials} trials)"
        assert said in text, words
    assert call("status", folder, "--json") == 0
    status = document(capsys)
    assert call("best", "-s", folder, "--json") == 0
    best = document(capsys)
    assert call("show", champion.id, "-s", folder, "--json") == 0
    shown = document(capsys)["experiment"]
    (leader,) = [each for each in status["leaderboard"] if each["id"] == champion.id]
    told = [status["study"]["champion"], status["champion"], leader, best, shown]
    assert [each["metric"] for each in told] == [champion.metric] * len(told)
    assert [each["repeats"]["trials"] for each in told[1:]] == [champion.trials] * 4


def test_every_answer_over_http_says_it(client: httpx.Client, champion: Experiment) -> None:
    def ask(path: str) -> Any:
        return client.get(path).json()

    best = ask("/champion")
    (leader,) = [each for each in ask("/leaderboard") if each["id"] == champion.id]
    experiments = [best["experiment"], leader, ask(f"/experiments/{champion.id}")["experiment"]]
    told = [*experiments, best["champion"], ask("/study")["study"]["champion"]]
    assert [each["metric"] for each in told] == [champion.metric] * len(told)
    assert [each["repeats"]["trials"] for each in experiments] == [champion.trials] * 3
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["autoresearch_best_metric"] == champion.metric


def test_every_tool_of_an_agent_says_it(folder: Path, champion: Experiment) -> None:
    access = Access(str(folder))
    best = access.ask(champion_answer)
    one = access.ask(lambda source: experiment_answer(source, champion.id, False, 0))
    leaders = access.ask(lambda source: leaders_answer(source, 20)).leaders
    (leader,) = [each for each in leaders if each.id == champion.id]
    told = [best.metric, best.experiment.metric, one.metric, leader.metric]
    assert told == [champion.metric] * 4
    assert champion.repeats is not None
    assert {best.experiment.rests_on, one.rests_on, leader.rests_on} == {champion.repeats.words}


def test_every_file_says_it(folder: Path, champion: Experiment, tmp_path: Path) -> None:
    assert call("export", "-s", folder, "--format", "tsv,csv", "-o", tmp_path) == 0
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        row = list(csv.DictReader(file))[champion.id]
    assert float(row["metric"]) == champion.metric
    assert int(row["metric_trials"]) == champion.trials
    with (tmp_path / "results.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[1 + champion.id][1] == f"{champion.metric:.6f}"
    with Reader(folder / "study.db") as reader:
        assert all(each.state.is_final for each in reader.experiments()), "a row for each"
    report = files_of(StudyFolder(folder))["report.md"].decode()
    assert f"{champion.metric:.6f} ±" in report
    assert f"(#{champion.id}, {champion.trials} trials)" in report


def test_the_frames_of_a_notebook_say_it(
    folder: Path, champion: Experiment, crowned: ChampionRecord
) -> None:
    frames = load(folder)
    row, last = frames.experiments.loc[champion.id], frames.champions.loc[crowned.number]
    assert (row["metric"], row["metric_trials"]) == (champion.metric, champion.trials)
    assert champion.repeats is not None
    assert (row["metric_low"], row["metric_high"]) == (
        champion.repeats.low,
        champion.repeats.high,
    )
    assert last["metric"] == champion.metric
    assert last["crowned_metric"] == crowned.crowned_metric


def test_the_dashboard_says_it(folder: Path, champion: Experiment) -> None:
    with Reader(folder / "study.db") as reader:
        now = Snapshot(reader.study(), 0.0, runs=False, champion=champion)
    assert champion.repeats is not None
    words = f"{champion.metric:.6f} (#{champion.id}, {champion.repeats.words})"
    assert figures(now)["champion"] == words
