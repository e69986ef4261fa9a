"""Whether the Ray that a worker belongs to is still there.

In: this process's own parent and the address of Ray's head (the GCS). Out: a function that says
why nobody waits for this worker any more, or "". Ray itself ends the workers of a dead driver, and
under `ray start` those of a dead raylet; in a Ray that `ray.init` started, nobody notices the
death of a raylet or of the GCS. It ends nothing itself.
"""

import os
import socket
import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.5
CONNECT_SECONDS = 1.0
FAILURES = 3  # one after the other: a busy or restarting head may miss one


def watch_parents(address: str) -> Callable[[], str]:
    """Begin to watch this process's parent, a raylet, and the GCS at HOST:PORT; see the module.

    The function returned costs one system call and never waits.
    """
    parent = os.getppid()
    watch = HeadWatch(address)

    def orphaned() -> str:
        # A zombie's children are adopted like those of any dead process.
        if os.getppid() != parent:
            return "the node's raylet is gone"
        return "the head of Ray is gone" if watch.failures >= FAILURES else ""

    return orphaned


class HeadWatch:
    """Connects to the head again and again: only that tells a live one, wherever it runs.

    `failures` counts how often in a row nobody listened there, every half second.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self.failures = 0
        threading.Thread(target=self._run, name="head-watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                socket.create_connection(self._address, timeout=CONNECT_SECONDS).close()
                self.failures = 0
            except ConnectionRefusedError:
                self.failures += 1
            except OSError:
                # A network that is slow or down proves no death. If the head's node is gone, this
                # node's raylet gives up on it by itself.
                self.failures = 0
            time.sleep(POLL_SECONDS)
