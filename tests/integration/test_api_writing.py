"""Steering a study over HTTP: a real HTTP process beside the results actor's own class."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from scheduler.api.serving import Server, bind
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.served import TOKENS, bearer, served, wait_until_it_answers
from tests.synthetic import make_study


@pytest.fixture
def study(tmp_path: Path) -> Iterator[ActedStudy]:
    with ActedStudy(tmp_path / "night") as study:
        yield study


@pytest.fixture
def client(study: ActedStudy) -> Iterator[httpx.Client]:
    with served(study.folder.path) as client:
        yield client


def state_of(study: ActedStudy) -> StudyState:
    with Reader(study.folder.database) as reader:
        return reader.study().state


# ---- instructions ---------------------------------------------------------------------------


def test_an_instruction_is_queued_shown_and_taken_back(client: httpx.Client) -> None:
    body = {"text": "try bigger models", "priority": 3, "lifetime": 5}
    made = client.post("/instructions", json=body)
    assert made.status_code == 201
    instruction = made.json()["instruction"]
    assert (instruction["text"], instruction["priority"]) == (body["text"], body["priority"])
    assert instruction["state"] == "queued"
    where = made.headers["location"]
    assert client.get(where).json() == made.json()
    assert [e["instruction"]["id"] for e in client.get("/instructions").json()["instructions"]] == [
        instruction["id"]
    ]
    gone = client.delete(where)
    assert (gone.status_code, gone.json()["instruction"]["state"]) == (200, "withdrawn")
    again = client.delete(where)
    assert again.status_code == 409
    assert "withdrawn" in again.json()["detail"] or "open" in again.json()["detail"]
    assert client.get("/instructions", params={"state": "queued"}).json()["instructions"] == []


def test_an_instruction_shows_what_it_led_to(client: httpx.Client, study: ActedStudy) -> None:
    study.end_trial(1, 2.0)
    number = client.post("/instructions", json={"text": "a lower score"}).json()["instruction"][
        "id"
    ]
    edit = {"title": "mine", "files": {"train.py": script(1.0)}, "instruction": number}
    made = client.post("/experiments", json=edit).json()["experiment"]["id"]
    study.end_trial(study.started()[-1], 1.0)
    answer = client.get(f"/instructions/{number}").json()
    assert answer["instruction"]["state"] == "served"
    assert answer["results"] == [{"id": made, "title": "mine", "state": "keep", "metric": 1.0}]


def test_instructions_come_in_pages(client: httpx.Client) -> None:
    numbers = [
        client.post("/instructions", json={"text": f"idea {n}"}).json()["instruction"]["id"]
        for n in range(5)
    ]
    found, cursor = [], None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = client.get("/instructions", params=params).json()
        found += [each["instruction"]["id"] for each in page["instructions"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == numbers


# ---- experiments ----------------------------------------------------------------------------


def test_a_persons_own_edit_becomes_an_experiment(client: httpx.Client, study: ActedStudy) -> None:
    edit = {
        "title": "a lower score",
        "files": {"train.py": script(1.5)},
        "hypothesis": "<b>it scores lower</b>",
        "parent": 0,
    }
    made = client.post("/experiments", json=edit)
    assert made.status_code == 201
    answer = client.get(made.headers["location"]).json()
    assert answer == made.json()
    experiment = answer["experiment"]
    assert (experiment["origin"], experiment["parent"]) == ("person", 0)
    assert experiment["hypothesis"] == edit["hypothesis"]
    assert answer["files"] == edit["files"]
    study.end_trial(1, 2.0)
    study.end_trial(study.started()[-1], 1.5)
    assert client.get(made.headers["location"]).json()["experiment"]["state"] == "keep"
    assert client.get("/champion").json()["experiment"]["id"] == experiment["id"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train.py": "def ("}, "syntax"),
        ({"other.py": "x = 1"}, "other.py"),
        ({"train.py": script(2.0)}, "experiment 0"),
    ],
)
def test_an_edit_that_fails_the_checks_is_refused_with_the_reason(
    client: httpx.Client, study: ActedStudy, files: dict[str, str], reason: str
) -> None:
    answer = client.post("/experiments", json={"title": "mine", "files": files})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason in answer.json()["detail"].lower()
    with Reader(study.folder.database) as reader:
        assert reader.count() == 1


def test_an_experiment_that_waits_is_cancelled(client: httpx.Client, study: ActedStudy) -> None:
    edit = {"title": "mine", "files": {"train.py": script(1.5)}}
    number = client.post("/experiments", json=edit).json()["experiment"]["id"]
    answer = client.delete(f"/experiments/{number}")
    assert (answer.status_code, answer.json()["experiment"]["state"]) == (200, "cancelled")
    assert client.delete(f"/experiments/{number}").status_code == 409
    assert client.delete("/experiments/99").status_code == 404
    with Reader(study.folder.database) as reader:
        found = reader.experiment(number)
    assert found is not None
    assert found.state is ExperimentState.CANCELLED


# ---- steering -------------------------------------------------------------------------------


def test_a_study_is_paused_goes_on_and_is_stopped(client: httpx.Client, study: ActedStudy) -> None:
    assert client.post("/study/pause").status_code == 200
    assert state_of(study) is StudyState.PAUSED
    assert client.get("/study").json()["study"]["state"] == "paused"
    assert client.post("/study/pause").status_code == 409
    assert client.post("/study/unpause").status_code == 200
    assert state_of(study) is StudyState.RUNNING
    assert client.post("/study/stop", json={"now": True}).status_code == 200
    assert client.get("/study").json()["study"]["reason"] == "instruction"


def test_a_busy_study_answers_later(client: httpx.Client, study: ActedStudy) -> None:
    study.reads_mail = False
    answer = client.post("/instructions", json={"text": "when you have time"})
    assert answer.status_code == 202
    where = answer.headers["location"]
    assert client.get(where).status_code == 202
    study.reads_mail = True
    study.do(lambda results: results.live())
    study.do(lambda results: results.live())
    assert client.get(where).json()["number"] == 1
    assert client.get("/instructions/1").json()["instruction"]["text"] == "when you have time"


def test_what_waits_when_the_process_ends_is_told_so_and_is_not_lost(
    study: ActedStudy,
) -> None:
    study.reads_mail = False
    server = Server(study.folder.path, bind("127.0.0.1", 0), TOKENS)
    with server, httpx.Client(base_url=server.url, headers=bearer(TOKENS.full)) as client:
        wait_until_it_answers(client)
        answers: list[httpx.Response] = []
        ask = partial(client.post, "/instructions", json={"text": "when you have time"})
        asking = threading.Thread(target=lambda: answers.append(ask()))
        asking.start()
        inbox = Mailbox(study.folder.inbox)
        limit = time.monotonic() + 20
        while not inbox.waiting():
            assert time.monotonic() < limit
            time.sleep(0.02)
        server.__exit__()
        asking.join()
    assert [answer.status_code for answer in answers] == [202]
    assert [letter.kind for letter in inbox.waiting()] == ["instruct"]


def test_an_instruction_of_nothing_but_blanks_is_none(client: httpx.Client) -> None:
    assert client.post("/instructions", json={"text": "  \n "}).status_code == 422
    made = client.post("/instructions", json={"text": " try more \n"}).json()
    assert made["instruction"]["text"] == "try more"


# ---- repeats --------------------------------------------------------------------------------


def test_a_request_that_is_repeated_is_done_once(client: httpx.Client, study: ActedStudy) -> None:
    key = {"Idempotency-Key": "once"}
    first = client.post("/instructions", json={"text": "try"}, headers=key)
    second = client.post("/instructions", json={"text": "try"}, headers=key)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    other = client.post("/instructions", json={"text": "another"}, headers=key)
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]
    # The same key means another thing at another path.
    assert client.post("/study/pause", headers=key).status_code == 200
    assert client.post("/study/pause", headers=key).status_code == 200
    with Reader(study.folder.database) as reader:
        assert [each.text for each in reader.instructions()] == ["try"]


def test_a_refusal_is_repeated_too(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "refused"}
    answers = [client.post("/study/unpause", headers=key) for _ in range(2)]
    assert [each.status_code for each in answers] == [409, 409]
    assert answers[0].json() == answers[1].json()


def test_a_key_that_waits_is_not_used_for_something_else(
    client: httpx.Client, study: ActedStudy
) -> None:
    study.reads_mail = False
    key = {"Idempotency-Key": "waits"}
    first = client.post("/instructions", json={"text": "try"}, headers=key)
    assert first.status_code == 202
    assert client.post("/instructions", json={"text": "else"}, headers=key).status_code == 422
    (letter,) = Mailbox(study.folder.inbox).waiting()
    assert letter.key == first.json()["key"]


def test_requests_at_the_same_time_with_one_key_are_done_once(
    client: httpx.Client, study: ActedStudy
) -> None:
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(
            client.post("/instructions", json={"text": "try"}, headers={"Idempotency-Key": "k"})
        )

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.status_code for each in answers} == {201}
    assert len({each.text for each in answers}) == 1
    with Reader(study.folder.database) as reader:
        assert len(reader.instructions()) == 1


# ---- a study that does not run --------------------------------------------------------------


@pytest.fixture(scope="module")
def asleep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, httpx.Client]]:
    folder = make_study(tmp_path_factory.mktemp("study") / "night", experiments=3)
    with served(folder, reading=True) as client:
        yield folder, client


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/study/pause", None),
        ("POST", "/study/unpause", None),
        ("POST", "/study/stop", {"now": True}),
        ("POST", "/experiments", {"title": "t", "files": {"train.py": "x = 1"}}),
        ("DELETE", "/experiments/1", None),
    ],
)
def test_what_cannot_wait_is_refused_with_what_to_do(
    asleep: tuple[Path, httpx.Client], method: str, path: str, body: object
) -> None:
    folder, client = asleep
    answer = client.request(method, path, json=body)
    assert answer.status_code == 409
    assert f"autoresearch run {folder.name}" in answer.json()["detail"]


def test_an_instruction_waits_until_the_study_runs_again(
    asleep: tuple[Path, httpx.Client],
) -> None:
    folder, client = asleep
    answer = client.post("/instructions", json={"text": "later"})
    assert answer.status_code == 202
    assert [each["text"] for each in client.get("/instructions").json()["waiting"]] == ["later"]
    with ActedStudy(folder):
        pass
    assert client.get(answer.headers["location"]).json()["refused"] == ""
    (one,) = client.get("/instructions").json()["instructions"]
    assert one["instruction"]["text"] == "later"
