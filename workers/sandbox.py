"""The strict sandbox: what it holds back, whether this machine allows it, and how it is asked for.

In: what a process may see (`View`) and its command line. Out: the command line of bubblewrap that
runs it so. Which paths of the machine are shown is listed in `mounts.py`; processes are started
and ended in `sandboxed.py`, under a keeper (`keeper.py`). Where bubblewrap is missing or refused,
the keeper is alone: the level is then "basic".

Threat model. The candidate is any Python and native code, written by a model that wants a better
number and doesn't care how; the referee is fixed code. Each line has its test, in
tests/integration/test_sandbox.py or, where it holds at both levels alike, test_supervisor.py; those
of later trials in test_spares.py, test_compile_cache.py and tests/unit/test_tokens.py.

    what a candidate tries                                    strict        basic
    reads the validation tokens from a disk                   covered       not covered
    reads the withheld text in any standard library           covered       not covered
    reads homes, caches, other folders                        covered       not covered
    sees secrets in its own environment                       covered       covered
    reads those of other processes (/proc/PID/environ)        covered       not covered
    sees, stops, renices or traces any other process          covered       not covered
    opens a connection to anything                            covered       not covered
    writes anything that outlives it                          covered       not covered
    changes settings of the kernel, also where root runs it   covered       not covered
    changes the training data that other trials get           covered       covered
    fills the disk through its work folder or /tmp            covered       covered
    fills the disk elsewhere, or /dev/shm                     covered       one file: covered
    fills the process table                                   covered       covered
    fills the memory                                          covered       covered
    leaves a process behind                                   covered       seldom (*)
    fills the log, or writes escapes into it                  covered       covered
    sends nonsense, or a score of its own                     covered       covered
    opens a GPU that is another trial's (**)                  covered       not covered
    reaches the process that is started for a later trial     covered       there is none
    tells a later trial something by the training data's file covered       covered
    tells it something by where the pages of that lie         64 MB: covered (tokens.py says more)
    gives a later trial weights of its training in its compile cache covered   there is none
    gives anything in it to a trial that decides              covered       there is none
    hands on what it got in one                               covered       there is none
    gives it what its own start-up made, once it is champion  not covered   there is none

(*) Only what it forked within 0.2 s before it killed its keeper.
(**) Where CUDA_VISIBLE_DEVICES, which Ray sets, counts them; by UUID or as parts all are there.

A process for a later trial (`spares.py`) has the sandbox that its candidate would have had: the
same mounts, masks and limits, before any candidate ran in it. At the basic level a candidate could
trace it as it can the worker, so none is started. A compile cache is taken before training begins,
and only of a trial that began with none. It is given to screening trials of those that challenge
its code, once that is champion, and only where repeats decide, which begin with none. Their
compiler loads what it holds, and they may read it: code, which runs in their sandbox and could
hinder or help them, or weights of one start-up's training on the libraries' sources. So whether a
challenger is repeated may depend on it; what comes of the repeats does not. For studies that want
none of it: workers.compile_cache=false.

Not covered at either level: a hole in the kernel or in the GPU's driver; memory that no process
shows (files in memory that it never maps, System V segments: they end with it); a burst of memory
or of processes within one look at the tree, 0.2 s (where memory runs out, the kernel takes a
candidate first, unless one with a GPU has undone that: CUDA needs its own folders in /proc
writable); cores beside its own, which it may move to; what it can tell from timing. The
embedded data set is Python's own source, and so are the libraries that a candidate must be able to
import: what it learns from those before its clock starts is limited by budget.startup_seconds
alone. Text of one's own (data.paths) is nowhere to be seen before GO. Who claims that one step took
as long as it overran its budget is believed up to the grace, for honest slow steps look the same.
At the basic level the head's own cache, the referee's secret and the referee's memory are open to a
candidate of the same user: what is caught there for sure is the honest mistake.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from workers import mounts

PROBE_SECONDS = 20.0  # 30 ms when idle
WORK, TASK, DATA = "/trial", "/task", "/data"  # as they are called inside
SCRATCH_BYTES = 1 << 30  # of /tmp, of /dev/shm and of the work folder, each: they are memory

# As root without --unshare-user and --cap-drop the other flags isolate nothing. --die-with-parent
# ends the sandbox with its keeper, whatever ends that; --new-session keeps it off the terminal.
ISOLATION = (
    *("--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--hostname", "trial", "--die-with-parent", "--new-session"),
)


class Level(StrEnum):
    """How well a trial is closed in."""

    STRICT = "strict"  # bubblewrap
    BASIC = "basic"  # the keeper alone: its tree is ended whole, and little is hidden


@dataclass(frozen=True)
class View:
    """What a process in a sandbox may see besides the system and the interpreter."""

    task: Path | None = None  # the folder that holds train_template/
    meta: Path | None = None  # the data's meta.json
    withheld: tuple[str, ...] = ()  # masked, relative to the standard library's folder
    gpus: tuple[str, ...] = ()
    files: tuple[tuple[str, int], ...] = ()  # of the work folder: name, and descriptor to copy
    scratch_bytes: int = SCRATCH_BYTES
    work: Path | None = None  # a folder of the node that is its work folder; None: one in memory
    mounts: tuple[tuple[str, str, bool], ...] = ()  # path, path inside, writable
    network: bool = False  # the node's own, for what a person allows it


def command(view: View, argv: Sequence[str], *, program: str = "bwrap") -> list[str]:
    """The command line that runs `argv` in a sandbox, in its work folder.

    The environment is the caller's to choose: bubblewrap passes on what it is given.
    """
    size = str(view.scratch_bytes)
    isolation = [each for each in ISOLATION if each != "--unshare-net" or not view.network]
    arguments = [program, *isolation, *_hardening(program), *mounts.system()]
    # Before the interpreter, which may lie in /tmp: a checkout that somebody tries out.
    arguments += ["--size", size, "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - its own
    arguments += mounts.interpreter()
    arguments += mounts.masks(view.withheld)
    arguments += mounts.processes(name_threads=bool(view.gpus))
    arguments += ["--dev", "/dev", "--size", size, "--perms", "1777"]
    arguments += ["--tmpfs", "/dev/shm"]  # noqa: S108 - its own
    if view.gpus:
        arguments += mounts.gpus(view.gpus)
    arguments += ["--remount-ro", "/dev"]
    if view.work:
        arguments += ["--bind", str(view.work), WORK]
    else:
        arguments += ["--size", size, "--tmpfs", WORK]
    if view.network:
        arguments += mounts.resolving()
    for path, inside, writable in view.mounts:
        arguments += ["--bind" if writable else "--ro-bind", path, inside]
    for name, descriptor in view.files:
        arguments += ["--file", str(descriptor), f"{WORK}/{name}"]
    if view.task:
        arguments += ["--ro-bind", f"{view.task}/train_template", f"{TASK}/train_template"]
    if view.meta:
        arguments += ["--ro-bind", str(view.meta), f"{DATA}/meta.json"]
    # Last: the root itself is a tmpfs without a size.
    arguments += ["--remount-ro", "/", "--chdir", WORK]
    return [*arguments, "--", *argv]


@functools.cache
def _hardening(program: str) -> tuple[str, ...]:
    """What a newer bubblewrap (0.8) can do besides: no namespaces inside of the namespaces.

    In one of its own a candidate has every capability, and could mount a tmpfs without a size.
    """
    try:
        done = subprocess.run(
            [program, "--help"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return ("--disable-userns",) if "--disable-userns" in done.stdout + done.stderr else ()


@functools.cache
def probe_level() -> tuple[Level, str]:
    """The best level that this machine allows, and why it is no better ("" where it is strict).

    Runs this interpreter in a sandbox with the real flags, once a process.
    """
    program = shutil.which("bwrap")
    if sys.platform != "linux":
        return Level.BASIC, f"bubblewrap runs on Linux only, and this is {sys.platform}"
    if not program:
        return Level.BASIC, "bubblewrap is not installed (on Debian: apt install bubblewrap)"
    try:
        done = subprocess.run(
            command(View(), [sys.executable, "-I", "-S", "-c", "pass"], program=program),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},  # keys are nobody else's business
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Level.BASIC, f"bubblewrap could not be run: {error}"
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {done.returncode}"
        return Level.BASIC, (
            f"bubblewrap is refused here: {said} (it needs user namespaces: on Ubuntu an AppArmor "
            "profile for bwrap, in a container seccomp and AppArmor unconfined)"
        )
    return Level.STRICT, ""
