"""A candidate's processes: how they are started, watched and ended. The seam for the sandbox.

In: the task's folder, a work folder, an environment and the job. Out: three descriptors to listen
to (the channel of messages, the log, the lifeline), the resident memory of the process tree, and a
`kill` after which nothing of it remains. It judges nothing.

A sandbox of its own kind takes this class's place: the supervisor uses only what is public here.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

START_SECONDS = 30.0  # for the keeper (20 ms when idle): a loaded node is slow to fork
KILL_SECONDS = 10.0  # for the kernel to end what SIGKILL was sent to


class Candidate:
    """A running candidate. Whoever makes one closes it, which kills whatever is left.

    `channel` is a non-blocking stream socket, `log` a non-blocking pipe's read end, and `lifeline`
    becomes readable when the whole process tree has ended.
    """

    def __init__(
        self,
        job: Mapping[str, object],
        *,
        task: Path,
        work: Path,
        environment: Mapping[str, str],
    ) -> None:
        """Start `train_template.harness` out of the folder `task`, in the folder `work`.

        `job` is passed on as JSON, with `socket` and `work` filled in. Raises OSError if the
        process can't be started or the harness is missing.
        """
        if not (task / "train_template" / "harness.py").is_file():
            raise FileNotFoundError(f"there is no train_template/harness.py in {task}")
        self._seen: set[psutil.Process] = set()
        with contextlib.ExitStack() as undo:
            self.channel, theirs = socket.socketpair()
            undo.callback(self.channel.close)
            self.lifeline, keeper_end = socket.socketpair()
            undo.callback(self.lifeline.close)
            self.log, log_end = os.pipe()
            undo.callback(os.close, self.log)
            try:
                full = {**job, "socket": theirs.fileno(), "work": str(work)}
                command = [sys.executable, "-u", "-P", "-m", "train_template.harness"]
                self._launcher = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))),
                        *(str(keeper_end.fileno()), str(theirs.fileno())),
                        *(*command, "--job", json.dumps(full)),
                    ],
                    cwd=work,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log_end,
                    stderr=log_end,
                    pass_fds=(keeper_end.fileno(), theirs.fileno()),
                    start_new_session=True,
                )
            finally:
                theirs.close()
                keeper_end.close()
                os.close(log_end)
            self._keeper = self._await_keeper()
            undo.pop_all()
        self.channel.setblocking(False)
        self.lifeline.setblocking(False)
        os.set_blocking(self.log, False)

    def _await_keeper(self) -> psutil.Process:
        self.lifeline.settimeout(START_SECONDS)
        said = b""
        while not said.endswith(b"\n"):
            # One byte at a time: what follows the first line belongs to `ended`.
            more = self.lifeline.recv(1)  # TimeoutError is an OSError
            if not more:
                raise ChildProcessError("the candidate's keeper ended before it started anything")
            said += more
        try:
            return psutil.Process(int(said.split()[1]))
        except psutil.NoSuchProcess:
            # Gone already: a fresh object for a dead process can't be made, so take the parent.
            return psutil.Process(self._launcher.pid)

    def ended(self) -> int | None:
        """After the lifeline became readable: the wait status, or None if nobody knows it."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            said = self.lifeline.recv(64).split()
            if len(said) == 2 and int(said[1]) >= 0:
                return int(said[1])
        return None

    def memory(self) -> int:
        """Resident bytes of the process tree now; shared pages count in each process."""
        tree = self._descendants()
        self._seen.update(tree)
        self._seen = {process for process in self._seen if process.is_running()}
        total = 0
        for process in tree:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def kill(self) -> None:
        """End every process of the tree and wait until they are gone.

        What was seen earlier is killed by name too, in case the candidate got rid of its keeper.
        """
        tree = self._seen | set(self._descendants())
        with contextlib.suppress(OSError):
            self.lifeline.shutdown(socket.SHUT_WR)  # the keeper's sign to kill all below it
        for process in tree:
            with contextlib.suppress(psutil.Error):
                process.kill()
        try:
            self._launcher.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:  # the candidate may have stopped the keeper
            with contextlib.suppress(psutil.Error):
                self._keeper.kill()
            self._launcher.kill()
            self._launcher.wait()
        psutil.wait_procs(tree, timeout=KILL_SECONDS)

    def close(self) -> None:
        """Kill what is left and close the descriptors."""
        try:
            self.kill()
        finally:
            self.channel.close()
            self.lifeline.close()
            os.close(self.log)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return self._keeper.children(recursive=True)
        except psutil.Error:
            return []
