"""Whatever a candidate does, run_trial returns the right Outcome and leaves nothing behind."""

import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.fixtures import candidates
from tests.fixtures.candidates import ROOT, data_folder, exam, scripted_trial, task_folder
from tests.fixtures.processes import nothing_left_behind
from workers import Outcome, OutcomeStatus, Phase, Progress, Resources, Trial
from workers.errors import BundleError
from workers.sandbox import Level, probe_level
from workers.supervisor import run_trial

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("places")
    return task_folder(folder), data_folder(folder)


@pytest.fixture
def reports() -> list[Progress]:
    return []


@pytest.fixture(params=Level)
def level(request: pytest.FixtureRequest) -> Level:
    """Every claim holds at both levels."""
    wanted: Level = request.param
    best, why = probe_level()
    if wanted is Level.STRICT and best is not Level.STRICT:
        pytest.skip(why)
    return wanted


@pytest.fixture
def run(
    places: tuple[Path, Path],
    level: Level,
    reports: list[Progress],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """Run a trial; afterwards its work folder and every child of this process must be gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run_one(trial: Trial, referee: str = "honest()") -> Outcome:
        return run_trial(
            replace(trial, sandbox=level),
            task=places[0],
            data=places[1],
            exam=lambda: exam(referee),
            report=reports.append,
        )

    with nothing_left_behind():
        yield run_one
    assert list(tmp_path.glob("trial-*")) == []


def sleepers(seconds: int) -> list[psutil.Process]:
    """The processes `sleep SECONDS`: a number that only one test uses marks its own."""
    wanted = ["sleep", str(seconds)]
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == wanted]


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead: its memory, its files and its device are given back."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_an_honest_candidate_is_done(run: Run, reports: list[Progress], level: Level) -> None:
    outcome = run(scripted_trial("print('hello')\nhonest(1.25)"))
    assert (outcome.status, outcome.metric, outcome.reason) == (OutcomeStatus.DONE, 1.25, "")
    assert (outcome.steps, outcome.tokens, outcome.parameters) == (2, 20, 7)
    assert (outcome.train_loss, outcome.device, outcome.log) == (2.25, "test device", "hello\n")
    assert outcome.hardware == "test device, float32"
    assert outcome.judge == "referee, host memory"
    assert outcome.sandbox == level
    assert list(dict.fromkeys(report.phase for report in reports)) == list(Phase)


def test_the_audit_comes_with_the_outcome_where_the_metric_asks_for_it(run: Run) -> None:
    better = replace(scripted_trial("honest(1.25, audit=1.75)"), audit=(-math.inf, 1.5))
    outcome = run(better)
    assert (outcome.status, outcome.metric, outcome.audit_metric) == (
        OutcomeStatus.DONE,
        1.25,
        1.75,
    )
    worse = replace(scripted_trial("honest(1.75, audit=1.25)"), audit=(-math.inf, 1.5))
    assert run(worse).audit_metric is None
    leaving = "train()\nassert exam.recv(1) == b'?'\nexam.sendall(b'!')\nraise SystemExit(0)"
    left = run(replace(scripted_trial(leaving), audit=(-math.inf, math.inf)))
    assert (left.status, left.metric) == (OutcomeStatus.CRASH, None)


def test_the_timings_sum_up_to_the_time_that_the_slot_was_held(run: Run) -> None:
    outcome = run(scripted_trial("import time\nhonest()\ntime.sleep(0.3)"))
    held = outcome.finished_at - outcome.started_at
    assert outcome.timings.total == pytest.approx(held, rel=0.05)
    assert outcome.timings.teardown > 0.3


def test_training_data_comes_with_go(run: Run) -> None:
    outcome = run(scripted_trial("print(go())"))
    assert outcome.log == "b'12345'\n"


SIGNAL_SELF = "import os, signal\ngo()\nos.kill(os.getpid(), signal.{})"
FAILURES = {
    "exits": ("raise SystemExit(3)", "crash", "exit code 3 in startup"),
    "exits with a signal's code": (
        "go()\nimport os\nos._exit(137)",
        "crash",
        "137|SIGKILL in train, before it had a metric, and not by the kernel",
    ),
    "exits quietly": ("go()", "crash", "exit code 0 in train"),
    "raises": ("go()\nraise ValueError('no')", "crash", r"^ValueError: no \(train.py, line 2"),
    "exits in eval": ("train()\nraise SystemExit(0)", "crash", "exit code 0 in eval"),
    "dies in eval": ("train()\nimport os\nos.kill(os.getpid(), 11)", "crash", "SIGSEGV in eval"),
    "fails in eval": (
        "import time\ntrain()\nexam.close()\ntime.sleep(0.3)\nsay('FAILED', text='oom\\nbig')",
        "oom",
        "^big$",
    ),
    "leaves the exam": (
        "import time\ntrain()\nexam.close()\ntime.sleep(60)",
        "crash",
        "the candidate closed the exam",
    ),
    "segfaults": (
        SIGNAL_SELF.format("SIGSEGV"),
        "crash",
        r"SIGSEGV in train.* \(train.py, line 3: os.kill\(os.getpid\(\), signal.SIGSEGV\)\)$",
    ),
    "kills itself": (
        SIGNAL_SELF.format("SIGKILL"),
        "crash",
        "SIGKILL in train, before it had a metric, and not by the kernel for want of memory$",
    ),
    "says failed": ("say('FAILED', text='oom\\n\x1b[1mtoo big')", "oom", "^too big$"),
    "blames others": ("say('FAILED', text='lost\\nnot me')", "crash", "^not me$"),
    "nan": ("honest(float('nan'))", "rejected", "metric is nan"),
    "infinite": ("honest(float('inf'))", "rejected", "metric is inf"),
    "negative": ("honest(-0.5)", "rejected", "metric is -0.5"),
    "scores itself": ("train()\nsay('SCORED', value=0.1)", "rejected", "score of its own in eval"),
    "no training": ("say('HELLO')\nsay('TRAINED')", "crash", "TRAINED in warm_up"),
    "trains twice": ("go()\nsay('READY')", "crash", "READY in train"),
    "garbage": ("channel.sendall(b'\\x93' * 5000)", "crash", "without the magic bytes"),
    "hangs up": (
        "import time\nsay('HELLO')\nchannel.close()\ntime.sleep(60)",
        "crash",
        "closed its connection in warm_up",
    ),
}


@pytest.mark.parametrize(("script", "status", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_failure_has_its_status_and_its_reason(
    run: Run, script: str, status: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.judge.TEARDOWN_SECONDS", 0.3)
    outcome = run(scripted_trial(script))
    assert outcome.status == status, outcome
    assert re.search(reason, outcome.reason)
    assert outcome.metric is None


def test_a_candidate_that_the_kernel_killed_for_want_of_memory_is_oom(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No test can bring a machine to that: what the kernel counts stands for it.
    counts = iter([5, 6])
    monkeypatch.setattr("workers.supervisor.kernel_kills", lambda: next(counts))
    outcome = run(scripted_trial(SIGNAL_SELF.format("SIGKILL")))
    assert outcome.status is OutcomeStatus.OOM
    assert outcome.reason.endswith("before it had a metric: by the kernel, for want of memory")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such rank")
def test_the_kernel_would_take_a_candidate_first(run: Run) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    outcome = run(scripted_trial("print(open('/proc/self/oom_score_adj').read())\nhonest()"))
    assert outcome.log.split() == ["1000"]
    assert Path("/proc/self/oom_score_adj").read_text() == own


def test_a_candidate_that_is_out_of_time_says_where_it_was(run: Run) -> None:
    script = (
        "import faulthandler, signal, time\n"
        "faulthandler.register(signal.SIGUSR1)\n"  # as the real harness does
        "def step(): time.sleep(60)\n"
        "go()\nstep()"
    )
    outcome = run(scripted_trial(script, step_limit_seconds=0.3))
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert outcome.reason == (
        "train outlasted its limit of 0.3 s (train.py, line 3: def step(): time.sleep(60))"
    )


def test_sleeping_in_startup_is_a_timeout(run: Run) -> None:
    outcome = run(scripted_trial("import time\ntime.sleep(60)", startup_seconds=0.5))
    assert (outcome.status, outcome.timings.warm_up) == (OutcomeStatus.TIMEOUT, 0.0)
    assert "startup" in outcome.reason


def test_sleeping_in_training_is_a_timeout(run: Run) -> None:
    script = "import time\ngo()\ntime.sleep(60)"
    outcome = run(scripted_trial(script, step_limit_seconds=0.3))
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert outcome.reason == "train outlasted its limit of 0.3 s"


REFEREES = {
    "dies at once": ("raise SystemExit(3)", "lost", "ended without a score"),
    "dies in the exam": ("begin()\nraise KeyError('x')", "lost", "failed: KeyError: 'x'"),
    "speaks nonsense": ("begin()\nchannel.sendall(b'y' * 5000)", "lost", "magic bytes"),
    "never asks": ("import time\ntime.sleep(60)", "lost", ", and hung|not ready"),
    "hangs in the exam": (
        "import time\nbegin()\nask()\ntime.sleep(60)",
        "lost",
        "^eval outlasted its limit of 2.5 s,.*, and hung",
    ),
    "refuses": ("begin()\nask()\nsay('FAILED', text='rejected\\nnope')", "rejected", "^nope$"),
    "gives no number": ("begin()\nsay('SCORED', value=float('nan'))", "rejected", "is nan"),
}


@pytest.mark.parametrize(("referee", "status", "reason"), REFEREES.values(), ids=REFEREES)
def test_a_referee_that_fails_is_not_the_candidates_fault(
    run: Run, referee: str, status: str, reason: str
) -> None:
    outcome = run(scripted_trial("honest()", eval_seconds=2.5), referee)
    assert (outcome.status, outcome.metric) == (status, None)
    assert re.search(reason, outcome.reason)


def test_an_exam_that_does_not_arrive_is_lost(places: tuple[Path, Path], level: Level) -> None:
    def fetch() -> bytes:
        raise BundleError("no such bundle")

    outcome = run_trial(
        scripted_trial("honest()", sandbox=level),
        task=places[0],
        data=places[1],
        exam=fetch,
        report=lambda _: None,
    )
    assert (outcome.status, outcome.judge) == (OutcomeStatus.LOST, "")
    assert outcome.reason.endswith("the validation tokens did not arrive: no such bundle")


def test_validation_tokens_are_fetched_after_training_where_a_candidate_could_find_them(
    places: tuple[Path, Path], level: Level
) -> None:
    phases: list[Phase] = []
    fetched_in: list[Phase] = []

    def fetch() -> bytes:
        fetched_in.append(phases[-1])
        return exam()

    run_trial(
        scripted_trial(
            "import time\ngo()\ntime.sleep(0.3)\nsay('TRAINED')\nanswer()", sandbox=level
        ),
        task=places[0],
        data=places[1],
        exam=fetch,
        report=lambda progress: phases.append(progress.phase),
    )
    assert fetched_in == [Phase.TRAIN if level is Level.STRICT else Phase.EVAL]


def test_a_trial_that_nobody_waits_for_is_ended(places: tuple[Path, Path], level: Level) -> None:
    phases: list[Phase] = []
    outcome = run_trial(
        scripted_trial("import time\ngo()\ntime.sleep(60)", sandbox=level),
        task=places[0],
        data=places[1],
        exam=exam,
        report=lambda progress: phases.append(progress.phase),
        orphaned=lambda: "nobody is there" if Phase.TRAIN in phases else "",
    )
    assert (outcome.status, outcome.reason) == (OutcomeStatus.LOST, "nobody is there")


def test_sleeping_in_eval_is_a_timeout(run: Run) -> None:
    script = "import time\ngo()\nsay('TRAINED')\ntime.sleep(60)"
    outcome = run(scripted_trial(script, eval_seconds=0.3))
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert outcome.reason == (
        "eval outlasted its limit of 0.3 s, with 0% of the exam answered: "
        "the model's answers took too long"
    )


def test_a_candidate_that_refuses_to_end_keeps_its_metric(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.judge.TEARDOWN_SECONDS", 0.3)
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nhonest()\ntime.sleep(60)"
    assert run(scripted_trial(script)).status is OutcomeStatus.DONE


def test_a_hundred_megabytes_of_log_pass(run: Run) -> None:
    script = "import os\nfor _ in range(1600): os.write(1, b'x' * 65535 + b'\\n')\nhonest()"
    outcome = run(scripted_trial(script))
    assert outcome.status is OutcomeStatus.DONE
    assert f"{1600 * 65536 - 2 * 65536} bytes left out" in outcome.log


def test_the_log_holds_no_escapes(run: Run) -> None:
    outcome = run(scripted_trial("print('\\x1b[2J\\x1b]0;owned\\x07plain')\nhonest()"))
    assert outcome.log == "plain\n"


def test_a_flood_of_messages_makes_few_reports(run: Run, reports: list[Progress]) -> None:
    outcome = run(
        scripted_trial(
            "go()\nfor step in range(20000): say('PROGRESS', step=step)\n"
            "say('TRAINED', step=20000)\nanswer()"
        )
    )
    assert (outcome.status, outcome.steps) == (OutcomeStatus.DONE, 20000)
    assert len(reports) < 200


def test_memory_of_the_whole_tree_is_limited(run: Run) -> None:
    child = "import time; block = b'x' * 250_000_000; time.sleep(60)"
    script = (
        "import subprocess, sys\ngo()\n"
        f"for _ in range(2): child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "child.wait()"
    )
    outcome = run(scripted_trial(script, resources=Resources(memory_bytes=400_000_000)))
    assert outcome.status is OutcomeStatus.OOM
    assert "400 MB is the limit" in outcome.reason
    assert outcome.peak_memory_bytes > 400_000_000


DAEMON = """
import os, subprocess, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{seconds}"])
    os._exit(0)
os.wait()
"""


def test_a_daemon_does_not_outlive_an_honest_candidate(run: Run) -> None:
    seconds = random.randrange(10**7, 10**8)
    outcome = run(scripted_trial(DAEMON.format(seconds=seconds) + "honest()"))
    assert outcome.status is OutcomeStatus.DONE
    assert sleepers(seconds) == []


def test_a_daemon_does_not_outlive_a_killed_candidate(run: Run) -> None:
    seconds = random.randrange(10**7, 10**8)
    script = DAEMON.format(seconds=seconds) + "go()\ntime.sleep(60)"
    assert run(scripted_trial(script, step_limit_seconds=0.3)).status is OutcomeStatus.TIMEOUT
    assert sleepers(seconds) == []


@pytest.mark.parametrize("level", [Level.BASIC], indirect=True)
def test_a_candidate_that_kills_its_keeper_leaves_nothing(run: Run) -> None:
    seconds = random.randrange(10**7, 10**8)
    script = DAEMON.format(seconds=seconds) + (
        "go()\ntime.sleep(1)\nos.kill(os.getppid(), 9)\ntime.sleep(60)"
    )
    outcome = run(scripted_trial(script))
    assert outcome.status is OutcomeStatus.CRASH
    assert sleepers(seconds) == []


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no subreaper")
@pytest.mark.parametrize("phase", candidates.UNTIL)
def test_nothing_outlives_a_supervisor_that_is_killed(
    places: tuple[Path, Path], tmp_path: Path, level: Level, phase: str
) -> None:
    seconds = random.randrange(10**7, 10**8)
    script = candidates.lingering(phase, DAEMON.format(seconds=seconds))
    program = (
        "from pathlib import Path\n"
        "from workers.supervisor import run_trial\n"
        "from tests.fixtures.candidates import exam, scripted_trial\n"
        f"run_trial(scripted_trial({script!r}, seconds=600, sandbox={level.value!r}),"
        " report=print, exam=exam,"
        f" task=Path({str(places[0])!r}), data=Path({str(places[1])!r}))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: bool(sleepers(seconds)))
    tree = psutil.Process(supervisor.pid).children(recursive=True)
    supervisor.kill()
    supervisor.wait()
    time.sleep(0.5)
    assert [process for process in tree if is_alive(process)] == []
    assert sleepers(seconds) == []


# Forks supervisors, and kills each within the milliseconds in which its sandboxes are being made.
KILLED_AT_THE_START = """
import os, random, signal, sys, time
from pathlib import Path
from workers.supervisor import run_trial
from workers.sandbox import command, View, probe_level
from tests.fixtures.candidates import exam, scripted_trial

probe_level(), command(View(), [])  # these start processes too, once
trial = scripted_trial("go()\\nwhile True: pass", seconds=600, sandbox=sys.argv[1])
task, data = Path(sys.argv[2]), Path(sys.argv[3])
for number in range(40):
    if not (supervisor := os.fork()):
        run_trial(trial, report=print, exam=exam, task=task, data=data)
    listed = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    while not listed.read_bytes():
        pass
    end = time.monotonic() + number * 0.001
    while time.monotonic() < end:
        pass
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no subreaper")
def test_nothing_outlives_a_supervisor_that_is_killed_while_it_starts(
    places: tuple[Path, Path], level: Level
) -> None:
    task, data = map(str, places)
    program = [sys.executable, "-c", KILLED_AT_THE_START, level.value, task, data]
    subprocess.run(program, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    lines = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if task in line] == []


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only ends a test that has failed."""
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_cancellation_passes_through_and_kills(run: Run, reports: list[Progress]) -> None:
    seconds = random.randrange(10**7, 10**8)

    def interrupt() -> None:
        wait_until(lambda: bool(sleepers(seconds)))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(scripted_trial(DAEMON.format(seconds=seconds) + "go()\ntime.sleep(60)"))
    thread.join()
    assert sleepers(seconds) == []


def test_secrets_do_not_reach_a_candidate(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("PYTORCH_TOKEN", "sk-2")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sk-3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    script = "import os\nprint(sorted(os.environ), os.environ['CUDA_VISIBLE_DEVICES'])"
    outcome = run(scripted_trial(script, resources=Resources(gpus=2)))
    assert outcome.gpu_ids == ("2", "3")
    assert "2,3" in outcome.log
    assert not [word for word in ("KEY", "TOKEN", "RAY", "sk-") if word in outcome.log]


def test_a_trial_without_gpus_sees_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    outcome = run(scripted_trial("import os\nprint(repr(os.environ['CUDA_VISIBLE_DEVICES']))"))
    assert (outcome.log, outcome.gpu_ids) == ("''\n", ())


def test_signals_are_at_their_defaults_in_a_candidate(run: Run) -> None:
    script = (
        "import signal\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []),\n"
        "      signal.getsignal(signal.SIGINT) is signal.default_int_handler,\n"
        "      signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    )
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        assert run(scripted_trial(script)).log == "set() True True\n"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@pytest.mark.parametrize("name", ["../train.py", "/etc/x", "train.py/x", "a\0b"])
def test_a_file_that_leaves_the_work_folder_is_rejected(run: Run, name: str) -> None:
    trial = scripted_trial("honest()")
    trial = replace(trial, files={**trial.files, name: ""})
    assert run(trial).status is OutcomeStatus.REJECTED


def test_missing_data_or_task_is_lost(places: tuple[Path, Path], tmp_path: Path) -> None:
    for task, data in ((tmp_path, places[1]), (places[0], tmp_path)):
        outcome = run_trial(
            scripted_trial("honest()"), task=task, data=data, exam=exam, report=print
        )
        assert outcome.status is OutcomeStatus.LOST
        assert str(tmp_path) in outcome.reason


def test_importing_workers_imports_neither_ray_nor_torch() -> None:
    program = "import sys, workers; print(sorted({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"[]\n"
