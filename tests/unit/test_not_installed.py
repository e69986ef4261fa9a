"""`python -m scheduler` in an environment that lacks what it needs."""

import subprocess
import sys
import tomllib

from scheduler.__main__ import NEEDED
from tests.fixtures.candidates import ROOT

MODULES = {
    "fastapi-offline": "fastapi_offline",
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
}


def test_every_dependency_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [each.partition(">=")[0] for each in project["dependencies"]]
    assert [MODULES.get(name, name) for name in names] == list(NEEDED)


def test_what_is_missing_is_said_instead_of_a_traceback() -> None:
    # Without its site packages an interpreter has none of the dependencies.
    command = [sys.executable, "-S", "-m", "scheduler", "run"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "lacks fastapi, fastapi_offline, filelock" in ended.stderr
    assert "pip install" in ended.stderr
    assert "Traceback" not in ended.stderr
