"""The HTTP process of a study: real uvicorn, real sockets, a real database."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
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
    log = client.get("/experiments/3/log", params={"tail": 2})
    assert log.text == "two\n<script>alert(1)</script>\n"
    assert log.headers["content-type"].startswith("text/plain")
    assert log.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/experiments/999", 404),
        ("/experiments/999/log", 404),
        ("/experiments/abc", 422),
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


def test_nothing_can_be_written_and_foreign_names_are_refused(client: httpx.Client) -> None:
    assert client.post("/experiments", json={}).status_code == 405
    assert client.get("/study", headers={"host": "evil.example"}).status_code == 400


def test_a_port_in_use_and_an_open_address_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"serve\.port: can't serve on 127\.0\.0\.1:{port}"):
            bind("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"serve.host: 0\.0\.0\.0 is no loopback address"):
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
