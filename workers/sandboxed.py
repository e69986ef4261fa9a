"""A process in bubblewrap's namespaces: the strict level.

The tree, as the supervisor sees it: the keeper; below it bubblewrap, which waits; below that the
first process of a PID namespace, which is bubblewrap too; below that the program. When the first
process of the namespace ends, the kernel ends every other one in it, in whatever session, and only
then lets it go: so the lifeline is that process's pidfd, and killing it leaves nothing. When the
supervisor ends, even by SIGKILL, the keeper kills all below it. Bubblewrap alone would end with its
parent too, but for the milliseconds in which it makes the namespace: a supervisor that was killed
just then left the first process behind, waiting for a word of bubblewrap's.

What is run is decided in `process.py`, what it sees in `sandbox.py`.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack

import psutil

from workers.environment import trial_environment
from workers.files import check_names
from workers.memory import sealed
from workers.mounts import gpus_inside
from workers.process import KILL_SECONDS, Process, Program, last_words, said, spawn_kept
from workers.sandbox import DATA, SCRATCH_BYTES, TASK, WORK, View, command
from workers.tree import children

START_SECONDS = 30.0  # for the keeper and bubblewrap's namespaces (20 and 5 ms when idle)


class SandboxedProcess(Process):
    """A program in a sandbox of its own."""

    _first: int | None = None  # pidfd of the first process of the namespace

    def _launch(self, program: Program, channel: int, log: int) -> None:
        self._status = self._words = b""
        reader, writer = os.pipe()
        self._undo.callback(os.close, reader)
        self._reader = reader
        with ExitStack() as sent:
            sent.callback(os.close, writer)
            check_names(name for name, _ in program.files)
            files = []
            for name, content in program.files:
                descriptor = sealed(name, content)
                sent.callback(os.close, descriptor)
                files.append((name, descriptor))
            view = View(
                task=None if program.folder else program.task,
                work=program.folder,
                mounts=program.mounts,
                network=program.network,
                meta=program.meta,
                withheld=program.withheld,
                gpus=program.gpus,
                files=tuple(files),
                scratch_bytes=program.scratch_bytes or SCRATCH_BYTES,
            )
            environment = trial_environment(
                program.environment,
                task=TASK,
                work=WORK,
                temporary="/tmp",  # noqa: S108 - its own
                gpus=gpus_inside(program.gpus),
                cpus=program.cpus,
            )
            bubblewrap = [shutil.which("bwrap") or "bwrap", "--json-status-fd", str(writer)]
            argv = command(view, program.argv(socket=channel, work=WORK, data=DATA))
            self._launcher, self._leash = spawn_kept(
                [*bubblewrap, *argv[1:]],
                environment=program.settled(environment),
                log=log,
                descriptors=(channel, writer, *program.descriptors, *(fd for _, fd in files)),
            )
        self._undo.enter_context(self._leash)

    def _await_start(self) -> None:
        """Read the id of the namespace's first process, which bubblewrap writes before it runs."""
        while b"\n" not in self._status:
            readable, _, _ = select.select([self._reader], [], [], START_SECONDS)
            more = os.read(self._reader, 4096) if readable else b""
            if not more:
                raise ChildProcessError(f"bubblewrap made no sandbox: {self._last_words()}")
            self._status += more
        pid = json.loads(self._status.split(b"\n")[0])["child-pid"]
        # No other process can have this id yet: bubblewrap has not collected it.
        self._first = self.lifeline = os.pidfd_open(pid)
        self._undo.callback(os.close, self._first)
        self._outer = psutil.Process(pid).ppid()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return os.read(self.log, 1000).decode("utf-8", "replace").strip()
        return "it said nothing"

    @property
    def top(self) -> int:
        """Bubblewrap's own process, outside of the sandbox."""
        return self._outer

    @property
    def main(self) -> int | None:
        """The first child of the namespace's first process; what it adopts comes after it."""
        first = children(self._outer)
        return next(iter(children(first[0])), None) if first else None

    def ended(self) -> int | None:
        """The wait status; None if the sandbox failed before the program ran, or was killed."""
        self._launcher.wait()
        with contextlib.suppress(OSError):
            os.set_blocking(self._reader, False)
            while more := os.read(self._reader, 4096):
                self._status += more
        for line in self._status.splitlines():
            code = json.loads(line).get("exit-code")
            if code is not None:
                # As a shell counts: 128 and the signal's number. A program that exits with such
                # a code by itself is taken at its word.
                return code - 128 if code > 128 else code << 8  # type: ignore[no-any-return]
        return None

    @property
    def largest(self) -> int:
        """The most bytes that one process had resident: of the program, or below it."""
        if hasattr(self, "_leash"):
            self._words += said(self._leash)
        ended = last_words(self._words)
        return 0 if ended is None else ended[1]

    def kill(self) -> None:
        """End the namespace's first process, with it the namespace, and wait for what is above."""
        if not hasattr(self, "_leash"):
            return
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            select.select([self._first], [], [], KILL_SECONDS)
        with contextlib.suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)  # the keeper's sign to kill all below it
        try:
            self._launcher.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:  # the kernel is still at it
            self._launcher.kill()
            self._launcher.wait()
