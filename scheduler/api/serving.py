"""The driver's side of the HTTP process: finds the address, starts the process, ends it.

In: a study's folder, where to serve, and the tokens. Out: a URL, and how to get in. The socket is
bound here and inherited by the child, so that a port in use is known before anything has started
and port 0 works. The child ends when its standard input closes, hence also when the driver is
killed.
"""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from scheduler.api.hosts import LOOPBACK_NAMES
from scheduler.api.tokens import FULL_VARIABLE, Tokens
from scheduler.errors import UsageError

END_SECONDS = 5.0
FIRST_PORT, PORTS = 8700, 20  # tried in turn where no port is chosen
HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - all addresses, reached from here

INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""Variables that the child gets: what reads a study has no use for the keys of the models."""


def bind(host: str, port: int | Literal["auto"]) -> socket.socket:
    """A socket bound to the address. Raises UsageError where that can't be."""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if port == "auto" else ()
    for each in ports:
        with suppress(OSError):
            return _bind(host, each)
    number = 0 if port == "auto" else port
    try:
        return _bind(host, number)
    except OSError as error:
        raise UsageError(
            f"serve.port: can't serve on {host}:{number} ({error.strerror}); choose another port, "
            "or any free one with: --set serve.port=0"
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections linger
        bound.bind(address)
        bound.listen(1024)
    except OSError:
        bound.close()
        raise
    return bound


class Server:
    """The HTTP process of one study. A context manager: it ends with the block."""

    def __init__(
        self, folder: Path, bound: socket.socket, tokens: Tokens, *, reading: bool = False
    ) -> None:
        """Start it; `reading`: for a study that doesn't run."""
        self._tokens = tokens
        self._host, self._port = bound.getsockname()[:2]
        descriptor = bound.fileno()
        options = ["--reading"] if reading else []
        self._process = subprocess.Popen(
            # -P: a folder that happens to hold an `agent/` or a `fastapi.py` is not imported from.
            [
                *(sys.executable, "-P", "-m", "scheduler.api"),
                *(str(folder.absolute()), str(descriptor), *options),
            ],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # the terminal's Ctrl-C is for the driver
        )
        bound.close()
        assert self._process.stdin is not None
        self._process.stdin.write(tokens.dump().encode() + b"\n")
        self._process.stdin.flush()

    @property
    def url(self) -> str:
        """Where it is on this machine."""
        return f"http://{_shown(HERE.get(self._host, self._host))}:{self._port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self._host in LOOPBACK_NAMES

    def welcome(self, *, made: bool, remote: bool) -> list[str]:
        """Lines for a person: where it is, how to log in, and how to get there from elsewhere.

        `made`: the token was made for this run, and nobody knows it yet. `remote`: whoever reads
        this probably sits at another machine.
        """
        lines = [f"serves  {self.url}/login?ticket={self._tokens.ticket} (logs in once)"]
        if made:
            lines.append(
                f"token   {self._tokens.full} (of this run; set {FULL_VARIABLE} to choose)"
            )
        if remote and self.is_local:
            here = f"{_shown(self._host)}:{self._port}"
            lines.append(f"tunnel  ssh -L {self._port}:{here} {socket.gethostname()}")
        if not self.is_local:
            address = f"http://{socket.gethostname()}:{self._port}"
            lines.append(f"open    to the network as {address}, in the clear")
        return lines

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        return self._process.wait()

    def __enter__(self) -> "Server":
        """It is started already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the process to end, and see to it that it does."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _environment() -> dict[str, str]:
    """The child's variables; it imports the very package that starts it."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return kept | {"PYTHONPATH": path}
