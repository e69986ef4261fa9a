"""Where a study is served and how one gets in: the verb `serve`, and the lines for a person."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from scheduler.api.serving import Server, bind
from tests.fixtures.acted_study import ActedStudy
from tests.fixtures.candidates import ROOT
from tests.fixtures.served import TOKENS, bearer, wait_until_it_answers
from tests.synthetic import make_study


def serve(folder: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", "serve", str(folder), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_study_that_does_not_run_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    process = serve(make_study(tmp_path / "night", experiments=3))
    assert process.stdout is not None
    (link,) = re.findall(r"^serves  (http://\S+)", process.stdout.readline())
    (token,) = re.findall(r"^token   (\S+)", process.stdout.readline())
    base = link.partition("/login")[0]
    with httpx.Client(base_url=base, follow_redirects=False) as browser:
        wait_until_it_answers(browser)
        assert browser.get(link).status_code == 303
        assert browser.get("/session").json()["access"] == "full"
    with httpx.Client(base_url=base, headers=bearer(token), timeout=20) as client:
        assert client.get("/study").json()["running"] is False
        assert client.post("/study/pause").status_code == 409
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{base}/healthz")


def test_a_given_token_is_not_printed(tmp_path: Path) -> None:
    process = serve(make_study(tmp_path / "night", experiments=1), AUTORESEARCH_TOKEN=TOKENS.full)
    assert process.stdout is not None
    link = process.stdout.readline()
    with httpx.Client(base_url=link.split()[1].partition("/login")[0]) as client:
        wait_until_it_answers(client)
        assert client.get("/study", headers=bearer(TOKENS.full)).status_code == 200
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert TOKENS.full not in link + rest


def test_a_study_that_runs_is_not_served_twice(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "night") as study:
        process = serve(study.folder.path)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "runs now" in errors


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    process = serve(make_study(tmp_path / "night", experiments=1), AUTORESEARCH_TOKEN="secret")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "AUTORESEARCH_TOKEN" in errors
    assert "Traceback" not in errors


def test_the_lines_say_how_to_get_there(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "night", experiments=1)
    with Server(folder, bind("127.0.0.1", 0), TOKENS) as server:
        lines = server.welcome(made=False, remote=True)
    port = server.url.rpartition(":")[2]
    assert lines[0] == f"serves  {server.url}/login?ticket={TOKENS.ticket} (logs in once)"
    assert re.fullmatch(rf"tunnel  ssh -L {port}:127\.0\.0\.1:{port} \S+", lines[1])
    assert len(lines) == 2


def test_where_all_addresses_are_served_it_says_so_and_a_bare_address_will_do(
    tmp_path: Path,
) -> None:
    folder = make_study(tmp_path / "night", experiments=1)
    with Server(folder, bind("0.0.0.0", 0), TOKENS) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert "in the clear" in server.welcome(made=False, remote=True)[-1]
        with httpx.Client(base_url=server.url, headers=bearer(TOKENS.full)) as client:
            wait_until_it_answers(client)
            answer = client.get("/study", headers={"Host": "10.1.2.3:8700"})
            assert answer.status_code == 200
            assert client.get("/study", headers={"Host": "evil.example"}).status_code == 400
