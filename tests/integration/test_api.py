"""Reading a study over HTTP: real uvicorn, real sockets, a real database."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scheduler.api.serving import FIRST_PORT, PORTS, Server, bind
from scheduler.errors import UsageError
from scheduler.rules.states import ExperimentState
from scheduler.study.artifacts import Artifacts
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.candidates import ROOT
from tests.fixtures.served import TOKENS, served, wait_until_it_answers
from tests.synthetic import make_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    folder = StudyFolder(make_study(tmp_path_factory.mktemp("study") / "night", experiments=30))
    with Reader(folder.database) as reader:
        artifacts = Artifacts(folder, reader)
        for experiment in reader.experiments():
            artifacts.write_experiment(experiment.id)
        artifacts.finish_log(3, 4, "one\ntwo\n<script>alert(1)</script>\n")
    return folder


@pytest.fixture(scope="module")
def client(folder: StudyFolder) -> Iterator[httpx.Client]:
    with served(folder.path) as client:
        yield client


def test_the_study_and_its_leaderboard(client: httpx.Client, folder: StudyFolder) -> None:
    study = client.get("/study").json()
    assert study["name"] == "night"
    assert study["metric"] == "val_bpb"
    with Reader(folder.database) as reader:
        leaders = reader.leaders(5)
        champion = reader.champions()[-1]
    assert study["study"]["champion"]["metric"] == champion.metric
    board = client.get("/leaderboard", params={"limit": 5}).json()
    assert [(e["id"], e["metric"]) for e in board] == [(e.id, e.metric) for e in leaders]
    best = client.get("/champion").json()
    assert best["experiment"]["id"] == champion.experiment
    assert best["files"]


def pages(client: httpx.Client, **params: object) -> list[dict[str, Any]]:
    """All pages of a list, by its cursors."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {**params, **({} if cursor is None else {"cursor": cursor})}
        page = client.get("/experiments", params=query).json()  # type: ignore[arg-type]
        found += page["experiments"]
        cursor = page["next"]
        if cursor is None:
            return found


def test_experiments_come_in_pages_and_by_state(client: httpx.Client, folder: StudyFolder) -> None:
    with Reader(folder.database) as reader:
        everything = list(reader.experiments())
    assert [e["id"] for e in pages(client, limit=7)] == [e.id for e in everything]
    failed = pages(client, state=["crash", "oom"])
    assert failed
    assert [e["id"] for e in failed] == [e.id for e in everything if e.state in ("crash", "oom")]
    assert all(e["metric"] is None for e in failed)
    kept = pages(client, kept=True)
    assert [e["id"] for e in kept] == [e.id for e in everything if e.state == "keep"]
    assert len(pages(client, kept=False)) == len(everything) - len(kept)
    assert pages(client, kept=True, state="crash") == []


@pytest.mark.parametrize("sort", ["metric", "decided_at", "id"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_experiments_are_sorted_both_ways_over_all_pages(
    client: httpx.Client, folder: StudyFolder, sort: str, order: str
) -> None:
    found = pages(client, sort=sort, order=order, limit=4)
    values = [(each[sort], each["id"]) for each in found]
    assert values == sorted(values, reverse=order == "desc")
    with Reader(folder.database) as reader:
        assert {e["id"] for e in found} == {
            e.id for e in reader.experiments() if getattr(e, sort) is not None
        }


def test_experiments_are_found_by_their_text_origin_and_time(
    client: httpx.Client, folder: StudyFolder
) -> None:
    with Reader(folder.database) as reader:
        everything = list(reader.experiments())
    middle = sorted(e.decided_at for e in everything if e.decided_at)[10]
    late = pages(client, since=middle)
    assert {e["id"] for e in late} == {
        e.id for e in everything if e.decided_at and e.decided_at >= middle
    }
    assert {e["origin"] for e in pages(client, origin="a-model")} == {"a-model"}
    assert {e["id"] for e in pages(client, text="width ")} == {
        e.id for e in everything if "width " in f"{e.title} {e.hypothesis}".lower()
    }
    assert pages(client, text="100%") == []  # no pattern: a percent sign is one


def test_the_time_of_the_slots_comes_in_parts_that_add_up_to_all_of_it(
    client: httpx.Client,
) -> None:
    whole = client.get("/timeline", params={"limit": 5000}).json()
    assert whole["complete"]
    seconds: Counter[str] = Counter()
    until, trials = whole["until"], set()
    while True:
        part = client.get("/timeline", params={"limit": 9, "until": until}).json()
        seconds.update(part["totals"])
        trials |= {each["id"] for each in part["trials"]}
        if part["complete"]:
            break
        until = part["since"]
    assert dict(seconds) == pytest.approx(whole["totals"])
    assert trials == {each["id"] for each in whole["trials"]}
    for query in ({"limit": 5001}, {"hours": 0}, {"since": "nan"}):
        assert client.get("/timeline", params=query).status_code == 422


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA", "WyJpZCIsdHJ1ZSwwLjAsMV0", "é", "1" * 400])
def test_a_cursor_of_another_list_is_refused(client: httpx.Client, cursor: str) -> None:
    for path in ("/experiments", "/instructions"):
        assert client.get(path, params={"cursor": cursor}).status_code == 422


def test_one_experiment_with_its_trials_diff_and_log(client: httpx.Client) -> None:
    answer = client.get("/experiments/3").json()
    assert answer["experiment"]["id"] == 3
    assert answer["trials"][0]["outcome"]["timings"]["train"] > 0
    diff = client.get("/experiments/3/diff")
    assert diff.text.startswith("--- a/")
    assert diff.headers["content-type"].startswith("text/x-diff")
    log = client.get("/experiments/3/log", params={"tail": 2})
    assert log.text == "two\n<script>alert(1)</script>\n"
    assert log.headers["content-type"].startswith("text/plain")
    assert log.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/experiments/999", 404),
        ("/experiments/999/log", 404),
        ("/experiments/0/diff", 404),
        ("/experiments/abc", 422),
        ("/experiments/99999999999999999999", 422),
        ("/experiments?instruction=99999999999999999999", 422),
        ("/experiments?since=nan", 422),
        ("/experiments?nonsense=1", 422),
        ("/experiments/1/diff?against=999", 404),
        ("/champion/files/../../study.db", 404),
        ("/champion/files/%2e%2e/study.db", 404),
        ("/instructions/7", 404),
        ("/letters/7", 404),
        ("/events?after=-1", 422),
        ("/experiments?limit=0", 422),
        ("/experiments?state=good", 422),
        ("/nowhere", 404),
    ],
)
def test_errors_are_problem_documents(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_a_head_is_its_get_without_the_body(client: httpx.Client) -> None:
    whole, head = client.get("/leaderboard"), client.head("/leaderboard")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_a_log_without_its_file_is_what_the_database_keeps(
    client: httpx.Client, folder: StudyFolder
) -> None:
    with Reader(folder.database) as reader:
        outcome = reader.trials(5)[-1].outcome
    assert outcome is not None
    assert outcome.log
    assert client.get("/experiments/5/log").text == outcome.log


def test_the_openapi_document_names_the_errors_that_are_sent(client: httpx.Client) -> None:
    answers = client.get("/openapi.json").json()["paths"]["/experiments"]["get"]["responses"]
    assert set(answers) == {"200", "401", "403", "422", "429", "503", "default"}
    assert set(answers["default"]["content"]) == {"application/problem+json"}


def test_what_goes_wrong_inside_is_a_problem_document_too(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=2))
    change(folder, "UPDATE experiment SET constants = 'no JSON' WHERE id = 1")
    with served(folder.path) as client:
        unexpected = client.get("/experiments/1")
        change(folder, "ALTER TABLE champion RENAME TO gone")  # as if it were not made yet
        missing = client.get("/champion")
    assert [unexpected.status_code, missing.status_code] == [500, 503]
    for answer in (unexpected, missing):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def change(folder: StudyFolder, statement: str) -> None:
    with closing(sqlite3.connect(folder.database)) as database, database:
        database.execute(statement)


def test_it_can_be_read_while_a_writer_writes(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=2))
    with (
        served(folder.path) as client,
        closing(sqlite3.connect(folder.database, isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE experiment SET title = 'another' WHERE id = 1")
        before = client.get("/experiments/1").json()["experiment"]["title"]
        writer.execute("COMMIT")
        after = client.get("/experiments/1").json()["experiment"]["title"]
    assert before != "another"
    assert after == "another"


def test_the_current_folder_and_the_keys_stay_outside(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fastapi.py").write_text("raise SystemExit('the wrong fastapi')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_MODEL_API_KEY", "secret")
    with Server(folder.path, bind("127.0.0.1", 0), TOKENS) as server:
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        child = psutil.Process(server._process.pid)
        assert "A_MODEL_API_KEY" not in child.environ()
        # Anyone on the machine may read a command line, and root an environment.
        shown = " ".join([*child.cmdline(), *child.environ().values()])
        assert not any(secret in shown for secret in (TOKENS.full, TOKENS.read, TOKENS.ticket))


def test_a_port_in_use_is_refused_and_without_a_choice_another_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"serve\.port: can't serve on 127\.0\.0\.1:{port}"):
            bind("127.0.0.1", port)
    with closing(bind("127.0.0.1", "auto")) as one, closing(bind("127.0.0.1", "auto")) as other:
        ports = {each.getsockname()[1] for each in (one, other)}
    assert len(ports) == 2
    assert FIRST_PORT <= min(ports) < FIRST_PORT + PORTS


def test_an_address_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"serve\.port: can't serve on 192\.0\.2\.1:8700"):
        bind("192.0.2.1", 8700)


def test_it_ends_when_its_driver_is_killed(folder: StudyFolder) -> None:
    script = (
        "import sys, time; from pathlib import Path; from scheduler.api.serving import *\n"
        "from scheduler.api.tokens import Tokens\n"
        "server = Server(Path(sys.argv[1]), bind('127.0.0.1', 0), Tokens('x' * 20))\n"
        "print(server.url, flush=True); time.sleep(100)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(folder.path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert driver.stdout is not None
    with httpx.Client(base_url=driver.stdout.readline().strip()) as client:
        wait_until_it_answers(client)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    limit = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{client.base_url}/healthz", timeout=5)
        except httpx.TransportError:
            return
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_metrics_are_in_the_format_of_prometheus(client: httpx.Client, folder: StudyFolder) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    with Reader(folder.database) as reader:
        study = reader.study()
    assert study.champion is not None
    assert found["autoresearch_best_metric", "val_bpb"] == study.champion.metric
    assert found["autoresearch_experiments", "keep"] == study.counts[ExperimentState.KEEP]
    assert found["autoresearch_llm_tokens_total",] == study.tokens
    assert found["autoresearch_running",] == 0
    assert ("autoresearch_occupancy_ratio",) not in found  # of no slots


def test_the_page_of_the_documentation_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 3
    for each in loaded:
        assert each.startswith("/")
        assert client.get(each).status_code == 200
    assert "https://" not in page


def test_figures_that_are_no_numbers_are_null(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=2))
    change(folder, "UPDATE outcome SET train_loss = 9e999")
    with served(folder.path) as client:
        trials = client.get("/experiments/1").json()["trials"]
    assert trials[0]["outcome"]["train_loss"] is None


def test_a_study_that_has_recorded_nothing_has_nothing_to_show(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.create(Config(), "# Directions")
    with served(folder.path) as client:
        assert client.get("/study").status_code == 404
        assert client.get("/experiments").status_code == 404
