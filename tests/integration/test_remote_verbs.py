"""The verbs over HTTP, against a study's real server: the same words as in its folder, and a
sentence for whatever is wrong with URL, token or server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from scheduler.api.serving import Server, bind
from scheduler.api.tokens import Tokens
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.artifacts import Artifacts
from scheduler.study.folder import StudyFolder
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.verbs import Output, call, document
from tests.synthetic import make_study

FULL, READ = "full-token-of-the-tests", "read-token-of-the-tests"


@contextmanager
def served(folder: Path, *, reading: bool) -> Iterator[str]:
    """The URL of the study's real server."""
    with Server(folder, bind("127.0.0.1", 0), Tokens(FULL, READ), reading=reading) as server:
        # The socket listens before the process has started: the first request waits for it.
        assert httpx.get(f"{server.url}/healthz", timeout=60).json() == {"status": "ok"}
        yield server.url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study that does not run, with all its files."""
    folder = StudyFolder(make_study(tmp_path_factory.mktemp("r") / "night", experiments=40, seed=3))
    with Reader(folder.database) as reader:
        artifacts = Artifacts(folder, reader)
        for experiment in reader.experiments():
            artifacts.write_experiment(experiment.id)
        artifacts.finish_log(3, 4, "one\ntwo\n[bold]three[/bold] \x1b[2J\n")
    return folder


@pytest.fixture(scope="module")
def url(folder: StudyFolder) -> Iterator[str]:
    with served(folder.path, reading=True) as url:
        yield url


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTORESEARCH_TOKEN", FULL)
    monkeypatch.delenv("AUTORESEARCH_URL", raising=False)


# ---- reading ----------------------------------------------------------------------------------

READING = [
    ("status",),
    ("top",),
    ("top", "--once"),
    ("show", "3"),
    ("show", "0"),
    ("diff", "5"),
    ("diff", "5", "9"),
    ("log", "3"),
    ("log", "3", "--follow"),
    ("log", "3", "--tail", "1"),
    ("log", "7"),
    ("instructions",),
    ("notebook",),
    ("timeline",),
    ("timeline", "--hours", "0.5", "--budget", "60"),
]


@pytest.mark.parametrize("verb", READING, ids=" ".join)
def test_a_verb_says_the_same_of_a_folder_and_of_its_server(
    folder: StudyFolder, url: str, capsys: Output, verb: tuple[str, ...]
) -> None:
    for options in ([], ["--json"]):
        if options and ("--follow" in verb or "--once" in verb):
            continue
        assert call(*verb, "-s", folder.path, *options) == 0
        here = capsys.readouterr().out
        assert call(*verb, "--url", url, *options) == 0
        there = capsys.readouterr().out
        assert cut(there, url) == cut(here, str(folder.path))


def cut(text: str, where: str) -> list[str]:
    """The lines without what names the place."""
    named = ("study ", '"path"', "to go on", "autoresearch run")
    return [line.rstrip() for line in text.splitlines() if not line.strip().startswith(named)]


def test_the_champions_code_is_written_where_it_is_wanted(
    folder: StudyFolder, url: str, tmp_path: Path, capsys: Output
) -> None:
    assert call("best", "--url", url, "-o", tmp_path / "best.py", "--json") == 0
    best = document(capsys)
    with Reader(folder.database) as reader:
        assert (tmp_path / "best.py").read_text() == reader.files(best["experiment"])["train.py"]
    assert call("best", "--url", url) == 0
    assert f"{url}/champion/files/train.py" in capsys.readouterr().out


def test_url_and_token_may_come_from_the_environment_and_a_named_study_goes_before(
    folder: StudyFolder, url: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_URL", url)
    assert call("status", "--json") == 0
    assert document(capsys)["path"] == url
    assert call("status", folder.path, "--json") == 0
    assert document(capsys)["path"] == str(folder.path)


def test_the_link_that_run_prints_will_do_as_a_url(url: str, capsys: Output) -> None:
    assert call("status", "--url", f"{url}/login?ticket=abc", "--json") == 0
    assert document(capsys)["name"] == "night"


def test_a_token_may_stand_in_a_file(
    url: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTORESEARCH_TOKEN")
    file = tmp_path / "token"
    file.write_text(f"{READ}\n")
    assert call("status", "--url", url, "--token-file", file) == 0
    file.write_text("")
    assert call("status", "--url", url, "--token-file", file) == 2
    assert "it is empty" in capsys.readouterr().err


# ---- writing ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ActedStudy, str]]:
    """A study that runs, with its server beside it."""
    with ActedStudy(tmp_path_factory.mktemp("w") / "night") as study:
        study.end_trial(1, 2.0)
        with served(study.folder.path, reading=False) as url:
            yield study, url


def test_a_study_is_paused_goes_on_and_refuses(
    running: tuple[ActedStudy, str], capsys: Output
) -> None:
    study, url = running
    assert call("pause", "--url", url) == 0
    assert "paused: running trials end" in capsys.readouterr().out
    with Reader(study.folder.database) as reader:
        assert reader.study().state is StudyState.PAUSED
    assert call("status", "--url", url) == 0
    assert "autoresearch unpause, or stop" in capsys.readouterr().out
    assert call("unpause", "--url", url, "--json") == 0
    assert document(capsys)["fate"] == "done"
    assert call("unpause", "--url", url) == 1
    assert capsys.readouterr().err == "error: refused: the study is running, not paused\n"


def test_an_instruction_is_queued_listed_shown_and_withdrawn(
    running: tuple[ActedStudy, str], capsys: Output
) -> None:
    _, url = running
    assert call("tell", "try bigger models", "--priority", 3, "--url", url, "--json") == 0
    number = document(capsys)["instruction"]["id"]
    assert call("instructions", "--url", url) == 0
    assert "try bigger models" in capsys.readouterr().out
    assert call("top", "--once", "--url", url) == 0
    assert f"{number} queued: try bigger models" in capsys.readouterr().out
    assert call("tell", "--withdraw", number, "--url", url, "--json") == 0
    assert document(capsys)["instruction"]["state"] == "withdrawn"
    assert call("tell", "--withdraw", 99, "--url", url) == 2


def test_an_edit_is_queued_refused_where_it_is_broken_and_cancelled(
    running: tuple[ActedStudy, str], tmp_path: Path, capsys: Output
) -> None:
    study, url = running
    path = tmp_path / "mine.py"
    path.write_text("def train(")
    assert call("submit", path, "-t", "broken", "--url", url) == 1
    assert "refused: it does not parse" in capsys.readouterr().err
    path.write_text(script(1.25))
    assert call("submit", path, "-t", "mine", "--hypothesis", "why", "--url", url, "--json") == 0
    number = document(capsys)["experiment"]
    with Reader(study.folder.database) as reader:
        assert reader.files(number) == {"train.py": script(1.25)}
    assert call("cancel", number, "--url", url, "--json") == 0
    assert document(capsys)["number"] == number
    with Reader(study.folder.database) as reader:
        found = reader.experiment(number)
    assert found is not None
    assert found.state is ExperimentState.CANCELLED
    assert call("cancel", 99, "--url", url) == 2
    assert "no experiment 99" in capsys.readouterr().err


def test_a_log_is_followed_until_the_experiment_is_decided(
    running: tuple[ActedStudy, str], capsys: Output
) -> None:
    study, url = running
    study.propose(1.5)
    trial = study.started()[-1]
    with Reader(study.folder.database) as reader:
        number, ran = next((t.experiment, t.id) for t in reader.running_trials())
    log = study.folder.experiment(number).trial_log(ran)
    before = log.read_text()

    def end() -> None:
        with log.open("a") as file:
            file.write("while it was followed\n")
        study.end_trial(trial, 1.5, log="while it was followed\n")

    ending = threading.Timer(1.0, end)
    ending.start()
    assert call("log", number, "--follow", "--url", url) == 0
    ending.join()
    assert capsys.readouterr().out == f"{before}while it was followed\n"


def test_a_token_that_reads_does_not_write(
    running: tuple[ActedStudy, str], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, url = running
    monkeypatch.delenv("AUTORESEARCH_TOKEN")
    monkeypatch.setenv("AUTORESEARCH_READ_TOKEN", READ)
    assert call("status", "--url", url) == 0
    assert call("pause", "--url", url) == 1
    assert "this token only reads" in capsys.readouterr().err
    assert Mailbox(study.folder.inbox).waiting() == []


def test_a_study_that_does_not_run_takes_instructions_and_is_not_steered(
    folder: StudyFolder, url: str, capsys: Output
) -> None:
    assert call("stop", "--url", url, "--json") == 1
    answer = document(capsys)
    assert answer["fate"] == "not running"
    assert "does not run" in answer["why"]
    assert call("pause", "--url", url) == 1
    assert "does not run" in capsys.readouterr().err
    assert call("tell", "for later", "--url", url, "--json") == 0
    answer = document(capsys)
    mailbox = Mailbox(folder.inbox)
    assert (answer["fate"], [each.key for each in mailbox.waiting()]) == (
        "waiting",
        [answer["key"]],
    )
    assert call("instructions", "--url", url) == 0
    assert "for later" in capsys.readouterr().out
    mailbox.remove(answer["key"])


# ---- what can be wrong --------------------------------------------------------------------------


def error_of(capsys: Output) -> str:
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert FULL not in output.err
    return output.err


def test_nothing_listens_there(capsys: Output) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert call("status", "--url", f"http://127.0.0.1:{port}") == 1
    assert "nothing answers there" in error_of(capsys)


def test_a_wrong_token_and_none_have_their_own_sentences(
    url: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTORESEARCH_TOKEN")
    assert call("status", "--url", url) == 2
    assert "needs the study's token: in AUTORESEARCH_TOKEN, or --token-file" in error_of(capsys)
    monkeypatch.setenv("AUTORESEARCH_TOKEN", "not-the-token-at-all")
    assert call("status", "--url", url) == 2
    assert "this is not the study's token" in error_of(capsys)


class Stranger(BaseHTTPRequestHandler):
    """Some other server."""

    status, kind, body = 200, "text/html", b"<html>welcome</html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (200, "text/html", b"<html>welcome</html>", "it is no study's server"),
        (404, "text/html", b"nothing", "it is no study's server (status 404)"),
        (302, "text/html", b"", "it is no study's server (status 302)"),
        (200, "application/json", b'{"name": "night"}', "of another version"),
        (200, "application/json", b"{", "of another version"),
        (
            503,
            "application/problem+json",
            b'{"title": "x", "status": 503, "detail": "the database\\u001b[2J is locked"}',
            "error: the database is locked",
        ),
    ],
)
def test_what_is_no_study_of_this_version_is_said(
    capsys: Output, status: int, kind: str, body: bytes, words: str
) -> None:
    other = type("Other", (Stranger,), {"status": status, "kind": kind, "body": body})
    with HTTPServer(("127.0.0.1", 0), other) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert call("status", "--url", f"http://127.0.0.1:{server.server_port}") == 1
        server.shutdown()
    assert words in error_of(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--url", "ftp://here"), "must look like http://127.0.0.1:8700"),
        (("--url", "http://127.0.0.1:x"), "not a URL"),
        (("--url", "http://me:pass@127.0.0.1"), "use a token"),
        (("--url", "http://127.0.0.1:1", "-s", "night"), "choose one"),
        (("--token-file", "token"), "for a study behind a URL"),
    ],
)
def test_bad_usage_of_url_and_token(capsys: Output, arguments: tuple[str, ...], words: str) -> None:
    assert call("status", *arguments) == 2
    assert words in error_of(capsys)


def test_a_token_that_would_go_in_the_clear_is_warned_of(capsys: Output) -> None:
    assert call("status", "--url", "http://study.invalid:8700") == 1
    assert "warning: the token goes to study.invalid unencrypted" in capsys.readouterr().err
