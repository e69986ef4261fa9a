"""One process of a trial and all below it: how it is described, started, watched and ended.

In: a Program. Out: a Process with three things to listen to (the channel of messages, the log, the
lifeline), its use of the machine, and a `kill` after which nothing of it remains. How that is
brought about differs by level: `sandboxed.py` (strict) and `kept.py` (basic). It judges nothing.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.tree import Usage, measure

EXPENDABLE = 1000  # proc_pid_oom_score_adj(5): of several, the kernel takes it first
WHERE_SIGNAL = signal.SIGUSR1  # the harness answers it with the lines at which its threads are
KILL_SECONDS = 10.0  # for the kernel to end what SIGKILL was sent to
_KEEPER = Path(__file__).with_name("keeper.py")
_ALONE = threading.Lock()  # around what a fork takes from the process, not from its thread


@dataclass(frozen=True)
class Program:
    """What is to run, and what of the machine it is given."""

    name: str  # of the module in train_template: harness or referee
    job: Mapping[str, object]  # handed over as JSON, with socket, work and data filled in
    task: Path  # the folder that holds train_template/
    environment: Mapping[str, str]  # the worker's own: it is filtered
    descriptors: tuple[int, ...] = ()  # handed down under their own numbers
    named: tuple[str, ...] = ()  # the keys of the job that name them, where a spare may take it
    files: tuple[tuple[str, bytes], ...] = ()  # of its work folder
    meta: Path | None = None  # the data's meta.json, if it is to see the data's folder
    withheld: tuple[str, ...] = ()  # files of the standard library that it must not read
    gpus: tuple[str, ...] = ()
    cpus: float = 1.0
    cores: frozenset[int] | None = None  # it is pinned to them; None: wherever the worker may run
    expendable: bool = False  # the kernel takes it first where memory runs out
    scratch_bytes: int | None = None  # of each of its writable folders; None: as the level has it
    folder: Path | None = None  # its work folder, where that is there already
    mounts: tuple[tuple[str, str, bool], ...] = ()  # of the node: path, path inside, writable
    network: bool = False

    def check(self) -> None:
        """Raise OSError where what is to run is not there."""
        if not (self.task / "train_template" / f"{self.name}.py").is_file():
            raise FileNotFoundError(f"no train_template/{self.name}.py is in {self.task}")

    def settled(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """The environment that it gets, of the one that every program of a trial gets."""
        return environment

    def argv(self, *, socket: int, work: str, data: str) -> list[str]:
        """The interpreter's command line."""
        full = {**self.job, "socket": socket}
        if self.meta:
            full |= {"work": work, "data": data}
        module = f"train_template.{self.name}"
        # faulthandler: a SIGSEGV leaves the Python lines at which it happened in the log.
        python = [sys.executable, "-u", "-P", "-X", "faulthandler"]
        return [*python, "-m", module, "--job", json.dumps(full)]


class Process(ABC):
    """A running process. Whoever makes one closes it, which kills whatever is left.

    `channel` is a non-blocking stream socket, `log` a non-blocking pipe's read end, and `lifeline`
    a descriptor that becomes readable when the whole process tree has ended.
    """

    channel: socket.socket
    log: int
    lifeline: int

    def __init__(self, program: Program) -> None:
        """Start it. Raises OSError if it can't be, BundleError for a bad name of a file."""
        program.check()
        self._marks: dict[int, int] = {}
        self._undo = contextlib.ExitStack()
        try:
            self.channel, theirs = socket.socketpair()
            self._undo.enter_context(self.channel)
            self.log, log_end = os.pipe()
            self._undo.callback(os.close, self.log)
            try:
                with _as_a_fresh_process(program.cores, expendable=program.expendable):
                    self._launch(program, theirs.fileno(), log_end)
            finally:
                theirs.close()
                os.close(log_end)
            self.channel.setblocking(False)
            os.set_blocking(self.log, False)
            self._await_start()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _launch(self, program: Program, channel: int, log: int) -> None:
        """Start it with these ends of the channel and of the log; set `lifeline`."""

    @abstractmethod
    def _await_start(self) -> None:
        """Wait until it is certain that `kill` will find it."""

    @abstractmethod
    def ended(self) -> int | None:
        """After the lifeline became readable: the wait status, or None if nobody knows it."""

    @abstractmethod
    def kill(self) -> None:
        """End every process of the tree and wait until they are gone; harmless when repeated."""

    @property
    @abstractmethod
    def top(self) -> int:
        """The id of the process of which everything else is a descendant."""

    @property
    @abstractmethod
    def main(self) -> int | None:
        """The id of the program's own process, as this machine counts; None if it is not known."""

    def ask_where(self) -> None:
        """Ask the program to write into its log what it is doing; it may not, and it may die."""
        if (pid := self.main) is not None:
            with contextlib.suppress(OSError):
                os.kill(pid, WHERE_SIGNAL)

    def usage(self) -> Usage:
        """What the tree uses now."""
        return measure(self.top, self._marks)

    @property
    @abstractmethod
    def largest(self) -> int:
        """After `kill`: the most bytes that one process of the tree had resident; 0: not known.

        The kernel's own count: `usage` misses what happens after its last look.
        """

    def close(self) -> None:
        """Kill what is left and give everything back."""
        with self._undo:
            self.kill()


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: int,
    descriptors: Sequence[int],
    cwd: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process that reads nothing, writes to the log and inherits the descriptors."""
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=descriptors,
        start_new_session=True,
    )


def spawn_kept(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: int,
    descriptors: Sequence[int],
    cwd: Path | None = None,
    file_bytes: int = 0,
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """The same under a keeper (`keeper.py`): its launcher, and our end of its lifeline.

    Nothing of it outlives this process, from the first moment on. The launcher ends when all has.
    """
    ours, keepers = socket.socketpair()
    numbers = (str(keepers.fileno()), ",".join(map(str, descriptors)), str(file_bytes))
    try:
        launcher = spawn(
            [sys.executable, "-I", "-S", str(_KEEPER), *numbers, *argv],
            environment=environment,
            log=log,
            descriptors=(keepers.fileno(), *descriptors),
            cwd=cwd,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        keepers.close()
    return launcher, ours


def said(lifeline: socket.socket) -> bytes:
    """What a keeper has said on the lifeline and nobody has read yet."""
    words = b""
    with contextlib.suppress(BlockingIOError, ConnectionError):
        while more := lifeline.recv(4096, socket.MSG_DONTWAIT):
            words += more
    return words


def last_words(words: bytes) -> tuple[int, int] | None:
    """Of all that a keeper has said: status and bytes of the largest process; None: not ended."""
    for line in words.splitlines():
        match line.split():
            case [b"ended", status, largest]:
                return int(status), int(largest)
    return None


@contextlib.contextmanager
def _as_a_fresh_process(cores: frozenset[int] | None, *, expendable: bool) -> Iterator[None]:
    """Give this thread, for the moment of a fork, the signals and the cores of its child.

    Both are inherited, so that the child has them from its first instruction on. Ray's workers
    block SIGINT; where one arrives just now, it is a cancellation as at any other moment.
    `expendable` gives it the highest rank before the kernel's killer as well, as Ray's workers have
    it: else a burst of a candidate's, between two looks at its memory, could cost another process.
    """
    with _ALONE:
        yield from _lend(cores, expendable=expendable)


def _lend(cores: frozenset[int] | None, *, expendable: bool) -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    before = os.sched_getaffinity(0) if cores and sys.platform == "linux" else None
    rank = _rank_before_the_killer(EXPENDABLE) if expendable else None
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if before is not None and cores:
            os.sched_setaffinity(0, cores)
        yield
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
        if rank is not None:
            _rank_before_the_killer(rank)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _rank_before_the_killer(rank: int) -> int | None:
    """Set this process's oom_score_adj; return what it was, or None where that can't be done.

    Whoever raises its own may lower it to where it began, without any privilege.
    """
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        before = int(path.read_text())
        path.write_text(str(rank))
        return before
    return None
