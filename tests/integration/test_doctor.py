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
    assert {"python", "ray", "torch", "devices", "sandbox", "memory", "cache"} <= findings.keys()
    assert all(f["advice"] or f["grade"] != "missing" for f in findings.values())


def test_it_says_what_to_do_where_bubblewrap_is_missing(tmp_path: Path) -> None:
    # A PATH with nothing on it but the interpreter: bubblewrap isn't found there.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(shutil.which(sys.executable) or sys.executable)
    code, out = doctor(tmp_path, PATH=str(tmp_path / "bin"))
    assert code == 0
    assert "basic: a trial's processes are ended whole" in out
    assert "apt install bubblewrap" in out
