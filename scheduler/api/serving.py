"""The driver's side of the HTTP process: checks the address, starts the process, ends it.

In: a study's folder and where to serve. Out: a URL. The socket is bound here and inherited by the
child, so that a port in use is known before anything has started and port 0 works. The child
ends when its standard input closes, hence also when the driver is killed.
"""

import ipaddress
import socket
import subprocess
import sys
from pathlib import Path

from scheduler.errors import UsageError

END_SECONDS = 5.0


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises UsageError where that can't or shouldn't be."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"serve.host: {host} is no loopback address, and only those are served: there are no "
            f"tokens yet. Reach it from elsewhere with: ssh -L {port}:127.0.0.1:{port} HOST"
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
            [sys.executable, "-m", "scheduler.api", str(folder.absolute()), str(descriptor)],
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
