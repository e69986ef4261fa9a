"""The HTTP process of a study: real uvicorn, real sockets, a real database."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from scheduler.api.serving import Server, bind
from scheduler.errors import UsageError
from scheduler.study.artifacts import Artifacts
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from tests.fixtures.candidates import ROOT
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
    server = Server(folder.path, bind("127.0.0.1", 0))
    with server, httpx.Client(base_url=server.url) as client:
        wait_until_it_answers(client)
        yield client


def wait_until_it_answers(client: httpx.Client) -> None:
    # The socket listens before the process has started: the first request waits for it.
    assert client.get("/healthz", timeout=60).json() == {"status": "ok"}


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


def test_experiments_come_in_pages_and_by_state(client: httpx.Client, folder: StudyFolder) -> None:
    with Reader(folder.database) as reader:
        everything = list(reader.experiments())
    ids: list[int] = []
    cursor: int | None = -1
    while cursor is not None:
        page = client.get("/experiments", params={"after": cursor, "limit": 7}).json()
        ids += [e["id"] for e in page["experiments"]]
        cursor = page["next"]
    assert ids == [e.id for e in everything]
    failed = client.get("/experiments", params={"state": "crash"}).json()["experiments"]
    assert [e["id"] for e in failed] == [e.id for e in everything if e.state == "crash"]
    assert all(e["metric"] is None for e in failed)


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
        ("/experiments?after=99999999999999999999", 422),
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
    assert set(answers) == {"200", "default"}
    assert set(answers["default"]["content"]) == {"application/problem+json"}


def test_what_goes_wrong_inside_is_a_problem_document_too(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=2))
    change(folder, "UPDATE experiment SET constants = 'no JSON' WHERE id = 1")
    with Server(folder.path, bind("127.0.0.1", 0)) as server:
        unexpected = httpx.get(f"{server.url}/experiments/1", timeout=60)
        change(folder, "ALTER TABLE champion RENAME TO gone")  # as if it were not made yet
        missing = httpx.get(f"{server.url}/champion", timeout=60)
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
        Server(folder.path, bind("127.0.0.1", 0)) as server,
        closing(sqlite3.connect(folder.database, isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE experiment SET title = 'another' WHERE id = 1")
        before = httpx.get(f"{server.url}/experiments/1", timeout=60).json()["experiment"]["title"]
        writer.execute("COMMIT")
        after = httpx.get(f"{server.url}/experiments/1", timeout=60).json()["experiment"]["title"]
    assert before != "another"
    assert after == "another"


def test_the_current_folder_and_the_keys_stay_outside(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fastapi.py").write_text("raise SystemExit('the wrong fastapi')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_MODEL_API_KEY", "secret")
    with Server(folder.path, bind("127.0.0.1", 0)) as server:
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert "A_MODEL_API_KEY" not in psutil.Process(server._process.pid).environ()


def test_nothing_can_be_written_and_foreign_names_are_refused(client: httpx.Client) -> None:
    assert client.post("/experiments", json={}).status_code == 405
    assert client.get("/study", headers={"host": "evil.example"}).status_code == 400


def test_a_port_in_use_and_an_open_address_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"serve\.port: can't serve on 127\.0\.0\.1:{port}"):
            bind("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"serve\.host: 0\.0\.0\.0 is not one of"):
        bind("0.0.0.0", 0)


def test_it_ends_when_its_driver_is_killed(folder: StudyFolder) -> None:
    script = (
        "import sys, time; from pathlib import Path; from scheduler.api.serving import *\n"
        "server = Server(Path(sys.argv[1]), bind('127.0.0.1', 0))\n"
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
