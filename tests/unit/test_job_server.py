"""What a cluster's dashboard answers, and what is made of it. The answers are those of Ray 2.60."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.submit_job import _keys
from scheduler.errors import UsageError
from scheduler.job_server import JobServer, find_token

Serve = Callable[[str, str], str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a dashboard of a cluster with these versions of Ray and Python; its address."""
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")  # is restored afterwards
    servers: list[ThreadingHTTPServer] = []

    def serve(ray: str, python: str) -> str:
        node = {"state": "ALIVE", "resources_total": {"CPU": 2.0, "memory": 8e9}}
        answers: dict[str, Any] = {
            "/api/version": {"version": "4", "ray_version": ray},
            "/api/v0/cluster_metadata": {"data": {"rayVersion": ray, "pythonVersion": python}},
            "/api/v0/nodes": {"data": {"result": {"result": [node]}}},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answers[self.path.partition("?")[0]]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_cluster_is_asked_for_its_versions_and_nodes(serve: Serve) -> None:
    facts = JobServer(serve("2.60.0", "3.12.1"), {}).facts()
    assert (facts.ray, facts.python) == ("2.60.0", "3.12.1")
    assert facts.nodes == [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 8e9}}]


@pytest.mark.parametrize(
    ("ray", "python", "words"),
    [("2.49.2", "3.12.1", "the cluster has Ray 2.49.2"), ("2.60.0", "3.10.4", "Python 3.10.4")],
)
def test_one_that_is_too_old_is_refused(serve: Serve, ray: str, python: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        JobServer(serve(ray, python), {}).facts()


def test_the_token_is_looked_for_in_the_order_of_ray(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from the file\n")
    environ = {"RAY_AUTH_TOKEN_PATH": str(file)}
    assert find_token(environ) == ("from the file", str(file))
    assert find_token(environ | {"RAY_AUTH_TOKEN": "given"}) == ("given", "RAY_AUTH_TOKEN")
    assert find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}) == ("", "")


def test_keys_are_sent_only_where_a_person_asks_and_only_those_of_the_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-of-the-model")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-another")
    models = ("anthropic/claude-sonnet-4-5",)
    assert _keys(models, False, None) == {}
    assert "environment of the cluster's head" in capsys.readouterr().err
    assert _keys(models, True, None) == {"ANTHROPIC_API_KEY": "secret-of-the-model"}
    told = capsys.readouterr().err
    assert "ANTHROPIC_API_KEY can be read by everyone" in told
    assert "secret" not in told
