"""The candidate's end of the wire: fixed-size messages to the supervisor, over a socket.

Every message is one C struct of `SIZE` bytes, never a pickle, so that the receiver can check
it without trusting the sender. The supervisor's end stands in `workers/wire.py`; this folder
stands alone, so the layout is written down in both, and a test holds them equal.

    candidate -> supervisor   HELLO     imports are done; text: "<device>\n<precision>\n<kind>", its
                                        kind as torch names it: cuda, mps or cpu
                              READY     compiled and warm: asks for the data
                              PROGRESS  step, tokens, loss, share of the budget
                              TRAINED   the budget is used, or train() returned
                              SCORED    value: the validation metric
                              FAILED    text: "<status>\n<one sentence>"
                              AUDITED   value: the metric on the audit split, after SCORED and
                                        only where the job asks for it; from a referee alone
    supervisor -> candidate   GO        carries one file descriptor: the training tokens
                              JOB       to a process without one (see `spare`): descriptors of a
                                        parcel and of what the job names

The training clock runs from GO to TRAINED.
"""

import array
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"ARW1"
LAYOUT = struct.Struct("<4sHHqqqqddd968s")  # see Message, field by field
SIZE = LAYOUT.size  # 1032 bytes
TEXT_BYTES = 968
DESCRIPTORS = 16  # that come with one message, at most


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
    """One message. Fields that a kind does not use are zero."""

    kind: Kind
    step: int = 0
    tokens: int = 0  # seen in training so far
    device_memory: int = 0  # peak bytes on the accelerator
    parameters: int = 0  # of the model
    fraction: float = 0.0  # share of the budget used, 0 to 1
    loss: float = float("nan")  # nats per token; nan: none was logged
    value: float = float("nan")
    text: str = ""

    def pack(self) -> bytes:
        """The message as `SIZE` bytes; a long text is cut at a character's border."""
        text = self.text.encode("utf-8", "replace")[:TEXT_BYTES]
        text = text.decode("utf-8", "ignore").encode()
        return LAYOUT.pack(
            MAGIC,
            self.kind,
            len(text),
            self.step,
            self.tokens,
            self.device_memory,
            self.parameters,
            self.fraction,
            self.loss,
            self.value,
            text,
        )


def send(connection: socket.socket, message: Message) -> None:
    """Send one message whole."""
    connection.sendall(message.pack())


def receive_go(connection: socket.socket) -> int:
    """Wait for GO and return the file descriptor of the training tokens.

    Raises ConnectionError if the supervisor is gone or sends anything else.
    """
    descriptors = _receive(connection, Kind.GO, "it sent the data")
    if len(descriptors) != 1:
        raise ConnectionError(f"GO came with {len(descriptors)} file descriptors, not one")
    return descriptors[0]


def receive_job(connection: socket.socket) -> list[int]:
    """Wait for JOB and return its descriptors, at least one; raises ConnectionError as above."""
    descriptors = _receive(connection, Kind.JOB, "it sent a job")
    if not descriptors:
        raise ConnectionError("JOB came without a file descriptor")
    return descriptors


def _receive(connection: socket.socket, kind: Kind, before: str) -> list[int]:
    room = socket.CMSG_SPACE(DESCRIPTORS * 4)
    data, ancillary, _, _ = connection.recvmsg(SIZE, room)
    while data and len(data) < SIZE:
        more = connection.recv(SIZE - len(data))
        if not more:
            break
        data += more
    if len(data) != SIZE or LAYOUT.unpack(data)[:2] != (MAGIC, kind):
        raise ConnectionError(f"the supervisor closed the connection before {before}")
    descriptors = array.array("i")
    for level, sort, payload in ancillary:
        if level == socket.SOL_SOCKET and sort == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return list(descriptors)
