"""Training files that cheat, end to end: the real harness and referee in the real sandbox.

None gains a rank, leaves a process, leaks a secret or disturbs what comes after it, and each is
reported as what it was. What the sandbox and the probes do one by one stands in test_sandbox.py
and test_exam.py; here they work together.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.fixtures import hostile
from tests.fixtures.candidates import ROOT
from workers import Budget, Outcome, OutcomeStatus, Resources, Trial
from workers.sandbox import Level, probe_level
from workers.supervisor import run_trial

pytestmark = pytest.mark.skipif(
    probe_level()[0] is not Level.STRICT, reason=f"no strict sandbox: {probe_level()[1]}"
)

MARKER = "MARKER-OF-THE-EXAM"
Judge = Callable[..., Outcome]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text whose validation split holds a marker, packed by the real prepare."""
    room = tmp_path_factory.mktemp("text")
    rng = random.Random(5)
    words = ["ray", "actor", "loss", "gradient", "of", "the", "a", "token", "learns", MARKER]
    text = " ".join(rng.choice(words) for _ in range(60_000))
    (room / "text.txt").write_text(text)
    spec = {"source": "path", "paths": [str(room / "text.txt")], "root": str(room)}
    packed = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "train_template.prepare"),
            *("--out", str(room / "packed"), "--spec", json.dumps({**spec, "tokenizer": "bytes"})),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(packed.stdout.splitlines()[-1])["folder"])


@pytest.fixture
def judge(data: Path) -> Iterator[Judge]:
    """Run a train.py as a trial; at the end no process of it may be alive."""
    before = set(psutil.Process().children(recursive=True))

    def run(script: str, **changes: object) -> Outcome:
        trial = Trial(
            id=1,
            experiment=1,
            number=1,
            seed=3,
            slot=0,
            files={"train.py": script},
            task="",
            data="",
            budget=Budget(seconds=None, steps=5, startup_seconds=60, step_limit_seconds=20),
            resources=Resources(memory_bytes=1_500_000_000),
            settings={
                "sequence_length": 32,
                "validation_tokens": 3300,
                "eval_batch_tokens": 512,
            },
            sandbox="strict",
        )
        return run_trial(
            replace(trial, **changes),  # type: ignore[arg-type]
            task=ROOT,
            data=data,
            exam=(data / "validation.bin").read_bytes,
            report=lambda _: None,
        )

    yield run
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture(scope="module")
def honest(data: Path) -> list[float]:
    """The score of the honest training, once it has been measured."""
    return []


def honest_score(judge: Judge, honest: list[float]) -> float:
    if not honest:
        outcome = judge(hostile.bent())
        assert outcome.metric is not None, outcome.reason
        honest.append(outcome.metric)
    return honest[0]


REFUSED = {
    "sends a score of its own": (hostile.SENDS_A_SCORE, "rejected", "score of its own"),
    "sends a pickle": (hostile.SENDS_A_PICKLE, "crash|rejected", "protocol|message|exam"),
    "looks ahead": (hostile.LOOKS_AHEAD, "rejected", "causal"),
    "learns in the exam": (hostile.LEARNS_IN_THE_EXAM, "rejected", "stateless|asked again"),
    "remembers prefixes": (hostile.REMEMBERS_PREFIXES, "rejected", "causal|stateless"),
    "answers in another shape": (hostile.WRONG_SHAPE, "rejected|crash", "shape|logits"),
    "answers with integers": (hostile.INTEGERS, "rejected|crash", "logits|type|int64"),
    "answers with infinity": (hostile.INFINITE, "rejected", "finite|inf|nan"),
    "goes on after the end": (hostile.IGNORES_THE_END, "timeout", "eval|exam"),
    "trains on after the end": (hostile.TRAINS_ON, "rejected", "no training after the budget"),
    "looks for data before the clock": (hostile.EARLY_DATA, "crash", "saw what I could"),
    "takes all memory": (hostile.TAKES_MEMORY, "oom", "memory"),
    "forks without end": (hostile.FORKS, "oom|crash", "processes|Resource"),
    "sends half an answer": (
        hostile.SENDS_HALF_AN_ANSWER,
        "timeout",
        "the model's answers took too long (train.py, line ",
    ),
    "aborts": (hostile.DUMPS_CORE, "crash", "SIGABRT in warm_up"),
    "bombs with forks": (hostile.BOMB, "oom|crash", "processes at once|memory"),
    "leaves a child in charge": (hostile.LEAVES_A_CHILD_IN_CHARGE, "crash", "exit code 0"),
    "kills what it sees": (hostile.KILLS_ALL, "crash|oom|lost", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_as_what_it_was(judge: Judge, name: str) -> None:
    script, states, words = REFUSED[name]
    limit = 3 if states == "timeout" else 60  # who waits for it and who must not
    budget = Budget(
        seconds=None, steps=5, startup_seconds=60, step_limit_seconds=20, eval_seconds=limit
    )
    outcome = judge(script, budget=budget)
    assert outcome.metric is None
    assert outcome.status.value in states.split("|"), outcome.reason
    assert any(word in outcome.reason for word in words.split("|")), outcome.reason
    assert "the training data is here" not in outcome.log


def test_sleeping_in_the_exam_buys_no_training_before_it(judge: Judge) -> None:
    settings = {
        "sequence_length": 32,
        "validation_tokens": 1650,
        "eval_batch_tokens": 512,
        "first_answer_seconds": 3,
    }
    outcome = judge(hostile.SLEEPS_IN_THE_EXAM, settings=settings)
    assert outcome.status is OutcomeStatus.REJECTED, outcome.reason
    assert outcome.reason.startswith("the first answer in the exam took 3.")


def test_memory_that_no_process_shows_goes_when_the_trial_ends(judge: Judge) -> None:
    def shared() -> int:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Shmem:"))

    before = shared()
    assert judge(hostile.HIDES_MEMORY).status is OutcomeStatus.DONE
    limit = time.monotonic() + 60
    while shared() > before + 300_000:  # of 400 MB; other programs of the machine come and go
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_fakes_and_patches_change_no_score(judge: Judge, honest: list[float]) -> None:
    outcome = judge(hostile.FAKES)
    assert outcome.status is OutcomeStatus.DONE, (outcome.reason, outcome.log)
    assert outcome.metric == pytest.approx(honest_score(judge, honest), abs=1e-6)
    assert "val_bpb: 0.1" in outcome.log


def test_a_clock_that_is_held_back_buys_no_training(judge: Judge) -> None:
    outcome = judge(hostile.STEALS_TIME, budget=Budget(seconds=3.0, startup_seconds=60))
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert "over its budget" in outcome.reason


def test_a_search_of_all_that_it_sees_finds_nothing(judge: Judge) -> None:
    outcome = judge(hostile.SEARCHES)
    assert outcome.status is OutcomeStatus.DONE, outcome.reason
    assert "found []" in outcome.log


def test_nothing_leaks_and_nothing_stays(
    judge: Judge, honest: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-you")
    mark = str(random.randrange(10**7, 10**8))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        outcome = judge(hostile.LEAKS.replace("PORT", str(port)).replace("MARK", mark))
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.metric == pytest.approx(honest_score(judge, honest), abs=1e-6)
    for word in ("sk-not", "CONNECTED", "\x1b", "\x07", "\x00"):
        assert word not in outcome.log
    # What a process was started with stands in /proc: here a neighbour's, and the supervisor's own.
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "KEY": "sk-not-for-you"}) as other:
        spied = judge(hostile.SPIES)
        other.kill()
    assert spied.status is OutcomeStatus.DONE, spied.reason
    assert "LEAKED" not in spied.log
    for process in psutil.process_iter(["cmdline"]):
        assert mark not in (process.info["cmdline"] or [])


def test_full_disks_end_at_their_size(judge: Judge, honest: list[float]) -> None:
    outcome = judge(hostile.FILLS)
    if outcome.metric is None:
        assert outcome.status is OutcomeStatus.OOM, outcome.reason
    else:
        assert outcome.metric == pytest.approx(honest_score(judge, honest), abs=1e-6)
        assert outcome.log.count("is full") == 3


def test_an_honest_trial_afterwards_is_as_before(judge: Judge, honest: list[float]) -> None:
    first = honest_score(judge, honest)
    again, other = judge(hostile.bent()), judge(hostile.bent(), seed=4)
    assert again.metric == pytest.approx(first, abs=1e-6)
    assert other.metric is not None
    assert abs(other.metric - first) > 1e-6
    assert (again.sandbox, again.judge) == ("strict", "referee, host memory")
