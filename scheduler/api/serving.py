"""The driver's side of the HTTP process: checks the address, starts the process, ends it.

In: a study's folder and where to serve. Out: a URL. The socket is bound here and inherited by the
child, so that a port in use is known before anything has started and port 0 works. The child
ends when its standard input closes, hence also when the driver is killed.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

from scheduler.errors import UsageError

END_SECONDS = 5.0
LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
"""What may be served, and where it is bound. `app.py` answers to these names and no other."""

INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""Variables that the child gets: what reads a study has no use for the keys of the models."""


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises UsageError where that can't or shouldn't be."""
    address = LOOPBACK.get(host)
    if address is None:
        shown = port or "PORT"
        raise UsageError(
            f"serve.host: {host} is not one of {', '.join(LOOPBACK)}, and only loopback addresses "
            f"are served: there are no tokens yet. Reach it from elsewhere with: "
            f"ssh -L {shown}:127.0.0.1:{shown} HOST"
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not held by closed connections
    try:
        bound.bind((address, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise UsageError(
            f"serve.port: can't serve on {host}:{port} ({error.strerror}); choose another port, "
            "or any free one with: --set serve.port=0"
        ) from error
    return bound


class Server:
    """The HTTP process of one study. A context manager: it ends with the block."""

    def __init__(self, folder: Path, bound: socket.socket) -> None:
        host, port = bound.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        descriptor = bound.fileno()
        self._process = subprocess.Popen(
            # -P: a folder that happens to hold an `agent/` or a `fastapi.py` is not imported from.
            [sys.executable, "-P", "-m", "scheduler.api", str(folder.absolute()), str(descriptor)],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # the terminal's Ctrl-C is for the driver
        )
        bound.close()

    def __enter__(self) -> "Server":
        """It is started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the process to end, and see to it that it does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    """The child's variables; it imports the very package that starts it."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return kept | {"PYTHONPATH": path}
