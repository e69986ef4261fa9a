"""Following a study over HTTP: events without a gap or a double, growing logs, slow readers."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from scheduler.api.serving import Server, bind
from scheduler.correspondence import Posted
from scheduler.results import Results
from scheduler.study.letters import Pause, Unpause
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.served import TOKENS, bearer, served, wait_until_it_answers
from workers import Phase, Progress


@pytest.fixture
def study(tmp_path: Path) -> Iterator[ActedStudy]:
    with ActedStudy(tmp_path / "night") as study:
        study.do(lambda results: results._store._db.execute("PRAGMA synchronous = OFF"))
        yield study


@pytest.fixture
def client(study: ActedStudy) -> Iterator[httpx.Client]:
    with served(study.folder.path) as client:
        yield client


def write_events(study: ActedStudy, count: int) -> None:
    """So many events: a person can't make up their mind."""

    def change_minds(results: Results, times: int) -> None:
        for _ in range(times):
            for letter in (Pause(), Unpause()):
                study._handle(results, Posted(time.time(), letter))

    for _ in range(0, count, 100):
        study.do(lambda results: change_minds(results, 50))


def newest(study: ActedStudy) -> int:
    with Reader(study.folder.database) as reader:
        return reader.newest_event()


def read_ids(response: httpx.Response, count: int) -> list[int]:
    """The places in the journal of the next events."""
    found: list[int] = []
    for line in response.iter_lines():
        if line.startswith("id: "):
            found.append(int(line.removeprefix("id: ")))
        if not line and len(found) >= count:
            break
    return found


def test_events_say_what_happened(client: httpx.Client, study: ActedStudy) -> None:
    after = client.get("/study").json()["event"]
    with client.stream("GET", "/events", params={"after": after}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        study.end_trial(1, 2.0)
        lines: list[str] = []
        for line in stream.iter_lines():
            lines.append(line)
            if "Crowned" in line and line.startswith("data: "):
                break
    data = json.loads(lines[-1].removeprefix("data: "))
    assert lines[-2] == "event: Crowned"
    assert lines[-3] == f"id: {data['seq']}"
    assert (data["fact"], data["data"]) == ("Crowned", {"experiment": 0, "metric": 2.0})


def test_who_comes_back_misses_nothing_and_sees_nothing_twice(
    client: httpx.Client, study: ActedStudy
) -> None:
    writer = threading.Thread(target=write_events, args=(study, 600))
    writer.start()
    found: list[int] = []
    headers: dict[str, str] = {}
    while len(found) < 500:
        with client.stream("GET", "/events", params={"after": 0}, headers=headers) as stream:
            found += read_ids(stream, 37)  # and is cut off
        headers = {"Last-Event-ID": str(found[-1])}
    writer.join()
    assert found == list(range(1, len(found) + 1))


def test_who_comes_without_a_place_hears_only_what_is_new(
    client: httpx.Client, study: ActedStudy
) -> None:
    time.sleep(1)  # the process has seen the first events by now
    before = newest(study)
    with client.stream("GET", "/events") as stream:
        write_events(study, 100)
        assert read_ids(stream, 1)[0] == before + 1


def test_a_slow_reader_gets_everything_and_holds_nobody_up(
    client: httpx.Client, study: ActedStudy
) -> None:
    url = client.base_url
    assert url.port is not None
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(30)
    with slow:
        slow.connect((url.host, url.port))
        request = f"GET /events?after=0 HTTP/1.1\r\nHost: {url.host}\r\n"
        slow.sendall(f"{request}Authorization: Bearer {TOKENS.full}\r\n\r\n".encode())
        write_events(study, 3000)  # three times what is kept in memory; it reads none of it
        with client.stream("GET", "/events", params={"after": 0}) as stream:
            count = newest(study)
            assert read_ids(stream, count)[:count] == list(range(1, count + 1))
        assert client.get("/healthz").status_code == 200
        received = bytearray()
        last = f"id: {count}\n".encode()
        while last not in received:
            piece = slow.recv(65536)
            assert piece
            received += piece
    found = [int(line[4:]) for line in received.split(b"\n") if line.startswith(b"id: ")]
    assert found == list(range(1, len(found) + 1))


def test_a_hundred_readers_that_leave_leave_nothing_behind(
    client: httpx.Client, study: ActedStudy
) -> None:
    url = client.base_url
    assert url.port is not None
    (process,) = [
        each
        for each in psutil.Process().children()
        if any(c.laddr.port == url.port for c in each.net_connections("tcp"))
    ]
    request = f"GET /events?after=0 HTTP/1.1\r\nHost: {url.host}\r\n"
    head = f"{request}Authorization: Bearer {TOKENS.full}\r\n\r\n".encode()
    before = process.num_fds()
    readers = [socket.create_connection((url.host, url.port)) for _ in range(100)]
    for each in readers:
        each.sendall(head)
        assert each.recv(100).startswith(b"HTTP/1.1 200")
    assert process.num_fds() >= before + 100
    for each in readers:
        each.close()
    limit = time.monotonic() + 20
    while process.num_fds() > before + 5:
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_a_head_of_the_events_ends_at_once(client: httpx.Client) -> None:
    answer = client.head("/events")
    assert (answer.status_code, answer.content) == (200, b"")


# ---- logs -----------------------------------------------------------------------------------


def progress(text: str) -> Progress:
    return Progress(trial=1, phase=Phase.TRAIN, fraction=0.5, step=1, log=text)


def test_a_log_is_followed_until_the_experiment_is_decided(
    client: httpx.Client, study: ActedStudy
) -> None:
    study.do(lambda results: results.progress(progress("one <b>line</b>\n")))
    with client.stream("GET", "/experiments/0/log", params={"follow": True}) as stream:
        lines = stream.iter_lines()
        assert [next(lines), next(lines)] == ["--- trial 1", "one <b>line</b>"]
        study.do(lambda results: results.progress(progress("two é\n")))
        assert next(lines) == "two é"
        study.end_trial(1, 2.0)
        list(lines)  # comes to an end


def test_a_log_that_begins_anew_is_followed_from_its_beginning(
    client: httpx.Client, study: ActedStudy
) -> None:
    """As where a trial was lost and runs again."""
    log = study.folder.experiment(0).trial_log(1)
    study.do(lambda results: results.progress(progress("a long line of the first trial\n" * 9)))
    with client.stream("GET", "/experiments/0/log", params={"follow": True}) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "--- trial 1"
        for _ in range(9):
            next(lines)
        log.write_text("--- trial 2\n")
        assert next(lines) == "--- trial 2"
        study.end_trial(1, 2.0)
        list(lines)


def test_a_log_goes_on_from_a_byte_or_begins_with_the_last_lines(
    client: httpx.Client, study: ActedStudy
) -> None:
    text = "".join(f"line {n}\n" for n in range(20_000))
    study.do(lambda results: results.progress(progress(text)))
    whole = client.get("/experiments/0/log").content
    assert whole == f"--- trial 1\n{text}".encode()
    assert client.get("/experiments/0/log", params={"offset": 150_000}).content == whole[150_000:]
    assert client.get("/experiments/0/log", params={"offset": 10**9}).content == b""
    for count in (1, 3, 15_000):
        tail = client.get("/experiments/0/log", params={"tail": count}).text
        assert tail.splitlines() == whole.decode().splitlines()[-count:]
    assert client.get("/experiments/0/log", params={"tail": 10**6}).content == whole


def test_what_is_live_is_shown_only_while_the_study_runs(
    client: httpx.Client, study: ActedStudy
) -> None:
    study.do(lambda results: results.progress(progress("")))
    limit = time.monotonic() + 20
    while client.get("/study").json()["slots"][0]["phase"] != "train":
        assert time.monotonic() < limit
        time.sleep(0.1)
    study.__exit__(None, None, None)
    while client.get("/study").json()["running"]:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert client.get("/study").json()["slots"] == []


# ---- the end --------------------------------------------------------------------------------


def test_the_process_ends_while_others_still_listen(study: ActedStudy) -> None:
    server = Server(study.folder.path, bind("127.0.0.1", 0), TOKENS)
    with (
        server,
        httpx.Client(base_url=server.url, headers=bearer(TOKENS.full)) as client,
    ):
        wait_until_it_answers(client)
        with (
            client.stream("GET", "/events") as events,
            client.stream("GET", "/experiments/0/log", params={"follow": True}) as log,
        ):
            server.__exit__()
            assert server._process.returncode == 0  # by itself: it was not killed
            list(events.iter_lines())  # both were ended properly
            list(log.iter_lines())


def test_a_score_is_seen_by_who_listens_at_once(client: httpx.Client, study: ActedStudy) -> None:
    seen = threading.Event()

    def listen() -> None:
        with client.stream("GET", "/events", params={"after": 0}) as stream:
            for line in stream.iter_lines():
                if "1.25" in line:
                    seen.set()
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    study.end_trial(1, 2.0)
    edit = {"title": "mine", "files": {"train.py": script(1.25)}}
    assert client.post("/experiments", json=edit).status_code == 201
    study.end_trial(study.started()[-1], 1.25)
    assert seen.wait(20)
    listener.join()
