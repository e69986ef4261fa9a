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
    if kind == Kind.GO or kind not in tuple(Kind):
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
    message = LAYOUT.pack(MAGIC, Kind.GO, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, b"")
    if descriptor is None:
        connection.sendall(message)
        return
    rights = array.array("i", [descriptor])
    connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
