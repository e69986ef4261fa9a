"""The HTTP process keeps to its own OpenAPI document, whatever it is sent, while a study runs.

schemathesis makes requests of every kind for every path: right ones, wrong ones, nonsense. No
answer may be a 5xx, or differ from the document in status, headers, media type or shape.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.candidates import ROOT
from tests.fixtures.served import TOKENS, served

MOST_EXAMPLES = 12  # of each kind for each path: about half a minute for all of them
EXCLUDED_CHECKS = (
    "ignored_auth",  # guesses too often; test_api_security.py goes over every path without tokens
    "use_after_free",  # what was cancelled or withdrawn stays, and says so
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Beside a study that runs and has a baseline, an experiment and an instruction."""
    with ActedStudy(tmp_path_factory.mktemp("study") / "night") as study:
        study.end_trial(1, 2.0)
        with served(study.folder.path) as client:
            edit = {"title": "mine", "files": {"train.py": script(1.5)}}
            client.post("/experiments", json=edit).raise_for_status()
            study.end_trial(study.started()[-1], 1.5)  # else a log that is followed has no end
            client.post("/instructions", json={"text": "try"}).raise_for_status()
            yield client


def ask_everything(client: httpx.Client, folder: Path, *choice: str) -> tuple[int, str]:
    """Let schemathesis loose; return its exit code and what it has to say."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKENS.full}"),
        *("--phases", "examples,coverage,fuzzing", "--mode", "all"),
        *("--max-examples", str(MOST_EXAMPLES), "--seed", "1", "--generation-deterministic"),
        *("--exclude-checks", ",".join(EXCLUDED_CHECKS), "--request-timeout", "20"),
        *("--workers", "2", "--no-color", *choice),
    ]
    variables = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.fixtures.schemathesis_hooks",
    }
    ended = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.timeout(300)
def test_every_answer_is_as_documented(client: httpx.Client, tmp_path: Path) -> None:
    excluded = ("--exclude-path", "/events", "--exclude-path", "/study/stop")  # no end; the end
    code, output = ask_everything(client, tmp_path, *excluded)
    assert code == 0, output
    selected = re.search(r"(\d+) selected", output)
    assert selected is not None
    assert int(selected[1]) > 15
    assert client.get("/study").json()["running"]


def test_also_when_the_study_is_stopped(client: httpx.Client, tmp_path: Path) -> None:
    code, output = ask_everything(client, tmp_path, "--include-path", "/study/stop")
    assert code == 0, output
    assert client.get("/study").json()["study"]["reason"] == "instruction"
