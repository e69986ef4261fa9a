"""Listening to one process: whole messages from its channel, its log, its end.

In: a selector's ready descriptors. Out: raw messages of the wire's size, unread and unchecked, in
bounded portions, so that a process that floods one thing can't keep its listener from the rest.
"""

import os
import selectors
from collections.abc import Iterator

from workers import wire
from workers.log import BoundedLog
from workers.process import Process

CHUNK_BYTES = 64 * 1024  # of one read: a full pipe, or some sixty messages
LAST_CHUNKS = 16  # what the channel of an ended process may still hold: more than its buffer
LAST_LOG_BYTES = 1024 * 1024


class Listener:
    """Listens to a process; `hung_up` and `just_ended` hold for the newest call of `hear`."""

    def __init__(self, selector: selectors.BaseSelector, process: Process, log: BoundedLog) -> None:
        self.process = process
        self.log = log
        self.gone = False  # the whole process tree has ended
        self.hung_up = False
        self.just_ended = False
        self._selector = selector
        self._pending = b""  # the beginning of a message
        self._channel = process.channel.fileno()
        for descriptor in (self._channel, process.log, process.lifeline):
            selector.register(descriptor, selectors.EVENT_READ)

    def hear(self, ready: set[int]) -> Iterator[bytes]:
        """Take what is there, up to a chunk of each; when the process has ended, all of it."""
        self.hung_up = self.just_ended = False
        if self.process.log in ready and not self._read_log(CHUNK_BYTES):
            self._selector.unregister(self.process.log)
        ended = self.process.lifeline in ready
        if self._channel in ready or ended:
            for _ in range(LAST_CHUNKS if ended else 1):
                data = self._receive()
                yield from self._messages(data or b"")
                if data == b"" and self._channel in self._selector.get_map():
                    self._selector.unregister(self._channel)
                    self.hung_up = True
                if not data:
                    break
        if ended:
            self._selector.unregister(self.process.lifeline)
            self.gone = self.just_ended = True

    def drain_log(self) -> None:
        """Take the rest of the log of a process that has ended, up to 1 MiB."""
        self._read_log(LAST_LOG_BYTES)

    def _receive(self) -> bytes | None:
        """At most one chunk; None if nothing is there now, empty at the end."""
        try:
            return self.process.channel.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def _messages(self, data: bytes) -> Iterator[bytes]:
        whole = self._pending + data
        rest = len(whole) % wire.SIZE
        self._pending = whole[len(whole) - rest :]
        for start in range(0, len(whole) - rest, wire.SIZE):
            yield whole[start : start + wire.SIZE]

    def _read_log(self, limit: int) -> bool:
        """Take what the log pipe holds, up to a limit in bytes; whether more may come."""
        taken = 0
        while taken < limit:
            try:
                data = os.read(self.process.log, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.log.write(data)
            taken += len(data)
        return True
