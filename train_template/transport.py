"""How a session reaches whoever supervises it: report things, and ask for the training data.

`SocketTransport` speaks to the supervisor over the wire; `train_template.run` has one of its
own for a person at a terminal. The session can't tell them apart. What the messages mean is
written down in `wire`.
"""

import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from train_template import wire


class Transport(Protocol):
    """Whoever supervises the session."""

    def send(self, message: wire.Message) -> None:
        """Report something; raises OSError if nobody listens any more."""

    def receive_data(self) -> int:
        """Wait for GO; return the file descriptor of the training tokens, the caller's to close."""


class SocketTransport:
    """The supervisor at the other end of an inherited socket."""

    def __init__(
        self, connection: socket.socket, *, before_ready: Callable[[], None] = lambda: None
    ) -> None:
        """`before_ready` is called once all is compiled, before the supervisor is told."""
        self._connection = connection
        self._before_ready = before_ready
        self._said = ""

    def send(self, message: wire.Message) -> None:
        """Send one message whole, and leave a line in the log for who reads it afterwards."""
        if message.kind is wire.Kind.READY:
            self._before_ready()
        wire.send(self._connection, message)
        line = f"{message.fraction:5.1%}  step {message.step}  loss {message.loss:.4f}"
        if message.kind in (wire.Kind.PROGRESS, wire.Kind.TRAINED) and line != self._said:
            self._said = line
            print(line, flush=True)

    def receive_data(self) -> int:
        """Wait for GO; raises ConnectionError if something else comes."""
        return wire.receive_go(self._connection)


def end_with(connection: socket.socket) -> None:
    """End this process at once when the other end of the socket closes, whatever it is doing.

    A candidate without a supervisor would hold its device for ever.
    """
    threading.Thread(
        target=_watch, args=(connection,), name="supervisor-watch", daemon=True
    ).start()


def _watch(connection: socket.socket) -> None:
    # Asked for no event, poll() reports a hang-up only: GO stays in the socket for the session.
    poller = select.poll()
    poller.register(connection, 0)
    while not poller.poll():
        pass
    os._exit(1)
