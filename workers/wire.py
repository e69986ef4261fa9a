"""The supervisor's end of the wire: what a candidate or a referee may say, checked before use.

The layout and the order of the messages are described in `train_template/wire.py`, which
stands alone; a test holds both ends equal. Everything that arrives here was written by
untrusted code: a message of the wrong size, magic or kind is a WireError, numbers are checked
for their range, and text is cleaned before anyone prints it.
"""

import array
import math
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from workers.errors import WireError

MAGIC = b"ARW1"
LAYOUT = struct.Struct("<4sHHqqqqddd968s")
SIZE = LAYOUT.size


class Kind(IntEnum):
    """What a message says."""

    HELLO = 1
    READY = 2
    PROGRESS = 3
    TRAINED = 4
    SCORED = 5
    FAILED = 6
    AUDITED = 7
    GO = 16
    JOB = 17


@dataclass(frozen=True)
class Message:
    """One message from a candidate or a referee, with every field in its range."""

    kind: Kind
    step: int
    tokens: int
    device_memory: int  # bytes
    parameters: int
    fraction: float  # 0 to 1
    loss: float | None  # None: none was logged, or it is not finite
    value: float  # may be nan or infinite: the caller judges it
    text: str


def unpack(data: bytes) -> Message:
    """Read one message of `SIZE` bytes; raise WireError if it is none."""
    if len(data) != SIZE:
        raise WireError(f"a message of {len(data)} bytes, not {SIZE}")
    magic, kind, length, *numbers, raw = LAYOUT.unpack(data)
    step, tokens, device_memory, parameters, fraction, loss, value = numbers
    if magic != MAGIC:
        raise WireError("a message without the magic bytes")
    if kind in (Kind.GO, Kind.JOB) or kind not in tuple(Kind):
        raise WireError(f"a message of unknown kind {kind}")
    return Message(
        kind=Kind(kind),
        step=max(0, step),
        tokens=max(0, tokens),
        device_memory=max(0, device_memory),
        parameters=max(0, parameters),
        fraction=min(1.0, max(0.0, fraction)) if math.isfinite(fraction) else 0.0,
        loss=loss if math.isfinite(loss) else None,
        value=value,
        text=raw[: min(length, len(raw))].decode("utf-8", "replace"),
    )


def send_go(connection: socket.socket, descriptor: int | None) -> None:
    """Say GO, with a file descriptor beside it if there is one: the tokens to work on."""
    _send(connection, Kind.GO, [] if descriptor is None else [descriptor])


def send_job(connection: socket.socket, descriptors: Sequence[int]) -> None:
    """Hand a job to a process that waits for one: its parcel, and what the job names."""
    _send(connection, Kind.JOB, descriptors)


def _send(connection: socket.socket, kind: Kind, descriptors: Sequence[int]) -> None:
    message = LAYOUT.pack(MAGIC, kind, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, b"")
    if not descriptors:
        connection.sendall(message)
        return
    rights = array.array("i", descriptors)
    connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
