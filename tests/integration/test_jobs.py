"""Studies as jobs of a Ray cluster: the real Jobs API, the real commands, token authentication on.

The cluster's own environment holds packages that can't be imported under our names: what runs is
what was submitted, on the workers too.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scheduler.errors import NothingYet
from scheduler.rules.states import StopReason, StudyState, TrialState
from scheduler.study.reader import Reader
from scheduler.study.records import Study, TrialRecord
from tests.fixtures.candidates import ROOT
from tests.fixtures.lasting_cluster import LastingCluster

CODE = ("agent", "scheduler", "workers", "train_template", "configs", "program.md", ".gitignore")
TINY = [
    *("--config", "local", "--set", "budget.steps=400", "--set", "data.sequence_length=32"),
    *("--set", "data.validation_tokens=512", "--set", "data.eval_batch_tokens=512"),
    *("--set", "task.constants.DEPTH=1", "--set", "task.constants.BATCH_TOKENS=64"),
    *("--set", "keep.most_seeds=0"),
]


class Client:
    """A person's shell, in a folder with a checkout and a token."""

    def __init__(self, cluster: LastingCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        # A client says that it has a token; `submit-job` finds out by itself.
        self.environment = cluster.environment | {"PYTHONPATH": str(folder)}

    def start(self, *command: str, **variables: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def autoresearch(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        return finish(self.start(sys.executable, "-m", "scheduler", *arguments, **variables))

    def ray_job(self, verb: str, *arguments: str) -> "subprocess.Popen[str]":
        address = ("--address", self.cluster.address)
        return self.start("ray", "job", verb, *address, *arguments, RAY_AUTH_MODE="token")

    def submit(self, *arguments: str) -> str:
        """`ray job submit --no-wait`, again while a cluster that just started takes no jobs."""
        limit = time.monotonic() + 60
        while True:
            ended = finish(self.ray_job("submit", "--no-wait", "--working-dir", ".", *arguments))
            if ended[0] == 0:
                return next(word.strip("'") for word in ended[1].split() if "raysubmit_" in word)
            assert "No available agent" in ended[2], ended
            assert time.monotonic() < limit
            time.sleep(1)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def study_of(folder: Path) -> Study:
    with Reader(folder / "study.db") as reader:
        return reader.study()


def trials(folder: Path, *states: TrialState) -> list[TrialRecord]:
    if not (folder / "study.db").exists():
        return []
    with suppress(NothingYet), Reader(folder / "study.db") as reader:
        return [t for t in reader.trials() if not states or t.state in states]
    return []


@pytest.fixture(scope="module")
def cluster() -> Iterator[LastingCluster]:
    with tempfile.TemporaryDirectory() as foreign:
        for name in ("agent", "scheduler", "workers", "train_template"):
            (Path(foreign) / name).mkdir()
            (Path(foreign) / name / "__init__.py").write_text("raise ImportError('not submitted')")
        cluster = LastingCluster({"PYTHONPATH": foreign})
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.remove()


@pytest.fixture
def client(cluster: LastingCluster, tmp_path: Path) -> Client:
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    return Client(cluster, tmp_path)


@pytest.mark.timeout(500)  # a cluster that starts twice, and three jobs
def test_a_job_that_is_stopped_edited_and_killed_with_its_cluster_is_one_study(
    cluster: LastingCluster, client: Client
) -> None:
    night = cluster.studies / "night"
    run = ("run", "night", *TINY, "--set", "stop.max_experiments=500")
    job = client.submit("--", "python", "-m", "scheduler", *run)
    wait_for(lambda: bool(trials(night, TrialState.RUNNING)))
    code, _, err = finish(client.ray_job("stop", job))
    assert code == 0, err
    study = study_of(night)
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.SIGNAL)
    assert not trials(night, TrialState.RUNNING)
    before = {t.id for t in trials(night, TrialState.DONE)}
    code, log, _ = finish(client.ray_job("logs", job))
    assert f"study   {night} (new)" in log
    assert "ending: running trials are awaited" in log
    assert "Traceback" not in log

    # The directions are edited and the package of the environment takes the study up.
    for name in CODE:
        path = client.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (client.folder / "program.md").write_text("Look at the learning rates alone.\n")
    variables = json.dumps({"env_vars": {"PYTHONPATH": str(ROOT)}})
    client.environment["PYTHONPATH"] = str(ROOT)
    done = len(before)
    following = client.ray_job(
        *("submit", "--working-dir", ".", "--runtime-env-json", variables),
        *("--", "python", "-m", "scheduler.cli.app", "run", "night"),
    )
    wait_for(lambda: len(trials(night, TrialState.DONE)) > done)
    wait_for(lambda: bool(trials(night, TrialState.RUNNING)))
    assert (night / "program.md").read_text() == "Look at the learning rates alone.\n"
    cluster.kill()
    out, _ = following.communicate(timeout=30)
    assert f"study   {night} (resumed)" in out
    done_before = trials(night, TrialState.DONE)

    cluster.start()
    with Reader(night / "study.db") as reader:  # it has to last until a second one was refused
        last = max(e.id for e in reader.experiments()) + 4
    limit = ("--set", f"stop.max_experiments={last}")
    submission = ("submit-job", "night", "--address", cluster.address, *limit)
    following = client.start(sys.executable, "-m", "scheduler", *submission, "--follow")
    wait_for(lambda: study_of(night).state is StudyState.RUNNING and drives(cluster))
    code, _, err = client.autoresearch(*submission)
    assert code == 2
    assert "the study night is being run by the job raysubmit_" in err
    code, out, err = finish(following)
    assert code == 0, (out, err)
    assert f"study   {night} (resumed)" in out
    assert "stopped: stop.max_experiments is reached" in out
    with Reader(night / "study.db") as reader:
        experiments = list(reader.experiments())
    assert [e.id for e in experiments] == list(range(last + 1))
    assert [(e.id, e.state, e.reason) for e in experiments if e.metric is None] == []
    finished = trials(night, TrialState.DONE)
    assert sorted(t.experiment for t in finished) == list(range(last + 1))
    assert [t for t in finished if t.id in {d.id for d in done_before}] == done_before


def drives(cluster: LastingCluster) -> bool:
    """Whether a `run` is under way on the cluster."""
    for process in cluster.processes():
        try:
            if "scheduler run" in " ".join(process.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def test_a_study_that_would_go_with_the_cluster_is_refused(
    cluster: LastingCluster, client: Client
) -> None:
    job = client.submit("--", "python", "-m", "scheduler", "run", "./here", *TINY)
    _, log, _ = finish(client.ray_job("logs", "--follow", job))
    _, status, _ = finish(client.ray_job("status", job))
    assert "failed" in status
    assert "exit code 2" in status
    assert "lies in Ray's session folder" in log
    assert "Traceback" not in log
    assert not list(cluster.folder.glob("t/*/runtime_resources/working_dir_files/*/here"))


def test_a_driver_beside_the_cluster_finds_the_token(
    cluster: LastingCluster, client: Client
) -> None:
    script = "from scheduler.nodes import connect, nodes; print(connect().local, len(nodes()))"
    process = client.start(sys.executable, "-c", script, RAY_ADDRESS=cluster.ray_address)
    code, out, err = finish(process)
    assert (code, out) == (0, "False 1\n"), err


def test_submit_job_says_what_is_wrong_before_it_sends_anything(
    cluster: LastingCluster, client: Client
) -> None:
    here = ("--address", cluster.address)
    nobody = str(client.folder / "nobody")
    for arguments, variables, words in (
        (("--address", "127.0.0.1:1"), {}, "no cluster's dashboard answers there"),
        (here, {"HOME": nobody}, "asks for a token, and there is none here"),
        (here, {"RAY_AUTH_TOKEN": "x" * 64}, "refuses the token from RAY_AUTH_TOKEN"),
        ((*here, "--config", "gpu"), {}, "no node offers that"),
        ((*here, "./night"), {}, "a job's own folder doesn't last"),
        ((*here, "--set", "budget.secs=3"), {}, "budget.secs"),
    ):
        code, out, err = client.autoresearch("submit-job", *arguments, **variables)
        assert (code, words in err, "job  " in out) == (2, True, False), (arguments, err, out)
