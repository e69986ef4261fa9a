"""The process between the supervisor and a candidate: whatever happens, nothing is left behind.

    python -I -S keeper.py LIFELINE DESCRIPTORS FILE_BYTES COMMAND...

LIFELINE is an inherited socket, DESCRIPTORS the numbers, with commas, of what is inherited for the
command alone. The command is started with them, in a session of its own, with every signal at its
default and none blocked, and can't make a file over FILE_BYTES (0: of any size). On the lifeline
the keeper says "started PID" (its own) and, when the command's whole process tree is gone, "ended
STATUS LARGEST": STATUS as `os.waitpid` gives it, LARGEST the most bytes that any one process of the
tree had resident at once, as the kernel counted them (at least the keeper's own 10 MB or so, of
which the command is a copy at first). When the lifeline closes, because the supervisor asked for
the end or was killed, everything below the keeper is killed at once.

Covered: orphans and daemons in sessions of their own (on Linux the keeper is their subreaper); the
death of the supervisor by SIGKILL; Ray, which kills a worker's direct children when that worker
ends: it meets only the keeper's parent, which does nothing but wait.
At the strict level the command is bubblewrap, whose namespace leaves nothing behind once it is
made; but where the supervisor dies within the milliseconds in which it is being made, bubblewrap's
two processes lose each other, and the inner one waited for ever.
Not covered: a candidate that kills the keeper itself (its main process dies with it; the rest is
left to the supervisor). Only a PID namespace prevents that. Where there is no /proc (macOS), the
keeper kills the candidate's process group, and the supervisor finds the rest.

It imports the standard library only, so that it starts in about 20 ms.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of getrusage(2)


def main() -> None:
    """Fork twice: a parent that waits, the keeper, and the command."""
    lifeline, most, command = int(sys.argv[1]), int(sys.argv[3]), sys.argv[4:]
    handed_down = [int(number) for number in sys.argv[2].split(",")]
    os.set_inheritable(lifeline, False)
    if keeper := os.fork():
        os.close(lifeline)
        _close(handed_down)
        os.waitpid(keeper, 0)
        return
    os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {signal.SIGCHLD})
    candidate = os.fork()
    if not candidate:
        _become(command, most)
    _close(handed_down)  # else nobody would notice that the command hung up
    _say(lifeline, f"started {os.getpid()}\n")
    status, largest = _keep(candidate, lifeline, woken)
    _say(lifeline, f"ended {status} {largest}\n")


def _become(command: list[str], file_bytes: int) -> None:
    """Turn this fresh child into the command; it never returns."""
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP: always at default
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if file_bytes:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = file_bytes if most == resource.RLIM_INFINITY else min(most, file_bytes)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        os.execv(command[0], command)  # noqa: S606 - there is no shell, on purpose
    except OSError as error:
        sys.stderr.write(f"can't start {command[0]}: {error}\n")
        sys.stderr.flush()
    os._exit(127)


def _keep(candidate: int, lifeline: int, woken: int) -> tuple[int, int]:
    """Wait for the candidate's end or the lifeline's; end the whole tree.

    Returns the status, and the bytes of the largest process.
    """
    status: int | None = None
    largest = 0
    while status is None:
        readable, _, _ = select.select([lifeline, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            status, _, size = _reap(candidate)
            largest = max(largest, size)
        if lifeline in readable:
            break
    if status is None:
        # The group dies in one step. Its number can't be another's yet: nobody reaped the leader.
        with contextlib.suppress(OSError):
            os.killpg(candidate, signal.SIGKILL)
    while True:
        for pid in _descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        found, remain, size = _reap(candidate)
        status = found if status is None else status
        largest = max(largest, size)
        if not remain:
            return -1 if status is None else status, largest
        time.sleep(0.005)


def _reap(candidate: int) -> tuple[int | None, bool, int]:
    """Collect dead children.

    Returns the candidate's status if it is among them, whether any are left, and the bytes of the
    largest of them and of what they had collected themselves.
    """
    status, largest = None, 0
    while True:
        try:
            pid, found, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False, largest
        if not pid:
            return status, True, largest
        largest = max(largest, used.ru_maxrss * MAXRSS_BYTES)
        if pid == candidate:
            status = found


def _descendants() -> list[int]:
    """Every process below this one, by the parents in /proc; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "PID (NAME) STATE PARENT ...": NAME may itself hold blanks and parentheses.
            parent = int(entry.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found = list(children.get(os.getpid(), ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _say(lifeline: int, text: str) -> None:
    with contextlib.suppress(OSError):  # the supervisor may be gone
        os.write(lifeline, text.encode())


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
    os._exit(0)  # taking the interpreter down in good order costs 4 ms more, twice a process
