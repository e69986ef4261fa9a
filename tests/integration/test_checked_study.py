"""A study whose gain lives on the validation split only: what is asked of its trials, and told."""

import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from scheduler.rules.states import StudyState, TrialKind
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy
from tests.fixtures.books import check_books
from tests.fixtures.browsing import PATIENCE_MS, browser_running, needs_chromium, visiting
from tests.fixtures.served import TOKENS, served
from tests.fixtures.verbs import Output, call, document
from workers import Trial

WARNING = "gain of #1 over #0 is -0.1 on validation, +0.1 on audit"
KEYS = ("keep.baseline_repeats=3", "keep.long_budget=3", "stop.max_experiments=1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies") / "s"


@pytest.fixture(scope="module")
def asked(home: Path) -> dict[int, Trial]:
    """What the workers were sent, by trial, while the study ran."""
    trials: dict[int, Trial] = {}
    with ActedStudy(home, *KEYS) as study:

        def end(trial: int, metric: float, audit: float | None) -> None:
            trials[trial] = study.do(lambda results: results.trial(trial))
            study.end_trial(trial, metric, audit=audit)

        for trial, metric in enumerate((2.0, 2.01, 1.99), 1):
            end(trial, metric, metric + 0.2 + 0.001 * trial)
        study.propose(1.9)
        end(4, 1.9, 2.302)
        end(5, 1.7, None)
        end(6, 1.8, None)
        live = study.do(lambda results: results.live())
        assert live.study.state is StudyState.STOPPED
    check_books(study.folder)
    return trials


@pytest.fixture(scope="module")
def folder(home: Path, asked: dict[int, Trial]) -> Path:
    assert asked, "the study has run"
    return home


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with served(folder, reading=True) as client:
        yield client


def test_workers_are_asked_for_the_audit_and_for_the_longer_budget(
    asked: dict[int, Trial],
) -> None:
    assert [asked[n].audit for n in (1, 2, 3)] == [(-math.inf, math.inf)] * 3
    between = asked[4].audit or (0.0, 0.0)
    assert between[0] == -math.inf
    assert between[1] == pytest.approx(2.0), "the champion's metric"
    assert [asked[n].budget.seconds for n in (4, 5, 6)] == [20.0, 60.0, 60.0]
    assert [(asked[n].experiment, asked[n].seed) for n in (5, 6)] == [(1, 0), (0, 0)]
    assert asked[5].audit is None


def test_long_trials_are_kept_apart_from_what_ranks(folder: Path) -> None:
    with Reader(folder / "study.db") as reader:
        kinds = [(t.experiment, t.kind) for t in reader.trials() if t.kind is TrialKind.LONG]
        one = reader.experiment(1)
        assert one is not None
        assert one.metric == 1.9
        assert [each.metric for each in reader.leaders(9)] == [1.9, pytest.approx(2.0)]
        assert reader.spread() == {0: (1.99, 2.01)}
    assert kinds == [(1, TrialKind.LONG), (0, TrialKind.LONG)]


def test_status_show_and_best_say_what_is_in_doubt(folder: Path, capsys: Output) -> None:
    for words in (("status", folder), ("show", 1, "-s", folder), ("best", "-s", folder)):
        assert call(*words) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert WARNING in text.replace("in doubt ", ""), words
    assert call("show", 0, "-s", folder) == 0
    text = capsys.readouterr().out
    assert "in doubt" not in text
    assert "on the audit split" in text
    assert "with the longer budget" in text


def test_the_same_as_json(folder: Path, capsys: Output) -> None:
    assert call("status", folder, "--json") == 0
    order = document(capsys)["order"]
    (warning,) = order["warnings"]
    assert warning.startswith(WARNING)
    assert [each["experiment"] for each in order["long"]["leaders"]] == [0, 1]
    assert call("show", 1, "-s", folder, "--json") == 0
    shown = document(capsys)
    assert shown["warnings"] == [warning]
    assert [each["kind"] for each in shown["trials"]] == ["usual", "long"]
    assert shown["trials"][0]["outcome"]["audit_metric"] == 2.302
    assert call("best", "-s", folder, "--json") == 0
    assert document(capsys)["warnings"] == [warning]


def test_the_same_over_http(
    folder: Path, client: httpx.Client, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("status", folder, "--json") == 0
    order = document(capsys)["order"]
    assert client.get("/champion/order").json() == order
    monkeypatch.setenv("AUTORESEARCH_TOKEN", TOKENS.full)
    assert call("status", "--url", str(client.base_url), "--json") == 0
    assert document(capsys)["order"] == order


@needs_chromium
def test_the_same_on_its_page(client: httpx.Client) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with browser_running() as browser, visiting(browser, str(client.base_url)) as page:
        page.goto("/experiment/1")
        result = page.get_by_role("region", name="Hypothesis and result")
        expect(result).to_contain_text("Does its gain hold?")
        expect(result).to_contain_text(WARNING)
        trials = page.get_by_role("region", name="Trials")
        expect(trials).to_contain_text("longer budget, decides nothing")
        expect(trials).to_contain_text("2.302000")
        page.goto("/experiment/0")
        expect(page.get_by_role("region", name="Trials")).to_contain_text("on the audit split")
        expect(page.get_by_text("Does its gain hold?")).to_have_count(0)


def test_resuming_with_another_long_budget_is_refused_and_without_it_is_not(
    folder: Path, capsys: Output
) -> None:
    assert call("run", folder, "--set", "keep.long_budget=5", "--no-serve") == 2
    assert "keep.long_budget" in capsys.readouterr().err
