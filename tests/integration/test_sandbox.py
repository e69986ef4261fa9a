"""What a candidate tries, line by line of the threat model at the head of `workers/sandbox.py`.

What holds at any level alike (secrets, memory, daemons, the log, nonsense on the wire) is claimed
in `test_supervisor.py`.

Each script runs in a real trial and prints what came of its attempt. The lines that hold at both
levels are claimed at both; the rest at the strict level, where bubblewrap can be run.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fixtures.candidates import ROOT, data_folder, exam, scripted_trial, task_folder
from workers import Outcome, OutcomeStatus, Resources, mounts
from workers.cores import claim_cores
from workers.mounts import applications
from workers.sandbox import Level, View, command, probe_level
from workers.supervisor import run_trial

STRICT, WHY = probe_level()
needs_bubblewrap = pytest.mark.skipif(STRICT is not Level.STRICT, reason=WHY)
LEVELS = [
    pytest.param(Level.STRICT, marks=needs_bubblewrap),
    pytest.param(Level.BASIC),
]
WITHHELD = ("mailbox.py", "turtle.py")

Try = Callable[..., Outcome]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("places")
    return task_folder(folder), data_folder(folder, withheld=WITHHELD)


@pytest.fixture
def attempt(places: tuple[Path, Path]) -> Try:
    """Run a script in a trial; its `attempt(lambda: ...)` prints the value or the error's name."""

    def run(
        script: str,
        level: Level = Level.STRICT,
        resources: Resources | None = None,
        referee: str = "honest()",
    ) -> Outcome:
        trial = scripted_trial(script, sandbox=level, resources=resources, seconds=60)
        task, data = places
        return run_trial(
            trial, task=task, data=data, exam=lambda: exam(referee), report=lambda _: None
        )

    return run


@needs_bubblewrap
def test_it_can_not_read_the_validation_tokens_from_a_disk(
    attempt: Try, places: tuple[Path, Path]
) -> None:
    (places[1] / "validation.bin").write_bytes(b"secret")
    script = (
        "import pathlib\n"
        f"attempt(lambda: open({str(places[1] / 'validation.bin')!r}))\n"
        "attempt(lambda: [str(p) for p in pathlib.Path('/').rglob('*.bin')\n"
        "                 if not str(p).startswith(('/proc', '/sys'))\n"
        "                 and p.name in ('validation.bin', 'audit.bin', 'train.bin')])\n"
        "print(sorted(os.listdir(job['data'])))\nhonest()"
    )
    outcome = attempt("import os\n" + script)
    assert outcome.log.splitlines() == ["FileNotFoundError", "[]", "['meta.json']"]


@needs_bubblewrap
def test_it_can_not_read_the_withheld_text_in_any_standard_library(attempt: Try) -> None:
    # By name wherever a copy may lie, compiled ones too; the neighbours are readable.
    script = (
        "import os, pathlib, sys, sysconfig\n"
        "roots = {'/usr', sys.prefix, sys.base_prefix}\n"
        "found = [p for root in roots for p in pathlib.Path(root).glob('lib*/python3*/**/*')\n"
        "         if p.name.split('.')[0] in ('mailbox', 'turtle')\n"
        "         and p.suffix in ('.py', '.pyc')\n"
        "         and p.parent.name in ('__pycache__', p.parent.parent.name, pathlib.Path(\n"
        "             sysconfig.get_path('stdlib')).name) and 'site-packages' not in p.parts]\n"
        "print(len(found) > 1)\n"
        "def readable(p):\n"
        "    try: return bool(p.read_bytes())\n"
        "    except OSError: return False\n"
        "print([str(p) for p in found if readable(p)])\n"
        "attempt(lambda: __import__('turtle'))\n"
        "attempt(lambda: open(pathlib.Path(os.__file__).with_name('queue.py')).read(1) != '')\n"
        "honest()"
    )
    assert attempt(script).log.splitlines() == ["True", "[]", "ModuleNotFoundError", "True"]


@needs_bubblewrap
def test_it_sees_no_application_that_may_bring_a_python_of_its_own(
    attempt: Try, tmp_path: Path
) -> None:
    for name in ("gcc", "x86_64-linux-gnu", "python3.11", "office/program/python/lib", "sdk"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "libx.so").touch()
    (tmp_path / "link").symlink_to("sdk")
    assert applications(tmp_path) == [tmp_path / "office", tmp_path / "sdk"]
    # On this machine: whatever is there of that kind is empty inside.
    folders = [str(path) for path in applications(Path("/usr/lib"))]
    script = f"import os\nprint([path for path in {folders} if os.listdir(path)])\nhonest()"
    assert attempt(script).log == "[]\n"


@needs_bubblewrap
def test_it_can_not_read_homes_caches_or_other_folders(attempt: Try, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    cache = Path("~/.cache").expanduser()
    script = (
        "import os, sys\n"
        f"for path in ({str(tmp_path / 'key')!r}, {str(cache)!r}, {str(ROOT / 'workers')!r},\n"
        "             '/etc/shadow', '/etc/passwd', '/var', '/run', '/usr/local/etc', '/opt'):\n"
        "    if not sys.prefix.startswith(path): attempt(lambda: os.stat(path) and path)\n"
        "honest()"
    )
    assert set(attempt(script).log.splitlines()) == {"FileNotFoundError"}


@needs_bubblewrap
def test_it_sees_no_other_process_and_can_not_stop_renice_or_trace_one(attempt: Try) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        script = (
            "import ctypes, os, signal, time\n"
            "train()\n"
            "time.sleep(0.3)\n"  # the referee waits for its question to be answered
            "print(max(int(p) for p in os.listdir('/proc') if p.isdigit()) < 10)\n"
            f"attempt(lambda: os.kill({other.pid}, signal.SIGSTOP))\n"
            f"attempt(lambda: os.setpriority(os.PRIO_PROCESS, {other.pid}, 19))\n"
            f"attempt(lambda: ctypes.CDLL(None).ptrace(16, {other.pid}, 0, 0))\n"
            "answer()"
        )
        outcome = attempt(script)
        other.kill()
    assert outcome.log.splitlines() == ["True", "ProcessLookupError", "ProcessLookupError", "-1"]
    assert outcome.status is OutcomeStatus.DONE


@needs_bubblewrap
def test_it_can_not_read_the_environment_of_other_processes(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-you")
    with subprocess.Popen(["sleep", "60"]) as other:  # it has the key, as Ray's workers do
        script = (
            "import os\n"
            f"attempt(lambda: open('/proc/{other.pid}/environ').read())\n"
            "for pid in os.listdir('/proc'):\n"
            "    if pid.isdigit():\n"
            "        attempt(lambda: 'sk-not' in open(f'/proc/{pid}/environ').read())\n"
            "honest()"
        )
        log = attempt(script).log.splitlines()
        other.kill()
    assert log[0] == "FileNotFoundError"
    assert "True" not in log


@needs_bubblewrap
def test_it_can_open_a_connection_to_nothing(attempt: Try) -> None:
    # Abstract names belong to the network's namespace, whatever the mounts.
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        unnamed.bind(f"\0autoresearch-test-{os.getpid()}")
        unnamed.listen()
        script = (
            "import socket\n"
            f"attempt(lambda: socket.create_connection({server.getsockname()!r}, 2))\n"
            "attempt(lambda: socket.create_connection(('192.0.2.1', 80), 2))\n"
            "unix = socket.socket(socket.AF_UNIX)\n"
            f"attempt(lambda: unix.connect('\\0autoresearch-test-{os.getpid()}'))\n"
            "honest()"
        )
        assert attempt(script).log.splitlines() == [
            "ConnectionRefusedError",
            "OSError",
            "ConnectionRefusedError",
        ]


@needs_bubblewrap
def test_it_writes_nothing_that_outlives_it(attempt: Try, places: tuple[Path, Path]) -> None:
    script = (
        "import os, sys, pathlib\n"
        "def write(path): pathlib.Path(path).write_text('x')\n"
        "import train_template\n"
        "for path in ('/x', '/dev/x', '/usr/bin/x', '/usr/lib/x', '/task/x', '/data/x',\n"
        "             train_template.__file__, os.__file__, '/data/meta.json',\n"
        "             sys.prefix + '/x'):\n"
        "    attempt(lambda: write(path))\n"
        "honest()"
    )
    assert set(attempt(script).log.splitlines()) == {"OSError"}  # "read-only file system"
    assert json.loads((places[1] / "meta.json").read_text())["vocab_size"] == 4


@needs_bubblewrap
def test_it_can_not_change_settings_of_the_kernel(attempt: Try) -> None:
    script = (
        "import pathlib\n"
        "def write(path): pathlib.Path(path).open('w')\n"
        "for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger',\n"
        "             '/proc/sys/kernel/hostname', '/proc/self/oom_score_adj'):\n"
        "    attempt(lambda: write(path))\n"
        "honest()"
    )
    # "read-only file system", also where this test's own user is root
    assert set(attempt(script).log.splitlines()) <= {"OSError", "FileNotFoundError"}


@pytest.mark.parametrize("level", LEVELS)
def test_it_can_not_change_the_training_data_that_other_trials_get(
    attempt: Try, places: tuple[Path, Path], level: Level
) -> None:
    script = (
        "from train_template import wire\n"
        "import os\n"
        "say('HELLO')\nsay('READY')\n"
        "tokens = wire.receive_go(channel)\n"
        "attempt(lambda: os.write(tokens, b'x'))\n"
        "attempt(lambda: os.write(os.open(f'/proc/self/fd/{tokens}', os.O_RDWR), b'x'))\n"
        "attempt(lambda: os.ftruncate(tokens, 0))\n"
        "say('TRAINED')\nanswer()"
    )
    assert attempt(script, level).log.splitlines() == ["PermissionError"] * 3, "sealed"
    assert (places[1] / "train.bin").read_bytes() == b"12345"


FILL = """
import errno
def fill(folder):
    with open(folder + '/big', 'wb') as file:
        while True:
            file.write(bytes(1 << 20))
for folder in {folders}:
    try: fill(folder)
    except OSError as error: print(errno.errorcode[error.errno], flush=True)
honest()
"""


@needs_bubblewrap
def test_it_can_not_fill_the_disk_tmp_or_shared_memory(attempt: Try) -> None:
    small = Resources(memory_bytes=400_000_000)  # each folder has a quarter of it
    outcome = attempt(FILL.format(folders=("/trial", "/tmp", "/dev/shm")), resources=small)
    assert outcome.log.splitlines() == ["ENOSPC"] * 3
    assert outcome.status is OutcomeStatus.DONE


def test_it_can_not_fill_the_disk_with_one_file_at_the_basic_level(attempt: Try) -> None:
    script = "import os\nfile = open('big', 'wb')\nfile.truncate(1 << 31)\nhonest()"
    outcome = attempt(script, Level.BASIC)
    assert (outcome.status, "File too large" in outcome.reason) == (OutcomeStatus.CRASH, True)


def test_it_can_not_fill_the_disk_with_many_files_in_its_folders_at_the_basic_level(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.supervisor.DISK_LIMIT", 20_000_000)
    script = (
        "import os, pathlib, time\n"
        "for n in range(40):\n"
        "    folder = pathlib.Path(os.environ['TMPDIR'] if n % 2 else '.', str(n))\n"
        "    folder.mkdir()\n"
        "    (folder / 'file').write_bytes(bytes(1_000_000))\n"
        "time.sleep(60)"
    )
    outcome = attempt(script, Level.BASIC)
    assert outcome.status is OutcomeStatus.CRASH
    assert outcome.reason.endswith("in startup, and 20 MB is the limit")


@pytest.mark.parametrize("level", LEVELS)
def test_it_can_not_fill_the_process_table(
    attempt: Try, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.supervisor.PROCESS_LIMIT", 40)
    before = len(psutil.pids())
    script = (
        "import os, time\nfor _ in range(60):\n    if not os.fork(): time.sleep(60)\ntime.sleep(60)"
    )
    outcome = attempt(script, level)
    assert outcome.status is OutcomeStatus.CRASH
    assert "40 is the limit" in outcome.reason
    assert len(psutil.pids()) < before + 40


@needs_bubblewrap
def test_it_has_the_device_nodes_of_no_other_trial(
    attempt: Try, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = (
        "import os, stat\n"
        "nodes = [name for name in os.listdir('/dev')\n"
        "         if stat.S_ISCHR(os.lstat('/dev/' + name).st_mode)]\n"
        "print(sorted(nodes))\nhonest()"
    )
    shown = attempt(script).log
    assert shown == "['full', 'null', 'random', 'tty', 'urandom', 'zero']\n"
    for number in range(4):
        (tmp_path / f"nvidia{number}").touch()
    monkeypatch.setattr(mounts, "_DEVICES", tmp_path)
    monkeypatch.setattr(mounts, "_DRIVER", tmp_path / "silent")
    argv = command(View(gpus=("3",)), ["true"])
    assert [each for each in argv if each.startswith(str(tmp_path))] == [f"{tmp_path}/nvidia3"] * 2


@needs_bubblewrap
def test_a_module_in_its_work_folder_does_not_take_the_place_of_the_harness(
    places: tuple[Path, Path],
) -> None:
    planted = "raise SystemExit('planted')"
    files = {"train_template/harness.py": planted, "json.py": planted, "sitecustomize.py": planted}
    outcome = run_trial(
        scripted_trial("honest()", files=files),
        task=places[0],
        data=places[1],
        exam=exam,
        report=lambda _: None,
    )
    assert (outcome.status, outcome.log) == (OutcomeStatus.DONE, "")


@needs_bubblewrap
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_same_flags_serve_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    # The interpreter may lie in root's home, where another user can't use it: a shell will do.
    monkeypatch.setattr("workers.mounts.interpreter", list)
    script = "id -u; ls /proc | grep -c '^[0-9]'; (echo x > /x) 2>/dev/null || echo refused"
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs")
    argv = [*user, *command(View(), ["sh", "-c", script])]
    said = subprocess.check_output(argv, cwd="/", text=True)
    assert said.split() == ["1000", "4", "refused"]  # bubblewrap, sh, ls and grep


def test_a_level_that_is_demanded_and_not_there_is_said(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.launch.probe_level", lambda: (Level.BASIC, "no bubblewrap"))
    outcome = run_trial(
        scripted_trial("honest()", sandbox="strict"),
        task=places[0],
        data=places[1],
        exam=exam,
        report=lambda _: None,
    )
    assert outcome.status is OutcomeStatus.LOST
    assert outcome.reason.endswith("the strict sandbox is demanded: no bubblewrap")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not pin")
def test_slots_hold_cores_of_their_own_and_give_them_back(tmp_path: Path) -> None:
    count = len(os.sched_getaffinity(0))
    with claim_cores(1.0, tmp_path) as first:
        assert first is not None
        assert len(first) == 1
        with claim_cores(float(count), tmp_path) as all_of_them:
            assert all_of_them is None
    with claim_cores(float(count), tmp_path) as again:
        assert again is not None
        assert set(again) == os.sched_getaffinity(0)
    with claim_cores(0.5, tmp_path) as half:
        assert half is None


@pytest.mark.parametrize("level", LEVELS)
def test_a_candidate_and_its_referee_run_on_the_cores_of_their_slot(
    attempt: Try, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    outcome = attempt(
        "import os\nprint(len(os.sched_getaffinity(0)))\nhonest()",
        level,
        referee="import os\nassert len(os.sched_getaffinity(0)) == 1\nhonest()",
    )
    assert (outcome.status, outcome.log) == (OutcomeStatus.DONE, "1\n")
    assert len(os.sched_getaffinity(0)) > 1 or os.cpu_count() == 1
