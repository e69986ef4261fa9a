"""A process under the keeper: the basic level, for machines that allow no namespaces.

Its tree is ended whole, its environment is scrubbed, and its work folder is fresh and removed at
the end; but it runs as the worker's own user and sees what that user sees. How nothing is left
behind is told in `keeper.py`.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from dataclasses import replace

import psutil

from workers.environment import trial_environment
from workers.files import write_files
from workers.process import KILL_SECONDS, Process, Program, last_words, said, spawn_kept
from workers.scratch import Scratch
from workers.tree import Usage, children, descendants, stored

START_SECONDS = 30.0  # for the keeper (20 ms when idle): a loaded node is slow to fork
DISK_SECONDS = 1.0  # between two looks at the folders: 2 us a file
FILE_BYTES = 1 << 30


class KeptProcess(Process):
    """A program with a keeper above it."""

    def _launch(self, program: Program, channel: int, log: int) -> None:
        self._seen: set[psutil.Process] = set()
        self._words = b""  # of the keeper
        scratch = Scratch()
        self._undo.callback(scratch.close)
        folder = scratch.path
        self._folder, self._disk, self._weighed_at = folder, 0, time.monotonic()
        work, data, temporary = (folder / name for name in ("work", "data", "tmp"))
        for each in (work, data, temporary):
            each.mkdir()
        work = program.folder or work
        write_files(work, program.files)
        if program.meta:
            shutil.copy(program.meta, data / "meta.json")
        environment = trial_environment(
            program.environment,
            task=str(program.task),
            work=str(work),
            temporary=str(temporary),
            gpus=program.gpus,
            cpus=program.cpus,
        )
        self._launcher, self._lifeline = spawn_kept(
            program.argv(socket=channel, work=str(work), data=str(data)),
            environment=program.settled(environment),
            log=log,
            descriptors=(channel, *program.descriptors),
            cwd=work,
            file_bytes=FILE_BYTES,
        )
        self._undo.enter_context(self._lifeline)
        self.lifeline = self._lifeline.fileno()

    def _await_start(self) -> None:
        self._lifeline.settimeout(START_SECONDS)
        begun = b""
        while not begun.endswith(b"\n"):
            # One byte at a time: what follows the first line belongs to `ended`.
            more = self._lifeline.recv(1)  # TimeoutError is an OSError
            if not more:
                raise ChildProcessError("the keeper ended before it started anything")
            begun += more
        self._lifeline.setblocking(False)
        with contextlib.suppress(psutil.NoSuchProcess):  # gone already, and all below it
            self._keeper = psutil.Process(int(begun.split()[1]))

    @property
    def top(self) -> int:
        """The keeper, or its parent where the keeper ended at once."""
        return self._keeper.pid if hasattr(self, "_keeper") else self._launcher.pid

    @property
    def main(self) -> int | None:
        """The first child of the keeper; what it adopts comes after it."""
        return next(iter(children(self._keeper.pid)), None) if hasattr(self, "_keeper") else None

    def ended(self) -> int | None:
        """The wait status; None if the candidate killed its keeper."""
        status = self._last_words()[0]
        return status if status >= 0 else None

    @property
    def largest(self) -> int:
        """The most bytes that one process had resident; 0 if the candidate killed its keeper."""
        return self._last_words()[1]

    def _last_words(self) -> tuple[int, int]:
        if hasattr(self, "_lifeline"):
            self._words += said(self._lifeline)
        return last_words(self._words) or (-1, 0)

    def usage(self) -> Usage:
        """What the tree uses now; whom it holds is noted for `kill`."""
        self._note()
        now = time.monotonic()
        if now > self._weighed_at + DISK_SECONDS:
            self._weighed_at, self._disk = now, stored(self._folder)
        return replace(super().usage(), disk=self._disk)

    def _note(self) -> None:
        self._seen = {process for process in self._seen if process.is_running()}
        known = {process.pid for process in self._seen}
        for pid in descendants(self.top):
            if pid not in known:
                with contextlib.suppress(psutil.Error):
                    self._seen.add(psutil.Process(pid))

    def kill(self) -> None:
        """End the tree through the keeper.

        What was seen earlier is killed by name too, in case the candidate got rid of its keeper.
        """
        if not hasattr(self, "_launcher"):
            return
        self._note()
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)  # the keeper's sign to kill all below it
        for process in self._seen:
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            self._launcher.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:  # the candidate may have stopped the keeper
            if hasattr(self, "_keeper"):
                with contextlib.suppress(psutil.Error):
                    self._keeper.kill()
            self._launcher.kill()
            self._launcher.wait()
        psutil.wait_procs(self._seen, timeout=KILL_SECONDS)
