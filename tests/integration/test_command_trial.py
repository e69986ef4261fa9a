"""Trials of repositories of one's own: real processes at both levels of the sandbox.

Each test writes a small program, runs it as a trial, and looks at the Outcome.
"""

import socket
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from workers import (
    Budget,
    Command,
    Limit,
    Mount,
    Outcome,
    OutcomeStatus,
    Reading,
    Resources,
    Setup,
    Trial,
)
from workers.command import command_line
from workers.command_trial import run_command
from workers.sandbox import Level, probe_level

LEVELS = ("basic", "strict")
LOSS = Reading("loss", pattern=r"loss[:=]\s*(\S+)")
PROGRAM = "print('loss: 0.75')\nprint('loss: 0.5')\n"

Run = Callable[..., Outcome]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    if request.param == "strict" and probe_level()[0] is not Level.STRICT:
        pytest.skip("no bubblewrap here")
    return str(request.param)


@pytest.fixture
def run(tmp_path: Path, level: str) -> Run:
    """Runs a program as a trial: the repository holds `fixed`, the trial brings `train`."""

    def run(
        train: str = PROGRAM,
        fixed: Mapping[str, str] | None = None,
        *,
        budget: float = 5.0,
        limits: tuple[Limit, ...] = (),
        memory: int | None = None,
        **command: Any,
    ) -> Outcome:
        repository = tmp_path / "bundle"
        repository.mkdir(exist_ok=True)
        for name, text in {"README.md": "A task.\n", **(fixed or {})}.items():
            path = repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        settings = {"argv": ("{python}", "train.py"), "metric": LOSS, "deadline_seconds": 30.0}
        trial = Trial(
            id=1,
            experiment=0,
            number=1,
            seed=7,
            slot=0,
            files={"train.py": textwrap.dedent(train)},
            task="0" * 64,
            data="",
            budget=Budget(seconds=budget),
            resources=Resources(cpus=1, memory_bytes=memory),
            sandbox=level,
            command=Command(**{**settings, **command}),
            limits=limits,
        )
        return run_command(
            trial, repository=repository, cache=tmp_path / "cache", report=lambda _: None
        )

    return run


def test_the_last_line_that_matches_is_the_metric_and_it_is_called_self_reported(run: Run) -> None:
    outcome = run()
    assert (outcome.status, outcome.metric) == (OutcomeStatus.DONE, 0.5)
    assert outcome.judge == "self-reported"
    assert outcome.timings.train > 0
    assert outcome.device


def test_the_command_is_told_its_seed_its_budget_and_its_variables(run: Run) -> None:
    said = run(
        "import os, sys\nprint(sys.argv[1:], os.environ['BUDGET'], os.environ['GREETING'])\n"
        "print('loss:', 1)\n",
        argv=("{python}", "train.py", "--seed={seed}", "{gpus}"),
        environment={"BUDGET": "{seconds}", "GREETING": "hello ${seed}"},
    ).log
    assert "['--seed=7', '0'] 5 hello ${seed}" in said


def test_a_line_for_the_shell_is_run_by_one(run: Run) -> None:
    line = "for n in 3 2; do echo loss: $n; done && {python} -c 'print(1)'"
    assert run(argv=command_line(line)).metric == 2.0


def test_a_key_of_a_json_file_is_the_metric_and_others_stand_beside_it(run: Run) -> None:
    outcome = run(
        """
        import json, pathlib
        pathlib.Path("out").mkdir()
        pathlib.Path("out/metrics.json").write_text(json.dumps({"val": [{"loss": 0.25}], "n": 9}))
        """,
        metric=Reading("loss", file="out/metrics.json", key="val.-1.loss"),
        metrics=(Reading("parameters", file="out/metrics.json", key="n"),),
        artifacts=("out/*.json",),
    )
    assert (outcome.metric, outcome.metrics) == (0.25, {"parameters": 9.0})
    assert [name for name, _ in outcome.artifacts] == ["out/metrics.json"]


@pytest.mark.parametrize(
    ("train", "settings", "status", "words"),
    [
        (PROGRAM, {"argv": ("no-such-program",)}, "crash", "can't be started (task.command)"),
        ("print('done')", {}, "crash", "no line that it printed matches the pattern of loss"),
        ("print('done')", {}, "crash", "its last line was 'done'"),
        (PROGRAM, {"metric": Reading("loss", file="x.json", key="a")}, "crash", "no file x.json"),
        ("print('loss: nan')", {}, "rejected", "its loss is nan, which is no score"),
        ("print('loss: good')", {}, "crash", "loss is 'good' in the output, which is no number"),
        ("def f():\n    raise ValueError('no')\nf()", {}, "crash", "ValueError: no"),
        ("import sys\nsys.exit('out of data')", {}, "crash", "out of data (exit code 1)"),
        (
            PROGRAM + "open('README.md', 'a').write('x')",
            {},
            "rejected",
            "the run changed README.md, which is protected",
        ),
        (
            PROGRAM + "import os; os.remove('README.md')",
            {},
            "rejected",
            "the run changed README.md, which is protected",
        ),
        (
            "import time\nprint('waiting', flush=True)\ntime.sleep(60)",
            {"deadline_seconds": 1.0},
            "timeout",
            "more than 1 s, its deadline (task.deadline); the last that it printed: 'waiting'",
        ),
    ],
)
def test_what_goes_wrong_is_said_with_the_line_that_proves_it(
    run: Run, train: str, settings: dict[str, Any], status: str, words: str
) -> None:
    outcome = run(train, **settings)
    assert outcome.status == status
    assert words in outcome.reason
    assert outcome.metric is None


def test_files_that_a_run_may_alter_can_be_named(run: Run) -> None:
    train = PROGRAM + "open('README.md', 'a').write('x')"
    assert run(train, may_change=("README.md",)).status is OutcomeStatus.DONE


def test_an_enforced_budget_ends_the_script_and_takes_what_it_said_last(run: Run) -> None:
    outcome = run(
        """
        import time
        for n in range(1000):
            print(f"loss: {1 / (n + 1):.3f}", flush=True)
            time.sleep(0.1)
        """,
        enforced=True,
        budget=1.0,
    )
    assert outcome.status is OutcomeStatus.DONE, outcome.reason
    assert outcome.metric is not None
    assert outcome.metric < 1


def test_a_script_that_ignores_the_end_of_its_budget_is_killed_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.command_trial.TERM_SECONDS", 0.5)
    outcome = run(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("loss: 3", flush=True)
        time.sleep(60)
        """,
        enforced=True,
        budget=0.5,
    )
    assert (outcome.status, outcome.metric) == (OutcomeStatus.DONE, 3.0)


def test_more_memory_than_the_limit_is_oom(run: Run) -> None:
    hungry = "x = bytearray(400_000_000)\nimport time; time.sleep(20)"
    assert run(hungry, memory=200_000_000).status is OutcomeStatus.OOM


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit("memory_gb", most=0.0001), "memory_gb is"),
        (Limit("accuracy", least=0.9), "accuracy is 0.5, below its limit of 0.9"),
    ],
)
def test_a_broken_limit_rejects_whatever_the_metric(run: Run, limit: Limit, words: str) -> None:
    outcome = run(
        "import time; time.sleep(0.5)\nprint('loss: 0.5')\nprint('acc 0.5')",
        metrics=(Reading("accuracy", pattern=r"acc (\S+)"),),
        limits=(limit,),
    )
    assert outcome.status is OutcomeStatus.REJECTED
    assert words in outcome.reason
    assert "its metric was 0.5" in outcome.reason


BURST = """
import mmap, os, sys, time
def burst():
    fill = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, 300_000_000, flags=fill).close()
"""


@pytest.mark.parametrize(
    "when",
    [
        "time.sleep(0.25); burst(); time.sleep(0.25)",  # between two looks
        "burst()",  # before the first, and at the end
        "if os.fork(): os.wait()\nelse: burst(); os._exit(0)",
    ],
)
def test_memory_at_its_peak_is_what_the_kernel_counted(run: Run, when: str) -> None:
    outcome = run(f"{BURST}\n{when}\nprint('loss: 1')")
    assert outcome.status is OutcomeStatus.DONE, outcome.reason
    assert 0.3 <= outcome.peak_memory_bytes / 1e9 < 0.45


def test_what_processes_hold_at_once_is_added_up_and_what_they_hold_in_turn_is_not(
    run: Run,
) -> None:
    child = "if os.fork(): os.wait()\nelse: burst(); time.sleep(0.6); os._exit(0)"
    held = "kept = b'x' * 300_000_000"
    both = run(f"{BURST}\n{held}\n{child}\nprint('loss: 1')")
    in_turn = run(f"{BURST}\nburst(); time.sleep(0.6)\n{child}\nprint('loss: 1')")
    assert 0.3 <= in_turn.peak_memory_bytes / 1e9 < 0.45
    assert both.peak_memory_bytes / 1e9 >= 0.6


def test_a_limit_that_is_kept_to_changes_nothing(run: Run) -> None:
    assert run(limits=(Limit("memory_gb", most=100.0), Limit("seconds", most=60.0))).metric == 0.5


def test_set_up_runs_once_and_what_it_made_is_there_for_every_trial(run: Run) -> None:
    settings = {
        "fixed": {"install.py": "import os, time; os.mkdir('.deps')\n"
                  "open('.deps/wheel.py', 'w').write(f'MADE = {time.time_ns()}')\n"},
        "environment": {"PYTHONPATH": ".deps"},
        "setup": Setup((sys.executable, "install.py"), network=False),
    }  # fmt: skip
    train = "import wheel\nprint('loss:', wheel.MADE)\n"
    first, second = run(train, **settings), run(train, **settings)
    assert first.status is OutcomeStatus.DONE, first.reason + first.log
    assert first.metric == second.metric


def test_set_up_never_sees_what_an_agent_edits(run: Run) -> None:
    setup = Setup(("ls", "train.py"), network=False)
    outcome = run(setup=setup)
    assert outcome.status is OutcomeStatus.LOST
    assert "task.setup failed on " in outcome.reason
    assert "cannot access 'train.py'" in outcome.reason


def test_a_mount_below_home_is_there_and_read_only_where_that_can_be_held(
    run: Run, tmp_path: Path, level: str
) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "size").write_text("12")
    outcome = run(
        """
        import os, pathlib
        shards = pathlib.Path("~/.cache/shards").expanduser()
        print("loss:", (shards / "size").read_text())
        try:
            (shards / "new").write_text("")
        except OSError:
            print("read-only")
        """,
        mounts=(Mount(str(tmp_path / "shards"), "~/.cache/shards"),),
    )
    assert outcome.metric == 12.0, outcome.reason + outcome.log
    assert level == "basic" or "read-only" in outcome.log


def test_a_mount_that_is_not_there_is_named(run: Run) -> None:
    outcome = run(mounts=(Mount("/no/such/folder", "/no/such/folder"),))
    assert outcome.status is OutcomeStatus.LOST
    assert "task.mounts: /no/such/folder is not there" in outcome.reason


def test_there_is_no_network_unless_it_is_allowed(run: Run, level: str) -> None:
    if level == "basic":
        pytest.skip("the basic level has the node's network")
    look = "import socket\nprint('loss:', len(socket.if_nameindex()))"
    alone, with_network = run(look), run(look, network=True)
    assert alone.metric == 1.0  # the loopback device
    assert with_network.metric == len(socket.if_nameindex())


def test_no_key_of_the_driver_reaches_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    outcome = run("import os\nprint(dict(os.environ))\nprint('loss: 1')")
    assert "sk-secret" not in outcome.log


def test_a_link_out_of_the_work_folder_is_no_metric_and_no_artifact(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("0.1")
    outcome = run(
        f"import os\nos.symlink({str(tmp_path / 'secret')!r}, 'metric.txt')",
        metric=Reading("loss", file="metric.txt"),
        artifacts=("*.txt",),
    )
    assert outcome.status is OutcomeStatus.CRASH
    assert not outcome.artifacts


def test_a_script_that_is_told_its_budget_is_no_clock_of_its_own(run: Run) -> None:
    outcome = run(
        "import time\nprint('loss: 1', flush=True)\ntime.sleep(20)\n",
        budget=1.0,
        most_seconds=1.5,
    )
    assert outcome.status is OutcomeStatus.TIMEOUT
    assert "more than 1.5 s, which are what the baseline took and 5 s of grace" in outcome.reason


LATE = """
import os, signal, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print("loss: 3", flush=True)
open("score", "w").write("3")
while not asked:
    time.sleep(0.05)
time.sleep(1)
print("loss: 1", flush=True)
open("score", "w").write("1")
os.utime("score", (0, 0))
"""


def test_what_is_reported_long_after_an_enforced_budget_does_not_count(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.command_said.COUNT_SECONDS", 0.3)
    outcome = run(LATE, enforced=True, budget=1.0)
    assert (outcome.status, outcome.metric) == (OutcomeStatus.DONE, 3.0)
    assert "loss: 1" in outcome.log
    outcome = run(LATE, enforced=True, budget=1.0, metric=Reading("loss", file="score"))
    assert outcome.status is OutcomeStatus.CRASH
    assert "score was changed" in outcome.reason


def test_a_number_of_400_digits_is_a_crash_with_its_reason(run: Run) -> None:
    outcome = run(
        "open('m.json', 'w').write('{\"a\": ' + '9' * 400 + '}')\n",
        metric=Reading("loss", file="m.json", key="a"),
    )
    assert outcome.status is OutcomeStatus.CRASH
    assert "a in m.json is no score" in outcome.reason


def test_what_nobody_thought_of_is_a_crash_with_its_log(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> float:
        raise RecursionError("too deep")

    monkeypatch.setattr("workers.command_said.read_file", stumble)
    outcome = run(metric=Reading("loss", file="m.json", key="a"))
    assert outcome.status is OutcomeStatus.CRASH
    assert "RecursionError: too deep" in outcome.reason
    assert "loss: 0.5" in outcome.log
    assert "Traceback" in outcome.log
