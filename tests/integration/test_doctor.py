"""The verb `doctor` on this very machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fixtures.candidates import ROOT


def doctor(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "doctor", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AUTORESEARCH_CACHE": str(tmp_path / "cache")}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_it_names_what_there_is(tmp_path: Path) -> None:
    code, out = doctor(tmp_path, "--json")
    findings = {finding["what"]: finding for finding in json.loads(out)}
    assert code == 0
    names = "versions cpu memory cache studies git sandbox ray keys port torch devices"
    assert set(names.split()) <= findings.keys()
    assert all(f["advice"] or f["grade"] != "missing" for f in findings.values())


def test_it_says_what_to_do_where_bubblewrap_is_missing(tmp_path: Path) -> None:
    # A PATH with nothing on it but the interpreter: bubblewrap isn't found there.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(shutil.which(sys.executable) or sys.executable)
    code, out = doctor(tmp_path, PATH=str(tmp_path / "bin"))
    assert code == 0
    assert "basic: a trial's processes are ended whole" in out
    assert "apt install bubblewrap" in out


def test_with_a_configuration_it_says_what_that_study_needs(tmp_path: Path) -> None:
    wanted = ["--config", "local", "--set", "data.source=path", "--set", "data.paths=[none.txt]"]
    code, out = doctor(tmp_path, "--json", *wanted)
    findings = {finding["what"]: finding for finding in json.loads(out)}
    assert code == 1
    assert findings["data"]["grade"] == "missing"
    assert "none.txt" in findings["data"]["seen"]
    assert {findings[what]["grade"] for what in ("task", "slots")} == {"ok"}
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"], "nothing is written"
    assert doctor(tmp_path, "--set", "no.such=1")[0] == 2
